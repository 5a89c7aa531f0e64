//! Troubles: what keeps a component from doing its work at this moment, such as an unreachable server or a full disk.
//!
//! A trouble is open from its first report until the component reports its end. While one is open, the component is
//! *degraded*: the metrics, `/ready`, the progress line and the end of a run show the trouble with its cause.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::failure::Cause;

/// The most troubles of one component that are open at once. Further ones are only counted.
const OPEN_MAX: usize = 64;

/// The most bytes of a message that are kept.
const MESSAGE_BYTES_MAX: usize = 1024;

/// The time since the start of a trouble at which it is logged again. After the last one, it is logged each hour.
const REMINDERS: [Duration; 4] = [
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(20 * 60),
];
const LAST_REMINDERS_EVERY: Duration = Duration::from_secs(60 * 60);

/// An open trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The kind of the trouble, as reported last.
    pub cause: Cause,
    /// The message of the last report.
    pub message: String,
    /// When it was reported first.
    pub since: SystemTime,
    /// When it was reported first, for durations.
    pub began: Instant,
    /// How often it was reported.
    pub reports: u64,
    /// When it is logged again.
    next_log: Instant,
    /// How often it was logged again.
    reminders: usize,
}

/// The end of a message about a trouble that was logged before; empty at the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reminder {
    lasts: Option<Duration>,
}

impl fmt::Display for Reminder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lasts {
            None => Ok(()),
            Some(lasts) => write!(f, " (for {} s so far)", lasts.as_secs()),
        }
    }
}

/// The troubles of one component by their subjects, such as `brokers` or the path of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Troubles {
    open: BTreeMap<String, Trouble>,
    /// How many troubles were opened, by their first cause.
    opened: BTreeMap<Cause, u64>,
}

impl Troubles {
    /// Opens a trouble, or notes that it goes on. Returns the end of the message if it is to be logged now.
    pub(super) fn report(
        &mut self,
        subject: &str,
        cause: Cause,
        mut message: String,
        now: Instant,
    ) -> Option<Reminder> {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        if let Some(trouble) = self.open.get_mut(subject) {
            let is_new = trouble.cause != cause;
            (trouble.cause, trouble.message) = (cause, message);
            trouble.reports += 1;
            if !is_new && now < trouble.next_log {
                return None;
            }
            let lasts = now.saturating_duration_since(trouble.began);
            while trouble.next_log <= now {
                let wait = REMINDERS.get(trouble.reminders + 1).copied();
                trouble.next_log =
                    wait.map_or(now + LAST_REMINDERS_EVERY, |after_start| trouble.began + after_start);
                trouble.reminders += 1;
            }
            return Some(Reminder { lasts: Some(lasts) });
        }
        *self.opened.entry(cause).or_default() += 1;
        if self.open.len() < OPEN_MAX {
            let next_log = now + REMINDERS[0];
            let since = SystemTime::now();
            let trouble = Trouble { cause, message, since, began: now, reports: 1, next_log, reminders: 0 };
            self.open.insert(subject.to_owned(), trouble);
        }
        Some(Reminder { lasts: None })
    }

    /// Closes a trouble. Returns how long it lasted; none if it was not open.
    pub(super) fn resolve(&mut self, subject: &str, now: Instant) -> Option<Duration> {
        let trouble = self.open.remove(subject)?;
        Some(now.saturating_duration_since(trouble.began))
    }

    pub(super) fn open(&self) -> &BTreeMap<String, Trouble> {
        &self.open
    }

    pub(super) fn opened(&self) -> &BTreeMap<Cause, u64> {
        &self.opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_trouble_is_logged_at_once_and_then_at_growing_distances() {
        let (begin, mut troubles) = (Instant::now(), Troubles::default());
        let logged: Vec<u64> = (0..3 * 3600)
            .filter(|second| {
                let now = begin + Duration::from_secs(*second);
                troubles.report("brokers", Cause::Refused, "no".to_owned(), now).is_some()
            })
            .collect();
        assert_eq!(logged, [0, 15, 60, 300, 1200, 4800, 8400]);
        let end = begin + Duration::from_secs(3 * 3600);
        assert_eq!(troubles.open()["brokers"].reports, 3 * 3600);
        assert_eq!(troubles.resolve("brokers", end), Some(Duration::from_secs(3 * 3600)));
        assert_eq!(troubles.resolve("brokers", end), None);
        assert_eq!(troubles.opened()[&Cause::Refused], 1);
    }

    #[tokio::test(start_paused = true)]
    async fn another_cause_is_logged_at_once() {
        let (now, mut troubles) = (Instant::now(), Troubles::default());
        let mut report = |cause| troubles.report("brokers", cause, "no".to_owned(), now).is_some();
        assert!(report(Cause::Refused));
        assert!(!report(Cause::Refused));
        assert!(report(Cause::TimedOut));
        assert!(!report(Cause::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_troubles_and_the_length_of_messages_have_limits() {
        let (now, mut troubles) = (Instant::now(), Troubles::default());
        for file in 0..1000 {
            troubles.report(&file.to_string(), Cause::SetAside, "ö".repeat(10_000), now);
        }
        assert_eq!(troubles.open().len(), OPEN_MAX);
        assert_eq!(troubles.opened()[&Cause::SetAside], 1000);
        assert!(troubles.open().values().all(|trouble| trouble.message.len() <= MESSAGE_BYTES_MAX));
    }
}
