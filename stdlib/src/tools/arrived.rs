//! The events that a sink is known to have: for each partition a position through which all have arrived, and a set of
//! positions beyond. A sink that promises `exactly_once` stores this with its data, and leaves out what comes again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use roaring::RoaringTreemap;
use weir_runtime::batch::{Identities, Partition, partitions_to_forget};
use weir_runtime::channel::{Incarnation, Reached};

/// Positions of some rows.
pub(crate) type Arrived = BTreeMap<Partition, RoaringTreemap>;

/// The position of each partition through which all events have arrived everywhere.
pub(crate) type Settled = BTreeMap<Partition, u64>;

/// When a sink has read a durable channel, in numbers of its commits; 0 where that is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// The first commit of the writer with whom the channel came, or came back after another one was in its place.
    pub(crate) came: u64,
    /// The last commit of a writer who read it.
    pub(crate) last: u64,
}

/// The events that have arrived.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Known {
    partitions: BTreeMap<Partition, Extent>,
}

/// The events of a partition that have arrived.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Extent {
    /// All events through this position have arrived.
    pub(crate) settled: u64,
    /// The positions beyond `settled` whose events have arrived.
    pub(crate) arrived: RoaringTreemap,
    /// Of the durable channel that numbered it last.
    pub(crate) incarnation: Option<Incarnation>,
    /// When the sink has read this channel.
    pub(crate) reads: Reads,
    /// The number of the commit that said so last.
    pub(crate) moved: u64,
}

impl Known {
    /// Returns the partitions in the order of their names.
    pub(crate) fn extents(&self) -> impl ExactSizeIterator<Item = (&Partition, &Extent)> {
        self.partitions.iter()
    }

    /// Returns what has arrived of a partition.
    #[cfg(feature = "kafka")]
    pub(crate) fn extent(&self, partition: &Partition) -> Option<&Extent> {
        self.partitions.get(partition)
    }

    /// Returns the positions through which all events have arrived; 0 for a partition without such a position, so that
    /// a source that names its partitions after a restart learns their names.
    pub(crate) fn settled(&self) -> Settled {
        let settled = self.partitions.iter();
        settled.map(|(partition, extent)| (partition.clone(), extent.settled)).collect()
    }

    /// Adds the events of a partition in the commit of this number.
    pub(crate) fn add(&mut self, partition: &Partition, settled: u64, arrived: &RoaringTreemap, number: u64) {
        let extent = self.partitions.entry(partition.clone()).or_default();
        extent.moved = number;
        extent.arrived |= arrived;
        if settled > extent.settled {
            extent.settled = settled;
        }
        // Settled positions need not be in the set.
        extent.arrived.remove_range(..=extent.settled);
    }

    /// Returns the furthest position of each partition, and the incarnation that numbered it.
    pub(crate) fn reached(&self) -> BTreeMap<Partition, Reached> {
        let reached = self.partitions.iter().map(|(partition, extent)| {
            let through = extent.arrived.max().unwrap_or_default().max(extent.settled);
            let Extent { incarnation, reads: Reads { came, last }, .. } = *extent;
            (partition.clone(), Reached { through, incarnation, came, read: last })
        });
        reached.collect()
    }

    /// Sets the incarnation of the durable channel that numbers a known partition.
    pub(crate) fn numbered_by(&mut self, partition: &Partition, incarnation: Option<Incarnation>) {
        if let (Some(extent), Some(_)) = (self.partitions.get_mut(partition), incarnation) {
            extent.incarnation = incarnation;
        }
    }

    /// Notes when the sink has read a channel of which something is known.
    pub(crate) fn read_in(&mut self, partition: &Partition, reads: Reads) {
        if let Some(extent) = self.partitions.get_mut(partition) {
            extent.reads.came = extent.reads.came.max(reads.came);
            extent.reads.last = extent.reads.last.max(reads.last);
        }
    }

    /// Notes that this channel is known from this commit on, though nothing of it has arrived yet.
    pub(crate) fn adopt(&mut self, partition: &Partition, number: u64) {
        self.partitions.entry(partition.clone()).or_default().moved = number;
    }

    /// When the sink has read this channel, if anything is known of it.
    pub(crate) fn reads_of(&self, partition: &Partition) -> Option<Reads> {
        self.partitions.get(partition).map(|extent| extent.reads)
    }

    /// Whether another channel than these came after this commit.
    pub(crate) fn another_came_after(&self, number: u64, read: &BTreeSet<&Partition>) -> bool {
        let others = self.partitions.iter().filter(|(partition, _)| !read.contains(partition));
        others.into_iter().any(|(_, extent)| extent.reads.came > number)
    }

    /// Returns the position through which all events of a partition have arrived; none if the partition is unknown.
    pub(crate) fn settled_of(&self, partition: &Partition) -> Option<u64> {
        self.partitions.get(partition).map(|extent| extent.settled)
    }

    /// Drops partitions if there are too many, except partitions with events that are not settled. Returns how many.
    pub(crate) fn forget(&mut self) -> usize {
        let settled = self.partitions.iter().filter(|(_, extent)| extent.arrived.is_empty());
        let moved = settled.map(|(partition, extent)| (extent.moved, partition.clone()));
        let oldest = partitions_to_forget(self.partitions.len(), moved);
        oldest.iter().for_each(|partition| drop(self.partitions.remove(partition)));
        oldest.len()
    }

    /// Whether any of these rows has arrived.
    pub(crate) fn overlaps(&self, rows: &Arrived) -> bool {
        rows.iter().any(|(partition, positions)| {
            self.partitions.get(partition).is_some_and(|extent| {
                positions.min().is_some_and(|first| first <= extent.settled)
                    || !extent.arrived.is_disjoint(positions)
            })
        })
    }

