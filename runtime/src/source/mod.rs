//! Sources: what brings events in, and how they learn that events have been delivered.

mod behind;
mod farewell;
mod outlet;
mod positions;
mod progress;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::channel::{Channel, Incarnation};
use crate::environment::workers::Workers;
use crate::failure::Failure;
use crate::observability::meter::Meter;
use crate::routing::{Leg, Target};
pub(crate) use farewell::{Farewell, Invitation};
pub(crate) use outlet::scope_names;
pub(crate) use positions::least_of;
pub(crate) use progress::Progress;

pub use behind::Behind;
pub use farewell::Answering;
pub use outlet::{Outlet, PutError};
pub use positions::{DeliveredThrough, Given, GivenThrough};
pub use progress::{Delivered, Deliveries};

/// A component that events come from.
#[async_trait]
pub trait Source: Send {
    /// Reads events and puts them, until there are no more or the port says stop.
    ///
    /// A source then closes its outlet and goes on taking deliveries until there are none, so
    /// that what is under way can still be committed outside. It may drop events that it has
    /// read and not put: they were never acknowledged.
    ///
    /// The future is dropped when the agent has to stop at once; a source whose peers wait for answers hears of that
    /// before ([`SourcePort::answering`]).
    ///
    /// # Errors
    /// When the source can't go on; it then leaves its outlet unclosed. It is run again after a while, with a new port, and begins
    /// behind what it has committed outside.
    async fn run(&mut self, port: SourcePort) -> Result<(), Failure>;

    /// Tries what the source needs outside, such as secrets, certificates, addresses and files, and takes and
    /// leaves nothing: called before anything runs. Gives back all that is wrong. What is permanent keeps the
    /// agent from starting.
    async fn probe(&mut self) -> Vec<Failure> {
        Vec::new()
    }

    /// Whether the source keeps its part of `exactly_once`: it goes on exactly behind what its port
    /// says was given, and its rows say which events they are.
    fn keeps_exactly_once(&self) -> bool {
        false
    }

    /// What the source's settings lack to keep it, if it keeps it with others.
    fn exactly_once_lacks(&self) -> Option<&'static str> {
        None
    }
}

/// What all runs of a source have in common.
pub(crate) struct Connection {
    pub(crate) component: Arc<str>,
    pub(crate) legs: Arc<[Leg]>,
    pub(crate) meter: Arc<Meter>,
    /// There when all channels behind know its positions; each run has its own without.
    pub(crate) progress: Option<Arc<Progress>>,
    /// Whether a flow through the source promises `exactly_once`.
    pub(crate) wants_identities: bool,
    /// Who applies the steps.
    pub(crate) workers: Workers,
    pub(crate) invitation: Invitation,
}

/// What a running source is connected to.
pub struct SourcePort {
    /// Where it puts its batches.
    pub outlet: Outlet,
    /// Where it learns which positions are done.
    pub deliveries: Deliveries,
    /// Cancelled when it shall read no more.
    pub stop: CancellationToken,
    /// Through which positions the channels were given its partitions: where reading goes on.
    pub given: Given,
    /// What of it is known to be delivered at the beginning of the run. Further positions are told by
    /// `deliveries`.
    pub delivered: Delivered,
    wants_identities: bool,
    behind: Behind,
    invitation: Invitation,
}

impl SourcePort {
    /// A port for the next run of a source, and a token that is cancelled when its outlet is closed.
    pub(crate) fn new(connection: &Connection, stop: CancellationToken) -> (SourcePort, CancellationToken) {
        let wants_identities = connection.wants_identities;
        let progress = connection.progress.clone();
        let progress = progress.unwrap_or_else(|| Progress::new(connection.meter.clone()));
        let given = Given::of(&connection.component, &connection.legs);
        let delivered = progress.begin_run(&given);
        let outlet = Outlet::new(connection, progress.clone(), stop.clone());
        let closed = outlet.closed();
        let deliveries = Deliveries::new(progress);
        let (behind, invitation) = (Behind::of(connection), connection.invitation.clone());
        let port =
            SourcePort { outlet, deliveries, stop, given, delivered, wants_identities, behind, invitation };
        (port, closed)
    }

    /// The durable channels behind, each with its present incarnation ([`Behind::incarnations`]).
    pub fn incarnations(&self) -> BTreeMap<Arc<str>, Incarnation> {
        self.behind.incarnations()
    }

    /// The names of the channels behind that don't know the incarnation that was stored with what was
    /// delivered to them ([`Behind::strangers`]).
    pub fn strangers(&self, stored: &BTreeMap<Arc<str>, Incarnation>) -> Vec<Arc<str>> {
        self.behind.strangers(stored)
    }

    /// To be held while peers wait for answers: an agent that ends at once waits a moment for them.
    pub fn answering(&self) -> Answering {
        self.invitation.accept()
    }

    /// The channels that the source must put into.
    pub fn behind(&self) -> &Behind {
        &self.behind
    }

    /// Whether the source has to say of its rows which events they are
    /// ([`Identities`](crate::batch::Identities)), since a flow promises `exactly_once`.
    pub fn wants_identities(&self) -> bool {
        self.wants_identities
    }

    /// Cancelled when the source has closed its outlet: nothing more comes from it.
    pub fn closed(&self) -> CancellationToken {
        self.outlet.closed()
    }

    /// A port into one channel: a source on its own, without an agent.
    pub fn into_channel(channel: Arc<dyn Channel>) -> SourcePort {
        let name = "channel".into();
        let target = Target { name, channel, meter: Arc::default(), schema: None, optional: false };
        let legs = [Leg::direct(target)].into();
        let connection = Connection {
            component: "source".into(),
            legs,
            meter: Arc::default(),
            progress: None,
            wants_identities: false,
            workers: Workers::none(),
            invitation: Farewell::new().invitation(),
        };
        SourcePort::new(&connection, CancellationToken::new()).0
    }
}
