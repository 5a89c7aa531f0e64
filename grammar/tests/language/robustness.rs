//! Arbitrary texts are parsed without a panic, on a small stack.

use std::thread;

use proptest::prelude::*;
use weir_grammar::{FileId, Parsed, format, parse};

use crate::choices::{Choices, choices, configuration};
use crate::layout::wild;
use crate::program::program;

/// The usual stack size of a thread.
const STACK_BYTES: usize = 2 << 20;

/// Tokens of programs, and other texts.
const PIECES: [&str; 48] = [
    "source",
    "flow",
    "let",
    "extern fn",
    "match",
    "copy",
    "keep if",
    "set",
    "else",
    "if",
    "then",
    "and",
    "not",
    "parse",
    "a",
    "Click",
    "`",
    "@host",
    "1",
    "5min",
    "..",
    "..=",
    "->",
    "=>",
    "=",
    "==",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "\"",
    "r\"",
    "\\",
    "//",
    "///",
    "\n",
    "\r\n",
    " ",
    ",",
    ":",
    ".",
    "-",
    "%",
    "ü",
    "\u{feff}",
    "\u{0}",
];

/// Reads and formats a text on a small stack.
fn read(text: String) -> Parsed {
    let reader = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let parsed = parse(FileId(0), &text);
        let formatted = format(FileId(0), &text);
        assert_eq!(parsed.errors.is_empty(), formatted.is_ok());
        if let Ok(formatted) = formatted {
            assert_eq!(format(FileId(0), &formatted).unwrap(), formatted);
        }
        for error in &parsed.errors {
            assert!(
                text.get(error.span.start as usize..error.span.end as usize).is_some(),
                "{error:?} cuts a letter"
            );
        }
        parsed
    });
    reader.unwrap().join().unwrap()
}

proptest! {
    #![proptest_config(configuration(150))]

    #[test]
    fn soup_is_read(values in choices()) {
        let mut choices = Choices::new(&values);
        let pieces = (0..choices.below(300)).map(|_| choices.of(&PIECES)).collect::<String>();
        read(pieces);
    }

    #[test]
    fn programs_with_mistakes_are_read(values in choices()) {
        let mut choices = Choices::new(&values[..values.len() / 2]);
        let pieces = program(&mut choices, 3);
        let mut text = wild(&pieces, &mut choices);
        let mut choices = Choices::new(&values[values.len() / 2..]);
        for _ in 0..=choices.below(4) {
            let at = |choices: &mut Choices<'_>, text: &str| {
                let place = choices.below(text.len() + 1);
                (0..=place).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0)
            };
            let (from, to) = (at(&mut choices, &text), at(&mut choices, &text));
            match choices.below(3) {
                0 => text.insert_str(from, choices.of(&PIECES)),
                1 => text.replace_range(from.min(to)..to.max(from), choices.of(&["", "(", "\n"])),
                _ => text.truncate(from),
            }
        }
        read(text);
    }
}

/// What must be read whole, however long it is.
#[test]
fn long_programs_are_read() {
    let many = |part: &str| part.repeat(20_000);
    let right = [
        format!("let a = b{}", many(" and b")),
        format!("let a = b{}", many(" and b or c")),
        format!("let a = [{}]", many("1, ")),
        format!("let a = {{ {} }}", many("b: 1, ")),
        format!("let a = match b {{ {} }}", many("1 => 2, ")),
        format!("let a = match b {{ 1{} => 2 }}", many(" | 1")),
        format!("let a = f({})", many("b: 1, ")),
        format!("let a = \"{}\"", many("text {hole} ")),
        format!("let a = if b then c{} else d", many(" else if b then c")),
        format!("flow a {{ b{} }}", many(" -> c")),
        format!("flow a {{ {} }}", many("b -> c\n")),
        format!("flow a {{ b -> copy {{ {} }} }}", many("c, ")),
        many("let a = 1\n"),
        many("// comment\n"),
        format!("let a = [{}]", many("// comment\n")),
        format!("let a = {}1{}", "[".repeat(64), "]".repeat(64)),
        format!("let a = {}1{}", "f(".repeat(64), ")".repeat(64)),
        format!("let a = {}1{}", "{ b: ".repeat(64), "}".repeat(64)),
        format!("let a = {}1{}", "match { _ => ".repeat(64), "}".repeat(64)),
        format!("let a = b{}", " + (b".repeat(60) + &")".repeat(60)),
        format!("flow a {{ {} c {} }}", "b -> copy { ".repeat(63), "}".repeat(63)),
    ];
    for text in right {
        let shown = text[..text.len().min(60)].to_owned();
        assert_eq!(read(text).errors, [], "{shown} …");
    }
}

/// What is too deep has one error, and no more is said about it.
#[test]
fn deep_expressions_are_refused() {
    let many = |part: &str| part.repeat(100_000);
    let wrong = [
        format!("let a = b{}", many(" + b")),
        format!("let a = b{}", many(" ?? b")),
        format!("let a = b{}", many(" ..= b")),
        format!("let a = {}b", many("not ")),
        format!("let a = {}b", many("- ")),
        format!("let a = b{}", many(" + not b")),
        format!("let a = b{}", many(".c")),
        format!("let a = b{}", many("[0]")),
        format!("let a = {}", many("f(")),
        format!("let a = {}", many("[")),
        format!("let a = {}", many("{ b: ")),
        format!("let a = {}", many("(")),
        format!("let a = {}", many("match { ")),
        format!("flow a {{ {}", many("b -> copy { ")),
        format!("let a = {}", many("if b then ")),
        format!("let a = {}", many("\"")),
        many("}"),
        many("let "),
    ];
    for text in wrong {
        let shown = text[..text.len().min(60)].to_owned();
        assert_eq!(read(text).errors.len(), 1, "{shown} …");
    }
}
