//! Gives committed files their final names if their writer has not, because it was killed or its run failed.
//!
//! A file that was committed while it was open is cut to its committed length. Where files can't be cut, as on HDFS, a
//! copy of its beginning takes its place:
//!
//! ```text
//! retire F ──► copy its beginning to C ──► create an entry that gives C the final name of F ──► rename C ──► remove F
//!                                            │ an entry says something newer of F: remove C, and look again later
//! ```
//!
//! *Creating the entry* decides which copy takes the place of F if several agents complete it. A writer of F that was
//! only suspended finds its number taken, then misses F, and fails; or it has committed more of F, which the entry
//! before shows.

use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::entry::{FileRecord, FileState, Kind};
use super::{Commit, Ledger, LedgerError};
use crate::tools::file_writer::error::{FileError, Operation};
use crate::tools::file_writer::file_system::{Cut, FileSystem};
use crate::tools::file_writer::names::{copy_of, file_name, join, retired, temporary_of};

/// What became of a committed file without a writer.
pub(super) enum Completion {
    /// It has its final name, or was moved away. Says whether it was renamed now.
    Named(bool),
    /// A copy of its beginning exists, which has to take its place.
    Copied {
        /// The record that names the copy.
        copy: FileRecord,
        /// The path of the file.
        original: String,
    },
}

impl<F: FileSystem> Ledger<F> {
    /// Gives a retired file its final name if an entry names it, by its temporary name relative to the root. Returns
    /// whether an entry does. If the directory was renamed since, the file stays.
    ///
    /// # Errors
    /// When it could not be renamed.
    pub(in crate::tools::file_writer) async fn complete_retired(
        &mut self,
        temporary: &str,
    ) -> Result<bool, LedgerError> {
        if let Some(file) = self.foreign_of(temporary).cloned() {
            return self.complete(&file).await.map(|_renamed| true);
        }
        let name = file_name(temporary);
        Ok(self.foreign.values().any(|named| file_name(&named.temporary) == name))
    }

    /// Gives a committed file its final name, or a copy of its committed beginning. Returns whether one was renamed.
    async fn complete(&mut self, file: &FileRecord) -> Result<bool, LedgerError> {
        match rename(&*self.file_system, &self.root, file).await? {
            Completion::Named(renamed) => Ok(renamed),
            Completion::Copied { copy, original } => {
                self.replace(file, &copy, &original).await?;
                Ok(true)
            }
        }
    }

    /// Has the copy of an open file's beginning take the place of the file.
    async fn replace(
        &mut self,
        file: &FileRecord,
        copy: &FileRecord,
        original: &str,
    ) -> Result<(), LedgerError> {
        let files = vec![copy.clone()];
        let commit = Commit { files, replaced: Some(file.clone()), ..Commit::default() };
        if let Err(error) = self.create(Kind::Step, &commit).await {
            if let LedgerError::Overtaken { .. } = error {
                self.remove_replaced(&join(&self.root, &copy.temporary)).await;
            }
            return Err(error);
        }
        self.foreign.insert(copy.complete.clone(), copy.clone());
        rename(&*self.file_system, &self.root, copy).await?;
        self.remove_replaced(original).await;
        Ok(())
    }

    /// Removes a file that no entry names any more. The search for leftovers removes it if that fails.
    async fn remove_replaced(&self, path: &str) {
        if let Err(error) = self.file_system.remove(path).await {
            debug!(component = &*self.component, path, "it stays for now: {error}");
        }
    }

    /// Renames the complete files of earlier runs and other writers.
    pub(super) async fn rename_complete(&mut self) -> Result<(), LedgerError> {
        let complete = self.foreign.values().filter(|file| file.state == FileState::Complete);
        let complete: Vec<FileRecord> = complete.cloned().collect();
        let mut renamed = 0;
        for file in complete.iter().filter(|_| !weir_runtime::put_back!("recovery_renames_nothing")) {
            renamed += u64::from(self.complete(file).await?);
        }
        complete.iter().for_each(|file| drop(self.foreign.remove(&file.complete)));
        if renamed > 0 {
            let component = &*self.component;
            info!(component, "gave {renamed} files their final names that an earlier run had completed");
        }
        Ok(())
    }

    /// Logs how many open files other writers have committed in part, as far as is known at the end of a run.
    pub(in crate::tools::file_writer) fn note_left_open(&self) {
        let open = self.foreign.values().filter(|file| file.state == FileState::Open);
        if let left @ 1.. = open.count() {
            info!(
                component = &*self.component,
                "{left} files with committed events of other runs keep their temporary names, since their writers may \
                 live; if not, the next start completes the files"
            );
        }
    }

