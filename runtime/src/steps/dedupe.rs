//! `dedupe`: drops an event if an event with the same value has passed within a time before.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;
use weir_plan::DEDUPE_VALUES_MAX;

use super::seen::Seen;
use super::transaction::Transaction;
use super::{Applied, ApplyInTransaction};
use crate::batch::{Batch, BatchError};
use crate::expressions::{Evaluated, Failures, Memo, Program};

/// The step with its state.
pub(super) struct Dedupe {
    by: Arc<Program>,
    label: Arc<str>,
    within: Duration,
    values_max: usize,
    seen: Arc<Seen>,
}

impl Dedupe {
    /// Makes the step.
    pub(super) fn new(by: Program, within: Duration, label: &str) -> Dedupe {
        Dedupe::with_values_max(Arc::new(by), within, label.into(), DEDUPE_VALUES_MAX)
    }

    fn with_values_max(by: Arc<Program>, within: Duration, label: Arc<str>, values_max: usize) -> Dedupe {
        Dedupe { by, label, within, values_max, seen: Arc::new(Seen::new(within, values_max)) }
    }
}

impl ApplyInTransaction for Dedupe {
    fn apply(
        &self,
        batch: &Batch,
        memo: &Memo,
        transaction: &mut Transaction,
    ) -> Result<Applied, BatchError> {
        if batch.is_empty() {
            return Applied::filtered(batch, batch.clone(), Failures::default());
        }
        let Evaluated { values, failures } = self.by.evaluate_with(batch, memo)?;
        if !failures.is_empty() {
            return Ok(Applied::rejected(batch.clone(), failures, Vec::new()));
        }
        let first = self.seen.first_of_each(&values, batch.rows(), transaction)?;
        if first.forgets {
            warn!(
                "the step `{}` has more than {} values within {:?}: it forgets the oldest, whose events pass again",
                self.label, self.values_max, self.within
            );
        }
        let kept = batch.filter(&first.rows)?;
        Ok(Applied::filtered(batch, kept, Failures::default())?.selecting(first.rows))
    }

    fn with_own_state(&self) -> Box<dyn ApplyInTransaction> {
        let (by, label) = (self.by.clone(), self.label.clone());
        Box::new(Dedupe::with_values_max(by, self.within, label, self.values_max))
    }
}
