//! Tests of the registry and of lists in words.

use super::*;

#[test]
fn codes_are_unique_and_in_their_families() {
    let codes: Vec<&str> = REGISTRY.iter().map(|(code, ..)| *code).collect();
    let mut sorted = codes.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(codes, sorted, "codes are unique and stand in their order");
    assert!(codes.iter().all(|code| code.len() == 5 && code.starts_with("E0")));
}

#[test]
fn lists_read_like_sentences() {
    assert_eq!(listed(["a", "b", "c"], "or"), "`a`, `b` or `c`");
    assert_eq!(with_article("Int"), "an Int");
    assert_eq!(with_article("Url"), "a Url");
    assert_eq!(with_article("Text"), "Text");
}
