//! `not`, `and`, `or` and `is null`, in Kleene's logic: null is "unknown".

use std::sync::Arc;

use arrow_arith::boolean;
use arrow_array::{Array, BooleanArray, Scalar};

use super::{Evaluate, Evaluated};
use crate::batch::{Batch, BatchError, Column};

pub(super) struct Not(pub(super) Box<dyn Evaluate>);
pub(super) struct And(pub(super) Box<dyn Evaluate>, pub(super) Box<dyn Evaluate>);
pub(super) struct Or(pub(super) Box<dyn Evaluate>, pub(super) Box<dyn Evaluate>);
pub(super) struct IsNull(pub(super) Box<dyn Evaluate>);

fn array(values: BooleanArray) -> Column {
    Column::Array(Arc::new(values))
}

impl Evaluate for Not {
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated, BatchError> {
        let operand = self.0.evaluate(batch)?;
        let values = array(boolean::not(&operand.truth_of_each(batch.rows())?)?);
        Ok(Evaluated { values, failures: operand.failures })
    }
}

/// Both sides for each event. The right side is asked only where the left one is not `decided`, so its failures
/// count only there.
fn both_sides(
    [left, right]: [&dyn Evaluate; 2],
    decided: bool,
    batch: &Batch,
) -> Result<([BooleanArray; 2], super::Failures), BatchError> {
    let (left, right) = (left.evaluate(batch)?, right.evaluate(batch)?);
    let truths = [left.truth_of_each(batch.rows())?, right.truth_of_each(batch.rows())?];
    let is_asked = |row: usize| truths[0].is_null(row) || truths[0].value(row) != decided;
    let failures = left.failures.and(right.failures.among(is_asked));
    Ok((truths, failures))
}

impl Evaluate for And {
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated, BatchError> {
        let ([left, right], failures) = both_sides([&*self.0, &*self.1], false, batch)?;
        Ok(Evaluated { values: array(boolean::and_kleene(&left, &right)?), failures })
    }
}

impl Evaluate for Or {
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated, BatchError> {
        let ([left, right], failures) = both_sides([&*self.0, &*self.1], true, batch)?;
        Ok(Evaluated { values: array(boolean::or_kleene(&left, &right)?), failures })
    }
}

impl Evaluate for IsNull {
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated, BatchError> {
        let operand = self.0.evaluate(batch)?;
        let nulls = boolean::is_null(operand.values.values())?;
        let values = match operand.values {
            Column::Constant(_) => Column::Constant(Scalar::new(Arc::new(nulls))),
            Column::Array(_) => array(nulls),
        };
        Ok(Evaluated { values, failures: operand.failures })
    }
}
