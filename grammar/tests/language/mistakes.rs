//! Each mistake gives one error, and the correct parts around it are parsed.

use proptest::prelude::*;
use weir_grammar::tree::Item;
use weir_grammar::{FileId, format, parse};

use crate::choices::{Choices, choices, configuration};
use crate::layout::{Piece, plain};
use crate::program;
use crate::tree::erased;

const RIGHT_ENTRIES: [&str; 5] = ["a: 1", "b: [1, 2]", "c: { d: 1, e: 2 }", "f: x and y", "g: \"text\""];
const WRONG_ENTRIES: [&str; 12] = [
    "a 1",
    "a:",
    "a = 1",
    ": 1",
    "a: 1 2",
    "a: [1 2]",
    "a: f(b c)",
    "a: 5parsecs",
    "a: \"x}\"",
    "a: (b + )",
    "match: 1",
    "a: { b 1 }",
];
const RIGHT_ITEMS: [&str; 5] = [
    "let a = 1",
    "sink out = stdout {}",
    "flow main {\n  a -> b\n}",
    "param p: Text",
    "agent {\n  memory: 1GiB\n}",
];
const WRONG_ITEMS: [&str; 16] = [
    "let a 1",
    "let a =",
    "let = 1",
    "let a = b +",
    "let a = (1",
    "let a = 1)",
    "sink out stdout {}",
    "sink out = stdout",
    "sink out = stdout\n  path: 1\n}",
    "sink out = stdout {\n  path: 1",
    "flow main {\n  a ->\n}",
    "flow main delivers {\n  a -> b\n}",
    "flow main delivres exactly_once {\n  a -> b\n}",
    "sorce a = b {}",
    "test x {\n}",
    "fn f(a) -> Int { a }",
];

proptest! {
    #![proptest_config(configuration(150))]

    #[test]
    fn each_entry_has_its_own_error(values in choices()) {
        let mut choices = Choices::new(&values);
        let mut wrong = 0;
        let mut entries = String::new();
        for _ in 0..=choices.below(12) {
            let is_wrong = choices.one_in(2);
            wrong += usize::from(is_wrong);
            entries.push_str(choices.of(if is_wrong { &WRONG_ENTRIES } else { &RIGHT_ENTRIES }));
            // An unfinished entry may include the next one, so a correct entry follows each wrong one.
            entries.push_str("\nbetween: 1\n");
        }
        let text = format!("sink out = files {{\n{entries}}}\n");
        let errors = parse(FileId(0), &text).errors;
        prop_assert_eq!(errors.len(), wrong, "{:#?} in\n{}", errors, text);
    }

    #[test]
    fn each_item_has_its_own_error(values in choices()) {
        let mut choices = Choices::new(&values);
        let mut wrong = 0;
        let mut text = String::new();
        for _ in 0..=choices.below(12) {
            let is_wrong = choices.one_in(2);
            wrong += usize::from(is_wrong);
            text.push_str(choices.of(if is_wrong { &WRONG_ITEMS } else { &RIGHT_ITEMS }));
            // An unfinished item may include a following item with a misspelt keyword, so a correct item follows.
            text.push_str("\nlet between = 1\n");
        }
        let errors = parse(FileId(0), &text).errors;
        prop_assert_eq!(errors.len(), wrong, "{:#?} in\n{}", errors, text);
    }

    #[test]
    fn a_broken_item_leaves_the_others_alone(values in choices()) {
        let mut choices = Choices::new(&values);
        let items: Vec<Vec<Piece>> = (0..3).map(|_| program::item(&mut choices)).collect();
        let items: Vec<String> = items.iter().map(|item| plain(item)).collect();
        let one_line = choices.one_in(2);
        let items: Vec<String> = items
            .into_iter()
            .map(|item| if one_line { item } else { format(FileId(0), &item).unwrap() })
            .collect();
        let broken = without_a_token(&items[1], &mut choices);
        let text = [&items[0], &broken, &items[2]].map(|item| item.trim_end()).join("\n");
        let read = parse(FileId(0), &text).file.items;
        let first = parse(FileId(0), &items[0]).file.items;
        let last = parse(FileId(0), &items[2]).file.items;
        prop_assert!(read.len() >= 2, "{}", text);
        prop_assert!(shown(&read[0]) == shown(&first[0]), "the first of\n{}", text);
        prop_assert!(shown(&read[read.len() - 1]) == shown(&last[0]), "the last of\n{}", text);
    }
}

fn shown(item: &Item) -> String {
    erased(&format!("{:#?}", item.kind))
}

/// The text without one of its tokens; not without the whole item.
fn without_a_token(text: &str, choices: &mut Choices<'_>) -> String {
    let tokens = tokens(text);
    let (start, end) = tokens[choices.below(tokens.len())];
    // The rest begins in the first column, as the item did.
    format!("{} {}", &text[..start], &text[end..]).trim_start().to_owned()
}

/// Where each word, text and mark begins and ends.
fn tokens(text: &str) -> Vec<(usize, usize)> {
    let mut tokens = Vec::new();
    let mut place = 0;
    while let Some(letter) = text[place..].chars().next() {
        let rest = &text[place..];
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '`';
        let length = if let Some(quoted) = rest.strip_prefix("r\"") {
            quoted.find('"').unwrap_or(quoted.len()) + 3
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let mut escaped = false;
            let end = quoted.find(|letter| {
                let ends = letter == '"' && !escaped;
                escaped = letter == '\\' && !escaped;
                ends
            });
            end.unwrap_or(quoted.len()) + 2
        } else {
            rest.find(|letter| !is_word(letter)).unwrap_or(rest.len()).max(letter.len_utf8())
        };
        if !letter.is_whitespace() {
            tokens.push((place, place + length));
        }
        place += length;
    }
    tokens
}
