//! Identities: the event of a source that each row is, by which a sink recognizes events that it has stored.

use std::sync::Arc;

use arrow_array::{Array, UInt32Array, UInt64Array};
use arrow_schema::ArrowError;
use arrow_select::filter::FilterPredicate;

use super::origin::Partition;

/// The partition and the position of each row of a batch. The position is the one *after* the event, like
/// [`Interval::through`](super::Interval).
///
/// Within a partition, positions grow from row to row; the rows that a step has made of one event have the same position.
/// Filters, slices and queues keep each row's identity. The
/// [`Origins`](super::Origins) of a batch include dropped rows, and can't be divided by rows.
#[derive(Debug, Clone)]
pub struct Identities {
    partitions: Arc<[Partition]>,
    /// For each row, the index of its partition in `partitions`; none if all rows are of the first partition.
    partition_indices: Option<UInt32Array>,
    positions: Positions,
}

#[derive(Debug, Clone)]
enum Positions {
    /// The position of the first row; each row's position is one more than the position before.
    Counting(u64),
    /// The position of each row.
    Each(UInt64Array),
}

impl Identities {
    /// Makes the identities of consecutive rows, the first at position `first`.
    pub fn counting(partition: Partition, first: u64) -> Identities {
        Identities {
            partitions: Arc::new([partition]),
            partition_indices: None,
            positions: Positions::Counting(first),
        }
    }

    /// Makes the identities of rows of one partition at these positions.
    pub fn of_one(partition: Partition, positions: Vec<u64>) -> Identities {
        Identities {
            partitions: Arc::new([partition]),
            partition_indices: None,
            positions: Positions::Each(positions.into()),
        }
    }

    /// Makes the identities of rows of several partitions. `partition_indices` has the index into `partitions` for
    /// each row.
    ///
    /// # Panics
    /// When the numbers of indices and positions differ, or an index is out of range.
    pub fn of_several(
        partitions: Vec<Partition>,
        partition_indices: Vec<u32>,
        positions: Vec<u64>,
    ) -> Identities {
        assert_eq!(partition_indices.len(), positions.len(), "each row has a partition and a position");
        let in_range = |index: &u32| (*index as usize) < partitions.len();
        assert!(partition_indices.iter().all(in_range), "each row's partition is there");
        Identities {
            partitions: partitions.into(),
            partition_indices: Some(partition_indices.into()),
            positions: Positions::Each(positions.into()),
        }
    }

    /// The partitions of the rows; some may have no row.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The index of the row's partition in [`Identities::partitions`].
    pub fn partition_of(&self, row: usize) -> usize {
        self.partition_indices.as_ref().map_or(0, |indices| indices.value(row) as usize)
    }

    /// The row's position.
    pub fn position_of(&self, row: usize) -> u64 {
        match &self.positions {
            Positions::Counting(first) => first + row as u64,
            Positions::Each(positions) => positions.value(row),
        }
    }

    /// Whether these can be the identities of `rows` rows.
    pub(super) fn fit(&self, rows: usize) -> bool {
        match &self.positions {
            Positions::Counting(_) => true,
            Positions::Each(positions) => positions.len() == rows,
        }
    }

    /// The bytes that each row is charged for its identity.
    pub(super) fn bytes_each_row(&self) -> u64 {
        let position = if matches!(self.positions, Positions::Each(_)) { 8 } else { 0 };
        position + if self.partition_indices.is_some() { 4 } else { 0 }
    }

    pub(super) fn slice(&self, offset: usize, rows: usize) -> Identities {
        Identities {
            partitions: self.partitions.clone(),
            partition_indices: self.partition_indices.as_ref().map(|indices| indices.slice(offset, rows)),
            positions: match &self.positions {
                Positions::Counting(first) => Positions::Counting(first + offset as u64),
                Positions::Each(positions) => Positions::Each(positions.slice(offset, rows)),
            },
        }
    }

    /// Returns the identities of the rows with these numbers, in their order. Rows may repeat; positions then repeat too.
    pub(super) fn take(&self, rows: &UInt32Array) -> Identities {
        let rows = || rows.values().iter().map(|row| *row as usize);
        let of_several = self.partition_indices.is_some();
        Identities {
            partitions: self.partitions.clone(),
            partition_indices: of_several.then(|| rows().map(|row| self.partition_of(row) as u32).collect()),
            positions: Positions::Each(UInt64Array::from_iter_values(
                rows().map(|row| self.position_of(row)),
            )),
        }
    }

    pub(super) fn filter(&self, rows: usize, predicate: &FilterPredicate) -> Result<Identities, ArrowError> {
        let positions = match &self.positions {
            Positions::Counting(first) => UInt64Array::from_iter_values(*first..first + rows as u64),
            Positions::Each(positions) => positions.clone(),
        };
        let indices = self.partition_indices.as_ref().map(|indices| predicate.filter(indices)).transpose()?;
        let positions = predicate.filter(&positions)?;
        // A filter leaves the type of an array as it is.
        Ok(Identities {
            partitions: self.partitions.clone(),
            partition_indices: indices.map(|indices| indices.to_data().into()),
            positions: Positions::Each(positions.to_data().into()),
        })
    }

    /// Merges the identities of parts of one batch, each with its number of rows. Returns the order in which the rows of all parts, one after the other,
    /// come by partition and position, and the identities in this order. None without parts.
    pub(crate) fn merged<'a>(
        parts: impl Iterator<Item = (&'a Identities, usize)>,
    ) -> Option<(UInt32Array, Identities)> {
        let (mut rows, mut partitions): (Vec<(u32, u64)>, _) = (Vec::new(), None);
        for (part, count) in parts {
            partitions.get_or_insert(&part.partitions);
            rows.extend((0..count).map(|row| (part.partition_of(row) as u32, part.position_of(row))));
        }
        let partitions = partitions?;
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.sort_unstable_by_key(|row| rows[*row as usize]);
        let (of, positions): (Vec<u32>, Vec<u64>) = order.iter().map(|row| rows[*row as usize]).unzip();
        let identities = Identities {
            partitions: partitions.clone(),
            partition_indices: (partitions.len() > 1).then(|| of.into()),
            positions: Positions::Each(positions.into()),
        };
        Some((order.into(), identities))
    }

    /// Returns the same identities with renamed partitions.
    pub(crate) fn renamed(&self, name: impl Fn(&Partition) -> Partition) -> Identities {
        Identities { partitions: self.partitions.iter().map(name).collect(), ..self.clone() }
    }
}
