//! The syntax of JSON (RFC 8259): where values end. Texts are known to be UTF-8.
//!
//! A value that nobody wants is checked too. Nested values take no stack, so a deep body does not fill it.

/// The byte at which a text is not JSON.
pub(super) type Fault = usize;

/// Returns the first byte from `at` that is no blank.
#[inline]
pub(super) fn blank_end(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// Returns the byte behind the value at `begin`.
#[inline]
pub(super) fn value_end(text: &[u8], begin: usize) -> Result<usize, Fault> {
    match text.get(begin) {
        Some(b'{' | b'[') => nested_end(text, begin),
        _ => single_end(text, begin),
    }
}

/// Returns the byte behind the string at `begin`, and whether it has escapes.
#[inline]
pub(super) fn string_end(text: &[u8], begin: usize) -> Result<(usize, bool), Fault> {
    if text.get(begin) != Some(&b'"') {
        return Err(begin);
    }
    let (mut at, mut has_escapes) = (begin + 1, false);
    loop {
        at = plain_end(text, at);
        match text.get(at) {
            Some(b'"') => return Ok((at + 1, has_escapes)),
            Some(b'\\') => {
                has_escapes = true;
                at = escape_end(text, at)?;
            }
            _ => return Err(at),
        }
    }
}

/// Returns the first byte from `at` that is a quote, a backslash or a control character; the length if there is none.
#[inline]
pub(crate) fn plain_end(text: &[u8], at: usize) -> usize {
    // Most strings are shorter than a block.
    match short_plain_end(&text[..text.len().min(at + 16)], at) {
        end if end < at + 16 => end,
        end => long_plain_end(text, end),
    }
}

/// The same for strings that are rarely short: 32 bytes at a time, which the compiler compares at once.
fn long_plain_end(text: &[u8], mut at: usize) -> usize {
    let is_special = |byte: &u8| u8::from(*byte < 0x20) | u8::from(*byte == b'"') | u8::from(*byte == b'\\');
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<32>)
        && block.iter().fold(0, |special, byte| special | is_special(byte)) == 0
    {
        at += 32;
    }
    short_plain_end(text, at)
}

/// The same, eight bytes at a time.
#[inline]
fn short_plain_end(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // The lowest marked byte is right; a borrow may mark bytes above it.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let marked = (quotes | backslashes | controls) & HIGHS;
        if marked != 0 {
            return at + (marked.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while text.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)) {
        at += 1;
    }
    at
}

fn escape_end(text: &[u8], begin: usize) -> Result<usize, Fault> {
    match text.get(begin + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(begin + 2),
        Some(b'u') => {
            let digits = text.get(begin + 2..begin + 6);
            let is_right = digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            if is_right { Ok(begin + 6) } else { Err(begin) }
        }
        _ => Err(begin),
    }
}

#[inline]
fn single_end(text: &[u8], begin: usize) -> Result<usize, Fault> {
    let word =
        |word: &[u8]| if text[begin..].starts_with(word) { Ok(begin + word.len()) } else { Err(begin) };
    match text.get(begin) {
        Some(b'"') => string_end(text, begin).map(|(end, _)| end),
        Some(b'-' | b'0'..=b'9') => number_end(text, begin),
        Some(b't') => word(b"true"),
        Some(b'f') => word(b"false"),
        Some(b'n') => word(b"null"),
        _ => Err(begin),
    }
}

