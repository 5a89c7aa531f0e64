//! Functions of numbers.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type};
use arrow_array::{ArrayRef, Decimal128Array, Scalar};
use arrow_schema::DataType;
use weir_plan::{Decimal, DecimalType, Value as Constant};
use weir_runtime::Registry;
use weir_runtime::batch::{BatchError, Column};
use weir_runtime::expressions::{Call, Evaluated, Reason};

use super::arguments::{Floats, Ints, Numbers, Sizes, Texts, argument, unexpected};
use super::results::{
    Answer, Made, Value, array, floats, ints, kernel, not, primitives, sizes, texts, truths,
};

pub(super) fn register(registry: Registry) -> Registry {
    let registry = read(registry)
        .function("to_float", |_| kernel(to_float))
        .function("to_int", |_| of_float(|number| whole(number.trunc()).ok_or(Reason::Overflow)))
        .function("round", round)
        .function("floor", |_| float_of_float(f64::floor))
        .function("ceil", |_| float_of_float(f64::ceil))
        .function("abs", |_| kernel(abs))
        .function("sign", |_| kernel(sign))
        .function("sqrt", |_| fallible_float(|number| (number >= 0.0).then(|| number.sqrt())))
        .function("ln", |_| fallible_float(|number| (number > 0.0).then(|| number.ln())))
        .function("log10", |_| fallible_float(|number| (number > 0.0).then(|| number.log10())))
        .function("exp", |_| fallible_float(|number| Some(number.exp())))
        .function("power", |_| kernel(power))
        .function("format_int", |_| kernel(format_int))
        .function("format_float", |_| kernel(format_float))
        .function("byte_count", |_| {
            kernel(|arguments, rows| {
                let values = Sizes::of(arguments, 0)?;
                Ok(ints(rows, |row| {
                    values.get(row).map(|size| i64::try_from(size).map_err(|_| Reason::Overflow)).transpose()
                }))
            })
        })
        .function("to_size", |_| {
            kernel(|arguments, rows| {
                let values = Ints::of(arguments, 0)?;
                Ok(sizes(rows, |row| {
                    values
                        .get(row)
                        .map(|count| u64::try_from(count).map_err(|_| Reason::Overflow))
                        .transpose()
                }))
            })
        });
    of_integers(registry)
}

fn read(registry: Registry) -> Registry {
    registry
        .function("int", |_| {
            kernel(|arguments, rows| {
                let (values, bases) = (Texts::of(arguments, 0)?, Ints::of(arguments, 1)?);
                Ok(ints(rows, |row| {
                    let Some((text, base)) = values.get(row).zip(bases.get(row)) else { return Ok(None) };
                    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base));
                    let number = base.and_then(|base| i64::from_str_radix(text, base).ok());
                    number.map(Some).ok_or_else(|| not("an Int", text.as_bytes()))
                }))
            })
        })
        .function("float", |_| {
            kernel(|arguments, rows| {
                let values = Texts::of(arguments, 0)?;
                Ok(floats(rows, |row| {
                    let Some(text) = values.get(row) else { return Ok(None) };
                    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
                    number.map(Some).ok_or_else(|| not("a Float", text.as_bytes()))
                }))
            })
        })
        .function("bool", |_| {
            kernel(|arguments, rows| {
                let values = Texts::of(arguments, 0)?;
                Ok(truths(rows, |row| {
                    let Some(text) = values.get(row) else { return Ok(None) };
                    truth(text).map(Some).ok_or_else(|| not("a Bool", text.as_bytes()))
                }))
            })
        })
        .function("decimal", decimal)
}

