//! Makes the bodies of events from their numbers.

use serde::Deserialize;

use super::access_log::AccessLog;

/// The enum `Content` of the signature.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Content {
    /// Lines of an access log.
    AccessLog,
    /// The number, then a filling.
    Numbered {
        /// Bytes in all.
        size: usize,
    },
}

/// Makes bodies.
pub(super) enum Bodies {
    AccessLog(AccessLog),
    Numbered(Numbered),
}

/// The number in decimal, a space, and letters up to the size.
pub(super) struct Numbered {
    filling: Vec<u8>,
    digits: itoa::Buffer,
}

impl Bodies {
    pub(super) fn new(content: Content, seed: u64) -> Bodies {
        match content {
            Content::AccessLog => Bodies::AccessLog(AccessLog::new(seed)),
            Content::Numbered { size } => Bodies::Numbered(Numbered::new(size)),
        }
    }

    /// Returns the approximate length of a body, in bytes.
    pub(super) fn length_hint(&self) -> usize {
        match self {
            Bodies::AccessLog(_) => AccessLog::LENGTH_HINT,
            Bodies::Numbered(numbered) => numbered.filling.len(),
        }
    }

    /// Appends the body of an event to the buffer.
    ///
    /// `time` is the event's time, in microseconds since 1970-01-01T00:00:00Z.
    pub(super) fn write(&mut self, number: u64, time: i64, buffer: &mut Vec<u8>) {
        match self {
            Bodies::AccessLog(log) => log.write(number, time, buffer),
            Bodies::Numbered(numbered) => numbered.write(number, buffer),
        }
    }
}

impl Numbered {
    fn new(size: usize) -> Numbered {
        let filling = std::iter::once(b' ').chain((b'a'..=b'z').cycle()).take(size).collect();
        Numbered { filling, digits: itoa::Buffer::new() }
    }

    fn write(&mut self, number: u64, buffer: &mut Vec<u8>) {
        let digits = self.digits.format(number).as_bytes();
        buffer.extend_from_slice(digits);
        let left = self.filling.len().saturating_sub(digits.len());
        buffer.extend_from_slice(&self.filling[..left]);
    }
}
