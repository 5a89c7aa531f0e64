//! The uses of names in a program's text, for fixes that rename.
//!
//! The search reads words, not trees, so that it also finds names in items with syntax errors.

use std::collections::HashMap;

use weir_grammar::{FileId, Span, Token, TokenKind, holes, tokens};

/// Returns the names of a text, each with the places of its uses. Uses are words outside of comments and text, except
/// names of settings and headers, and words in the holes of text.
pub(crate) fn uses(file: FileId, text: &str) -> HashMap<&str, Vec<Span>> {
    let mut uses: HashMap<&str, Vec<Span>> = HashMap::new();
    let mut place = |start: usize, name| {
        let span = Span { file, start: start as u32, end: (start + str::len(name)) as u32 };
        uses.entry(name).or_default().push(span);
    };
    for Token { range, kind } in tokens(text) {
        match kind {
            TokenKind::Word if stands_for_a_thing(text, range.start, range.end) => {
                let name = text[range.clone()].trim_matches('`');
                place(range.start + (range.len() - name.len()) / 2, name);
            }
            TokenKind::Text => {
                holes(&text[range.clone()]).for_each(|(at, name)| place(range.start + at, name))
            }
            _ => {}
        }
    }
    uses
}

fn stands_for_a_thing(text: &str, start: usize, end: usize) -> bool {
    let header_or_part = text[..start].ends_with(['@', '.']);
    let setting = text[end..].trim_start_matches([' ', '\t', '`']).starts_with(':');
    let declared = text[..start].trim_end_matches([' ', '\t', '`']).ends_with("param");
    !header_or_part && (!setting || declared)
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
