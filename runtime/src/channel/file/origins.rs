//! What the log knows of a put's origins: whether it has the events already, or lacks what lies
//! before them.

use std::collections::BTreeMap;

use super::image::Position;
use super::state::State;
use crate::batch::{Interval, Origins, Partition};
use crate::channel::{CommitError, Scope};

/// What the log knows of a batch's origins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on where the log ends.
    New,
    /// The log has it.
    Known,
    /// The log has this many of its first rows.
    Overlaps(usize),
}

impl State {
    /// What the log knows of these origins.
    pub(super) fn judge(
        &self,
        scope: &Scope,
        rows: usize,
        origins: &Origins,
    ) -> Result<Verdict, CommitError> {
        let mut known = 0;
        let mut overlap = 0;
        for Interval { partition, after, through } in origins.intervals() {
            // A partition that was never seen may begin anywhere.
            let Some(position) = self.position(scope, partition) else { continue };
            let stored = position.through;
            // Where a run begins is the source's business, which was told what is stored.
            if *after > stored && position.run == scope.run {
                let partition = partition.to_string();
                return Err(CommitError::Gap { partition, stored, after: *after });
            }
            known += usize::from(stored >= *through);
            overlap = stored.saturating_sub(*after);
        }
        match origins.intervals() {
            [] => Ok(Verdict::New),
            intervals if known == intervals.len() => Ok(Verdict::Known),
            // Rows do not say which position is theirs, unless there is one for each.
            [Interval { after, through, .. }] if overlap > 0 && through - after == rows as u64 => {
                Ok(Verdict::Overlaps(overlap as usize))
            }
            _ => Ok(Verdict::New),
        }
    }

    fn position(&self, scope: &Scope, partition: &Partition) -> Option<Position> {
        self.positions.get(&(scope.name.to_string(), partition.clone())).copied()
    }

    /// The positions that the log has of a scope.
    pub(super) fn stored(&self, scope: &str) -> BTreeMap<Partition, u64> {
        let stored = self.positions.iter().filter(|((of, _), _)| of == scope);
        stored.map(|((_, partition), position)| (partition.clone(), position.through)).collect()
    }
}
