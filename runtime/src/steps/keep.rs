//! `keep if`: keeps the events for which a condition is true.

use super::condition::{Matching, matching};
use super::{Applied, Apply};
use crate::batch::{Batch, BatchError};
use crate::expressions::{Memo, Program};

pub(super) struct Keep(pub(super) Program);

impl Apply for Keep {
    fn apply(&self, batch: &Batch, memo: &Memo) -> Result<Applied, BatchError> {
        let (matching, failures) = matching(&self.0, batch, memo)?;
        let kept = match matching {
            Matching::All => batch.clone(),
            Matching::None => batch.slice(0, 0),
            Matching::Rows(rows) => {
                let kept = batch.filter(&rows)?;
                return Ok(Applied::filtered(batch, kept, failures)?.selecting(rows));
            }
        };
        Applied::filtered(batch, kept, failures)
    }
}
