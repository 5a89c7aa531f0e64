//! Checks the types of constants.

use arrow_schema::{DataType, TimeUnit};

use crate::{DecimalType, Value};

/// Returns whether a value is a constant of this type. `nullable` allows null.
pub(super) fn fits(value: &Value, data_type: &DataType, nullable: bool) -> bool {
    match (value, data_type) {
        (Value::Null, _) => nullable,
        (Value::Bool(_), DataType::Boolean)
        | (Value::Int(_), DataType::Int64 | DataType::Timestamp(..))
        | (Value::Text(_), DataType::Utf8View | DataType::BinaryView)
        | (Value::Regex(_), DataType::Utf8View)
        | (Value::Secret(_), DataType::Utf8View)
        | (Value::Size(_), DataType::UInt64) => true,
        (Value::Float(number), DataType::Float64) => number.is_finite(),
        (Value::Text(text), DataType::FixedSizeBinary(16)) => text.parse::<std::net::IpAddr>().is_ok(),
        (Value::Decimal(number), DataType::Decimal128(digits, scale)) => u8::try_from(*scale)
            .ok()
            .and_then(|scale| number.of_type(DecimalType { digits: *digits, scale }))
            .is_some_and(|fitting| fitting.scale() == number.scale()),
        (
            Value::Duration(duration) | Value::NegativeDuration(duration),
            DataType::Duration(TimeUnit::Microsecond),
        ) => i64::try_from(duration.as_micros()).is_ok(),
        (Value::List(values), DataType::List(item)) => {
            values.iter().all(|value| fits(value, item.data_type(), item.is_nullable()))
        }
        (Value::Record(values), DataType::Map(entries, _)) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                values.values().all(|value| fits(value, fields[1].data_type(), fields[1].is_nullable()))
            }
            _ => false,
        },
        (Value::Record(values), DataType::Struct(fields)) => fields.iter().all(|field| {
            let value = values.get(field.name()).unwrap_or(&Value::Null);
            fits(value, field.data_type(), field.is_nullable())
        }),
        _ => false,
    }
}

/// Returns whether a value is a finite, positive rate.
pub(super) fn is_rate(value: &Value) -> bool {
    matches!(value, Value::EventRate(rate) | Value::ByteRate(rate) if rate.is_finite() && *rate > 0.0)
}
