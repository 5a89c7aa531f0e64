//! Going on with a ledger that has forgotten files, or that can't be read: what lies there is believed, and what was
//! forgotten of it may be written again.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::debug;
use weir_runtime::batch::Partition;

use super::entry::Kind;
use super::{Commit, FileRecord, FileState, Ledger, LedgerError, entry_name, numbers};
use crate::tools::file_writer::error::{FileError, Operation};
use crate::tools::file_writer::file_system::FileSystem;
use crate::tools::file_writer::names::{Named, join};

/// The next entry of a repaired ledger is higher by this number: beyond every number that a channel or a source may
/// remember.
pub(super) const BEYOND: u64 = 1_000_000_000_000;

impl<F: FileSystem> Ledger<F> {
    /// A ledger that knows nothing, behind the entries that are there.
    ///
    /// # Errors
    /// When these can't be listed.
    pub(in crate::tools::file_writer) async fn unread(
        file_system: Arc<F>,
        component: Arc<str>,
        root: String,
        directory: String,
        instance: u32,
    ) -> Result<Ledger<F>, LedgerError> {
        let there = numbers(&*file_system, &directory).await?;
        let mut ledger = Ledger::of(file_system, component, root, directory, instance, Vec::new());
        ledger.next = there.last().map_or(1, |last| last + 1);
        Ok(ledger)
    }

    /// Writes an entry that says all, these files included. `adopted` are read from now on. Its number is beyond all that
    /// anybody may have kept, if files were forgotten or `beyond` is a number that somebody has kept.
    ///
    /// # Errors
    /// When that fails; nothing has changed then, or all.
    pub(in crate::tools::file_writer) async fn believe(
        &mut self,
        files: &[Named],
        adopted: BTreeSet<Partition>,
        beyond: Option<u64>,
    ) -> Result<(), LedgerError> {
        files.iter().for_each(|file| self.numbers.add(file));
        self.latest = files.iter().map(|file| file.begun).fold(self.latest, i64::max);
        // A file with its final name is committed completely.
        let open: Vec<FileRecord> =
            self.foreign.values().filter(|file| file.state == FileState::Open).cloned().collect();
        for FileRecord { complete, .. } in open {
            let path = join(&self.root, &complete);
            let found = self.file_system.length(&path).await;
            if found.map_err(FileError::of(Operation::Read, &path))?.is_some() {
                self.foreign.remove(&complete);
            }
        }
        let last = self.mark();
        if let Some(beyond) = beyond {
            self.next = self.next.max(beyond).saturating_add(BEYOND);
        }
        let entry = self.entry(Kind::Whole, &Commit { adopted, ..Commit::default() })?;
        let is_put = self.put(&entry).await?;
        // Whoever commits meanwhile looks for this entry after he has created his; so one of both sees the other.
        let there = numbers(&*self.file_system, &self.directory).await?;
        if !is_put || there.iter().rev().find(|number| **number < entry.number).is_some_and(|n| *n > last) {
            let path = join(&self.directory, &entry_name(entry.number));
            if is_put {
                let removed = self.file_system.remove(&path).await;
                removed.map_err(FileError::of(Operation::Remove, &path))?;
            }
            let directory = self.directory.clone();
            return Err(LedgerError::Overtaken { directory });
        }
        debug!(directory = self.directory, "entry {} believes {} files", entry.number, files.len());
        self.next = entry.number + 1;
        self.whole = entry.number;
        self.remove_before(entry.number).await;
        Ok(())
    }
}
