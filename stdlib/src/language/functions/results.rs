//! Makes the results of calls: columns with a value for each event.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::{
    DurationMicrosecondType, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, ListArray,
    PrimitiveArray, StringViewArray,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow_data::{ByteView, MAX_INLINE_VIEW_LEN};
use arrow_schema::{ArrowError, DataType, Field};
use weir_runtime::batch::{BatchError, Column};
use weir_runtime::expressions::{Evaluated, Failures, Function, Reason};

use super::arguments::{AnyBytes, Texts};

/// The result of a call.
pub(super) type Answer = Result<Evaluated, BatchError>;
/// A function that was prepared for a call, or why it does not take its arguments.
pub(super) type Made = Result<Box<dyn Function>, String>;
/// The value of a row: none for null, or why the function fails for the row.
pub(super) type Value<T> = Result<Option<T>, Reason>;

/// A function that a closure computes.
struct Kernel<F>(F);

impl<F: Fn(&[Column], usize) -> Answer + Send + Sync> Function for Kernel<F> {
    fn call(&self, arguments: &[Column], rows: usize) -> Answer {
        (self.0)(arguments, rows)
    }
}

/// Makes a function of a closure from the arguments and the number of rows to the result.
pub(super) fn kernel<F: Fn(&[Column], usize) -> Answer + Send + Sync + 'static>(compute: F) -> Made {
    Ok(Box::new(Kernel(compute)))
}

/// Returns the null buffer for these valid rows; none if all are valid.
pub(super) fn nulls(valid: Vec<bool>) -> Option<NullBuffer> {
    Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0)
}

/// Returns a column with a value for each event.
pub(super) fn array(values: ArrayRef) -> Evaluated {
    Column::Array(values).into()
}

/// Returns the reason that the text of a call is not `expected` ("an Int").
pub(super) fn not(expected: &'static str, found: &[u8]) -> Reason {
    Reason::unreadable(None, expected, found, 0)
}

/// Computes a number for each row.
pub(super) fn primitives<T: ArrowPrimitiveType>(
    rows: usize,
    mut compute: impl FnMut(usize) -> Value<T::Native>,
) -> (PrimitiveArray<T>, Failures) {
    let (mut values, mut valid) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let mut failures = Failures::default();
    for row in 0..rows {
        let value = compute(row).unwrap_or_else(|reason| {
            failures.push(row, reason);
            None
        });
        valid.push(value.is_some());
        values.push(value.unwrap_or_default());
    }
    (PrimitiveArray::new(values.into(), nulls(valid)), failures)
}

/// Computes an `Int` for each row.
pub(super) fn ints(rows: usize, compute: impl FnMut(usize) -> Value<i64>) -> Evaluated {
    let (values, failures) = primitives::<Int64Type>(rows, compute);
    Evaluated { values: Column::Array(Arc::new(values)), failures }
}

/// Computes a `Float` for each row. The language has no negative zero.
pub(super) fn floats(rows: usize, mut compute: impl FnMut(usize) -> Value<f64>) -> Evaluated {
    let positive = |value: Option<f64>| value.map(|number| number + 0.0);
    let (values, failures) = primitives::<Float64Type>(rows, |row| compute(row).map(positive));
    Evaluated { values: Column::Array(Arc::new(values)), failures }
}

/// Computes a `Size` for each row.
pub(super) fn sizes(rows: usize, compute: impl FnMut(usize) -> Value<u64>) -> Evaluated {
    let (values, failures) = primitives::<UInt64Type>(rows, compute);
    Evaluated { values: Column::Array(Arc::new(values)), failures }
}

/// Computes a `Time` for each row, in microseconds since 1970.
pub(super) fn times(rows: usize, compute: impl FnMut(usize) -> Value<i64>) -> Evaluated {
    let (values, failures) = primitives::<TimestampMicrosecondType>(rows, compute);
    Evaluated { values: Column::Array(Arc::new(values.with_timezone("UTC"))), failures }
}

