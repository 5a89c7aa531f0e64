//! Which positions a memory channel was given, while the agent runs: so that a source that begins
//! again goes on behind what the channel has, and nothing is in it twice.

use std::collections::BTreeMap;

use crate::batch::{Batch, Partition};
use crate::channel::origins::{self, Stored, Verdict};
use crate::channel::{CommitError, Scope};

/// The scopes that are remembered.
#[derive(Default)]
pub(super) struct Positions {
    scopes: BTreeMap<String, Remembered>,
}

struct Remembered {
    /// What the names of the partitions begin with behind this channel.
    prefix: String,
    stored: BTreeMap<Partition, Stored>,
}

impl Positions {
    pub(super) fn are_known(&self) -> bool {
        !self.scopes.is_empty()
    }

    pub(super) fn remember(&mut self, scope: &str, prefix: &str, stored: BTreeMap<Partition, u64>) {
        let stored = stored.into_iter().map(|(partition, through)| (partition, Stored { through, run: 0 }));
        let remembered = Remembered { prefix: prefix.to_owned(), stored: stored.collect() };
        self.scopes.insert(scope.to_owned(), remembered);
    }

    pub(super) fn stored(&self, scope: &str) -> Option<BTreeMap<Partition, u64>> {
        let stored = self.scopes.get(scope)?.stored.iter();
        Some(stored.map(|(partition, at)| (partition.clone(), at.through)).collect())
    }

    /// What of a batch the channel lacks and has from now on, under the names that its partitions have
    /// behind the channel; none if it has all of it.
    ///
    /// # Errors
    /// When it lacks what lies before.
    pub(super) fn take_in(&mut self, scope: &Scope, batch: Batch) -> Result<Option<Batch>, CommitError> {
        let Some(remembered) = self.scopes.get_mut(&*scope.name) else { return Ok(Some(batch)) };
        let verdict = origins::judge(scope, &batch, |partition| remembered.stored.get(partition).copied())?;
        if verdict == Verdict::Known {
            return Ok(None);
        }
        for interval in batch.origins().intervals() {
            let through = interval.through;
            let to = Stored { through, run: scope.run };
            let at = remembered.stored.entry(interval.partition.clone()).or_insert(to);
            *at = Stored { through: at.through.max(through), ..to };
        }
        let lacking = verdict.trim(batch).expect("a verdict is about the batch that it was given");
        let Some(batch) = lacking.filter(|batch| !batch.is_empty()) else { return Ok(None) };
        let prefix = &remembered.prefix;
        let renamed = batch
            .identities()
            .map(|identities| identities.renamed(|partition| Partition::new(format!("{prefix}{partition}"))));
        Ok(Some(match renamed {
            Some(identities) => batch.with_identities(identities).expect("they are the same events"),
            None => batch,
        }))
    }
}
