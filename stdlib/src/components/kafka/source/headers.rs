//! The headers that producers gave their records, as one column of maps.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, StringViewBuilder};
use arrow_array::{ArrayRef, MapArray, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, FieldRef, Fields};
use rdkafka::message::{BorrowedHeaders, Headers};
use weir_runtime::batch::{BatchError, Column};

/// A record of more headers than this is looked through with a table: comparing all with all takes too long.
const COMPARED_MAX: usize = 16;

/// What a header takes up beside its text: the views of its name and its value.
const VIEWS_BYTES: usize = 32;

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

    /// How many bytes names and values take up, with the views of each.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the headers of one record; of those of one name the last.
    pub(super) fn push(&mut self, headers: &[(&str, &str)]) {
        if headers.len() <= COMPARED_MAX {
            for (place, header) in headers.iter().enumerate() {
                if !headers[place + 1..].iter().any(|(later, _)| *later == header.0) {
                    self.push_one(header);
                }
            }
        } else {
            let last: HashMap<&str, usize> =
                headers.iter().enumerate().map(|(place, (name, _))| (*name, place)).collect();
            for (place, header) in headers.iter().enumerate() {
                if last.get(header.0) == Some(&place) {
                    self.push_one(header);
                }
            }
        }
        // A batch's bytes are bounded far below, and so are its headers.
        self.ends.push(self.names.len() as i32);
    }

    fn push_one(&mut self, (name, value): &(&str, &str)) {
        self.names.append_value(name);
        self.values.append_value(value);
        self.bytes += name.len() + value.len() + VIEWS_BYTES;
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

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_schema::Field;

    use super::*;

    fn rows() -> HeaderRows {
        let text = |name| Field::new(name, DataType::Utf8View, false);
        let entries = Field::new_struct("entries", vec![text("key"), text("value")], false);
        HeaderRows::new(&DataType::Map(Arc::new(entries), false)).unwrap()
    }

    #[test]
    fn of_one_name_the_last_header_is_taken_however_many_there_are() {
        for count in [3, COMPARED_MAX, COMPARED_MAX + 1, 100_000] {
            let names: Vec<String> =
                (0..count).map(|number| format!("n{}", number % (count / 2 + 1))).collect();
            let values: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            let headers: Vec<(&str, &str)> =
                names.iter().zip(&values).map(|(name, value)| (&**name, &**value)).collect();
            let mut rows = rows();
            rows.push(&headers);
            let text: usize =
                headers[count - (count / 2 + 1)..].iter().map(|(name, value)| name.len() + value.len()).sum();
            assert_eq!(rows.bytes(), text + (count / 2 + 1) * VIEWS_BYTES);
            let column = rows.take().unwrap();
            let maps = column.values().as_map();
            assert_eq!(maps.keys().len(), count / 2 + 1);
            let first = maps.values().as_string_view().value(0);
            assert_eq!(first, (count - (count / 2 + 1)).to_string());
        }
    }
}
