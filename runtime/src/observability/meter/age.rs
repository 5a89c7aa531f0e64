//! The age of the oldest event of a channel, estimated from samples of the number of puts.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::lock;

/// The least time between two samples, and so the precision of an age.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// With more samples, every second one is removed, which halves the precision.
const SAMPLES_MAX: usize = 1024;

/// Samples of the number of events that had been put at a time.
///
/// The estimate assumes that events leave in the order of their puts: if a channel holds `n` events, the oldest is the
/// `n`th from the end. If sinks commit out of order, the oldest event may be older.
#[derive(Debug, Default)]
pub(crate) struct Age {
    samples: Mutex<Samples>,
}

#[derive(Debug, Default)]
struct Samples {
    /// The number of events put so far.
    put: u64,
    /// The number of events that had been put before a time, oldest sample first.
    samples: VecDeque<(u64, Instant)>,
    /// How often every second sample was removed; each time doubles the least interval.
    halvings: u32,
}

impl Age {
    /// Counts events that are put now.
    pub(crate) fn put(&self, events: usize, now: Instant) {
        let mut state = lock(&self.samples);
        let interval = INTERVAL_MIN * 2u32.saturating_pow(state.halvings);
        if state.samples.back().is_none_or(|(_, last)| now.saturating_duration_since(*last) >= interval) {
            let put = state.put;
            state.samples.push_back((put, now));
            if state.samples.len() > SAMPLES_MAX {
                state.remove_every_second();
            }
        }
        state.put += events as u64;
    }

    /// Returns the age of the oldest of the `held` events in the channel; `None` if it holds none.
    pub(crate) fn oldest(&self, held: u64, now: Instant) -> Option<Duration> {
        let mut state = lock(&self.samples);
        let gone = state.put.saturating_sub(held);
        // The last sample at or before the oldest event has the time of its put, or a little earlier.
        let before = state.samples.partition_point(|(put, _)| *put <= gone);
        let obsolete = before.saturating_sub(1);
        state.samples.drain(..obsolete);
        if state.samples.len() < SAMPLES_MAX / 2 {
            state.halvings = 0;
        }
        let (_, since) = state.samples.front().filter(|_| held > 0)?;
        Some(now.saturating_duration_since(*since))
    }
}

impl Samples {
    fn remove_every_second(&mut self) {
        let mut number = 0;
        // The first sample stays, so that no age is underestimated.
        self.samples.retain(|_| {
            number += 1;
            number % 2 == 1
        });
        self.halvings = (self.halvings + 1).min(16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_age_is_of_the_put_that_lies_as_many_events_back_as_the_channel_holds() {
        let (age, begin) = (Age::default(), Instant::now());
        assert_eq!(age.oldest(0, begin), None);
        for second in 0..10 {
            age.put(100, begin + Duration::from_secs(second));
        }
        let now = begin + Duration::from_secs(20);
        assert_eq!(age.oldest(1_000, now), Some(Duration::from_secs(20)));
        assert_eq!(age.oldest(150, now), Some(Duration::from_secs(12)));
        assert_eq!(age.oldest(1, now), Some(Duration::from_secs(11)));
        assert_eq!(age.oldest(0, now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn samples_are_bounded_while_no_event_leaves() {
        let (age, begin) = (Age::default(), Instant::now());
        for second in 0..100_000 {
            age.put(1, begin + Duration::from_secs(second));
        }
        let now = begin + Duration::from_secs(100_000);
        assert!(lock(&age.samples).samples.len() <= SAMPLES_MAX);
        assert_eq!(age.oldest(100_000, now), Some(Duration::from_secs(100_000)));
        let half = age.oldest(50_000, now).unwrap().as_secs();
        assert!((50_000..50_000 + 200).contains(&half), "{half}");
    }
}
