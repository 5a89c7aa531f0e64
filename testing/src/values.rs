//! The values of events: read from Arrow arrays, compared with what a test expects, and shown.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_schema::DataType;
use weir_plan::{Decimal, Value, time_text};

use crate::arrays;

/// Reads the value of a row. A type that no event has gives null.
pub(crate) fn value(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::UInt64 => Value::Size(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            let digits = array.as_primitive::<Decimal128Type>().value(row);
            let number = Decimal::new(digits, u8::try_from(*scale).unwrap_or_default());
            number.map_or(Value::Null, Value::Decimal)
        }
        DataType::Timestamp(..) => {
            let time = array.as_primitive::<TimestampMicrosecondType>().value(row);
            Value::Text(time_text(time).unwrap_or_else(|| time.to_string()))
        }
        DataType::Duration(_) => {
            let microseconds = array.as_primitive::<DurationMicrosecondType>().value(row);
            let length = Duration::from_micros(microseconds.unsigned_abs());
            if microseconds < 0 { Value::NegativeDuration(length) } else { Value::Duration(length) }
        }
        DataType::Utf8View => Value::Text(array.as_string_view().value(row).to_owned()),
        DataType::BinaryView => {
            Value::Text(String::from_utf8_lossy(array.as_binary_view().value(row)).into_owned())
        }
        DataType::FixedSizeBinary(16) => {
            let bytes = <[u8; 16]>::try_from(array.as_fixed_size_binary().value(row)).unwrap_or_default();
            let address = Ipv6Addr::from(bytes);
            let address = address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4);
            Value::Text(address.to_string())
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::List((0..items.len()).map(|row| value(&items, row)).collect())
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (names, values) = (entries.column(0), entries.column(1));
            let entry = |row| match value(names, row) {
                Value::Text(name) => Some((name, value(values, row))),
                _ => None,
            };
            Value::Record((0..entries.len()).filter_map(entry).collect())
        }
        DataType::Struct(fields) => {
            let record = array.as_struct();
            let parts = fields.iter().zip(record.columns());
            Value::Record(parts.map(|(field, part)| (field.name().clone(), value(part, row))).collect())
        }
        _ => Value::Null,
    }
}

/// Returns whether a value of this type is what a test expects. Parts of records that the test leaves out are not compared.
pub(crate) fn is_expected(expected: &Value, found: &Value, data_type: &DataType) -> bool {
    match (expected, found, data_type) {
        (Value::Null, Value::Null, _) => true,
        (Value::Null, ..) | (_, Value::Null, _) => false,
        (_, _, DataType::Timestamp(..)) => arrays::time(expected) == arrays::time(found),
        (Value::Duration(_) | Value::NegativeDuration(_), _, DataType::Duration(_)) => {
            arrays::duration(expected) == arrays::duration(found)
        }
        (_, _, DataType::FixedSizeBinary(16)) => arrays::address(expected) == arrays::address(found),
        (_, _, DataType::Decimal128(..)) => are_equal(expected, found),
        (Value::List(expected), Value::List(found), DataType::List(field)) => {
            let mut pairs = expected.iter().zip(found);
            expected.len() == found.len()
                && pairs.all(|(expected, found)| is_expected(expected, found, field.data_type()))
        }
        (Value::Record(expected), Value::Record(found), DataType::Struct(fields)) => {
            expected.iter().all(|(name, expected)| {
                let field = fields.iter().find(|field| field.name() == name);
                let found = found.get(name);
                field.zip(found).is_some_and(|(field, found)| is_expected(expected, found, field.data_type()))
            })
        }
        (Value::Record(_) | Value::List(_), Value::Text(text), DataType::Utf8View | DataType::BinaryView) => {
            serde_json::from_str(text).is_ok_and(|document| contains(&document, expected))
        }
        // A file of expected events has these values as texts.
        (Value::Text(text), Value::Duration(_) | Value::NegativeDuration(_) | Value::Size(_), _) => {
            *text == found.to_string()
        }
        _ => are_equal(expected, found),
    }
}

/// Returns whether two values are equal; numbers of different types are compared by their values.
fn are_equal(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Record(expected), Value::Record(found)) => {
            let has = |(name, expected): (&String, &Value)| {
                found.get(name).is_some_and(|found| are_equal(expected, found))
            };
            expected.len() == found.len() && expected.iter().all(has)
        }
        (Value::Float(expected), Value::Float(found)) => {
            expected == found || (expected.is_nan() && found.is_nan())
        }
        _ if expected == found => true,
        _ => match (arrays::decimal(expected), arrays::decimal(found)) {
            (Some(left), Some(right)) => match (expected, found) {
                (Value::Float(_), _) | (_, Value::Float(_)) => left.to_float() == right.to_float(),
                _ => left == right,
            },
            _ => false,
        },
    }
}

/// Returns whether a JSON document has the members that a test expects. Members that the test leaves out are not compared.
pub(crate) fn contains(document: &serde_json::Value, expected: &Value) -> bool {
    match (document, expected) {
        (serde_json::Value::Object(members), Value::Record(expected)) => {
            let has = |(name, expected): (&String, &Value)| {
                members.get(name).is_some_and(|member| contains(member, expected))
            };
            expected.iter().all(has)
        }
        (serde_json::Value::Array(items), Value::List(expected)) => {
            items.len() == expected.len()
                && items.iter().zip(expected).all(|(item, expected)| contains(item, expected))
        }
        (serde_json::Value::Number(number), expected) => {
            arrays::decimal(expected).is_some_and(|expected| number.as_f64() == Some(expected.to_float()))
        }
        (document, expected) => *document == expected.to_json(),
    }
}

/// Reads a JSON document as a value.
pub(crate) fn of_json(document: &serde_json::Value) -> Value {
    match document {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(of_json).collect()),
        serde_json::Value::Object(members) => {
            let members = members.iter().map(|(name, member)| (name.clone(), of_json(member)));
            Value::Record(members.collect::<BTreeMap<_, _>>())
        }
    }
}
