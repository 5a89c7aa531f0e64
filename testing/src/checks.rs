//! The expectations that look at more than the events of one sink: loss, repeats, order and metrics.

use std::collections::{BTreeMap, BTreeSet};

use weir_compiler::analysis::program_tests::{ProgramTest, TestActKind, TestContent, TestEvents};
use weir_grammar::Span;
use weir_grammar::tree::Operator;
use weir_plan::{BODY, Value};

use crate::comparing::{body_text, record};
use crate::outcome::Failure;
use crate::program::Staged;
use crate::promises::Broken;
use crate::run::Run;
use crate::scene::{ReceivedEvent, Scene, source_number};
use crate::{sending, written};

/// The most events that a message lists.
const LISTED_MAX: usize = 5;

/// Returns the first act of a test that can't be done: one that names a component which no flow uses, or a file that can't be
/// read.
pub(crate) fn impossible(staged: &Staged, test: &ProgramTest) -> Option<Failure> {
    let TestContent::Program(acts) = &test.content else { return None };
    let declared = |index: usize| staged.analysis.graph.components.get(index).map(|found| &found.declared);
    acts.iter().find_map(|act| match &act.kind {
        TestActKind::Send { source, events, as_lines } => {
            let source = &declared(*source)?.name;
            if !staged.plan.sources.iter().any(|planned| *planned.name == **source) {
                let message = format!("no flow uses the source `{source}`");
                return Some(Failure::at(act.span, message, "so nothing can be sent to it"));
            }
            if *as_lines && !written::reads_lines(staged, source) {
                let message = format!("the source `{source}` reads no lines");
                let label = "send it events: `send … [\"…\"]`";
                return Some(Failure::at(act.span, message, label));
            }
            let TestEvents::File { name, span } = events else { return None };
            let read = sending::sent_from(&staged.folder.join(name), *span);
            read.err().map(|message| Failure::at(*span, message, "the events that are sent"))
        }
        TestActKind::Writes { name, .. } if !written::is_known(staged, name) => {
            let message = format!("what `{name}` writes can't be known");
            let label = "expect the events that come to it: `expect … [{ … }]`";
            Some(Failure::at(act.span, message, label))
        }
        TestActKind::Expect { at, .. } | TestActKind::Writes { at, .. } => {
            let sink = declared(*at)?;
            let is_used = staged.plan.sinks.iter().any(|planned| *planned.name == *sink.name);
            let message = format!("no flow uses the sink `{}`", sink.name);
            (sink.rejects_of.is_none() && !is_used)
                .then(|| Failure::at(act.span, message, "so nothing can come to it"))
        }
        _ => None,
    })
}

/// Returns the events that are missing; none if there are none.
pub(crate) fn no_loss(run: &Run<'_>, index: usize, span: Span) -> Option<Failure> {
    let reference = run.references.get(&index)?;
    let lost = run.staged.ends.lost(reference, &run.scene.arrivals());
    broken(&run.scene, span, &lost, "lost", "did not come to")
}

/// Returns the events that came too often; none if there are none.
pub(crate) fn no_duplicates(run: &Run<'_>, index: usize, span: Span) -> Option<Failure> {
    let reference = run.references.get(&index)?;
    let repeated = run.staged.ends.repeated(reference, &run.scene.arrivals());
    broken(&run.scene, span, &repeated, "repeated", "came again to")
}

/// Describes events that are lost or repeated; none if there are none.
pub(crate) fn broken(
    scene: &Scene,
    span: Span,
    events: &[Broken],
    what: &str,
    happened: &str,
) -> Option<Failure> {
    if events.is_empty() {
        return None;
    }
    let count = events.len();
    let are = if count == 1 { "1 event is".to_owned() } else { format!("{count} events are") };
    let label = "in a run without faults, each comes as often as it should";
    let mut failure = Failure::at(span, format!("{are} {what}"), label);
    for Broken { sink, lineage, wanted, came } in events.iter().take(LISTED_MAX) {
        let event = sent_text(scene, *lineage);
        failure.notes.push(format!("{event} {happened} `{sink}`: {came} of {wanted}"));
    }
    if count > LISTED_MAX {
        failure.notes.push(format!("and {} more", count - LISTED_MAX));
    }
    Some(failure)
}

/// Returns the text of an event that a test has sent, with its source.
pub(crate) fn sent_text(scene: &Scene, lineage: i64) -> String {
    match scene.sent(lineage) {
        Some((source, event)) => {
            let text = match event.columns.get(BODY) {
                Some(Value::Text(body)) => body_text(body),
                _ => record(event.columns.iter().map(|(name, value)| (name.as_str(), value))),
            };
            format!("{text} sent to `{source}`")
        }
        None => "an event".to_owned(),
    }
}

/// Checks that each sink has received the events of each source in their order. An event that came again counts when it came
/// first.
pub(crate) fn order(run: &Run<'_>, span: Span) -> Option<Failure> {
    for (sink, events) in run.scene.arrivals() {
        let mut last: BTreeMap<usize, i64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for lineage in events.into_iter().flatten().filter(|lineage| seen.insert(*lineage)) {
            let before = last.insert(source_number(lineage), lineage);
            if let Some(before) = before.filter(|before| *before > lineage) {
                let message = format!("events came to `{sink}` in another order than they were sent");
                let mut failure = Failure::at(span, message, "the order of each source is expected");
                let (first, second) = (sent_text(&run.scene, before), sent_text(&run.scene, lineage));
                failure.notes.push(format!("{first} came before {second}"));
                return Some(failure);
            }
        }
    }
    None
}

/// Compares a metric of a component with a value.
pub(crate) fn metric(
    run: &Run<'_>,
    span: Span,
    (component, metric): (&str, &str),
    comparison: Operator,
    value: i64,
) -> Option<Failure> {
    let measures = run.driver.measures();
    let components = measures.iter().flat_map(|measures| &measures.components);
    let Some(measured) = components.into_iter().find(|measured| &*measured.name == component) else {
        return Some(Failure::at(span, format!("no flow uses `{component}`"), "so it has no metrics"));
    };
    let found = match metric {
        "received" => measured.received.events,
        "processed" => measured.processed.events,
        "delivered" => measured.delivered.events,
        "dropped" => measured.dropped.events,
        "rejected" => measured.rejected.events,
        _ => measured.restarts,
    };
    let found = i64::try_from(found).unwrap_or(i64::MAX);
    let (is_right, sign) = match comparison {
        Operator::NotEqual => (found != value, "!="),
        Operator::Less => (found < value, "<"),
        Operator::LessOrEqual => (found <= value, "<="),
        Operator::Greater => (found > value, ">"),
        Operator::GreaterOrEqual => (found >= value, ">="),
        _ => (found == value, "=="),
    };
    let message = format!("`{component}.{metric}` is {found}");
    (!is_right).then(|| Failure::at(span, message, format!("`{sign} {value}` is expected")))
}

/// Describes the events that were rejected and that the test did not expect.
pub(crate) fn rejected(scene: &Scene) -> Vec<String> {
    let events = scene.rejects(|sink| sink.received[sink.expected.min(sink.received.len())..].to_vec());
    reasons(&events)
}

/// Describes why events were rejected.
pub(crate) fn reasons(rejected: &[ReceivedEvent]) -> Vec<String> {
    let text = |event: &ReceivedEvent, name: &str| match event.value(name) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let described = rejected.iter().take(LISTED_MAX).map(|event| {
        let body = body_text(&text(event, BODY));
        format!("`{}` has rejected {body}: {}", text(event, "step"), text(event, "reason"))
    });
    described.collect()
}
