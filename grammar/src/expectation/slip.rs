//! Recognises typical mistakes and describes the likely intention.

use crate::Rule;
use crate::layout::{ITEM_WORDS, RESERVED_WORDS};

/// Marks of two characters, of this language and of others.
pub(super) const MARKS: [&str; 11] = ["->", "=>", "==", "!=", "<=", ">=", "??", "..", "&&", "||", "::"];

/// Words that begin a stage of a flow, each with the required next token; empty if there is none.
const STAGE_WORDS: [(&str, &str); 20] = [
    ("keep", "`if`"),
    ("drop", "`if`"),
    ("reject", "`if`"),
    ("dedupe", "`by`"),
    ("select", "`{`"),
    ("copy", "`{`"),
    ("match", "`{`"),
    ("balance", "`{`"),
    ("failover", "`{`"),
    ("set", ""),
    ("unset", ""),
    ("rename", ""),
    ("explode", ""),
    ("flatten", ""),
    ("parse", ""),
    ("check", ""),
    ("let", ""),
    ("throttle", ""),
    ("sample", ""),
    ("optional", ""),
];

/// Keywords, each with its rule.
const WORDS: [(Rule, &str); 20] = [
    (Rule::delivers_word, "delivers"),
    (Rule::if_word, "if"),
    (Rule::then_word, "then"),
    (Rule::else_word, "else"),
    (Rule::and_word, "and"),
    (Rule::matches_word, "matches"),
    (Rule::because_word, "because"),
    (Rule::within_word, "within"),
    (Rule::strict_word, "strict"),
    (Rule::sensitive_word, "sensitive"),
    (Rule::exclusive_word, "exclusive"),
    (Rule::unless_word, "unless"),
    (Rule::null_word, "null"),
    (Rule::empty_word, "empty"),
    (Rule::times_word, "times"),
    (Rule::send_word, "send"),
    (Rule::expect_word, "expect"),
    (Rule::advance_word, "advance"),
    (Rule::fail_word, "fail"),
    (Rule::crash_word, "crash"),
];

/// A typical mistake.
pub(super) struct Slip {
    /// Descriptions of the right tokens; empty if the expected tokens of the grammar are right.
    pub(super) instead: Vec<&'static str>,
    /// A hint.
    pub(super) hint: Option<String>,
}

fn slip(instead: &'static str, hint: &str) -> Option<Slip> {
    Some(Slip { instead: vec![instead], hint: Some(hint.to_owned()) })
}

fn hint(hint: String) -> Option<Slip> {
    Some(Slip { instead: Vec::new(), hint: Some(hint) })
}

/// Returns the typical mistake at a place, if there is one.
pub(super) fn find(rules: &[Rule], text: &str, place: usize) -> Option<Slip> {
    let rest = text.get(place..)?;
    let in_hole = || expression_in_hole(rules, text, place);
    comparison(rules, text, place)
        .or_else(in_hole)
        .or_else(|| mark(rules, rest))
        .or_else(|| word(rules, text, rest, place))
}

/// Recognises comparisons of other languages that begin with a comparison of this language.
fn comparison(rules: &[Rule], text: &str, place: usize) -> Option<Slip> {
    if !super::begins_value(rules) {
        return None;
    }
    let (before, rest) = (&text[..place], &text[place..]);
    if before.ends_with('<') && rest.starts_with('>') {
        return hint("the operator for unequal values is `!=`".to_owned());
    }
    if (before.ends_with("==") || before.ends_with("!=")) && rest.starts_with('=') {
        return hint("comparisons are written `==` and `!=`".to_owned());
    }
    None
}

/// Recognises an expression in a hole, and shows the step that computes it before.
fn expression_in_hole(rules: &[Rule], text: &str, place: usize) -> Option<Slip> {
    if !rules.contains(&Rule::hole_close) || text[place..].starts_with('"') {
        return None;
    }
    let start = text[..place].rfind('{')? + 1;
    let inner = &text[start..];
    let line = inner.lines().next().unwrap_or_default();
    let close = line.find('}').filter(|close| !line[..*close].contains('"'));
    let Some(close) = close else {
        return hint("a hole takes a name and a format: compute the value in a step before".to_owned());
    };
    let inner = &line[..close];
    let (value, format) = match inner.find(":%") {
        Some(colon) => inner.split_at(colon),
        None => (inner, ""),
    };
    let words = value.split(|letter| !is_word_letter(letter));
    let words: Vec<&str> =
        words.filter(|word| word.starts_with(|letter: char| !letter.is_ascii_digit())).take(3).collect();
    let name = words.join("_").to_ascii_lowercase();
    let is_computed = value.contains(['(', '+', '*', '/', '%', '?']) || value.contains(" - ");
    if !is_computed || name.is_empty() {
        return hint("a hole takes a name and a format; a brace in text is written `{{`".to_owned());
    }
    hint(format!(
        "a hole takes a name and a format: compute the value in a step before, `-> set @{name} = {}`, and write \
         `{{@{name}{format}}}`",
        value.trim()
    ))
}

