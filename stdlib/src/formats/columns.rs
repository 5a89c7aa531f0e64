//! The columns that a format writes: which ones, in which order, and in which types.
//!
//! The headers that the settings name come first, in the order of the settings and without their `@`. The fields
//! follow. Rows are gathered and constants expanded here, so that an encoder gets one record batch of all rows.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{DurationMicrosecondType, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, ListArray, MapArray, RecordBatch, RecordBatchOptions, StringArray, StringViewArray,
    StructArray, UInt32Array,
};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use arrow_select::take::take;
use weir_plan::{ATTACHED, BODY, HEADER_SIGIL};
use weir_runtime::batch::{Batch, Column};

use super::FormatError;
use super::json;
use super::text::{plain_text, write_base64, write_duration, write_ip, write_time};

/// The types in which a format writes values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// The types of the events.
    AsTheyAre,
    /// Numbers and booleans; all other types as text, nested values as JSON.
    Cells,
    /// The types of Parquet: addresses as text.
    Parquet,
    /// The types of Avro: addresses as text, and maps with keys without views.
    Avro,
}

/// The columns that a format writes.
#[derive(Debug)]
pub(super) struct Columns {
    names: Vec<String>,
    schema: SchemaRef,
}

impl Columns {
    /// Returns the body as the only column.
    ///
    /// # Errors
    /// When the events have no body.
    pub(super) fn body(schema: &Schema) -> Result<Columns, FormatError> {
        match schema.field_with_name(BODY) {
            Ok(field) if *field.data_type() == DataType::BinaryView => {
                let schema = Arc::new(Schema::new(vec![Field::new(BODY, DataType::BinaryView, false)]));
                Ok(Columns { names: vec![BODY.to_string()], schema })
            }
            _ => Err(FormatError::Body),
        }
    }

    /// Returns these headers and all fields.
    ///
    /// # Errors
    /// When the events lack a header, two columns would have the same name, or there is no column.
    pub(super) fn fields(schema: &Schema, headers: &[String], style: Style) -> Result<Columns, FormatError> {
        let mut names = Vec::new();
        for header in headers {
            let name = format!("{HEADER_SIGIL}{}", header.trim_start_matches(HEADER_SIGIL));
            if schema.field_with_name(&name).is_err() {
                return Err(FormatError::NoHeader(name));
            }
            names.push(name);
        }
        let is_field = |field: &&FieldRef| {
            !field.name().starts_with(HEADER_SIGIL) && !field.metadata().contains_key(ATTACHED)
        };
        names.extend(schema.fields().iter().filter(is_field).map(|field| field.name().clone()));
        let mut stored: Vec<Field> = Vec::new();
        for name in &names {
            let field = schema.field_with_name(name).map_err(|_| FormatError::NoHeader(name.clone()))?;
            let written = name.trim_start_matches(HEADER_SIGIL);
            if stored.iter().any(|other| other.name() == written) {
                return Err(FormatError::TwoOfOneName(written.to_string()));
            }
            stored.push(Field::new(written, stored_type(style, field.data_type()), field.is_nullable()));
        }
        match stored.is_empty() {
            true => Err(FormatError::Nothing),
            false => Ok(Columns { names, schema: Arc::new(Schema::new(stored)) }),
        }
    }

    /// Returns the schema of the written columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the approximate size of a gathered row, in which the values that all rows share are repeated.
    pub(super) fn row_bytes(&self, batch: &Batch) -> u64 {
        let shared = self.names.iter().filter_map(|name| batch.column(name)).map(Column::shared_bytes);
        batch.charged_bytes() / batch.rows().max(1) as u64 + shared.sum::<u64>()
    }

