//! Columns: one value for all events of a batch, or one value for each event.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::ByteViewType;
use arrow_array::{
    Array, ArrayRef, BinaryViewArray, Datum, GenericByteViewArray, Int64Array, ListArray, MapArray, Scalar,
    StringViewArray, StructArray, TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType};
use arrow_select::filter::FilterPredicate;

/// The width of one view (Arrow's columnar format, "Variable-size Binary View Layout").
pub(super) const VIEW_BYTES: u64 = 16;

/// A column of a batch.
///
/// A header that is the same for all events of a batch is stored once.
#[derive(Debug, Clone)]
pub enum Column {
    /// Every event has this value.
    Constant(Scalar<ArrayRef>),
    /// One value for each event.
    Array(ArrayRef),
}

impl Column {
    /// Makes a column with the same text for every event.
    pub fn constant_text(text: &str) -> Column {
        Column::Constant(Scalar::new(Arc::new(StringViewArray::from_iter_values([text]))))
    }

    /// Makes a column with the same integer for every event.
    pub fn constant_int(value: i64) -> Column {
        Column::Constant(Scalar::new(Arc::new(Int64Array::from(vec![value]))))
    }

    /// Makes a column with the same time for every event, in microseconds since 1970-01-01T00:00:00Z.
    pub fn constant_time(microseconds: i64) -> Column {
        Column::Constant(Scalar::new(Arc::new(
            TimestampMicrosecondArray::from(vec![microseconds]).with_timezone("UTC"),
        )))
    }

    /// Makes a column with one time for each event, in microseconds since 1970-01-01T00:00:00Z.
    pub fn times(microseconds: Vec<i64>) -> Column {
        Column::Array(Arc::new(TimestampMicrosecondArray::from(microseconds).with_timezone("UTC")))
    }

    /// Makes a column that is null for every event.
    pub fn null(data_type: &DataType) -> Column {
        Column::Constant(Scalar::new(new_null_array(data_type, 1)))
    }

    /// The type of the values.
    pub fn data_type(&self) -> &DataType {
        self.values().data_type()
    }

    /// The column as an operand of Arrow's kernels, which treat a constant as a scalar.
    pub fn datum(&self) -> &dyn Datum {
        match self {
            Column::Constant(scalar) => scalar,
            Column::Array(array) => array,
        }
    }

    /// The stored values: one value for each row, or the only value of a constant. [`Column::index`] gives the index
    /// of a row's value.
    pub fn values(&self) -> &dyn Array {
        self.datum().get().0
    }

    /// The index of this row's value in [`Column::values`].
    pub fn index(&self, row: usize) -> usize {
        match self {
            Column::Constant(_) => 0,
            Column::Array(_) => row,
        }
    }

    /// Whether both columns are the same array in memory.
    pub(crate) fn is_same(&self, other: &Column) -> bool {
        let address = |column: &Column| std::ptr::from_ref(column.values().as_any()).cast::<()>();
        let are_alike = matches!(
            (self, other),
            (Column::Array(_), Column::Array(_)) | (Column::Constant(_), Column::Constant(_))
        );
        are_alike && address(self) == address(other)
    }

    /// Returns the column with one value for each of `rows` events, repeating a constant.
    ///
    /// # Errors
    /// When Arrow's kernel refuses the type.
    pub(crate) fn repeated(self, rows: usize) -> Result<Column, ArrowError> {
        match &self {
            Column::Array(_) => Ok(self),
            Column::Constant(_) => {
                let indices = UInt32Array::from(vec![0; rows]);
                Ok(Column::Array(arrow_select::take::take(self.values(), &indices, None)?))
            }
        }
    }

    /// Returns the column of the rows with these numbers.
    pub(super) fn take(&self, rows: &UInt32Array) -> Result<Column, ArrowError> {
        match self {
            Column::Constant(_) => Ok(self.clone()),
            Column::Array(array) => Ok(Column::Array(arrow_select::take::take(array, rows, None)?)),
        }
    }

    pub(super) fn slice(&self, offset: usize, rows: usize) -> Column {
        match self {
            Column::Constant(_) => self.clone(),
            Column::Array(array) => Column::Array(array.slice(offset, rows)),
        }
    }

    pub(crate) fn filter(&self, predicate: &FilterPredicate) -> Result<Column, ArrowError> {
        match self {
            Column::Constant(_) => Ok(self.clone()),
            Column::Array(array) => Ok(Column::Array(predicate.filter(array)?)),
        }
    }

    /// The bytes of the values, without views and offsets.
    pub(crate) fn bytes_used(&self) -> u64 {
        bytes_used(self.values())
    }

    /// The bytes of the views by which texts and bytes refer to their buffers, map entries included. The two views of a
    /// map entry take 32 bytes, often more than the entry itself.
    pub(super) fn view_bytes(&self) -> u64 {
        match self {
            // A constant has no view for each event.
            Column::Constant(scalar) if !scalar.get().0.data_type().is_nested() => 0,
            _ => views_bytes(self.values()),
        }
    }

    /// The bytes of the value that all events share, which an encoder writes once for each event; 0 if each event has
    /// its own value.
    pub fn shared_bytes(&self) -> u64 {
        match self {
            Column::Constant(_) => self.bytes_used() + self.view_bytes(),
            Column::Array(_) => 0,
        }
    }

