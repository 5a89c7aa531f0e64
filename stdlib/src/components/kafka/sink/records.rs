//! Makes records of a batch's events.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, BinaryViewArray, PrimitiveArray};
use weir_runtime::batch::{Batch, Column};

use crate::tools::template::{Bound, Renderer, TemplateError};

/// The column whose value becomes a record's time.
const TIMESTAMP: &str = "@timestamp";

/// Why no records can be made of a batch.
#[derive(Debug)]
pub(super) enum RecordError {
    Topic(TemplateError),
    Key(TemplateError),
    NoBody,
}

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) topic: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) body: &'a [u8],
    /// Milliseconds since 1970-01-01T00:00:00Z; `None` is the time of writing.
    pub(super) time: Option<i64>,
}

/// A batch's events as records.
pub(super) struct Records<'a> {
    topic: RenderedText<'a>,
    key: Option<RenderedText<'a>>,
    bodies: &'a BinaryViewArray,
    times: Option<(&'a Column, &'a PrimitiveArray<TimestampMicrosecondType>)>,
}

impl<'a> Records<'a> {
    pub(super) fn bind(
        topic: &'a Renderer,
        key: Option<&'a Renderer>,
        batch: &'a Batch,
    ) -> Result<Records<'a>, RecordError> {
        let times = batch.column(TIMESTAMP);
        Ok(Records {
            topic: RenderedText::new(topic.bind(batch).map_err(RecordError::Topic)?),
            key: key
                .map(|key| key.bind(batch).map(RenderedText::new))
                .transpose()
                .map_err(RecordError::Key)?,
            bodies: batch.bodies().ok_or(RecordError::NoBody)?,
            times: times.and_then(|column| Some((column, column.values().as_primitive_opt()?))),
        })
    }

    /// Makes the record of an event.
    pub(super) fn record(&mut self, row: usize) -> Record<'_> {
        let time = self.times.and_then(|(column, times)| {
            let index = column.index(row);
            times.is_valid(index).then(|| times.value(index).div_euclid(1000))
        });
        Record {
            topic: self.topic.get(row),
            key: self.key.as_mut().map(|key| key.get(row)),
            body: self.bodies.value(row),
            time,
        }
    }
}

/// The text of a template for each row. It is rendered only when it differs from the text of the previous row.
struct RenderedText<'a> {
    bound: Bound<'a>,
    text: String,
    /// The rows to which `text` belongs.
    rows: std::ops::Range<usize>,
}

impl<'a> RenderedText<'a> {
    fn new(bound: Bound<'a>) -> RenderedText<'a> {
        RenderedText { bound, text: String::new(), rows: 0..0 }
    }

    fn get(&mut self, row: usize) -> &str {
        if !self.rows.contains(&row) {
            self.text.clear();
            self.bound.render(row, &mut self.text);
            self.rows = row..self.bound.run_end(row);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::StringViewArray;
    use arrow_schema::{DataType, Field, Schema, TimeUnit};
    use weir_plan::{Hole, HoleFormat, Template, TemplatePart};
    use weir_runtime::batch::Origins;

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

    #[test]
    fn topic_and_key_are_rendered_for_each_event() {
        let (topic, key, batch) =
            (renderer(vec![text("logs-"), hole("@host")]), renderer(vec![hole("@host")]), batch());
        let mut records = Records::bind(&topic, Some(&key), &batch).unwrap();
        let time = Some(1_700_000_000_123);
        let record = |topic, key, body| Record { topic, key: Some(key), body, time };
        assert_eq!(records.record(0), record("logs-a", "a", b"one"));
        assert_eq!(records.record(1), record("logs-a", "a", b"two"));
        assert_eq!(records.record(2), record("logs-b", "b", b""));
    }

    #[test]
    fn without_a_key_template_records_have_no_key() {
        let (topic, batch) = (renderer(vec![text("logs")]), batch());
        let mut records = Records::bind(&topic, None, &batch).unwrap();
        assert_eq!(records.record(2).key, None);
    }
}
