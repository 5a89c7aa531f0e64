//! `in`, `is empty` and `matches`: questions about one value of each event.

use std::sync::Arc;

use arrow_arith::boolean;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryViewArray, BooleanArray, Scalar};
use arrow_ord::cmp;
use arrow_schema::{ArrowError, DataType};
use regex::bytes::Regex;

use super::{Evaluate, Evaluated, Evaluation, unexpected};
use crate::batch::{BatchError, Column};

/// Whether the operand is one of some constants of its type.
pub(super) struct OneOf(pub(super) Box<dyn Evaluate>, pub(super) Vec<Column>);

/// Whether the operand is at least the second and at most the third.
pub(super) struct Between(pub(super) [Box<dyn Evaluate>; 3]);

/// Whether a text, bytes, a list or a map has nothing in it.
pub(super) struct IsEmpty(pub(super) Box<dyn Evaluate>);

/// Whether a part of a text or of bytes fits a regular expression.
pub(super) struct Matches(pub(super) Box<dyn Evaluate>, pub(super) Regex);

/// Whether each value is equal to one of the constants; null where the value is null.
pub(super) fn equals_any(values: &Column, constants: &[Column]) -> Result<BooleanArray, ArrowError> {
    let mut found: Option<BooleanArray> = None;
    for constant in constants {
        let equal = cmp::eq(values.datum(), constant.datum())?;
        found = Some(match found {
            Some(found) => boolean::or_kleene(&found, &equal)?,
            None => equal,
        });
    }
    Ok(found.unwrap_or_else(|| {
        let values = values.values();
        BooleanArray::new(vec![false; values.len()].into(), values.nulls().cloned())
    }))
}

/// Whether each value lies between the bounds, both included; null where one of the three is null.
pub(super) fn between(values: &Column, from: &Column, to: &Column) -> Result<BooleanArray, ArrowError> {
    let (above, below) = (cmp::gt_eq(values.datum(), from.datum())?, cmp::lt_eq(values.datum(), to.datum())?);
    // Two results may differ in length: a constant value within a constant bound, and a column as the other bound.
    match (above.len(), below.len()) {
        (1, rows) if rows != 1 => boolean::and_kleene(&repeated(&above, rows), &below),
        (rows, 1) if rows != 1 => boolean::and_kleene(&above, &repeated(&below, rows)),
        _ => boolean::and_kleene(&above, &below),
    }
}

fn repeated(truth: &BooleanArray, rows: usize) -> BooleanArray {
    BooleanArray::from(vec![truth.is_valid(0).then(|| truth.value(0)); rows])
}

/// The truths as a column: a constant if all operands are constants.
fn column(truths: BooleanArray, operands: &[&Column]) -> Column {
    let is_constant = operands.iter().all(|operand| matches!(operand, Column::Constant(_)));
    let truths: ArrayRef = Arc::new(truths);
    if is_constant { Column::Constant(Scalar::new(truths)) } else { Column::Array(truths) }
}

impl Evaluate for OneOf {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let Evaluated { values, failures } = self.0.evaluate(batch)?;
        let found = column(equals_any(&values, &self.1)?, &[&values]);
        Ok(Evaluated { values: found, failures })
    }
}

impl Evaluate for Between {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let [value, from, to] = &self.0;
        let [value, from, to] = [value.evaluate(batch)?, from.evaluate(batch)?, to.evaluate(batch)?];
        let truths = between(&value.values, &from.values, &to.values)?;
        let values = column(truths, &[&value.values, &from.values, &to.values]);
        Ok(Evaluated { values, failures: value.failures.and(from.failures).and(to.failures) })
    }
}

impl Evaluate for IsEmpty {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let Evaluated { values, failures } = self.0.evaluate(batch)?;
        let operand = values.values();
        let is_empty: Vec<bool> = match operand.data_type() {
            // The lowest four bytes of a view are its length (Arrow's columnar format).
            DataType::Utf8View => lengths(operand.as_string_view().views()),
            DataType::BinaryView => lengths(operand.as_binary_view().views()),
            DataType::List(_) => empty(operand.as_list::<i32>().value_offsets()),
            DataType::Map(..) => empty(operand.as_map().value_offsets()),
            found => return Err(unexpected(found, "a text, bytes, a list or a map")),
        };
        let truths = BooleanArray::new(is_empty.into(), operand.nulls().cloned());
        Ok(Evaluated { values: column(truths, &[&values]), failures })
    }
}

fn lengths(views: &[u128]) -> Vec<bool> {
    views.iter().map(|view| *view as u32 == 0).collect()
}

fn empty(offsets: &[i32]) -> Vec<bool> {
    offsets.windows(2).map(|pair| pair[0] == pair[1]).collect()
}

impl Evaluate for Matches {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let Evaluated { values, failures } = self.0.evaluate(batch)?;
        let operand = values.values();
        let bytes: BinaryViewArray = match operand.data_type() {
            // The views are shared, nothing is copied.
            DataType::Utf8View => operand.as_string_view().clone().to_binary_view(),
            DataType::BinaryView => operand.as_binary_view().clone(),
            found => return Err(unexpected(found, "a text or bytes")),
        };
        let matches =
            (0..bytes.len()).map(|row| bytes.is_valid(row).then(|| self.1.is_match(bytes.value(row))));
        let truths: BooleanArray = matches.collect();
        Ok(Evaluated { values: column(truths, &[&values]), failures })
    }
}
