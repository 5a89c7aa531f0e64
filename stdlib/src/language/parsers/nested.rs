//! Columns of lists, maps and records.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryViewArray, ListArray, MapArray, StructArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, FieldRef, Fields};

use super::columns::{Field, FieldColumn};
use super::views::Views;

/// Where the lists or maps of a column end.
struct Ends {
    lengths: Vec<usize>,
    nulls: NullBufferBuilder,
    /// The number of items in the rows so far.
    items: usize,
}

/// A column of lists.
pub(super) struct Lists<'f> {
    item: &'f FieldRef,
    pub(super) items: FieldColumn<'f>,
    /// The number of values in `items`.
    pub(super) count: usize,
    ends: Ends,
}

/// A column of maps.
pub(super) struct Maps<'f> {
    entries: &'f FieldRef,
    keys: Views,
    pub(super) values: FieldColumn<'f>,
    ends: Ends,
}

/// A column of records.
pub(super) struct Records<'f> {
    fields: &'f Fields,
    pub(super) parts: Vec<FieldColumn<'f>>,
    nulls: NullBufferBuilder,
    rows: usize,
}

impl Ends {
    fn new(rows: usize) -> Ends {
        Ends { lengths: Vec::with_capacity(rows), nulls: NullBufferBuilder::new(rows), items: 0 }
    }

    fn end(&mut self, items: usize, is_null: bool) {
        self.lengths.push(items - self.items);
        self.items = items;
        self.nulls.append(!is_null);
    }

    /// Returns the offsets.
    ///
    /// # Errors
    /// When there are more items than Arrow's lists can have.
    fn offsets(&self) -> Result<OffsetBuffer<i32>, ArrowError> {
        if i32::try_from(self.items).is_err() {
            return Err(ArrowError::OffsetOverflowError(self.items));
        }
        Ok(OffsetBuffer::from_lengths(self.lengths.iter().copied()))
    }
}

impl<'f> Lists<'f> {
    pub(super) fn new(
        item: &'f FieldRef,
        items: &'f Field,
        bodies: &BinaryViewArray,
        rows: usize,
    ) -> Lists<'f> {
        Lists { item, items: items.column(bodies, rows), count: 0, ends: Ends::new(rows) }
    }

    pub(super) fn append_null(&mut self) {
        self.ends.end(self.count, true);
    }

    /// Ends a row, whose items are those that were appended since the last end.
    pub(super) fn end_row(&mut self) {
        self.ends.end(self.count, false);
    }

    pub(super) fn finish(mut self, bodies: &BinaryViewArray) -> Result<ArrayRef, ArrowError> {
        let offsets = self.ends.offsets()?;
        let items = self.items.finish(bodies)?;
        Ok(Arc::new(ListArray::try_new(self.item.clone(), offsets, items, self.ends.nulls.finish())?))
    }
}

impl<'f> Maps<'f> {
    pub(super) fn new(
        entries: &'f FieldRef,
        values: &'f Field,
        bodies: &BinaryViewArray,
        rows: usize,
    ) -> Maps<'f> {
        let (keys, values) = (Views::new(bodies, rows), values.column(bodies, rows));
        Maps { entries, keys, values, ends: Ends::new(rows) }
    }

    pub(super) fn append_null(&mut self) {
        self.ends.end(self.keys.len(), true);
    }

    /// Appends a key to the row; its value is appended to `values`.
    pub(super) fn append_key(&mut self, key: &[u8]) {
        self.keys.append_copy(key);
    }

    /// Ends a row, whose entries are those that were appended since the last end.
    pub(super) fn end_row(&mut self) {
        self.ends.end(self.keys.len(), false);
    }

    pub(super) fn finish(mut self, bodies: &BinaryViewArray) -> Result<ArrayRef, ArrowError> {
        let offsets = self.ends.offsets()?;
        let DataType::Struct(fields) = self.entries.data_type() else {
            return Err(ArrowError::SchemaError("the entries of a map are no records".to_owned()));
        };
        let keys: ArrayRef = Arc::new(self.keys.texts(bodies)?);
        let entries = StructArray::try_new(fields.clone(), vec![keys, self.values.finish(bodies)?], None)?;
        let nulls = self.ends.nulls.finish();
        Ok(Arc::new(MapArray::try_new(self.entries.clone(), offsets, entries, nulls, false)?))
    }
}

impl<'f> Records<'f> {
    pub(super) fn new(
        fields: &'f Fields,
        parts: &'f [Field],
        bodies: &BinaryViewArray,
        rows: usize,
    ) -> Records<'f> {
        let parts = parts.iter().map(|part| part.column(bodies, rows)).collect();
        Records { fields, parts, nulls: NullBufferBuilder::new(rows), rows: 0 }
    }

    pub(super) fn append_null(&mut self) {
        self.append_parts();
        self.end_row(true);
    }

    pub(super) fn append_undefined(&mut self) {
        self.append_parts();
        self.end_row(false);
    }

    fn append_parts(&mut self) {
        self.parts.iter_mut().for_each(FieldColumn::append_undefined);
    }

    /// Ends a row, for which a value was appended to each part.
    pub(super) fn end_row(&mut self, is_null: bool) {
        self.rows += 1;
        self.nulls.append(!is_null);
    }

    pub(super) fn finish(mut self, bodies: &BinaryViewArray) -> Result<ArrayRef, ArrowError> {
        let parts = self.parts.into_iter().map(|part| part.finish(bodies));
        let parts = parts.collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
        let nulls = self.nulls.finish();
        // Without parts, nothing else says how many rows there are.
        Ok(Arc::new(StructArray::try_new_with_length(self.fields.clone(), parts, nulls, self.rows)?))
    }
}
