//! Reads the arguments of calls from columns.

use arrow_array::cast::AsArray;
use arrow_array::{Array, BinaryViewArray, StringViewArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{ArrowError, DataType};
use weir_runtime::batch::{BatchError, Column};
use weir_runtime::expressions::bytes_of;

/// An argument of the type `Text`: a value for each event, or one value for all events.
pub(super) struct Texts<'c> {
    column: &'c Column,
    values: &'c StringViewArray,
}

impl<'c> Texts<'c> {
    /// Returns the argument at this index.
    ///
    /// # Errors
    /// When the argument has another type, or does not exist.
    pub(super) fn of(arguments: &'c [Column], index: usize) -> Result<Texts<'c>, BatchError> {
        let column = argument(arguments, index)?;
        let values = column.values().as_string_view_opt().ok_or_else(|| unexpected(column, "Text"))?;
        Ok(Texts { column, values })
    }

    /// Returns the text of this row; none if it is null.
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
    /// Returns the argument at this index.
    ///
    /// # Errors
    /// When the argument has another type, or does not exist.
    pub(super) fn of(arguments: &'c [Column], index: usize) -> Result<AnyBytes<'c>, BatchError> {
        let column = argument(arguments, index)?;
        let values = column.values();
        let is_text = *values.data_type() == DataType::Utf8View;
        let values = bytes_of(values).ok_or_else(|| unexpected(column, "Text or Bytes"))?;
        Ok(AnyBytes { column, values, is_text })
    }

    /// Returns the bytes of this row; none if they are null.
    pub(super) fn get(&self, row: usize) -> Option<&[u8]> {
        let index = self.column.index(row);
        self.values.is_valid(index).then(|| self.values.value(index))
    }
}

/// Returns the null buffer for these valid rows; none if all are valid.
pub(super) fn nulls(valid: Vec<bool>) -> Option<NullBuffer> {
    Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0)
}

fn argument(arguments: &[Column], index: usize) -> Result<&Column, BatchError> {
    let missing = || ArrowError::InvalidArgumentError(format!("argument {index} is missing")).into();
    arguments.get(index).ok_or_else(missing)
}

fn unexpected(column: &Column, expected: &str) -> BatchError {
    ArrowError::SchemaError(format!("{} where {expected} is expected", column.data_type())).into()
}
