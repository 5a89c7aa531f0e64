//! Encodes batches: the body of a put record.
//!
//! ```text
//! origins    text scope, u32 count, then for each: text partition, u64 after, u64 through
//! form       u8: 0 uncompressed, 1 LZ4 block, 2 Zstandard; the latter two with u32, the length of the columns
//! columns    in the order of the schema's fields, each:
//!            u8   1 one value for all events, 2 with a bitmap of which values are not null
//!            .    the bitmap, a bit for each value
//!            .    text and bytes: u32 the end of each value, then the values without gaps
//!                 Bool: a bit for each value
//!                 lists: u32 the end of each one's items, then all items as a column
//!                 maps: u32 the end of each one's entries, then all keys and all values as columns
//!                 records: each part as a column; without parts a bit for each value, 0
//!                 others: the values in their own width
//! ```
//!
//! A text is its length as `u16` and UTF-8. The type of the values comes from the segment's
//! schema. Neither writing nor reading allocates memory for each event: the values that are read are
//! views into the record's own bytes.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::GenericByteViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{BinaryViewType, ByteViewType, StringViewType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, GenericByteViewArray, ListArray, MapArray, Scalar, StructArray, make_array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, FieldRef, Fields, Schema, SchemaRef};

use super::compression::{Columns, Compression, begin_columns, decompress, read_columns};
use super::fields::{Fields as Numbers, write_text};
use super::record::{BODY_BYTES_MAX, ROWS_MAX};
use crate::batch::{Batch, Column, Interval, Origins, Partition};

const CONSTANT: u8 = 1;
const NULLS: u8 = 2;
/// The longest value that a view holds in itself (Arrow's columnar format).
const INLINE_BYTES_MAX: u32 = 12;

/// The batch has more bytes than a record can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

/// A put's body.
#[derive(Debug)]
pub(super) struct Encoded {
    /// Origins, then columns.
    pub(super) body: Vec<u8>,
    pub(super) origins_bytes: u32,
}

/// Returns the first field whose values this format can't hold.
pub(in crate::channel) fn unsupported(schema: &Schema) -> Option<&str> {
    schema.fields().iter().find(|field| !is_kept(field.data_type())).map(|field| field.name().as_str())
}

fn is_kept(data_type: &DataType) -> bool {
    match data_type {
        DataType::BinaryView | DataType::Utf8View | DataType::Boolean | DataType::FixedSizeBinary(_) => true,
        DataType::List(item) => is_kept(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_kept(field.data_type())),
        DataType::Map(..) => key_and_value(data_type)
            .is_some_and(|(key, value)| *key.data_type() == DataType::Utf8View && is_kept(value.data_type())),
        other => other.primitive_width().is_some(),
    }
}

/// Whether columns have lists or records, or maps of maps, which the first versions of this format do not have.
pub(super) fn has_nested(schema: &Schema) -> bool {
    schema.fields().iter().any(|field| match field.data_type() {
        DataType::Map(..) => {
            key_and_value(field.data_type()).is_none_or(|(_, value)| value.data_type().is_nested())
        }
        other => other.is_nested(),
    })
}

/// Returns the width of a type whose values have a fixed width.
fn width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
        other => other.primitive_width(),
    }
}

/// Returns the fields of a map's entries.
fn key_and_value(data_type: &DataType) -> Option<(&FieldRef, &FieldRef)> {
    let DataType::Map(entries, _) = data_type else { return None };
    let DataType::Struct(fields) = entries.data_type() else { return None };
    match fields.as_ref() {
        [key, value] => Some((key, value)),
        _ => None,
    }
}

