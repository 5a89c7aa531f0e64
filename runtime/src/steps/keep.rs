//! `keep if`: the events for which a condition is true go on.

use super::condition::{Held, ask};
use super::{Applied, Apply};
use crate::batch::{Batch, BatchError};
use crate::expressions::Program;

pub(super) struct Keep(pub(super) Program);

impl Apply for Keep {
    fn apply(&self, batch: &Batch) -> Result<Applied, BatchError> {
        let (held, failures) = ask(&self.0, batch)?;
        let batch = match held {
            Held::All => batch.clone(),
            Held::None => batch.slice(0, 0),
            Held::Rows(rows) => batch.filter(&rows)?,
        };
        Ok(Applied { batch, failures })
    }
}
