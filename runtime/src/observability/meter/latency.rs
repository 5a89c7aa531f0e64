//! Histograms of durations, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

/// The upper bounds of the buckets, in seconds. One more bucket holds longer durations.
pub const BUCKET_BOUNDS_SECONDS: [f64; 16] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0,
];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct LatencyHistogram {
    buckets: [AtomicU64; BUCKET_BOUNDS_SECONDS.len() + 1],
    sum_micros: AtomicU64,
}

/// The counts of a [`LatencyHistogram`] at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LatencySnapshot {
    /// The number of durations.
    pub count: u64,
    /// The sum of all durations.
    pub sum_seconds: f64,
    /// The number of durations in each bucket: at most its bound in [`BUCKET_BOUNDS_SECONDS`] and more than the bound
    /// before. The last bucket has the durations above all bounds.
    pub buckets: Vec<u64>,
}

impl LatencyHistogram {
    pub(crate) fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BUCKET_BOUNDS_SECONDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Returns the counts now.
    pub fn read(&self) -> LatencySnapshot {
        let buckets: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        LatencySnapshot {
            count: buckets.iter().sum(),
            sum_seconds: self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6,
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_counted_in_the_first_bucket_that_is_large_enough() {
        let latency = LatencyHistogram::default();
        for micros in [0, 100, 101, 1_000, 1_000_000_000] {
            latency.record(Duration::from_micros(micros));
        }
        let LatencySnapshot { count, sum_seconds, buckets } = latency.read();
        assert_eq!((count, buckets[0], buckets[1], buckets[3], buckets[16]), (5, 2, 1, 1, 1));
        assert!((sum_seconds - 1000.001201).abs() < 1e-9);
    }
}
