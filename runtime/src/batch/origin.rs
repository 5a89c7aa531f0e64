//! Origins: the intervals of a source's partitions that a batch covers.

use std::fmt;
use std::sync::Arc;

use super::identity::Identities;

/// A partition of a source: a sequence of events with positions that only grow.
///
/// Its name must never be used for another sequence of events: a topic and a partition number, or a file's device,
/// inode and first bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(Arc<str>);

impl Partition {
    /// Makes the partition with this name.
    pub fn new(name: impl Into<Arc<str>>) -> Partition {
        Partition(name.into())
    }

    /// The partition's name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The half-open interval `(after, through]` of a partition's positions.
///
/// A position counts the offsets, bytes or events before it, so that reading goes on at `through`: for Kafka the next
/// offset, for a file the byte after the last line read, for a sequence the number of the last event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// The partition.
    pub partition: Partition,
    /// The position before the first event.
    pub after: u64,
    /// The position after the last event.
    pub through: u64,
}

/// The intervals that a batch covers, at most one of each partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Arc<[Interval]>);

impl Origins {
    /// Makes origins of these intervals.
    pub fn new(intervals: Vec<Interval>) -> Origins {
        Origins(intervals.into())
    }

    /// Makes origins of one interval of one partition.
    pub fn one(partition: Partition, after: u64, through: u64) -> Origins {
        Origins(Arc::new([Interval { partition, after, through }]))
    }

    /// The intervals.
    pub fn intervals(&self) -> &[Interval] {
        &self.0
    }

    /// Removes and returns the intervals that the first `rows` rows with these identities cover. Positions after the
    /// last of these rows stay.
    pub(crate) fn take_through(&mut self, identities: &Identities, rows: usize) -> Origins {
        let mut last: Vec<Option<u64>> = vec![None; identities.partitions().len()];
        for row in 0..rows {
            last[identities.partition_of(row)] = Some(identities.position_of(row));
        }
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for interval in self.intervals() {
            let index = identities.partitions().iter().position(|partition| *partition == interval.partition);
            let through = index.and_then(|index| last[index]).filter(|through| *through > interval.after);
            let through = through.map(|through| through.min(interval.through));
            taken.extend(through.map(|through| Interval { through, ..interval.clone() }));
            let after = through.unwrap_or(interval.after);
            if after < interval.through {
                left.push(Interval { after, ..interval.clone() });
            }
        }
        *self = Origins::new(left);
        Origins::new(taken)
    }
}
