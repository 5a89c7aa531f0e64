//! Reads the arguments of calls from columns.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    DurationMicrosecondType, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{
    Array, ArrowPrimitiveType, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, ListArray,
    PrimitiveArray, StringViewArray,
};
use arrow_schema::{ArrowError, DataType};
use weir_plan::Value;
use weir_runtime::batch::{BatchError, Column};
use weir_runtime::expressions::{Call, bytes_of};

/// An argument of the type `Text`: a value for each event, or one value for all events.
pub(super) struct Texts<'c> {
    column: &'c Column,
    pub(super) values: &'c StringViewArray,
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

    /// Returns the view of this row's text.
    pub(super) fn view(&self, row: usize) -> u128 {
        self.values.views()[self.column.index(row)]
    }
}

/// An argument of the type `Text` or `Bytes`, as bytes.
pub(super) struct AnyBytes<'c> {
    column: &'c Column,
    pub(super) values: BinaryViewArray,
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

    /// Returns the view of this row's bytes.
    pub(super) fn view(&self, row: usize) -> u128 {
        self.values.views()[self.column.index(row)]
    }
}

/// An argument of numbers.
pub(super) struct Numbers<'c, T: ArrowPrimitiveType> {
    column: &'c Column,
    values: &'c PrimitiveArray<T>,
}

/// An argument of the type `Int`.
pub(super) type Ints<'c> = Numbers<'c, Int64Type>;
/// An argument of the type `Float`.
pub(super) type Floats<'c> = Numbers<'c, Float64Type>;
/// An argument of the type `Size`.
pub(super) type Sizes<'c> = Numbers<'c, UInt64Type>;
/// An argument of the type `Time`, in microseconds since 1970.
pub(super) type Times<'c> = Numbers<'c, TimestampMicrosecondType>;
/// An argument of the type `Duration`, in microseconds.
pub(super) type Durations<'c> = Numbers<'c, DurationMicrosecondType>;

impl<'c, T: ArrowPrimitiveType> Numbers<'c, T> {
    /// Returns the argument at this index.
    ///
    /// # Errors
    /// When the argument has another type, or does not exist.
    pub(super) fn of(arguments: &'c [Column], index: usize) -> Result<Numbers<'c, T>, BatchError> {
        let column = argument(arguments, index)?;
        let expected = || unexpected(column, &weir_plan::type_name(&T::DATA_TYPE));
        let values = column.values().as_primitive_opt::<T>().ok_or_else(expected)?;
        Ok(Numbers { column, values })
    }

    /// Returns the number of this row; none if it is null.
    pub(super) fn get(&self, row: usize) -> Option<T::Native> {
        let index = self.column.index(row);
        self.values.is_valid(index).then(|| self.values.value(index))
    }
}

/// An argument of the type `Bool`.
pub(super) struct Truths<'c> {
    column: &'c Column,
    values: &'c BooleanArray,
}

impl<'c> Truths<'c> {
    /// Returns the argument at this index.
    ///
    /// # Errors
    /// When the argument has another type, or does not exist.
    pub(super) fn of(arguments: &'c [Column], index: usize) -> Result<Truths<'c>, BatchError> {
        let column = argument(arguments, index)?;
        let values = column.values().as_boolean_opt().ok_or_else(|| unexpected(column, "Bool"))?;
        Ok(Truths { column, values })
    }

    /// Returns the truth of this row; none if it is null.
    pub(super) fn get(&self, row: usize) -> Option<bool> {
        let index = self.column.index(row);
        self.values.is_valid(index).then(|| self.values.value(index))
    }
}

/// An argument of the type `Ip`: 16 bytes each, an address of version 4 mapped into version 6.
pub(super) struct Addresses<'c> {
    column: &'c Column,
    values: &'c FixedSizeBinaryArray,
}

impl<'c> Addresses<'c> {
    /// Returns the argument at this index.
    ///
    /// # Errors
    /// When the argument has another type, or does not exist.
    pub(super) fn of(arguments: &'c [Column], index: usize) -> Result<Addresses<'c>, BatchError> {
        let column = argument(arguments, index)?;
        let values = column.values().as_fixed_size_binary_opt().ok_or_else(|| unexpected(column, "Ip"))?;
        Ok(Addresses { column, values })
    }

    /// Returns the address of this row; none if it is null.
    pub(super) fn get(&self, row: usize) -> Option<u128> {
        let index = self.column.index(row);
        let bytes = self.values.is_valid(index).then(|| self.values.value(index))?;
        Some(u128::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// An argument that is a list.
pub(super) struct Lists<'c> {
    column: &'c Column,
    pub(super) values: &'c ListArray,
}

impl<'c> Lists<'c> {
    /// Returns the argument at this index.
    ///
    /// # Errors
    /// When the argument has another type, or does not exist.
    pub(super) fn of(arguments: &'c [Column], index: usize) -> Result<Lists<'c>, BatchError> {
        let column = argument(arguments, index)?;
        let values = column.values().as_list_opt().ok_or_else(|| unexpected(column, "a list"))?;
        Ok(Lists { column, values })
    }

    /// Returns the places of this row's items in the values beneath; none if the list is null.
    pub(super) fn get(&self, row: usize) -> Option<std::ops::Range<usize>> {
        let index = self.column.index(row);
        let offsets = self.values.value_offsets();
        self.values.is_valid(index).then(|| offsets[index] as usize..offsets[index + 1] as usize)
    }
}

/// Returns the argument at this index.
///
/// # Errors
/// When it does not exist.
pub(super) fn argument(arguments: &[Column], index: usize) -> Result<&Column, BatchError> {
    let missing = || ArrowError::InvalidArgumentError(format!("argument {index} is missing")).into();
    arguments.get(index).ok_or_else(missing)
}

/// Returns the error of an argument that has another type than in the signature.
pub(super) fn unexpected(column: &Column, expected: &str) -> BatchError {
    ArrowError::SchemaError(format!("{} where {expected} is expected", column.data_type())).into()
}

/// Returns the text of an argument that is a constant by its type, such as a pattern or a zone.
///
/// # Errors
/// When the argument is no constant text.
pub(super) fn constant_text(call: &Call<'_>, index: usize) -> Result<String, String> {
    match call.constant(index) {
        Some(Value::Text(text) | Value::Regex(text)) => Ok(text.clone()),
        _ => Err(format!("its argument {index} is no constant text")),
    }
}
