//! Sources: what brings events in, and how they learn that events have been delivered.

mod outlet;
mod progress;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::batch::Partition;
use crate::channel::Channel;
use crate::failure::Failure;
use crate::meter::Meter;
use crate::route::{Segment, Target};
use progress::Progress;

pub use outlet::{Outlet, PutError};
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
    /// The future is dropped when the agent has to stop at once.
    ///
    /// # Errors
    /// When the source can't go on; it then leaves its outlet unclosed. It is run again after a while, with a new port, and begins
    /// behind what it has committed outside.
    async fn run(&mut self, port: SourcePort) -> Result<(), Failure>;
}

/// What a running source is connected to.
pub struct SourcePort {
    /// Where it puts its batches.
    pub outlet: Outlet,
    /// Where it learns which positions are done.
    pub deliveries: Deliveries,
    /// Cancelled when it shall read no more.
    pub stop: CancellationToken,
    /// What is on disk of its positions.
    pub stored: Stored,
}

/// Through which position each partition is on disk, in every channel that a source must put into.
///
/// A source that has no memory of its own goes on behind these. Empty when one of the channels is
/// volatile: then only what was delivered counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    positions: BTreeMap<Partition, u64>,
}

impl Stored {
    /// The position behind which the partition goes on; `None` if it was never put.
    pub fn through(&self, partition: &Partition) -> Option<u64> {
        self.positions.get(partition).copied()
    }

    /// All of them.
    pub fn positions(&self) -> impl Iterator<Item = (&Partition, u64)> {
        self.positions.iter().map(|(partition, through)| (partition, *through))
    }

    /// The least that all channels behind these segments have.
    fn of(component: &str, segments: &[Segment]) -> Stored {
        let names = outlet::scope_names(component, segments);
        let targets = segments.iter().flat_map(Segment::targets).zip(names);
        let required = targets.filter(|(target, _)| !target.optional);
        let all = required.map(|(target, scope)| target.channel.stored(&scope));
        let least = all.reduce(|one, other| Some(least_of(one?, &other?)));
        Stored { positions: least.flatten().unwrap_or_default() }
    }
}

fn least_of(one: BTreeMap<Partition, u64>, other: &BTreeMap<Partition, u64>) -> BTreeMap<Partition, u64> {
    let both = one.into_iter().filter_map(|(partition, through)| {
        let least = through.min(*other.get(&partition)?);
        Some((partition, least))
    });
    both.collect()
}

impl SourcePort {
    /// A port into these segments, and a token that is cancelled when the outlet is closed.
    pub(crate) fn new(
        component: Arc<str>,
        segments: Arc<[Segment]>,
        meter: Arc<Meter>,
        stop: CancellationToken,
    ) -> (SourcePort, CancellationToken) {
        let progress = Progress::new(meter.clone());
        let stored = Stored::of(&component, &segments);
        let outlet = Outlet::new(component, segments, progress.clone(), meter, stop.clone());
        let closed = outlet.closed();
        (SourcePort { outlet, deliveries: Deliveries::new(progress), stop, stored }, closed)
    }

    /// A port into one channel: a source on its own, without an agent.
    pub fn into_channel(channel: Arc<dyn Channel>) -> SourcePort {
        let name = "channel".into();
        let target = Target { name, channel, meter: Arc::default(), schema: None, optional: false };
        let segments = [Segment::direct(target)];
        SourcePort::new("source".into(), segments.into(), Arc::default(), CancellationToken::new()).0
    }
}
