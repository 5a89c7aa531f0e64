//! Builds a column of maps from text to text.

use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, StringViewBuilder};
use arrow_array::{ArrayRef, MapArray, Scalar, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, FieldRef, Fields};
use weir_runtime::batch::{BatchError, Column};

/// A builder of a column of maps.
pub(crate) struct TextMaps {
    /// The field of a map's entries, as the plan names it.
    entries: FieldRef,
    fields: Fields,
    names: StringViewBuilder,
    values: StringViewBuilder,
    ends: Vec<i32>,
}

impl TextMaps {
    /// Makes a builder for a column of this type. Returns `None` if the type is not a map from text to text.
    pub(crate) fn new(data_type: &DataType) -> Option<TextMaps> {
        let DataType::Map(entries, _) = data_type else { return None };
        let DataType::Struct(fields) = entries.data_type() else { return None };
        let is_text =
            fields.len() == 2 && fields.iter().all(|field| *field.data_type() == DataType::Utf8View);
        is_text.then(|| TextMaps {
            entries: entries.clone(),
            fields: fields.clone(),
            // Most requests have the same names and values.
            names: StringViewBuilder::new().with_deduplicate_strings(),
            values: StringViewBuilder::new().with_deduplicate_strings(),
            ends: vec![0],
        })
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, entries: &[(String, String)]) {
        for (name, value) in entries {
            self.names.append_value(name);
            self.values.append_value(value);
        }
        // A batch has far fewer entries than an i32 can count.
        self.ends.push(self.names.len() as i32);
    }

    /// Returns a column in which every row is the single row that was added.
    pub(crate) fn constant(self) -> Result<Column, BatchError> {
        Ok(Column::Constant(Scalar::new(self.maps()?)))
    }

    /// Returns the column of the rows that were added.
    pub(crate) fn finish(self) -> Result<Column, BatchError> {
        Ok(Column::Array(self.maps()?))
    }

    fn maps(mut self) -> Result<ArrayRef, BatchError> {
        let columns: Vec<ArrayRef> = vec![Arc::new(self.names.finish()), Arc::new(self.values.finish())];
        let entries = StructArray::try_new(self.fields, columns, None)?;
        let ends = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        let maps = MapArray::try_new(self.entries, ends, entries, None, false)?;
        Ok(Arc::new(maps))
    }
}
