//! The headers that producers gave their records, as one column of maps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, StringViewBuilder};
use arrow_array::{ArrayRef, MapArray, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, FieldRef, Fields};
use rdkafka::message::{BorrowedHeaders, Headers};
use weir_runtime::batch::{BatchError, Column};

/// The column that holds them.
pub(super) const HEADERS: &str = "headers";

/// The headers of one record that have text as their values, in the order in which they came.
///
/// librdkafka's Rust panics at a name that is no UTF-8, which Kafka forbids and no broker checks: such
/// a header is left out as a value that is none.
pub(super) fn texts(headers: Option<&BorrowedHeaders>) -> Vec<(&str, &str)> {
    let Some(headers) = headers else { return Vec::new() };
    let texts = (0..headers.count()).filter_map(|index| {
        let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(index))).ok()??;
        Some((header.key, std::str::from_utf8(header.value?).ok()?))
    });
    texts.collect()
}

/// The headers of the records of a batch.
pub(super) struct HeaderRows {
    /// The type of the column: what a map's entries are called is the plan's to say.
    entries: FieldRef,
    fields: Fields,
    names: StringViewBuilder,
    values: StringViewBuilder,
    /// Where each record's headers end; the first entry is where the first record's begin.
    ends: Vec<i32>,
    bytes: usize,
}

impl HeaderRows {
    /// Rows of a column of this type; none if it is no map of text.
    pub(super) fn new(data_type: &DataType) -> Option<HeaderRows> {
        let DataType::Map(entries, _) = data_type else { return None };
        let DataType::Struct(fields) = entries.data_type() else { return None };
        let is_text =
            fields.len() == 2 && fields.iter().all(|field| *field.data_type() == DataType::Utf8View);
        is_text.then(|| HeaderRows::of(entries, fields))
    }

    /// Rows of the same type, none yet.
    pub(super) fn without_rows(&self) -> HeaderRows {
        HeaderRows::of(&self.entries, &self.fields)
    }

    fn of(entries: &FieldRef, fields: &Fields) -> HeaderRows {
        HeaderRows {
            entries: entries.clone(),
            fields: fields.clone(),
            names: StringViewBuilder::new(),
            values: StringViewBuilder::new(),
            ends: vec![0],
            bytes: 0,
        }
    }

    /// How many bytes there are of names and values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the headers of one record; of those of one name the last.
    pub(super) fn push(&mut self, headers: &[(&str, &str)]) {
        for (place, (name, value)) in headers.iter().enumerate() {
            if headers[place + 1..].iter().any(|(later, _)| later == name) {
                continue;
            }
            self.names.append_value(name);
            self.values.append_value(value);
            self.bytes += name.len() + value.len();
        }
        // A batch's bytes are bounded far below, and so are its headers.
        self.ends.push(self.names.len() as i32);
    }

    /// The column; there are no rows afterwards.
    pub(super) fn take(&mut self) -> Result<Column, BatchError> {
        self.bytes = 0;
        let columns: Vec<ArrayRef> = vec![Arc::new(self.names.finish()), Arc::new(self.values.finish())];
        let entries = StructArray::try_new(self.fields.clone(), columns, None)?;
        let ends = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.ends, vec![0])));
        let maps = MapArray::try_new(self.entries.clone(), ends, entries, None, false)?;
        Ok(Column::Array(Arc::new(maps)))
    }
}
