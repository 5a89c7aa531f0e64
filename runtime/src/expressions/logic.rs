//! `not`, `and`, `or` and `is null` in Kleene's three-valued logic, where null means unknown.

use std::sync::Arc;

use arrow_arith::boolean;
use arrow_array::{Array, BooleanArray, Scalar};

use super::branches::Branch;
use super::{Evaluate, Evaluated, Evaluation};
use crate::batch::{BatchError, Column};

pub(super) struct Not(pub(super) Box<dyn Evaluate>);
pub(super) struct And(pub(super) Box<dyn Evaluate>, pub(super) Branch);
pub(super) struct Or(pub(super) Box<dyn Evaluate>, pub(super) Branch);
pub(super) struct IsNull(pub(super) Box<dyn Evaluate>);

fn array(values: BooleanArray) -> Column {
    Column::Array(Arc::new(values))
}

impl Evaluate for Not {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let operand = self.0.evaluate(batch)?;
        let values = array(boolean::not(&operand.truth_of_each(batch.rows())?)?);
        Ok(Evaluated { values, failures: operand.failures })
    }
}

/// Evaluates both operands, the right one for the events where the left operand does not decide the result, that is,
/// where it is not `decided`. A right operand that is decided has any value.
fn both_operands(
    left: &dyn Evaluate,
    right: &Branch,
    decided: bool,
    batch: &Evaluation<'_>,
) -> Result<([BooleanArray; 2], super::Failures), BatchError> {
    let rows = batch.rows();
    let left = left.evaluate(batch)?;
    let truths = left.truth_of_each(rows)?;
    let mut undecided = if decided { !truths.values() } else { truths.values().clone() };
    if let Some(nulls) = truths.nulls() {
        undecided = &undecided | &!nulls.inner();
    }
    let mut undecided = BooleanArray::new(undecided, None);
    if !left.failures.is_empty() {
        undecided = boolean::and_not(&undecided, &left.failures.mask(rows))?;
    }
    let right = right.evaluate(batch, &undecided)?;
    let failures = left.failures.and(right.failures.clone());
    Ok(([truths, right.truth_of_each(rows)?], failures))
}

impl Evaluate for And {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let ([left, right], failures) = both_operands(&*self.0, &self.1, false, batch)?;
        Ok(Evaluated { values: array(boolean::and_kleene(&left, &right)?), failures })
    }
}

impl Evaluate for Or {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let ([left, right], failures) = both_operands(&*self.0, &self.1, true, batch)?;
        Ok(Evaluated { values: array(boolean::or_kleene(&left, &right)?), failures })
    }
}

impl Evaluate for IsNull {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let operand = self.0.evaluate(batch)?;
        let nulls = boolean::is_null(operand.values.values())?;
        let values = match operand.values {
            Column::Constant(_) => Column::Constant(Scalar::new(Arc::new(nulls))),
            Column::Array(_) => array(nulls),
        };
        Ok(Evaluated { values, failures: operand.failures })
    }
}
