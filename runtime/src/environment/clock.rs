//! The wall clock behind a trait, so that a simulation can replace it.
//!
//! Durations come from the monotonic clock, through `tokio::time`, which tests can pause. Only the
//! times of events come from the wall clock.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time of day, and gives the random bytes of functions such as `uuid()`.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> i64;

    /// Fills `bytes` at random: from the system, unless a simulation repeats what it gives.
    ///
    /// # Errors
    /// When the system has no random bytes.
    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
    }
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
}
