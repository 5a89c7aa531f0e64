//! Fingerprints of values: 128 bits that stand for a value of any type.
//!
//! With 128 bits (XXH3) two different values do not meet: among a million remembered values, one of 10^26 further values
//! has the fingerprint of another.

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, MapArray};
use arrow_schema::{ArrowError, DataType};
use xxhash_rust::xxh3::xxh3_128;

use crate::batch::BatchError;

/// The fingerprint of a value.
pub(super) type Fingerprint = u128;

/// Calls `each` with the fingerprint of each value, in order. Values that `==` finds equal have the same
/// fingerprint.
///
/// # Errors
/// When a type has no fingerprint.
pub(super) fn for_each_fingerprint(
    values: &dyn Array,
    mut each: impl FnMut(Fingerprint),
) -> Result<(), BatchError> {
    match values.data_type() {
        DataType::Utf8View => {
            let texts = values.as_string_view();
            (0..texts.len()).for_each(|row| each(xxh3_128(texts.value(row).as_bytes())));
        }
        DataType::BinaryView => {
            let bytes = values.as_binary_view();
            (0..bytes.len()).for_each(|row| each(xxh3_128(bytes.value(row))));
        }
        _ => {
            let mut bytes = Vec::new();
            for row in 0..values.len() {
                bytes.clear();
                append(values, row, &mut bytes)?;
                each(xxh3_128(&bytes));
            }
        }
    }
    Ok(())
}

/// Appends bytes that determine a value. Values of one type that begin with equal bytes are equal. The bytes decide the branch
/// of a key of `balance by`, also after a restart, so they must not change between versions.
fn append(values: &dyn Array, row: usize, to: &mut Vec<u8>) -> Result<(), ArrowError> {
    to.push(u8::from(values.is_valid(row)));
    if values.is_null(row) {
        return Ok(());
    }
    match values.data_type() {
        DataType::Utf8View => append_sized(values.as_string_view().value(row).as_bytes(), to),
        DataType::BinaryView => append_sized(values.as_binary_view().value(row), to),
        DataType::Boolean => to.push(u8::from(values.as_boolean().value(row))),
        DataType::Float64 => {
            let number = values.as_primitive::<Float64Type>().value(row);
            // Numbers that compare as equal have the same bytes: 0 and -0, and all NaN.
            let canonical = if number.is_nan() { f64::NAN } else { number + 0.0 };
            to.extend_from_slice(&canonical.to_le_bytes());
        }
        DataType::FixedSizeBinary(_) => to.extend_from_slice(values.as_fixed_size_binary().value(row)),
        DataType::List(_) => {
            let items = values.as_list::<i32>().value(row);
            to.extend_from_slice(&items.len().to_le_bytes());
            (0..items.len()).try_for_each(|item| append(&items, item, to))?;
        }
        DataType::Struct(_) => {
            values.as_struct().columns().iter().try_for_each(|column| append(column, row, to))?;
        }
        DataType::Map(..) => append_map(values.as_map(), row, to)?,
        other => match other.primitive_width() {
            Some(width) => {
                let data = values.to_data();
                let begin = (data.offset() + row) * width;
                to.extend_from_slice(&data.buffers()[0].as_slice()[begin..begin + width]);
            }
            None => return Err(ArrowError::NotYetImplemented(format!("fingerprints of {other}"))),
        },
    }
    Ok(())
}

fn append_sized(bytes: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(&bytes.len().to_le_bytes());
    to.extend_from_slice(bytes);
}

/// Appends the entries of a map, ordered by their bytes, since the order of entries is no part of the value.
fn append_map(maps: &MapArray, row: usize, to: &mut Vec<u8>) -> Result<(), ArrowError> {
    let entries = maps.value(row);
    let mut each = Vec::with_capacity(entries.len());
    for entry in 0..entries.len() {
        let mut bytes = Vec::new();
        append(&entries, entry, &mut bytes)?;
        each.push(bytes);
    }
    each.sort_unstable();
    to.extend_from_slice(&each.len().to_le_bytes());
    each.iter().for_each(|bytes| to.extend_from_slice(bytes));
    Ok(())
}
