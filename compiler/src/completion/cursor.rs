//! The word at a position.

use std::ops::Range;

use weir_grammar::{Token, TokenKind, is_of_word, tokens};

/// The token or blank at a position.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cursor {
    /// Nothing that can be completed: a comment, or the plain part of a text.
    Nothing,
    /// A word, which may be empty.
    Word {
        /// The place of the word; with the `@` of a header, and only the unit of a number.
        replaced: Range<usize>,
        /// Whether it is in the hole of a text.
        in_text: bool,
        /// The start of the number, if it is the unit of a number.
        number: Option<usize>,
    },
}

impl Cursor {
    pub(super) fn at(text: &str, offset: usize) -> Cursor {
        let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let line = text[..offset].rfind('\n').map_or(0, |end| end + 1);
        // Comments and texts end with their line, so the tokens of the line suffice.
        let line_end = text[offset..].find('\n').map_or(text.len(), |end| offset + end);
        let mut found = tokens(&text[line..line_end])
            .map(|token| Token { range: token.range.start + line..token.range.end + line, ..token });
        let touches = |token: &Token| token.range.start < offset && offset <= token.range.end;
        match found.find(touches) {
            Some(Token { range, kind: TokenKind::Comment }) if range.start < offset => Cursor::Nothing,
            Some(Token { range, kind: TokenKind::RawText }) if !closes(text, &range, offset) => {
                Cursor::Nothing
            }
            Some(Token { range, kind: TokenKind::Text }) if !closes(text, &range, offset) => {
                in_hole(text, &range, offset)
            }
            Some(Token { range, kind: TokenKind::Number }) => {
                let digits =
                    text[range.clone()].find(|letter: char| letter.is_ascii_alphabetic() || letter == '%');
                let start = digits.map_or(range.end, |digits| range.start + digits);
                match start <= offset {
                    true => {
                        Cursor::Word { replaced: start..range.end, in_text: false, number: Some(range.start) }
                    }
                    false => Cursor::Nothing,
                }
            }
            Some(Token { range, kind: TokenKind::Word | TokenKind::Header }) => {
                Cursor::Word { replaced: range, in_text: false, number: None }
            }
            Some(Token { range, kind: TokenKind::Mark }) if &text[range.clone()] == "@" => {
                Cursor::Word { replaced: range, in_text: false, number: None }
            }
            _ => {
                let rest = &text[offset..];
                let end = offset + rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len());
                Cursor::Word { replaced: offset..end, in_text: false, number: None }
            }
        }
    }
}

/// Returns whether a position is behind the closing quote of a text.
fn closes(text: &str, range: &Range<usize>, offset: usize) -> bool {
    offset == range.end && range.len() > 1 && text[range.clone()].ends_with('"')
}

fn in_hole(text: &str, range: &Range<usize>, offset: usize) -> Cursor {
    let before = &text[range.start..offset];
    let Some(open) = before.rfind('{').filter(|open| !before[..*open].ends_with('{')) else {
        return Cursor::Nothing;
    };
    let name = &before[open + 1..];
    if !name.chars().all(|letter| is_of_word(letter) || letter == '@') {
        return Cursor::Nothing;
    }
    let rest = &text[offset..range.end];
    let end = offset + rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len());
    Cursor::Word { replaced: range.start + open + 1..end, in_text: true, number: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(marked: &str) -> Option<String> {
        let offset = marked.find('¦').unwrap();
        let text = marked.replace('¦', "");
        match Cursor::at(&text, offset) {
            Cursor::Nothing => None,
            Cursor::Word { replaced, .. } => Some(text[replaced].to_owned()),
        }
    }

    #[test]
    fn the_word_around_the_position_is_replaced() {
        let cases = [
            ("a -> ke¦ep if", Some("keep")),
            ("a -> ¦", Some("")),
            ("a -> ¦keep", Some("keep")),
            ("set @ho¦", Some("@ho")),
            ("set @¦ = 1", Some("@")),
            ("age: 5m¦in", Some("min")),
            ("age: 5¦", Some("")),
            ("age: 5_0¦00", None),
            ("// a ke¦ep", None),
            ("\"a¦\"", None),
            ("\"a{b¦}\"", Some("b")),
            ("\"a{@ho¦", Some("@ho")),
            ("\"a{{b¦}\"", None),
            ("r\"{a¦}\"", None),
            ("\"a\"¦", Some("")),
        ];
        for (marked, expected) in cases {
            assert_eq!(replaced(marked).as_deref(), expected, "{marked}");
        }
    }
}
