//! The events that take one leg of a route behind a channel.

use std::sync::Arc;

use super::{Applied, Apply, Selector};
use crate::batch::{Batch, BatchError};
use crate::expressions::{Failures, Memo};

pub(super) struct Take {
    pub(super) selector: Arc<Selector>,
    pub(super) leg: usize,
}

impl Apply for Take {
    fn apply(&self, batch: &Batch, memo: &Memo) -> Result<Applied, BatchError> {
        let masks = self.selector.masks(batch, memo)?;
        let mask = masks.into_iter().nth(self.leg).expect("the selector has a mask for each leg");
        let batch = batch.filter(&mask)?;
        Ok(Applied::rejected(batch, Failures::default(), Vec::new()).selecting(mask))
    }
}
