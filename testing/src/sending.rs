//! The events that tests send and expect: columns with simulated values, and events in files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use arrow_schema::{DataType, Field, Schema};
use weir_compiler::analysis::program_tests::{EventContent, TestEvent};
use weir_grammar::Span;
use weir_plan::{BODY, Component, LINEAGE, Value, time_text};

use crate::scene::{ReceivedEvent, SentEvent};
use crate::values;

/// The most bytes of a file of events.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The host of simulated events.
const HOST: &str = "test-host";

/// Makes an event for a source with this schema. Headers that the test leaves out get simulated values; `position` is the
/// number of the event at its source, from 0.
pub(crate) fn sent(
    content: &EventContent,
    source: &Component,
    schema: &Schema,
    position: u64,
    now: i64,
) -> SentEvent {
    let given = match content {
        EventContent::Body(text) => BTreeMap::from([(BODY.to_owned(), Value::Text(text.clone()))]),
        EventContent::Json(document) => {
            let text = document.to_json().to_string();
            BTreeMap::from([(BODY.to_owned(), Value::Text(text))])
        }
        EventContent::Columns(columns) => {
            let mut columns = columns.clone();
            if let Some(body) = columns.get_mut(BODY).filter(|body| matches!(body, Value::Record(_))) {
                *body = Value::Text(body.to_json().to_string());
            }
            columns
        }
    };
    let columns = schema.fields().iter().filter(|field| field.name() != LINEAGE).map(|field| {
        let value = given.get(field.name()).cloned();
        let value = value.unwrap_or_else(|| simulated(field, source, position, now));
        (field.name().clone(), value)
    });
    SentEvent { columns: columns.collect() }
}

/// The value of a column that a test leaves out.
fn simulated(field: &Field, source: &Component, position: u64, now: i64) -> Value {
    if field.is_nullable() {
        return Value::Null;
    }
    let name = field.name().trim_start_matches('@');
    let number = i64::try_from(position).unwrap_or(i64::MAX);
    match (field.data_type(), name) {
        (DataType::Utf8View, "host") => Value::Text(HOST.to_owned()),
        (DataType::Utf8View, "file") => Value::Text(format!("/{}/test.log", source.name)),
        (DataType::Utf8View, "topic") => Value::Text(topic(source)),
        (DataType::Utf8View, "path") => Value::Text("/".to_owned()),
        (DataType::Utf8View, _) => Value::Text(String::new()),
        (DataType::Int64, "offset" | "sequence") => Value::Int(number),
        (DataType::Int64, "line") => Value::Int(number + 1),
        (DataType::Int64, _) => Value::Int(0),
        (DataType::Float64, _) => Value::Float(0.0),
        (DataType::UInt64, _) => Value::Size(0),
        (DataType::Boolean, _) => Value::Bool(false),
        (DataType::Timestamp(..), _) => Value::Text(time_text(now).unwrap_or_default()),
        (DataType::Duration(_), _) => Value::Duration(std::time::Duration::ZERO),
        (DataType::FixedSizeBinary(_), _) => Value::Text("127.0.0.1".to_owned()),
        (DataType::BinaryView, _) => Value::Text(String::new()),
        (DataType::Map(..) | DataType::Struct(_), _) => Value::Record(BTreeMap::new()),
        (DataType::List(_), _) => Value::List(Vec::new()),
        (DataType::Decimal128(..), _) => Value::Int(0),
        _ => Value::Null,
    }
}

/// The topic of a source that reads one; the source's name if it reads several or none.
fn topic(source: &Component) -> String {
    match source.settings.values.get("topics") {
        Some(Value::List(topics)) => match topics.as_slice() {
            [Value::Text(topic)] => topic.clone(),
            _ => source.name.clone(),
        },
        _ => source.name.clone(),
    }
}

/// Reads a file in which each line is the body of an event.
///
/// # Errors
/// Why the file can't be read, in words.
pub(crate) fn sent_from(file: &Path, span: Span) -> Result<Vec<TestEvent>, String> {
    let event = |line: &str| TestEvent { span, content: EventContent::Body(line.to_owned()) };
    Ok(read(file)?.lines().map(event).collect())
}

/// Reads a file of expected events: a line is the body, or the fields as a JSON object if the events have no body.
///
/// # Errors
/// Why the file can't be read, in words.
pub(crate) fn expected_from(file: &Path, span: Span, has_body: bool) -> Result<Vec<TestEvent>, String> {
    let text = read(file)?;
    let events = text.lines().enumerate().map(|(number, line)| {
        if has_body {
            return Ok(TestEvent { span, content: EventContent::Body(line.to_owned()) });
        }
        let document: serde_json::Value = serde_json::from_str(line)
            .map_err(|error| format!("{}: line {} is no JSON: {error}", file.display(), number + 1))?;
        match values::of_json(&document) {
            Value::Record(columns) => Ok(TestEvent { span, content: EventContent::Columns(columns) }),
            _ => Err(format!("{}: line {} is no JSON object", file.display(), number + 1)),
        }
    });
    events.collect()
}

/// Writes the events that came as the expected ones.
///
/// # Errors
/// Why that is not possible, in words.
pub(crate) fn bless(
    folder: &Path,
    name: &str,
    events: &[ReceivedEvent],
    has_body: bool,
) -> Result<(), String> {
    let file = &folder.join(name);
    let mut text = String::new();
    for event in events {
        let line = match event.value(BODY) {
            Some(Value::Text(body)) if has_body => body.clone(),
            _ => {
                let fields = event.schema.fields().iter().zip(&event.values);
                let fields = fields.filter(|(field, _)| !field.name().starts_with(['@', '$']));
                let fields = fields.map(|(field, value)| (field.name().clone(), value.to_json()));
                serde_json::Value::Object(fields.collect()).to_string()
            }
        };
        if line.contains('\n') {
            let what = "an event has several lines, which a file of events can't show: expect it in the test";
            return Err(format!("{}: {what}", file.display()));
        }
        text.push_str(&line);
        text.push('\n');
    }
    stays_within(folder, file)?;
    std::fs::write(file, text).map_err(|error| format!("can't write {}: {error}", file.display()))
}

/// Refuses a file that a symbolic link leads to: the file itself, or a folder outside of the program's.
fn stays_within(folder: &Path, file: &Path) -> Result<(), String> {
    let refused = |why: &str| Err(format!("{} is not written: {why}", file.display()));
    let resolved = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        path.canonicalize().map_err(|error| format!("can't write {}: {error}", file.display()))
    };
    if file.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        return refused("it is a symbolic link, or no regular file");
    }
    let parent = resolved(file.parent().unwrap_or(Path::new("")))?;
    match parent.starts_with(resolved(folder)?) {
        true => Ok(()),
        false => refused("a symbolic link leads out of the folder of the program"),
    }
}

fn read(file: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file {}", file.display()),
        _ => format!("can't read {}: {error}", file.display()),
    };
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(format!("can't read {}: it is no regular file", file.display()));
    }
    let mut text = String::new();
    let mut opened = File::open(file).map_err(cannot)?.take(FILE_BYTES_MAX + 1);
    opened.read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("can't read {}: it has more than {} MiB", file.display(), FILE_BYTES_MAX >> 20));
    }
    Ok(text)
}