    /// The bytes that the column keeps alive, used or not.
    pub(super) fn bytes_retained(&self) -> u64 {
        fn buffers<T: ByteViewType>(array: &GenericByteViewArray<T>) -> u64 {
            array.data_buffers().iter().map(|buffer| buffer.len() as u64).sum()
        }
        let values = self.values();
        match values.data_type() {
            DataType::BinaryView => buffers(values.as_binary_view()),
            DataType::Utf8View => buffers(values.as_string_view()),
            nested if nested.is_nested() => values.get_buffer_memory_size() as u64,
            _ => self.bytes_used(),
        }
    }

    /// Returns the column with its texts and bytes copied into new buffers.
    pub(super) fn compacted(&self) -> Column {
        let Some(compacted) = compacted(self.values()) else { return self.clone() };
        match self {
            Column::Constant(_) => Column::Constant(Scalar::new(compacted)),
            Column::Array(_) => Column::Array(compacted),
        }
    }
}

/// The bytes of the views in an array, those in lists, maps and records included.
fn views_bytes(values: &dyn Array) -> u64 {
    match values.data_type() {
        DataType::BinaryView | DataType::Utf8View => values.len() as u64 * VIEW_BYTES,
        DataType::Map(..) => {
            let (keys, items) = entries(values.as_map());
            views_bytes(&keys) + views_bytes(&items)
        }
        DataType::List(_) => views_bytes(&items(values.as_list())),
        DataType::Struct(_) => values.as_struct().columns().iter().map(|column| views_bytes(column)).sum(),
        _ => 0,
    }
}

/// The bytes of an array's values; those of lists and maps are their items and offsets.
fn bytes_used(values: &dyn Array) -> u64 {
    let offsets = 4 * values.len() as u64;
    match values.data_type() {
        DataType::BinaryView => view_bytes(values.as_binary_view()),
        DataType::Utf8View => view_bytes(values.as_string_view()),
        DataType::Boolean => values.len() as u64 / 8,
        DataType::Map(..) => {
            let (keys, items) = entries(values.as_map());
            bytes_used(&keys) + bytes_used(&items) + offsets
        }
        DataType::List(_) => bytes_used(&items(values.as_list())) + offsets,
        DataType::Struct(_) => values.as_struct().columns().iter().map(|column| bytes_used(column)).sum(),
        DataType::FixedSizeBinary(width) => values.len() as u64 * u64::try_from(*width).unwrap_or(0),
        other => values.len() as u64 * other.primitive_width().unwrap_or(0) as u64,
    }
}

/// The keys and the values of the maps in a sliced array.
fn entries(maps: &MapArray) -> (ArrayRef, ArrayRef) {
    let offsets = maps.value_offsets();
    let (begin, end) = (offsets[0] as usize, offsets[maps.len()] as usize);
    (maps.keys().slice(begin, end - begin), maps.values().slice(begin, end - begin))
}

/// The items of the lists in a sliced array.
fn items(lists: &ListArray) -> ArrayRef {
    let offsets = lists.value_offsets();
    let (begin, end) = (offsets[0] as usize, offsets[lists.len()] as usize);
    lists.values().slice(begin, end - begin)
}

/// Returns an array with its texts and bytes in new buffers; none if it has neither.
fn compacted(values: &dyn Array) -> Option<ArrayRef> {
    let nulls = values.nulls().cloned();
    let copied = |array: ArrayRef| compacted(&array).unwrap_or(array);
    let offsets = |offsets: &[i32]| {
        OffsetBuffer::from_lengths(offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize))
    };
    Some(match values.data_type() {
        DataType::BinaryView => Arc::new(values.as_binary_view().gc()),
        DataType::Utf8View => Arc::new(values.as_string_view().gc()),
        DataType::List(item) => {
            let lists = values.as_list();
            let offsets = offsets(lists.value_offsets());
            Arc::new(ListArray::try_new(item.clone(), offsets, copied(items(lists)), nulls).ok()?)
        }
        DataType::Struct(fields) => {
            let columns = values.as_struct().columns().iter().cloned().map(copied).collect();
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, values.len()).ok()?)
        }
        DataType::Map(field, sorted) => {
            let DataType::Struct(fields) = field.data_type() else { return None };
            let (keys, items) = entries(values.as_map());
            let pairs = StructArray::try_new(fields.clone(), vec![copied(keys), copied(items)], None).ok()?;
            let offsets = offsets(values.as_map().value_offsets());
            Arc::new(MapArray::try_new(field.clone(), offsets, pairs, nulls, *sorted).ok()?)
        }
        _ => return None,
    })
}

impl From<BinaryViewArray> for Column {
    fn from(array: BinaryViewArray) -> Column {
        Column::Array(Arc::new(array))
    }
}

impl From<Int64Array> for Column {
    fn from(array: Int64Array) -> Column {
        Column::Array(Arc::new(array))
    }
}

/// The bytes of the values of a view array. The lowest four bytes of a view are the length of its value, inlined or
/// not; the view of a null has the length 0.
fn view_bytes<T: ByteViewType>(array: &GenericByteViewArray<T>) -> u64 {
    array.views().iter().map(|view| u64::from(*view as u32)).sum()
}
