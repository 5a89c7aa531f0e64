//! `+`, `-`, `*`, `/` and `%` of integers, floating-point numbers and durations. Decimal numbers are in `exact.rs`, times,
//! sizes and texts in `quantities.rs`.
//!
//! Arrow's kernels fail the batch at the first overflow. These kernels record the rows that fail instead.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type};
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray, Scalar};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};
use weir_plan::Arithmetic as Operator;

use super::failures::{Failures, Reason};
use super::{Evaluate, Evaluated, Evaluation, unexpected};
use crate::batch::{BatchError, Column};

/// Computes one operator on two columns; the last argument is the number of rows.
pub(super) type Compute = Box<Kernel>;

type Kernel = dyn Fn(&Evaluated, &Evaluated, usize) -> Result<(Column, Failures), BatchError> + Send + Sync;

/// Negates one column; the last argument is the number of rows.
pub(super) type Negation = fn(&Evaluated, usize) -> Result<(Column, Failures), BatchError>;

pub(super) struct Arithmetic {
    pub(super) compute: Compute,
    pub(super) left: Box<dyn Evaluate>,
    pub(super) right: Box<dyn Evaluate>,
}

pub(super) struct Negate {
    pub(super) negate: Negation,
    pub(super) operand: Box<dyn Evaluate>,
}

/// Returns the kernel of the operator for operands of these types; none if this version does not support it.
pub(super) fn compute(operator: Operator, operands: [&DataType; 2]) -> Option<Compute> {
    match operands {
        [DataType::Int64, DataType::Int64] => Some(integers(operator)),
        [DataType::Float64, DataType::Float64] => floats(operator),
        [DataType::Timestamp(..), _] => super::quantities::times(operator, operands),
        [DataType::UInt64, _] | [_, DataType::UInt64] => super::quantities::sizes(operator, operands),
        [DataType::Utf8View, DataType::Utf8View] => super::quantities::texts(operator),
        [DataType::Duration(_), _] | [_, DataType::Duration(_)] => durations(operator, operands),
        _ => super::exact::compute(operator, operands),
    }
}

fn integers(operator: Operator) -> Compute {
    match operator {
        Operator::Add => Box::new(|left, right, rows| integer(left, right, rows, i64::checked_add)),
        Operator::Subtract => Box::new(|left, right, rows| integer(left, right, rows, i64::checked_sub)),
        Operator::Multiply => Box::new(|left, right, rows| integer(left, right, rows, i64::checked_mul)),
        Operator::Divide => Box::new(|left, right, rows| {
            each::<Int64Type, Int64Type, Float64Type>(left, right, rows, |left, right| {
                quotient(left as f64, right as f64)
            })
        }),
        Operator::Remainder => Box::new(|left, right, rows| {
            each::<Int64Type, Int64Type, Int64Type>(left, right, rows, |left, right| match right {
                0 => Err(Reason::DivisionByZero),
                // `i64::MIN / -1` overflows, but its remainder is 0.
                _ => Ok(left.wrapping_rem(right)),
            })
        }),
    }
}

fn floats(operator: Operator) -> Option<Compute> {
    Some(match operator {
        Operator::Add => Box::new(|left, right, rows| float(left, right, rows, |left, right| left + right)),
        Operator::Subtract => {
            Box::new(|left, right, rows| float(left, right, rows, |left, right| left - right))
        }
        Operator::Multiply => {
            Box::new(|left, right, rows| float(left, right, rows, |left, right| left * right))
        }
        Operator::Divide => Box::new(|left, right, rows| {
            each::<Float64Type, Float64Type, Float64Type>(left, right, rows, quotient)
        }),
        Operator::Remainder => return None,
    })
}

