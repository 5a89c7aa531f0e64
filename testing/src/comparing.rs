//! Compares the events that came with those that a test expects, in any order.

use std::collections::VecDeque;
use std::ops::Range;

use weir_compiler::analysis::program_tests::{EventContent, TestEvent};
use weir_grammar::Span;
use weir_plan::{BODY, HEADER_SIGIL, Value};

use crate::outcome::{Compared, Difference, Failure, Marked};
use crate::scene::ReceivedEvent;
use crate::values;

#[cfg(test)]
mod tests;

/// The longest text of an event in a message, in characters.
const SHOWN_MAX: usize = 300;

/// The most pairs of events that are compared; more events are compared in their order.
const PAIRS_MAX: usize = 4_000_000;

/// The most events that differ, are missing or are not expected that a failure compares.
const DIFFERING_MAX: usize = 50;

/// Returns the columns in which an event differs from the expected one, each with the value that it has.
type Differences<'d> = &'d dyn Fn(&EventContent, &ReceivedEvent) -> Vec<(String, String)>;

/// Returns why the events that came are not those that are expected; none if they are.
pub(crate) fn compare(
    place: &str,
    at: Span,
    expected: &[TestEvent],
    found: &[ReceivedEvent],
) -> Option<Failure> {
    compare_by(&differences, place, at, expected, found)
}

fn compare_by(
    differences: Differences<'_>,
    place: &str,
    at: Span,
    expected: &[TestEvent],
    found: &[ReceivedEvent],
) -> Option<Failure> {
    let is_large = expected.len().saturating_mul(found.len()) > PAIRS_MAX;
    let matches = match is_large {
        true => assign_in_order(differences, expected, found),
        false => assign(differences, expected, found),
    };
    if expected.len() == found.len() && matches.iter().all(Option::is_some) {
        return None;
    }
    let mut is_matched = vec![false; found.len()];
    matches.iter().flatten().for_each(|row| is_matched[*row] = true);
    let mut unexpected: VecDeque<usize> = (0..found.len()).filter(|row| !is_matched[*row]).collect();
    let counted_unexpected = counted(unexpected.len());
    let (mut comparison, mut labels, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut differing, mut left_out) = (0, 0);
    for (event, matched) in expected.iter().zip(&matches) {
        match matched {
            Some(_) if is_large => {}
            Some(row) => comparison.push(same(&event.content, &found[*row])),
            None if differing == DIFFERING_MAX => left_out += 1,
            None => {
                differing += 1;
                let row = take_nearest(differences, event, found, &mut unexpected, is_large);
                let (compared, label) = differs(differences, event, row.map(|row| &found[row]));
                comparison.push(compared);
                labels.push((event.span, label));
            }
        }
    }
    let shown = unexpected.len().min(DIFFERING_MAX - differing);
    for row in unexpected.iter().take(shown) {
        let found = Marked { text: found_text(&found[*row]), marks: Vec::new() };
        comparison.push(Compared { difference: Difference::Unexpected, expected: Marked::default(), found });
    }
    if is_large {
        notes.push("so many events are compared in their order".to_owned());
    }
    // An expected event and one that came make one difference.
    let left_out = (unexpected.len() - shown).max(left_out);
    if left_out > 0 {
        notes.push(format!("{} of those that differ are not compared here", counted(left_out)));
    }
    if labels.is_empty() {
        labels.push((at, format!("{counted_unexpected} came that nothing here expects")));
    }
    Some(Failure { message: message(place, expected.len(), found.len()), labels, comparison, notes })
}

/// Says how the numbers of events differ.
fn message(place: &str, expected: usize, found: usize) -> String {
    match (expected, found) {
        (0, came) => format!("{} came to `{place}`, and none is expected", counted(came)),
        (wanted, 0) => format!("nothing came to `{place}`, and {} expected", are_expected(wanted)),
        (wanted, came) if wanted == came => {
            format!("what came to `{place}` differs from what is expected")
        }
        (wanted, came) => {
            format!("{} came to `{place}`, and {} expected", counted(came), are_expected(wanted))
        }
    }
}

fn counted(count: usize) -> String {
    format!("{count} event{}", if count == 1 { "" } else { "s" })
}

/// Compares an expected event with the one that is assigned to it.
fn same(expected: &EventContent, found: &ReceivedEvent) -> Compared {
    let (expected, found) = (expected_parts(expected).unmarked(), found_beside(expected, found).unmarked());
    Compared { difference: Difference::Same, expected, found }
}

/// Takes the row that is most similar to an expected event from those that nothing expects; the first one of many events.
fn take_nearest(
    differences: Differences<'_>,
    event: &TestEvent,
    found: &[ReceivedEvent],
    unexpected: &mut VecDeque<usize>,
    is_large: bool,
) -> Option<usize> {
    if is_large {
        return unexpected.pop_front();
    }
    let rows = unexpected.iter().enumerate();
    let nearest = rows.min_by_key(|(_, row)| differences(&event.content, &found[**row]).len());
    let (index, _) = nearest?;
    unexpected.remove(index)
}

