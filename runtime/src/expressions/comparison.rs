//! `==`, `!=`, `<`, `<=`, `>` and `>=`.

use std::sync::Arc;

use arrow_array::{BooleanArray, Datum, Scalar};
use arrow_ord::cmp;
use arrow_schema::{ArrowError, DataType};
use weir_plan::Comparison;

use super::exact::{CompareExact, are_exact};
use super::{Evaluate, Evaluated};
use crate::batch::{Batch, BatchError, Column};

struct Compare(Comparison, Box<dyn Evaluate>, Box<dyn Evaluate>);

/// Makes the comparison of operands of these types: of one type, or exact numbers.
pub(super) fn of(
    comparison: Comparison,
    types: [&DataType; 2],
    left: Box<dyn Evaluate>,
    right: Box<dyn Evaluate>,
) -> Box<dyn Evaluate> {
    match types[0] != types[1] && are_exact(types) {
        true => Box::new(CompareExact(comparison, left, right)),
        false => Box::new(Compare(comparison, left, right)),
    }
}

impl Evaluate for Compare {
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated, BatchError> {
        let (left, right) = (self.1.evaluate(batch)?, self.2.evaluate(batch)?);
        let compared = compare(self.0, left.values.datum(), right.values.datum())?;
        let values = match (&left.values, &right.values) {
            (Column::Constant(_), Column::Constant(_)) => Column::Constant(Scalar::new(Arc::new(compared))),
            _ => Column::Array(Arc::new(compared)),
        };
        Ok(Evaluated { values, failures: left.failures.and(right.failures) })
    }
}

fn compare(comparison: Comparison, left: &dyn Datum, right: &dyn Datum) -> Result<BooleanArray, ArrowError> {
    match comparison {
        Comparison::Equal => cmp::eq(left, right),
        Comparison::NotEqual => cmp::neq(left, right),
        Comparison::Less => cmp::lt(left, right),
        Comparison::LessOrEqual => cmp::lt_eq(left, right),
        Comparison::Greater => cmp::gt(left, right),
        Comparison::GreaterOrEqual => cmp::gt_eq(left, right),
    }
}
