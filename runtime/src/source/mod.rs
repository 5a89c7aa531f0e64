//! Sources: components that bring events in, and learn when the events have been delivered.

mod downstream;
mod outlet;
mod positions;
mod progress;
mod shutdown_notice;

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::channel::Channel;
use crate::environment::memory::MemoryBudget;
use crate::environment::workers::Workers;
use crate::failure::{ConnectFailure, Failure};
use crate::observability::meter::Meter;
use crate::routing::{Leg, Portion, Target};
pub(crate) use outlet::{scope_names, source_of_scope};
pub(crate) use positions::least_of;
pub(crate) use progress::Progress;
pub(crate) use shutdown_notice::{ShutdownNotice, ShutdownSubscription};

pub use crate::routing::PutError;
pub use downstream::DownstreamChannels;
pub use outlet::Outlet;
pub use positions::{DeliveredThrough, Given, GivenThrough};
pub use progress::{Delivered, Deliveries};
pub use shutdown_notice::PendingAnswers;

/// What a source hands to the sink that commits the source's positions ([`Source::hands_over`]). Only the two components know
/// what it is.
pub type Handover = Arc<dyn Any + Send + Sync>;

/// A component that brings events in.
#[async_trait]
pub trait Source: Send {
    /// Reads events and puts them, until there are no more or the port's `stop` is cancelled.
    ///
    /// A source then closes its outlet and goes on taking deliveries until there are none, so that it can commit the
    /// positions of events in flight. It may drop events that it has read and not put: they were never acknowledged.
    ///
    /// The agent drops the future when it has to stop at once. A source whose peers wait for answers is notified before
    /// ([`SourcePort::pending_answers`]).
    ///
    /// # Errors
    /// When the source can't go on; it then leaves its outlet open. After a wait it is run again with a new port, and
    /// begins after the positions that it has committed.
    async fn run(&mut self, port: SourcePort) -> Result<(), Failure>;

    /// Checks the secrets, certificates, addresses, files and other systems that the source needs, without changing
    /// them. Called before any component runs. Returns all failures; a permanent failure prevents the start.
    async fn probe(&mut self) -> Vec<Failure> {
        Vec::new()
    }

    /// Asks the servers that the source needs whether they are there, let it in, and have what its settings name. Changes nothing.
    /// Takes a few seconds at most. Returns all failures.
    async fn connect(&mut self) -> Vec<ConnectFailure> {
        Vec::new()
    }

    /// Returns what the source reads, or where it listens, for the log: `reads the topic clicks of kafka:9092`. Empty if there is
    /// nothing to say.
    fn describe(&self) -> String {
        String::new()
    }

    /// Returns why the source itself would refuse to start with these channels, and the remedy, if it would. Called when a
    /// start is refused because a channel and a sink differ, so that the message says all at once. Changes nothing.
    fn refuses(&self, _downstream: &DownstreamChannels) -> Option<String> {
        None
    }

    /// Whether the source supports `exactly_once`: it goes on exactly after the positions in [`SourcePort::given`], and
    /// its batches have identities.
    fn keeps_exactly_once(&self) -> bool {
        false
    }

    /// What the only sink behind the source needs to commit the source's positions in the transactions of its own data
    /// ([`Sink::take_over`](crate::sink::Sink::take_over)); none if the source can't leave its commits to a sink. A source that does not
    /// support `exactly_once` itself supports it with such a sink behind one volatile channel.
    fn hands_over(&self) -> Option<Handover> {
        None
    }

    /// The setting that the source lacks for `exactly_once`, if other settings would support it.
    fn exactly_once_lacks(&self) -> Option<&'static str> {
        None
    }
}

/// The settings and connections of a source that all its runs share.
pub(crate) struct SourceWiring {
    pub(crate) component: Arc<str>,
    pub(crate) legs: Arc<[Leg]>,
    pub(crate) meter: Arc<Meter>,
    /// The progress of all runs, if the required channels know positions; otherwise each run has its own progress.
    pub(crate) progress: Option<Arc<Progress>>,
    /// Whether a flow through the source promises `exactly_once`.
    pub(crate) wants_identities: bool,
    /// Whether a step needs the identities of events.
    pub(crate) numbers_events: bool,
    /// The threads that apply the steps.
    pub(crate) workers: Workers,
    pub(crate) memory: MemoryBudget,
    pub(crate) shutdown: ShutdownSubscription,
}

/// Connects a running source to its channels and to the agent.
pub struct SourcePort {
    /// Takes the source's batches.
    pub outlet: Outlet,
    /// Gives the positions that are delivered during the run.
    pub deliveries: Deliveries,
    /// Cancelled when the source has to stop reading.
    pub stop: CancellationToken,
    /// The positions through which the channels were given each partition. Reading goes on after them.
    pub given: Given,
    /// The positions that are known to be delivered when the run begins.
    pub delivered: Delivered,
    wants_identities: bool,
    downstream: DownstreamChannels,
    shutdown: ShutdownSubscription,
}

impl SourcePort {
    /// Makes the port for the next run of a source, and a token that is cancelled when its outlet is closed.
    pub(crate) fn new(wiring: &SourceWiring, stop: CancellationToken) -> (SourcePort, CancellationToken) {
        let wants_identities = wiring.wants_identities;
        let progress = wiring.progress.clone();
        let progress = progress.unwrap_or_else(|| Progress::new(wiring.meter.clone()));
        let given = Given::of(&wiring.component, &wiring.legs, wants_identities);
        let delivered = progress.begin_run(&given);
        let outlet = Outlet::new(wiring, progress.clone(), stop.clone());
        let closed = outlet.closed();
        let deliveries = Deliveries::new(progress);
        let wants_identities = wants_identities || wiring.numbers_events;
        let (downstream, shutdown) = (DownstreamChannels::of(wiring), wiring.shutdown.clone());
        let port =
            SourcePort { outlet, deliveries, stop, given, delivered, wants_identities, downstream, shutdown };
        (port, closed)
    }

    /// Returns a guard for a source to hold while peers wait for answers: an agent that has to end at once waits a
    /// second for it.
    pub fn pending_answers(&self) -> PendingAnswers {
        self.shutdown.pending_answers()
    }

    /// The required channels that the source puts into.
    pub fn downstream(&self) -> &DownstreamChannels {
        &self.downstream
    }

    /// Whether batches need [`Identities`](crate::batch::Identities), since a flow promises `exactly_once` or a step
    /// needs them. An event that is read again has the same identity, and no other event has it.
    pub fn wants_identities(&self) -> bool {
        self.wants_identities
    }

    /// A token that is cancelled when the source has closed its outlet, after its last event.
    pub fn closed(&self) -> CancellationToken {
        self.outlet.closed()
    }

    /// Makes a port into one channel, to run a source without an agent.
    pub fn into_channel(channel: Arc<dyn Channel>) -> SourcePort {
        let name = "channel".into();
        let (schema, meter) = (None, Arc::default());
        let target = Target {
            name,
            channel,
            meter,
            schema,
            optional: false,
            is_reject: false,
            knows_positions: true,
            portion: Portion::WHOLE,
        };
        let legs = [Leg::direct(target)].into();
        let wiring = SourceWiring {
            component: "source".into(),
            legs,
            meter: Arc::default(),
            progress: None,
            wants_identities: false,
            numbers_events: false,
            workers: Workers::none(),
            memory: MemoryBudget::default(),
            shutdown: ShutdownNotice::new().subscribe(),
        };
        SourcePort::new(&wiring, CancellationToken::new()).0
    }
}
