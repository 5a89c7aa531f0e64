//! The parts of syslog messages that both forms have, which the source `syslog` reads too.

use std::net::IpAddr;
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The largest priority: facility 23, severity 7.
const PRIORITY_MAX: i64 = 191;
/// The names of the months, as RFC 3164 writes them.
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Reads a priority such as `<34>`, and returns it with the rest of the message.
pub(crate) fn priority(message: &[u8]) -> Option<(i64, &[u8])> {
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
pub(crate) fn word(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', text) {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[]),
    }
}

/// Returns whether a word can be the name or the address of a host. A tag (`su:`, `sshd[4711]:`), a year and a time can't.
pub(crate) fn is_host(word: &[u8]) -> bool {
    let is_of_name = |byte: &u8| !matches!(byte, b':' | b'[' | b']' | b'(' | b')' | b'=' | b'"' | b',');
    let is_name = word.iter().all(is_of_name) && word.iter().any(|byte| !byte.is_ascii_digit());
    let is_address = || std::str::from_utf8(word).is_ok_and(|text| text.parse::<IpAddr>().is_ok());
    !word.is_empty() && word != b"-" && (is_name || is_address())
}

/// The tag before the text of a message of RFC 3164: `application[process]: `, with the places of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) application: Range<usize>,
    pub(crate) process: Option<Range<usize>>,
    /// The end of the tag, behind a space after it.
    pub(crate) end: usize,
}

/// Reads a tag, if the text begins with one.
pub(crate) fn tag(text: &[u8]) -> Option<Tag> {
    let is_end = |byte: &u8| matches!(byte, b' ' | b':' | b'[');
    let length = text.iter().position(is_end).filter(|length| *length > 0)?;
    let (mut end, mut process) = (length, None);
    if text[length] == b'[' {
        let closing = length + memchr::memchr(b']', &text[length..])?;
        process = Some(length + 1..closing).filter(|process| !process.is_empty());
        end = closing + 1;
    }
    if text.get(end) != Some(&b':') {
        return None;
    }
    end += 1;
    end += usize::from(text.get(end) == Some(&b' '));
    Some(Tag { application: 0..length, process, end })
}

/// Reads a time of RFC 5424, in microseconds since 1970-01-01T00:00:00Z.
pub(crate) fn full_time(word: &[u8]) -> Option<i64> {
    let time: Timestamp = std::str::from_utf8(word).ok()?.parse().ok()?;
    Some(time.as_microsecond())
}

/// Reads a time such as `Oct 11 22:14:15 `, and returns it with the rest of the text. The day may have a space in place
/// of its first digit. The year is the one that makes the time nearest to `now`.
pub(crate) fn short_time<'m>(text: &'m [u8], zone: &TimeZone, now: i64) -> Option<(i64, &'m [u8])> {
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
