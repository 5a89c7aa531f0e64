//! Compares a batch's origins with the positions that a channel has recorded: whether the channel has the events
//! already, or lacks earlier positions.

use arrow_array::BooleanArray;

use super::{CommitError, Scope};
use crate::batch::{Batch, BatchError, Identities, Interval, Origins, Partition};

/// The last position of a partition that a channel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) through: u64,
    /// The run of the source that put this position; zero for a run of an earlier process.
    pub(super) run: u64,
}

/// The events of a batch that a channel has already.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// None: the batch continues the channel's positions.
    New,
    /// All.
    Known,
    /// This number of rows at the beginning.
    Overlaps(usize),
    /// Some rows of several partitions: the rows that the channel lacks are true.
    Lacks(BooleanArray),
}

/// Compares a batch with the positions that the channel has of each partition.
///
/// # Errors
/// When the channel lacks positions before the batch.
pub(super) fn compare(
    scope: &Scope,
    batch: &Batch,
    stored: impl Fn(&Partition) -> Option<Stored>,
) -> Result<Verdict, CommitError> {
    let mut known = 0;
    let mut overlap = 0;
    for Interval { partition, after, through } in batch.origins().intervals() {
        // A partition without recorded positions may begin anywhere.
        let Some(Stored { through: stored, run }) = stored(partition) else { continue };
        // A new run may begin anywhere: the source was told the stored positions.
        if *after > stored && run == scope.run {
            let partition = partition.to_string();
            return Err(CommitError::Gap { partition, stored, after: *after });
        }
        known += usize::from(stored >= *through);
        overlap = overlap.max(stored.saturating_sub(*after));
    }
    let rows = batch.rows();
    Ok(match (batch.origins().intervals(), batch.identities()) {
        ([], _) => Verdict::New,
        (intervals, _) if known == intervals.len() => Verdict::Known,
        (_, _) if overlap == 0 => Verdict::New,
        (_, Some(identities)) => overlapping(identities, rows, stored),
        // Without identities, a row's position is known only if there is a row for each position.
        ([Interval { after, through, .. }], None) if through - after == rows as u64 => {
            Verdict::Overlaps(overlap as usize)
        }
        _ => Verdict::New,
    })
}

fn overlapping(
    identities: &Identities,
    rows: usize,
    stored: impl Fn(&Partition) -> Option<Stored>,
) -> Verdict {
    let stored = identities.partitions().iter().map(|partition| stored(partition).map(|at| at.through));
    let stored: Vec<Option<u64>> = stored.collect();
    let has = |row| stored[identities.partition_of(row)].is_some_and(|at| identities.position_of(row) <= at);
    match stored.as_slice() {
        // Positions grow, so the rows that the channel has come first.
        [_] => Verdict::Overlaps((0..rows).take_while(|row| has(*row)).count()),
        _ => Verdict::Lacks((0..rows).map(|row| Some(!has(row))).collect()),
    }
}

impl Verdict {
    /// Returns the part of the batch that the channel lacks; `None` if the channel has all of it.
    pub(super) fn trim(self, batch: Batch) -> Result<Option<Batch>, BatchError> {
        match self {
            Verdict::Known => Ok(None),
            Verdict::New => Ok(Some(batch)),
            Verdict::Lacks(rows) => batch.filter(&rows).map(Some),
            Verdict::Overlaps(rows) => {
                let intervals = batch.origins().intervals().iter().map(|interval| match batch.identities() {
                    Some(_) => interval.clone(),
                    None => Interval { after: interval.after + rows as u64, ..interval.clone() },
                });
                let origins = Origins::new(intervals.collect());
                Ok(Some(batch.slice(rows, batch.rows() - rows).with_origins(origins)))
            }
        }
    }
}
