//! Arithmetic of times and sizes, and concatenation of texts.

use std::sync::Arc;

use arrow_array::ArrowPrimitiveType;
use arrow_array::builder::StringViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    DurationMicrosecondType, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{Array, Scalar, StringViewArray};
use arrow_schema::DataType;
use weir_plan::Arithmetic as Operator;

use super::arithmetic::{Compute, compute_rows, each, numbers, quotient};
use super::failures::{Failures, Reason};
use super::{Evaluated, unexpected};
use crate::batch::{BatchError, Column};

/// Returns the kernel of an operator for operands of which the first is a time. Like sums of durations, a sum ends at the
/// least and the greatest number of microseconds, about 292,000 years from 1970.
pub(super) fn times(operator: Operator, operands: [&DataType; 2]) -> Option<Compute> {
    let data_type = operands[0].clone();
    match (operator, operands[1]) {
        (Operator::Add, DataType::Duration(_)) => Some(moved(data_type, i64::saturating_add)),
        (Operator::Subtract, DataType::Duration(_)) => Some(moved(data_type, i64::saturating_sub)),
        (Operator::Subtract, DataType::Timestamp(..)) => Some(Box::new(|left, right, rows| {
            type Times = TimestampMicrosecondType;
            each::<Times, Times, DurationMicrosecondType>(left, right, rows, |left, right| {
                Ok(left.saturating_sub(right))
            })
        })),
        _ => None,
    }
}

/// Moves times by durations.
fn moved(data_type: DataType, compute: fn(i64, i64) -> i64) -> Compute {
    Box::new(move |left, right, rows| {
        let times = numbers::<TimestampMicrosecondType>(left)?;
        let durations = numbers::<DurationMicrosecondType>(right)?;
        compute_rows::<TimestampMicrosecondType>(left, right, rows, &data_type, |left, right| {
            let are_valid = times.is_valid(left) && durations.is_valid(right);
            Ok(are_valid.then(|| compute(times.value(left), durations.value(right))))
        })
    })
}

/// Returns the kernel of an operator for operands of which one is a size.
pub(super) fn sizes(operator: Operator, operands: [&DataType; 2]) -> Option<Compute> {
    fn checked<Left, Right>(compute: impl Fn(i128, i128) -> Option<i128> + Send + Sync + 'static) -> Compute
    where
        Left: ArrowPrimitiveType<Native: Into<i128>>,
        Right: ArrowPrimitiveType<Native: Into<i128>>,
    {
        Box::new(move |left, right, rows| {
            each::<Left, Right, UInt64Type>(left, right, rows, |left, right| {
                let computed = compute(left.into(), right.into());
                computed.and_then(|size| u64::try_from(size).ok()).ok_or(Reason::Overflow)
            })
        })
    }
    match (operator, operands) {
        (Operator::Add, [DataType::UInt64, DataType::UInt64]) => {
            Some(checked::<UInt64Type, UInt64Type>(i128::checked_add))
        }
        (Operator::Subtract, [DataType::UInt64, DataType::UInt64]) => {
            Some(checked::<UInt64Type, UInt64Type>(i128::checked_sub))
        }
        (Operator::Multiply, [DataType::UInt64, DataType::Int64]) => {
            Some(checked::<UInt64Type, Int64Type>(i128::checked_mul))
        }
        (Operator::Multiply, [DataType::Int64, DataType::UInt64]) => {
            Some(checked::<Int64Type, UInt64Type>(i128::checked_mul))
        }
        (Operator::Divide, [DataType::UInt64, DataType::UInt64]) => Some(Box::new(|left, right, rows| {
            each::<UInt64Type, UInt64Type, Float64Type>(left, right, rows, |left, right| {
                quotient(left as f64, right as f64)
            })
        })),
        _ => None,
    }
}

/// Returns the kernel that writes the right text behind the left one.
pub(super) fn texts(operator: Operator) -> Option<Compute> {
    (operator == Operator::Add).then(|| Box::new(concatenated) as Compute)
}

fn concatenated(left: &Evaluated, right: &Evaluated, rows: usize) -> Result<(Column, Failures), BatchError> {
    fn texts(side: &Evaluated) -> Result<&StringViewArray, BatchError> {
        let values = side.values.values();
        values.as_string_view_opt().ok_or_else(|| unexpected(values.data_type(), "a text"))
    }
    let (lefts, rights) = (texts(left)?, texts(right)?);
    let is_constant = |side: &Evaluated| matches!(side.values, Column::Constant(_));
    let constant = is_constant(left) && is_constant(right);
    let rows = if constant { 1 } else { rows };
    let (mut results, mut text) = (StringViewBuilder::with_capacity(rows), String::new());
    for row in 0..rows {
        let (left, right) = (left.values.index(row), right.values.index(row));
        if lefts.is_null(left) || rights.is_null(right) {
            results.append_null();
            continue;
        }
        text.clear();
        text.push_str(lefts.value(left));
        text.push_str(rights.value(right));
        results.append_value(&text);
    }
    let results = Arc::new(results.finish());
    let column = if constant { Column::Constant(Scalar::new(results)) } else { Column::Array(results) };
    Ok((column, Failures::default()))
}