/// Computes a `Duration` for each row, in microseconds.
pub(super) fn durations(rows: usize, compute: impl FnMut(usize) -> Value<i64>) -> Evaluated {
    let (values, failures) = primitives::<DurationMicrosecondType>(rows, compute);
    Evaluated { values: Column::Array(Arc::new(values)), failures }
}

/// Computes a `Bool` for each row.
pub(super) fn truths(rows: usize, mut compute: impl FnMut(usize) -> Value<bool>) -> Evaluated {
    let (mut values, mut valid) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let mut failures = Failures::default();
    for row in 0..rows {
        let value = compute(row).unwrap_or_else(|reason| {
            failures.push(row, reason);
            None
        });
        valid.push(value.is_some());
        values.push(value == Some(true));
    }
    let values = BooleanArray::new(values.into(), nulls(valid));
    Evaluated { values: Column::Array(Arc::new(values)), failures }
}

/// Computes an `Ip` for each row: 16 bytes in the order of the network.
pub(super) fn addresses(rows: usize, mut compute: impl FnMut(usize) -> Value<u128>) -> Answer {
    let (mut bytes, mut valid) = (Vec::with_capacity(16 * rows), Vec::with_capacity(rows));
    let mut failures = Failures::default();
    for row in 0..rows {
        let value = compute(row).unwrap_or_else(|reason| {
            failures.push(row, reason);
            None
        });
        valid.push(value.is_some());
        bytes.extend_from_slice(&value.unwrap_or_default().to_be_bytes());
    }
    let values = FixedSizeBinaryArray::try_new(16, Buffer::from_vec(bytes), nulls(valid))?;
    Ok(Evaluated { values: Column::Array(Arc::new(values)), failures })
}

/// The most bytes of a buffer of results. An offset in a buffer has 32 bits.
const BUFFER_BYTES_MAX: usize = 1 << 30;

/// A column of texts or bytes while it is made: values that were written into buffers, and views into other buffers.
pub(super) struct Views {
    buffers: Vec<Buffer>,
    views: Vec<u128>,
    valid: Vec<bool>,
    /// The buffer that values are written into. It comes behind `buffers`.
    pub(super) written: Vec<u8>,
}

/// A value of a row, as a function makes it.
pub(super) enum Part {
    /// A part of the argument's bytes.
    Of(Range<usize>),
    /// The bytes that were appended to the buffer.
    Written,
}

/// Returns the view of a value that fits into it.
fn inline(value: &[u8]) -> u128 {
    let mut view = [0; 16];
    view[..4].copy_from_slice(&(value.len() as u32).to_le_bytes());
    view[4..4 + value.len()].copy_from_slice(value);
    u128::from_le_bytes(view)
}

/// Returns the view of a part of a value with this view.
fn part_of(view: u128, value: &[u8], part: Range<usize>) -> u128 {
    let (begin, found) = (part.start, &value[part]);
    match found.len() as u32 {
        length if length <= MAX_INLINE_VIEW_LEN => inline(found),
        length => {
            let whole = ByteView::from(view);
            // A value of more than 12 bytes is in a buffer, in which its offset has 32 bits.
            ByteView::new(length, &found[..4])
                .with_buffer_index(whole.buffer_index)
                .with_offset(whole.offset + begin as u32)
                .as_u128()
        }
    }
}

impl Views {
    /// Makes an empty column that may have views into these buffers.
    pub(super) fn new(buffers: &[Buffer], rows: usize) -> Views {
        Views {
            buffers: buffers.to_vec(),
            views: Vec::with_capacity(rows),
            valid: Vec::with_capacity(rows),
            written: Vec::new(),
        }
    }

    /// Appends null. Whatever was written from `begin` on is dropped.
    pub(super) fn push_null(&mut self, begin: usize) {
        self.written.truncate(begin);
        self.views.push(0);
        self.valid.push(false);
    }

