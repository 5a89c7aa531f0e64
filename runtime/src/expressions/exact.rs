//! Operations on decimal numbers of any digits, and on integers beside them. They are exact, or they fail for a row.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{Array, BooleanArray, Decimal128Array, Int64Array, Scalar};
use arrow_schema::DataType;
use weir_plan::{Arithmetic, Comparison, Decimal, DecimalType};

use super::arithmetic::{Compute, compute_rows};
use super::failures::Reason;
use super::{Evaluate, Evaluated, Evaluation, unexpected};
use crate::batch::{BatchError, Column};

/// A comparison of two columns of exact numbers that may have different types.
pub(super) struct CompareExact(
    pub(super) Comparison,
    pub(super) Box<dyn Evaluate>,
    pub(super) Box<dyn Evaluate>,
);

/// The digits of a column of exact numbers, which all have one scale.
enum Digits {
    Ints(Int64Array),
    Decimals(Decimal128Array, u8),
}

impl Digits {
    fn of(side: &Evaluated) -> Result<Digits, BatchError> {
        let values = side.values.values();
        match values.data_type() {
            DataType::Int64 => Ok(Digits::Ints(values.as_primitive::<Int64Type>().clone())),
            DataType::Decimal128(_, scale @ 0..) => {
                Ok(Digits::Decimals(values.as_primitive::<Decimal128Type>().clone(), scale.unsigned_abs()))
            }
            found => Err(unexpected(found, "an Int or a Decimal")),
        }
    }

    /// Returns the digits of this row; none if it is null.
    fn get(&self, row: usize) -> Option<i128> {
        match self {
            Digits::Ints(values) => values.is_valid(row).then(|| i128::from(values.value(row))),
            Digits::Decimals(values, _) => values.is_valid(row).then(|| values.value(row)),
        }
    }

    fn scale(&self) -> u8 {
        match self {
            Digits::Ints(_) => 0,
            Digits::Decimals(_, scale) => *scale,
        }
    }
}

/// Returns the decimal type of exact numbers of this type.
fn exact_type(data_type: &DataType) -> Option<DecimalType> {
    match data_type {
        DataType::Int64 => Some(DecimalType::OF_INT),
        DataType::Decimal128(digits, scale @ 0..) => {
            Some(DecimalType { digits: *digits, scale: scale.unsigned_abs() })
        }
        _ => None,
    }
}

/// Whether both are types of exact numbers.
pub(super) fn are_exact(types: [&DataType; 2]) -> bool {
    types.into_iter().all(|data_type| exact_type(data_type).is_some())
}

/// Returns the kernel of an operator for exact numbers, of which one is a decimal number; none for other operands.
pub(super) fn compute(operator: Arithmetic, operands: [&DataType; 2]) -> Option<Compute> {
    let [left, right] = operands.map(exact_type);
    let (left, right) = (left?, right?);
    let (result, _) = DecimalType::of_result(operator, left, right)?;
    let ten_to = |power: u8| 10_i128.pow(u32::from(power));
    let factors = match operator {
        Arithmetic::Add | Arithmetic::Subtract => {
            [ten_to(result.scale - left.scale), ten_to(result.scale - right.scale)]
        }
        _ => [1, 1],
    };
    let limit = ten_to(result.digits).unsigned_abs();
    let computed = move |left: i128, right: i128| -> Option<i128> {
        let (left, right) = (left.checked_mul(factors[0])?, right.checked_mul(factors[1])?);
        let computed = match operator {
            Arithmetic::Add => left.checked_add(right),
            Arithmetic::Subtract => left.checked_sub(right),
            _ => left.checked_mul(right),
        }?;
        (computed.unsigned_abs() < limit).then_some(computed)
    };
    let data_type = DataType::Decimal128(result.digits, result.scale.cast_signed());
    Some(Box::new(move |left, right, rows| {
        let (lefts, rights) = (Digits::of(left)?, Digits::of(right)?);
        compute_rows::<Decimal128Type>(left, right, rows, &data_type, |left, right| {
            let both = lefts.get(left).zip(rights.get(right));
            both.map(|(left, right)| computed(left, right).ok_or(Reason::Overflow)).transpose()
        })
    }))
}

impl Evaluate for CompareExact {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let CompareExact(comparison, left, right) = self;
        let (left, right) = (left.evaluate(batch)?, right.evaluate(batch)?);
        let (lefts, rights) = (Digits::of(&left)?, Digits::of(&right)?);
        let is_constant = [&left, &right].iter().all(|side| matches!(side.values, Column::Constant(_)));
        let rows = if is_constant { 1 } else { batch.rows() };
        let truth = |row: usize| {
            let (left, right) = (left.values.index(row), right.values.index(row));
            let left = Decimal::new(lefts.get(left)?, lefts.scale())?;
            let right = Decimal::new(rights.get(right)?, rights.scale())?;
            Some(match comparison {
                Comparison::Equal => left == right,
                Comparison::NotEqual => left != right,
                Comparison::Less => left < right,
                Comparison::LessOrEqual => left <= right,
                Comparison::Greater => left > right,
                Comparison::GreaterOrEqual => left >= right,
            })
        };
        let truths: BooleanArray = (0..rows).map(truth).collect();
        let values = match is_constant {
            true => Column::Constant(Scalar::new(Arc::new(truths))),
            false => Column::Array(Arc::new(truths)),
        };
        Ok(Evaluated { values, failures: left.failures.and(right.failures) })
    }
}
