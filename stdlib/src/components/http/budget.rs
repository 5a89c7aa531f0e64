//! What the bodies of all requests that are under way take in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The room for bodies.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_max: usize,
    taken: Arc<AtomicUsize>,
}

/// What one request has taken of it. Dropping it gives that back.
#[derive(Debug)]
pub(super) struct Share {
    bytes: usize,
    bytes_max: usize,
    taken: Arc<AtomicUsize>,
}

/// There is no more room.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Budget {
    /// Room for so many bytes.
    pub(super) fn new(bytes_max: usize) -> Budget {
        Budget { bytes_max, taken: Arc::default() }
    }

    /// The share of a request that has nothing yet. It grows as bytes come, so that a client that only says how much
    /// it will send takes nothing from others.
    pub(super) fn share(&self) -> Share {
        Share { bytes: 0, bytes_max: self.bytes_max, taken: self.taken.clone() }
    }
}

impl Share {
    /// Takes so many bytes more.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let more = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|_taken| NoRoom)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_take_no_more_than_there_is_and_give_it_back() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        one.take(6).unwrap();
        other.take(4).unwrap();
        assert!(other.take(1).is_err());
        drop(one);
        other.take(6).unwrap();
        assert!(other.take(usize::MAX).is_err());
    }
}
