//! `drop if`: drops the events for which a condition is true.

use arrow_arith::boolean::and_not;
use arrow_array::BooleanArray;

use super::condition::{Matching, matching};
use super::{Applied, Apply};
use crate::batch::{Batch, BatchError};
use crate::expressions::{Memo, Program};

pub(super) struct Drop(pub(super) Program);

impl Apply for Drop {
    fn apply(&self, batch: &Batch, memo: &Memo) -> Result<Applied, BatchError> {
        let (matching, failures) = matching(&self.0, batch, memo)?;
        let rows = match matching {
            Matching::All => return Applied::filtered(batch, batch.slice(0, 0), failures),
            Matching::None => return Applied::filtered(batch, batch.clone(), failures),
            Matching::Rows(rows) => rows,
        };
        let mut rest = BooleanArray::new(!rows.values(), None);
        if !failures.is_empty() {
            rest = and_not(&rest, &failures.mask(batch.rows()))?;
        }
        Ok(Applied::filtered(batch, batch.filter(&rest)?, failures)?.selecting(rest))
    }
}
