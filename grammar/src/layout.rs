//! The layout of a file: one pass over the bytes cuts the text into items.
//!
//! Pest parses a copy of one item at a time. In the copy, blanks replace comments, and newlines inside `( )` and
//! `[ ]`. Since every byte keeps its offset, places in the copy are places in the file.

mod entries;
mod foreign;
mod foreign_items;
mod foreign_texts;

use std::ops::Range;

pub(crate) use entries::entry_around;

use crate::error::{SyntaxError, SyntaxErrorKind};
use crate::repair::Edit;
use crate::tree::{Comment, CommentKind};
use crate::{FileId, Span};

/// The keywords at the beginning of items.
pub const ITEM_WORDS: [&str; 16] = [
    "param",
    "let",
    "source",
    "channel",
    "sink",
    "flow",
    "extern",
    "enum",
    "record",
    "import",
    "schema",
    "interceptor",
    "fn",
    "quality",
    "test",
    "agent",
];

/// The reserved words, which need backticks to be names.
pub const RESERVED_WORDS: [&str; 13] =
    ["true", "false", "null", "if", "then", "else", "match", "in", "is", "matches", "and", "or", "not"];

/// The maximum depth of nested brackets.
pub(crate) const NESTING_MAX: usize = 64;

/// The items and comments of a file.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// The items, in the order of the text.
    pub(crate) items: Vec<ItemText>,
    /// All comments, in the order of the text.
    pub(crate) comments: Vec<Comment>,
    /// The errors that were repaired; the items are cut as if the right forms stood there.
    pub(crate) errors: Vec<SyntaxError>,
}

/// The text of one item.
#[derive(Debug, Default)]
pub(crate) struct ItemText {
    /// The item's place in the file.
    pub(crate) range: Range<usize>,
    /// The ranges that pest must not see: comments and insignificant newlines.
    pub(crate) blanks: Vec<Range<usize>>,
    /// The edits that turn foreign forms into this language's, as ranges of the file.
    pub(crate) repairs: Vec<Edit>,
    /// The errors that the layout has found in the item.
    pub(crate) errors: Vec<SyntaxError>,
    /// Whether the item's brackets don't match, so that it can't be parsed.
    pub(crate) shapeless: bool,
    /// Whether the item has lines of a block whose opening brace is missing.
    unbraced: bool,
}

/// Cuts the text of a file into items.
pub(crate) fn lay_out(file: FileId, text: &str) -> Layout {
    lay_out_after(b'\n', file, text)
}

/// Finds the brackets and comments of a lone value. A value continues the `=` before it: its lines begin no items, and are no
/// lines of a property file.
pub(crate) fn lay_out_value(file: FileId, text: &str) -> Layout {
    lay_out_after(b'=', file, text)
}

/// Cuts a text into items that stands after a byte.
fn lay_out_after(last: u8, file: FileId, text: &str) -> Layout {
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut scanner = Scanner {
        file,
        text: text.as_bytes(),
        position: start,
        layout: Layout::default(),
        item: None,
        open: Vec::new(),
        last,
        last_end: start,
        line_start: start,
        last_comment: None,
        properties_after: None,
    };
    scanner.scan();
    scanner.layout
}

struct Scanner<'t> {
    file: FileId,
    text: &'t [u8],
    position: usize,
    layout: Layout,
    item: Option<ItemText>,
    /// The open brackets, with their places.
    open: Vec<(u8, usize)>,
    /// The last byte outside of blanks, newlines and comments; a newline at the beginning of the text.
    last: u8,
    /// The end of the last token.
    last_end: usize,
    line_start: usize,
    /// The last comment of another language.
    last_comment: Option<foreign::LastComment>,
    /// The number of items before the last line of a property file.
    properties_after: Option<usize>,
}

