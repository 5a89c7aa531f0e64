//! Conditions of steps: which events they are true for. Null is not true.

use arrow_array::{Array, BooleanArray};
use arrow_select::filter::prep_null_mask_filter;

use crate::batch::{Batch, BatchError, Column};
use crate::expressions::{Evaluated, Failures, Program};

/// The events of a batch that a condition is true for.
pub(super) enum Held {
    All,
    None,
    /// Those whose bit is set; without nulls.
    Rows(BooleanArray),
}

/// Asks the condition of each event of the batch. It is true for none for which it fails.
///
/// # Errors
/// When the batch is not of the event type that the condition was made for.
pub(super) fn ask(condition: &Program, batch: &Batch) -> Result<(Held, Failures), BatchError> {
    let evaluated = condition.evaluate(batch)?;
    let truths = evaluated.truths()?;
    let held = match &evaluated.values {
        Column::Constant(_) if truths.is_valid(0) && truths.value(0) => Held::All,
        Column::Constant(_) => Held::None,
        Column::Array(_) if truths.null_count() > 0 => Held::Rows(prep_null_mask_filter(truths)),
        Column::Array(_) => Held::Rows(truths.clone()),
    };
    let Evaluated { failures, .. } = evaluated;
    Ok((held, failures))
}