#[inline]
fn number_end(text: &[u8], begin: usize) -> Result<usize, Fault> {
    let digits_end = |mut at: usize| {
        let first = at;
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        if at > first { Ok(at) } else { Err(at) }
    };
    let mut at = begin + usize::from(text[begin] == b'-');
    at = if text.get(at) == Some(&b'0') { at + 1 } else { digits_end(at)? };
    if text.get(at) == Some(&b'.') {
        at = digits_end(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at = digits_end(at)?;
    }
    Ok(at)
}

/// Returns the byte behind the object or list at `begin`.
fn nested_end(text: &[u8], begin: usize) -> Result<usize, Fault> {
    let mut open = Open::default();
    let mut at = begin;
    loop {
        // Here a value begins.
        at = match text.get(at) {
            Some(b'{') => match blank_end(text, at + 1) {
                end if text.get(end) == Some(&b'}') => end + 1,
                key => {
                    open.push(true);
                    at = key_end(text, key)?;
                    continue;
                }
            },
            Some(b'[') => match blank_end(text, at + 1) {
                end if text.get(end) == Some(&b']') => end + 1,
                item => {
                    open.push(false);
                    at = item;
                    continue;
                }
            },
            _ => single_end(text, at)?,
        };
        // Here it has ended.
        loop {
            let Some(is_object) = open.last() else { return Ok(at) };
            at = blank_end(text, at);
            match (text.get(at), is_object) {
                (Some(b','), true) => {
                    at = key_end(text, blank_end(text, at + 1))?;
                    break;
                }
                (Some(b','), false) => {
                    at = blank_end(text, at + 1);
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    open.pop();
                    at += 1;
                }
                _ => return Err(at),
            }
        }
    }
}

/// Returns where the value behind the key at `begin` begins.
#[inline]
fn key_end(text: &[u8], begin: usize) -> Result<usize, Fault> {
    let (end, _) = string_end(text, begin)?;
    colon_end(text, end)
}

/// Returns where the value behind the colon begins that comes after a key.
#[inline]
pub(super) fn colon_end(text: &[u8], key_end: usize) -> Result<usize, Fault> {
    let at = blank_end(text, key_end);
    if text.get(at) == Some(&b':') { Ok(blank_end(text, at + 1)) } else { Err(at) }
}

/// The objects and lists that a value is in, a bit for each: 1 is an object. Allocates beyond 64.
#[derive(Default)]
struct Open {
    depth: usize,
    bits: u64,
    outer: Vec<u64>,
}

impl Open {
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(is_object);
        self.depth += 1;
    }

    fn last(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.bits & 1 == 1)
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.bits = match self.depth > 0 && self.depth.is_multiple_of(64) {
            true => self.outer.pop().unwrap_or_default(),
            false => self.bits >> 1,
        };
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use serde::de::IgnoredAny;

    use super::*;

    fn is_json(text: &[u8]) -> bool {
        value_end(text, blank_end(text, 0)).is_ok_and(|end| blank_end(text, end) == text.len())
    }

    /// Texts of the pieces of JSON: what serde_json takes is taken, and nothing else.
    #[test]
    fn the_same_texts_are_json_as_for_another_implementation() {
        const PIECES: [&str; 24] = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"\\n\\u12aF\"",
            "\"long enough for two words\\\\\"",
            "1",
            "-0",
            "01",
            "1.5e+3",
            "2.",
            "1E",
            "true",
            "false",
            "null",
            "nul",
            " ",
            "\"\\x\"",
            "\"",
            "\"\t\"",
            "\"é\u{7f}\"",
        ];
        let mut random = Rng::with_seed(1);
        let mut taken = 0;
        for _ in 0..200_000 {
            let pieces = random.usize(1..12);
            let text: String = (0..pieces).map(|_| PIECES[random.usize(..PIECES.len())]).collect();
            let expected = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            assert_eq!(is_json(text.as_bytes()), expected, "{text}");
            taken += usize::from(expected);
        }
        assert!(taken > 5_000, "{taken} texts were JSON");
    }

    #[test]
    fn brackets_close_what_they_opened_at_any_depth() {
        for depth in [1, 63, 64, 65, 127, 128, 129, 1_000] {
            let mut random = Rng::with_seed(depth);
            let kinds: Vec<bool> = (0..depth).map(|_| random.bool()).collect();
            let opened: String =
                kinds.iter().map(|is_object| if *is_object { "{\"a\":" } else { "[" }).collect();
            let closed: String =
                kinds.iter().rev().map(|is_object| if *is_object { '}' } else { ']' }).collect();
            let text = format!("{opened}1{closed}");
            assert!(is_json(text.as_bytes()), "{text}");
            for (from, to) in [('}', ']'), (']', '}')] {
                let Some(place) = closed.find(from) else { continue };
                let mut wrong = closed.clone();
                wrong.replace_range(place..=place, &to.to_string());
                assert!(!is_json(format!("{opened}1{wrong}").as_bytes()), "{depth}");
            }
        }
    }

    /// Every byte at every place of a word of eight.
    #[test]
    fn strings_end_at_the_first_quote_and_have_no_control_characters() {
        for byte in 0..0x80_u8 {
            for place in 0..20 {
                let mut text = "x".repeat(24).into_bytes();
                (text[0], text[23], text[place + 1]) = (b'"', b'"', byte);
                let expected = match byte {
                    b'"' => Ok((place + 2, false)),
                    b'\\' | 0..0x20 => Err(place + 1),
                    _ => Ok((24, false)),
                };
                assert_eq!(string_end(&text, 0), expected, "{byte} at {place}");
            }
        }
    }
}
