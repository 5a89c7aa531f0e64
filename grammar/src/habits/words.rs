//! Words of other languages: keywords in capitals, `elif`, `return`, and other words for items.

use super::Habit;
use super::site::{Site, is_word_letter, scan, skip_blanks, tail, word_at};
use crate::Rule;

/// Words that begin items in other languages and tools, with the word for it here.
const ITEMS: [(&str, &str); 37] = [
    ("pipeline", "flow"),
    ("pipelines", "flow"),
    ("route", "flow"),
    ("stream", "flow"),
    ("topology", "flow"),
    ("job", "flow"),
    ("input", "source"),
    ("inputs", "source"),
    ("sources", "source"),
    ("reader", "source"),
    ("origin", "source"),
    ("output", "sink"),
    ("outputs", "sink"),
    ("sinks", "sink"),
    ("target", "sink"),
    ("destination", "sink"),
    ("writer", "sink"),
    ("channels", "channel"),
    ("buffer", "channel"),
    ("queue", "channel"),
    ("function", "fn"),
    ("func", "fn"),
    ("fun", "fn"),
    ("def", "fn"),
    ("const", "let"),
    ("var", "let"),
    ("val", "let"),
    ("parameter", "param"),
    ("arg", "param"),
    ("variable", "param"),
    ("type", "schema"),
    ("struct", "schema"),
    ("class", "schema"),
    ("include", "import"),
    ("use", "import"),
    ("rules", "quality"),
    ("transform", "interceptor"),
];

/// Words before items in other languages, which have no meaning here.
const MODIFIERS: [&str; 7] = ["export", "public", "pub", "private", "static", "final", "async"];

/// The keywords that may stand inside an item in capitals.
const KEYWORDS: [&str; 21] = [
    "and", "or", "not", "in", "is", "null", "empty", "matches", "if", "then", "else", "match", "as",
    "because", "keep", "drop", "reject", "set", "select", "parse", "by",
];

/// Returns the habit of an item with an unknown keyword.
pub(crate) fn item_word(text: &str) -> Option<Habit> {
    let word = word_at(text, 0);
    let next = skip_blanks(text, word.len());
    let follows = word_at(text, next);
    if MODIFIERS.contains(&word) && crate::layout::ITEM_WORDS.contains(&follows) {
        let message = format!("an item has no `{word}`: other files see every item of an imported file");
        return Some(Habit::new(0..word.len(), message, format!("leave out `{word}`")).edit(0..next, ""));
    }
    let lower = word.to_ascii_lowercase();
    let keyword = crate::layout::ITEM_WORDS.iter().find(|known| **known == lower && lower != word);
    let known = ITEMS.iter().find(|(foreign, _)| *foreign == lower).map(|(_, here)| *here);
    let instead = keyword.copied().or(known)?;
    let is_named = !follows.is_empty() || tail(text, next).starts_with('"') && instead == "import";
    if !is_named || tail(text, next).starts_with('=') {
        return None;
    }
    let message = format!("no item begins with `{word}`: this is a `{instead}`");
    Some(Habit::written(0..word.len(), message, instead))
}

pub(super) fn find(site: &Site<'_>, habits: &mut Vec<Habit>) {
    habits.extend(capitals(site));
    habits.extend(else_if(site));
    habits.extend(returned(site));
}

/// `AND`, `IS NOT NULL` and `Keep If`: all keywords of the line that are in capitals.
fn capitals(site: &Site<'_>) -> Option<Habit> {
    let is_capital = |word: &str| {
        let lower = word.to_ascii_lowercase();
        lower != word && KEYWORDS.contains(&lower.as_str())
    };
    let last = site.last_word();
    let first = [last, site.word_range()].into_iter().find(|range| is_capital(&site.text[range.clone()]))?;
    let words = &site.text[first.clone()];
    let message = format!("keywords are written in small letters: `{}`", words.to_ascii_lowercase());
    let title = format!("write `{}`", words.to_ascii_lowercase());
    let mut habit = Habit::new(first.clone(), message, title);
    let line_end = site.text[first.start..].find('\n').map_or(site.text.len(), |end| first.start + end);
    let mut at_word_start = true;
    scan(&site.text[..line_end], first.start, |place, byte| {
        let word = word_at(site.text, place);
        if at_word_start && is_capital(word) {
            habit.edits.push((place..place + word.len(), word.to_ascii_lowercase()));
        }
        at_word_start = !is_word_letter(byte as char) && byte != b'@';
        false
    });
    Some(habit)
}

/// `elif`, `elsif` and `elseif`.
fn else_if(site: &Site<'_>) -> Option<Habit> {
    let word = site.word();
    let is_known = matches!(word, "elif" | "elsif" | "elseif" | "ELIF" | "ELSIF")
        && (site.expects(Rule::else_word) || site.after_value());
    is_known.then(|| {
        Habit::written(
            site.word_range(),
            format!("a further condition follows `else if`, not `{word}`"),
            "else if",
        )
    })
}

/// `return x` in a function.
fn returned(site: &Site<'_>) -> Option<Habit> {
    let last = site.last_word();
    if &site.text[last.clone()] != "return" || !site.text.starts_with("fn ") {
        return None;
    }
    let message = "the last expression of a function is its result, without `return`";
    Some(Habit::new(last.clone(), message, "leave out `return`").edit(last.start..site.place, ""))
}

/// `if a then b` without `else`: the mistake is at the `if`.
pub(super) fn missing_else(site: &Site<'_>) -> Option<Habit> {
    // Only the `else` of an `if` is required; that of a step is optional.
    let ends = [Rule::arrow, Rule::separator, Rule::rparen, Rule::EOI, Rule::rbrace];
    if !site.expects(Rule::else_word) || ends.iter().any(|rule| site.expects(*rule)) {
        return None;
    }
    // The innermost `if … then` without an `else`.
    let mut open: Vec<usize> = Vec::new();
    let mut conditions: Vec<usize> = Vec::new();
    let mut at_word_start = true;
    scan(&site.text[..site.place], 0, |place, byte| {
        let word = word_at(site.text, place);
        if at_word_start {
            match word {
                "if" => conditions.push(place),
                "then" => open.extend(conditions.pop()),
                "else" => {
                    open.pop();
                }
                _ => {}
            }
        }
        at_word_start = !is_word_letter(byte as char) && byte != b'@';
        false
    });
    let start = open.pop()?;
    let message = "this `if` has no `else`: a value is needed in each case";
    let habit = Habit::new(start..start + 2, message, "add `else` and a value");
    Some(
        habit.help("`else null` makes the value optional; to leave out events, write `keep if` or `drop if`"),
    )
}
