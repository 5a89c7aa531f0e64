//! Functions of single values of any type.

use std::io::Write;

use arrow_schema::{DataType, TimeUnit};
use weir_runtime::Registry;
use weir_runtime::batch::Column;

use super::arguments::{
    Addresses, Durations, Floats, Ints, Sizes, Texts, Times, Truths, argument, unexpected,
};
use super::numbers::Exact;
use super::results::{Answer, Part, kernel, text_parts, texts};
use crate::formats::text::{write_duration, write_ip, write_time};

pub(super) fn register(registry: Registry) -> Registry {
    registry.function("text", |_| kernel(text)).function("null_if", |_| kernel(null_if))
}

/// Writes each value as the language does.
fn text(arguments: &[Column], rows: usize) -> Answer {
    let column = argument(arguments, 0)?;
    macro_rules! written {
        ($values:ident, $write:expr) => {{
            let values = $values::of(arguments, 0)?;
            texts(rows, |row, out| Ok(values.get(row).map(|value| $write(value, out))))
        }};
    }
    match column.data_type() {
        DataType::Boolean => written!(Truths, |truth, out: &mut Vec<u8>| {
            out.extend_from_slice(if truth { b"true" } else { b"false" });
        }),
        DataType::Int64 => written!(Ints, |number, out: &mut Vec<u8>| {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }),
        DataType::UInt64 => written!(Sizes, |size, out: &mut Vec<u8>| {
            out.extend_from_slice(itoa::Buffer::new().format(size).as_bytes());
        }),
        DataType::Float64 => written!(Floats, |number: f64, out: &mut Vec<u8>| {
            // Writing into memory can't fail.
            let _infallible = write!(out, "{number}");
        }),
        DataType::Decimal128(..) => written!(Exact, |number, out: &mut Vec<u8>| {
            let _infallible = write!(out, "{number}");
        }),
        DataType::Timestamp(TimeUnit::Microsecond, _) => written!(Times, write_time),
        DataType::Duration(TimeUnit::Microsecond) => written!(Durations, write_duration),
        DataType::FixedSizeBinary(16) => written!(Addresses, |address: u128, out: &mut Vec<u8>| {
            write_ip(&address.to_be_bytes(), out);
        }),
        // Json is text.
        DataType::Utf8View => text_parts(arguments, rows, |_, text, _| Ok(Some(Part::Of(0..text.len())))),
        _ => Err(unexpected(column, "a value that has a text")),
    }
}

/// Returns null where two texts are equal, and otherwise the first one.
fn null_if(arguments: &[Column], rows: usize) -> Answer {
    let others = Texts::of(arguments, 1)?;
    text_parts(arguments, rows, |row, text, _| {
        Ok(others.get(row).filter(|other| *other != text).map(|_| Part::Of(0..text.len())))
    })
}
