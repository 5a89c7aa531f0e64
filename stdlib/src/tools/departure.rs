//! When a batch leaves that is not full.
//!
//! Batches form while the one before is put, as in a group commit: without a linger, a batch leaves as soon as nothing more
//! has arrived. No timer decides that, since the runtime's timers tick each millisecond.

use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

/// When the present batch leaves.
#[derive(Debug)]
pub(crate) struct Departure {
    /// How long events wait for others.
    linger: Duration,
    /// When the first events of the batch came.
    since: Option<Instant>,
}

impl Departure {
    pub(crate) fn new(linger: Duration) -> Departure {
        Departure { linger, since: None }
    }

    /// Notes that events have joined the batch.
    pub(crate) fn joined(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// Notes that the batch has left.
    pub(crate) fn left(&mut self) {
        self.since = None;
    }

    /// Waits until the batch leaves if nothing more arrives; for ever if it is empty.
    pub(crate) async fn due(&self) {
        match self.since {
            None => std::future::pending().await,
            // Lets the connections go on that have something to add now.
            Some(_) if self.linger.is_zero() => yield_now().await,
            Some(since) => sleep_until(since + self.linger).await,
        }
    }
}
