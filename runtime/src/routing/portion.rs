//! Portions: the most that a put into a channel has, so that a slow step behind it does not hold a lease for long.
//!
//! A reader acknowledges a put as a whole. Behind a `throttle` of 10 events per second, a put of 4,096 events would be
//! acknowledged after seven minutes, and a restart before would begin with its first event again.

use weir_plan::BODY;

use crate::batch::{Batch, Column};

/// The most events and bytes of bodies in a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Portion {
    pub(crate) events: usize,
    pub(crate) bytes: u64,
}

impl Portion {
    /// The portion of a channel without a slow step behind it.
    pub(crate) const WHOLE: Portion = Portion { events: usize::MAX, bytes: u64::MAX };

    /// Returns the smaller of each bound.
    pub(crate) fn smallest(self, other: Portion) -> Portion {
        Portion { events: self.events.min(other.events), bytes: self.bytes.min(other.bytes) }
    }

    /// Returns the larger of each bound.
    pub(crate) fn largest(self, other: Portion) -> Portion {
        Portion { events: self.events.max(other.events), bytes: self.bytes.max(other.bytes) }
    }

    /// Returns into how many parts a batch has to be divided; 1 if it is small enough.
    pub(crate) fn parts(self, batch: &Batch) -> usize {
        if self == Portion::WHOLE {
            return 1;
        }
        let by_events = batch.rows().div_ceil(self.events.max(1));
        let bytes = batch.column(BODY).map_or(0, Column::bytes_used);
        let by_bytes = usize::try_from(bytes.div_ceil(self.bytes.max(1))).unwrap_or(usize::MAX);
        by_events.max(by_bytes).clamp(1, batch.rows().max(1))
    }
}
