//! `+`, `-`, `*`, `/` and `%` of integers and floating-point numbers.
//!
//! Arrow's kernels fail the batch at the first overflow. These kernels record the rows that fail instead.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray, Scalar};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use weir_plan::Arithmetic as Operator;

use super::failures::{Failures, Reason};
use super::{Evaluate, Evaluated, unexpected};
use crate::batch::{Batch, BatchError, Column};

/// Computes one operator on two columns; the last argument is the number of rows.
pub(super) type Compute = fn(&Evaluated, &Evaluated, usize) -> Result<(Column, Failures), BatchError>;

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
    let compute: Compute = match (operands, operator) {
        ([DataType::Int64, DataType::Int64], operator) => match operator {
            Operator::Add => |left, right, rows| integer(left, right, rows, i64::checked_add),
            Operator::Subtract => |left, right, rows| integer(left, right, rows, i64::checked_sub),
            Operator::Multiply => |left, right, rows| integer(left, right, rows, i64::checked_mul),
            Operator::Divide => |left, right, rows| {
                each::<Int64Type, Float64Type>(left, right, rows, |left, right| {
                    quotient(left as f64, right as f64)
                })
            },
            Operator::Remainder => |left, right, rows| {
                each::<Int64Type, Int64Type>(left, right, rows, |left, right| match right {
                    0 => Err(Reason::DivisionByZero),
                    // `i64::MIN / -1` overflows, but its remainder is 0.
                    _ => Ok(left.wrapping_rem(right)),
                })
            },
        },
        ([DataType::Float64, DataType::Float64], operator) => match operator {
            Operator::Add => |left, right, rows| float(left, right, rows, |left, right| left + right),
            Operator::Subtract => |left, right, rows| float(left, right, rows, |left, right| left - right),
            Operator::Multiply => |left, right, rows| float(left, right, rows, |left, right| left * right),
            Operator::Divide => {
                |left, right, rows| each::<Float64Type, Float64Type>(left, right, rows, quotient)
            }
            Operator::Remainder => return None,
        },
        _ => return None,
    };
    Some(compute)
}

/// Returns the kernel that negates numbers of this type; none if this version does not support it.
pub(super) fn negate(operand: &DataType) -> Option<Negation> {
    match operand {
        DataType::Int64 => Some(|operand, rows| {
            let negated = |number: i64, _| number.checked_neg().ok_or(Reason::Overflow);
            each::<Int64Type, Int64Type>(operand, operand, rows, negated)
        }),
        DataType::Float64 => Some(|operand, rows| float(operand, operand, rows, |number, _| -number)),
        _ => None,
    }
}

impl Evaluate for Arithmetic {
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated, BatchError> {
        let (left, right) = (self.left.evaluate(batch)?, self.right.evaluate(batch)?);
        let (values, failures) = (self.compute)(&left, &right, batch.rows())?;
        Ok(Evaluated { values, failures: left.failures.and(right.failures).and(failures) })
    }
}

impl Evaluate for Negate {
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated, BatchError> {
        let operand = self.operand.evaluate(batch)?;
        let (values, failures) = (self.negate)(&operand, batch.rows())?;
        Ok(Evaluated { values, failures: operand.failures.and(failures) })
    }
}

fn quotient(left: f64, right: f64) -> Result<f64, Reason> {
    if right == 0.0 { Err(Reason::DivisionByZero) } else { Ok(left / right) }
}

fn integer(
    left: &Evaluated,
    right: &Evaluated,
    rows: usize,
    compute: impl Fn(i64, i64) -> Option<i64>,
) -> Result<(Column, Failures), BatchError> {
    each::<Int64Type, Int64Type>(left, right, rows, |left, right| {
        compute(left, right).ok_or(Reason::Overflow)
    })
}

fn float(
    left: &Evaluated,
    right: &Evaluated,
    rows: usize,
    compute: impl Fn(f64, f64) -> f64,
) -> Result<(Column, Failures), BatchError> {
    each::<Float64Type, Float64Type>(left, right, rows, |left, right| Ok(compute(left, right)))
}

/// Computes each row of two columns of numbers. The result is null in a row where an operand is null or `compute`
/// fails; the failures have the rows that failed.
fn each<Operand: ArrowPrimitiveType, Output: ArrowPrimitiveType>(
    left: &Evaluated,
    right: &Evaluated,
    rows: usize,
    compute: impl Fn(Operand::Native, Operand::Native) -> Result<Output::Native, Reason>,
) -> Result<(Column, Failures), BatchError> {
    let numbers = |side: &Evaluated| {
        let values = side.values.values();
        let mismatch = || unexpected(values.data_type(), &Operand::DATA_TYPE.to_string());
        values.as_primitive_opt::<Operand>().cloned().ok_or_else(mismatch)
    };
    let (lefts, rights) = (numbers(left)?, numbers(right)?);
    let is_constant = |side: &Evaluated| matches!(side.values, Column::Constant(_));
    let constant = is_constant(left) && is_constant(right);
    let computed_rows = if constant { rows.min(1) } else { rows };
    let mut failures = Failures::default();
    let mut valid = Vec::with_capacity(computed_rows);
    let mut values = Vec::with_capacity(computed_rows);
    for row in 0..computed_rows {
        let (left, right) = (left.values.index(row), right.values.index(row));
        let both_valid = lefts.is_valid(left) && rights.is_valid(right);
        let computed =
            if both_valid { compute(lefts.value(left), rights.value(right)).map(Some) } else { Ok(None) };
        let value = computed.unwrap_or_else(|reason| {
            failures.push(row, reason);
            None
        });
        valid.push(value.is_some());
        values.push(value.unwrap_or_default());
    }
    if !constant {
        let nulls = NullBuffer::from(valid);
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        return Ok((Column::Array(Arc::new(PrimitiveArray::<Output>::new(values.into(), nulls))), failures));
    }
    let value = values.first().zip(valid.first()).and_then(|(value, valid)| valid.then_some(*value));
    let scalar = Scalar::new(Arc::new(PrimitiveArray::<Output>::from_iter([value])) as arrow_array::ArrayRef);
    Ok((Column::Constant(scalar), failures.repeated(rows)))
}
