//! Limits how often a message is logged that peers, files or brokers can cause repeatedly, so that they can't fill the
//! log.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Limits one kind of message of one component to one message in each interval.
#[derive(Debug)]
pub struct LogLimit {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

/// The number of occurrences that were not logged since the last message, for the end of a message; 0 prints nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suppressed(pub u64);

impl LogLimit {
    /// Makes a limit of one message in each interval.
    pub const fn every(interval: Duration) -> LogLimit {
        LogLimit { interval, state: Mutex::new(State { last: None, suppressed: 0 }) }
    }

    /// Counts an occurrence. Returns the number of occurrences that were not logged before it; none if this one is
    /// not to be logged either.
    pub fn occurred(&self) -> Option<Suppressed> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < self.interval) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(Suppressed(std::mem::take(&mut state.suppressed)))
    }
}

impl Default for LogLimit {
    /// One message a minute.
    fn default() -> LogLimit {
        LogLimit::every(Duration::from_secs(60))
    }
}

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => f.write_str(" (and once more since this was last logged)"),
            count => write!(f, " (and {count} times more since this was last logged)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_message_is_logged_once_in_an_interval_with_the_number_of_suppressed_ones() {
        let limit = LogLimit::every(Duration::from_secs(60));
        assert_eq!(limit.occurred(), Some(Suppressed(0)));
        for _ in 0..20_000 {
            assert_eq!(limit.occurred(), None);
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        let suppressed = limit.occurred().unwrap();
        assert_eq!(suppressed.to_string(), " (and 20000 times more since this was last logged)");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(limit.occurred().unwrap().to_string(), "");
    }
}