    /// Appends a part of the value with this view.
    pub(super) fn push_part(&mut self, view: u128, value: &[u8], part: Range<usize>) {
        self.views.push(part_of(view, value, part));
        self.valid.push(true);
    }

    /// Appends the value that was written into the buffer from `begin` on.
    pub(super) fn push_written(&mut self, begin: usize) {
        let value = &self.written[begin..];
        let view = match value.len() as u32 {
            length if length <= MAX_INLINE_VIEW_LEN => {
                let view = inline(value);
                self.written.truncate(begin);
                view
            }
            length => ByteView::new(length, &value[..4])
                .with_buffer_index(self.buffers.len() as u32)
                .with_offset(begin as u32)
                .as_u128(),
        };
        self.views.push(view);
        self.valid.push(true);
        if self.written.len() > BUFFER_BYTES_MAX {
            self.buffers.push(Buffer::from_vec(std::mem::take(&mut self.written)));
        }
    }

    /// Appends the value that was made of `value`, whose view is `view`; `begin` is the beginning of the written bytes.
    /// Returns why the row fails, if it does; then null is appended.
    fn push_made(&mut self, begin: usize, made: Value<Part>, view: u128, value: &[u8]) -> Option<Reason> {
        match made {
            Ok(Some(Part::Of(part))) => {
                self.written.truncate(begin);
                self.push_part(view, value, part);
            }
            Ok(Some(Part::Written)) => self.push_written(begin),
            Ok(None) => self.push_null(begin),
            Err(reason) => {
                self.push_null(begin);
                return Some(reason);
            }
        }
        None
    }

    /// Returns the number of values.
    pub(super) fn len(&self) -> usize {
        self.views.len()
    }

    fn parts(mut self) -> (Vec<u128>, Vec<Buffer>, Option<NullBuffer>) {
        if !self.written.is_empty() {
            self.buffers.push(Buffer::from_vec(self.written));
        }
        (self.views, self.buffers, nulls(self.valid))
    }

    /// Returns the column as texts.
    ///
    /// # Errors
    /// When a value is no UTF-8.
    pub(super) fn texts(self) -> Result<StringViewArray, ArrowError> {
        let (views, buffers, nulls) = self.parts();
        StringViewArray::try_new(views.into(), buffers, nulls)
    }

    /// Returns the column as bytes.
    ///
    /// # Errors
    /// When Arrow refuses the views, which is a defect.
    pub(super) fn bytes(self) -> Result<BinaryViewArray, ArrowError> {
        let (views, buffers, nulls) = self.parts();
        BinaryViewArray::try_new(views.into(), buffers, nulls)
    }
}

/// Returns the most bytes of a text that a function makes by putting texts into others, of arguments with so many bytes.
pub(super) fn grown_max(argument_bytes: usize) -> usize {
    argument_bytes.saturating_mul(16).saturating_add(1 << 20)
}

/// Writes the value of each row into a buffer.
fn written(rows: usize, mut write: impl FnMut(usize, &mut Vec<u8>) -> Value<()>) -> (Views, Failures) {
    let (mut views, mut failures) = (Views::new(&[], rows), Failures::default());
    for row in 0..rows {
        let begin = views.written.len();
        match write(row, &mut views.written) {
            Ok(Some(())) => views.push_written(begin),
            Ok(None) => views.push_null(begin),
            Err(reason) => {
                failures.push(row, reason);
                views.push_null(begin);
            }
        }
    }
    (views, failures)
}

/// Writes a `Text` for each row.
pub(super) fn texts(rows: usize, write: impl FnMut(usize, &mut Vec<u8>) -> Value<()>) -> Answer {
    let (views, failures) = written(rows, write);
    Ok(Evaluated { values: Column::Array(Arc::new(views.texts()?)), failures })
}

/// Writes `Bytes` for each row.
pub(super) fn bytes(rows: usize, write: impl FnMut(usize, &mut Vec<u8>) -> Value<()>) -> Answer {
    let (views, failures) = written(rows, write);
    Ok(Evaluated { values: Column::Array(Arc::new(views.bytes()?)), failures })
}