/// Encodes a batch with its origins, which belong to `scope`. A batch without events has no columns.
///
/// # Errors
/// When the batch is larger than a record can be.
pub(super) fn encode(scope: &str, batch: &Batch, compression: Compression) -> Result<Encoded, TooLarge> {
    if batch.charged_bytes() > BODY_BYTES_MAX / 2 || batch.rows() as u64 > u64::from(ROWS_MAX) {
        return Err(TooLarge);
    }
    let mut body = Vec::with_capacity(batch.charged_bytes() as usize + 256);
    write_text(&mut body, scope);
    let intervals = batch.origins().intervals();
    body.extend_from_slice(&(intervals.len() as u32).to_le_bytes());
    for Interval { partition, after, through } in intervals {
        write_text(&mut body, partition.name());
        body.extend_from_slice(&after.to_le_bytes());
        body.extend_from_slice(&through.to_le_bytes());
    }
    let origins_bytes = body.len() as u32;
    if !batch.is_empty() {
        let begin = begin_columns(&mut body);
        encode_columns(batch, &mut body);
        compression.apply(&mut body, begin);
    }
    match body.len() as u64 <= BODY_BYTES_MAX {
        true => Ok(Encoded { body, origins_bytes }),
        false => Err(TooLarge),
    }
}

fn encode_column(column: &Column, out: &mut Vec<u8>) {
    let constant = if matches!(column, Column::Constant(_)) { CONSTANT } else { 0 };
    encode_array(column.values(), constant, out);
}

/// Writes the flags, the bitmap of values that are not null, and the values.
fn encode_array(values: &dyn Array, constant: u8, out: &mut Vec<u8>) {
    match values.nulls().filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => {
            out.push(constant | NULLS);
            write_bits(nulls.inner(), out);
        }
        None => out.push(constant),
    }
    match values.data_type() {
        DataType::BinaryView => write_views(values.as_binary_view(), out),
        DataType::Utf8View => write_views(values.as_string_view(), out),
        DataType::Boolean => write_bits(values.as_boolean().values(), out),
        DataType::List(_) => {
            let lists = values.as_list::<i32>();
            let items = write_ends(lists.offsets(), out);
            encode_array(&lists.values().slice(items.start, items.len()), 0, out);
        }
        DataType::Map(..) => {
            let maps = values.as_map();
            let entries = write_ends(maps.offsets(), out);
            encode_array(&maps.keys().slice(entries.start, entries.len()), 0, out);
            encode_array(&maps.values().slice(entries.start, entries.len()), 0, out);
        }
        DataType::Struct(fields) if fields.is_empty() => {
            write_bits(&BooleanBuffer::new_unset(values.len()), out);
        }
        DataType::Struct(_) => {
            values.as_struct().columns().iter().for_each(|part| encode_array(part, 0, out));
        }
        other => {
            let width = width(other).expect("the channel refuses other types at its start");
            let data = values.to_data();
            let begin = data.offset() * width;
            out.extend_from_slice(&data.buffers()[0][begin..begin + data.len() * width]);
        }
    }
}

/// Writes the end of each list's items or of each map's entries, from the first one. Returns where they are.
fn write_ends(offsets: &OffsetBuffer<i32>, out: &mut Vec<u8>) -> Range<usize> {
    let (begin, end) = (offsets[0], offsets[offsets.len() - 1]);
    for offset in &offsets[1..] {
        out.extend_from_slice(&((offset - begin) as u32).to_le_bytes());
    }
    begin as usize..end as usize
}

fn write_bits(bits: &BooleanBuffer, out: &mut Vec<u8>) {
    out.extend_from_slice(&bits.sliced()[..bits.len().div_ceil(8)]);
}

/// Writes ends and values. Copies adjacent values in one piece.
fn write_views<T: ByteViewType>(array: &GenericByteViewArray<T>, out: &mut Vec<u8>) {
    let mut end = 0_u32;
    for (row, view) in array.views().iter().enumerate() {
        if array.is_valid(row) {
            end += *view as u32;
        }
        out.extend_from_slice(&end.to_le_bytes());
    }
    let mut run = Run { buffer: 0, begin: 0, end: 0 };
    for (row, view) in array.views().iter().enumerate() {
        let length = *view as u32;
        if array.is_null(row) {
            continue;
        }
        if length <= INLINE_BYTES_MAX {
            run.flush(array.data_buffers(), out);
            out.extend_from_slice(&view.to_le_bytes()[4..4 + length as usize]);
            continue;
        }
        let (buffer, begin) = ((view >> 64) as u32 as usize, (view >> 96) as u32 as usize);
        if (buffer, begin) != (run.buffer, run.end) {
            run.flush(array.data_buffers(), out);
            run = Run { buffer, begin, end: begin };
        }
        run.end += length as usize;
    }
    run.flush(array.data_buffers(), out);
}

