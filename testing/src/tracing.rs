//! The trace of a test in words: each event that was sent, and the event after each step.

use std::collections::BTreeMap;

use crate::checks::sent_text;
use crate::comparing::whole_text;
use crate::run::Ran;
use crate::watching::TraceEntry;

/// Returns the lines of the trace.
pub(crate) fn shown(ran: &Ran) -> Vec<String> {
    let mut by_event: BTreeMap<i64, Vec<TraceEntry>> = BTreeMap::new();
    for entry in ran.watcher.trace() {
        by_event.entry(entry.lineage).or_default().push(entry);
    }
    let mut lines = Vec::new();
    for (lineage, entries) in by_event {
        lines.push(sent_text(&ran.scene, lineage));
        for TraceEntry { step, after, rejects, .. } in entries {
            match after.as_slice() {
                [] if rejects => lines.push(format!("  {step}: rejected")),
                [] => lines.push(format!("  {step}: dropped")),
                events => {
                    lines.extend(events.iter().map(|event| format!("  {step}: {}", whole_text(event))));
                }
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
