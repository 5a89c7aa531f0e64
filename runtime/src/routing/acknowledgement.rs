//! Acknowledgements: the duty to report that events have arrived, in shares.
//!
//! An acknowledgement has a number of shares. It can be split among the channels of a `copy`, or the open files of a
//! sink. When every share is done, it is settled as done. When every share is done or dropped, and at least one was
//! dropped (a component failed, or was stopped), it is settled as failed, and the events are redelivered. No share can
//! be done twice, and a forgotten share loses no events: it only repeats them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::observability::meter::Reading;

/// Receives the outcome of an acknowledgement.
pub(crate) trait Settle: Send + Sync {
    /// Called once, when every share is done or dropped; `done` if none was dropped.
    fn settle(self: Box<Self>, done: bool);

    /// The same, with the events that were rejected behind the place of the acknowledgement: they have arrived, and do not
    /// count as delivered.
    fn settle_with(self: Box<Self>, done: bool, _rejected: Reading) {
        self.settle(done);
    }
}

/// Shares of the duty to acknowledge events. Dropping them fails the acknowledgement.
#[must_use = "dropping an acknowledgement redelivers its events"]
pub struct Acknowledgement {
    pending: Arc<Pending>,
    shares: u64,
}

struct Pending {
    remaining: AtomicU64,
    dropped: AtomicBool,
    rejected_events: AtomicU64,
    rejected_bytes: AtomicU64,
    /// Taken when the last share is released.
    settle: Mutex<Option<Box<dyn Settle>>>,
}

impl Acknowledgement {
    /// Makes an acknowledgement of this many shares.
    ///
    /// # Panics
    /// When it would have no share.
    pub(crate) fn new(shares: u64, settle: Box<dyn Settle>) -> Acknowledgement {
        assert!(shares > 0, "an acknowledgement has at least one share");
        let pending = Pending {
            remaining: AtomicU64::new(shares),
            dropped: AtomicBool::new(false),
            rejected_events: AtomicU64::new(0),
            rejected_bytes: AtomicU64::new(0),
            settle: Mutex::new(Some(settle)),
        };
        Acknowledgement { pending: Arc::new(pending), shares }
    }

    /// Makes an acknowledgement of one share, which calls `settled` once with whether the events have arrived.
    pub fn calling(settled: impl FnOnce(bool) + Send + Sync + 'static) -> Acknowledgement {
        struct Call<F>(F);
        impl<F: FnOnce(bool) + Send + Sync> Settle for Call<F> {
            fn settle(self: Box<Self>, done: bool) {
                (self.0)(done);
            }
        }
        Acknowledgement::new(1, Box::new(Call(settled)))
    }

    /// Makes an acknowledgement of one share whose outcome is ignored.
    pub(crate) fn unobserved() -> Acknowledgement {
        struct Ignore;
        impl Settle for Ignore {
            fn settle(self: Box<Self>, _done: bool) {}
        }
        Acknowledgement::new(1, Box::new(Ignore))
    }

    /// The number of shares.
    pub fn shares(&self) -> u64 {
        self.shares
    }

    /// Splits off `shares` shares.
    ///
    /// # Panics
    /// When fewer shares are left.
    pub fn split(&mut self, shares: u64) -> Acknowledgement {
        assert!(shares <= self.shares, "{shares} shares taken of {}", self.shares);
        self.shares -= shares;
        Acknowledgement { pending: self.pending.clone(), shares }
    }

    /// Adds shares that have to be done.
    pub(crate) fn add_shares(&mut self, shares: u64) {
        // The shares of `self` keep `remaining` above zero, so the acknowledgement can't be settled before.
        self.pending.remaining.fetch_add(shares, Ordering::Relaxed);
        self.shares += shares;
    }

    /// Counts events that have arrived at the rejects, and do not count as delivered.
    pub(crate) fn add_rejected(&self, rejected: Reading) {
        // The release of a share makes them visible to whoever settles the acknowledgement.
        self.pending.rejected_events.fetch_add(rejected.events, Ordering::Relaxed);
        self.pending.rejected_bytes.fetch_add(rejected.bytes, Ordering::Relaxed);
    }

    /// Reports that the events of these shares have arrived.
    pub fn done(mut self) {
        self.release(true);
    }

    fn release(&mut self, done: bool) {
        let shares = std::mem::take(&mut self.shares);
        if shares == 0 {
            return;
        }
        if !done {
            self.pending.dropped.store(true, Ordering::Release);
        }
        // AcqRel: the release of the last share sees `dropped` of every other release.
        if self.pending.remaining.fetch_sub(shares, Ordering::AcqRel) == shares {
            let settle = self.pending.settle.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(settle) = settle {
                let rejected = Reading {
                    events: self.pending.rejected_events.load(Ordering::Relaxed),
                    bytes: self.pending.rejected_bytes.load(Ordering::Relaxed),
                };
                settle.settle_with(!self.pending.dropped.load(Ordering::Acquire), rejected);
            }
        }
    }
}

impl Drop for Acknowledgement {
    fn drop(&mut self) {
        self.release(false);
    }
}

impl std::fmt::Debug for Acknowledgement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acknowledgement").field("shares", &self.shares).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Outcome(Arc<Mutex<Vec<bool>>>);

    impl Outcome {
        fn get(&self) -> Vec<bool> {
            self.0.lock().unwrap().clone()
        }
    }

    impl Settle for Outcome {
        fn settle(self: Box<Self>, done: bool) {
            self.0.lock().unwrap().push(done);
        }
    }

    #[test]
    fn an_acknowledgement_is_settled_once_when_every_share_is_done() {
        let outcome = Outcome::default();
        let mut acknowledgement = Acknowledgement::new(3, Box::new(outcome.clone()));
        let two = acknowledgement.split(2);
        two.done();
        assert!(outcome.get().is_empty());
        acknowledgement.done();
        assert_eq!(outcome.get(), [true]);
    }

    #[test]
    fn a_dropped_share_fails_the_acknowledgement_when_all_are_released() {
        let outcome = Outcome::default();
        let mut acknowledgement = Acknowledgement::new(3, Box::new(outcome.clone()));
        drop(acknowledgement.split(1));
        assert!(outcome.get().is_empty());
        acknowledgement.done();
        assert_eq!(outcome.get(), [false]);
    }

    #[test]
    fn shares_can_be_added_while_one_is_left() {
        let outcome = Outcome::default();
        let mut acknowledgement = Acknowledgement::new(1, Box::new(outcome.clone()));
        acknowledgement.add_shares(1);
        acknowledgement.split(1).done();
        assert!(outcome.get().is_empty());
        acknowledgement.done();
        assert_eq!(outcome.get(), [true]);
    }

    #[test]
    fn splitting_everything_leaves_nothing_to_drop() {
        let outcome = Outcome::default();
        let mut acknowledgement = Acknowledgement::new(1, Box::new(outcome.clone()));
        let part = acknowledgement.split(1);
        drop(acknowledgement);
        part.done();
        assert_eq!(outcome.get(), [true]);
    }
}
