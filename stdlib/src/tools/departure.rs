//! When a batch leaves.
//!
//! Batches form while the one before is put, as in a group commit: a batch whose clients wait for an answer leaves as soon as
//! nothing more has arrived. Where nobody waits, small batches are put less often.

use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

/// The least time between two batches for which no client waits, unless they are full.
const GAP: Duration = Duration::from_millis(2);

/// When the present batch leaves.
#[derive(Debug)]
pub(crate) struct Departure {
    /// The longest that events wait for which no client waits.
    linger: Duration,
    /// When the first events of the batch came.
    since: Option<Instant>,
    /// When the batch before left.
    before: Option<Instant>,
    /// Whether a client waits for the batch.
    is_awaited: bool,
}

impl Departure {
    pub(crate) fn new(linger: Duration) -> Departure {
        Departure { linger, since: None, before: None, is_awaited: false }
    }

    /// Notes that events have joined the batch.
    pub(crate) fn joined(&mut self, is_awaited: bool) {
        self.since.get_or_insert_with(Instant::now);
        self.is_awaited |= is_awaited;
    }

    /// Notes that the batch has left.
    pub(crate) fn left(&mut self) {
        *self = Departure { before: Some(Instant::now()), ..Departure::new(self.linger) };
    }

    /// Waits until the batch leaves if nothing more arrives; for ever if it is empty.
    pub(crate) async fn due(&self) {
        let Some(since) = self.since else { return std::future::pending().await };
        let gap = self.before.map_or(since, |before| before + GAP);
        if self.is_awaited || gap <= Instant::now() {
            // Lets the connections go on that have something to add now.
            yield_now().await;
        } else {
            sleep_until(gap.min(since + self.linger)).await;
        }
    }
}
