//! Identities: which event of a source each row is, so that whoever has it already can tell.

use std::sync::Arc;

use arrow_array::{Array, UInt32Array, UInt64Array};
use arrow_schema::ArrowError;
use arrow_select::filter::FilterPredicate;

use super::origin::Partition;

/// For each row of a batch its partition and its position, which stands *behind* the event, like
/// [`Interval::through`](super::Interval).
///
/// Within a partition positions grow from row to row. They stay with their rows wherever filters,
/// slices and queues take them; a batch's [`Origins`](super::Origins) say what it covers, dropped
/// rows included, and can't be divided by rows.
#[derive(Debug, Clone)]
pub struct Identities {
    partitions: Arc<[Partition]>,
    /// Where each row's partition stands in `partitions`; without, all rows are of the first.
    of: Option<UInt32Array>,
    positions: Positions,
}

#[derive(Debug, Clone)]
enum Positions {
    /// The first row's; each further one has the next.
    Counting(u64),
    Each(UInt64Array),
}

impl Identities {
    /// Rows that follow each other without a gap, the first one at `first`.
    pub fn counting(partition: Partition, first: u64) -> Identities {
        Identities { partitions: Arc::new([partition]), of: None, positions: Positions::Counting(first) }
    }

    /// Rows of one partition at these positions.
    pub fn of_one(partition: Partition, positions: Vec<u64>) -> Identities {
        Identities {
            partitions: Arc::new([partition]),
            of: None,
            positions: Positions::Each(positions.into()),
        }
    }

    /// Rows of several partitions: for each row where its partition stands among them, and its
    /// position.
    ///
    /// # Panics
    /// When there are not as many places as positions, or a place is beyond the partitions.
    pub fn of_several(partitions: Vec<Partition>, of: Vec<u32>, positions: Vec<u64>) -> Identities {
        assert_eq!(of.len(), positions.len(), "each row has a partition and a position");
        assert!(of.iter().all(|place| (*place as usize) < partitions.len()), "each row's partition is there");
        Identities {
            partitions: partitions.into(),
            of: Some(of.into()),
            positions: Positions::Each(positions.into()),
        }
    }

    /// The partitions that rows may be of.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// Where the row's partition stands among [`Identities::partitions`].
    pub fn partition_of(&self, row: usize) -> usize {
        self.of.as_ref().map_or(0, |of| of.value(row) as usize)
    }

    /// The row's position.
    pub fn position_of(&self, row: usize) -> u64 {
        match &self.positions {
            Positions::Counting(first) => first + row as u64,
            Positions::Each(positions) => positions.value(row),
        }
    }

    /// Whether these can be the identities of so many rows.
    pub(super) fn fit(&self, rows: usize) -> bool {
        match &self.positions {
            Positions::Counting(_) => true,
            Positions::Each(positions) => positions.len() == rows,
        }
    }

    /// What each row is charged for them.
    pub(super) fn bytes_each_row(&self) -> u64 {
        let position = if matches!(self.positions, Positions::Each(_)) { 8 } else { 0 };
        position + if self.of.is_some() { 4 } else { 0 }
    }

    pub(super) fn slice(&self, offset: usize, rows: usize) -> Identities {
        Identities {
            partitions: self.partitions.clone(),
            of: self.of.as_ref().map(|of| of.slice(offset, rows)),
            positions: match &self.positions {
                Positions::Counting(first) => Positions::Counting(first + offset as u64),
                Positions::Each(positions) => Positions::Each(positions.slice(offset, rows)),
            },
        }
    }

    pub(super) fn filter(&self, rows: usize, predicate: &FilterPredicate) -> Result<Identities, ArrowError> {
        let positions = match &self.positions {
            Positions::Counting(first) => UInt64Array::from_iter_values(*first..first + rows as u64),
            Positions::Each(positions) => positions.clone(),
        };
        let of = self.of.as_ref().map(|of| predicate.filter(of)).transpose()?;
        let positions = predicate.filter(&positions)?;
        // A filter leaves the type of an array as it is.
        Ok(Identities {
            partitions: self.partitions.clone(),
            of: of.map(|of| of.to_data().into()),
            positions: Positions::Each(positions.to_data().into()),
        })
    }

    /// The same rows under other names of their partitions.
    pub(crate) fn renamed(&self, name: impl Fn(&Partition) -> Partition) -> Identities {
        Identities { partitions: self.partitions.iter().map(name).collect(), ..self.clone() }
    }
}
