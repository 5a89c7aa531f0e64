//! Records the positions of the events that a channel was given, so that a source that restarts continues after the
//! events in the channel and no event is in it twice.

use std::collections::BTreeMap;

use super::origins::{self, Stored, Verdict};
use super::{CommitError, Scope};
use crate::batch::{Batch, Partition};

/// The scopes whose positions are recorded.
#[derive(Default)]
pub struct RecordedPositions {
    scopes: BTreeMap<String, RecordedScope>,
}

struct RecordedScope {
    /// Prefix of the partitions' names behind this channel.
    prefix: String,
    stored: BTreeMap<Partition, Stored>,
}

impl RecordedPositions {
    /// Returns whether positions of any scope are recorded.
    pub fn are_recorded(&self) -> bool {
        !self.scopes.is_empty()
    }

    /// Begins to record the positions of a scope, of which the channel has everything up to `stored`. Behind the channel, the
    /// names of the scope's partitions begin with `prefix`.
    pub fn remember(&mut self, scope: &str, prefix: &str, stored: BTreeMap<Partition, u64>) {
        let stored = stored.into_iter().map(|(partition, through)| (partition, Stored { through, run: 0 }));
        let scope_positions = RecordedScope { prefix: prefix.to_owned(), stored: stored.collect() };
        self.scopes.insert(scope.to_owned(), scope_positions);
    }

    /// Returns the last position of each partition of a scope; `None` if the scope is not recorded.
    pub fn stored(&self, scope: &str) -> Option<BTreeMap<Partition, u64>> {
        let stored = self.scopes.get(scope)?.stored.iter();
        Some(stored.map(|(partition, at)| (partition.clone(), at.through)).collect())
    }

    /// Forgets a partition of a scope: no further event of it is put.
    pub fn forget(&mut self, scope: &str, partition: &Partition) {
        if let Some(scope_positions) = self.scopes.get_mut(scope) {
            scope_positions.stored.remove(partition);
        }
    }

    /// Returns the names of the recorded scopes.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.keys().map(String::as_str)
    }

    /// Records a batch's positions. Returns the part of the batch that the channel lacked, with the names that its
    /// partitions have behind the channel; `None` if the channel had all of it.
    ///
    /// # Errors
    /// When the channel lacks positions before the batch.
    pub fn record(&mut self, scope: &Scope, batch: Batch) -> Result<Option<Batch>, CommitError> {
        let Some(scope_positions) = self.scopes.get_mut(&*scope.name) else { return Ok(Some(batch)) };
        let verdict =
            origins::compare(scope, &batch, |partition| scope_positions.stored.get(partition).copied())?;
        if verdict == Verdict::Known {
            return Ok(None);
        }
        for interval in batch.origins().intervals() {
            let through = interval.through;
            let to = Stored { through, run: scope.run };
            let at = scope_positions.stored.entry(interval.partition.clone()).or_insert(to);
            *at = Stored { through: at.through.max(through), ..to };
        }
        let lacking = verdict.trim(batch).expect("a verdict is about the batch that it was given");
        let Some(batch) = lacking.filter(|batch| !batch.is_empty()) else { return Ok(None) };
        let prefix = &scope_positions.prefix;
        let renamed = batch
            .identities()
            .map(|identities| identities.renamed(|partition| Partition::new(format!("{prefix}{partition}"))));
        Ok(Some(match renamed {
            Some(identities) => batch.with_identities(identities).expect("they are the same events"),
            None => batch,
        }))
    }
}
