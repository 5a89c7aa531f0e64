//! Fits values of events into the types of a given Avro schema.

use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, DictionaryArray, Int32Array, ListArray, MapArray, PrimitiveArray,
    StringArray, StructArray,
};
use arrow_avro::schema::AVRO_ENUM_SYMBOLS_METADATA_KEY;
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};

/// The microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Returns the field of an Avro schema with the type in which arrow-avro encodes values of the type `from`; without it, values
/// that are always null.
///
/// # Errors
/// When values of this type are none of the schema's.
pub(super) fn fitted_field(target: &Field, from: Option<&DataType>) -> Result<Field, String> {
    let name = target.name();
    let Some(from) = from else {
        return match target.is_nullable() {
            true => Ok(target.clone()),
            false => Err(format!("its field `{name}` may not be null, and the events have no such field")),
        };
    };
    let kind = fitted_type(target, from)?;
    Ok(Field::new(name, kind, target.is_nullable()).with_metadata(target.metadata().clone()))
}

fn fitted_type(target: &Field, from: &DataType) -> Result<DataType, String> {
    use DataType::{
        Binary, BinaryView, Date32, Decimal128, Dictionary, Duration, FixedSizeBinary, Float32, Float64,
        Int32, Int64, List, Map, Struct, Timestamp, UInt64, Utf8, Utf8View,
    };
    let to = target.data_type();
    Ok(match (from, to) {
        (from, to) if from == to => from.clone(),
        (Int64, Int32) | (Float64, Float32) | (Timestamp(..), Date32) => to.clone(),
        (Int64, Float64) => Float64,
        (Int64 | UInt64 | Duration(TimeUnit::Microsecond), Int64) => from.clone(),
        (Timestamp(..), Timestamp(unit, _)) if *unit != TimeUnit::Second => to.clone(),
        (Utf8View, Utf8) | (BinaryView, Utf8) => Utf8View,
        (BinaryView, Binary) => BinaryView,
        (BinaryView, FixedSizeBinary(_)) => to.clone(),
        (Utf8View, Dictionary(..)) if symbols(target).is_some() => to.clone(),
        (Decimal128(_, from), Decimal128(_, scale)) if from == scale => to.clone(),
        (List(from), List(item)) => List(nested(item, from.data_type())?),
        (Struct(from), Struct(fields)) => {
            let lacks = |field: &FieldRef| !fields.iter().any(|other| other.name() == field.name());
            if let Some(field) = from.iter().find(|field| lacks(field)) {
                return Err(format!("the record `{}` has no field `{}` in it", target.name(), field.name()));
            }
            let fitted = fields.iter().map(|field| {
                let from = from.iter().find(|from| from.name() == field.name());
                fitted_field(field, from.map(|from| from.data_type())).map(Arc::new)
            });
            Struct(fitted.collect::<Result<_, _>>()?)
        }
        (Map(from, sorted), Map(entries, _)) => {
            let (Struct(from), Struct(fields)) = (from.data_type(), entries.data_type()) else {
                return Err(misfit(target, from.data_type()));
            };
            let value = nested(&fields[1], from[1].data_type())?;
            let pair = Struct([from[0].clone(), value].into_iter().collect());
            Map(Arc::new(Field::new(entries.name(), pair, false)), *sorted)
        }
        (from, _) => return Err(misfit(target, from)),
    })
}

fn nested(target: &FieldRef, from: &DataType) -> Result<FieldRef, String> {
    Ok(Arc::new(fitted_field(target, Some(from))?))
}

fn misfit(target: &Field, from: &DataType) -> String {
    let (name, from) = (target.name(), weir_plan::type_name(from));
    format!("the type of its field `{name}` has no values of the events' type {from}")
}

/// Returns the symbols of a field that is an enum.
fn symbols(field: &Field) -> Option<Vec<String>> {
    serde_json::from_str(field.metadata().get(AVRO_ENUM_SYMBOLS_METADATA_KEY)?).ok()
}