impl Scanner<'_> {
    fn scan(&mut self) {
        let mut at_line_start = true;
        while let Some(&byte) = self.text.get(self.position) {
            match byte {
                b' ' | b'\t' | b'\r' => self.position += 1,
                b'\n' => {
                    self.newline();
                    at_line_start = true;
                }
                b'/' if self.text.get(self.position + 1) == Some(&b'/') => self.comment(),
                _ if self.foreign(byte, &mut at_line_start) => {}
                _ => {
                    if at_line_start && self.begins_item() {
                        self.finish_item();
                    } else if at_line_start && self.open.is_empty() {
                        self.note_unbraced();
                    }
                    at_line_start = false;
                    self.token(byte);
                }
            }
        }
        self.finish_item();
    }

    fn newline(&mut self) {
        if let (Some((b'(' | b'[', _)), Some(item)) = (self.open.last(), &mut self.item) {
            item.blanks.push(self.position..self.position + 1);
        }
        self.position += 1;
        self.line_start = self.position;
    }

    fn comment(&mut self) {
        let rest = &self.text[self.position..];
        let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let kind = match rest.get(2) {
            Some(b'/') if rest.get(3) != Some(&b'/') => CommentKind::Item,
            Some(b'!') => CommentKind::File,
            _ => CommentKind::Plain,
        };
        let range = self.position..self.position + length;
        let span = self.span(range.clone());
        self.layout.comments.push(Comment { span, kind });
        if let Some(item) = &mut self.item {
            item.blanks.push(range);
        }
        self.position += length;
    }

    /// Returns whether the line at this position begins an item.
    ///
    /// Inside brackets or after an operator, only an item's keyword in the first column that is followed by a name
    /// begins an item. So an unfinished item ends where the next item begins.
    fn begins_item(&self) -> bool {
        let Some(item) = &self.item else { return false };
        let word = self.word(self.position);
        if self.open.is_empty() && !is_continued(&self.text[..self.last_end], self.last) {
            let is_strange = self.position == self.line_start && self.begins_strange_item(item);
            // An indented line without an item's keyword belongs to an item whose opening brace is missing.
            let in_first_column = self.position == self.line_start || ITEM_WORDS.contains(&word);
            let is_word = !word.is_empty() && !matches!(word, "because" | "else" | "and" | "or");
            return is_strange || is_word && in_first_column;
        }
        self.position == self.line_start && ITEM_WORDS.contains(&word) && self.names_item(self.position, word)
    }

    /// Returns whether a line begins an item without its keyword: the previous item is complete without the line.
    fn begins_strange_item(&self, item: &ItemText) -> bool {
        let begun = &self.text[item.range.start..];
        let takes_braces =
            ![&b"import"[..], b"param", b"let", b"extern fn"].iter().any(|word| begun.starts_with(word));
        match self.text[self.position] {
            b'"' | b'`' | b'}' | b')' | b']' => !item.shapeless && !item.unbraced,
            b'{' => self.last == b'}' || !takes_braces,
            _ => false,
        }
    }

    /// Marks the item if this line neither continues an entry nor begins an item.
    fn note_unbraced(&mut self) {
        let continues = is_continued(&self.text[..self.last_end], self.last)
            || goes_on_after(&self.text[self.position..])
            || self.position == self.line_start;
        if let Some(item) = &mut self.item {
            item.unbraced |= !continues;
        }
    }

    /// Returns whether an item's keyword is followed by a name, a title, or the braces of `agent`.
    fn names_item(&self, at: usize, word: &str) -> bool {
        let rest = &self.text[at + word.len()..];
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let after = &rest[blanks..];
        let next = self.word(self.text.len() - after.len());
        match after.first() {
            Some(b'{') => word == "agent",
            Some(b'"') => matches!(word, "import" | "test"),
            Some(b'`') => true,
            Some(b'=') => after.get(1) != Some(&b'='),
            // A component may have the name `in`, but only before a `=`.
            Some(_) if matches!(next, "in" | "is" | "matches" | "and" | "or" | "then" | "else") => {
                let rest = after[next.len()..].trim_ascii_start();
                rest.starts_with(b"=") && !rest.starts_with(b"==")
            }
            Some(&byte) => is_letter(byte),
            None => false,
        }
    }

    fn token(&mut self, byte: u8) {
        if self.item.is_none() {
            self.item = Some(ItemText { range: self.position..self.position, ..ItemText::default() });
        }
        self.last = byte;
        match byte {
            b'"' => self.string(self.position, true),
            b'r' if self.text.get(self.position + 1) == Some(&b'"') => {
                self.position += 1;
                self.string(self.position - 1, false);
            }
            b'{' | b'(' | b'[' => self.opener(byte),
            b'}' | b')' | b']' => self.closer(byte),
            _ if is_letter(byte) || byte.is_ascii_digit() => {
                let arrow_before = self.text[..self.last_end].ends_with(b"->");
                let length = self.word(self.position).len();
                self.position += length;
                self.last = self.text[self.position - 1];
                if arrow_before {
                    self.open_match(length);
                }
            }
            b'\'' | 0x80.. if self.foreign_token() => {}
            _ => self.position += 1,
        }
        self.last_end = self.position;
        if let Some(item) = &mut self.item {
            item.range.end = self.position;
        }
    }

    /// Scans a string from its opening quote to its closing quote, or to the end of the line.
    fn string(&mut self, start: usize, escapes: bool) {
        self.last = b'"';
        let line_end = match string_end(self.text, start + usize::from(!escapes) + 1, escapes) {
            Some(end) => {
                self.position = end;
                return;
            }
            None => {
                let rest = &self.text[start..];
                start + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
            }
        };
        self.position = line_end;
        if !escapes || !self.close_text(start) {
            self.report(start..line_end, SyntaxErrorKind::UnclosedText { edits: Vec::new() });
        }
    }

    fn opener(&mut self, byte: u8) {
        if self.open.len() == NESTING_MAX {
            let kind = SyntaxErrorKind::Limit { what: "brackets nested in brackets", limit: NESTING_MAX };
            self.report_shape(self.position..self.position + 1, kind);
        }
        self.open.push((byte, self.position));
        self.position += 1;
    }

    fn closer(&mut self, byte: u8) {
        let here = self.position..self.position + 1;
        self.position += 1;
        let opener = opener_of(byte);
        match self.open.last().copied() {
            Some((open, _)) if open == opener => {
                self.open.pop();
            }
            Some((open, place)) => {
                let opener = Some((open as char, self.span(place..place + 1)));
                self.report_shape(here, SyntaxErrorKind::UnmatchedBracket { closer: byte as char, opener });
                // The closing bracket most likely belongs to the nearest opening one of its kind.
                if let Some(index) = self.open.iter().rposition(|(open, _)| *open == opener_of(byte)) {
                    self.open.truncate(index);
                }
            }
            // The parser reports the place of the missing opening brace.
            None if byte == b'}' && self.item.as_ref().is_some_and(|item| item.unbraced) => {}
            None => {
                let kind = SyntaxErrorKind::UnmatchedBracket { closer: byte as char, opener: None };
                self.report_shape(here, kind);
            }
        }
    }

    fn finish_item(&mut self) {
        if let Some((opener, place)) = self.open.first().copied() {
            let kind = SyntaxErrorKind::UnclosedBracket { opener: opener as char };
            self.report_shape(place..place + 1, kind);
        }
        self.open.clear();
        self.layout.items.extend(self.item.take());
    }

    fn report(&mut self, range: Range<usize>, kind: SyntaxErrorKind) {
        let span = self.span(range);
        if let Some(item) = &mut self.item {
            item.errors.push(SyntaxError { span, kind });
        }
    }

    /// Reports mismatched brackets; only the first report of an item counts, since others follow from it.
    fn report_shape(&mut self, range: Range<usize>, kind: SyntaxErrorKind) {
        if self.item.as_ref().is_some_and(|item| !item.shapeless) {
            self.report(range, kind);
        }
        if let Some(item) = &mut self.item {
            item.shapeless = true;
        }
    }

    fn word(&self, start: usize) -> &str {
        let rest = &self.text[start..];
        let length = rest.iter().take_while(|&&byte| is_letter(byte) || byte.is_ascii_digit()).count();
        std::str::from_utf8(&rest[..length]).unwrap_or_default()
    }

    fn span(&self, range: Range<usize>) -> Span {
        Span { file: self.file, start: range.start as u32, end: range.end as u32 }
    }
}

