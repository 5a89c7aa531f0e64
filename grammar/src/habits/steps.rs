//! Steps as other tools write them: `filter`, `where`, `if`, `select a, b`, and missing arrows.

use super::Habit;
use super::marks::braced_step;
use super::site::{Site, closed, is_word_letter, skip_blanks, tail, word_at};
use super::values::condition_end;
use crate::Rule;

/// Words that select events in other tools, with the beginning of the step here.
const FILTERS: [(&str, &str); 13] = [
    ("filter", "keep if"),
    ("where", "keep if"),
    ("when", "keep if"),
    ("only", "keep if"),
    ("require", "keep if"),
    ("include", "keep if"),
    ("accept", "keep if"),
    ("grep", "keep if"),
    ("exclude", "drop if"),
    ("discard", "drop if"),
    ("ignore", "drop if"),
    ("skip", "drop if"),
    ("abort", "drop if"),
];

/// Words that change events in other tools, with the word of the step here.
const STEPS: [(&str, &str); 13] = [
    ("add", "set"),
    ("mutate", "set"),
    ("assign", "set"),
    ("put", "set"),
    ("remove", "unset"),
    ("delete", "unset"),
    ("del", "unset"),
    ("project", "select"),
    ("decode", "parse"),
    ("limit", "throttle"),
    ("split", "explode"),
    ("unnest", "explode"),
    ("unroll", "explode"),
];

/// The keywords of the steps and edges of a flow.
const STAGES: [&str; 21] = [
    "keep", "drop", "reject", "dedupe", "select", "copy", "match", "balance", "failover", "set", "unset",
    "rename", "parse", "check", "let", "throttle", "sample", "optional", "filter", "explode", "flatten",
];

pub(super) fn find(site: &Site<'_>, habits: &mut Vec<Habit>) {
    habits.extend(if_as_a_step(site));
    habits.extend(selection(site));
    habits.extend(word_of_a_step(site));
    habits.extend(missing_if(site));
    habits.extend(select_without_braces(site));
    habits.extend(bare_assignment(site));
    habits.extend(renamed_as(site));
    habits.extend(schema_without_as(site));
    habits.extend(arrow(site));
    habits.extend(missing_arrow(site));
}

/// Returns whether a stage begins at a place: after an arrow, or at the beginning of an entry.
fn begins_stage(text: &str, place: usize) -> bool {
    let before = text[..place].trim_end_matches([' ', '\t']);
    before.ends_with(['{', ',', '\n']) || before.ends_with("->") || before.ends_with("optional")
}

/// `if status < 500` as a step.
fn if_as_a_step(site: &Site<'_>) -> Option<Habit> {
    if site.word() != "if" || !site.before_step() || !begins_stage(site.text, site.place) {
        return None;
    }
    let here = site.word_range();
    let start = skip_blanks(site.text, here.end);
    let brace = super::site::value_end(site.text, start, &["{"]);
    let brace = skip_blanks(site.text, brace);
    if tail(site.text, brace).starts_with('{') && condition_end(site.text, start) > brace {
        let message = "events take one of several ways by a `match`, not by an `if`";
        let plain = Habit::new(here, message, "write `match { condition -> …, _ -> … }`");
        return Some(braced_step(site, site.place).unwrap_or(plain));
    }
    let message = "an `if` chooses values; events are kept by `keep if`";
    let habit = Habit::written(here.clone(), message, "keep if");
    Some(habit.help("events for which the condition is true pass; `drop if` drops them"))
}

/// `filter status < 500` and `where …`.
fn selection(site: &Site<'_>) -> Option<Habit> {
    let last = site.last_word();
    let word = &site.text[last.clone()];
    let (_, instead) = FILTERS.iter().find(|(foreign, _)| foreign.eq_ignore_ascii_case(word))?;
    if !begins_stage(site.text, last.start) || last.end == site.place {
        return None;
    }
    let kind = if *instead == "keep if" { "kept" } else { "dropped" };
    let message = format!("there is no step `{word}`: events are {kind} by `{instead}`");
    let replacement = if site.word() == "if" { instead.trim_end_matches(" if") } else { instead };
    Some(Habit::written(last, message, replacement))
}

/// `remove field` for `unset field`, and other words of steps.
fn word_of_a_step(site: &Site<'_>) -> Option<Habit> {
    let last = site.last_word();
    let word = &site.text[last.clone()];
    let (_, instead) = STEPS.iter().find(|(foreign, _)| *foreign == word)?;
    if !begins_stage(site.text, last.start) || last.end == site.place {
        return None;
    }
    Some(Habit::written(last, format!("there is no step `{word}`: write `{instead}`"), instead))
}

/// `keep status < 500` for `keep if …`.
fn missing_if(site: &Site<'_>) -> Option<Habit> {
    let last = site.last_word();
    let word = &site.text[last.clone()];
    if !site.expects(Rule::if_word)
        || !matches!(word, "keep" | "drop" | "reject")
        || !begins_stage(site.text, last.start)
    {
        return None;
    }
    // `keep when x`: another word than `if`, before the condition.
    let end = site.word_range().end;
    let after = skip_blanks(site.text, end);
    let operators =
        ["", "in", "is", "matches", "and", "or", "not", "contains", "starts_with", "ends_with", "because"];
    let before_value = !operators.contains(&word_at(site.text, after))
        || after > end && tail(site.text, after).starts_with(['@', '"', '(']);
    if site.word() == "not" || site.rest().starts_with(['\n', '-', '}']) {
        return None;
    }
    if !site.word().is_empty() && before_value {
        let message = format!("the condition of `{word}` follows `if`, not `{}`", site.word());
        return Some(Habit::written(site.word_range(), message, "if"));
    }
    if site.word().is_empty() && !site.rest().starts_with(['(', '@', '"', '!']) {
        return None;
    }
    let message = format!("the condition of `{word}` follows `if`");
    Some(
        Habit::new(super::marks::operand_at(site.text, site.place), message, format!("write `{word} if`"))
            .edit(site.place..site.place, "if "),
    )
}