/// Returns the truth that a text writes, in any case of its letters.
fn truth(text: &str) -> Option<bool> {
    let is = |known: &&str| text.eq_ignore_ascii_case(known);
    match (
        ["true", "yes", "on", "1", "t", "y"].iter().any(is),
        ["false", "no", "off", "0", "f", "n"].iter().any(is),
    ) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

fn of_integers(registry: Registry) -> Registry {
    registry
        .function("quotient", |_| {
            of_ints(|left, right| match right {
                0 => Err(Reason::DivisionByZero),
                _ => left.checked_div(right).ok_or(Reason::Overflow),
            })
        })
        .function("modulo", |_| {
            of_ints(|left, right| match right {
                0 => Err(Reason::DivisionByZero),
                _ => {
                    // `i64::MIN % -1` overflows, but its remainder is 0.
                    let rest = left.wrapping_rem(right);
                    Ok(if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest })
                }
            })
        })
        .function("bit_and", |_| of_ints(|left, right| Ok(left & right)))
        .function("bit_or", |_| of_ints(|left, right| Ok(left | right)))
        .function("bit_xor", |_| of_ints(|left, right| Ok(left ^ right)))
        .function("shift_left", |_| of_ints(|number, bits| Ok(shifted(number, bits))))
        .function("shift_right", |_| of_ints(|number, bits| Ok(shifted(number, bits.saturating_neg()))))
}

/// Moves the bits of a number to the left, or to the right if `by` is negative. What moves out is lost, and zeros move in.
fn shifted(number: i64, by: i64) -> i64 {
    let bits = u32::try_from(by.unsigned_abs()).unwrap_or(u32::MAX);
    let number = number.cast_unsigned();
    let moved = if by < 0 { number.checked_shr(bits) } else { number.checked_shl(bits) };
    moved.unwrap_or(0).cast_signed()
}

fn of_ints(compute: fn(i64, i64) -> Result<i64, Reason>) -> Made {
    kernel(move |arguments, rows| {
        let (lefts, rights) = (Ints::of(arguments, 0)?, Ints::of(arguments, 1)?);
        Ok(ints(rows, |row| {
            lefts.get(row).zip(rights.get(row)).map(|(left, right)| compute(left, right)).transpose()
        }))
    })
}

fn of_float(compute: fn(f64) -> Result<i64, Reason>) -> Made {
    kernel(move |arguments, rows| {
        let values = Floats::of(arguments, 0)?;
        Ok(ints(rows, |row| values.get(row).map(compute).transpose()))
    })
}

fn float_of_float(compute: fn(f64) -> f64) -> Made {
    kernel(move |arguments, rows| {
        let values = Floats::of(arguments, 0)?;
        Ok(floats(rows, |row| Ok(values.get(row).map(compute))))
    })
}

/// Makes a function that fails where the result does not exist, or is no finite number.
fn fallible_float(compute: fn(f64) -> Option<f64>) -> Made {
    kernel(move |arguments, rows| {
        let values = Floats::of(arguments, 0)?;
        Ok(floats(rows, |row| {
            let Some(number) = values.get(row) else { return Ok(None) };
            finite(compute(number))
        }))
    })
}

fn finite(number: Option<f64>) -> Value<f64> {
    number.filter(|number| number.is_finite()).map(Some).ok_or(Reason::Overflow)
}

fn power(arguments: &[Column], rows: usize) -> Answer {
    let (bases, exponents) = (Floats::of(arguments, 0)?, Floats::of(arguments, 1)?);
    Ok(floats(rows, |row| {
        let Some((base, exponent)) = bases.get(row).zip(exponents.get(row)) else { return Ok(None) };
        finite(Some(base.powf(exponent)))
    }))
}

/// Returns the integer of this value.
fn whole(number: f64) -> Option<i64> {
    // Both bounds are exact: -2^63, and 2^63, which is too large.
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number).then_some(number as i64)
}

/// Returns a constant number of a call.
fn constant_int(call: &Call<'_>, index: usize) -> Result<i64, String> {
    match call.constant(index) {
        Some(Constant::Int(number)) => Ok(*number),
        _ => Err(format!("its argument {index} is no constant")),
    }
}

/// Makes `decimal`, whose sizes are constants.
fn decimal(call: &Call<'_>) -> Made {
    let size = |index| {
        let size = constant_int(call, index)?;
        u8::try_from(size).map_err(|_| format!("a Decimal has no {size} digits"))
    };
    let wanted = DecimalType { digits: size(1)?, scale: size(2)? };
    kernel(move |arguments, rows| {
        let values = Texts::of(arguments, 0)?;
        decimals(rows, wanted, |row| {
            let Some(text) = values.get(row) else { return Ok(None) };
            let number = text.parse::<Decimal>().ok().and_then(|number| number.of_type(wanted));
            number.map(Some).ok_or_else(|| not("a Decimal of so many digits", text.as_bytes()))
        })
    })
}