fn opener_of(closer: u8) -> u8 {
    match closer {
        b'}' => b'{',
        b')' => b'(',
        _ => b'[',
    }
}

/// Returns the end of a string whose content begins at a place; `None` if it is not closed on its line.
fn string_end(text: &[u8], start: usize, escapes: bool) -> Option<usize> {
    let mut place = start;
    while let Some(&byte) = text.get(place) {
        match byte {
            b'"' => return Some(place + 1),
            b'\n' => return None,
            b'\\' if escapes && !matches!(text.get(place + 1), None | Some(b'\n')) => place += 2,
            _ => place += 1,
        }
    }
    None
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

/// Returns whether a line continues on the next line because it ends with an operator. `last` is the line's last byte.
fn is_continued(before: &[u8], last: u8) -> bool {
    match last {
        b'=' | b'<' | b'+' | b'-' | b'*' | b'/' | b'|' | b',' | b':' => true,
        // `1%` is a number, `Text?` and `Map<Text>` are types; as operators these marks follow a blank, and `%` also no digit.
        b'%' | b'?' | b'>' => {
            let line = before.trim_ascii_end();
            let is_free = |byte: &u8| byte.is_ascii_whitespace() || last == b'%' && !byte.is_ascii_digit();
            [&b"->"[..], b"=>", b"??"].iter().any(|operator| line.ends_with(operator))
                || line.iter().rev().nth(1).is_some_and(is_free)
        }
        b'a'..=b'z' => {
            let line = before.trim_ascii_end();
            let start = line.iter().rposition(|&byte| !is_letter(byte) && !byte.is_ascii_digit());
            let word = &line[start.map_or(0, |start| start + 1)..];
            // `@in` is a header.
            let is_word = start.is_none_or(|start| line[start] != b'@');
            is_word && [&b"and"[..], b"or", b"in", b"matches", b"then", b"else", b"because"].contains(&word)
        }
        _ => false,
    }
}

/// Returns whether the next line continues this one, since it begins with an arrow or a word such as `else`.
fn goes_on_after(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_start();
    [&b"->"[..], b"else ", b"and ", b"or ", b"because "].iter().any(|word| rest.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<&str> {
        lay_out(FileId(0), text).items.into_iter().map(|item| &text[item.range]).collect()
    }

    #[test]
    fn an_item_ends_where_the_next_one_begins() {
        let text = "let a = 1\n// b = {\nlet b =\n  2 // no end: {\nsource c = d { e: \"}\" }\n";
        assert_eq!(items(text), ["let a = 1", "let b =\n  2", "source c = d { e: \"}\" }"]);
        // A percent sign behind a digit is a unit.
        let text = "let a = (b)%\nsecret env(\"c\")\nlet d = 1%\nlet e = 2 %\n  f\n";
        assert_eq!(items(text), ["let a = (b)%\nsecret env(\"c\")", "let d = 1%", "let e = 2 %\n  f"]);
    }

    #[test]
    fn an_item_with_an_unclosed_brace_ends_before_the_next_item() {
        let text = "sink a = b {\n  source: 1\nsink c = d {}\n";
        assert_eq!(items(text), ["sink a = b {\n  source: 1", "sink c = d {}"]);
    }
}