/// `select a, b` for `select { a, b }`.
fn select_without_braces(site: &Site<'_>) -> Option<Habit> {
    let last = site.last_word();
    if &site.text[last] != "select" || !site.expects(Rule::lbrace) {
        return None;
    }
    if site.starts_with("(") || site.starts_with("[") {
        let end = closed(site.text, site.place);
        let message = "the fields of a `select` stand in braces";
        let habit =
            Habit::new(site.place..end, message, "write `{ … }`").edit(site.place..site.place + 1, "{ ");
        return (end > site.place).then(|| habit.edit(end - 1..end, " }"));
    }
    let is_of_list = |letter: char| is_word_letter(letter) || matches!(letter, '@' | ',' | ' ' | '\t');
    let list = site.rest();
    let list = &list[..list.find(|letter| !is_of_list(letter)).unwrap_or(list.len())];
    let names = list.trim().trim_end_matches(',');
    if names.is_empty() {
        return None;
    }
    let message = "the fields of a `select` stand in braces";
    let better = format!("{{ {names} }}");
    let end = site.place + list.trim_end().len();
    Some(Habit::new(site.place..end, message, format!("write `{better}`")).edit(site.place..end, better))
}

/// `level = "high"` for `set level = "high"`.
fn bare_assignment(site: &Site<'_>) -> Option<Habit> {
    let last = site.last_word();
    let start = if site.text[..last.start].ends_with('@') { last.start - 1 } else { last.start };
    let is_assignment =
        site.starts_with("=") && !site.starts_with("==") && !site.starts_with("=>") && !last.is_empty();
    if !is_assignment || !site.expects(Rule::arrow) || !begins_stage(site.text, start) {
        return None;
    }
    let message = "a field is set by the step `set`";
    Some(Habit::new(start..last.end, message, "write `set` before this").edit(start..start, "set "))
}

/// `rename a as b` for `rename a to b`.
fn renamed_as(site: &Site<'_>) -> Option<Habit> {
    if !site.expects(Rule::to_word) {
        return None;
    }
    let mark =
        ["as", "AS", "TO", "into", "->", "=>", "=", ":", ","].iter().find(|mark| site.starts_with(mark))?;
    let end = site.place + mark.len();
    let message = format!("the new name of a field follows `to`, not `{mark}`");
    let blank = if tail(site.text, end).starts_with([' ', '\t']) { "" } else { " " };
    let before = if site.text[..site.place].ends_with(' ') { "" } else { " " };
    Some(
        Habit::new(site.place..end, message, "write `to`")
            .edit(site.place..end, format!("{before}to{blank}")),
    )
}

/// `parse json Click` for `parse json as Click`.
fn schema_without_as(site: &Site<'_>) -> Option<Habit> {
    let is_type = site.word().starts_with(|letter: char| letter.is_ascii_uppercase());
    let message = "the schema of a `parse` follows `as`";
    let habit =
        Habit::new(site.word_range(), message, "write `as` before this").edit(site.place..site.place, "as ");
    (is_type && site.expects(Rule::as_word)).then_some(habit)
}

/// Other arrows: `-->`, `=>`, `|>`, `>>`, `|` and `>`.
fn arrow(site: &Site<'_>) -> Option<Habit> {
    if !site.expects(Rule::arrow) || site.after_value() && !site.starts_with("=>") {
        return None;
    }
    let (mark, length) = ["-->", "--", "=>", "|>", ">>", "|", ">"]
        .iter()
        .find(|mark| site.starts_with(mark))
        .map(|mark| (*mark, mark.len()))?;
    let message = format!("events move along `->`, not `{mark}`");
    Some(Habit::written(site.place..site.place + length, message, "->"))
}

/// Two stages on one line without an arrow.
fn missing_arrow(site: &Site<'_>) -> Option<Habit> {
    let word = site.word();
    if !site.expects(Rule::arrow) || !site.expects(Rule::separator) || word.is_empty() {
        return None;
    }
    let line = &site.text[site.text[..site.place].rfind('\n').map_or(0, |end| end + 1)..site.place];
    let last = site.last_word();
    let is_stage =
        STAGES.contains(&word) || !site.after_value() && !STAGES.contains(&&site.text[last.clone()]);
    // `kep if x`: the word before is no component.
    let next = skip_blanks(site.text, site.place + word.len());
    let ends_stage = ["->", "}", ",", "\n", "("].iter().any(|mark| tail(site.text, next).starts_with(mark))
        || next == site.text.len();
    // Only a component is a stage of one word.
    let stage = site.text[..site.place].rsplit(['{', '}', ',', '\n', '>']).next().unwrap_or_default();
    if !STAGES.contains(&word) && stage.split_whitespace().count() != 1 {
        return None;
    }
    if !is_stage || line.trim().is_empty() || word == "else" || !STAGES.contains(&word) && !ends_stage {
        return None;
    }
    if word_at(site.text, site.place) == "filter" {
        return None;
    }
    let habit =
        Habit::new(site.word_range(), "an arrow is missing between two stages", "write `->` before this");
    Some(habit.edit(site.place..site.place, "-> "))
}
