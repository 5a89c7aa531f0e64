//! What sinks write of events, and the events that sources make of lines, as the library says.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use weir_compiler::analysis::program_tests::{EventContent, TestEvent};
use weir_grammar::Span;
use weir_plan::{Component, LINEAGE, Value};
use weir_runtime::batch::Batch;

use crate::comparing::compare;
use crate::outcome::Failure;
use crate::program::Staged;
use crate::scene::ReceivedEvent;

fn sink<'s>(staged: &'s Staged, name: &str) -> Option<&'s Component> {
    staged.plan.sinks.iter().find(|sink| sink.name == name)
}

/// Returns whether the library says what a sink writes; also for a sink that no flow uses.
pub(crate) fn is_known(staged: &Staged, name: &str) -> bool {
    sink(staged, name).is_none_or(|sink| (staged.library)().writes_of(&sink.kind).is_some())
}

/// Returns whether a source makes events of lines.
pub(crate) fn reads_lines(staged: &Staged, name: &str) -> bool {
    let source = staged.plan.sources.iter().find(|source| source.name == *name);
    source.is_none_or(|source| (staged.library)().events_of_lines_of(&source.kind).is_some())
}

/// Returns the events that a source makes of lines.
///
/// # Errors
/// When the source reads no lines, or its settings can't be carried out, in words.
pub(crate) fn events_of_lines(
    staged: &Staged,
    name: &str,
    span: Span,
    lines: &[TestEvent],
) -> Result<Vec<TestEvent>, String> {
    let source = staged.plan.sources.iter().find(|source| source.name == name);
    let source = source.ok_or_else(|| format!("no flow uses the source `{name}`"))?;
    let make = (staged.library)().events_of_lines_of(&source.kind);
    let make = make.ok_or_else(|| format!("the source `{name}` reads no lines"))?;
    let text: String = lines.iter().map(|line| format!("{}\n", line_text(line))).collect();
    let bodies = make(&source.settings, text.as_bytes()).map_err(|failure| failure.to_string())?;
    let event = |body: Vec<u8>| {
        let content = EventContent::Body(String::from_utf8_lossy(&body).into_owned());
        TestEvent { span, content }
    };
    Ok(bodies.into_iter().map(event).collect())
}

fn line_text(line: &TestEvent) -> &str {
    match &line.content {
        EventContent::Body(text) => text,
        EventContent::Json(_) | EventContent::Columns(_) => "",
    }
}

/// Compares what a sink writes of the events in these batches with what is expected.
///
/// # Errors
/// When the events can't be written, in words.
pub(crate) fn compared(
    staged: &Staged,
    name: &str,
    at: Span,
    expected: &[TestEvent],
    batches: &[Batch],
) -> Result<Option<Failure>, String> {
    let sink = sink(staged, name).ok_or_else(|| format!("no flow uses the sink `{name}`"))?;
    let writes = (staged.library)().writes_of(&sink.kind);
    let writes = writes.ok_or_else(|| format!("what `{name}` writes can't be known"))?;
    let mut written = Vec::new();
    for batch in batches {
        let fields = batch.schema().fields().iter().filter(|field| field.name() != LINEAGE);
        let schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
        let batch = batch.project(&schema).map_err(|error| error.to_string())?;
        let rows = writes(&sink.settings, &batch);
        let rows = rows.map_err(|failure| format!("`{name}` can't write its events: {failure}"))?;
        written.extend(rows.into_iter().map(|parts| {
            let fields = parts.keys().map(|part| Field::new(part, DataType::Utf8View, true));
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            ReceivedEvent { schema, values: parts.into_values().collect::<Vec<Value>>(), lineage: None }
        }));
    }
    Ok(compare(name, at, expected, &written).map(|failure| Failure {
        message: failure
            .message
            .replacen(" came to ", " was written by ", 1)
            .replace("events was", "events were"),
        ..failure
    }))
}
