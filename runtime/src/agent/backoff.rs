//! The wait between two runs of a component that fails.

use std::time::Duration;

use crate::failure::GrowingWaits;
use crate::observability::meter::Meter;
use crate::sink::Retry;

/// The exponential back-off of one component: its waits grow with each failure, and start again after a delivery.
pub(super) struct Backoff {
    retry: Retry,
    waits: GrowingWaits,
    /// The events that the component had delivered when the waits last started again.
    delivered: u64,
    failures: u64,
}

impl Backoff {
    pub(super) fn new(retry: Retry) -> Backoff {
        Backoff { retry, waits: GrowingWaits::new(retry.first, retry.max), delivered: 0, failures: 0 }
    }

    /// Returns the wait after one more failure; none if the failures have reached the limit.
    pub(super) fn next(&mut self, meter: &Meter) -> Option<Duration> {
        let delivered = meter.delivered.read().events;
        if delivered > self.delivered {
            *self = Backoff { delivered, ..Backoff::new(self.retry) };
        }
        self.failures += 1;
        if self.retry.limit.is_some_and(|limit| self.failures >= limit) {
            return None;
        }
        Some(self.waits.next_wait())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_the_last_failure_is_final() {
        let seconds = Duration::from_secs;
        let retry = Retry { first: seconds(1), max: seconds(4), limit: Some(5) };
        let (mut backoff, meter) = (Backoff::new(retry), Meter::default());
        let waits: Vec<Option<Duration>> = (0..5).map(|_| backoff.next(&meter)).collect();
        assert!(
            waits[..4].iter().flatten().all(|wait| (seconds(1)..=seconds(4)).contains(wait)),
            "{waits:?}"
        );
        assert_eq!(waits[3], Some(seconds(4)));
        assert_eq!(waits[4], None);
        // After a delivery, the waits start again.
        meter.delivered.add(1, 1);
        assert!(backoff.next(&meter).is_some_and(|wait| wait < seconds(2)));
    }
}
