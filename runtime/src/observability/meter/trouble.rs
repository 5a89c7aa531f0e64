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
    /// The parts of the component that have it, each with its last report. The trouble shows that of the last one.
    holders: Vec<Holder>,
    /// When it is logged again.
    next_log: Instant,
    /// How often it was logged again.
    reminders: usize,
}

/// A part of a component that has a trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    name: String,
    cause: Cause,
    message: String,
}

impl Trouble {
    /// The message of the last report of a part of the component; none if the part does not have the trouble.
    pub fn message_of(&self, holder: &str) -> Option<&str> {
        self.holders.iter().find(|known| known.name == holder).map(|known| &*known.message)
    }

    /// Shows the cause and the message of the last holder.
    fn show_last(&mut self) {
        if let Some(Holder { cause, message, .. }) = self.holders.last() {
            (self.cause, self.message) = (*cause, message.clone());
        }
    }
}

/// The report of a trouble by a part of a component.
#[derive(Debug, Clone, Copy)]
pub struct TroubleReport<'r> {
    /// The name of the trouble within the component, such as `brokers`.
    pub subject: &'r str,
    /// The part of the component that has the trouble, such as one of several clients; empty if it has one part only.
    pub holder: &'r str,
    /// The kind of the trouble.
    pub cause: Cause,
    /// The reason.
    pub message: &'r str,
    /// How long the trouble has lasted before this report, if it is the first one.
    pub lasts: Duration,
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
    pub(super) fn report(&mut self, report: TroubleReport<'_>, now: Instant) -> Option<Reminder> {
        let TroubleReport { subject, holder, cause, message, lasts } = report;
        let message = message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned();
        let holder = Holder { name: holder.to_owned(), cause, message: message.clone() };
        if let Some(trouble) = self.open.get_mut(subject) {
            let shown = trouble.cause;
            trouble.reports += 1;
            match trouble.holders.iter_mut().find(|known| known.name == holder.name) {
                // A holder whose cause stays the same does not hide that of another one.
                Some(known) if known.cause == cause => known.message = message,
                _ => {
                    trouble.holders.retain(|known| known.name != holder.name);
                    trouble.holders.push(holder);
                }
            }
            trouble.show_last();
            if trouble.cause == shown && now < trouble.next_log {
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
            let began = now.checked_sub(lasts).unwrap_or(now);
            let since = SystemTime::now();
            let since = since.checked_sub(lasts).unwrap_or(since);
            let holders = vec![holder];
            let (reports, reminders) = (1, 0);
            let trouble = Trouble { cause, message, since, began, reports, holders, next_log, reminders };
            self.open.insert(subject.to_owned(), trouble);
        }
        Some(Reminder { lasts: None })
    }

    /// Notes that a holder has no trouble any more, and closes it if no other one has it. Returns how long a trouble lasted that was closed.
    pub(super) fn resolve(&mut self, subject: &str, holder: &str, now: Instant) -> Option<Duration> {
        let trouble = self.open.get_mut(subject)?;
        trouble.holders.retain(|known| known.name != holder);
        if !trouble.holders.is_empty() {
            trouble.show_last();
            return None;
        }
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

    const NONE: Duration = Duration::ZERO;

    /// A report about the brokers.
    fn of<'r>(holder: &'r str, cause: Cause, message: &'r str, lasts: Duration) -> TroubleReport<'r> {
        TroubleReport { subject: "brokers", holder, cause, message, lasts }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trouble_is_logged_at_once_and_then_at_growing_distances() {
        let (begin, mut troubles) = (Instant::now(), Troubles::default());
        let logged: Vec<u64> = (0..3 * 3600)
            .filter(|second| {
                let now = begin + Duration::from_secs(*second);
                troubles.report(of("", Cause::Refused, "no", NONE), now).is_some()
            })
            .collect();
        assert_eq!(logged, [0, 15, 60, 300, 1200, 4800, 8400]);
        let end = begin + Duration::from_secs(3 * 3600);
        assert_eq!(troubles.open()["brokers"].reports, 3 * 3600);
        assert_eq!(troubles.resolve("brokers", "", end), Some(Duration::from_secs(3 * 3600)));
        assert_eq!(troubles.resolve("brokers", "", end), None);
        assert_eq!(troubles.opened()[&Cause::Refused], 1);
    }

    #[tokio::test(start_paused = true)]
    async fn another_cause_is_logged_at_once() {
        let (now, mut troubles) = (Instant::now(), Troubles::default());
        let mut report = |cause| troubles.report(of("", cause, "no", NONE), now).is_some();
        assert!(report(Cause::Refused));
        assert!(!report(Cause::Refused));
        assert!(report(Cause::TimedOut));
        assert!(!report(Cause::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_troubles_and_the_length_of_messages_have_limits() {
        let (now, mut troubles) = (Instant::now(), Troubles::default());
        for file in 0..1000 {
            let (subject, message) = (file.to_string(), "ö".repeat(10_000));
            let report = of("", Cause::SetAside, &message, NONE);
            troubles.report(TroubleReport { subject: &subject, ..report }, now);
        }
        assert_eq!(troubles.open().len(), OPEN_MAX);
        assert_eq!(troubles.opened()[&Cause::SetAside], 1000);
        assert!(troubles.open().values().all(|trouble| trouble.message.len() <= MESSAGE_BYTES_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_trouble_is_open_as_long_as_one_part_of_the_component_has_it() {
        let (now, mut troubles) = (Instant::now(), Troubles::default());
        assert!(troubles.report(of("reader", Cause::TimedOut, "silent", NONE), now).is_some());
        assert!(troubles.report(of("writer", Cause::Refused, "refused", NONE), now).is_some());
        // Neither hides the cause of the other in turn.
        assert!(troubles.report(of("reader", Cause::TimedOut, "silent", NONE), now).is_none());
        assert!(troubles.report(of("writer", Cause::Refused, "refused", NONE), now).is_none());
        assert_eq!(troubles.open()["brokers"].cause, Cause::Refused);
        assert_eq!(troubles.open()["brokers"].message_of("reader"), Some("silent"));
        assert_eq!(troubles.resolve("brokers", "writer", now), None);
        assert_eq!(troubles.resolve("brokers", "writer", now), None);
        assert_eq!(troubles.open()["brokers"].cause, Cause::TimedOut);
        assert_eq!(troubles.open()["brokers"].message, "silent");
        assert!(troubles.resolve("brokers", "reader", now).is_some());
        assert_eq!(troubles.opened()[&Cause::TimedOut], 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trouble_that_is_noticed_late_has_begun_before() {
        let (now, mut troubles) = (Instant::now() + Duration::from_secs(60), Troubles::default());
        let lasts = Duration::from_secs(7);
        assert!(troubles.report(of("", Cause::TimedOut, "silent", lasts), now).is_some());
        assert!(troubles.report(of("", Cause::TimedOut, "silent", lasts * 2), now).is_none());
        assert_eq!(troubles.open()["brokers"].began, now - lasts);
        assert_eq!(troubles.resolve("brokers", "", now), Some(lasts));
    }
}
