//! Constants of the plan.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Decimal128Array, DurationMicrosecondArray,
    FixedSizeBinaryArray, Float64Array, Int64Array, ListArray, MapArray, Scalar, StringViewArray,
    StructArray, TimestampMicrosecondArray, UInt64Array, new_empty_array, new_null_array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, TimeUnit};
use arrow_select::concat::concat;
use weir_plan::Value;

use super::{Evaluate, Evaluated, Evaluation};
use crate::batch::{BatchError, Column};

/// A constant, converted to a column once.
pub(super) struct Literal(Column);

impl Literal {
    /// Makes a constant of this type; none if this version does not support the type.
    ///
    /// Times are integers: microseconds since 1970 in UTC.
    pub(super) fn new(value: &Value, data_type: &DataType) -> Option<Literal> {
        let array: ArrayRef = match (value, data_type) {
            (Value::Bool(value), DataType::Boolean) => Arc::new(BooleanArray::from(vec![*value])),
            (Value::Int(value), DataType::Int64) => Arc::new(Int64Array::from(vec![*value])),
            (Value::Int(value), DataType::Timestamp(TimeUnit::Microsecond, Some(zone))) => {
                Arc::new(TimestampMicrosecondArray::from(vec![*value]).with_timezone(zone.clone()))
            }
            (Value::Decimal(value), DataType::Decimal128(digits, scale)) => {
                let array = Decimal128Array::from(vec![value.digits()]);
                Arc::new(array.with_precision_and_scale(*digits, *scale).ok()?)
            }
            (Value::Float(value), DataType::Float64) => Arc::new(Float64Array::from(vec![*value])),
            (Value::Text(text) | Value::Regex(text), DataType::Utf8View) => {
                Arc::new(StringViewArray::from_iter_values([text]))
            }
            (Value::Text(text), DataType::BinaryView) => Arc::new(BinaryViewArray::from_iter_values([text])),
            (Value::Size(bytes), DataType::UInt64) => Arc::new(UInt64Array::from(vec![*bytes])),
            (Value::Duration(duration), DataType::Duration(TimeUnit::Microsecond)) => {
                Arc::new(DurationMicrosecondArray::from(vec![microseconds(*duration)]))
            }
            (Value::NegativeDuration(duration), DataType::Duration(TimeUnit::Microsecond)) => {
                Arc::new(DurationMicrosecondArray::from(vec![-microseconds(*duration)]))
            }
            (Value::Text(text), DataType::FixedSizeBinary(16)) => {
                let address = address(text)?;
                Arc::new(FixedSizeBinaryArray::try_from_iter([address].into_iter()).ok()?)
            }
            // Functions read their secrets when they are prepared, and no column has any.
            (Value::Secret(_), data_type) | (Value::Null, data_type) => new_null_array(data_type, 1),
            (Value::List(items), DataType::List(field)) => {
                let values = values(items, field.data_type())?;
                let offsets = OffsetBuffer::from_lengths([items.len()]);
                Arc::new(ListArray::try_new(field.clone(), offsets, values, None).ok()?)
            }
            (Value::Record(entries), DataType::Map(field, sorted)) => {
                let DataType::Struct(fields) = field.data_type() else { return None };
                let names = Arc::new(StringViewArray::from_iter_values(entries.keys()));
                let items = values(entries.values(), fields.get(1)?.data_type())?;
                let pairs = StructArray::try_new(fields.clone(), vec![names, items], None).ok()?;
                let offsets = OffsetBuffer::from_lengths([entries.len()]);
                Arc::new(MapArray::try_new(field.clone(), offsets, pairs, None, *sorted).ok()?)
            }
            _ => return None,
        };
        Some(Literal(Column::Constant(Scalar::new(array))))
    }

    /// The constant as a column.
    pub(super) fn into_column(self) -> Column {
        self.0
    }
}

/// Returns constants of one type as an array.
fn values<'v>(constants: impl IntoIterator<Item = &'v Value>, data_type: &DataType) -> Option<ArrayRef> {
    let columns = constants.into_iter().map(|value| Some(Literal::new(value, data_type)?.into_column()));
    let columns = columns.collect::<Option<Vec<_>>>()?;
    let arrays: Vec<&dyn Array> = columns.iter().map(Column::values).collect();
    match arrays.is_empty() {
        true => Some(new_empty_array(data_type)),
        false => concat(&arrays).ok(),
    }
}

/// Returns the bytes of an address; one of version 4 is mapped into version 6.
fn address(text: &str) -> Option<[u8; 16]> {
    Some(match text.parse().ok()? {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    })
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Evaluate for Literal {
    fn evaluate(&self, _: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        Ok(self.0.clone().into())
    }
}
