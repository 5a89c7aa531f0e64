//! What is known to have arrived: for each partition a position through which everything has, and a
//! set of positions beyond.

use std::collections::BTreeMap;
use std::ops::Range;

use roaring::RoaringTreemap;
use weir_runtime::batch::{Identities, Partition, partitions_to_forget};
use weir_runtime::channel::{Incarnation, Reached};

use super::entry::{Entry, PartitionRecord};

/// Positions of some rows.
pub(in crate::tools::file_writer) type Arrived = BTreeMap<Partition, RoaringTreemap>;

/// Through which position everything has arrived everywhere.
pub(in crate::tools::file_writer) type Settled = BTreeMap<Partition, u64>;

/// What has arrived.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::tools::file_writer) struct Known {
    partitions: BTreeMap<Partition, Extent>,
}

/// What has arrived of a partition.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Extent {
    /// Everything through this position.
    pub(super) settled: u64,
    /// And these beyond.
    pub(super) arrived: RoaringTreemap,
    /// Of the durable channel that numbered it last.
    pub(super) incarnation: Option<Incarnation>,
    /// The number of the entry that said so last.
    pub(super) moved: u64,
}

impl Known {
    /// The partitions, in the order of their names.
    pub(super) fn extents(&self) -> impl ExactSizeIterator<Item = (&Partition, &Extent)> {
        self.partitions.iter()
    }

    /// Through which positions everything has arrived: 0 where only some of a partition has, so that a
    /// source that names its partitions anew after a restart learns what they were called.
    pub(in crate::tools::file_writer) fn settled(&self) -> Settled {
        let settled = self.partitions.iter();
        settled.map(|(partition, extent)| (partition.clone(), extent.settled)).collect()
    }

    /// Adds what an entry of this number says of a partition.
    pub(super) fn add(&mut self, partition: &Partition, settled: u64, arrived: &RoaringTreemap, number: u64) {
        let extent = self.partitions.entry(partition.clone()).or_default();
        extent.moved = number;
        extent.arrived |= arrived;
        if settled > extent.settled {
            extent.settled = settled;
        }
        // What is settled is not asked for again.
        extent.arrived.remove_range(..=extent.settled);
    }

    /// How far each partition has been, and whose numbers these are.
    pub(in crate::tools::file_writer) fn reached(&self) -> BTreeMap<Partition, Reached> {
        let reached = self.partitions.iter().map(|(partition, extent)| {
            let through = extent.arrived.max().unwrap_or_default().max(extent.settled);
            (partition.clone(), Reached { through, incarnation: extent.incarnation })
        });
        reached.collect()
    }

    /// Notes which life of a durable channel numbers a partition of which something is known.
    pub(super) fn numbered_by(&mut self, partition: &Partition, incarnation: Option<Incarnation>) {
        if let (Some(extent), Some(_)) = (self.partitions.get_mut(partition), incarnation) {
            extent.incarnation = incarnation;
        }
    }

    /// Adds what a record of the entry with this number says.
    pub(super) fn add_record(&mut self, record: &PartitionRecord, number: u64) {
        let PartitionRecord { partition, settled, arrived, incarnation } = record;
        self.add(partition, *settled, arrived, number);
        self.numbered_by(partition, *incarnation);
    }

    /// Through which position everything of a partition has arrived, if anything is known of it.
    pub(super) fn settled_of(&self, partition: &Partition) -> Option<u64> {
        self.partitions.get(partition).map(|extent| extent.settled)
    }

    /// Learns what an entry says. Says how many partitions it forgot, since there are too many.
    pub(super) fn learn(&mut self, entry: &Entry) -> usize {
        entry.partitions.iter().for_each(|record| self.add_record(record, entry.number));
        self.forget()
    }

    /// Forgets partitions when there are too many; those of which not all is settled stay. Says how many it forgot.
    pub(super) fn forget(&mut self) -> usize {
        let settled = self.partitions.iter().filter(|(_, extent)| extent.arrived.is_empty());
        let moved = settled.map(|(partition, extent)| (extent.moved, partition.clone()));
        let oldest = partitions_to_forget(self.partitions.len(), moved);
        oldest.iter().for_each(|partition| drop(self.partitions.remove(partition)));
        oldest.len()
    }

    /// Whether any of these has arrived.
    pub(super) fn overlaps(&self, rows: &Arrived) -> bool {
        rows.iter().any(|(partition, positions)| {
            self.partitions.get(partition).is_some_and(|extent| {
                positions.min().is_some_and(|first| first <= extent.settled)
                    || !extent.arrived.is_disjoint(positions)
            })
        })
    }

    /// The ranges of `0..rows` that have not arrived, if not all of them are new.
    pub(in crate::tools::file_writer) fn new_rows(
        &self,
        identities: &Identities,
        rows: usize,
    ) -> Option<Vec<Range<u32>>> {
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
            // A batch has far fewer rows than a transaction may have events, a million.
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

/// Notes the rows of these ranges.
pub(in crate::tools::file_writer) fn note(
    arrived: &mut Arrived,
    identities: &Identities,
    rows: impl Iterator<Item = usize>,
) {
    let mut sets: Vec<Option<RoaringTreemap>> = vec![None; identities.partitions().len()];
    // Positions that follow each other are put in as one.
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
    fn what_is_settled_or_has_arrived_is_known_and_nothing_else() {
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
    fn positions_never_go_back() {
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
    fn partitions_that_moved_long_ago_are_forgotten_first() {
        let mut known = Known::default();
        for number in 0..=PARTITIONS_MAX as u64 {
            known.add(&partition(&number.to_string()), 1, &set([]), number);
        }
        known.add(&partition("0"), 0, &set([5]), 0);
        assert_eq!(known.forget(), PARTITIONS_MAX / 8 + 1);
        assert_eq!(known.partitions.len(), PARTITIONS_MAX - PARTITIONS_MAX / 8);
        assert!(known.partitions.contains_key(&partition("0")), "not all of it is settled");
        assert!(!known.partitions.contains_key(&partition("1")));
        assert!(known.partitions.contains_key(&partition(&PARTITIONS_MAX.to_string())));
    }
}