/// Computes a decimal number of this type for each row.
pub(super) fn decimals(
    rows: usize,
    decimal: DecimalType,
    mut compute: impl FnMut(usize) -> Value<Decimal>,
) -> Answer {
    let digits = |row: usize| Ok(compute(row)?.map(Decimal::digits));
    let (values, failures) = primitives::<Decimal128Type>(rows, digits);
    let values = values.with_precision_and_scale(decimal.digits, decimal.scale.cast_signed())?;
    Ok(Evaluated { values: Column::Array(Arc::new(values)), failures })
}

/// Returns the decimal type of a column of decimal numbers.
pub(super) fn decimal_type(data_type: &DataType) -> Option<DecimalType> {
    match data_type {
        DataType::Decimal128(digits, scale @ 0..) => {
            Some(DecimalType { digits: *digits, scale: scale.unsigned_abs() })
        }
        _ => None,
    }
}

/// An argument of exact numbers.
pub(super) enum Exact<'c> {
    Ints(Ints<'c>),
    Decimals(Numbers<'c, Decimal128Type>, u8),
}

impl<'c> Exact<'c> {
    pub(super) fn of(arguments: &'c [Column], index: usize) -> Result<Exact<'c>, BatchError> {
        let column = argument(arguments, index)?;
        match decimal_type(column.data_type()) {
            Some(decimal) => Ok(Exact::Decimals(Numbers::of(arguments, index)?, decimal.scale)),
            None => Ok(Exact::Ints(Ints::of(arguments, index)?)),
        }
    }

    pub(super) fn get(&self, row: usize) -> Option<Decimal> {
        match self {
            Exact::Ints(values) => values.get(row).map(Decimal::from),
            Exact::Decimals(values, scale) => Decimal::new(values.get(row)?, *scale),
        }
    }
}

fn to_float(arguments: &[Column], rows: usize) -> Answer {
    let values = Exact::of(arguments, 0)?;
    Ok(floats(rows, |row| {
        Ok(match &values {
            Exact::Ints(values) => values.get(row).map(|number| number as f64),
            Exact::Decimals(..) => values.get(row).map(Decimal::to_float),
        })
    }))
}

/// The powers of ten that a `Float` has exactly.
const EXACT_POWERS: i64 = 22;

/// Rounds a number to digits behind the point, or to tens if `digits` is negative, as if it had the shortest digits that
/// are read as it.
fn rounded(number: f64, digits: i64) -> f64 {
    if digits < 0 {
        let unit = 10_f64.powi(i32::try_from(-digits.max(-400)).unwrap_or(400));
        let rounded = (number / unit).round() * unit;
        return if rounded.is_finite() { rounded } else { 0.0 };
    }
    let scaled = number * 10_f64.powi(i32::try_from(digits.min(400)).unwrap_or(400));
    if digits <= EXACT_POWERS && scaled.abs() < 1e15 && ((scaled - scaled.trunc()).abs() - 0.5).abs() > 1e-3 {
        return scaled.round() / 10_f64.powi(i32::try_from(digits).unwrap_or(0));
    }
    // Close to a half, the digits decide.
    match (Decimal::from_float(number), u8::try_from(digits)) {
        (Some(exact), Ok(scale)) if scale < exact.scale() => {
            exact.nearest(DecimalType { digits: 38, scale }).to_float()
        }
        _ => number,
    }
}

/// Makes `round`. A decimal number is rounded to a constant number of digits.
fn round(call: &Call<'_>) -> Made {
    let Some(decimal) = call.data_type(0).and_then(decimal_type) else {
        return kernel(|arguments, rows| {
            let (values, digits) = (Floats::of(arguments, 0)?, Ints::of(arguments, 1)?);
            Ok(floats(rows, |row| {
                let arguments = values.get(row).zip(digits.get(row));
                Ok(arguments.map(|(number, digits)| rounded(number, digits)))
            }))
        });
    };
    let wanted = decimal.rounded(constant_int(call, 1)?);
    kernel(move |arguments, rows| {
        let values = Exact::of(arguments, 0)?;
        decimals(rows, wanted, |row| Ok(values.get(row).map(|number| number.nearest(wanted))))
    })
}

/// Applies a function to each number of a column, whatever its type.
fn mapped(
    column: &Column,
    rows: usize,
    integer: fn(i64) -> i64,
    float: fn(f64) -> f64,
    digits: fn(i128) -> i128,
) -> Answer {
    let values = column.values();
    let changed: ArrayRef = match values.data_type() {
        DataType::Int64 => Arc::new(values.as_primitive::<Int64Type>().unary::<_, Int64Type>(integer)),
        DataType::Float64 => {
            let changed =
                values.as_primitive::<Float64Type>().unary::<_, Float64Type>(|one| float(one) + 0.0);
            Arc::new(changed)
        }
        DataType::Duration(_) => {
            let durations = values.as_primitive::<DurationMicrosecondType>();
            Arc::new(durations.unary::<_, DurationMicrosecondType>(integer))
        }
        DataType::Decimal128(..) => {
            let changed: Decimal128Array = values.as_primitive::<Decimal128Type>().unary(digits);
            Arc::new(changed.with_data_type(values.data_type().clone()))
        }
        DataType::UInt64 => values.slice(0, values.len()),
        _ => return Err(unexpected(column, "a number")),
    };
    Ok(match column {
        Column::Array(_) => array(changed),
        Column::Constant(_) if rows == 1 => array(changed),
        Column::Constant(_) => Column::Constant(Scalar::new(changed)).into(),
    })
}

fn abs(arguments: &[Column], rows: usize) -> Answer {
    mapped(argument(arguments, 0)?, rows, i64::saturating_abs, f64::abs, i128::wrapping_abs)
}

fn sign(arguments: &[Column], rows: usize) -> Answer {
    let column = argument(arguments, 0)?;
    if let DataType::Float64 = column.data_type() {
        let values = Floats::of(arguments, 0)?;
        let sign = |number: f64| i64::from(number > 0.0) - i64::from(number < 0.0);
        return Ok(ints(rows, |row| Ok(values.get(row).map(sign))));
    }
    if let DataType::Duration(_) = column.data_type() {
        let values = super::arguments::Durations::of(arguments, 0)?;
        return Ok(ints(rows, |row| Ok(values.get(row).map(i64::signum))));
    }
    if let DataType::UInt64 = column.data_type() {
        let values = Sizes::of(arguments, 0)?;
        return Ok(ints(rows, |row| Ok(values.get(row).map(|size| i64::from(size > 0)))));
    }
    let values = Exact::of(arguments, 0)?;
    let sign = |number: Decimal| number.digits().signum() as i64;
    Ok(ints(rows, |row| Ok(values.get(row).map(sign))))
}

/// Writes a whole number to a base, in small letters.
fn format_int(arguments: &[Column], rows: usize) -> Answer {
    let (values, bases) = (Ints::of(arguments, 0)?, Ints::of(arguments, 1)?);
    texts(rows, |row, out| {
        let Some((number, base)) = values.get(row).zip(bases.get(row)) else { return Ok(None) };
        let base = base.clamp(2, 36).unsigned_abs();
        let (mut rest, mut digits) = (number.unsigned_abs(), Vec::with_capacity(64));
        while rest > 0 || digits.is_empty() {
            digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % base) as usize]);
            rest /= base;
        }
        if number < 0 {
            out.push(b'-');
        }
        out.extend(digits.iter().rev());
        Ok(Some(()))
    })
}

/// Writes a number with so many digits behind the point.
fn format_float(arguments: &[Column], rows: usize) -> Answer {
    use std::io::Write;
    let (values, digits) = (Floats::of(arguments, 0)?, Ints::of(arguments, 1)?);
    texts(rows, |row, out| {
        let Some((number, digits)) = values.get(row).zip(digits.get(row)) else { return Ok(None) };
        let digits = digits.clamp(0, 30);
        let width = usize::try_from(digits).unwrap_or(0);
        // Writing into memory can't fail.
        let _infallible = write!(out, "{:.width$}", rounded(number, digits) + 0.0);
        Ok(Some(()))
    })
}
