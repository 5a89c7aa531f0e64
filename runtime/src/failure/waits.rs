//! The waits between attempts of the same operation.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Waits that double up to a longest wait, with jitter.
#[derive(Debug)]
pub(crate) struct GrowingWaits {
    waits: ExponentialBackoff,
    longest: Duration,
}

impl GrowingWaits {
    pub(crate) fn new(first: Duration, longest: Duration) -> GrowingWaits {
        let builder = ExponentialBuilder::default().with_min_delay(first).with_max_delay(longest);
        GrowingWaits { waits: builder.with_jitter().without_max_times().build(), longest }
    }

    /// Returns the next wait.
    pub(crate) fn next_wait(&mut self) -> Duration {
        // The builder's bound does not include the jitter.
        self.waits.next().unwrap_or(self.longest).min(self.longest)
    }
}
