//! The records that a batch's events become.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, BinaryViewArray, PrimitiveArray};
use weir_runtime::batch::{Batch, Column};

use crate::tools::template::{Bound, Renderer, TemplateError};

/// The header whose value becomes a record's time.
const TIMESTAMP: &str = "@timestamp";

/// Why a batch can't become records.
#[derive(Debug)]
pub(super) enum Unfit {
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
    /// In milliseconds since 1970-01-01T00:00:00Z; the time of writing if there is none.
    pub(super) time: Option<i64>,
}

/// A batch's events as records.
pub(super) struct Records<'a> {
    topic: Text<'a>,
    key: Option<Text<'a>>,
    bodies: &'a BinaryViewArray,
    times: Option<(&'a Column, &'a PrimitiveArray<TimestampMicrosecondType>)>,
}

impl<'a> Records<'a> {
    pub(super) fn bind(
        topic: &'a Renderer,
        key: Option<&'a Renderer>,
        batch: &'a Batch,
    ) -> Result<Records<'a>, Unfit> {
        let times = batch.column(TIMESTAMP);
        Ok(Records {
            topic: Text::new(topic.bind(batch).map_err(Unfit::Topic)?),
            key: key.map(|key| key.bind(batch).map(Text::new)).transpose().map_err(Unfit::Key)?,
            bodies: batch.bodies().ok_or(Unfit::NoBody)?,
            times: times.and_then(|column| Some((column, column.values().as_primitive_opt()?))),
        })
    }

    /// The record of an event.
    pub(super) fn record(&mut self, row: usize) -> Record<'_> {
        let time = self.times.and_then(|(column, times)| {
            let index = column.index(row);
            times.is_valid(index).then(|| times.value(index).div_euclid(1000))
        });
        Record {
            topic: self.topic.of(row),
            key: self.key.as_mut().map(|key| key.of(row)),
            body: self.bodies.value(row),
            time,
        }
    }
}

/// A text for each row, rendered when it differs from the row's before.
struct Text<'a> {
    bound: Bound<'a>,
    text: String,
    /// The rows that `text` is for.
    rows: std::ops::Range<usize>,
}

impl<'a> Text<'a> {
    fn new(bound: Bound<'a>) -> Text<'a> {
        Text { bound, text: String::new(), rows: 0..0 }
    }

    fn of(&mut self, row: usize) -> &str {
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
