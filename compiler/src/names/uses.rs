//! The uses of names in a program's text, for fixes that rename.
//!
//! The search reads words, not trees, so that it also finds names in items with syntax errors.

use std::collections::HashMap;

use weir_grammar::{FileId, Span};

/// Returns the names of a text, each with the places of its uses. Uses are words outside of comments and text, except
/// names of settings and headers, and words in the holes of text.
pub(crate) fn uses(file: FileId, text: &str) -> HashMap<&str, Vec<Span>> {
    let mut uses: HashMap<&str, Vec<Span>> = HashMap::new();
    let mut place = |start: usize, name| {
        let span = Span { file, start: start as u32, end: (start + str::len(name)) as u32 };
        uses.entry(name).or_default().push(span);
    };
    let mut rest = 0;
    while let Some(piece) = next_piece(text, rest) {
        match piece {
            Piece::Word { start, end } if stands_for_a_thing(text, start, end) => {
                place(start, &text[start..end]);
            }
            Piece::Text { start, end } => {
                holes(&text[start..end]).for_each(|(at, name)| place(start + at, name));
            }
            _ => {}
        }
        rest = piece.end();
    }
    uses
}

/// A token of a text.
#[derive(Clone, Copy)]
enum Piece {
    Word {
        start: usize,
        end: usize,
    },
    /// Quoted text that may have holes, including its quotes.
    Text {
        start: usize,
        end: usize,
    },
    /// Any other token: a comment, raw text, or a character that begins no word.
    Other {
        end: usize,
    },
}

impl Piece {
    fn end(self) -> usize {
        match self {
            Piece::Word { end, .. } | Piece::Text { end, .. } | Piece::Other { end } => end,
        }
    }
}

fn next_piece(text: &str, start: usize) -> Option<Piece> {
    let rest = &text[start..];
    let letter = rest.chars().next()?;
    let line_end = || start + rest.find('\n').unwrap_or(rest.len());
    if rest.starts_with("//") {
        return Some(Piece::Other { end: line_end() });
    }
    if let Some(raw) = rest.strip_prefix("r\"") {
        let end = raw.find('"').map_or(line_end(), |quote| start + 2 + quote + 1);
        return Some(Piece::Other { end: end.min(line_end()) });
    }
    if letter == '"' {
        let mut escaped = false;
        let closing = rest.char_indices().skip(1).find(|(_, letter)| {
            let closes = !escaped && *letter == '"';
            escaped = !escaped && *letter == '\\';
            closes
        });
        let end = closing.map_or(line_end(), |(at, _)| start + at + 1).min(line_end());
        return Some(Piece::Text { start, end });
    }
    if !is_of_word(letter) {
        return Some(Piece::Other { end: start + letter.len_utf8() });
    }
    let end = start + rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len());
    Some(Piece::Word { start, end })
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn stands_for_a_thing(text: &str, start: usize, end: usize) -> bool {
    let header_or_part = text[..start].ends_with(['@', '.']);
    let setting = text[end..].trim_start_matches([' ', '\t', '`']).starts_with(':');
    let declared = text[..start].trim_end_matches([' ', '\t', '`']).ends_with("param");
    !header_or_part && (!setting || declared)
}

/// Returns the names in the holes of a text, each with its start in the text.
fn holes(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // The first brace of `{{`, an escaped brace, becomes a hole without a name; this filter drops the second brace.
    let braces = text.match_indices('{').filter(|(at, _)| !text[..*at].ends_with('{'));
    braces.map(|(at, _)| {
        let name = &text[at + 1..];
        (at + 1, &name[..name.find(|letter| !is_of_word(letter)).unwrap_or(name.len())])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, text: &str) -> String {
        let mut shown = text.to_owned();
        let uses = uses(FileId(0), text);
        for span in uses.get(name).into_iter().flatten().rev() {
            shown.replace_range(span.start as usize..span.end as usize, "[]");
        }
        shown
    }

    #[test]
    fn words_that_stand_for_the_thing_are_found() {
        assert_eq!(shown("myTopic", "param myTopic: Text = \"a\""), "param []: Text = \"a\"");
        assert_eq!(shown("webLogs", "flow f { webLogs -> a\n`webLogs` }"), "flow f { [] -> a\n`[]` }");
        assert_eq!(shown("myTopic", "x { topics: [myTopic, myTopics] }"), "x { topics: [[], myTopics] }");
    }

    #[test]
    fn settings_headers_comments_and_text_are_other_things() {
        for text in
            ["a { myTopic: 5 }", "@myTopic", "x.myTopic", "// myTopic\n", "\"myTopic\"", "r\"{myTopic}\""]
        {
            assert_eq!(shown("myTopic", text), text);
        }
    }

    #[test]
    fn holes_are_uses() {
        assert_eq!(
            shown("myDay", "\"a/{myDay}/{myDay:03}/{{myDay}}\" myDay"),
            "\"a/{[]}/{[]:03}/{{myDay}}\" []"
        );
        assert_eq!(
            shown("myDay", "\"\\\"{myDay}\" \"unclosed myDay\nmyDay"),
            "\"\\\"{[]}\" \"unclosed myDay\n[]"
        );
    }
}
