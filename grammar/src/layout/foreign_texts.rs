//! Texts and marks in other characters: other quotes, arrows, and texts that do not end on their line.

use std::ops::Range;

use super::{ITEM_WORDS, Scanner, string_end};
use crate::error::{SyntaxError, SyntaxErrorKind};

/// The most lines of a text that is closed on a later line.
const TEXT_LINES_MAX: usize = 50;

/// Characters that look like a mark of the language, and the mark.
const LOOKALIKES: [(char, &str); 22] = [
    ('→', "->"),
    ('⟶', "->"),
    ('➔', "->"),
    ('➜', "->"),
    ('➝', "->"),
    ('⇒', "=>"),
    ('⟹', "=>"),
    ('≥', ">="),
    ('≤', "<="),
    ('≠', "!="),
    ('–', "-"),
    ('—', "-"),
    ('−', "-"),
    ('‐', "-"),
    ('‑', "-"),
    ('×', "*"),
    ('÷', "/"),
    ('：', ":"),
    ('，', ","),
    ('＝', "="),
    ('；', ","),
    ('…', ".."),
];

impl Scanner<'_> {
    /// Reads a token that is written with a character of another kind: quotes, arrows and dashes. Returns whether there is one.
    pub(super) fn foreign_token(&mut self) -> bool {
        let Some(letter) = self.character() else { return false };
        let closers: &[char] = match letter {
            '\'' | '‘' | '‚' | '’' => &['\'', '’', '‘'],
            '“' | '„' | '”' | '‟' => &['”', '“', '"'],
            '«' => &['»'],
            '»' => &['«'],
            _ => return self.lookalike(letter),
        };
        let start = self.position;
        let line = self.line_end(start);
        let inside = start + letter.len_utf8();
        let Ok(text) = std::str::from_utf8(&self.text[inside..line]) else { return false };
        let Some(length) = text.find(closers) else { return false };
        let closer = text[length..].chars().next().map_or(1, char::len_utf8);
        let content = &text[..length];
        let end = inside + length + closer;
        let is_raw = content.contains('\\') && !content.contains('"');
        let replaced =
            if is_raw { format!("r\"{content}\"") } else { format!("\"{}\"", content.replace('"', "\\\"")) };
        let message = if letter == '\'' {
            "text stands in double quotes, not in single ones"
        } else {
            "text stands in straight double quotes: `\"`"
        };
        let title = format!("write `{replaced}`");
        self.note(start..end, message, &title, &[(start..end, replaced.as_str())]);
        self.position = end;
        self.last = b'"';
        self.repair_quotes(start..end, inside..inside + length, is_raw);
        true
    }

    /// Replaces the quotes of a text, and escapes the quotes in it. The rest stays, so that its places do.
    fn repair_quotes(&mut self, text: Range<usize>, content: Range<usize>, is_raw: bool) {
        self.repair(text.start..content.start, if is_raw { "r\"" } else { "\"" });
        for at in content.clone().filter(|at| self.text[*at] == b'"').collect::<Vec<_>>() {
            self.repair(at..at, "\\");
        }
        self.repair(content.end..text.end, "\"");
    }

    fn lookalike(&mut self, letter: char) -> bool {
        let Some((_, mark)) = LOOKALIKES.iter().find(|(other, _)| *other == letter) else { return false };
        let mut range = self.position..self.position + letter.len_utf8();
        let mut mark = *mark;
        if mark == "-" && self.text.get(range.end) == Some(&b'>') {
            (mark, range.end) = ("->", range.end + 1);
        }
        let found = String::from_utf8_lossy(&self.text[range.clone()]).into_owned();
        let message =
            format!("`{found}` (U+{:04X}) looks like `{mark}`, and is another character", letter as u32);
        self.note(range.clone(), &message, &format!("write `{mark}`"), &[(range.clone(), mark)]);
        self.position = range.end;
        // A line that ends with an arrow goes on in the next line.
        self.last = if mark.ends_with('>') { b'=' } else { mark.as_bytes()[0] };
        self.repair(range, mark);
        true
    }

    /// Reads the rest of a text that is not closed on its line: closes it, if its end is clear. Returns whether it is.
    pub(super) fn close_text(&mut self, start: usize) -> bool {
        let line_end = self.position;
        if let Some(end) = self.end_on_later_line(line_end) {
            let mut edits = Vec::new();
            let mut at = start;
            while let Some(newline) = Some(self.line_end(at)).filter(|newline| *newline < end) {
                let carriage = usize::from(self.text[newline - 1] == b'\r');
                edits.push(newline - carriage..newline + 1);
                at = newline + 1;
            }
            self.line_start = at;
            self.position = end;
            self.unclosed(start..line_end, &edits, "\\n");
            return true;
        }
        let line = &self.text[start..line_end];
        let content = line.trim_ascii_end().len();
        let count = |byte: u8| line.iter().filter(|other| **other == byte).count();
        let is_plain = count(b'{') == count(b'}')
            && !line.iter().any(|byte| b"[](),\\".contains(byte))
            && !line.windows(2).any(|two| two == b"//");
        if !is_plain || content < 2 {
            return false;
        }
        let end = start + content;
        self.unclosed(start..end, std::slice::from_ref(&(end..end)), "\"");
        true
    }

    fn unclosed(&mut self, place: Range<usize>, edits: &[Range<usize>], replacement: &str) {
        for edit in edits {
            self.repair(edit.clone(), replacement);
        }
        let edits = edits.iter().map(|range| (self.span(range.clone()), replacement.to_owned())).collect();
        let span = self.span(place);
        self.layout.errors.push(SyntaxError { span, kind: SyntaxErrorKind::UnclosedText { edits } });
    }

    /// Returns the end of a text that is closed on a later line: that line has an odd number of quotes, and the lines
    /// between have none.
    fn end_on_later_line(&self, line_end: usize) -> Option<usize> {
        let mut start = line_end + 1;
        for _ in 0..TEXT_LINES_MAX {
            if start >= self.text.len() {
                return None;
            }
            let end = self.line_end(start);
            let line = &self.text[start..end];
            let word = self.word(start);
            if ITEM_WORDS.contains(&word) && self.names_item(start, word) {
                return None;
            }
            match line.iter().filter(|&&byte| byte == b'"').count() {
                0 => start = end + 1,
                count if count % 2 == 1 => {
                    let close = string_end(self.text, start, true)?;
                    return (close <= end).then_some(close);
                }
                _ => return None,
            }
        }
        None
    }
}
