//! Reads the header of a message: priority, time and sender.
//!
//! ```text
//! RFC 5424   <34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - …
//! RFC 3164   <34>Oct 11 22:14:15 mymachine su: …
//! ```

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The largest priority: facility 23, severity 7.
const PRIORITY_MAX: i64 = 191;
/// The names of the months, as RFC 3164 writes them.
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// The header of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Header<'m> {
    /// Facility times eight, and severity.
    pub(super) priority: Option<i64>,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub(super) time: Option<i64>,
    pub(super) sender: Option<&'m str>,
}

/// Reads the header of a message in either form, as far as it is valid. `now`, in microseconds since
/// 1970-01-01T00:00:00Z, determines the year of RFC 3164.
pub(super) fn header<'m>(message: &'m [u8], zone: &TimeZone, now: i64) -> Header<'m> {
    let Some((priority, rest)) = priority(message) else { return Header::default() };
    let only = Header { priority: Some(priority), ..Header::default() };
    if let Some(rest) = rest.strip_prefix(b"1 ") {
        let (time, rest) = word(rest);
        let (sender, _) = word(rest);
        return Header { time: full_time(time), sender: name(sender), ..only };
    }
    if let Some((time, rest)) = short_time(rest, zone, now) {
        return Header { time: Some(time), sender: name(word(rest).0), ..only };
    }
    // Many programs write RFC 3164 with a time in the form of RFC 5424.
    let (first, rest) = word(rest);
    match full_time(first) {
        Some(time) => Header { time: Some(time), sender: name(word(rest).0), ..only },
        None => only,
    }
}

/// Reads a priority such as `<34>`, and returns it with the rest of the message.
fn priority(message: &[u8]) -> Option<(i64, &[u8])> {
    let rest = message.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
    let number = number(&rest[..end])?;
    (number <= PRIORITY_MAX).then_some((number, &rest[end + 1..]))
}

fn number(digits: &[u8]) -> Option<i64> {
    let plain = !digits.is_empty() && digits.len() <= 4 && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// Splits a text at its first space.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', text) {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[]),
    }
}

/// Returns a word as a name, unless it is empty, `-` or not UTF-8.
fn name(word: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(word).ok()?;
    (!text.is_empty() && text != "-").then_some(text)
}

fn full_time(word: &[u8]) -> Option<i64> {
    let time: Timestamp = std::str::from_utf8(word).ok()?.parse().ok()?;
    Some(time.as_microsecond())
}

/// Reads a time such as `Oct 11 22:14:15 `, and returns it with the rest of the text. The day may have a space in place
/// of its first digit. The year is the one that makes the time nearest to `now`.
fn short_time<'m>(text: &'m [u8], zone: &TimeZone, now: i64) -> Option<(i64, &'m [u8])> {
    let (time, rest) = text.split_at_checked(16)?;
    if time[3] != b' ' || time[6] != b' ' || time[9] != b':' || time[12] != b':' || time[15] != b' ' {
        return None;
    }
    let month = MONTHS.iter().position(|name| time[..3] == name[..])? as i8 + 1;
    let day = number(time[4..6].trim_ascii_start())? as i8;
    let [hour, minute, second] = [&time[7..9], &time[10..12], &time[13..15]].map(number);
    let (hour, minute, second) = (hour? as i8, minute? as i8, second? as i8);
    let now = Timestamp::from_microsecond(now).ok()?;
    let year = now.to_zoned(zone.clone()).year();
    let in_year = |year: i16| {
        let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
        Some(time.to_zoned(zone.clone()).ok()?.timestamp())
    };
    let nearest = [year - 1, year, year + 1].into_iter().filter_map(in_year);
    let nearest = nearest.min_by_key(|time| time.duration_since(now).abs())?;
    Some((nearest.as_microsecond(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &str) -> (Option<i64>, Option<String>, Option<&str>) {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let Header { priority, time, sender } =
            header(message.as_bytes(), &TimeZone::UTC, now.as_microsecond());
        let time = time.map(|time| Timestamp::from_microsecond(time).unwrap().to_string());
        (priority, time, sender)
    }

    #[test]
    fn both_forms_are_read() {
        let time = |text: &str| Some(text.to_string());
        let full = read("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - it failed");
        assert_eq!(full, (Some(34), time("2003-10-11T22:14:15.003Z"), Some("mymachine.example.com")));
        let short = read("<13>Jan  1 22:14:15 mymachine su: it failed");
        assert_eq!(short, (Some(13), time("2026-01-01T22:14:15Z"), Some("mymachine")));
        let mixed = read("<13>2026-01-01T10:00:00+02:00 web-1 app: hello");
        assert_eq!(mixed, (Some(13), time("2026-01-01T08:00:00Z"), Some("web-1")));
        assert_eq!(read("<0>1 - - - - - -"), (Some(0), None, None));
    }

    #[test]
    fn the_year_is_the_one_nearest_to_now() {
        let (_, time, _) = read("<13>Dec 31 23:59:59 m x");
        assert_eq!(time.unwrap(), "2025-12-31T23:59:59Z");
    }

    #[test]
    fn a_message_in_neither_form_has_no_header() {
        for message in ["", "<", "<>", "<192>x", "<1x>", "<00034>1 a", "hello", "\u{0}\u{1}"] {
            assert_eq!(read(message), (None, None, None), "{message:?}");
        }
        for message in
            ["<13>", "<13>1", "<13>hello", "<13>Foo 11 22:14:15 m", "<13>Oct 99 22:14:15 m", "<13>é"]
        {
            assert_eq!(read(message), (Some(13), None, None), "{message:?}");
        }
        assert_eq!(header(b"<13>\xff\xff 11 22:14:15 m", &TimeZone::UTC, 0).priority, Some(13));
    }
}
