//! Acknowledgements: the duty to say that events have arrived, in shares.
//!
//! An acknowledgement is made with a number of shares. It can be split, and its parts handed to
//! different places: the channels of a `copy`, the files that a sink has open. When every share
//! is done, it is settled as done. When every share is accounted for and at least one was
//! dropped instead (a component failed, or was stopped), it is settled as failed, and the
//! events come again. Nothing can be done twice, and forgetting a share can't lose events: at
//! worst it repeats them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What is told when an acknowledgement is settled.
pub(crate) trait Settle: Send + Sync {
    /// All shares are accounted for; `done` if none of them was dropped. Called once.
    fn settle(self: Box<Self>, done: bool);
}

/// Shares of the duty to acknowledge some events. Dropping them means that it failed.
#[must_use = "dropping an acknowledgement makes its events come again"]
pub struct Acknowledgement {
    pending: Arc<Pending>,
    shares: u64,
}

struct Pending {
    remaining: AtomicU64,
    dropped: AtomicBool,
    /// Taken by whoever accounts for the last share.
    settle: Mutex<Option<Box<dyn Settle>>>,
}

impl Acknowledgement {
    /// An acknowledgement of this many shares; at least one.
    pub(crate) fn new(shares: u64, settle: Box<dyn Settle>) -> Acknowledgement {
        assert!(shares > 0, "an acknowledgement has at least one share");
        let pending = Pending {
            remaining: AtomicU64::new(shares),
            dropped: AtomicBool::new(false),
            settle: Mutex::new(Some(settle)),
        };
        Acknowledgement { pending: Arc::new(pending), shares }
    }

    /// An acknowledgement that nobody waits for.
    pub(crate) fn unobserved() -> Acknowledgement {
        struct Nobody;
        impl Settle for Nobody {
            fn settle(self: Box<Self>, _done: bool) {}
        }
        Acknowledgement::new(1, Box::new(Nobody))
    }

    /// How many shares these are.
    pub fn shares(&self) -> u64 {
        self.shares
    }

    /// Takes `shares` of these away, to be done elsewhere.
    ///
    /// # Panics
    /// When fewer shares are left.
    pub fn split(&mut self, shares: u64) -> Acknowledgement {
        assert!(shares <= self.shares, "{shares} shares taken of {}", self.shares);
        self.shares -= shares;
        Acknowledgement { pending: self.pending.clone(), shares }
    }

    /// Makes it `shares` more that have to be done.
    pub(crate) fn widen(&mut self, shares: u64) {
        // While this is at hand the rest can't become zero, so the addition can't come too late.
        self.pending.remaining.fetch_add(shares, Ordering::Relaxed);
        self.shares += shares;
    }

    /// Does these shares.
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
        // AcqRel: whoever takes the last share sees every other one's `dropped`.
        if self.pending.remaining.fetch_sub(shares, Ordering::AcqRel) == shares {
            let settle = self.pending.settle.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(settle) = settle {
                settle.settle(!self.pending.dropped.load(Ordering::Acquire));
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
    fn it_is_settled_once_when_every_share_is_done() {
        let outcome = Outcome::default();
        let mut whole = Acknowledgement::new(3, Box::new(outcome.clone()));
        let two = whole.split(2);
        two.done();
        assert!(outcome.get().is_empty());
        whole.done();
        assert_eq!(outcome.get(), [true]);
    }

    #[test]
    fn a_dropped_share_fails_it_but_only_when_all_are_accounted_for() {
        let outcome = Outcome::default();
        let mut whole = Acknowledgement::new(3, Box::new(outcome.clone()));
        drop(whole.split(1));
        assert!(outcome.get().is_empty());
        whole.done();
        assert_eq!(outcome.get(), [false]);
    }

    #[test]
    fn it_can_be_widened_while_a_share_is_at_hand() {
        let outcome = Outcome::default();
        let mut whole = Acknowledgement::new(1, Box::new(outcome.clone()));
        whole.widen(1);
        whole.split(1).done();
        assert!(outcome.get().is_empty());
        whole.done();
        assert_eq!(outcome.get(), [true]);
    }

    #[test]
    fn splitting_everything_leaves_nothing_to_drop() {
        let outcome = Outcome::default();
        let mut whole = Acknowledgement::new(1, Box::new(outcome.clone()));
        let part = whole.split(1);
        drop(whole);
        part.done();
        assert_eq!(outcome.get(), [true]);
    }
}
