//! `==`, `!=`, `<`, `<=`, `>` and `>=`.

use std::sync::Arc;

use arrow_array::{BooleanArray, Datum, Scalar};
use arrow_ord::cmp;
use arrow_ord::ord::make_comparator;
use arrow_schema::{ArrowError, DataType, SortOptions};
use weir_plan::Comparison;

use super::exact::{CompareExact, are_exact};
use super::{Evaluate, Evaluated, Evaluation};
use crate::batch::{BatchError, Column};

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
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let (left, right) = (self.1.evaluate(batch)?, self.2.evaluate(batch)?);
        let is_constant = |column: &Column| matches!(column, Column::Constant(_));
        let is_constant = is_constant(&left.values) && is_constant(&right.values);
        let compared = match left.values.data_type().is_nested() {
            true => {
                let rows = if is_constant { 1 } else { batch.rows() };
                compare_nested(self.0, &left.values, &right.values, rows)?
            }
            false => compare(self.0, left.values.datum(), right.values.datum())?,
        };
        let values = match is_constant {
            true => Column::Constant(Scalar::new(Arc::new(compared))),
            false => Column::Array(Arc::new(compared)),
        };
        Ok(Evaluated { values, failures: left.failures.and(right.failures) })
    }
}

/// Compares lists, maps and records, for which Arrow has no kernel.
fn compare_nested(
    comparison: Comparison,
    left: &Column,
    right: &Column,
    rows: usize,
) -> Result<BooleanArray, ArrowError> {
    let ordering = make_comparator(left.values(), right.values(), SortOptions::default())?;
    let is_null = |column: &Column, row: usize| column.values().is_null(column.index(row));
    let compared = (0..rows).map(|row| {
        if is_null(left, row) || is_null(right, row) {
            return None;
        }
        let ordering = ordering(left.index(row), right.index(row));
        Some(match comparison {
            Comparison::Equal => ordering.is_eq(),
            Comparison::NotEqual => ordering.is_ne(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
        })
    });
    Ok(compared.collect())
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
