//! Two kinds of progress that must never be mixed: what channels were given, and what is delivered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::outlet;
use crate::batch::Partition;
use crate::routing::Leg;

/// A position through which a partition was given to channels. A channel in memory can still lose what it was
/// given: reading goes on here, and nothing else follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GivenThrough(u64);

/// A position through which a partition is delivered. Only the core makes one, from acknowledgements; a source
/// reads back those that it has saved. What a source saves, acknowledges to a peer or deletes follows from these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveredThrough(u64);

impl GivenThrough {
    /// The position, to read on from.
    pub fn position(self) -> u64 {
        self.0
    }
}

impl DeliveredThrough {
    pub(super) fn new(position: u64) -> DeliveredThrough {
        DeliveredThrough(position)
    }

    /// Nothing before this position was ever wanted, so that it counts as delivered.
    pub fn not_wanted_before(position: u64) -> DeliveredThrough {
        DeliveredThrough(position)
    }

    /// The position, to be stored outside or compared.
    pub fn position(self) -> u64 {
        self.0
    }
}

/// Through which position each partition was given to every channel that a source must put into.
///
/// A source that has no memory of its own goes on behind these. Empty when one of the channels does
/// not know positions: then only what was delivered counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    positions: Option<BTreeMap<Partition, u64>>,
}

impl Given {
    /// The position behind which the partition goes on; `None` if it was never put.
    pub fn through(&self, partition: &Partition) -> Option<GivenThrough> {
        self.positions.as_ref()?.get(partition).copied().map(GivenThrough)
    }

    /// All of them.
    pub fn positions(&self) -> impl Iterator<Item = (&Partition, GivenThrough)> {
        self.positions.iter().flatten().map(|(partition, through)| (partition, GivenThrough(*through)))
    }

    /// The least that all channels behind these legs have.
    pub(super) fn of(component: &str, legs: &[Leg]) -> Given {
        let names = outlet::scope_names(component, legs);
        let targets = legs.iter().flat_map(Leg::targets).zip(names);
        let required = targets.filter(|(target, _)| !target.optional);
        let all = required.map(|(target, scope)| target.channel.stored(&scope));
        Given { positions: all.reduce(|one, other| Some(least_of(one?, &other?))).flatten() }
    }

    /// What every channel has before anything was put, which is what earlier processes have delivered: a
    /// durable channel has just read it from its disk, a volatile one was told what the sinks' ledgers have.
    pub(super) fn as_delivered(&self) -> Option<&BTreeMap<Partition, u64>> {
        self.positions.as_ref()
    }
}

impl From<BTreeMap<Partition, u64>> for Given {
    fn from(positions: BTreeMap<Partition, u64>) -> Given {
        Given { positions: Some(positions) }
    }
}

/// What both have.
pub(crate) fn least_of(
    one: BTreeMap<Partition, u64>,
    other: &BTreeMap<Partition, u64>,
) -> BTreeMap<Partition, u64> {
    let both = one.into_iter().filter_map(|(partition, through)| {
        let least = through.min(*other.get(&partition)?);
        Some((partition, least))
    });
    both.collect()
}
