//! The trace of a test in words: each event that was sent, and the event after each step.

use std::collections::BTreeMap;

use weir_plan::{BODY, LINEAGE, Value};

use crate::checks::sent_text;
use crate::comparing::record;
use crate::run::Ran;
use crate::scene::ReceivedEvent;
use crate::watching::TraceEntry;

/// Returns the lines of the trace.
pub(crate) fn shown(ran: &Ran) -> Vec<String> {
    let mut by_event: BTreeMap<i64, Vec<TraceEntry>> = BTreeMap::new();
    for entry in ran.watcher.trace() {
        by_event.entry(entry.lineage).or_default().push(entry);
    }
    // Where there is no step, nothing has watched the events that came.
    for lineage in ran.arrivals.values().flatten().flatten() {
        by_event.entry(*lineage).or_default();
    }
    let mut lines = Vec::new();
    for (lineage, entries) in by_event {
        lines.push(format!("{}{}", sent_text(&ran.scene, lineage), real_headers(ran, lineage)));
        let mut before = ran.scene.sent(lineage).map(|(_, event)| event.columns).unwrap_or_default();
        for TraceEntry { step, after, rejects, .. } in entries {
            match after.as_slice() {
                [] if rejects => lines.push(format!("  {step}: rejected")),
                [] => lines.push(format!("  {step}: dropped")),
                events => {
                    lines.extend(events.iter().map(|event| format!("  {step}: {}", changed(&before, event))));
                }
            }
            if let Some(last) = after.last() {
                before = columns(last);
            }
        }
        for (sink, events) in &ran.arrivals {
            let count = events.iter().filter(|came| **came == Some(lineage)).count();
            match count {
                0 => {}
                1 => lines.push(format!("  -> {sink}")),
                count => lines.push(format!("  -> {sink}, {count} times")),
            }
        }
    }
    lines
}

/// Returns the headers of an event that a real source has given, in words; empty for others, whose headers are simulated unless the test
/// sets them.
fn real_headers(ran: &Ran, lineage: i64) -> String {
    let Some((source, event)) = ran.scene.sent(lineage) else { return String::new() };
    if ran.scene.source(&source, |source| source.exact.is_empty()) != Some(false) {
        return String::new();
    }
    let headers = event.columns.iter().filter(|(name, value)| *name != BODY && **value != Value::Null);
    match record(headers.map(|(name, value)| (name.as_str(), value))).as_str() {
        "{}" => String::new(),
        headers => format!(" with {headers}"),
    }
}

/// The columns of an event that programs can name.
fn columns(event: &ReceivedEvent) -> BTreeMap<String, Value> {
    let named = event.schema.fields().iter().zip(&event.values);
    let shown = named.filter(|(field, _)| field.name() != LINEAGE && !field.name().starts_with('$'));
    shown.map(|(field, value)| (field.name().clone(), value.clone())).collect()
}

/// Returns what a step has changed: the columns with new values, and the names of those that are gone.
fn changed(before: &BTreeMap<String, Value>, after: &ReceivedEvent) -> String {
    let after = columns(after);
    let new = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
    let new = record(new.map(|(name, value)| (name.as_str(), value)));
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let gone: Vec<String> = gone.map(|name| format!("`{name}`")).collect();
    match (new.as_str(), gone.as_slice()) {
        ("{}", []) => "passed".to_owned(),
        (new, []) => new.to_owned(),
        ("{}", gone) => format!("without {}", gone.join(", ")),
        (new, gone) => format!("{new} without {}", gone.join(", ")),
    }
}
