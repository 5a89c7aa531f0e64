//! `reject`: rejects the events for which a condition is true.

use std::sync::Arc;

use arrow_arith::boolean::and_not;
use arrow_array::BooleanArray;

use super::condition::{Matching, matching};
use super::rejection::Reasons;
use super::{Applied, Apply};
use crate::batch::{Batch, BatchError};
use crate::expressions::{Memo, Program, ReasonKind};

pub(super) struct Reject {
    pub(super) condition: Program,
    pub(super) reason: Arc<str>,
}

impl Apply for Reject {
    fn apply(&self, batch: &Batch, memo: &Memo) -> Result<Applied, BatchError> {
        let (matching, failures) = matching(&self.condition, batch, memo)?;
        let reasons = || Reasons::Same(ReasonKind::Condition, self.reason.clone());
        let mut selection = None;
        let (rest, rejected) = match matching {
            Matching::All => (batch.slice(0, 0), Some(batch.clone())),
            Matching::None => (batch.clone(), None),
            Matching::Rows(rows) => {
                let mut rest = BooleanArray::new(!rows.values(), None);
                if !failures.is_empty() {
                    rest = and_not(&rest, &failures.mask(batch.rows()))?;
                }
                let selected = batch.filter(&rest)?;
                selection = Some(rest);
                (selected, rows.has_true().then(|| batch.filter(&rows)).transpose()?)
            }
        };
        let rejected = rejected.into_iter().filter(|events| !events.is_empty());
        let rejected: Vec<_> = rejected.map(|events| (events, reasons())).collect();
        Ok(Applied { selection, ..Applied::rejected(rest, failures, rejected) })
    }
}
