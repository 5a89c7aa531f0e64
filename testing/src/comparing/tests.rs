use std::cell::Cell;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use weir_grammar::FileId;

use super::*;

const EVENTS: usize = 20_000;

fn events(schema: &SchemaRef, numbers: Range<usize>) -> (Vec<TestEvent>, Vec<ReceivedEvent>) {
    let span = Span { file: FileId(0), start: 0, end: 0 };
    let expected = |number: usize| TestEvent { span, content: EventContent::Body(number.to_string()) };
    let found = |number: usize| {
        let values = vec![Value::Text(number.to_string())];
        ReceivedEvent { schema: schema.clone(), values, lineage: None }
    };
    (numbers.clone().map(expected).collect(), numbers.map(found).collect())
}

/// Compares the events with these numbers; returns the failure and how often two events were compared.
fn compared(expected: Range<usize>, found: Range<usize>) -> (Option<Failure>, usize) {
    let schema = Arc::new(Schema::new(vec![Field::new(BODY, DataType::Utf8View, false)]));
    let (expected, _) = events(&schema, expected);
    let (_, found) = events(&schema, found);
    let at = Span { file: FileId(0), start: 0, end: 0 };
    let calls = Cell::new(0);
    let counting = |expected: &EventContent, found: &ReceivedEvent| {
        calls.set(calls.get() + 1);
        differences(expected, found)
    };
    let failure = compare_by(&counting, "out", at, &expected, &found);
    (failure, calls.get())
}

#[test]
fn many_events_that_differ_are_compared_once() {
    let (failure, calls) = compared(0..EVENTS, 1..EVENTS);
    let failure = failure.expect("the first event is missing");
    assert!(calls <= EVENTS + DIFFERING_MAX, "{calls} calls");
    assert_eq!(failure.message, "19999 events came to `out`, and 20000 events are expected");
    assert_eq!((failure.comparison.len(), failure.labels.len()), (DIFFERING_MAX, DIFFERING_MAX));
    assert_eq!(failure.comparison[0].expected.text, "\"0\"");
    assert_eq!(failure.comparison[0].found.text, "\"1\"");
    let notes = [
        "so many events are compared in their order",
        "19950 events of those that differ are not compared here",
    ];
    assert_eq!(failure.notes, notes);
    let (failure, calls) = compared(0..EVENTS, 0..EVENTS);
    assert_eq!((failure, calls), (None, EVENTS));
}

#[test]
fn many_missing_or_unexpected_events_are_not_all_listed() {
    for (expected, found) in [(0..EVENTS, 0..0), (0..0, 0..EVENTS), (0..EVENTS + 60, 0..EVENTS)] {
        let (failure, _) = compared(expected.clone(), found.clone());
        let failure = failure.expect("the numbers of events differ");
        assert_eq!(failure.comparison.len(), DIFFERING_MAX, "{expected:?} {found:?}");
        assert!(failure.labels.len() <= DIFFERING_MAX, "{expected:?} {found:?}");
        assert!(failure.notes.last().is_some_and(|note| note.ends_with("are not compared here")));
    }
}
