//! `set`, `unset`, `rename` and `select`: steps that change the columns of a batch.

use arrow_array::BooleanArray;
use arrow_schema::SchemaRef;

use super::{Applied, Apply};
use crate::batch::{Batch, BatchError, Column};
use crate::expressions::{Evaluated, Failures, Program};

/// `set`: computes a column, and adds or replaces it.
pub(super) struct Set {
    pub(super) column: String,
    pub(super) value: Program,
    /// The type of the events after the step.
    pub(super) after: SchemaRef,
}

/// `rename`: renames a column, and removes a column that had the new name.
pub(super) struct Rename {
    pub(super) from: String,
    pub(super) to: String,
    /// The type of the events after the step.
    pub(super) after: SchemaRef,
}

/// `unset` and `select`: removes the columns that the events after the step do not have.
pub(super) struct Narrow {
    /// The type of the events after the step.
    pub(super) after: SchemaRef,
}

impl Apply for Set {
    fn apply(&self, batch: &Batch) -> Result<Applied, BatchError> {
        let Evaluated { values, failures } = self.value.evaluate(batch)?;
        let named = batch.named_columns().filter(|(name, _)| *name != self.column);
        let named = named.map(|(name, column)| (name, column.clone()));
        let named = named.chain([(&*self.column, values)]).collect();
        without(batch, batch.reshaped(&self.after, named)?, failures)
    }
}

impl Apply for Rename {
    fn apply(&self, batch: &Batch) -> Result<Applied, BatchError> {
        let named = batch.named_columns().filter(|(name, _)| *name != self.to);
        let renamed = |name| if name == self.from { &*self.to } else { name };
        let named = named.map(|(name, column)| (renamed(name), column.clone())).collect();
        without(batch, batch.reshaped(&self.after, named)?, Failures::default())
    }
}

impl Apply for Narrow {
    fn apply(&self, batch: &Batch) -> Result<Applied, BatchError> {
        without(batch, batch.project(&self.after)?, Failures::default())
    }
}

/// The events behind a step that changes the columns, without the rows that failed.
///
/// # Errors
/// When Arrow's filter refuses the columns.
pub(super) fn without(before: &Batch, batch: Batch, failures: Failures) -> Result<Applied, BatchError> {
    if failures.is_empty() {
        return Ok(Applied { batch, failures, dropped_bytes: 0 });
    }
    let mut failed = vec![false; batch.rows()];
    failures.rows().for_each(|row| failed[row] = true);
    let failed = BooleanArray::from(failed);
    let dropped_bytes = before.filter(&failed)?.payload_bytes();
    let kept = BooleanArray::new(!failed.values(), None);
    Ok(Applied { batch: batch.filter(&kept)?, failures, dropped_bytes })
}

/// Returns the batch with the columns of `fields` instead of the bodies.
///
/// # Errors
/// When the columns do not fit the type `after`.
pub(super) fn parsed<'c>(
    batch: &'c Batch,
    after: &SchemaRef,
    fields: impl Iterator<Item = (&'c str, Column)>,
) -> Result<Batch, BatchError> {
    let fields: Vec<(&str, Column)> = fields.collect();
    let is_replaced = |name: &str| name == weir_plan::BODY || fields.iter().any(|(field, _)| *field == name);
    let kept = batch.named_columns().filter(|(name, _)| !is_replaced(name));
    let kept: Vec<(&str, Column)> = kept.map(|(name, column)| (name, column.clone())).collect();
    batch.reshaped(after, kept.into_iter().chain(fields).collect())
}
