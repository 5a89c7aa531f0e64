//! The parts of messages of RFC 3164 behind their priority, as programs and devices write them, which the source `syslog` reads
//! too.
//!
//! ```text
//! Oct 11 22:14:15 host application[process]: message
//! 29: *Mar  1 18:46:11.123: %SYS-5-CONFIG_I: message                  Cisco IOS, without and with the device's name
//! 29: switch-1: Jan 31 11:59:58.123 UTC: %SYS-5-CONFIG_I: message
//! Sep 14 2016 10:07:20 fw-1 : %ASA-6-302013: message                  Cisco ASA
//! Oct 11 22:14:15 Message forwarded from host: application[process]: message
//! 2026-01-31T11:59:58+01:00 host application[process]: message
//! ```

use std::ops::Range;

use super::parts::{is_host, tag, word};
use super::time::Nearest;

/// The places of the parts in the text behind the priority.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Legacy {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub(crate) time: Option<i64>,
    pub(crate) host: Option<Range<usize>>,
    pub(crate) application: Option<Range<usize>>,
    pub(crate) process: Option<Range<usize>>,
    /// Where the message itself begins.
    pub(crate) message: usize,
}

/// What AIX writes before the host of a message that it forwards.
const FORWARDED: &[u8] = b"Message forwarded from ";

impl Legacy {
    /// Reads the parts, as far as they are there.
    pub(crate) fn read(text: &[u8], nearest: &Nearest<'_>) -> Legacy {
        let mut parts = Legacy::default();
        let place = |rest: &[u8]| text.len() - rest.len();
        let begin = text.strip_prefix(b" ").unwrap_or(text);
        if let Some((time, host, rest)) = nearest
            .short_time(begin)
            .map(|(time, rest)| (time, None, rest))
            .or_else(|| numbered(begin, nearest))
        {
            parts.time = Some(time);
            // Behind the time of a Cisco device stands a colon.
            let tagged = rest.strip_prefix(b":").map(|rest| rest.strip_prefix(b" ").unwrap_or(rest));
            parts.message = place(tagged.or_else(|| rest.strip_prefix(b" ")).unwrap_or(rest));
            match (host, tagged) {
                (Some(host), _) => parts.host = Some(place(host.1)..place(host.1) + host.0.len()),
                (None, Some(_)) => {}
                (None, None) => parts.host(text),
            }
        } else {
            // Many programs write RFC 3164 with a time in the form of RFC 5424.
            let (first, behind) = word(begin);
            if let Some(time) = nearest.full_time(first) {
                (parts.time, parts.message) = (Some(time), place(behind));
                parts.host(text);
            }
        }
        parts.tag(text);
        parts
    }

    /// Reads the host, which may lack: then the word belongs to the tag or to the text.
    fn host(&mut self, text: &[u8]) {
        let forwarded = text[self.message..].strip_prefix(FORWARDED);
        let begin = text.len() - forwarded.unwrap_or(&text[self.message..]).len();
        let (first, behind) = word(&text[begin..]);
        let host = match forwarded {
            Some(_) => first.strip_suffix(b":").unwrap_or(first),
            None => first,
        };
        let is_host = is_host(host);
        if is_host || host == b"-" {
            self.host = is_host.then(|| begin..begin + host.len());
            // The name of a Cisco ASA is followed by ` : `.
            self.message = text.len() - behind.strip_prefix(b": ").unwrap_or(behind).len();
        }
    }

    /// Reads `application[process]: `, if it is there.
    fn tag(&mut self, text: &[u8]) {
        let begin = self.message;
        let Some(tag) = tag(&text[begin..]) else { return };
        let moved = |part: Range<usize>| begin + part.start..begin + part.end;
        (self.application, self.process) = (Some(moved(tag.application)), tag.process.map(moved));
        self.message += tag.end;
    }
}

/// A word, and the text that begins with it.
type Word<'m> = (&'m [u8], &'m [u8]);

/// Reads what Cisco IOS writes: the number of the message, perhaps the name of the device, and the time. Returns the time, the
/// name, and the text behind the time.
fn numbered<'m>(text: &'m [u8], nearest: &Nearest<'_>) -> Option<(i64, Option<Word<'m>>, &'m [u8])> {
    let number = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = text.get(number..).filter(|_| (1..=10).contains(&number))?.strip_prefix(b": ")?;
    if let Some((time, behind)) = nearest.short_time(rest) {
        return Some((time, None, behind));
    }
    let (first, behind) = word(rest);
    let host = first.strip_suffix(b":").filter(|host| is_host(host))?;
    let (time, behind) = nearest.short_time(behind)?;
    Some((time, Some((host, rest)), behind))
}
