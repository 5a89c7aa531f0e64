//! The entries of an item's braces.

use std::ops::Range;

use super::{goes_on_after, is_continued, is_letter};

/// Returns the entry around a place in an item's blanked text: the range between two separators in the
/// innermost braces. `None` if the place is not in braces.
pub(crate) fn entry_around(text: &str, place: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    // For each open bracket: whether it is a brace, and the beginning of its current entry.
    let mut open: Vec<(bool, usize)> = Vec::new();
    let mut position = 0;
    let mut last = b'\n';
    while position < bytes.len() {
        let byte = bytes[position];
        let ends_entry = match byte {
            b',' => true,
            b'\n' if last == b':' && begins_entry(&bytes[position..]) => true,
            b'\n' => !is_continued(&bytes[..position], last) && !goes_on_after(&bytes[position..]),
            b'}' | b')' | b']' => true,
            _ => false,
        };
        if ends_entry
            && position >= place
            && let Some((true, start)) = open.last()
        {
            // The place is before the braces.
            if *start > place {
                return None;
            }
            let end = if byte == b',' { position + 1 } else { position };
            return Some(*start..end);
        }
        match byte {
            b'{' | b'(' | b'[' => open.push((byte == b'{', position + 1)),
            b'}' | b')' | b']' => {
                open.pop();
            }
            b',' | b'\n' if ends_entry => {
                if let Some((_, start)) = open.last_mut() {
                    *start = position + 1;
                }
            }
            b'"' => position = end_of_string(bytes, position),
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            last = byte;
        }
        position += 1;
    }
    None
}

/// Returns the place of the string's closing quote, or of the last byte of the line.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let raw = start > 0 && bytes[start - 1] == b'r';
    let mut position = start + 1;
    while position < bytes.len() {
        match bytes[position] {
            b'"' => return position,
            b'\n' => return position - 1,
            b'\\' if !raw => position += 2,
            _ => position += 1,
        }
    }
    position
}

/// Returns whether the next line begins with `name:`, or with `:`.
fn begins_entry(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_start();
    let is_of_name = |byte: &&u8| is_letter(**byte) || byte.is_ascii_digit() || matches!(byte, b'@' | b'`');
    let name = rest.iter().take_while(is_of_name).count();
    rest[name..].trim_ascii_start().starts_with(b":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_in_the_innermost_braces() {
        let text = "sink a = b {\n  c: { d: 1, e 2 }\n  f: 3\n}";
        let place = text.find("2").unwrap();
        let range = entry_around(text, place).unwrap();
        assert_eq!(&text[range], " e 2 ");
    }
}
