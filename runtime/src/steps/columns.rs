//! `set`, `unset`, `rename` and `select`: steps that change the columns of a batch.

use arrow_schema::SchemaRef;

use super::{Applied, Apply};
use crate::batch::{Batch, BatchError};
use crate::expressions::{Evaluated, Failures, Memo, Program};

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
    fn apply(&self, batch: &Batch, memo: &Memo) -> Result<Applied, BatchError> {
        let Evaluated { values, failures } = self.value.evaluate_with(batch, memo)?;
        let changed = batch.with_columns(&self.after, vec![(&self.column, values)])?;
        Applied::changed(changed, failures)
    }
}

impl Apply for Rename {
    fn apply(&self, batch: &Batch, _: &Memo) -> Result<Applied, BatchError> {
        let renamed = batch.column(&self.from).map(|column| (&*self.to, column.clone()));
        let changed = batch.with_columns(&self.after, renamed.into_iter().collect())?;
        Applied::changed(changed, Failures::default())
    }
}

impl Apply for Narrow {
    fn apply(&self, batch: &Batch, _: &Memo) -> Result<Applied, BatchError> {
        Applied::changed(batch.project(&self.after)?, Failures::default())
    }
}
