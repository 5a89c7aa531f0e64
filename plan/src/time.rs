//! Times as text (RFC 3339), through the last microsecond of the year 9999.
//!
//! The crate jiff ends 26 hours before, so that every time zone can show each of its instants. Programs write
//! `9999-12-31T23:59:59Z` for what has no end.

use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// 9999-12-31T23:59:59.999999Z in microseconds since 1970, the last time with a text.
pub const TIME_MAX: i64 = 253_402_300_799_999_999;

/// Reads a time with an offset from UTC, in microseconds since 1970; none if the text is no such time. Digits after the
/// microseconds are cut off, towards the past.
pub fn read_time(text: &str) -> Option<i64> {
    match text.parse::<Timestamp>() {
        Ok(time) => Some(microseconds_of(time)),
        Err(_) => read_last_day(text),
    }
}

/// Returns the microseconds since 1970, rounded down.
pub fn microseconds_of(time: Timestamp) -> i64 {
    let microseconds = time.as_microsecond();
    let is_between = time.subsec_nanosecond() < 0 && time.subsec_nanosecond() % 1_000 != 0;
    if is_between { microseconds - 1 } else { microseconds }
}

/// Reads a time behind the last one of jiff.
fn read_last_day(text: &str) -> Option<i64> {
    let pieces = Pieces::parse(text).ok()?;
    let local = pieces.date().to_datetime(pieces.time()?);
    let offset = i64::from(pieces.to_numeric_offset()?.seconds());
    let since = local.duration_since(epoch());
    let microseconds = i64::try_from(since.as_micros()).ok()?.checked_sub(offset.checked_mul(1_000_000)?)?;
    (Timestamp::MAX.as_microsecond()..=TIME_MAX).contains(&microseconds).then_some(microseconds)
}

/// Returns what a clock in the zone shows at this time, in microseconds since 1970. Beyond the years that a clock can show,
/// returns the nearest.
pub fn shown_in(zone: &TimeZone, microseconds: i64) -> DateTime {
    let nearest = if microseconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let instant = Timestamp::from_microsecond(microseconds).unwrap_or(nearest);
    let shown = zone.to_datetime(instant);
    if microseconds <= Timestamp::MAX.as_microsecond() {
        return shown;
    }
    let rest = SignedDuration::from_micros(microseconds - instant.as_microsecond());
    // The instant has the last nanosecond of its microsecond.
    let begin = shown.checked_sub(SignedDuration::from_nanos(i64::from(instant.subsec_nanosecond() % 1_000)));
    begin.and_then(|begin| begin.checked_add(rest)).unwrap_or(DateTime::MAX)
}

/// Returns the text of a time in UTC; none if it is not in the years -9999 to 9999.
pub fn time_text(microseconds: i64) -> Option<String> {
    match Timestamp::from_microsecond(microseconds) {
        Ok(time) => Some(time.to_string()),
        Err(_) if (0..=TIME_MAX).contains(&microseconds) => {
            Some(format!("{}Z", shown_in(&TimeZone::UTC, microseconds)))
        }
        Err(_) => None,
    }
}

fn epoch() -> DateTime {
    DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_through_the_last_microsecond_of_the_year_9999() {
        for (text, microseconds) in [
            ("9999-12-31T23:59:59.999999Z", TIME_MAX),
            ("9999-12-31T00:00:00Z", TIME_MAX - 86_399_999_999),
            ("9999-12-30T22:00:01Z", TIME_MAX - 93_598_999_999),
            ("9999-12-30T22:00:00Z", TIME_MAX - 93_599_999_999),
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.5Z", -500_000),
            ("1969-12-31T23:59:58.999999Z", -1_000_001),
            ("1969-12-31T23:59:59.999999Z", -1),
        ] {
            assert_eq!(read_time(text), Some(microseconds), "{text}");
            assert_eq!(time_text(microseconds).as_deref(), Some(text));
        }
        assert_eq!(read_time("9999-12-31T23:59:59.9999999Z"), Some(TIME_MAX));
        assert_eq!(read_time("9999-12-31T23:59:59-00:01"), None);
        assert_eq!(read_time("9999-12-31T23:59:59+01:00"), Some(TIME_MAX - 3_600_999_999));
        assert_eq!(read_time("9999-12-31T23:59:59"), None, "it has no offset");
        assert_eq!(read_time("1969-12-31T23:59:59.9999995Z"), Some(-1));
        assert_eq!(time_text(TIME_MAX + 1), None);
        assert_eq!(time_text(i64::MIN), None);
    }
}
