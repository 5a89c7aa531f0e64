//! Values as Arrow arrays: the columns of the events that tests send.

use std::sync::Arc;

use arrow_array::builder::{BinaryViewBuilder, FixedSizeBinaryBuilder, StringViewBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, DurationMicrosecondArray, Float64Array, Int64Array, ListArray,
    MapArray, StructArray, TimestampMicrosecondArray, UInt64Array, new_null_array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, TimeUnit};
use weir_plan::{Decimal, DecimalType, Value, read_time};

/// Makes an array of these values.
///
/// # Errors
/// When a value does not have the type, in words.
pub(crate) fn array(values: &[&Value], data_type: &DataType) -> Result<ArrayRef, String> {
    Ok(match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from(each(values, boolean, data_type)?)),
        DataType::Int64 => Arc::new(Int64Array::from(each(values, integer, data_type)?)),
        DataType::Float64 => Arc::new(Float64Array::from(each(values, float, data_type)?)),
        DataType::UInt64 => Arc::new(UInt64Array::from(each(values, size, data_type)?)),
        DataType::Decimal128(digits, scale) => {
            let wanted = DecimalType { digits: *digits, scale: u8::try_from(*scale).unwrap_or_default() };
            let read = |value: &Value| decimal(value)?.of_type(wanted).map(Decimal::digits);
            let numbers = Decimal128Array::from(each(values, read, data_type)?);
            let numbers = numbers.with_precision_and_scale(*digits, *scale);
            Arc::new(numbers.map_err(|error| error.to_string())?)
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let times = TimestampMicrosecondArray::from(each(values, time, data_type)?);
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            Arc::new(DurationMicrosecondArray::from(each(values, duration, data_type)?))
        }
        DataType::Utf8View => {
            let mut builder = StringViewBuilder::new();
            each(values, text, data_type)?.into_iter().for_each(|value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        DataType::BinaryView => {
            let mut builder = BinaryViewBuilder::new();
            each(values, text, data_type)?.into_iter().for_each(|value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        DataType::FixedSizeBinary(16) => {
            let mut builder = FixedSizeBinaryBuilder::new(16);
            for address in each(values, address, data_type)? {
                match address {
                    Some(bytes) => builder.append_value(bytes).map_err(|error| error.to_string())?,
                    None => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }
        DataType::List(_) | DataType::Map(..) | DataType::Struct(_) => nested(values, data_type)?,
        DataType::Null => new_null_array(data_type, values.len()),
        other => return Err(format!("a value of the type {other}")),
    })
}

fn nested(values: &[&Value], data_type: &DataType) -> Result<ArrayRef, String> {
    let nulls = NullBuffer::from_iter(values.iter().map(|value| **value != Value::Null));
    let failed = |error: arrow_schema::ArrowError| error.to_string();
    Ok(match data_type {
        DataType::List(field) => {
            let lists = each(values, list, data_type)?;
            let lengths = lists.iter().map(|list| list.map_or(0, <[Value]>::len));
            let offsets = OffsetBuffer::from_lengths(lengths);
            let items: Vec<&Value> = lists.iter().flatten().flat_map(|list| list.iter()).collect();
            let items = array(&items, field.data_type())?;
            Arc::new(ListArray::try_new(field.clone(), offsets, items, Some(nulls)).map_err(failed)?)
        }
        DataType::Map(field, sorted) => {
            let maps = each(values, record, data_type)?;
            let offsets = OffsetBuffer::from_lengths(maps.iter().map(|map| map.map_or(0, |map| map.len())));
            let DataType::Struct(fields) = field.data_type() else { return Err("a map".to_owned()) };
            let [key, value] = &fields[..] else { return Err("a map".to_owned()) };
            let entries = || maps.iter().flatten().flat_map(|map| map.iter());
            let names: Vec<Value> = entries().map(|(name, _)| Value::Text(name.clone())).collect();
            let names = array(&names.iter().collect::<Vec<_>>(), key.data_type())?;
            let items = array(&entries().map(|(_, value)| value).collect::<Vec<_>>(), value.data_type())?;
            let entries = StructArray::try_new(fields.clone(), vec![names, items], None).map_err(failed)?;
            Arc::new(
                MapArray::try_new(field.clone(), offsets, entries, Some(nulls), *sorted).map_err(failed)?,
            )
        }
        DataType::Struct(fields) => {
            let records = each(values, record, data_type)?;
            let columns = fields.iter().map(|field| {
                let parts = records.iter().map(|record| record.and_then(|record| record.get(field.name())));
                let parts: Vec<&Value> = parts.map(|part| part.unwrap_or(&Value::Null)).collect();
                array(&parts, field.data_type())
            });
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, Some(nulls)).map_err(failed)?)
        }
        other => return Err(format!("a value of the type {other}")),
    })
}

/// Reads each value; nulls stay nulls.
fn each<'v, T>(
    values: &[&'v Value],
    read: impl Fn(&'v Value) -> Option<T>,
    data_type: &DataType,
) -> Result<Vec<Option<T>>, String> {
    let read = |value: &&'v Value| match value {
        Value::Null => Ok(None),
        value => {
            read(value).map(Some).ok_or_else(|| format!("{value} is no {}", weir_plan::type_name(data_type)))
        }
    };
    values.iter().map(read).collect()
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        Value::Decimal(value) => value.to_whole().and_then(|whole| i64::try_from(whole).ok()),
        _ => None,
    }
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        value => decimal(value).map(Decimal::to_float),
    }
}

fn size(value: &Value) -> Option<u64> {
    match value {
        Value::Size(value) => Some(*value),
        _ => None,
    }
}

/// Reads an exact number.
pub(crate) fn decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::Decimal(value) => Some(*value),
        Value::Int(value) => Decimal::new(i128::from(*value), 0),
        Value::Float(value) => Decimal::from_float(*value),
        _ => None,
    }
}

/// Reads a time as microseconds since 1970.
pub(crate) fn time(value: &Value) -> Option<i64> {
    match value {
        Value::Text(text) => read_time(text),
        _ => None,
    }
}

/// Reads a duration as microseconds.
pub(crate) fn duration(value: &Value) -> Option<i64> {
    let microseconds = |duration: &std::time::Duration| i64::try_from(duration.as_micros()).ok();
    match value {
        Value::Duration(duration) => microseconds(duration),
        Value::NegativeDuration(duration) => microseconds(duration).map(|length| -length),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Reads an IP address as the 16 bytes of an IPv6 address.
pub(crate) fn address(value: &Value) -> Option<[u8; 16]> {
    match text(value)?.parse().ok()? {
        std::net::IpAddr::V4(address) => Some(address.to_ipv6_mapped().octets()),
        std::net::IpAddr::V6(address) => Some(address.octets()),
    }
}

fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::List(items) => Some(items),
        _ => None,
    }
}

fn record(value: &Value) -> Option<&std::collections::BTreeMap<String, Value>> {
    match value {
        Value::Record(entries) => Some(entries),
        _ => None,
    }
}