fn mark(rules: &[Rule], rest: &str) -> Option<Slip> {
    let has = |rule| rules.contains(&rule);
    let after_operand = super::ends_operand(rules);
    let starts = |mark| rest.starts_with(mark);
    if starts("->") && has(Rule::fat_arrow) {
        return slip("`=>`", "a `match` that has a value uses `=>`; `->` moves events");
    }
    if starts("=>") && has(Rule::arrow) {
        return slip("`->`", "a `match` that moves events uses `->`; `=>` gives a value");
    }
    if starts("->") && has(Rule::separator) && !has(Rule::arrow) {
        return hint("arrows are allowed only in a flow; elsewhere each step has its own line".to_owned());
    }
    if starts(",") && has(Rule::fat_arrow) {
        return slip("`=>`", "alternatives of one arm are separated by `|`");
    }
    if after_operand && starts("=") && !starts("==") {
        return slip("`==`", "comparisons are written `==`");
    }
    if after_operand && starts("&") {
        return slip("`and`", "write `and`");
    }
    if after_operand && starts("|") {
        return slip("`or`", "write `or`");
    }
    if super::begins_value(rules) && starts("!") {
        return slip("`not`", "write `not`");
    }
    if starts("'") && (super::begins_value(rules) || has(Rule::raw_quote)) {
        return slip(super::TEXT, "text needs double quotes");
    }
    if starts(";") && (has(Rule::separator) || has(Rule::EOI)) {
        return hint("entries and items end with their line, without `;`".to_owned());
    }
    if has(Rule::hole_path) {
        return hint("a brace in text is written `{{`; a hole, as `{@host}`, has no blanks".to_owned());
    }
    None
}

fn word(rules: &[Rule], text: &str, rest: &str, place: usize) -> Option<Slip> {
    let has = |rule| rules.contains(&rule);
    let here = first_word(rest);
    let before = text[..place].trim_end_matches([' ', '\t']);
    let last = &before[before.trim_end_matches(is_word_letter).len()..];
    if super::wants_name(rules) && !super::begins_value(rules) && RESERVED_WORDS.contains(&here) {
        return hint(format!("`{here}` is reserved: as a name it needs backticks, `` `{here}` ``"));
    }
    if here == "not"
        && super::ends_operand(rules)
        && matches!(first_word(rest[3..].trim_start()), "in" | "matches")
    {
        let operator = first_word(rest[3..].trim_start());
        return hint(format!("write `not` first: `not a {operator} b`"));
    }
    if last == "match" && has(Rule::lbrace) && !super::begins_value(rules) && !here.is_empty()
        || last == "match" && rest.starts_with('@') && has(Rule::lbrace)
    {
        return hint(
            "a `match` that moves events has a condition in each arm: `match { @x == 5 -> a, _ -> b }`"
                .to_owned(),
        );
    }
    if has(Rule::lbrace)
        && before.rsplit('\n').next().is_some_and(|line| line.contains("match "))
        && !has(Rule::arrow)
    {
        return hint("the arms of a `match` need braces".to_owned());
    }
    if has(Rule::EOI) && ITEM_WORDS.contains(&here) && !last.is_empty() | before.ends_with('}') {
        return hint("each item begins on its own line".to_owned());
    }
    let is_foreign = |letter: char| letter.is_alphabetic() && !letter.is_ascii();
    if rest.starts_with(is_foreign) && !before.is_empty() && text[..place].ends_with(is_word_letter) {
        return hint("a name is made of the letters a to z, digits and `_`".to_owned());
    }
    if here == "else" && has(Rule::arrow) {
        return hint("`else` is allowed once, at the end of a step".to_owned());
    }
    if !here.is_empty() {
        let expected = WORDS.iter().filter(|(rule, _)| has(*rule)).map(|(_, word)| *word);
        if let Some(near) = nearest(here, expected) {
            return hint(format!("did you mean `{near}`?"));
        }
    }
    if has(Rule::arrow) && begins_stage(&before[..before.len() - last.len()]) {
        if let Some((_, next)) = STAGE_WORDS.iter().find(|(word, next)| *word == last && !next.is_empty()) {
            return Some(Slip { instead: vec![next], hint: None });
        }
        // Two adjacent names: the first may be a misspelt keyword of a step.
        let near = nearest(last, STAGE_WORDS.iter().map(|(word, _)| *word));
        return near.and_then(|near| hint(format!("did you mean `{near}`?")));
    }
    if has(Rule::by_word) && has(Rule::comma) && has(Rule::lbrace) {
        return Some(Slip { instead: vec!["`,`", "`{`"], hint: None });
    }
    None
}

/// Returns whether a stage of a flow begins after this text.
fn begins_stage(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '\t']);
    before.ends_with("->") || before.ends_with(['{', ',', '\n']) || before.ends_with("optional")
}

fn is_word_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn first_word(text: &str) -> &str {
    &text[..text.find(|letter| !is_word_letter(letter)).unwrap_or(text.len())]
}

/// Returns the most similar word, if any is similar enough.
fn nearest(word: &str, words: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let distances = words.map(|candidate| (strsim::osa_distance(word, candidate), candidate));
    let near = distances
        .filter(|(distance, candidate)| *distance > 0 && *distance <= candidate.len() / 3 && word.len() > 2);
    near.min().map(|(_, candidate)| candidate)
}
