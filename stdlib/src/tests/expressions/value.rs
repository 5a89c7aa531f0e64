//! Values of single events, for the slow evaluator.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Decimal128Array, DurationMicrosecondArray,
    FixedSizeBinaryArray, Float64Array, Int64Array, ListArray, MapArray, StringViewArray, StructArray,
    TimestampMicrosecondArray, UInt64Array, new_empty_array, new_null_array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::DataType;
use weir_plan::{Decimal, Value};

/// A value of one event.
#[derive(Debug, Clone)]
pub(super) enum Single {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Decimal(Decimal),
    Text(String),
    Bytes(Vec<u8>),
    /// Microseconds since 1970.
    Time(i64),
    /// Microseconds.
    Duration(i64),
    Size(u64),
    Ip(Vec<u8>),
    List(Vec<Single>),
    Map(Vec<(String, Single)>),
    Record(Vec<(String, Single)>),
}

impl Single {
    /// Returns the order of two values of one type; none if one is null.
    pub(super) fn compare(&self, other: &Single) -> Option<Ordering> {
        Some(match (self, other) {
            (Single::Bool(left), Single::Bool(right)) => left.cmp(right),
            (Single::Int(left), Single::Int(right)) => left.cmp(right),
            (Single::Float(left), Single::Float(right)) => left.total_cmp(right),
            (Single::Decimal(left), Single::Decimal(right)) => left.cmp(right),
            (Single::Decimal(left), Single::Int(right)) => left.cmp(&Decimal::from(*right)),
            (Single::Int(left), Single::Decimal(right)) => Decimal::from(*left).cmp(right),
            (Single::Text(left), Single::Text(right)) => left.cmp(right),
            (Single::Bytes(left), Single::Bytes(right)) | (Single::Ip(left), Single::Ip(right)) => {
                left.cmp(right)
            }
            (Single::Time(left), Single::Time(right)) | (Single::Duration(left), Single::Duration(right)) => {
                left.cmp(right)
            }
            (Single::Size(left), Single::Size(right)) => left.cmp(right),
            (Single::List(left), Single::List(right)) => {
                let mut pairs = left.iter().zip(right);
                let unequal =
                    pairs.find_map(|(left, right)| left.compare(right).filter(|order| order.is_ne()));
                unequal.unwrap_or_else(|| left.len().cmp(&right.len()))
            }
            _ => return None,
        })
    }

    /// Whether two results are the same: null and null, or equal values.
    pub(super) fn is_same(&self, other: &Single) -> bool {
        match (self, other) {
            (Single::Null, Single::Null) => true,
            (Single::Map(left), Single::Map(right)) | (Single::Record(left), Single::Record(right)) => {
                let same = |(left, right): (&(String, Single), &(String, Single))| {
                    left.0 == right.0 && left.1.is_same(&right.1)
                };
                left.len() == right.len() && left.iter().zip(right).all(same)
            }
            _ => self.compare(other).is_some_and(Ordering::is_eq),
        }
    }

    /// Reads a constant of a plan.
    pub(super) fn of_constant(value: &Value, data_type: &DataType) -> Single {
        let micros = |duration: &std::time::Duration| i64::try_from(duration.as_micros()).unwrap();
        match (value, data_type) {
            (Value::Bool(truth), _) => Single::Bool(*truth),
            (Value::Int(time), DataType::Timestamp(..)) => Single::Time(*time),
            (Value::Int(number), _) => Single::Int(*number),
            (Value::Float(number), _) => Single::Float(*number),
            (Value::Decimal(number), _) => Single::Decimal(*number),
            (Value::Text(text), DataType::BinaryView) => Single::Bytes(text.clone().into_bytes()),
            (Value::Text(text), DataType::FixedSizeBinary(_)) => {
                let address = match text.parse().unwrap() {
                    std::net::IpAddr::V4(address) => address.to_ipv6_mapped(),
                    std::net::IpAddr::V6(address) => address,
                };
                Single::Ip(address.octets().to_vec())
            }
            (Value::Text(text), _) => Single::Text(text.clone()),
            (Value::Size(size), _) => Single::Size(*size),
            (Value::Duration(length), _) => Single::Duration(micros(length)),
            (Value::NegativeDuration(length), _) => Single::Duration(-micros(length)),
            (Value::List(items), DataType::List(field)) => {
                Single::List(items.iter().map(|item| Single::of_constant(item, field.data_type())).collect())
            }
            (Value::Record(entries), DataType::Map(field, _)) => {
                let DataType::Struct(fields) = field.data_type() else { unreachable!("a map has entries") };
                let entry = |(name, value): (&String, &Value)| {
                    (name.clone(), Single::of_constant(value, fields[1].data_type()))
                };
                Single::Map(entries.iter().map(entry).collect())
            }
            _ => Single::Null,
        }
    }