/// Adjacent bytes of one buffer, written in one piece.
struct Run {
    buffer: usize,
    begin: usize,
    end: usize,
}

impl Run {
    fn flush(&mut self, buffers: &[Buffer], out: &mut Vec<u8>) {
        if self.begin < self.end {
            out.extend_from_slice(&buffers[self.buffer][self.begin..self.end]);
            self.begin = self.end;
        }
    }
}

/// Appends the columns of a batch.
pub(in crate::channel) fn encode_columns(batch: &Batch, out: &mut Vec<u8>) {
    batch.columns().iter().for_each(|column| encode_column(column, out));
}

/// Decodes the columns of `rows` events, which are all of `body` from `begin` on; `None` if they are invalid. The columns keep
/// `body` alive.
pub(in crate::channel) fn decode_columns(
    schema: &SchemaRef,
    rows: usize,
    body: &Buffer,
    begin: usize,
) -> Option<Vec<Column>> {
    let mut at = begin;
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let mut decoder = ColumnDecoder { body, at, rows };
        columns.push(decoder.column(field.data_type())?);
        at = decoder.at;
    }
    (at == body.len()).then_some(columns)
}

/// Decodes the scope and the origins at the beginning of a body; `None` if they are invalid.
pub(super) fn decode_origins(bytes: &[u8]) -> Option<(&str, Origins)> {
    /// The bytes of the shortest interval.
    const INTERVAL_BYTES_MIN: usize = 18;
    let mut fields = Numbers::new(bytes);
    let scope = fields.text()?;
    let count = fields.u32()? as usize;
    if count > fields.left() / INTERVAL_BYTES_MIN {
        return None;
    }
    let mut intervals = Vec::with_capacity(count);
    for _ in 0..count {
        let partition = Partition::new(fields.text()?);
        let (after, through) = (fields.u64()?, fields.u64()?);
        intervals.push(Interval { partition, after, through });
    }
    (fields.left() == 0).then(|| (scope, Origins::new(intervals)))
}

/// Decodes the events in a put's body; `None` if it is invalid. The batch keeps `body` alive.
pub(super) fn decode(schema: &SchemaRef, rows: usize, origins_bytes: usize, body: &Buffer) -> Option<Batch> {
    let (_, origins) = decode_origins(body.get(..origins_bytes)?)?;
    let plain;
    let (body, at) = match read_columns(body, origins_bytes)? {
        Columns::Plain(at) => (body, at),
        Columns::Compressed { how, length, bytes } => {
            plain = Buffer::from_vec(decompress(how, length, bytes)?);
            (&plain, 0)
        }
    };
    Batch::new(schema.clone(), decode_columns(schema, rows, body, at)?, rows, origins).ok()
}

struct ColumnDecoder<'a> {
    body: &'a Buffer,
    at: usize,
    rows: usize,
}

