//! Conditions of steps: the events for which a condition is true. Null is not true.

use arrow_array::{Array, BooleanArray};
use arrow_select::filter::prep_null_mask_filter;

use crate::batch::{Batch, BatchError, Column};
use crate::expressions::{Failures, Program};

/// The events of a batch for which a condition is true.
pub(super) enum Matching {
    All,
    None,
    /// The rows whose bit is set; without nulls.
    Rows(BooleanArray),
}

/// Evaluates the condition for each event of the batch. An event for which it fails does not match.
///
/// # Errors
/// When the batch is not of the event type that the condition was compiled for.
pub(super) fn matching(condition: &Program, batch: &Batch) -> Result<(Matching, Failures), BatchError> {
    let evaluated = condition.evaluate(batch)?;
    let truths = evaluated.truths()?;
    let matching = match &evaluated.values {
        Column::Constant(_) if truths.is_valid(0) && truths.value(0) => Matching::All,
        Column::Constant(_) => Matching::None,
        Column::Array(_) if truths.null_count() > 0 => Matching::Rows(prep_null_mask_filter(truths)),
        Column::Array(_) => Matching::Rows(truths.clone()),
    };
    if evaluated.failures.is_empty() {
        return Ok((matching, evaluated.failures));
    }
    // A failed part may be decided by another one, as in `fails or true`; the event has failed all the same.
    let mut rows: Vec<bool> = match matching {
        Matching::All => vec![true; batch.rows()],
        Matching::None => vec![false; batch.rows()],
        Matching::Rows(rows) => rows.values().iter().collect(),
    };
    evaluated.failures.rows().for_each(|row| rows[row] = false);
    Ok((Matching::Rows(BooleanArray::from(rows)), evaluated.failures))
}
