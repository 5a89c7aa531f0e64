//! The tokens of a text, also of one with syntax errors: for what needs words and marks, but no tree.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::OnceLock;

use crate::Rule;
use crate::layout::{ITEM_WORDS, RESERVED_WORDS};

/// A token with its place, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The place.
    pub range: Range<usize>,
    /// The kind of the token.
    pub kind: TokenKind,
}

/// The kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A comment, to the end of its line.
    Comment,
    /// A text that may have holes, with its quotes. An unclosed text ends at the end of its line.
    Text,
    /// Raw text, from the `r` to the quote.
    RawText,
    /// A number with its unit.
    Number,
    /// A name or a keyword; a name in backticks includes them.
    Word,
    /// A header with its `@`.
    Header,
    /// An operator, a bracket or another mark.
    Mark,
}

/// The marks of more than one character, the longer ones first.
const LONG_MARKS: [&str; 9] = ["..=", "->", "=>", "==", "!=", "<=", ">=", "??", ".."];

/// Iterates over the tokens of a text.
pub fn tokens(text: &str) -> impl Iterator<Item = Token> {
    let mut place = 0;
    std::iter::from_fn(move || {
        let rest = text.get(place..)?;
        let start = place + (rest.len() - rest.trim_start().len());
        let (kind, length) = token(text.get(start..).filter(|rest| !rest.is_empty())?);
        place = start + length;
        Some(Token { range: start..place, kind })
    })
}

/// Returns the kind and the length of the token at the start of a text that is not empty.
fn token(rest: &str) -> (TokenKind, usize) {
    let line_end = rest.find('\n').unwrap_or(rest.len());
    if rest.starts_with("//") {
        return (TokenKind::Comment, line_end);
    }
    if let Some(raw) = rest.strip_prefix("r\"") {
        let end = raw.find('"').map_or(line_end, |quote| 2 + quote + 1);
        return (TokenKind::RawText, end.min(line_end));
    }
    let Some(first) = rest.chars().next() else { return (TokenKind::Mark, 0) };
    match first {
        '"' => (TokenKind::Text, text_length(rest).min(line_end)),
        '@' => match word_length(&rest[1..]) {
            0 => (TokenKind::Mark, 1),
            length => (TokenKind::Header, 1 + length),
        },
        '`' => {
            let length = word_length(&rest[1..]);
            match rest[1 + length..].starts_with('`') {
                true if length > 0 => (TokenKind::Word, length + 2),
                _ => (TokenKind::Mark, 1),
            }
        }
        '0'..='9' => (TokenKind::Number, number_length(rest)),
        first if is_of_word(first) => (TokenKind::Word, word_length(rest)),
        first => {
            let long = LONG_MARKS.iter().find(|mark| rest.starts_with(**mark));
            (TokenKind::Mark, long.map_or(first.len_utf8(), |mark| mark.len()))
        }
    }
}

fn text_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        if letter == '"' && !escaped {
            return at + 1;
        }
        escaped = !escaped && letter == '\\';
    }
    rest.len()
}

fn word_length(rest: &str) -> usize {
    rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len())
}

fn number_length(rest: &str) -> usize {
    let mut length = word_length(rest);
    let after_point = rest[length..]
        .strip_prefix('.')
        .filter(|after| after.starts_with(|digit: char| digit.is_ascii_digit()));
    if let Some(after) = after_point {
        length += 1 + word_length(after);
    }
    match rest[length..].strip_prefix('/') {
        Some(per) if per.starts_with(|letter: char| letter.is_ascii_alphabetic()) => {
            length + 1 + word_length(per)
        }
        _ if rest[length..].starts_with('%') => length + 1,
        _ => length,
    }
}

/// Returns whether names and keywords can contain a letter.
pub fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Returns whether a word is a keyword at some place.
pub fn is_keyword(word: &str) -> bool {
    static WORDS: OnceLock<HashSet<String>> = OnceLock::new();
    let words = WORDS.get_or_init(|| {
        let rules = Rule::all_rules().iter().map(|rule| format!("{rule:?}"));
        let of_rules = rules.filter_map(|rule| rule.strip_suffix("_word").map(str::to_owned));
        of_rules.chain(ITEM_WORDS.iter().chain(&RESERVED_WORDS).map(|word| (*word).to_owned())).collect()
    });
    words.contains(word)
}

/// Iterates over the names in the holes of a text, each with its place in the text.
pub fn holes(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // The first brace of `{{`, an escaped brace, becomes a hole without a name; this filter drops the second brace.
    let braces = text.match_indices('{').filter(|(at, _)| !text[..*at].ends_with('{'));
    braces.map(|(at, _)| {
        let name = &text[at + 1..];
        (at + 1, &name[..word_length(name)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(TokenKind, &str)> {
        tokens(text).map(|token| (token.kind, &text[token.range])).collect()
    }

    #[test]
    fn tokens_of_every_kind_are_found() {
        use TokenKind::{Comment, Header, Mark, Number, RawText, Text, Word};
        let text = "set `in` = @host ?? \"a{b}\\\"\" // ü\nr\"\\d\" 5_000/s 1.5h 10% 1..=3 a->b";
        let expected = [
            (Word, "set"),
            (Word, "`in`"),
            (Mark, "="),
            (Header, "@host"),
            (Mark, "??"),
            (Text, "\"a{b}\\\"\""),
            (Comment, "// ü"),
            (RawText, "r\"\\d\""),
            (Number, "5_000/s"),
            (Number, "1.5h"),
            (Number, "10%"),
            (Number, "1"),
            (Mark, "..="),
            (Number, "3"),
            (Word, "a"),
            (Mark, "->"),
            (Word, "b"),
        ];
        assert_eq!(shown(text), expected);
    }

    #[test]
    fn unclosed_and_foreign_letters_end() {
        use TokenKind::{Mark, Text, Word};
        assert_eq!(shown("\"a\nb"), [(Text, "\"a"), (Word, "b")]);
        assert_eq!(shown("→ @ `"), [(Mark, "→"), (Mark, "@"), (Mark, "`")]);
        assert_eq!(shown("\"a\\"), [(Text, "\"a\\")]);
    }
}
