//! The changes of one batch to steps with state, which are kept or undone with its put or its lease.
//!
//! A put changes the state for good when the channels have taken it; otherwise its changes are undone, since the source
//! brings the events again. A lease comes again until its events have arrived, so a step recognises it: the events that it
//! has passed it passes again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Numbers puts and the attempts of leases within the process.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The changes of one batch. Changes that are not committed are undone when they are dropped.
pub(crate) struct Transaction {
    pub(super) owner: u64,
    /// The number of the attempt; a lease has a new one each time that it comes.
    pub(super) attempt: u64,
    pub(super) is_lease: bool,
    changes: Vec<(Arc<dyn State>, u64)>,
    pace: Option<Pace>,
}

/// How fast the events of a batch may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// When the first event may go on.
    pub(crate) begin: Instant,
    /// How long the events take together.
    pub(crate) duration: Duration,
}

/// Events that go on at once take at most this long together.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);

impl Pace {
    /// Returns into how many parts so many events have to be divided; 1 if they go on at once.
    pub(crate) fn parts(&self, events: usize) -> usize {
        let parts = self.duration.as_nanos().div_ceil(AT_ONCE.as_nanos());
        usize::try_from(parts).unwrap_or(usize::MAX).min(events).max(1)
    }
}

/// The state of a step that batches change.
pub(super) trait State: Send + Sync {
    /// Keeps the changes of a transaction.
    fn commit(&self, owner: u64);

    /// Undoes the changes of a transaction. `change` is the number that the step gave to the changes.
    fn roll_back(&self, owner: u64, change: u64);
}

impl Transaction {
    /// Begins the transaction of a part of a put. The parts of one put have the same number.
    pub(crate) fn of_put(number: PutNumber) -> Transaction {
        let PutNumber(owner) = number;
        Transaction { owner, attempt: 0, is_lease: false, changes: Vec::new(), pace: None }
    }

    /// Begins the transaction of a lease. `reader` differs between the readers of channels.
    pub(crate) fn of_lease(reader: u64, number: u64) -> Transaction {
        let owner = xxh3_64_with_seed(&number.to_le_bytes(), reader) | LEASE;
        let attempt = NEXT.fetch_add(1, Ordering::Relaxed);
        Transaction { owner, attempt, is_lease: true, changes: Vec::new(), pace: None }
    }

    /// Adds changes to the state of a step.
    pub(super) fn add(&mut self, state: Arc<dyn State>, change: u64) {
        self.changes.push((state, change));
    }

    /// Slows the events down. The slowest step decides.
    pub(super) fn slow_down(&mut self, pace: Pace) {
        let before = self.pace.unwrap_or(pace);
        let begin = before.begin.max(pace.begin);
        self.pace = Some(Pace { begin, duration: before.duration.max(pace.duration) });
    }

    /// How fast the events may go on; none if no step slows them down.
    pub(crate) fn pace(&self) -> Option<Pace> {
        self.pace
    }

    /// Keeps the changes.
    pub(crate) fn commit(mut self) {
        std::mem::take(&mut self.changes).iter().for_each(|(state, _)| state.commit(self.owner));
    }
}

impl Default for Transaction {
    fn default() -> Transaction {
        Transaction::of_put(PutNumber::next())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.changes.iter().rev().for_each(|(state, change)| state.roll_back(self.owner, *change));
    }
}

/// The bit of the owners of leases, so that no put has the same owner.
const LEASE: u64 = 1 << 63;

/// The number of a put.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PutNumber(u64);

impl PutNumber {
    /// Returns a number that no put of the process has had.
    pub(crate) fn next() -> PutNumber {
        PutNumber(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
