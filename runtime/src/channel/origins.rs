//! What a channel that remembers positions knows of a batch's origins: whether it has the events
//! already, or lacks what lies before them.

use arrow_array::BooleanArray;

use super::{CommitError, Scope};
use crate::batch::{Batch, BatchError, Identities, Interval, Origins, Partition};

/// How far a channel has a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) through: u64,
    /// The run of the source that moved it; zero for one of an earlier life.
    pub(super) run: u64,
}

/// What a channel knows of a batch's origins.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// It goes on where the channel ends.
    New,
    /// The channel has it.
    Known,
    /// The channel has this many of its first rows.
    Overlaps(usize),
    /// Of several partitions the channel has some rows, and lacks those that are true here.
    Lacks(BooleanArray),
}

/// What a channel knows of these events, given how far it has each partition.
///
/// # Errors
/// When it lacks what lies before them.
pub(super) fn judge(
    scope: &Scope,
    batch: &Batch,
    stored: impl Fn(&Partition) -> Option<Stored>,
) -> Result<Verdict, CommitError> {
    let mut known = 0;
    let mut overlap = 0;
    for Interval { partition, after, through } in batch.origins().intervals() {
        // A partition that was never seen may begin anywhere.
        let Some(Stored { through: stored, run }) = stored(partition) else { continue };
        // Where a run begins is the source's business, which was told what is stored.
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
        // Without identities rows do not say which position is theirs, unless there is one for each.
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
        // Positions grow, so that what is there comes first.
        [_] => Verdict::Overlaps((0..rows).take_while(|row| has(*row)).count()),
        _ => Verdict::Lacks((0..rows).map(|row| Some(!has(row))).collect()),
    }
}

impl Verdict {
    /// What of the batch the channel lacks; none if it has all.
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
