//! Gives committed files their final names if their writer has not, because it was killed or its run failed.

use tracing::{info, warn};

use super::entry::{FileRecord, FileState};
use super::{Ledger, LedgerError};
use crate::tools::file_writer::error::{FileError, Operation};
use crate::tools::file_writer::file_system::FileSystem;
use crate::tools::file_writer::names::{file_name, join, retired};

impl<F: FileSystem> Ledger<F> {
    /// Gives a retired file its final name if an entry names it, by its temporary name relative to the root. Returns
    /// whether an entry does. If the directory was renamed since, the file stays.
    ///
    /// # Errors
    /// When it could not be renamed.
    pub(in crate::tools::file_writer) async fn complete_retired(
        &self,
        temporary: &str,
    ) -> Result<bool, LedgerError> {
        match self.foreign.get(temporary) {
            Some(file) => rename(&*self.file_system, &self.root, file).await.map(|_renamed| true),
            None => {
                let name = file_name(temporary);
                Ok(self.foreign.keys().any(|named| file_name(named) == name))
            }
        }
    }

    /// Renames the complete files of earlier runs and other writers.
    pub(super) async fn rename_complete(&mut self) -> Result<(), LedgerError> {
        let complete = self.foreign.values().filter(|file| file.state == FileState::Complete);
        let complete: Vec<FileRecord> = complete.cloned().collect();
        let mut renamed = 0;
        for file in complete.iter().filter(|_| !weir_runtime::put_back!("recovery_renames_nothing")) {
            renamed += u64::from(rename(&*self.file_system, &self.root, file).await?);
        }
        complete.iter().for_each(|file| drop(self.foreign.remove(&file.temporary)));
        if renamed > 0 {
            let component = &*self.component;
            info!(component, "gave {renamed} files their final names that an earlier run had completed");
        }
        Ok(())
    }

    /// Cuts open files without a writer to their committed length, and gives them their final names.
    ///
    /// The last entry must be a whole one: then a commit of an earlier run that still hangs can't become an entry with
    /// a greater length than the file has.
    pub(super) async fn complete_open(&mut self) -> Result<(), LedgerError> {
        let mut abandoned = Vec::new();
        for file in self.foreign.values().filter(|file| file.state == FileState::Open) {
            let path = join(&self.root, &file.temporary);
            match self.file_system.is_abandoned(&path).await {
                Ok(true) => abandoned.push(file.temporary.clone()),
                Ok(false) => {}
                Err(error) => warn!(
                    component = &*self.component,
                    "can't tell whether {path} is still being written, so it keeps its temporary name: {error}"
                ),
            }
        }
        if abandoned.is_empty() {
            return Ok(());
        }
        // A writer may have committed more of a file after the last entry that was read, and then died.
        self.catch_up().await?;
        let mut completed = 0;
        for temporary in abandoned {
            let Some(file) = self.foreign.get(&temporary) else { continue };
            completed += u64::from(rename(&*self.file_system, &self.root, file).await?);
            self.foreign.remove(&temporary);
        }
        if completed > 0 {
            info!(
                component = &*self.component,
                "completed {completed} files that an earlier run had left open, with what was committed of them"
            );
        }
        Ok(())
    }
}

/// Gives a committed file its final name, unless it has it, and cuts off its uncommitted end. Returns whether the file
/// was renamed.
///
/// A file that has neither of its names had its final name and has been moved away by its user.
pub(super) async fn rename<F: FileSystem>(
    files: &F,
    root: &str,
    file: &FileRecord,
) -> Result<bool, LedgerError> {
    let FileRecord { length, checksum, state, .. } = file;
    let complete = join(root, &file.complete);
    let Some((temporary, found)) = find_temporary(files, &join(root, &file.temporary)).await? else {
        sync_name(files, &complete).await?;
        return Ok(false);
    };
    let is_long_enough = match state {
        FileState::Complete => found == *length,
        FileState::Open => found >= *length,
    };
    let is_same = is_long_enough && {
        let found = files.checksum(&temporary, *length).await;
        found.map_err(FileError::of(Operation::Read, &temporary))? == *checksum
    };
    if !is_same {
        return Err(LedgerError::Changed { path: temporary, complete, length: *length, checksum: *checksum });
    }
    if found > *length && !weir_runtime::put_back!("uncommitted_rest_kept") {
        let cut = files.cut(&temporary, *length).await;
        cut.map_err(FileError::of(Operation::Cut, &temporary))?;
    }
    let renamed = files.rename_no_replace(&temporary, &complete).await;
    match renamed {
        Ok(()) => Ok(true),
        // Its writer has renamed the file, or an earlier attempt whose answer was lost.
        Err(error) => match find_temporary(files, &join(root, &file.temporary)).await {
            Ok(None) => {
                sync_name(files, &complete).await?;
                Ok(true)
            }
            Ok(Some(_)) | Err(_) => Err(FileError::of(Operation::Rename, &temporary)(error).into()),
        },
    }
}

/// Finds a file under its temporary name, or under the name that it has since a search for leftovers has retired it.
/// Returns the path and the length.
async fn find_temporary<F: FileSystem>(
    files: &F,
    temporary: &str,
) -> Result<Option<(String, u64)>, LedgerError> {
    let length = async |path: &str| {
        files.length(path).await.map_err(FileError::of(Operation::Read, path)).map_err(LedgerError::from)
    };
    if let Some(found) = length(temporary).await? {
        return Ok(Some((temporary.to_string(), found)));
    }
    // Nobody retires files if the file system knows their writers.
    if files.knows_writers_of_closed_files() || weir_runtime::put_back!("retired_taken_for_moved_away") {
        return Ok(None);
    }
    let retired = retired(temporary);
    Ok(length(&retired).await?.map(|found| (retired, found)))
}

/// Makes an existing final name durable: the writer may have been killed before it did, and the entry by which the
/// rename could be repeated is about to be removed.
async fn sync_name<F: FileSystem>(files: &F, complete: &str) -> Result<(), LedgerError> {
    if weir_runtime::put_back!("given_name_not_synced") {
        return Ok(());
    }
    let exists = files.length(complete).await.map_err(FileError::of(Operation::Read, complete))?.is_some();
    if exists {
        files.sync_name(complete).await.map_err(FileError::of(Operation::Rename, complete))?;
    }
    Ok(())
}
