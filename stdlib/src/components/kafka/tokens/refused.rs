//! The tokens that brokers have refused, and for how long they must not be shown to them again.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How many refused tokens are remembered. A file may have a few in turn.
const REFUSED_MAX: usize = 8;

/// The wait before a refused token is shown again: brokers may have refused it because of a fault of their own. It doubles with each refusal
/// up to the longest one.
const WAIT_MIN: Duration = Duration::from_secs(30);
const WAIT_MAX: Duration = Duration::from_secs(300);

/// What brokers have refused, the last one at the end.
#[derive(Default)]
pub(super) struct Refused {
    tokens: VecDeque<RefusedToken>,
    /// The wait before any token is shown, if each one is another one.
    wait: Duration,
}

struct RefusedToken {
    text: String,
    reason: String,
    at: Instant,
    wait: Duration,
}

/// Without the tokens, which are secrets.
impl std::fmt::Debug for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refused").field("tokens", &self.tokens.len()).finish_non_exhaustive()
    }
}

impl Refused {
    /// Notes that brokers have refused this token.
    pub(super) fn add(&mut self, text: &str, reason: &str, now: Instant) {
        let is_again = self.tokens.back().is_some_and(|last| now.duration_since(last.at) < 2 * WAIT_MAX);
        // The token before may have been replaced, so the next one is shown at once.
        self.wait = match is_again {
            true => grown(self.wait),
            false => Duration::ZERO,
        };
        let before = self.tokens.iter().position(|known| known.text == text);
        let before = before.and_then(|index| self.tokens.remove(index));
        let wait = grown(before.map_or(Duration::ZERO, |before| before.wait));
        if self.tokens.len() == REFUSED_MAX {
            self.tokens.pop_front();
        }
        let (text, reason) = (text.to_owned(), reason.to_owned());
        self.tokens.push_back(RefusedToken { text, reason, at: now, wait });
    }

    /// How long this token must not be shown, and why; none if it may be.
    pub(super) fn of(&self, text: &str, now: Instant) -> Option<(Duration, &str)> {
        let known = self.tokens.iter().find(|known| known.text == text)?;
        known.left(known.wait, now)
    }

    /// How long no token must be shown, if each one is another one.
    pub(super) fn of_any(&self, now: Instant) -> Option<(Duration, &str)> {
        self.tokens.back()?.left(self.wait, now)
    }
}

impl RefusedToken {
    fn left(&self, wait: Duration, now: Instant) -> Option<(Duration, &str)> {
        let left = wait.saturating_sub(now.duration_since(self.at));
        (!left.is_zero()).then_some((left, &self.reason))
    }
}

fn grown(wait: Duration) -> Duration {
    (wait * 2).clamp(WAIT_MIN, WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(of: Option<(Duration, &str)>) -> u64 {
        of.map_or(0, |(wait, _)| wait.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_waits_longer_each_time() {
        let (mut refused, mut now) = (Refused::default(), Instant::now());
        for expected in [30, 60, 120, 240, 300, 300] {
            refused.add("one", "no", now);
            assert_eq!(seconds(refused.of("one", now)), expected);
            assert_eq!(refused.of("another", now), None);
            now += Duration::from_secs(expected);
            assert_eq!(refused.of("one", now), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_that_are_others_each_time_wait_from_the_second_refusal_on() {
        let (mut refused, mut now) = (Refused::default(), Instant::now());
        for (number, expected) in [0, 30, 60, 120].into_iter().enumerate() {
            refused.add(&number.to_string(), "no", now);
            assert_eq!(seconds(refused.of_any(now)), expected);
            now += Duration::from_secs(expected);
        }
        now += Duration::from_secs(3600);
        refused.add("one hour later", "no", now);
        assert_eq!(refused.of_any(now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_refused_tokens_are_remembered() {
        let (mut refused, now) = (Refused::default(), Instant::now());
        for number in 0..1000 {
            refused.add(&number.to_string(), "no", now);
        }
        assert_eq!(refused.tokens.len(), REFUSED_MAX);
        assert!(refused.of("999", now).is_some() && refused.of("0", now).is_none());
    }
}