    /// Reads a value of a column.
    pub(super) fn of_array(array: &dyn Array, row: usize) -> Single {
        if array.is_null(row) {
            return Single::Null;
        }
        match array.data_type() {
            DataType::Boolean => Single::Bool(array.as_boolean().value(row)),
            DataType::Int64 => Single::Int(array.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Single::Float(array.as_primitive::<Float64Type>().value(row)),
            DataType::UInt64 => Single::Size(array.as_primitive::<UInt64Type>().value(row)),
            DataType::Timestamp(..) => {
                Single::Time(array.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            DataType::Duration(_) => {
                Single::Duration(array.as_primitive::<DurationMicrosecondType>().value(row))
            }
            DataType::Decimal128(_, scale) => {
                let digits = array.as_primitive::<Decimal128Type>().value(row);
                Single::Decimal(Decimal::new(digits, scale.unsigned_abs()).unwrap())
            }
            DataType::Utf8View => Single::Text(array.as_string_view().value(row).to_owned()),
            DataType::BinaryView => Single::Bytes(array.as_binary_view().value(row).to_vec()),
            DataType::FixedSizeBinary(_) => Single::Ip(array.as_fixed_size_binary().value(row).to_vec()),
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                Single::List((0..items.len()).map(|item| Single::of_array(items.as_ref(), item)).collect())
            }
            DataType::Map(..) => {
                let entries = array.as_map().value(row);
                let name = |entry| entries.column(0).as_string_view().value(entry).to_owned();
                let value = |entry| Single::of_array(entries.column(1).as_ref(), entry);
                Single::Map((0..entries.len()).map(|entry| (name(entry), value(entry))).collect())
            }
            DataType::Struct(fields) => {
                let record = array.as_struct();
                let field = |(index, field): (usize, &Arc<arrow_schema::Field>)| {
                    (field.name().clone(), Single::of_array(record.column(index).as_ref(), row))
                };
                Single::Record(fields.iter().enumerate().map(field).collect())
            }
            other => unreachable!("no value has the type {other}"),
        }
    }
}

/// Makes a column of values.
pub(super) fn array_of(values: &[Single], data_type: &DataType) -> ArrayRef {
    macro_rules! column {
        ($array:ty, $single:path) => {
            Arc::new(
                values
                    .iter()
                    .map(|value| match value {
                        $single(value) => Some(value.clone()),
                        _ => None,
                    })
                    .collect::<$array>(),
            )
        };
    }
    match data_type {
        DataType::Boolean => column!(BooleanArray, Single::Bool),
        DataType::Int64 => column!(Int64Array, Single::Int),
        DataType::Float64 => column!(Float64Array, Single::Float),
        DataType::UInt64 => column!(UInt64Array, Single::Size),
        DataType::Duration(_) => column!(DurationMicrosecondArray, Single::Duration),
        DataType::Utf8View => column!(StringViewArray, Single::Text),
        DataType::BinaryView => column!(BinaryViewArray, Single::Bytes),
        DataType::Timestamp(..) => {
            let times = values.iter().map(|value| match value {
                Single::Time(time) => Some(*time),
                _ => None,
            });
            Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        DataType::Decimal128(digits, scale) => {
            let numbers = values.iter().map(|value| match value {
                Single::Decimal(number) => Some(number.digits()),
                _ => None,
            });
            let numbers = numbers.collect::<Decimal128Array>();
            Arc::new(numbers.with_precision_and_scale(*digits, *scale).unwrap())
        }
        DataType::FixedSizeBinary(width) => {
            let addresses = values.iter().map(|value| match value {
                Single::Ip(address) => Some(address.clone()),
                _ => None,
            });
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(addresses, *width).unwrap())
        }
        _ => nested_of(values, data_type),
    }
}

fn nested_of(values: &[Single], data_type: &DataType) -> ArrayRef {
    let valid: Vec<bool> = values.iter().map(|value| !matches!(value, Single::Null)).collect();
    let nulls = Some(arrow_buffer::NullBuffer::from(valid));
    match data_type {
        DataType::List(field) => {
            let lists = values.iter().map(|value| match value {
                Single::List(items) => items.clone(),
                _ => Vec::new(),
            });
            let lists: Vec<Vec<Single>> = lists.collect();
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
            let items = match lists.iter().all(Vec::is_empty) {
                true => new_empty_array(field.data_type()),
                false => array_of(&lists.concat(), field.data_type()),
            };
            Arc::new(ListArray::try_new(field.clone(), offsets, items, nulls).unwrap())
        }
        DataType::Map(field, sorted) => {
            let DataType::Struct(fields) = field.data_type() else { unreachable!("a map has entries") };
            let entries = |value: &Single| match value {
                Single::Map(entries) => entries.clone(),
                _ => Vec::new(),
            };
            let maps: Vec<Vec<(String, Single)>> = values.iter().map(entries).collect();
            let offsets = OffsetBuffer::from_lengths(maps.iter().map(Vec::len));
            let (names, items): (Vec<String>, Vec<Single>) = maps.into_iter().flatten().unzip();
            let names = Arc::new(StringViewArray::from_iter_values(names));
            let items = array_of(&items, fields[1].data_type());
            let pairs = StructArray::try_new(fields.clone(), vec![names, items], None).unwrap();
            Arc::new(MapArray::try_new(field.clone(), offsets, pairs, nulls, *sorted).unwrap())
        }
        other => new_null_array(other, values.len()),
    }
}
