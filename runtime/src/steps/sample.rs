//! `sample`: keeps a share of the events, chosen by their identities.
//!
//! An event has the same identity each time that it comes, for every reader and after a restart, so it also gets the same
//! decision each time.

use arrow_array::BooleanArray;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{Applied, Apply};
use crate::batch::{Batch, BatchError, Identities};
use crate::expressions::{Failures, Memo};

pub(super) struct Sample {
    /// Events with a smaller hash are kept; none keeps every event.
    bound: Option<u64>,
    /// Differs between the samples of a path, so that they choose independently.
    seed: u64,
}

impl Sample {
    /// Makes the step for a share from 0 to 1. `before` is the number of samples before it on its path.
    pub(super) fn new(share: f64, before: u64) -> Sample {
        let bound = (share < 1.0).then_some((share.max(0.0) * 2f64.powi(64)) as u64);
        Sample { bound, seed: xxh3_64(&before.to_le_bytes()) }
    }
}

impl Apply for Sample {
    fn apply(&self, batch: &Batch, _: &Memo) -> Result<Applied, BatchError> {
        let rows = batch.rows();
        let Some(bound) = self.bound.filter(|_| rows > 0) else {
            return Applied::filtered(batch, batch.clone(), Failures::default());
        };
        let identities = batch.identities().ok_or(BatchError::Identities { rows })?;
        let kept = self.kept(identities, rows, bound);
        Ok(Applied::filtered(batch, batch.filter(&kept)?, Failures::default())?.selecting(kept))
    }
}

impl Sample {
    fn kept(&self, identities: &Identities, rows: usize, bound: u64) -> BooleanArray {
        let seed =
            |partition: &crate::batch::Partition| xxh3_64_with_seed(partition.name().as_bytes(), self.seed);
        let seeds: Vec<u64> = identities.partitions().iter().map(seed).collect();
        let hash = |row: usize| {
            let position = identities.position_of(row).to_le_bytes();
            xxh3_64_with_seed(&position, seeds[identities.partition_of(row)])
        };
        BooleanArray::new(arrow_buffer::BooleanBuffer::collect_bool(rows, |row| hash(row) < bound), None)
    }
}