/// Converts values to the type of a field of [`fitted_field`].
///
/// # Errors
/// When a value does not fit. The message names the field, and quotes no value.
pub(super) fn fitted(field: &Field, array: &ArrayRef) -> Result<ArrayRef, String> {
    let name = field.name();
    let too_large = |what: &str| format!("`{name}` is beyond the range of {what} in the Avro schema");
    let nulls = array.nulls().cloned();
    if !field.is_nullable() && array.null_count() > 0 {
        return Err(format!("`{name}` is null, and may not be in the Avro schema"));
    }
    Ok(match (array.data_type(), field.data_type()) {
        (from, to) if from == to => array.clone(),
        (DataType::Int64, DataType::Int32) => {
            let fit = |value| i32::try_from(value).map_err(|_| too_large("an int"));
            Arc::new(converted::<Int64Type, Int32Type>(array, fit)?)
        }
        (DataType::Int64, DataType::Float64) => {
            Arc::new(converted::<Int64Type, Float64Type>(array, |value| Ok(value as f64))?)
        }
        (DataType::Float64, DataType::Float32) => {
            Arc::new(converted::<Float64Type, Float32Type>(array, |value| Ok(value as f32))?)
        }
        (DataType::Timestamp(..), DataType::Date32) => {
            let fit = |value: i64| i32::try_from(value.div_euclid(DAY)).map_err(|_| too_large("a date"));
            Arc::new(converted::<TimestampMicrosecondType, Date32Type>(array, fit)?)
        }
        (DataType::Timestamp(..), DataType::Timestamp(unit, zone)) => {
            fitted_times(name, array, *unit, zone.clone())?
        }
        (DataType::BinaryView, DataType::Utf8View) => {
            let text = array.as_binary_view().clone().to_string_view();
            Arc::new(text.map_err(|_| format!("`{name}` is not UTF-8, and a string in the Avro schema"))?)
        }
        (DataType::BinaryView, DataType::FixedSizeBinary(size)) => fixed(field, array, *size)?,
        (DataType::Utf8View, DataType::Dictionary(..)) => enumerated(field, array)?,
        (DataType::Decimal128(..), DataType::Decimal128(digits, scale)) => {
            let numbers = array.as_primitive::<arrow_array::types::Decimal128Type>();
            numbers.validate_decimal_precision(*digits).map_err(|_| too_large("its digits"))?;
            let numbers = numbers.clone().with_precision_and_scale(*digits, *scale);
            Arc::new(numbers.map_err(|_| too_large("its digits"))?)
        }
        (DataType::List(_), DataType::List(item)) => {
            let lists = array.as_list::<i32>();
            let values = fitted(item, lists.values())?;
            let lists = ListArray::try_new(item.clone(), lists.offsets().clone(), values, nulls);
            Arc::new(lists.map_err(|_| unfit(name))?)
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let records = array.as_struct();
            // The fields of a null record are null too, so only nulls within records are checked below.
            let columns = fields.iter().map(|field| match records.column_by_name(field.name()) {
                Some(column) => fitted(&field.as_ref().clone().with_nullable(true), column),
                None => Ok(arrow_array::new_null_array(field.data_type(), array.len())),
            });
            let columns = columns.collect::<Result<_, String>>()?;
            let records = StructArray::try_new(fields.clone(), columns, nulls);
            Arc::new(records.map_err(|_| unfit(name))?)
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let maps = array.as_map();
            let DataType::Struct(fields) = entries.data_type() else { return Err(unfit(name)) };
            let values = fitted(&fields[1], maps.values())?;
            let pairs = StructArray::try_new(fields.clone(), vec![maps.keys().clone(), values], None);
            let pairs = pairs.map_err(|_| unfit(name))?;
            let maps = MapArray::try_new(entries.clone(), maps.offsets().clone(), pairs, nulls, *sorted);
            Arc::new(maps.map_err(|_| unfit(name))?)
        }
        _ => return Err(unfit(name)),
    })
}

/// Converts times to another unit.
fn fitted_times(
    name: &str,
    array: &dyn Array,
    unit: TimeUnit,
    zone: Option<Arc<str>>,
) -> Result<ArrayRef, String> {
    Ok(match unit {
        TimeUnit::Millisecond => {
            let convert = |value: i64| Ok(value.div_euclid(1_000));
            let times = converted::<TimestampMicrosecondType, TimestampMillisecondType>(array, convert)?;
            Arc::new(times.with_timezone_opt(zone))
        }
        TimeUnit::Nanosecond => {
            let too_large = || format!("`{name}` is beyond the range of nanoseconds in the Avro schema");
            let convert = |value: i64| value.checked_mul(1_000).ok_or_else(too_large);
            let times = converted::<TimestampMicrosecondType, TimestampNanosecondType>(array, convert)?;
            Arc::new(times.with_timezone_opt(zone))
        }
        _ => Arc::new(array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(zone)),
    })
}

fn unfit(name: &str) -> String {
    format!("`{name}` does not fit the Avro schema")
}

fn converted<From: ArrowPrimitiveType, To: ArrowPrimitiveType>(
    array: &dyn Array,
    convert: impl Fn(From::Native) -> Result<To::Native, String>,
) -> Result<PrimitiveArray<To>, String> {
    array.as_primitive::<From>().try_unary(convert)
}

fn fixed(field: &Field, array: &dyn Array, size: i32) -> Result<ArrayRef, String> {
    let values = array.as_binary_view();
    let mut fixed = FixedSizeBinaryBuilder::with_capacity(values.len(), size);
    for value in values {
        match value {
            Some(value) => fixed.append_value(value).map_err(|_| {
                format!("`{}` does not have the {size} bytes of a fixed in the Avro schema", field.name())
            })?,
            None => fixed.append_null(),
        }
    }
    Ok(Arc::new(fixed.finish()))
}

fn enumerated(field: &Field, array: &dyn Array) -> Result<ArrayRef, String> {
    let symbols = symbols(field).ok_or_else(|| unfit(field.name()))?;
    let numbers: std::collections::HashMap<&str, i32> = symbols.iter().map(String::as_str).zip(0..).collect();
    let keys = array.as_string_view().iter().map(|text| {
        let number = text.map(|text| numbers.get(text).copied());
        match number {
            Some(None) => Err(format!("`{}` is no symbol of an enum in the Avro schema", field.name())),
            known => Ok(known.flatten()),
        }
    });
    let keys = keys.collect::<Result<Int32Array, String>>()?;
    let symbols = Arc::new(StringArray::from_iter_values(&symbols));
    Ok(Arc::new(DictionaryArray::new(keys, symbols)))
}
