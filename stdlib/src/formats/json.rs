//! JSON: the encoders of arrow-json, and encoders for the types that Weir writes in another form.

use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{DurationMicrosecondType, TimestampMicrosecondType};
use arrow_array::{Array, ArrayAccessor, BinaryViewArray, RecordBatch, StringViewArray, StructArray};
use arrow_json::writer::NullableEncoder;
use arrow_json::{Encoder, EncoderFactory, EncoderOptions};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, TimeUnit};
use weir_runtime::batch::{Batch, BatchError, LOCAL_SIGIL};

use super::FormatError;
use super::columns::{Columns, Style};
use super::text::{plain_text, write_base64, write_duration, write_ip, write_time};
use crate::language::parsers::plain_end;

/// Makes the encoders for types that Weir writes in another form. arrow-json calls it for every column, nested ones
/// included.
#[derive(Debug)]
struct Encoders {
    /// Whether the columns are those of files that others have written, where 16 bytes are no address.
    foreign: bool,
}

impl EncoderFactory for Encoders {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Utf8View => Box::new(TextEncoder(array.as_string_view())),
            DataType::BinaryView => Box::new(BytesEncoder(array.as_binary_view())),
            DataType::FixedSizeBinary(16) if !self.foreign => {
                let addresses = array.as_fixed_size_binary();
                Box::new(Quoted(move |row, out: &mut Vec<u8>| write_ip(addresses.value(row), out)))
            }
            DataType::Duration(TimeUnit::Microsecond) => {
                let durations = array.as_primitive::<DurationMicrosecondType>();
                Box::new(Quoted(move |row, out: &mut Vec<u8>| write_duration(durations.value(row), out)))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let times = array.as_primitive::<TimestampMicrosecondType>();
                Box::new(Quoted(move |row, out: &mut Vec<u8>| write_time(times.value(row), out)))
            }
            DataType::Binary => Box::new(BytesEncoder(array.as_binary::<i32>())),
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct TextEncoder<'a>(&'a StringViewArray);

impl Encoder for TextEncoder<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        write_string(self.0.value(row), out);
    }
}

/// Appends a text in quotes. Most texts need no escapes, and are copied at once.
fn write_string(text: &str, out: &mut Vec<u8>) {
    if plain_end(text.as_bytes(), 0) < text.len() {
        // Writing into memory can't fail.
        return drop(serde_json::to_writer(out, text));
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// An encoder of bytes: as text if they are text, otherwise in Base64.
struct BytesEncoder<A>(A);

impl<'a, A: ArrayAccessor<Item = &'a [u8]>> Encoder for BytesEncoder<A> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let bytes = self.0.value(row);
        match plain_text(bytes) {
            Some(text) => write_string(text, out),
            None => {
                out.push(b'"');
                write_base64(bytes, out);
                out.push(b'"');
            }
        }
    }
}

/// An encoder of values whose text needs no escapes.
struct Quoted<Write>(Write);

impl<Write: FnMut(usize, &mut Vec<u8>)> Encoder for Quoted<Write> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        (self.0)(row, out);
        out.push(b'"');
    }
}

fn options() -> EncoderOptions {
    EncoderOptions::default().with_encoder_factory(Arc::new(Encoders { foreign: false }))
}

/// The options for columns of files that others have written.
pub(crate) fn foreign_options() -> EncoderOptions {
    EncoderOptions::default().with_encoder_factory(Arc::new(Encoders { foreign: true }))
}

/// Appends rows as objects, one on each line, at least one, until `out` has `stop` bytes. Returns how many.
///
/// # Errors
/// When a column has a type that JSON can't represent.
pub(crate) fn write_lines(
    batch: &RecordBatch,
    rows: std::ops::Range<usize>,
    stop: usize,
    out: &mut Vec<u8>,
) -> Result<usize, ArrowError> {
    let field = Arc::new(Field::new_struct("", batch.schema().fields().clone(), false));
    let (structs, options) = (StructArray::from(batch.clone()), options());
    let mut encoder = arrow_json::writer::make_encoder(&field, &structs, &options)?;
    let (first, end) = (rows.start, rows.end);
    for row in rows {
        encoder.encode(row, out);
        out.push(b'\n');
        if out.len() >= stop {
            return Ok(row + 1 - first);
        }
    }
    Ok(end - first)
}

/// Appends each row as one object, and the end of each to `ends`.
///
/// # Errors
/// When a column has a type that JSON can't represent. Nothing is appended then.
pub(crate) fn write_objects(
    batch: &RecordBatch,
    out: &mut Vec<u8>,
    ends: &mut Vec<usize>,
) -> Result<(), ArrowError> {
    let field = Arc::new(Field::new_struct("", batch.schema().fields().clone(), false));
    let (structs, options) = (StructArray::from(batch.clone()), options());
    let mut encoder = arrow_json::writer::make_encoder(&field, &structs, &options)?;
    for row in 0..batch.num_rows() {
        encoder.encode(row, out);
        ends.push(out.len());
    }
    Ok(())
}

/// Returns each value of a column as JSON text; null stays null.
///
/// # Errors
/// When JSON can't represent the type.
pub(crate) fn texts(field: &FieldRef, array: &dyn Array) -> Result<StringViewArray, ArrowError> {
    let options = options();
    let mut encoder = arrow_json::writer::make_encoder(field, array, &options)?;
    let mut texts = StringViewBuilder::with_capacity(array.len());
    let mut text = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        encoder.encode(row, &mut text);
        let text = std::str::from_utf8(&text).map_err(|error| ArrowError::JsonError(error.to_string()))?;
        texts.append_value(text);
    }
    Ok(texts.finish())
}

/// Returns each event as a JSON object of its fields, for events that are rejected and have no body.
///
/// # Errors
/// When JSON can't represent the type of a field.
pub(crate) fn events(batch: &Batch) -> Result<BinaryViewArray, BatchError> {
    let all = batch.schema().fields().iter().filter(|field| !field.name().starts_with(LOCAL_SIGIL));
    let schema = Schema::new(all.cloned().collect::<Vec<_>>());
    let written = match Columns::fields(&schema, &[], Style::AsTheyAre) {
        Ok(columns) => columns.gather(batch, std::slice::from_ref(&(0..batch.rows() as u32)))?,
        Err(FormatError::Nothing) => {
            return Ok(BinaryViewArray::from_iter_values(std::iter::repeat_n("{}", batch.rows())));
        }
        Err(error) => return Err(ArrowError::JsonError(error.to_string()).into()),
    };
    let field = Arc::new(Field::new_struct("", written.schema().fields().clone(), false));
    Ok(texts(&field, &StructArray::from(written))?.to_binary_view())
}
