//! Makes records of a batch's events.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, BinaryViewArray, BooleanArray, PrimitiveArray};
use arrow_schema::{ArrowError, FieldRef, SchemaRef};
use rdkafka::message::{Header, OwnedHeaders};
use weir_plan::HEADER_SIGIL;
use weir_runtime::batch::{Batch, Column};
use xxhash_rust::xxh3::Xxh3;

use crate::formats::messages::{Contents, header_values};
use crate::tools::template::{Bound, Renderer, TemplateError};

/// The column whose value becomes a record's time.
const TIMESTAMP: &str = "@timestamp";

/// The column that is true for records without a value.
const TOMBSTONE: &str = "@tombstone";

/// Why no records can be made of a batch.
#[derive(Debug)]
pub(super) enum RecordError {
    Topic(TemplateError),
    Key(TemplateError),
    Events(ArrowError),
}

/// The headers of events that become headers of records.
#[derive(Debug)]
pub(super) struct RecordHeaders(Vec<RecordHeader>);

#[derive(Debug)]
struct RecordHeader {
    field: FieldRef,
    /// The name without its sigil.
    name: String,
}

impl RecordHeaders {
    /// Finds the headers with these names, with or without the sigil.
    ///
    /// # Errors
    /// The header that the events do not have.
    pub(super) fn new(names: &[String], schema: &SchemaRef) -> Result<RecordHeaders, String> {
        let headers = names.iter().map(|name| {
            let name = name.trim_start_matches(HEADER_SIGIL);
            let column = format!("{HEADER_SIGIL}{name}");
            let index = schema.index_of(&column).map_err(|_| column)?;
            Ok(RecordHeader { field: schema.fields()[index].clone(), name: name.to_owned() })
        });
        Ok(RecordHeaders(headers.collect::<Result<_, String>>()?))
    }

    fn bind<'a>(&'a self, batch: &Batch) -> Result<Vec<BoundHeader<'a>>, ArrowError> {
        let bound = self.0.iter().map(|RecordHeader { field, name }| {
            let missing = || ArrowError::SchemaError(format!("the events have no column `{}`", field.name()));
            let column = batch.column(field.name()).ok_or_else(missing)?;
            let values = column.values();
            let values = header_values(field, &values.slice(0, values.len()))?;
            Ok(BoundHeader { name, is_constant: !matches!(column, Column::Array(_)), values })
        });
        bound.collect()
    }
}

/// A header with its values for the rows of a batch.
struct BoundHeader<'a> {
    name: &'a str,
    /// Whether all rows have the first value.
    is_constant: bool,
    values: BinaryViewArray,
}

impl BoundHeader<'_> {
    fn value(&self, row: usize) -> Option<&[u8]> {
        let index = if self.is_constant { 0 } else { row };
        self.values.is_valid(index).then(|| self.values.value(index))
    }
}

/// One record.
pub(super) struct Record<'a> {
    pub(super) topic: &'a str,
    pub(super) key: Option<&'a str>,
    /// None of a tombstone.
    pub(super) body: Option<&'a [u8]>,
    /// Milliseconds since 1970-01-01T00:00:00Z; `None` is the time of writing.
    pub(super) time: Option<i64>,
    /// Whether `topic` can be the name of a topic.
    pub(super) has_topic_name: bool,
    row: usize,
    headers: &'a [BoundHeader<'a>],
}

impl<'a> Record<'a> {
    /// Returns the headers that are not null.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let (headers, row) = (self.headers, self.row);
        headers.iter().filter_map(move |header| Some((header.name, header.value(row)?)))
    }

    /// Returns the size of key, body and headers, in bytes. The record needs a few more in its batch.
    pub(super) fn bytes(&self) -> usize {
        let headers = self.headers().map(|(name, value)| name.len() + value.len());
        self.body.map_or(0, <[u8]>::len) + self.key.map_or(0, str::len) + headers.sum::<usize>()
    }

    /// Returns the headers for the producer; none if all are null.
    pub(super) fn owned_headers(&self) -> Option<OwnedHeaders> {
        let mut owned = None;
        for (key, value) in self.headers() {
            let headers = owned.unwrap_or_else(|| OwnedHeaders::new_with_capacity(self.headers.len()));
            owned = Some(headers.insert(Header { key, value: Some(value) }));
        }
        owned
    }

    /// Returns the fingerprint of the record.
    pub(super) fn fingerprint(&self) -> u128 {
        fingerprint(self.topic, self.key.map(str::as_bytes), self.body, self.headers())
    }
}

