//! Converts tokens to text, with blanks, line ends and comments at all allowed places.

use crate::choices::Choices;

/// A token, or a gap between tokens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    Token(String),
    /// A place where a line may end.
    Break,
    /// The separator between two entries.
    Separator,
    /// The optional separator after the last entry.
    LastSeparator,
    /// The separator between two items.
    NextItem,
}

/// Writes tokens with one blank between two tokens and one line for each item.
pub(crate) fn plain(pieces: &[Piece]) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Token(token) => text.push_str(token),
            Piece::Separator => text.push(','),
            Piece::NextItem => text.push('\n'),
            Piece::Break | Piece::LastSeparator => {}
        }
        text.push(' ');
    }
    text.replace("\n ", "\n")
}

/// Writes tokens with random blanks, line ends and comments.
pub(crate) fn wild(pieces: &[Piece], choices: &mut Choices<'_>) -> String {
    let mut writer = Writer { text: String::new(), open: Vec::new(), comments: 0, choices };
    if writer.choices.one_in(4) {
        writer.lines();
    }
    let mut pending = None;
    for piece in pieces {
        match piece {
            Piece::Token(token) => {
                writer.gap(pending.take(), token);
                writer.token(token);
            }
            gap => pending = Some(gap.clone()),
        }
    }
    match writer.choices.below(3) {
        0 => writer.text.push('\n'),
        1 => writer.lines(),
        _ => {}
    }
    writer.text
}

struct Writer<'w, 'c> {
    text: String,
    /// The open brackets.
    open: Vec<char>,
    comments: usize,
    choices: &'w mut Choices<'c>,
}

impl Writer<'_, '_> {
    fn token(&mut self, token: &str) {
        self.text.push_str(token);
        match token {
            "{" | "(" | "[" => self.open.extend(token.chars()),
            "}" | ")" | "]" => {
                self.open.pop();
            }
            _ => {}
        }
    }

    fn gap(&mut self, gap: Option<Piece>, next: &str) {
        let in_lines = matches!(self.open.last(), Some('(' | '['));
        match gap {
            _ if self.text.is_empty() => return,
            Some(Piece::Separator) => self.separator(),
            Some(Piece::LastSeparator) if self.choices.one_in(2) => self.separator(),
            Some(Piece::NextItem) => {
                self.comment_or_nothing();
                self.text.push('\n');
                self.lines_or_nothing();
            }
            Some(Piece::Break) => self.lines_or_nothing(),
            _ if in_lines && self.choices.one_in(4) => self.lines(),
            _ => {}
        }
        // An item's keyword in the first column begins an item, even in brackets.
        let is_item_word = weir_grammar::ITEM_WORDS.contains(&next);
        let at_line_start = self.text.ends_with('\n') && is_item_word && !self.open.is_empty();
        let before = self.text.chars().last();
        let separate = |letter: char| "{}[](),:\n \t".contains(letter);
        let glued = before.is_some_and(separate) || next.starts_with(separate);
        let blanks = match self.choices.below(6) {
            0..3 => " ",
            3 => "",
            4 => "   ",
            _ => "\t",
        };
        let needs_one = at_line_start || !glued;
        self.text.push_str(if needs_one && blanks.is_empty() { " " } else { blanks });
    }

    fn separator(&mut self) {
        let in_braces = self.open.last() == Some(&'{');
        match self.choices.below(if in_braces { 4 } else { 1 }) {
            0 => {
                self.blanks();
                self.text.push(',');
                self.lines_or_nothing();
            }
            1 => {
                self.text.push('\n');
                self.lines_or_nothing();
            }
            2 => {
                self.comment_or_nothing();
                self.text.push('\n');
            }
            _ => self.lines(),
        }
    }

    fn blanks(&mut self) {
        let blanks = self.choices.of(&["", " ", "  "]);
        self.text.push_str(blanks);
    }

    fn lines_or_nothing(&mut self) {
        if self.choices.one_in(3) {
            self.lines();
        }
    }

    /// Writes one or more line ends, with comments.
    fn lines(&mut self) {
        for _ in 0..=self.choices.below(4) {
            self.comment_or_nothing();
            let end = if self.choices.one_in(8) { "\r\n" } else { "\n" };
            self.text.push_str(end);
        }
    }

    fn comment_or_nothing(&mut self) {
        self.blanks();
        if self.choices.one_in(3) {
            self.comments += 1;
            if self.text.ends_with('/') {
                self.text.push(' ');
            }
            let marks = self.choices.of(&["// ", "//", "/// ", "//! ", "//// "]);
            let end = self.choices.of(&["", "  ", " \"{[("]);
            self.text.push_str(&format!("{marks}comment {}{end}", self.comments));
        }
    }
}
