//! Times by a `strftime` pattern, formatted once for each of the pattern's smallest units.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use weir_plan::{TIME_MAX, shown_in};

use super::TemplateError;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// More days than a year has.
const STEPS_MAX: usize = 400;

/// A `strftime` pattern in a time zone.
#[derive(Debug)]
pub(crate) struct TimePattern {
    pattern: String,
    zone: TimeZone,
    /// All times within one such unit of local time have the same text, in microseconds.
    unit: i64,
    /// Local times are rounded down to a multiple of this, in microseconds.
    round: Option<i64>,
}

impl TimePattern {
    /// Makes a pattern.
    ///
    /// # Errors
    /// When the pattern can't be formatted.
    pub(crate) fn new(pattern: &str, zone: &TimeZone) -> Result<TimePattern, TemplateError> {
        let time = TimePattern {
            pattern: pattern.to_string(),
            zone: zone.clone(),
            unit: unit(pattern),
            round: None,
        };
        match time.write(Timestamp::UNIX_EPOCH, &mut String::new()) {
            Ok(()) => Ok(time),
            Err(source) => Err(TemplateError::Pattern { pattern: pattern.to_string(), source }),
        }
    }

    /// Returns the pattern with times rounded down to a multiple of `round`, by the zone's clock.
    pub(super) fn rounded(mut self, round: Option<Duration>) -> TimePattern {
        self.round = round.and_then(|round| i64::try_from(round.as_micros()).ok()).filter(|round| *round > 0);
        if let Some(round) = self.round
            && self.unit % round != 0
        {
            self.unit = round;
        }
        self
    }

    /// Makes the pattern of RFC 3339.
    pub(super) fn rfc3339(zone: &TimeZone) -> Result<TimePattern, TemplateError> {
        TimePattern::new("%Y-%m-%dT%H:%M:%S%.f%:z", zone)
    }

    /// Returns the text of an arbitrary time.
    pub(super) fn example(&self) -> String {
        TimeText::default().at(0, self).to_string()
    }

    fn write(&self, time: Timestamp, text: &mut String) -> Result<(), jiff::Error> {
        let mut time = time.to_zoned(self.zone.clone());
        if let Some(round) = self.round {
            // The local time is rounded, not the instant: on the day when the clock changes, the two results are an
            // hour apart.
            let shown = time.datetime().to_zoned(TimeZone::UTC)?.timestamp().as_microsecond();
            let rounded = Timestamp::from_microsecond(shown.div_euclid(round) * round)?;
            time = rounded.to_zoned(TimeZone::UTC).datetime().to_zoned(self.zone.clone())?;
        }
        BrokenDownTime::from(&time).format(&self.pattern, text)
    }

    /// Writes a time behind the last one of jiff, not rounded.
    fn write_last_day(&self, microseconds: i64, text: &mut String) -> Result<(), jiff::Error> {
        let mut shown = BrokenDownTime::from(shown_in(&self.zone, microseconds));
        shown.set_offset(Some(self.zone.to_offset(Timestamp::MAX)));
        shown.format(&self.pattern, text)
    }

    /// Returns the time behind this one at which the text changes, in microseconds. A text that stays the same for longer
    /// than [`STEPS_MAX`] of the pattern's units ends then.
    pub(super) fn end(&self, microseconds: i64) -> i64 {
        let (mut next, mut text) = (TimeText::default(), String::new());
        text.push_str(next.at(microseconds, self));
        for _ in 0..STEPS_MAX {
            let end = next.to;
            if next.at(end, self) != text {
                return end;
            }
        }
        next.to
    }

    /// Returns the range of times with the same text as this one, `from..to` in microseconds.
    fn same_text(&self, time: Timestamp) -> (i64, i64) {
        let microseconds = time.as_microsecond();
        if self.unit == 1 {
            return (microseconds, microseconds + 1);
        }
        let offset = i64::from(self.zone.to_offset(time).seconds()) * SECOND;
        let from = (microseconds + offset).div_euclid(self.unit) * self.unit - offset;
        let (mut from, mut to) = (from, from + self.unit);
        // A transition to another offset changes the text, wherever in the unit it is.
        if let Some(next) = self.zone.following(time).next() {
            to = to.min(next.timestamp().as_microsecond());
        }
        // `preceding` leaves out a transition at the given time.
        let behind = Timestamp::from_microsecond(microseconds + 1).unwrap_or(Timestamp::MAX);
        if let Some(last) = self.zone.preceding(behind).next() {
            from = from.max(last.timestamp().as_microsecond());
        }
        (from, to)
    }
}

/// The text of the last time, and the range of times with the same text.
#[derive(Debug, Default)]
pub(crate) struct TimeText {
    from: i64,
    to: i64,
    text: String,
}

impl TimeText {
    /// Returns the text of a time in microseconds since 1970-01-01T00:00:00Z.
    ///
    /// A time that the pattern can't format, beyond the year 9999, is written as the number of microseconds.
    pub(crate) fn at(&mut self, microseconds: i64, pattern: &TimePattern) -> &str {
        if !self.holds(microseconds) {
            self.render(microseconds, pattern);
        }
        &self.text
    }

    /// Whether this time has the same text as the last one.
    pub(super) fn holds(&self, microseconds: i64) -> bool {
        self.from <= microseconds && microseconds < self.to
    }

    fn render(&mut self, microseconds: i64, pattern: &TimePattern) {
        self.text.clear();
        if let Ok(time) = Timestamp::from_microsecond(microseconds) {
            (self.from, self.to) = pattern.same_text(time);
            if pattern.write(time, &mut self.text).is_ok() {
                return;
            }
            self.text.clear();
        }
        (self.from, self.to) = (microseconds, microseconds.saturating_add(1));
        if (0..=TIME_MAX).contains(&microseconds)
            && pattern.write_last_day(microseconds, &mut self.text).is_ok()
        {
            return;
        }
        self.text.clear();
        self.text.push_str(&microseconds.to_string());
    }
}

/// Returns the smallest unit that a pattern writes, in microseconds; 1 if no text can be reused.
fn unit(pattern: &str) -> i64 {
    let mut unit = DAY;
    let mut bytes = pattern.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            continue;
        }
        // Flags, widths and precisions are between `%` and the letter.
        let letter =
            bytes.find(|byte| !matches!(byte, b'-' | b'_' | b'^' | b'#' | b'.' | b':' | b'0'..=b'9'));
        let written = match letter {
            Some(
                b'A' | b'a' | b'B' | b'b' | b'h' | b'C' | b'D' | b'd' | b'e' | b'F' | b'G' | b'g' | b'j',
            ) => DAY,
            Some(b'm' | b'q' | b'U' | b'u' | b'V' | b'W' | b'w' | b'x' | b'Y' | b'y') => DAY,
            // The zone's name and offset change only with its transitions.
            Some(b'Q' | b'Z' | b'z' | b'%' | b'n' | b't') => DAY,
            Some(b'H' | b'I' | b'k' | b'l' | b'P' | b'p') => HOUR,
            Some(b'M' | b'R') => MINUTE,
            Some(b'S' | b'T' | b'c' | b'r' | b's' | b'X') => SECOND,
            // Fractions, and letters of later versions of the pattern language.
            _ => 1,
        };
        unit = unit.min(written);
    }
    unit
}
