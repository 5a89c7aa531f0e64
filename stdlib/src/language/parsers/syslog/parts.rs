//! The parts of syslog messages that both forms have, which the source `syslog` reads too.

use std::net::IpAddr;
use std::ops::Range;

/// The largest priority: facility 23, severity 7.
const PRIORITY_MAX: i64 = 191;

/// Reads a priority such as `<34>`, and returns it with the rest of the message. A byte order mark may stand before it.
pub(crate) fn priority(message: &[u8]) -> Option<(i64, &[u8])> {
    let message = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message);
    let rest = message.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
    let number = number(&rest[..end])?;
    (number <= PRIORITY_MAX).then_some((number, &rest[end + 1..]))
}

pub(super) fn number(digits: &[u8]) -> Option<i64> {
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

/// Reads a tag, if the text begins with one. A name has a letter; quotes, brackets, commas and signs are those of a text.
pub(crate) fn tag(text: &[u8]) -> Option<Tag> {
    let length = text.iter().position(|byte| matches!(byte, b' ' | b':' | b'['))?;
    let is_of_text =
        |byte: &u8| matches!(byte, b'"' | b'\'' | b'{' | b'}' | b']' | b'=' | b',' | b';' | b'<' | b'>');
    let name = &text[..length];
    if !name.iter().any(u8::is_ascii_alphabetic) || name.iter().any(is_of_text) {
        return None;
    }
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
