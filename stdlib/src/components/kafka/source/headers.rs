//! Builds the column of maps of the headers that producers gave their records.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, StringViewBuilder};
use arrow_array::{ArrayRef, MapArray, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, FieldRef, Fields};
use rdkafka::message::{BorrowedHeaders, Headers};
use weir_runtime::batch::{BatchError, Column};

/// A record with more headers is searched for duplicate names with a table: comparing all pairs would take too long.
const PAIRWISE_MAX: usize = 16;

/// The bytes of a header beside its text: the views of its name and its value.
const VIEWS_BYTES: usize = 32;

/// The name of the column.
pub(super) const HEADERS: &str = "headers";

/// Returns the headers of one record whose names and values are text, in their order.
///
/// Kafka forbids names that are not UTF-8, but no broker checks them.
pub(super) fn texts<'a>(
    headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
) -> Vec<(&'a str, &'a str)> {
    let text = |(name, value): (&'a [u8], Option<&'a [u8]>)| {
        Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value?).ok()?))
    };
    headers.filter_map(text).collect()
}

/// Returns the headers of a record that the crate has taken: it panics at a name that is not UTF-8.
pub(super) fn of_message(headers: Option<&BorrowedHeaders>) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let headers = headers.into_iter();
    headers.flat_map(|headers| {
        (0..headers.count()).filter_map(|index| {
            let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(index))).ok()??;
            Some((header.key.as_bytes(), header.value))
        })
    })
}

/// The headers of the records of a batch.
pub(super) struct HeaderRows {
    /// The field of a map's entries, as the plan names it.
    entries: FieldRef,
    fields: Fields,
    names: StringViewBuilder,
    values: StringViewBuilder,
    /// The end of each record's headers. The first entry is the begin of the first record's headers.
    ends: Vec<i32>,
    bytes: usize,
}

impl HeaderRows {
    /// Makes rows for a column of this type. Returns `None` if the type is not a map from text to text.
    pub(super) fn new(data_type: &DataType) -> Option<HeaderRows> {
        let DataType::Map(entries, _) = data_type else { return None };
        let DataType::Struct(fields) = entries.data_type() else { return None };
        let is_text =
            fields.len() == 2 && fields.iter().all(|field| *field.data_type() == DataType::Utf8View);
        is_text.then(|| HeaderRows::of(entries, fields))
    }

    /// Makes empty rows of the same type.
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

    /// Returns the bytes of names and values and their views.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the headers of one record. Of several headers of one name it keeps the last.
    pub(super) fn push(&mut self, headers: &[(&str, &str)]) {
        if headers.len() <= PAIRWISE_MAX {
            for (index, header) in headers.iter().enumerate() {
                if !headers[index + 1..].iter().any(|(later, _)| *later == header.0) {
                    self.push_one(header);
                }
            }
        } else {
            let last: HashMap<&str, usize> =
                headers.iter().enumerate().map(|(index, (name, _))| (*name, index)).collect();
            for (index, header) in headers.iter().enumerate() {
                if last.get(header.0) == Some(&index) {
                    self.push_one(header);
                }
            }
        }
        // A batch has far fewer headers than an i32 can count.
        self.ends.push(self.names.len() as i32);
    }

    fn push_one(&mut self, (name, value): &(&str, &str)) {
        self.names.append_value(name);
        self.values.append_value(value);
        self.bytes += name.len() + value.len() + VIEWS_BYTES;
    }

    /// Takes all rows as a column.
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
    fn the_last_header_of_each_name_is_kept_for_few_and_many_headers() {
        for count in [3, PAIRWISE_MAX, PAIRWISE_MAX + 1, 100_000] {
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