/// Returns a hash of a record, by which the event of a refused record is found.
pub(super) fn fingerprint<'h>(
    topic: &str,
    key: Option<&[u8]>,
    body: Option<&[u8]>,
    headers: impl Iterator<Item = (&'h str, &'h [u8])>,
) -> u128 {
    let mut hash = Xxh3::new();
    let mut add = |part: &[u8]| {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(topic.as_bytes());
    add(key.unwrap_or_default());
    add(body.unwrap_or_default());
    for (name, value) in headers {
        add(name.as_bytes());
        add(value);
    }
    hash.digest128()
}

/// A batch's events as records.
pub(super) struct Records<'a> {
    topic: RenderedText<'a>,
    key: Option<RenderedText<'a>>,
    times: Option<(&'a Column, &'a PrimitiveArray<TimestampMicrosecondType>)>,
    tombstones: Option<(&'a Column, &'a BooleanArray)>,
    headers: Vec<BoundHeader<'a>>,
}

impl<'a> Records<'a> {
    pub(super) fn bind(
        topic: &'a Renderer,
        key: Option<&'a Renderer>,
        headers: &'a RecordHeaders,
        batch: &'a Batch,
    ) -> Result<Records<'a>, RecordError> {
        let times = batch.column(TIMESTAMP);
        let tombstones = batch.column(TOMBSTONE);
        Ok(Records {
            topic: RenderedText::new(topic.bind(batch).map_err(RecordError::Topic)?),
            key: key
                .map(|key| key.bind(batch).map(RenderedText::new))
                .transpose()
                .map_err(RecordError::Key)?,
            times: times.and_then(|column| Some((column, column.values().as_primitive_opt()?))),
            tombstones: tombstones.and_then(|column| Some((column, column.values().as_boolean_opt()?))),
            headers: headers.bind(batch).map_err(RecordError::Events)?,
        })
    }

    /// Makes the record of an event, whose encoded form is in `contents`.
    pub(super) fn record<'r>(&'r mut self, contents: &'r Contents, row: usize) -> Record<'r> {
        let time = self.times.and_then(|(column, times)| {
            let index = column.index(row);
            times.is_valid(index).then(|| times.value(index).div_euclid(1000))
        });
        let is_tombstone = self.tombstones.is_some_and(|(column, tombstones)| {
            let index = column.index(row);
            tombstones.is_valid(index) && tombstones.value(index)
        });
        // The name is checked when it is rendered, and not for each event.
        let topic = self.topic.get(row);
        Record {
            topic: topic.text,
            has_topic_name: topic.is_topic_name,
            key: self.key.as_mut().map(|key| key.get(row).text),
            body: (!is_tombstone).then(|| contents.of(row)),
            time,
            row,
            headers: &self.headers,
        }
    }
}

/// The text of a template for each row. It is rendered only when it differs from the text of the previous row.
struct RenderedText<'a> {
    bound: Bound<'a>,
    text: String,
    is_topic_name: bool,
    /// The rows to which `text` belongs.
    rows: std::ops::Range<usize>,
}

/// The text of a row.
struct RowText<'t> {
    text: &'t str,
    /// Whether the text can be the name of a topic.
    is_topic_name: bool,
}

impl<'a> RenderedText<'a> {
    fn new(bound: Bound<'a>) -> RenderedText<'a> {
        RenderedText { bound, text: String::new(), is_topic_name: false, rows: 0..0 }
    }

    fn get(&mut self, row: usize) -> RowText<'_> {
        if !self.rows.contains(&row) {
            self.text.clear();
            self.bound.render(row, &mut self.text);
            self.is_topic_name = is_topic_name(&self.text);
            self.rows = row..self.bound.run_end(row);
        }
        RowText { text: &self.text, is_topic_name: self.is_topic_name }
    }
}