    /// Returns the ranges of `0..rows` that have not arrived; none if no row has arrived.
    pub(crate) fn new_rows(&self, identities: &Identities, rows: usize) -> Option<Vec<Range<u32>>> {
        let extents: Vec<Option<&Extent>> =
            identities.partitions().iter().map(|partition| self.partitions.get(partition)).collect();
        if extents.iter().all(Option::is_none) {
            return None;
        }
        let mut new: Vec<Range<u32>> = Vec::new();
        for row in 0..rows {
            let position = identities.position_of(row);
            let extent = extents[identities.partition_of(row)];
            let has =
                extent.is_some_and(|extent| position <= extent.settled || extent.arrived.contains(position));
            if has {
                continue;
            }
            // A transaction has at most a million events, so the number of rows fits.
            let row = row as u32;
            match new.last_mut() {
                Some(last) if last.end == row => last.end += 1,
                _ => new.push(row..row + 1),
            }
        }
        let all_new = matches!(&new[..], [only] if only.len() == rows);
        (!all_new).then_some(new)
    }
}

/// Adds the positions of these rows to `arrived`.
pub(crate) fn note(arrived: &mut Arrived, identities: &Identities, rows: impl Iterator<Item = usize>) {
    let mut sets: Vec<Option<RoaringTreemap>> = vec![None; identities.partitions().len()];
    // Consecutive positions are inserted as one range.
    let mut run: Option<(usize, Range<u64>)> = None;
    let put = |sets: &mut Vec<Option<RoaringTreemap>>, run: Option<(usize, Range<u64>)>| {
        let Some((place, positions)) = run else { return };
        let set = sets[place].get_or_insert_with(RoaringTreemap::new);
        match positions.end - positions.start {
            1 => set.insert(positions.start),
            _ => set.insert_range(positions) > 0,
        };
    };
    for row in rows {
        let (place, position) = (identities.partition_of(row), identities.position_of(row));
        match &mut run {
            Some((last, positions)) if *last == place && positions.end == position => positions.end += 1,
            _ => put(&mut sets, run.replace((place, position..position + 1))),
        }
    }
    put(&mut sets, run);
    for (partition, set) in identities.partitions().iter().zip(sets) {
        if let Some(set) = set {
            *arrived.entry(partition.clone()).or_default() |= set;
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_runtime::batch::PARTITIONS_MAX;

    use super::*;

    fn partition(name: &str) -> Partition {
        Partition::new(name)
    }

    fn set(positions: impl IntoIterator<Item = u64>) -> RoaringTreemap {
        positions.into_iter().collect()
    }

    #[test]
    fn only_settled_and_arrived_positions_are_known() {
        let mut known = Known::default();
        known.add(&partition("p"), 0, &set([5, 7, 8]), 1);
        known.add(&partition("p"), 6, &set([]), 2);
        assert_eq!(known.settled(), BTreeMap::from([(partition("p"), 6)]));
        let rows = Identities::of_several(
            vec![partition("q"), partition("p")],
            vec![1, 0, 1, 1, 0, 1],
            vec![6, 6, 7, 9, 7, 10],
        );
        assert_eq!(known.new_rows(&rows, 6), Some(vec![1..2, 3..6]));
        assert_eq!(known.new_rows(&Identities::counting(partition("p"), 9), 100), None);
        assert_eq!(known.new_rows(&Identities::counting(partition("p"), 1), 6), Some(vec![]));
        assert_eq!(known.new_rows(&Identities::counting(partition("q"), 1), 6), None);
        let rows = |position| BTreeMap::from([(partition("p"), set([position]))]);
        assert!(known.overlaps(&rows(6)) && known.overlaps(&rows(8)) && !known.overlaps(&rows(9)));
    }

    #[test]
    fn settled_positions_never_go_back() {
        let mut known = Known::default();
        known.add(&partition("p"), 9, &set([]), 1);
        known.add(&partition("p"), 3, &set([4]), 2);
        assert_eq!(known.settled()[&partition("p")], 9);
        assert!(known.partitions[&partition("p")].arrived.is_empty());
    }

    #[test]
    fn rows_are_noted_by_partition() {
        let identities =
            Identities::of_several(vec![partition("p"), partition("q")], vec![0, 0, 1, 0], vec![3, 4, 3, 9]);
        let mut arrived = Arrived::new();
        note(&mut arrived, &identities, 0..4);
        note(&mut arrived, &Identities::counting(partition("p"), 100), 5..8);
        let expected = [(partition("p"), set([3, 4, 9, 105, 106, 107])), (partition("q"), set([3]))];
        assert_eq!(arrived, BTreeMap::from(expected));
    }

    #[test]
    fn partitions_that_changed_long_ago_are_dropped_first() {
        let mut known = Known::default();
        for number in 0..=PARTITIONS_MAX as u64 {
            known.add(&partition(&number.to_string()), 1, &set([]), number);
        }
        known.add(&partition("0"), 0, &set([5]), 0);
        assert_eq!(known.forget(), PARTITIONS_MAX / 8 + 1);
        assert_eq!(known.partitions.len(), PARTITIONS_MAX - PARTITIONS_MAX / 8);
        assert!(
            known.partitions.contains_key(&partition("0")),
            "the partition has events that are not settled"
        );
        assert!(!known.partitions.contains_key(&partition("1")));
        assert!(known.partitions.contains_key(&partition(&PARTITIONS_MAX.to_string())));
    }
}