/// Makes a value of each row's argument, which is a part of it or is written into the buffer. The result has the type of
/// the argument, or `Text` if `as_text`. Null stays null.
pub(super) fn parts(
    values: &AnyBytes<'_>,
    as_text: bool,
    rows: usize,
    mut make: impl FnMut(usize, &[u8], &mut Vec<u8>) -> Value<Part>,
) -> Answer {
    let (mut views, mut failures) = (Views::new(values.values.data_buffers(), rows), Failures::default());
    for row in 0..rows {
        let begin = views.written.len();
        let Some(value) = values.get(row) else {
            views.push_null(begin);
            continue;
        };
        let made = make(row, value, &mut views.written);
        if let Some(reason) = views.push_made(begin, made, values.view(row), value) {
            failures.push(row, reason);
        }
    }
    let values: ArrayRef = match as_text || values.is_text {
        true => Arc::new(views.texts()?),
        false => Arc::new(views.bytes()?),
    };
    Ok(Evaluated { values: Column::Array(values), failures })
}

/// Makes a text of each row's text, which is a part of it or is written into the buffer. Null stays null.
pub(super) fn text_parts(
    arguments: &[Column],
    rows: usize,
    mut make: impl FnMut(usize, &str, &mut Vec<u8>) -> Value<Part>,
) -> Answer {
    let values = Texts::of(arguments, 0)?;
    let (mut views, mut failures) = (Views::new(values.values.data_buffers(), rows), Failures::default());
    for row in 0..rows {
        let begin = views.written.len();
        let Some(text) = values.get(row) else {
            views.push_null(begin);
            continue;
        };
        let made = make(row, text, &mut views.written);
        if let Some(reason) = views.push_made(begin, made, values.view(row), text.as_bytes()) {
            failures.push(row, reason);
        }
    }
    Ok(Evaluated { values: Column::Array(Arc::new(views.texts()?)), failures })
}

/// A column of lists of texts while it is made.
pub(super) struct TextLists {
    /// The items of all lists.
    pub(super) items: Views,
    lengths: Vec<usize>,
    valid: Vec<bool>,
    begin: usize,
}

impl TextLists {
    /// Makes an empty column whose items may have views into these buffers.
    pub(super) fn new(buffers: &[Buffer], rows: usize) -> TextLists {
        TextLists {
            items: Views::new(buffers, rows),
            lengths: Vec::with_capacity(rows),
            valid: Vec::with_capacity(rows),
            begin: 0,
        }
    }

    /// Ends a list, which has the items since the last one; a null list has none.
    pub(super) fn end(&mut self, is_valid: bool) {
        self.lengths.push(self.items.len() - self.begin);
        self.valid.push(is_valid);
        self.begin = self.items.len();
    }

    /// Returns the column.
    ///
    /// # Errors
    /// When an item is no UTF-8.
    pub(super) fn finish(self) -> Result<ListArray, ArrowError> {
        let field = Arc::new(Field::new("item", DataType::Utf8View, false));
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        ListArray::try_new(field, offsets, Arc::new(self.items.texts()?), nulls(self.valid))
    }
}

/// Makes a list of texts of each row's text. `fill` appends the items with the row's view, the text and the items so far.
pub(super) fn text_lists(
    arguments: &[Column],
    rows: usize,
    mut fill: impl FnMut(usize, u128, &str, &mut Views) -> Option<()>,
) -> Answer {
    let texts = Texts::of(arguments, 0)?;
    let mut lists = TextLists::new(texts.values.data_buffers(), rows);
    for row in 0..rows {
        let filled = texts.get(row).and_then(|text| fill(row, texts.view(row), text, &mut lists.items));
        lists.end(filled.is_some());
    }
    Ok(array(Arc::new(lists.finish()?)))
}