impl ColumnDecoder<'_> {
    fn bytes(&mut self, length: usize) -> Option<Buffer> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.body.len())?;
        let bytes = self.body.slice_with_length(self.at, length);
        self.at = end;
        Some(bytes)
    }

    fn column(&mut self, data_type: &DataType) -> Option<Column> {
        let flags = *self.body.get(self.at)?;
        let constant = flags & CONSTANT != 0;
        let array = self.array(data_type, if constant { 1 } else { self.rows })?;
        Some(if constant { Column::Constant(Scalar::new(array)) } else { Column::Array(array) })
    }

    fn array(&mut self, data_type: &DataType, count: usize) -> Option<ArrayRef> {
        let flags = self.bytes(1)?[0];
        if flags > (CONSTANT | NULLS) {
            return None;
        }
        let nulls = match flags & NULLS != 0 {
            true => Some(NullBuffer::new(BooleanBuffer::new(self.bytes(count.div_ceil(8))?, 0, count))),
            false => None,
        };
        Some(match data_type {
            DataType::BinaryView => Arc::new(self.views::<BinaryViewType>(count, nulls)?),
            DataType::Utf8View => Arc::new(self.views::<StringViewType>(count, nulls)?),
            DataType::Boolean => {
                let bits = BooleanBuffer::new(self.bytes(count.div_ceil(8))?, 0, count);
                Arc::new(BooleanArray::new(bits, nulls))
            }
            DataType::List(item) => {
                let (offsets, total) = self.ends(count)?;
                let items = self.array(item.data_type(), total)?;
                Arc::new(ListArray::try_new(item.clone(), offsets, items, nulls).ok()?)
            }
            DataType::Map(..) => self.maps(data_type, count, nulls)?,
            DataType::Struct(fields) => self.records(fields, count, nulls)?,
            other => self.fixed(other, count, nulls)?,
        })
    }

    fn maps(&mut self, data_type: &DataType, count: usize, nulls: Option<NullBuffer>) -> Option<ArrayRef> {
        let DataType::Map(entries, sorted) = data_type else { return None };
        let (key, value) = key_and_value(data_type)?;
        let (offsets, total) = self.ends(count)?;
        let keys = self.array(key.data_type(), total)?;
        let values = self.array(value.data_type(), total)?;
        let fields = Fields::from(vec![key.clone(), value.clone()]);
        let pairs = StructArray::try_new(fields, vec![keys, values], None).ok()?;
        Some(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, *sorted).ok()?))
    }

    fn records(&mut self, fields: &Fields, count: usize, nulls: Option<NullBuffer>) -> Option<ArrayRef> {
        if fields.is_empty() {
            self.bytes(count.div_ceil(8))?;
        }
        let parts =
            fields.iter().map(|part| self.array(part.data_type(), count)).collect::<Option<Vec<_>>>()?;
        Some(Arc::new(StructArray::try_new_with_length(fields.clone(), parts, nulls, count).ok()?))
    }

    /// Reads the ends of lists or maps. Returns their offsets and the number of all items.
    fn ends(&mut self, count: usize) -> Option<(OffsetBuffer<i32>, usize)> {
        let ends = self.bytes(count.checked_mul(4)?)?;
        let mut offsets = vec![0_i32];
        for end in ends.chunks_exact(4) {
            let end = i32::try_from(Numbers::new(end).u32()?).ok()?;
            if end < *offsets.last()? {
                return None;
            }
            offsets.push(end);
        }
        let total = *offsets.last()? as usize;
        // Each item takes at least one bit, so a larger total is invalid.
        let is_possible = total.div_ceil(8) <= self.body.len();
        is_possible.then(|| (OffsetBuffer::new(offsets.into()), total))
    }

    fn views<T: ByteViewType>(
        &mut self,
        count: usize,
        nulls: Option<NullBuffer>,
    ) -> Option<GenericByteViewArray<T>> {
        let ends = self.bytes(count.checked_mul(4)?)?;
        let ends = ends.chunks_exact(4).map(|end| Numbers::new(end).u32());
        let total = ends.clone().next_back().flatten().unwrap_or(0);
        let mut builder = GenericByteViewBuilder::<T>::with_capacity(count);
        let block = builder.append_block(self.bytes(total as usize)?);
        let mut begin = 0;
        for (row, end) in ends.enumerate() {
            let end = end?;
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                builder.append_null();
            } else {
                // The builder checks the view against the block, and text against UTF-8.
                builder.try_append_view(block, begin, end.checked_sub(begin)?).ok()?;
            }
            begin = end;
        }
        Some(builder.finish())
    }

    fn fixed(&mut self, data_type: &DataType, count: usize, nulls: Option<NullBuffer>) -> Option<ArrayRef> {
        let width = width(data_type)?;
        let bytes = self.bytes(count.checked_mul(width)?)?;
        // Copied, because the log does not align values as Arrow requires.
        let values = Buffer::from_slice_ref(bytes.as_slice());
        let data = arrow_data::ArrayData::builder(data_type.clone());
        let data = data.len(count).add_buffer(values).nulls(nulls).build().ok()?;
        Some(make_array(data))
    }
}

#[cfg(test)]
mod tests;
