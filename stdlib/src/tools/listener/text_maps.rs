//! A column of maps from text to text.

use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, StringViewBuilder};
use arrow_array::{ArrayRef, MapArray, Scalar, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, FieldRef, Fields};
use weir_runtime::batch::{BatchError, Column};

/// The maps of a batch, row by row.
pub(crate) struct TextMaps {
    /// What a map's entries are called is the plan's to say.
    entries: FieldRef,
    fields: Fields,
    names: StringViewBuilder,
    values: StringViewBuilder,
    ends: Vec<i32>,
}

impl TextMaps {
    /// Rows of a column of this type; none if it is no map of text.
    pub(crate) fn new(data_type: &DataType) -> Option<TextMaps> {
        let DataType::Map(entries, _) = data_type else { return None };
        let DataType::Struct(fields) = entries.data_type() else { return None };
        let is_text =
            fields.len() == 2 && fields.iter().all(|field| *field.data_type() == DataType::Utf8View);
        is_text.then(|| TextMaps {
            entries: entries.clone(),
            fields: fields.clone(),
            // Requests bring the same names and values again and again.
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
        // A batch's bytes are bounded far below, and so are its headers.
        self.ends.push(self.names.len() as i32);
    }

    /// A column of which each row is the one that was added.
    pub(crate) fn constant(self) -> Result<Column, BatchError> {
        Ok(Column::Constant(Scalar::new(self.maps()?)))
    }

    /// The column of the rows that were added.
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