    /// Returns the rows of these ranges as a record batch.
    ///
    /// # Errors
    /// When the batch has another schema than the columns were made for.
    pub(super) fn gather(&self, batch: &Batch, ranges: &[Range<u32>]) -> Result<RecordBatch, ArrowError> {
        let rows: usize = ranges.iter().map(ExactSizeIterator::len).sum();
        let (mut picked, mut repeated) = (None, None);
        let columns = self.names.iter().zip(self.schema.fields()).map(|(name, field)| {
            let missing = || ArrowError::SchemaError(format!("the events have no column `{name}`"));
            match batch.column(name).ok_or_else(missing)? {
                Column::Array(array) => {
                    let array = match ranges {
                        [range] => array.slice(range.start as usize, range.len()),
                        ranges => {
                            let indices = picked.get_or_insert_with(|| indices(ranges));
                            take(array, indices, None)?
                        }
                    };
                    stored(field, array)
                }
                constant => {
                    let one = stored(field, constant.values().slice(0, 1))?;
                    let zeros = repeated.get_or_insert_with(|| UInt32Array::from(vec![0; rows]));
                    take(&one, zeros, None)
                }
            }
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
    }
}

fn indices(ranges: &[Range<u32>]) -> UInt32Array {
    UInt32Array::from_iter_values(ranges.iter().cloned().flatten())
}

/// The type of addresses in plans.
const IP: DataType = DataType::FixedSizeBinary(16);

/// Returns the type in which values of this type are written.
fn stored_type(style: Style, data_type: &DataType) -> DataType {
    match (style, data_type) {
        (Style::AsTheyAre, _) => data_type.clone(),
        (_, &IP) => DataType::Utf8View,
        (Style::Cells, DataType::BinaryView | DataType::Duration(_) | DataType::Timestamp(..)) => {
            DataType::Utf8View
        }
        (Style::Cells, nested) if nested.is_nested() => DataType::Utf8View,
        (_, DataType::List(item)) => DataType::List(stored_field(style, item)),
        (_, DataType::Struct(fields)) => {
            DataType::Struct(fields.iter().map(|field| stored_field(style, field)).collect())
        }
        (_, DataType::Map(entries, sorted)) => DataType::Map(stored_entries(style, entries), *sorted),
        _ => data_type.clone(),
    }
}

fn stored_field(style: Style, field: &Field) -> FieldRef {
    Arc::new(Field::new(field.name(), stored_type(style, field.data_type()), field.is_nullable()))
}

/// Returns the entries of a map. arrow-avro supports only keys without views.
fn stored_entries(style: Style, entries: &Field) -> FieldRef {
    let mut fields: Vec<FieldRef> = match stored_type(style, entries.data_type()) {
        DataType::Struct(fields) => fields.iter().cloned().collect(),
        _ => Vec::new(),
    };
    if let (Style::Avro, Some(key)) = (style, fields.first_mut()) {
        *key = Arc::new(Field::new(key.name(), DataType::Utf8, false));
    }
    Arc::new(Field::new(entries.name(), DataType::Struct(fields.into()), entries.is_nullable()))
}

/// Converts values to the type of `field`, in which they are written.
fn stored(field: &FieldRef, array: ArrayRef) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == field.data_type() {
        return Ok(array);
    }
    let nulls = array.nulls().cloned();
    Ok(match (array.data_type(), field.data_type()) {
        (&IP, _) => {
            let addresses = array.as_fixed_size_binary();
            Arc::new(texts(&array, |row, text| write_ip(addresses.value(row), text)))
        }
        (DataType::BinaryView, _) => Arc::new(bytes_as_text(&array)),
        (DataType::Duration(_), _) => {
            let durations = array.as_primitive::<DurationMicrosecondType>();
            Arc::new(texts(&array, |row, text| write_duration(durations.value(row), text)))
        }
        (DataType::Timestamp(..), _) => {
            let times = array.as_primitive::<TimestampMicrosecondType>();
            Arc::new(texts(&array, |row, text| write_time(times.value(row), text)))
        }
        (DataType::Utf8View, DataType::Utf8) => Arc::new(StringArray::from_iter(array.as_string_view())),
        (_, DataType::Utf8View) => Arc::new(json::texts(field, &array)?),
        (DataType::List(_), DataType::List(item)) => {
            let lists = array.as_list::<i32>();
            let values = stored(item, lists.values().clone())?;
            Arc::new(ListArray::try_new(item.clone(), lists.offsets().clone(), values, nulls)?)
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            let columns = columns.map(|(field, column)| stored(field, column.clone()));
            let columns = columns.collect::<Result<_, ArrowError>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?)
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let maps = array.as_map();
            let pairs = stored(entries, Arc::new(maps.entries().clone()))?;
            let offsets = maps.offsets().clone();
            Arc::new(MapArray::try_new(entries.clone(), offsets, pairs.as_struct().clone(), nulls, *sorted)?)
        }
        (from, to) => return Err(ArrowError::CastError(format!("{from} can't be written as {to}"))),
    })
}

/// Returns values as text, as CSV writes them; null stays null.
///
/// # Errors
/// When the values have no text.
pub(super) fn cells(field: &FieldRef, array: &ArrayRef) -> Result<StringViewArray, ArrowError> {
    let kind = stored_type(Style::Cells, field.data_type());
    let text = stored(&Arc::new(Field::new(field.name(), kind, true)), array.clone())?;
    match text.as_string_view_opt() {
        Some(text) => Ok(text.clone()),
        // Numbers and booleans have the same text in JSON.
        None => json::texts(field, &text),
    }
}

fn texts(array: &dyn Array, mut write: impl FnMut(usize, &mut Vec<u8>)) -> StringViewArray {
    let mut texts = StringViewBuilder::with_capacity(array.len());
    let mut text = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        write(row, &mut text);
        texts.append_value(String::from_utf8_lossy(&text));
    }
    texts.finish()
}

/// Converts bytes to text. If all of them are UTF-8, which one pass checks, nothing is copied.
fn bytes_as_text(array: &ArrayRef) -> StringViewArray {
    let bytes = array.as_binary_view();
    if let Ok(text) = bytes.clone().to_string_view()
        && bytes.iter().flatten().all(|bytes| !bytes.starts_with(super::text::BASE64_PREFIX.as_bytes()))
    {
        return text;
    }
    texts(array, |row, text| match plain_text(bytes.value(row)) {
        Some(plain) => text.extend_from_slice(plain.as_bytes()),
        None => write_base64(bytes.value(row), text),
    })
}
