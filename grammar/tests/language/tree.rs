//! Syntax trees without spans, for comparison.

use weir_grammar::tree::File;
use weir_grammar::{FileId, parse};

/// Parses a text and prints its tree without spans and comments.
pub(crate) fn tree_of(text: &str) -> String {
    let parsed = parse(FileId(0), text);
    assert!(parsed.errors.is_empty(), "{:?} in\n{text}", parsed.errors);
    without_places(parsed.file)
}

/// Prints a tree without spans and comments.
pub(crate) fn without_places(mut file: File) -> String {
    file.comments.clear();
    erased(&format!("{file:#?}"))
}

/// Removes the lines of spans.
pub(crate) fn erased(debug: &str) -> String {
    let is_place = |line: &&str| {
        let line = line.trim_start();
        let number = line.strip_prefix("start: ").or_else(|| line.strip_prefix("end: "));
        number.is_some_and(|rest| rest.trim_end_matches(',').bytes().all(|byte| byte.is_ascii_digit()))
    };
    debug.lines().filter(|line| !is_place(line)).collect::<Vec<_>>().join("\n")
}
