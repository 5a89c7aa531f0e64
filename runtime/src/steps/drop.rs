//! `drop if`: the events for which a condition is true do not go on.

use arrow_array::BooleanArray;

use super::condition::{Held, ask};
use super::{Applied, Apply};
use crate::batch::{Batch, BatchError};
use crate::expressions::Program;

pub(super) struct Drop(pub(super) Program);

impl Apply for Drop {
    fn apply(&self, batch: &Batch) -> Result<Applied, BatchError> {
        let (held, failures) = ask(&self.0, batch)?;
        let mut rest = match held {
            Held::All => return Ok(Applied { batch: batch.slice(0, 0), failures }),
            Held::None if failures.is_empty() => return Ok(Applied { batch: batch.clone(), failures }),
            Held::None => BooleanArray::from(vec![true; batch.rows()]),
            Held::Rows(rows) => BooleanArray::new(!rows.values(), None),
        };
        if !failures.is_empty() {
            let mut kept: Vec<bool> = rest.values().iter().collect();
            failures.rows().for_each(|row| kept[row] = false);
            rest = BooleanArray::from(kept);
        }
        Ok(Applied { batch: batch.filter(&rest)?, failures })
    }
}
