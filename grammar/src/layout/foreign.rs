//! Forms of other languages and tools that decide where texts, comments and items end: `#` comments, other quotes, `;`,
//! invisible characters, lines of properties, and several items on a line.
//!
//! Each is reported and repaired here, so that the items are cut as if the right form stood there.

use std::ops::Range;

use super::{ITEM_WORDS, Scanner, is_continued, is_letter};
use crate::error::{Foreign, SyntaxError, SyntaxErrorKind};

/// A comment of another language.
#[derive(Debug, Default)]
pub(super) struct LastComment {
    /// The index of its error.
    error: usize,
    /// The end of its line.
    end: usize,
}

impl Scanner<'_> {
    /// Reads a form of another language at the current position. Returns whether there was one.
    pub(super) fn foreign(&mut self, byte: u8, at_line_start: &mut bool) -> bool {
        let next = self.text.get(self.position + 1).copied();
        match byte {
            b'#' => self.foreign_comment(1, *at_line_start),
            b'-' if *at_line_start && next == Some(b'-') && self.is_dashed_comment() => {
                self.foreign_comment(2, true);
            }
            b'/' if next == Some(b'*') => return self.block_comment(),
            b';' => self.semicolon(*at_line_start),
            b'[' if *at_line_start && self.position == self.line_start && self.open.is_empty() => {
                return self.section();
            }
            0x80.. => return self.invisible(),
            _ if *at_line_start && self.open.is_empty() => {
                return self.property(byte) || self.stray_marks(byte);
            }
            _ if is_letter(byte) && self.open.is_empty() => {
                if self.begins_second_item() {
                    *at_line_start = true;
                }
                return false;
            }
            _ => return false,
        }
        true
    }

    pub(super) fn note(
        &mut self,
        range: Range<usize>,
        message: &str,
        title: &str,
        edits: &[(Range<usize>, &str)],
    ) {
        let edits =
            edits.iter().map(|(range, text)| (self.span(range.clone()), (*text).to_owned())).collect();
        let foreign =
            Foreign { message: message.to_owned(), title: title.to_owned(), help: None, edits, group: None };
        let kind = SyntaxErrorKind::Foreign(Box::new(foreign));
        let span = self.span(range);
        self.layout.errors.push(SyntaxError { span, kind });
    }

    pub(super) fn repair(&mut self, range: Range<usize>, replacement: &str) {
        if let Some(item) = &mut self.item {
            item.repairs.push((range, replacement.to_owned()));
        }
    }

    pub(super) fn line_end(&self, start: usize) -> usize {
        let rest = &self.text[start..];
        start + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
    }

    /// Returns whether `--` at the beginning of a line begins a comment.
    fn is_dashed_comment(&self) -> bool {
        matches!(self.text.get(self.position + 2), Some(b' ' | b'\t'))
            && !matches!(self.open.last(), Some((b'(' | b'[', _)))
            && !is_continued(&self.text[..self.last_end], self.last)
    }

    /// Reads a comment that begins with a mark of another language. Comments on adjacent lines are one mistake.
    fn foreign_comment(&mut self, mark: usize, whole_line: bool) {
        let range = self.position..self.line_end(self.position);
        let marks =
            self.text[range.clone()].iter().take_while(|&&byte| byte == self.text[range.start]).count();
        let mark = mark.max(marks);
        let after = self.text.get(range.start + mark);
        let slashes = if matches!(after, Some(b'/' | b'!')) { "// " } else { "//" };
        let place = range.start..range.start + mark;
        let adjacent = self.last_comment.as_ref().filter(|last| {
            whole_line && self.text[last.end..range.start].iter().all(u8::is_ascii_whitespace)
        });
        let error = adjacent.map_or(self.layout.errors.len(), |last| last.error);
        let span = self.span(place.clone());
        match self.layout.errors.get_mut(error).map(|error| &mut error.kind) {
            Some(SyntaxErrorKind::Foreign(foreign)) => foreign.edits.push((span, slashes.to_owned())),
            _ => {
                let found = String::from_utf8_lossy(&self.text[place.clone()]).into_owned();
                let message = format!("a comment begins with `//`, not with `{found}`");
                self.note(place.clone(), &message, "write `//`", &[(place, slashes)]);
            }
        }
        self.last_comment = Some(LastComment { error, end: range.end });
        if let Some(item) = &mut self.item {
            item.blanks.push(range.clone());
        }
        self.position = range.end;
    }

    /// Reads `/* … */`.
    fn block_comment(&mut self) -> bool {
        let start = self.position;
        // The star of `/*/` does not end the comment that it begins.
        let inner = start + 2;
        let Some(length) = self.text[inner..].windows(2).position(|two| two == b"*/") else { return false };
        let end = inner + length + 2;
        let line_end = self.line_end(end);
        let is_last = self.text[end..line_end].iter().all(u8::is_ascii_whitespace);
        let mut edits: Vec<(Range<usize>, &str)> = vec![(start..start + 2, "//")];
        let mut at = start;
        while let Some(next) = Some(self.line_end(at) + 1).filter(|next| *next < end) {
            let line = &self.text[next..end];
            let indent = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let star = usize::from(line.get(indent) == Some(&b'*') && line.get(indent + 1) != Some(&b'/'));
            edits.push((next + indent..next + indent + star, if star == 1 { "//" } else { "// " }));
            at = next;
        }
        edits.push((end - 2..end, ""));
        let rest = &self.text[end..line_end];
        let note = String::from_utf8_lossy(self.text[inner..end - 2].trim_ascii()).into_owned();
        let moved = format!(" // {note}");
        if !is_last {
            // A comment before code moves to the end of the line.
            let is_plain = edits.len() == 2
                && !rest.windows(2).any(|two| two == b"//" || two == b"/*")
                && !rest.contains(&b'#');
            let blank = usize::from(rest.starts_with(b" "));
            let line_end = end + rest.trim_ascii_end().len();
            edits = vec![(start..end + blank, ""), (line_end..line_end, moved.as_str())];
            edits.truncate(if is_plain { 2 } else { 0 });
        }
        self.note(
            start..start + 2,
            "a comment begins with `//` and ends with its line",
            "write `//`",
            &edits,
        );
        let mut at = start;
        while at < end {
            let line_end = self.line_end(at).min(end);
            if let Some(item) = &mut self.item {
                item.blanks.push(at..line_end);
            }
            at = line_end + 1;
        }
        self.line_start =
            self.text[..end].iter().rposition(|&byte| byte == b'\n').map_or(self.line_start, |last| last + 1);
        self.position = end;
        true
    }

    fn semicolon(&mut self, at_line_start: bool) {
        let here = self.position..self.position + 1;
        let line_end = self.line_end(here.end);
        let rest = self.text[here.end..line_end].trim_ascii_start();
        let next = here.end + self.text[here.end..].iter().take_while(|&&byte| byte == b' ').count();
        let begins_item = ITEM_WORDS.contains(&self.word(next));
        if self.open.is_empty()
            && next > here.end
            && !begins_item
            && !rest.is_empty()
            && !rest.starts_with(b"//")
        {
            self.foreign_comment(1, at_line_start);
            return;
        }
        let is_last = rest.is_empty()
            || rest.starts_with(b"//")
            || rest.starts_with(b"#")
            || rest.starts_with(b"}")
            || rest.starts_with(b";");
        let message = "an entry or item ends with its line, without `;`";
        self.position += 1;
        if is_last || self.item.is_none() {
            self.note(here.clone(), message, "leave out `;`", &[(here.clone(), "")]);
            self.repair(here, "");
        } else if self.open.is_empty() {
            // The new line begins without the blanks.
            self.note(here.clone(), message, "begin a new line", &[(here.start..next, "\n")]);
            self.finish_item();
        } else {
            self.note(
                here.clone(),
                "entries on one line are separated by commas, not by `;`",
                "write `,`",
                &[(here.clone(), ",")],
            );
            self.repair(here, ",");
        }
    }

    /// Reads a blank that is no ASCII blank, or a character that has no width. Returns whether there is one.
    fn invisible(&mut self) -> bool {
        let Some(letter) = self.character() else { return false };
        let Some(replacement) = replacement(letter) else { return false };
        let start = self.position;
        while self.character() == Some(letter) {
            self.position += letter.len_utf8();
        }
        let range = start..self.position;
        let count = range.len() / letter.len_utf8();
        let blanks = replacement.repeat(count);
        let kind =
            if replacement.is_empty() { "a character without width" } else { "a blank of another kind" };
        let message = format!("{kind} stands here: U+{:04X}", letter as u32);
        let title = if replacement.is_empty() { "leave it out" } else { "write a plain blank" };
        self.note(range.clone(), &message, title, &[(range.clone(), blanks.as_str())]);
        self.repair(range, &blanks);
        true
    }

    pub(super) fn character(&self) -> Option<char> {
        let rest = &self.text[self.position..];
        let end = rest.len().min(4);
        let valid = match std::str::from_utf8(&rest[..end]) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default(),
        };
        valid.chars().next()
    }
}

/// Returns the plain text for an invisible character: a blank, or nothing.
fn replacement(letter: char) -> Option<&'static str> {
    match letter {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => Some(" "),
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}'
        | '\u{feff}' => Some(""),
        _ => None,
    }
}
