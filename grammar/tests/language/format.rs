//! Properties of the canonical form, tested with random programs.

use proptest::prelude::*;
use weir_grammar::{FileId, format, parse};

use crate::choices::{Choices, choices, configuration};
use crate::layout::wild;
use crate::program::program;
use crate::tree::tree_of;

proptest! {
    #![proptest_config(configuration(150))]

    #[test]
    fn formatting_keeps_tree_and_comments_and_is_idempotent(values in choices()) {
        let mut choices = Choices::new(&values);
        let pieces = program(&mut choices, 5);
        let text = wild(&pieces, &mut choices);
        check(&text);
    }
}

/// Asserts that formatting a text changes only blanks, and that formatting it again changes nothing.
pub(crate) fn check(text: &str) {
    let errors = parse(FileId(0), text).errors;
    assert!(errors.is_empty(), "{errors:?} in\n{text}");
    let formatted = format(FileId(0), text).unwrap();
    let place = || format!("of\n{text}\n---- which became\n{formatted}");
    pretty_assert(&tree_of(text), &tree_of(&formatted), &format!("the tree {}", place()));
    assert_eq!(comments_of(text), comments_of(&formatted), "the comments {}", place());
    let again = format(FileId(0), &formatted).unwrap();
    pretty_assert(&formatted, &again, &format!("the second form {}", place()));
    let blanks = formatted.lines().any(|line| line.ends_with([' ', '\t', '\r']));
    assert!(!blanks, "a line ends in blanks {}", place());
    assert!(!formatted.contains("\n\n\n"), "two blank lines {}", place());
    assert!(
        formatted.is_empty() || formatted.ends_with('\n') && !formatted.ends_with("\n\n"),
        "the end {}",
        place()
    );
}

/// Asserts that two texts are equal. Shows only the first different line.
fn pretty_assert(left: &str, right: &str, what: &str) {
    let differing = left.lines().zip(right.lines()).find(|(left, right)| left != right);
    assert!(left == right, "{what}\ndiffers: {differing:#?}");
}

/// The comments of a text: each with the token before it on its line, or else the one that follows it.
fn comments_of(text: &str) -> Vec<(String, String)> {
    let comments = parse(FileId(0), text).file.comments;
    let is_between = |letter: char| letter.is_whitespace() || letter == ',' || letter == '`';
    let described = comments.iter().map(|comment| {
        let before = text[..comment.span.start as usize].trim_start_matches('\u{feff}');
        let line = before.rsplit('\n').next().unwrap_or_default().trim_end_matches(is_between);
        if let Some(last) = line.chars().last() {
            return (comment.span.slice(text).trim_end().to_owned(), format!("after {last}"));
        }
        let mut rest = &text[comment.span.end as usize..];
        loop {
            rest = rest.trim_start_matches(is_between);
            match rest.strip_prefix("//") {
                Some(comment) => rest = &comment[comment.find('\n').unwrap_or(comment.len())..],
                None => break,
            }
        }
        let word = rest.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(rest.len()).max(1);
        let next = rest.get(..word).unwrap_or("the end");
        (comment.span.slice(text).trim_end().to_owned(), format!("before {next}"))
    });
    described.collect()
}
