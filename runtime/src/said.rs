//! What peers, files and brokers can cause again and again: it is said at most once in a while, with how often it
//! was, so that nobody can fill the log.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// One kind of message of one component. Metrics count each occurrence; the log says some of them.
#[derive(Debug)]
pub struct Said {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    unsaid: u64,
}

/// How many occurrences were not said before the one that is. Shown behind a message; nothing is shown for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsaid(pub u64);

impl Said {
    /// A message that is said once in this interval at most.
    pub const fn once_in(interval: Duration) -> Said {
        Said { interval, state: Mutex::new(State { last: None, unsaid: 0 }) }
    }

    /// Notes an occurrence. It is to be said if there is a value, with as many as were not said since the last one.
    pub fn again(&self) -> Option<Unsaid> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < self.interval) {
            state.unsaid += 1;
            return None;
        }
        state.last = Some(now);
        Some(Unsaid(std::mem::take(&mut state.unsaid)))
    }
}

impl Default for Said {
    /// Once a minute at most.
    fn default() -> Said {
        Said::once_in(Duration::from_secs(60))
    }
}

impl fmt::Display for Unsaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => f.write_str(" (and once more since this was last said)"),
            count => write!(f, " (and {count} times more since this was last said)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_message_is_said_once_in_an_interval_with_the_number_of_those_that_were_not() {
        let said = Said::once_in(Duration::from_secs(60));
        assert_eq!(said.again(), Some(Unsaid(0)));
        for _ in 0..20_000 {
            assert_eq!(said.again(), None);
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        let unsaid = said.again().unwrap();
        assert_eq!(unsaid.to_string(), " (and 20000 times more since this was last said)");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(said.again().unwrap().to_string(), "");
    }
}
