//! Durations of single operations, and their distribution.

use std::fmt;
use std::time::Duration;

/// The durations of one kind of operation.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Adds those of other operations of this kind.
    pub(crate) fn append(&mut self, mut others: Latencies) {
        self.0.append(&mut others.0);
    }

    /// Returns the number of operations.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the smallest duration that at least this share of all operations did not exceed; zero if there are none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |share| self.quantile(share).as_secs_f64() * 1e3;
        write!(
            f,
            "p50 {:.3} ms, p99 {:.3} ms, at most {:.3} ms",
            milliseconds(0.5),
            milliseconds(0.99),
            milliseconds(1.0)
        )
    }
}
