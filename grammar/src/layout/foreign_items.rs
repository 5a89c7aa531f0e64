//! Items that are not cut as in this language: lines of property files, marks before an item, several items on a line.

use std::ops::Range;

use super::{ITEM_WORDS, RESERVED_WORDS, Scanner, is_continued, is_letter};
use crate::error::{SyntaxError, SyntaxErrorKind};

impl Scanner<'_> {
    /// Reads a line `agent.sources = r1` of a property file. Adjacent lines are one mistake.
    pub(super) fn property(&mut self, byte: u8) -> bool {
        if !is_letter(byte) || self.position != self.line_start {
            return false;
        }
        let word = self.word(self.position).len();
        if self.text.get(self.position + word) != Some(&b'.') {
            return false;
        }
        let line = &self.text[self.position..self.line_end(self.position)];
        let is_of_key = |byte: u8| is_letter(byte) || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
        let key = line.iter().take_while(|byte| is_of_key(**byte)).count();
        let after = line[key..].trim_ascii_start();
        if !after.starts_with(b"=")
            || after.starts_with(b"==")
            || is_continued(&self.text[..self.last_end], self.last)
        {
            return false;
        }
        let place = self.position..self.position + line.trim_ascii_end().len();
        let key = String::from_utf8_lossy(&line[..key]).into_owned();
        let value = String::from_utf8_lossy(after[1..].trim_ascii()).into_owned();
        self.finish_item();
        self.properties(place, &instead_of_property(&key, &value));
        true
    }

    /// Reads a section of a TOML or INI file: `[sources.in]` with the lines below.
    pub(super) fn section(&mut self) -> bool {
        let line = self.text[self.position..self.line_end(self.position)].trim_ascii_end();
        let inner = line.trim_ascii_start();
        let is_of_name = |byte: &u8| {
            is_letter(*byte) || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'[' | b']' | b'"')
        };
        if !inner.ends_with(b"]")
            || !inner.iter().all(is_of_name)
            || inner.len() < 3
            || is_continued(&self.text[..self.last_end], self.last)
        {
            return false;
        }
        let place = self.position..self.position + line.len();
        self.finish_item();
        self.properties(place, "write an item for each component: `source name = kind { setting: value }`");
        // The lines of the section.
        loop {
            let next = (self.position + 1).min(self.text.len());
            let line = self.text[next..self.line_end(next)].trim_ascii_start();
            let key = line.iter().take_while(|byte| is_of_name(byte)).count();
            let is_pair = key > 0
                && line[key..].trim_ascii_start().starts_with(b"=")
                && !ITEM_WORDS.contains(&self.word(next));
            if next >= self.text.len() || !(is_pair || line.is_empty()) {
                return true;
            }
            self.position = self.line_end(next);
        }
    }

    /// Notes a line of a property file at a place, and skips the line.
    fn properties(&mut self, place: Range<usize>, title: &str) {
        let items = self.layout.items.len();
        if self.properties_after != Some(items) {
            self.note(
                place.clone(),
                "this is a line of a property file, which configures another tool",
                title,
                &[],
            );
            let help = "a program has an item for each component, and a flow that connects them";
            if let Some(SyntaxError { kind: SyntaxErrorKind::Foreign(foreign), .. }) =
                self.layout.errors.last_mut()
            {
                foreign.help = Some(help.to_owned());
            }
        }
        self.properties_after = Some(items);
        self.position = place.end;
    }

    /// Skips marks before an item, which would take its keyword away. Returns whether there are any.
    pub(super) fn stray_marks(&mut self, byte: u8) -> bool {
        if is_letter(byte) || byte.is_ascii_digit() || matches!(byte, b'"' | b'`' | b'@' | b'{' | b'(' | b'[')
        {
            return false;
        }
        let rest = &self.text[self.position..self.line_end(self.position)];
        let marks = rest.iter().take_while(|byte| !is_letter(**byte) && !byte.is_ascii_digit()).count();
        let at = self.position + marks;
        let word = self.word(at);
        let is_item = ITEM_WORDS.contains(&word) && self.names_item(at, word);
        if marks > 4
            || !is_item
            || is_continued(&self.text[..self.last_end], self.last)
            || rest[..marks].contains(&b'}')
        {
            return false;
        }
        let length = rest[..marks].trim_ascii_end().len();
        let place = self.position..self.position + length;
        let found = String::from_utf8_lossy(&self.text[place.clone()]).into_owned();
        let message = format!("an item begins with its keyword: `{found}` can't stand before it");
        self.finish_item();
        self.note(place.clone(), &message, &format!("leave out `{found}`"), &[(place.start..at, "")]);
        self.position = at;
        true
    }

    /// Opens the braces of `-> match` at the end of a line, if its brace is missing. The other forks have names that a
    /// component may have.
    pub(super) fn open_match(&mut self, word_length: usize) {
        let end = self.position;
        let line_end = self.line_end(end);
        let is_unbraced = self.text[end - word_length..end] == *b"match"
            && self.text[end..line_end].trim_ascii().is_empty()
            && !matches!(self.text[line_end..].trim_ascii_start().first(), None | Some(b'{' | b'}' | b'/'));
        if is_unbraced {
            let message = "the branches of `match` stand in braces, and the opening one is missing";
            self.note(end - word_length..end, message, "write `{` behind it", &[(end..end, " {")]);
            self.repair(end..end, " {");
            self.open.push((b'{', end));
            self.last = b'{';
        }
    }

    /// Ends the item if another item begins on its last line.
    pub(super) fn begins_second_item(&mut self) -> bool {
        let Some(item) = &self.item else { return false };
        let word = self.word(self.position);
        if !ITEM_WORDS.contains(&word) || !self.names_item(self.position, word) {
            return false;
        }
        let before = &self.text[..self.last_end];
        let is_of_word = |byte: u8| is_letter(byte) || byte.is_ascii_digit();
        let start = before.iter().rposition(|&byte| !is_of_word(byte)).map_or(0, |last| last + 1);
        let last_word = std::str::from_utf8(&before[start..]).unwrap_or_default();
        let is_value = match self.last {
            b'}' | b')' | b']' | b'"' => true,
            byte if is_of_word(byte) => {
                start != item.range.start
                    && !RESERVED_WORDS.contains(&last_word)
                    && !ITEM_WORDS.contains(&last_word)
            }
            _ => false,
        };
        if !is_value || self.last_end == self.position {
            return false;
        }
        let range = self.last_end..self.position;
        let place = self.position..self.position + word.len();
        self.note(place, "each item begins on its own line", "begin a new line", &[(range, "\n")]);
        self.finish_item();
        true
    }
}

/// Returns the form of a property of Flume in this language.
fn instead_of_property(key: &str, value: &str) -> String {
    let parts: Vec<&str> = key.split('.').collect();
    let value = if value.is_empty() { "…" } else { value };
    match parts.as_slice() {
        [_, role @ ("sources" | "channels" | "sinks"), name, "type"] => {
            format!("write `{} {name} = {value} {{ … }}`", role.trim_end_matches('s'))
        }
        [_, role @ ("sources" | "channels" | "sinks"), name, setting @ ..] if !setting.is_empty() => {
            format!("write `{} {name} = … {{ {}: {value} }}`", role.trim_end_matches('s'), setting.join("_"))
        }
        _ => "write an item for each component: `source name = kind { setting: value }`".to_owned(),
    }
}