/// Sums of durations end at about 292,000 years, since they can't fail by the plan; products can.
fn durations(operator: Operator, operands: [&DataType; 2]) -> Option<Compute> {
    type Micros = DurationMicrosecondType;
    Some(match (operator, operands) {
        (Operator::Add, [DataType::Duration(_), DataType::Duration(_)]) => Box::new(|left, right, rows| {
            each::<Micros, Micros, Micros>(left, right, rows, |left, right| Ok(left.saturating_add(right)))
        }),
        (Operator::Subtract, [DataType::Duration(_), DataType::Duration(_)]) => {
            Box::new(|left, right, rows| {
                each::<Micros, Micros, Micros>(
                    left,
                    right,
                    rows,
                    |left, right| Ok(left.saturating_sub(right)),
                )
            })
        }
        (Operator::Divide, [DataType::Duration(_), DataType::Duration(_)]) => {
            Box::new(|left, right, rows| {
                each::<Micros, Micros, Float64Type>(left, right, rows, |left, right| {
                    quotient(left as f64, right as f64)
                })
            })
        }
        (Operator::Multiply, [DataType::Duration(_), DataType::Int64]) => Box::new(|left, right, rows| {
            each::<Micros, Int64Type, Micros>(left, right, rows, |left, right| {
                left.checked_mul(right).ok_or(Reason::Overflow)
            })
        }),
        (Operator::Multiply, [DataType::Int64, DataType::Duration(_)]) => Box::new(|left, right, rows| {
            each::<Int64Type, Micros, Micros>(left, right, rows, |left, right| {
                left.checked_mul(right).ok_or(Reason::Overflow)
            })
        }),
        (Operator::Divide, [DataType::Duration(_), DataType::Int64]) => Box::new(|left, right, rows| {
            each::<Micros, Int64Type, Micros>(left, right, rows, |left, right| match right {
                0 => Err(Reason::DivisionByZero),
                _ => Ok(left.saturating_div(right)),
            })
        }),
        _ => return None,
    })
}

/// Returns the kernel that negates numbers of this type; none if this version does not support it.
pub(super) fn negate(operand: &DataType) -> Option<Negation> {
    match operand {
        DataType::Int64 => Some(|operand, rows| {
            let negated = |number: i64, _| number.checked_neg().ok_or(Reason::Overflow);
            each::<Int64Type, Int64Type, Int64Type>(operand, operand, rows, negated)
        }),
        DataType::Duration(TimeUnit::Microsecond) => Some(|operand, rows| {
            let negated = |length: i64, _| Ok(length.saturating_neg());
            each::<DurationMicrosecondType, DurationMicrosecondType, DurationMicrosecondType>(
                operand, operand, rows, negated,
            )
        }),
        DataType::Decimal128(..) => Some(|operand, rows| {
            let digits = operand.values.values().as_primitive_opt::<Decimal128Type>();
            let mismatch = || unexpected(operand.values.data_type(), "a Decimal");
            let digits = digits.cloned().ok_or_else(mismatch)?;
            let data_type = digits.data_type().clone();
            compute_rows::<Decimal128Type>(operand, operand, rows, &data_type, |row, _| {
                Ok(digits.is_valid(row).then(|| digits.value(row).wrapping_neg()))
            })
        }),
        DataType::Float64 => Some(|operand, rows| float(operand, operand, rows, |number, _| -number)),
        _ => None,
    }
}

impl Evaluate for Arithmetic {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let (left, right) = (self.left.evaluate(batch)?, self.right.evaluate(batch)?);
        let (values, failures) = (self.compute)(&left, &right, batch.rows())?;
        Ok(Evaluated { values, failures: left.failures.and(right.failures).and(failures) })
    }
}

impl Evaluate for Negate {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let operand = self.operand.evaluate(batch)?;
        let (values, failures) = (self.negate)(&operand, batch.rows())?;
        Ok(Evaluated { values, failures: operand.failures.and(failures) })
    }
}

/// Returns the quotient. The language has no negative zero.
pub(super) fn quotient(left: f64, right: f64) -> Result<f64, Reason> {
    if right == 0.0 { Err(Reason::DivisionByZero) } else { Ok(left / right + 0.0) }
}

