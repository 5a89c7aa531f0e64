//! Constants of the plan.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{
    ArrayRef, BinaryViewArray, BooleanArray, Decimal128Array, DurationMicrosecondArray, Float64Array,
    Int64Array, Scalar, StringViewArray, TimestampMicrosecondArray, UInt64Array, new_null_array,
};
use arrow_schema::{DataType, TimeUnit};
use weir_plan::Value;

use super::{Evaluate, Evaluated};
use crate::batch::{Batch, BatchError, Column};

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
            (Value::Text(text), DataType::Utf8View) => Arc::new(StringViewArray::from_iter_values([text])),
            (Value::Text(text), DataType::BinaryView) => Arc::new(BinaryViewArray::from_iter_values([text])),
            (Value::Size(bytes), DataType::UInt64) => Arc::new(UInt64Array::from(vec![*bytes])),
            (Value::Duration(duration), DataType::Duration(TimeUnit::Microsecond)) => {
                Arc::new(DurationMicrosecondArray::from(vec![microseconds(*duration)]))
            }
            (Value::NegativeDuration(duration), DataType::Duration(TimeUnit::Microsecond)) => {
                Arc::new(DurationMicrosecondArray::from(vec![-microseconds(*duration)]))
            }
            (Value::Null, data_type) => new_null_array(data_type, 1),
            _ => return None,
        };
        Some(Literal(Column::Constant(Scalar::new(array))))
    }

    /// The constant as a column.
    pub(super) fn into_column(self) -> Column {
        self.0
    }
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Evaluate for Literal {
    fn evaluate(&self, _: &Batch) -> Result<Evaluated, BatchError> {
        Ok(self.0.clone().into())
    }
}
