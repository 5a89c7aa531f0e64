//! Conditions of steps: the events for which a condition is true. Null is not true.

use arrow_array::{Array, BooleanArray};

use crate::batch::{Batch, BatchError, Column};
use crate::expressions::{Failures, Memo, Program};

/// The events of a batch for which a condition is true.
pub(super) enum Matching {
    All,
    None,
    /// The rows whose bit is set; without nulls. Always this if the condition fails for an event.
    Rows(BooleanArray),
}

/// Evaluates the condition for each event of the batch. An event for which it fails does not match.
///
/// # Errors
/// When the batch is not of the event type that the condition was compiled for.
pub(super) fn matching(
    condition: &Program,
    batch: &Batch,
    memo: &Memo,
) -> Result<(Matching, Failures), BatchError> {
    let evaluated = condition.evaluate_with(batch, memo)?;
    let matching = match &evaluated.values {
        Column::Constant(_) if evaluated.failures.is_empty() => {
            let truths = evaluated.truths()?;
            if truths.is_valid(0) && truths.value(0) { Matching::All } else { Matching::None }
        }
        _ => Matching::Rows(evaluated.true_rows(batch.rows())?),
    };
    Ok((matching, evaluated.failures))
}
