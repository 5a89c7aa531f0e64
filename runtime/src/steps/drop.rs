//! `drop if`: drops the events for which a condition is true.

use arrow_array::BooleanArray;

use super::condition::{Matching, matching};
use super::{Applied, Apply};
use crate::batch::{Batch, BatchError};
use crate::expressions::Program;

pub(super) struct Drop(pub(super) Program);

impl Apply for Drop {
    fn apply(&self, batch: &Batch) -> Result<Applied, BatchError> {
        let (matching, failures) = matching(&self.0, batch)?;
        let mut rest = match matching {
            Matching::All => return Ok(Applied::filtered(batch, batch.slice(0, 0), failures)),
            Matching::None if failures.is_empty() => {
                return Ok(Applied::filtered(batch, batch.clone(), failures));
            }
            Matching::None => BooleanArray::from(vec![true; batch.rows()]),
            Matching::Rows(rows) => BooleanArray::new(!rows.values(), None),
        };
        if !failures.is_empty() {
            let mut kept: Vec<bool> = rest.values().iter().collect();
            failures.rows().for_each(|row| kept[row] = false);
            rest = BooleanArray::from(kept);
        }
        Ok(Applied::filtered(batch, batch.filter(&rest)?, failures))
    }
}
