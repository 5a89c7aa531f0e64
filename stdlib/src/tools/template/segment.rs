//! Values in paths: written so that a value stays one part of one segment.
//!
//! - `/`, `%`, `:` (which HDFS refuses), control characters and bytes that are no UTF-8 become
//!   `%` and two hexadecimal digits, as in a URL; so does a dot at a value's beginning, which
//!   rules out `.`, `..` and hidden names. Percent-decoding gives the value back.
//! - An empty value becomes `__empty__`; the value `__empty__` itself becomes `%5F_empty__`.
//! - A segment that would be longer than 200 bytes is cut, and ends in `~` and a hash of the
//!   whole: file systems refuse more than 255, and refusing would stop the sink at that event
//!   for good. This alone can't be turned back.

use std::fmt;
use std::fmt::Write;

use xxhash_rust::xxh3::xxh3_64;

/// What an empty value is written as.
const EMPTY: &str = "__empty__";

/// The longest segment, in bytes; file systems allow 255, which leaves room for what they or
/// other tools append.
const SEGMENT_BYTES_MAX: usize = 200;

/// What the hash of a segment that was cut takes up: `~` and 16 digits.
const HASH_BYTES: usize = 17;

/// Appends a value.
pub(super) fn push(path: &mut String, value: &[u8]) -> fmt::Result {
    if value.is_empty() {
        return path.write_str(EMPTY);
    }
    if value == EMPTY.as_bytes() {
        write!(path, "%{:02X}", value[0])?;
        return path.write_str(&EMPTY[1..]);
    }
    let mut first = true;
    for chunk in value.utf8_chunks() {
        let valid = chunk.valid();
        let mut plain = 0;
        for (place, byte) in valid.bytes().enumerate() {
            if is_escaped(byte) || (byte == b'.' && first) {
                path.write_str(&valid[plain..place])?;
                write!(path, "%{byte:02X}")?;
                plain = place + 1;
            }
            first = false;
        }
        path.write_str(&valid[plain..])?;
        for byte in chunk.invalid() {
            write!(path, "%{byte:02X}")?;
            first = false;
        }
    }
    Ok(())
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'/' | b'%' | b':') || byte.is_ascii_control()
}

/// Cuts the segments that are too long in what was appended to `path` since `start`.
pub(super) fn shorten(path: &mut String, start: usize) {
    if path.len() - start <= SEGMENT_BYTES_MAX {
        return;
    }
    let whole = path.split_off(start);
    for (place, segment) in whole.split('/').enumerate() {
        if place > 0 {
            path.push('/');
        }
        if segment.len() <= SEGMENT_BYTES_MAX {
            path.push_str(segment);
            continue;
        }
        let mut kept = SEGMENT_BYTES_MAX - HASH_BYTES;
        while !segment.is_char_boundary(kept) {
            kept -= 1;
        }
        path.push_str(&segment[..kept]);
        // Writing into a string can't fail.
        let _infallible = write!(path, "~{:016x}", xxh3_64(segment.as_bytes()));
    }
}

/// Leaves one slash where a program's own texts have several in a row.
pub(super) fn normalise<'a>(texts: impl Iterator<Item = &'a mut String>) {
    for text in texts {
        while text.contains("//") {
            *text = text.replace("//", "/");
        }
    }
}