/// Compares an expected event with one that differs, or with none, and explains the difference.
fn differs(
    differences: Differences<'_>,
    event: &TestEvent,
    found: Option<&ReceivedEvent>,
) -> (Compared, String) {
    let shown = expected_parts(&event.content);
    let Some(found) = found else {
        let (difference, expected, found) = (Difference::Missing, shown.unmarked(), Marked::default());
        return (Compared { difference, expected, found }, "did not come".to_owned());
    };
    let differing = differences(&event.content, found);
    let label = explained(&differing);
    let names: Vec<String> = differing.into_iter().map(|(name, _)| name).collect();
    let (expected, found) = marked(shown, found_beside(&event.content, found), &names);
    (Compared { difference: Difference::In(names), expected, found }, label)
}

fn are_expected(count: usize) -> String {
    if count == 1 { "1 event is".to_owned() } else { format!("{count} events are") }
}

/// Explains the columns in which an event differs from the expected one.
fn explained(differing: &[(String, String)]) -> String {
    let shown: Vec<String> =
        differing.iter().take(3).map(|(name, found)| format!("`{name}` is {found}")).collect();
    match differing.len() {
        0..=3 => shown.join(", "),
        count => format!("{}, and {} more differ", shown.join(", "), count - 3),
    }
}

/// Assigns to each expected event the one that came at its place, if it fits.
fn assign_in_order(
    differences: Differences<'_>,
    expected: &[TestEvent],
    found: &[ReceivedEvent],
) -> Vec<Option<usize>> {
    let fits = |event: usize| {
        found.get(event).is_some_and(|row| differences(&expected[event].content, row).is_empty())
    };
    (0..expected.len()).map(|event| fits(event).then_some(event)).collect()
}

/// Assigns an event that came to each expected event, so that as many as possible have one (Kuhn's algorithm for matchings of
/// bipartite graphs).
fn assign(
    differences: Differences<'_>,
    expected: &[TestEvent],
    found: &[ReceivedEvent],
) -> Vec<Option<usize>> {
    let fits = |event: usize, row: usize| differences(&expected[event].content, &found[row]).is_empty();
    if expected.len() == found.len() && (0..expected.len()).all(|row| fits(row, row)) {
        return (0..expected.len()).map(Some).collect();
    }
    let candidates: Vec<Vec<usize>> =
        (0..expected.len()).map(|event| (0..found.len()).filter(|row| fits(event, *row)).collect()).collect();
    let mut owners: Vec<Option<usize>> = vec![None; found.len()];
    for event in 0..expected.len() {
        improve(event, &candidates, &mut owners);
    }
    let mut matches = vec![None; expected.len()];
    for (row, owner) in owners.iter().enumerate() {
        if let Some(event) = owner {
            matches[*event] = Some(row);
        }
    }
    matches
}

/// Finds a row for an event by moving others to other rows. Follows chains breadth first, without recursion.
fn improve(event: usize, candidates: &[Vec<usize>], owners: &mut [Option<usize>]) {
    let mut reached_by: Vec<Option<usize>> = vec![None; owners.len()];
    let mut seen = vec![false; owners.len()];
    let mut queue = VecDeque::from([event]);
    while let Some(current) = queue.pop_front() {
        for row in &candidates[current] {
            if std::mem::replace(&mut seen[*row], true) {
                continue;
            }
            reached_by[*row] = Some(current);
            match owners[*row] {
                Some(owner) => queue.push_back(owner),
                None => return move_along(*row, event, &reached_by, owners),
            }
        }
    }
}

/// Gives a free row to the event that has reached it, whose row to the one that reached that, and so on.
fn move_along(free: usize, first: usize, reached_by: &[Option<usize>], owners: &mut [Option<usize>]) {
    let mut row = free;
    while let Some(event) = reached_by[row] {
        let before = owners.iter().position(|owner| *owner == Some(event));
        owners[row] = Some(event);
        match before {
            Some(before) if event != first => row = before,
            _ => return,
        }
    }
}

/// Returns the columns in which an event differs from the expected one, each with the value that it has.
fn differences(expected: &EventContent, found: &ReceivedEvent) -> Vec<(String, String)> {
    let body = || match found.value(BODY) {
        Some(Value::Text(body)) => Some(body),
        _ => None,
    };
    let no_body = || vec![(BODY.to_owned(), format!("missing: the event is {}", found_text(found)))];
    match expected {
        EventContent::Body(text) => match body() {
            Some(body) if body == text => Vec::new(),
            Some(body) => vec![(BODY.to_owned(), shortened(&body_text(body)))],
            None => no_body(),
        },
        EventContent::Json(document) => match body() {
            Some(body) => match serde_json::from_str::<serde_json::Value>(body) {
                Ok(found) if values::contains(&found, document) => Vec::new(),
                _ => vec![(BODY.to_owned(), shortened(&body_text(body)))],
            },
            None => no_body(),
        },
        EventContent::Columns(columns) => {
            let differing = columns.iter().filter_map(|(name, expected)| {
                let index = found.schema.index_of(name).ok();
                let Some(index) = index else { return Some((name.clone(), "missing".to_owned())) };
                let (value, data_type) = (&found.values[index], found.schema.field(index).data_type());
                let is_expected = values::is_expected(expected, value, data_type);
                (!is_expected).then(|| (name.clone(), shortened(&value.to_string())))
            });
            differing.collect()
        }
    }
}

