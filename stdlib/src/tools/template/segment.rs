//! Escapes values in paths, so that a value stays within its segment.
//!
//! - `/`, `%`, `:` (which HDFS refuses), control characters and bytes that are not UTF-8 become `%` and two hexadecimal
//!   digits, as in a URL. So does a dot at the beginning of a value, which rules out `.`, `..` and hidden names.
//!   Percent-decoding restores the value.
//! - An empty value becomes `__empty__`; the value `__empty__` itself becomes `%5F_empty__`.
//! - A segment of more than 200 bytes is cut, and ends in `~` and a hash of the complete segment: file systems refuse
//!   more than 255 bytes, which would stop the sink at that event for good. Only this can't be decoded.

use std::fmt;
use std::fmt::Write;

use xxhash_rust::xxh3::xxh3_64;

/// The text of an empty value.
const EMPTY: &str = "__empty__";

/// The longest segment, in bytes. File systems allow 255, which leaves room for suffixes of other tools.
const SEGMENT_BYTES_MAX: usize = 200;

/// The length of the hash of a cut segment: `~` and 16 digits.
const HASH_BYTES: usize = 17;

/// Appends a value, escaped.
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
        for (index, byte) in valid.bytes().enumerate() {
            if is_escaped(byte) || (byte == b'.' && first) {
                path.write_str(&valid[plain..index])?;
                write!(path, "%{byte:02X}")?;
                plain = index + 1;
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

/// Cuts the segments of `path` behind `start` that are too long.
pub(super) fn shorten(path: &mut String, start: usize) {
    if path.len() - start <= SEGMENT_BYTES_MAX {
        return;
    }
    let appended = path.split_off(start);
    for (number, segment) in appended.split('/').enumerate() {
        if number > 0 {
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

/// Replaces several slashes in a row by one, in each of the program's own texts.
pub(super) fn normalise<'a>(texts: impl Iterator<Item = &'a mut String>) {
    for text in texts {
        while text.contains("//") {
            *text = text.replace("//", "/");
        }
    }
}
