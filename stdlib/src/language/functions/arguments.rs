//! The arguments of calls, as the Rust of functions reads them.

use arrow_array::cast::AsArray;
use arrow_array::{Array, BinaryViewArray, StringViewArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{ArrowError, DataType};
use weir_runtime::batch::{BatchError, Column};

/// An argument of the type `Text`: a value for each event, or one for all.
pub(super) struct Texts<'c> {
    column: &'c Column,
    values: &'c StringViewArray,
}

impl<'c> Texts<'c> {
    /// # Errors
    /// When the argument has another type, or is not there.
    pub(super) fn of(arguments: &'c [Column], place: usize) -> Result<Texts<'c>, BatchError> {
        let column = argument(arguments, place)?;
        let values = column.values().as_string_view_opt().ok_or_else(|| unexpected(column, "Text"))?;
        Ok(Texts { column, values })
    }

    /// The text of this row; none if it is null.
    pub(super) fn get(&self, row: usize) -> Option<&'c str> {
        let index = self.column.index(row);
        self.values.is_valid(index).then(|| self.values.value(index))
    }
}

/// An argument of the type `Text` or `Bytes`, as bytes.
pub(super) struct AnyBytes<'c> {
    column: &'c Column,
    values: BinaryViewArray,
    /// Whether the bytes are text.
    pub(super) is_text: bool,
}

impl<'c> AnyBytes<'c> {
    /// # Errors
    /// When the argument has another type, or is not there.
    pub(super) fn of(arguments: &'c [Column], place: usize) -> Result<AnyBytes<'c>, BatchError> {
        let column = argument(arguments, place)?;
        let values = column.values();
        let (values, is_text) = match values.data_type() {
            // The views are shared, nothing is copied.
            DataType::Utf8View => (values.as_string_view().clone().to_binary_view(), true),
            DataType::BinaryView => (values.as_binary_view().clone(), false),
            _ => return Err(unexpected(column, "Text or Bytes")),
        };
        Ok(AnyBytes { column, values, is_text })
    }

    /// The bytes of this row; none if they are null.
    pub(super) fn get(&self, row: usize) -> Option<&[u8]> {
        let index = self.column.index(row);
        self.values.is_valid(index).then(|| self.values.value(index))
    }
}

/// The nulls of the results of a function that gives null for null alone.
pub(super) fn nulls(valid: Vec<bool>) -> Option<NullBuffer> {
    Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0)
}

fn argument(arguments: &[Column], place: usize) -> Result<&Column, BatchError> {
    let missing = || ArrowError::InvalidArgumentError(format!("argument {place} is missing")).into();
    arguments.get(place).ok_or_else(missing)
}

fn unexpected(column: &Column, expected: &str) -> BatchError {
    ArrowError::SchemaError(format!("{} where {expected} is expected", column.data_type())).into()
}