/// An event in the syntax of the language, with the place of each column in the text, in characters.
#[derive(Default)]
struct Shown {
    text: String,
    parts: Vec<(String, Range<usize>)>,
}

impl Shown {
    fn of(text: String) -> Shown {
        Shown { text, parts: Vec::new() }
    }

    fn record<'c>(columns: impl Iterator<Item = (&'c str, &'c Value)>) -> Shown {
        let mut shown = Shown { text: "{".to_owned(), parts: Vec::new() };
        let mut length = 1;
        for (name, value) in columns {
            let document = if name == BODY && matches!(value, Value::Record(_)) { "json " } else { "" };
            let separator = if length == 1 { " " } else { ", " };
            let entry = format!("{name}: {document}{value}");
            let begin = length + separator.len();
            length = begin + entry.chars().count();
            shown.parts.push((name.to_owned(), begin..length));
            shown.text.push_str(separator);
            shown.text.push_str(&entry);
        }
        shown.text.push_str(if length == 1 { "}" } else { " }" });
        shown
    }

    fn unmarked(self) -> Marked {
        Marked { text: shortened(&self.text), marks: Vec::new() }
    }
}

/// Marks the columns of these names in both texts. Without columns, marks what is between the common begin and end.
fn marked(expected: Shown, found: Shown, names: &[String]) -> (Marked, Marked) {
    let of_names = |shown: &Shown| -> Vec<Range<usize>> {
        let parts = shown.parts.iter().filter(|(name, _)| names.contains(name));
        parts.map(|(_, place)| place.clone()).collect()
    };
    let (mut first, mut second) = (of_names(&expected), of_names(&found));
    if first.is_empty() {
        let (one, other): (Vec<char>, Vec<char>) =
            (expected.text.chars().collect(), found.text.chars().collect());
        let begin = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
        let rest = one.len().min(other.len()) - begin;
        let ends = one.iter().rev().zip(other.iter().rev()).take(rest);
        let end = ends.take_while(|(one, other)| one == other).count();
        let range = |length: usize| begin..(length - end).max(begin + 1).min(length.max(begin + 1));
        (first, second) = (vec![range(one.len())], vec![range(other.len())]);
    }
    let cut = |shown: Shown, mut marks: Vec<Range<usize>>| {
        marks.retain(|mark| mark.start < SHOWN_MAX);
        marks.iter_mut().for_each(|mark| mark.end = mark.end.min(SHOWN_MAX));
        Marked { text: shortened(&shown.text), marks }
    };
    (cut(expected, first), cut(found, second))
}

/// Returns an expected event in the syntax of the language.
pub(crate) fn expected_text(content: &EventContent) -> String {
    shortened(&expected_parts(content).text)
}

fn expected_parts(content: &EventContent) -> Shown {
    match content {
        EventContent::Body(text) => Shown::of(Value::Text(text.clone()).to_string()),
        EventContent::Json(document) => Shown::of(format!("json {document}")),
        EventContent::Columns(columns) => {
            Shown::record(columns.iter().map(|(name, value)| (name.as_str(), value)))
        }
    }
}

/// Returns the columns of an event that an expected event has.
fn found_beside(expected: &EventContent, found: &ReceivedEvent) -> Shown {
    match expected {
        EventContent::Columns(columns) => Shown::record(
            columns.keys().map(|name| (name.as_str(), found.value(name).unwrap_or(&Value::Null))),
        ),
        _ => match found.value(BODY) {
            Some(Value::Text(body)) => Shown::of(body_text(body)),
            _ => Shown::of(found_text(found)),
        },
    }
}

/// Returns an event without its headers in the syntax of the language: its body, or its fields.
pub(crate) fn found_text(found: &ReceivedEvent) -> String {
    let fields = || {
        let named = found.schema.fields().iter().zip(&found.values);
        let shown = named.filter(|(field, _)| !field.name().starts_with([HEADER_SIGIL, '$']));
        shown.filter(|(field, _)| !field.metadata().contains_key(weir_plan::ATTACHED))
    };
    match found.value(BODY) {
        Some(Value::Text(body)) if fields().count() == 1 => shortened(&body_text(body)),
        _ => shortened(&record(fields().map(|(field, value)| (field.name().as_str(), value)))),
    }
}

/// Returns a body in the syntax of the language; a JSON object as it is, without escapes.
pub(crate) fn body_text(body: &str) -> String {
    match serde_json::from_str(body) {
        Ok(serde_json::Value::Object(_)) => format!("json {body}"),
        _ => Value::Text(body.to_owned()).to_string(),
    }
}

/// Returns columns in the syntax of the language.
pub(crate) fn record<'c>(columns: impl Iterator<Item = (&'c str, &'c Value)>) -> String {
    shortened(&Shown::record(columns).text)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
