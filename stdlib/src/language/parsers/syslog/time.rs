//! The times of syslog messages, which the source `syslog` reads too.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::super::scalar::plain_time;
use super::parts::number;

/// The names of the months, as RFC 3164 writes them.
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// What completes times without a zone or without a year.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nearest<'z> {
    zone: &'z TimeZone,
    /// The present time in the zone.
    now: Option<DateTime>,
}

impl<'z> Nearest<'z> {
    /// Makes times in this zone, near to `now` in microseconds since 1970-01-01T00:00:00Z.
    pub(crate) fn new(zone: &'z TimeZone, now: i64) -> Nearest<'z> {
        let now = Timestamp::from_microsecond(now).ok().map(|now| zone.to_datetime(now));
        Nearest { zone, now }
    }

    /// Reads a time of RFC 5424, in microseconds since 1970-01-01T00:00:00Z. Without an offset it is one in the zone.
    pub(crate) fn full_time(&self, word: &[u8]) -> Option<i64> {
        if let Some(time) = plain_time(word) {
            return Some(time);
        }
        let text = std::str::from_utf8(word).ok()?;
        match text.parse::<Timestamp>() {
            Ok(time) => Some(time.as_microsecond()),
            // A date alone is no time.
            Err(_) if text.contains(['T', 't']) => self.in_zone(text.parse().ok()?),
            Err(_) => None,
        }
    }

    fn in_zone(&self, time: DateTime) -> Option<i64> {
        Some(self.zone.to_timestamp(time).ok()?.as_microsecond())
    }

    /// Reads a time such as `Oct 11 22:14:15` as RFC 3164 and as devices write it, and returns it with the text behind it: a
    /// space, a colon, or nothing.
    ///
    /// The day may have one digit; the year may stand behind the day (Cisco ASA) or behind the time; seconds may have a fraction,
    /// and `UTC:` may follow; a star or a point before the month says that the device's clock is not set (Cisco IOS). Without
    /// a year, the one that makes the time nearest to now is taken.
    pub(crate) fn short_time<'m>(&self, text: &'m [u8]) -> Option<(i64, &'m [u8])> {
        let text = text.strip_prefix(b"*").or_else(|| text.strip_prefix(b".")).unwrap_or(text);
        let (month, rest) = text.split_first_chunk::<3>()?;
        let month = MONTHS.iter().position(|name| month.eq_ignore_ascii_case(&name[..]))? as i8 + 1;
        let rest = rest.strip_prefix(b" ")?;
        let (day, rest) = digits(rest.strip_prefix(b" ").unwrap_or(rest), 1..=2)?;
        let rest = rest.strip_prefix(b" ")?;
        let (before, rest) = match year(rest) {
            Some((year, rest)) => (Some(year), rest.strip_prefix(b" ")?),
            None => (None, rest),
        };
        let (hour, rest) = digits(rest, 2..=2)?;
        let (minute, rest) = digits(rest.strip_prefix(b":")?, 2..=2)?;
        let (second, rest) = digits(rest.strip_prefix(b":")?, 2..=2)?;
        let (nanosecond, rest) = fraction(rest);
        let behind = rest.strip_prefix(b" ").and_then(year);
        let (given, rest) = match (before, behind) {
            (Some(year), _) => (Some(year), rest),
            (None, Some((year, rest))) => (Some(year), rest),
            (None, None) => (None, rest),
        };
        let (is_utc, rest) = match rest.strip_prefix(b" UTC:") {
            Some(_) => (true, &rest[4..]),
            None => (false, rest),
        };
        if !matches!(rest.first(), None | Some(b' ' | b':')) {
            return None;
        }
        let in_year = |year: i16| {
            DateTime::new(year, month, day as i8, hour as i8, minute as i8, second as i8, nanosecond).ok()
        };
        let time = match given {
            Some(year) => in_year(year as i16)?,
            None => self.nearest(in_year)?,
        };
        match is_utc {
            true => Some((TimeZone::UTC.to_timestamp(time).ok()?.as_microsecond(), rest)),
            false => Some((self.in_zone(time)?, rest)),
        }
    }

    /// Returns the time nearest to now, of the times in different years.
    fn nearest(&self, in_year: impl Fn(i16) -> Option<DateTime>) -> Option<DateTime> {
        let now = self.now?;
        let years = [now.year() - 1, now.year(), now.year() + 1];
        years.into_iter().filter_map(in_year).min_by_key(|time| time.duration_since(now).abs())
    }
}

/// Reads a number with so many digits, and returns it with the rest.
fn digits(text: &[u8], counts: std::ops::RangeInclusive<usize>) -> Option<(i64, &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    counts.contains(&count).then(|| Some((number(&text[..count])?, &text[count..])))?
}

/// Reads a year of four digits that is plausible, before a space, a colon or the end.
fn year(text: &[u8]) -> Option<(i64, &[u8])> {
    let (year, rest) = digits(text, 4..=4)?;
    ((1970..2200).contains(&year) && matches!(rest.first(), None | Some(b' ' | b':'))).then_some((year, rest))
}

/// Reads a fraction of a second, in nanoseconds. Further digits are left out.
fn fraction(text: &[u8]) -> (i32, &[u8]) {
    let Some(rest) = text.strip_prefix(b".") else { return (0, text) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let padded = rest[..count].iter().map(|digit| i32::from(digit - b'0')).chain(std::iter::repeat(0));
    (padded.take(9).fold(0, |number, digit| 10 * number + digit), &rest[count..])
}
