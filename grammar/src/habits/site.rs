//! The text around a syntax error.

use std::ops::Range;

use crate::Rule;

/// The place of a syntax error in an item's text, with the rules that pest expected there.
pub(super) struct Site<'t> {
    pub(super) rules: &'t [Rule],
    pub(super) text: &'t str,
    pub(super) place: usize,
}

impl<'t> Site<'t> {
    pub(super) fn expects(&self, rule: Rule) -> bool {
        self.rules.contains(&rule)
    }

    /// Returns whether the place follows a complete value.
    pub(super) fn after_value(&self) -> bool {
        self.expects(Rule::comparator) || self.expects(Rule::coalesce)
    }

    /// Returns whether a value is expected.
    pub(super) fn before_value(&self) -> bool {
        self.expects(Rule::number) && self.expects(Rule::lbracket)
            || self.expects(Rule::expression)
            || self.expects(Rule::operation)
    }

    /// Returns whether a stage of a flow or a step may begin at the place.
    pub(super) fn before_step(&self) -> bool {
        self.expects(Rule::set_word) || self.expects(Rule::keep_word) || self.expects(Rule::place)
    }

    pub(super) fn rest(&self) -> &'t str {
        tail(self.text, self.place)
    }

    pub(super) fn starts_with(&self, mark: &str) -> bool {
        self.rest().starts_with(mark)
    }

    /// Returns the word at the place; empty if there is none.
    pub(super) fn word(&self) -> &'t str {
        word_at(self.text, self.place)
    }

    /// Returns the range of the word at the place.
    pub(super) fn word_range(&self) -> Range<usize> {
        self.place..self.place + self.word().len()
    }

    /// Returns the range of the word before the place and the blanks before it; empty if no word stands there.
    pub(super) fn last_word(&self) -> Range<usize> {
        let end = self.text[..self.place].trim_end_matches([' ', '\t']).len();
        word_start(self.text, end)..end
    }

    /// Returns the end of the text before the place, without blanks.
    pub(super) fn last_end(&self) -> usize {
        self.text[..self.place].trim_end().len()
    }
}

/// Returns the text from a place on; empty if the place is behind its end.
pub(super) fn tail(text: &str, place: usize) -> &str {
    text.get(place..).unwrap_or_default()
}

pub(super) fn is_word_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Returns the word at a place; empty if there is none.
pub(super) fn word_at(text: &str, place: usize) -> &str {
    let rest = tail(text, place);
    &rest[..rest.find(|letter| !is_word_letter(letter)).unwrap_or(rest.len())]
}

/// Returns the start of the word that ends at a place.
pub(super) fn word_start(text: &str, end: usize) -> usize {
    text[..end].rfind(|letter| !is_word_letter(letter)).map_or(0, |last| {
        // The next letter begins after the whole character.
        last + tail(text, last).chars().next().map_or(1, char::len_utf8)
    })
}

/// Returns the end of the blanks at a place.
pub(super) fn skip_blanks(text: &str, place: usize) -> usize {
    text.len() - tail(text, place.min(text.len())).trim_start_matches([' ', '\t', '\r']).len()
}

/// Returns the start of the operand that ends at a place: a name with its members and arguments, a header, a number or
/// text.
pub(super) fn operand_start(text: &str, end: usize) -> usize {
    let bytes = text.as_bytes();
    let mut start = text[..end].trim_end_matches([' ', '\t']).len();
    loop {
        let before = start;
        match start.checked_sub(1).map(|last| bytes[last]) {
            Some(b')' | b']' | b'}') => start = opener_of(bytes, start - 1),
            Some(b'"') => {
                start = text[..start - 1].rfind(['"', '\n']).unwrap_or(start - 1);
                if start > 0 && bytes[start - 1] == b'r' {
                    start -= 1;
                }
            }
            Some(byte) if is_word_letter(byte as char) => start = word_start(text, start),
            _ => {}
        }
        if start > 0 && bytes[start - 1] == b'@' {
            start -= 1;
        }
        if start > 0 && bytes[start - 1] == b'.' && start != before {
            start -= 1;
            continue;
        }
        // `f(x)` and `list[0]`: the name before the bracket belongs to the operand.
        let is_bracket = start < bytes.len() && matches!(bytes[start], b'(' | b'[');
        if start == before || !(is_bracket && start > 0 && is_word_letter(bytes[start - 1] as char)) {
            return start;
        }
    }
}

/// Returns the place of the bracket that this closing bracket closes, or the place itself.
fn opener_of(bytes: &[u8], closer: usize) -> usize {
    let mut depth = 0;
    let mut in_text = false;
    for place in (0..=closer).rev() {
        match bytes[place] {
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b')' | b']' | b'}' => depth += 1,
            b'(' | b'[' | b'{' => {
                depth -= 1;
                if depth == 0 {
                    return place;
                }
            }
            _ => {}
        }
    }
    closer
}

/// Returns the end of the brackets that open at a place; the place itself if they do not close.
pub(super) fn closed(text: &str, opener: usize) -> usize {
    let mut depth = 0;
    let end = scan(text, opener, |_, byte| {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    end.map_or(opener, |closer| closer + 1)
}

/// Returns the end of the operand that begins at a place: text, a number, a header, or a name with members and brackets.
pub(super) fn operand_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let mut end = start;
    if bytes.get(end) == Some(&b'r') && bytes.get(end + 1) == Some(&b'"') {
        end += 1;
    }
    match bytes.get(end) {
        Some(b'"') => return end_of_text(bytes, end),
        Some(b'(' | b'[' | b'{') => end = closed(text, end),
        Some(b'@' | b'-') => end += 1,
        _ => {}
    }
    loop {
        end += tail(text, end).find(|letter| !is_word_letter(letter)).unwrap_or(text.len() - end);
        match bytes.get(end) {
            Some(b'(' | b'[') if closed(text, end) > end => end = closed(text, end),
            Some(b'.') if bytes.get(end + 1).is_some_and(|byte| is_word_letter(*byte as char)) => end += 1,
            _ => return end,
        }
    }
}

/// Returns the end of the value that begins at a place: the next comma, closing bracket, or end of line on its level, or the
/// first of these marks on its level.
pub(super) fn value_end(text: &str, start: usize, marks: &[&str]) -> usize {
    let start = start.min(text.len());
    let mut depth = 0;
    let end = scan(text, start, |place, byte| {
        let ends = depth == 0
            && (matches!(byte, b',' | b'\n' | b')' | b']' | b'}')
                || marks.iter().any(|mark| tail(text, place).starts_with(mark)));
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        ends
    });
    start + text[start..end.unwrap_or(text.len())].trim_end().len()
}

/// Calls the function for every byte outside of quoted text, and returns the first place for which it returns true.
pub(super) fn scan(text: &str, start: usize, mut stops: impl FnMut(usize, u8) -> bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut place = start;
    while place < bytes.len() {
        if bytes[place] == b'"' {
            place = end_of_text(bytes, place);
            continue;
        }
        if bytes[place].is_ascii() && stops(place, bytes[place]) {
            return Some(place);
        }
        place += 1;
    }
    None
}

/// Returns the end of the quoted text that begins at a place.
pub(super) fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let raw = start > 0 && bytes[start - 1] == b'r';
    let mut place = start + 1;
    while place < bytes.len() {
        match bytes[place] {
            b'"' => return place + 1,
            b'\n' => return place,
            b'\\' if !raw => place += 2,
            _ => place += 1,
        }
    }
    bytes.len()
}
