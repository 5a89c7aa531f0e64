//! Two kinds of positions that must never be mixed: positions given to channels, and delivered positions.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::outlet;
use crate::batch::Partition;
use crate::routing::Leg;

/// A position through which a partition was given to channels. A source goes on reading here. It must not save,
/// acknowledge or delete anything by it, since a memory channel can still lose the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GivenThrough(u64);

/// A position through which a partition is delivered. Only the core makes one, from acknowledgements; a source reads
/// back the positions that it has saved. A source saves, acknowledges and deletes by these positions alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveredThrough(u64);

impl GivenThrough {
    /// The position from which the source goes on reading.
    pub fn position(self) -> u64 {
        self.0
    }
}

impl DeliveredThrough {
    pub(super) fn new(position: u64) -> DeliveredThrough {
        DeliveredThrough(position)
    }

    /// Makes the position before which the source never wanted events, so that they count as delivered.
    pub fn not_wanted_before(position: u64) -> DeliveredThrough {
        DeliveredThrough(position)
    }

    /// The position, for storing or comparing it.
    pub fn position(self) -> u64 {
        self.0
    }
}

/// The position through which each partition was given to all required channels of a source.
///
/// A source that stores no positions itself goes on after these. Empty if one of the channels does not know positions:
/// the source then goes on after the delivered positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    positions: Option<BTreeMap<Partition, u64>>,
}

impl Given {
    /// The position after which the partition goes on; `None` if it was never put.
    pub fn through(&self, partition: &Partition) -> Option<GivenThrough> {
        self.positions.as_ref()?.get(partition).copied().map(GivenThrough)
    }

    /// The positions of all partitions.
    pub fn positions(&self) -> impl Iterator<Item = (&Partition, GivenThrough)> {
        self.positions.iter().flatten().map(|(partition, through)| (partition, GivenThrough(*through)))
    }

    /// The smallest positions that the required channels of these legs have. With `exactly_once`, a partition that only some
    /// of them know begins again under its name, so that the others recognise its events.
    pub(super) fn of(component: &str, legs: &[Leg], exactly_once: bool) -> Given {
        let names = outlet::scope_names(component, legs);
        let targets = legs.iter().flat_map(Leg::targets).zip(names);
        let required = targets.filter(|(target, _)| !target.optional);
        let all: Option<Vec<_>> = required.map(|(target, scope)| target.stored(&scope)).collect();
        let Some(mut all) = all else { return Given::default() };
        if exactly_once {
            let known: BTreeSet<Partition> = all.iter().flat_map(|stored| stored.keys().cloned()).collect();
            for stored in &mut all {
                for partition in &known {
                    stored.entry(partition.clone()).or_default();
                }
            }
        }
        Given { positions: all.into_iter().reduce(|one, other| least_of(one, &other)) }
    }

    /// The positions that the channels have before the first put of this process. Earlier processes have delivered
    /// them: a durable channel has read them from its disk, a volatile channel was told them from the sinks' ledgers.
    pub(super) fn as_delivered(&self) -> Option<&BTreeMap<Partition, u64>> {
        self.positions.as_ref()
    }
}

impl From<BTreeMap<Partition, u64>> for Given {
    fn from(positions: BTreeMap<Partition, u64>) -> Given {
        Given { positions: Some(positions) }
    }
}

/// Returns the smaller position of each partition that is in both.
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