/// Whether brokers take this name of a topic. librdkafka does not check names, and a broker refuses a wrong one only when the
/// record was sent.
fn is_topic_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name.bytes().all(is_allowed) && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::StringViewArray;
    use arrow_schema::{DataType, Field, Schema, TimeUnit};
    use weir_plan::{Hole, HoleFormat, Template, TemplatePart};
    use weir_runtime::batch::Origins;

    use crate::formats::messages::{MessageFormat, MessageFormatting};

    use super::*;

    fn renderer(parts: Vec<TemplatePart>) -> Renderer {
        Renderer::new(&Template { parts }, "UTC").unwrap()
    }

    fn text(text: &str) -> TemplatePart {
        TemplatePart::Text(text.to_string())
    }

    fn hole(column: &str) -> TemplatePart {
        TemplatePart::Hole(Hole { column: column.to_string(), format: HoleFormat::Plain })
    }

    fn batch() -> Batch {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Schema::new(vec![
            Field::new("@host", DataType::Utf8View, false),
            Field::new("@timestamp", time, false),
            Field::new("body", DataType::BinaryView, false),
        ]);
        let hosts = StringViewArray::from_iter_values(["a", "a", "b"]);
        let columns = vec![
            Column::Array(Arc::new(hosts)),
            Column::constant_time(1_700_000_000_123_456),
            BinaryViewArray::from_iter_values(["one", "two", ""]).into(),
        ];
        Batch::new(Arc::new(schema), columns, 3, Origins::default()).unwrap()
    }

    fn contents(batch: &Batch) -> Contents {
        let mut formatting = MessageFormatting::new(MessageFormat::Raw, batch.schema()).unwrap();
        formatting.encode(batch, 0..batch.rows()).unwrap()
    }

    #[test]
    fn topic_key_and_headers_are_made_for_each_event() {
        let (topic, key, batch) =
            (renderer(vec![text("logs-"), hole("@host")]), renderer(vec![hole("@host")]), batch());
        let names = ["host".to_owned(), "@timestamp".to_owned()];
        let headers = RecordHeaders::new(&names, batch.schema()).unwrap();
        let contents = contents(&batch);
        let mut records = Records::bind(&topic, Some(&key), &headers, &batch).unwrap();
        let expected = [("logs-a", "a", "one"), ("logs-a", "a", "two"), ("logs-b", "b", "")];
        for (row, (topic, key, body)) in expected.into_iter().enumerate() {
            let record = records.record(&contents, row);
            assert_eq!((record.topic, record.key, record.body), (topic, Some(key), Some(body.as_bytes())));
            assert_eq!(record.time, Some(1_700_000_000_123));
            let headers: Vec<_> = record.headers().collect();
            assert_eq!(
                headers,
                [("host", key.as_bytes()), ("timestamp", &b"2023-11-14T22:13:20.123456Z"[..])]
            );
            assert_eq!(record.bytes(), key.len() * 2 + body.len() + 13 + 27);
        }
    }

    #[test]
    fn without_a_key_template_records_have_no_key() {
        let (topic, batch) = (renderer(vec![text("logs")]), batch());
        let headers = RecordHeaders::new(&[], batch.schema()).unwrap();
        let contents = contents(&batch);
        let mut records = Records::bind(&topic, None, &headers, &batch).unwrap();
        let record = records.record(&contents, 2);
        assert_eq!(record.key, None);
        assert!(record.owned_headers().is_none());
    }

    #[test]
    fn a_header_that_the_events_lack_is_refused() {
        let error = RecordHeaders::new(&["@user".to_owned()], batch().schema()).unwrap_err();
        assert_eq!(error, "@user");
    }

    #[test]
    fn names_of_topics_are_checked_as_brokers_do_it() {
        for right in ["logs", "a.b_c-D9", "...", &"x".repeat(249)] {
            assert!(is_topic_name(right), "{right}");
        }
        for wrong in ["", ".", "..", "a b", "logs!", "ä", "a/b", "a\0", &"x".repeat(250)] {
            assert!(!is_topic_name(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_tombstone_has_no_value() {
        let schema = Schema::new(vec![
            Field::new("@tombstone", DataType::Boolean, true),
            Field::new("body", DataType::BinaryView, false),
        ]);
        let tombstones = BooleanArray::from(vec![Some(true), Some(false), None]);
        let bodies = BinaryViewArray::from_iter_values(["", "", "text"]);
        let columns = vec![Column::Array(Arc::new(tombstones)), bodies.into()];
        let batch = Batch::new(Arc::new(schema), columns, 3, Origins::default()).unwrap();
        let (topic, headers) =
            (renderer(vec![text("logs")]), RecordHeaders::new(&[], batch.schema()).unwrap());
        let contents = contents(&batch);
        let mut records = Records::bind(&topic, None, &headers, &batch).unwrap();
        assert_eq!(records.record(&contents, 0).body, None);
        assert_eq!(records.record(&contents, 1).body, Some(&b""[..]));
        assert_eq!(records.record(&contents, 2).body, Some(&b"text"[..]));
    }
}
