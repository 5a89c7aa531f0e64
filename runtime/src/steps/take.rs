//! The events that take one leg of a route behind a channel.

use std::sync::Arc;

use super::{Applied, Apply, Selector};
use crate::batch::{Batch, BatchError};
use crate::expressions::Failures;

pub(super) struct Take {
    pub(super) selector: Arc<Selector>,
    pub(super) leg: usize,
}

impl Apply for Take {
    fn apply(&self, batch: &Batch) -> Result<Applied, BatchError> {
        let masks = self.selector.masks(batch)?;
        let batch = batch.filter(&masks[self.leg])?;
        Ok(Applied::rejected(batch, Failures::default(), Vec::new()))
    }
}