fn integer(
    left: &Evaluated,
    right: &Evaluated,
    rows: usize,
    compute: impl Fn(i64, i64) -> Option<i64>,
) -> Result<(Column, Failures), BatchError> {
    each::<Int64Type, Int64Type, Int64Type>(left, right, rows, |left, right| {
        compute(left, right).ok_or(Reason::Overflow)
    })
}

fn float(
    left: &Evaluated,
    right: &Evaluated,
    rows: usize,
    compute: impl Fn(f64, f64) -> f64,
) -> Result<(Column, Failures), BatchError> {
    each::<Float64Type, Float64Type, Float64Type>(left, right, rows, |left, right| {
        // The language has no negative zero.
        Ok(compute(left, right) + 0.0)
    })
}

/// Computes each row of two columns of numbers. The result is null in a row where an operand is null or `compute`
/// fails; the failures have the rows that failed.
pub(super) fn each<Left: ArrowPrimitiveType, Right: ArrowPrimitiveType, Output: ArrowPrimitiveType>(
    left: &Evaluated,
    right: &Evaluated,
    rows: usize,
    compute: impl Fn(Left::Native, Right::Native) -> Result<Output::Native, Reason>,
) -> Result<(Column, Failures), BatchError> {
    let (lefts, rights) = (numbers::<Left>(left)?, numbers::<Right>(right)?);
    compute_rows::<Output>(left, right, rows, &Output::DATA_TYPE, |left, right| {
        match lefts.is_valid(left) && rights.is_valid(right) {
            true => compute(lefts.value(left), rights.value(right)).map(Some),
            false => Ok(None),
        }
    })
}

/// Returns the values of an operand as numbers of this type.
pub(super) fn numbers<Operand: ArrowPrimitiveType>(
    side: &Evaluated,
) -> Result<PrimitiveArray<Operand>, BatchError> {
    let values = side.values.values();
    let mismatch = || unexpected(values.data_type(), &Operand::DATA_TYPE.to_string());
    values.as_primitive_opt::<Operand>().cloned().ok_or_else(mismatch)
}

/// Computes each row of two columns, into a column of this type. `compute` takes the indices of both values, and returns
/// none for null; the failures have the rows that failed.
pub(super) fn compute_rows<Output: ArrowPrimitiveType>(
    left: &Evaluated,
    right: &Evaluated,
    rows: usize,
    data_type: &DataType,
    compute: impl Fn(usize, usize) -> Result<Option<Output::Native>, Reason>,
) -> Result<(Column, Failures), BatchError> {
    let is_constant = |side: &Evaluated| matches!(side.values, Column::Constant(_));
    let constant = is_constant(left) && is_constant(right);
    let computed_rows = if constant { rows.min(1) } else { rows };
    let mut failures = Failures::default();
    let mut valid = Vec::with_capacity(computed_rows);
    let mut values = Vec::with_capacity(computed_rows);
    for row in 0..computed_rows {
        let computed = compute(left.values.index(row), right.values.index(row));
        let value = computed.unwrap_or_else(|reason| {
            failures.push(row, reason);
            None
        });
        valid.push(value.is_some());
        values.push(value.unwrap_or_default());
    }
    let of_type = |array: PrimitiveArray<Output>| array.with_data_type(data_type.clone());
    if !constant {
        let nulls = NullBuffer::from(valid);
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        let array = of_type(PrimitiveArray::<Output>::new(values.into(), nulls));
        return Ok((Column::Array(Arc::new(array)), failures));
    }
    let value = values.first().zip(valid.first()).and_then(|(value, valid)| valid.then_some(*value));
    let array = of_type(PrimitiveArray::<Output>::from_iter([value]));
    let scalar = Scalar::new(Arc::new(array) as arrow_array::ArrayRef);
    Ok((Column::Constant(scalar), failures.repeated(rows)))
}