    /// Returns the open files that have no writer. Asks for all at once, since HDFS may take seconds to close one.
    async fn abandoned(&self) -> Vec<FileRecord> {
        let mut asked = JoinSet::new();
        for file in self.foreign.values().filter(|file| file.state == FileState::Open) {
            let (files, path, file) =
                (self.file_system.clone(), join(&self.root, &file.temporary), file.clone());
            asked.spawn(async move { (files.is_abandoned(&path).await, path, file) });
        }
        let mut abandoned = Vec::new();
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok((Ok(true), _, file)) => abandoned.push(file),
                Ok((Ok(false), ..)) | Err(_) => {}
                Ok((Err(error), path, _)) => warn!(
                    component = &*self.component,
                    "can't tell whether {path} is still being written, so it keeps its temporary name: {error}"
                ),
            }
        }
        abandoned.sort_by(|one, other| one.complete.cmp(&other.complete));
        abandoned
    }

    /// Cuts open files without a writer to their committed length, and gives them their final names.
    ///
    /// The last entry must be a whole one: then a commit of an earlier run that still hangs can't become an entry with
    /// a greater length than the file has.
    pub(super) async fn complete_open(&mut self) -> Result<(), LedgerError> {
        let abandoned = self.abandoned().await;
        if abandoned.is_empty() {
            return Ok(());
        }
        if !self.file_system.knows_writers_of_closed_files() {
            // The writer may live although its lease has ended. It must not commit more of the file from here on.
            for file in &abandoned {
                retire_existing(&*self.file_system, &join(&self.root, &file.temporary)).await?;
            }
        }
        // A writer may have committed more of a file after the last entry that was read, and then died.
        self.catch_up().await?;
        let mut completed = 0;
        for FileRecord { complete, .. } in abandoned {
            let Some(file) = self.foreign.get(&complete).cloned() else { continue };
            completed += u64::from(self.complete(&file).await?);
            self.foreign.remove(&complete);
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

/// Gives a temporary file the name of a retired one, unless it has that name. Returns the path.
///
/// # Errors
/// When it could not be renamed.
pub(in crate::tools::file_writer) async fn retire<F: FileSystem>(
    files: &F,
    path: &str,
) -> Result<String, FileError> {
    if temporary_of(path).is_some() {
        return Ok(path.to_string());
    }
    let target = retired(path);
    match files.rename_no_replace(path, &target).await {
        Ok(()) => Ok(target),
        // The answer may have been lost.
        Err(error) => match files.length(&target).await {
            Ok(Some(_)) => Ok(target),
            Ok(None) | Err(_) => Err(FileError::of(Operation::Remove, path)(error)),
        },
    }
}

/// Retires a file, if it exists under its temporary name.
async fn retire_existing<F: FileSystem>(files: &F, path: &str) -> Result<(), FileError> {
    match files.length(path).await.map_err(FileError::of(Operation::Read, path))? {
        Some(_) => retire(files, path).await.map(drop),
        None => Ok(()),
    }
}

/// Gives a committed file its final name, unless it has it, and cuts off its uncommitted end.
///
/// A file that has neither of its names had its final name and has been moved away by its user.
pub(super) async fn rename<F: FileSystem>(
    files: &F,
    root: &str,
    file: &FileRecord,
) -> Result<Completion, LedgerError> {
    let FileRecord { length, checksum, state, .. } = file;
    let complete = join(root, &file.complete);
    let Some((temporary, found)) = find_temporary(files, &join(root, &file.temporary)).await? else {
        sync_name(files, &complete).await?;
        return Ok(Completion::Named(false));
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
        let number = files.random().map_err(LedgerError::Random)?;
        let copy = copy_of(&file.temporary, number);
        let cut = files.cut(&temporary, *length, &join(root, &copy)).await;
        match cut.map_err(FileError::of(Operation::Cut, &temporary))? {
            Cut::InPlace => {}
            Cut::Copied => {
                let copy = FileRecord { temporary: copy, state: FileState::Complete, ..file.clone() };
                return Ok(Completion::Copied { copy, original: temporary });
            }
        }
    }
    let renamed = files.rename_no_replace(&temporary, &complete).await;
    match renamed {
        Ok(()) => Ok(Completion::Named(true)),
        // Its writer has renamed the file, or an earlier attempt whose answer was lost.
        Err(error) => match find_temporary(files, &join(root, &file.temporary)).await {
            Ok(None) => {
                sync_name(files, &complete).await?;
                Ok(Completion::Named(true))
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
