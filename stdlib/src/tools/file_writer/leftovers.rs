//! Removes the temporary files of agents that were killed.
//!
//! The events in such files were never acknowledged and are redelivered. Files that an entry of the ledger names are
//! kept: they are complete and only lack their final name.
//!
//! A file is a leftover only if its name has the marker of the same program and sink and the name of another instance
//! ([`FileNames::is_left_over`](super::names::FileNames)). It is removed only when the file system knows of no writer,
//! since another agent may run the same program on the same directories.
//!
//! HDFS does not know the writer of a file that is closed and not committed yet. There the search *retires* a file
//! before it removes it, so that the writer can't commit it any more:
//!
//! ```text
//! rename F to its retired name ──► create an entry that says nothing ──► does an entry name F? rename it to its final name
//!                                                                              │ no: remove it
//! ```
//!
//! If the entry names only the beginning of F, the file was open, and that beginning gets the final name.
//!
//! A writer that commits F looks for F after it has read the entry before its own. So it creates its entry before the
//! search's entry, which then sees it, or it finds that F is gone and writes the events again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};
use weir_runtime::{Failure, Meter};

use super::error::{FileError, Operation};
use super::file::FileWriter;
use super::file_system::FileSystem;
use super::ledger::{FileState, Ledger, LedgerError, named_files, retire};
use super::markers::MarkerSearch;
use super::names::{below, file_name, join, temporary_of};
use super::walk::{Listing, Walk};

/// Leftovers are removed in batches of this size. The ledger is read once for each batch.
const BATCH_FILES: usize = 1_000;

/// Files that still had a writer are checked again after this time. HDFS gives up the lease of a dead writer after
/// 60 s.
const RECHECK_AFTER: Duration = Duration::from_secs(35);

/// The search ends after this many checks in a row that have removed no file. On HDFS the files of a dead writer
/// become free one at a time, about one a minute: giving up the lease of one file renews the lease of the others.
const VAIN_CHECKS_MAX: usize = 5;

/// Searches for leftovers under `root` and removes them.
pub(super) struct Sweep<F: FileSystem> {
    pub(super) component: Arc<str>,
    pub(super) writer: Arc<FileWriter<F>>,
    pub(super) meter: Arc<Meter>,
    pub(super) root: String,
    /// How deep below the root the sink's path leads.
    pub(super) depth: usize,
    /// The directory of the ledger. An agent that promises more may keep one although this sink keeps none.
    pub(super) ledger: String,
    /// Looks for directories without a marker, if they get markers.
    pub(super) markers: Option<MarkerSearch>,
}

/// What a search has to check again.
pub(super) enum Remaining {
    /// All directories, because one could not be listed.
    Everything,
    /// These files, because they still have a writer.
    Written(Vec<String>),
}

impl<F: FileSystem> Sweep<F> {
    /// Searches all directories once.
    pub(super) async fn search(&self) -> Remaining {
        match self.find_and_remove().await {
            Ok(written) => Remaining::Written(written),
            Err(error) => {
                let error = Failure::from(error);
                warn!(
                    component = &*self.component,
                    "can't look for leftovers of an earlier run yet: {error}"
                );
                Remaining::Everything
            }
        }
    }

    /// Checks again what remains, until nothing does.
    pub(super) async fn search_again(&self, mut remaining: Remaining) {
        let mut vain_checks = 0;
        while vain_checks < VAIN_CHECKS_MAX {
            if matches!(&remaining, Remaining::Written(paths) if paths.is_empty()) {
                return;
            }
            sleep(RECHECK_AFTER).await;
            vain_checks += 1;
            remaining = match remaining {
                Remaining::Everything => self.search().await,
                Remaining::Written(paths) => {
                    let before = paths.len();
                    let left = self.remove(paths).await;
                    if left.len() < before {
                        vain_checks = 0;
                    }
                    Remaining::Written(left)
                }
            };
        }
    }

    /// Removes the leftovers in all directories. Returns those that still have a writer.
    async fn find_and_remove(&self) -> Result<Vec<String>, FileError> {
        let (mut found, mut written) = (Vec::new(), Vec::new());
        let mut walk = Walk::below(&self.root, self.depth);
        while let Some(Listing { directory, files, .. }) = walk.next(&*self.writer.file_system).await? {
            if let Some(markers) = &self.markers {
                markers.look_at(&directory, &files, self.writer.names.owner());
            }
            let left = files.iter().filter(|file| self.writer.names.is_left_over(&file.name));
            found.extend(left.map(|file| join(&directory, &file.name)));
            if found.len() >= BATCH_FILES {
                written.append(&mut self.remove(std::mem::take(&mut found)).await);
            }
        }
        written.append(&mut self.remove(found).await);
        Ok(written)
    }

    /// Returns those of the files that no entry of the ledger names. Their writers must be known to be gone: then no
    /// new entry can name them. Where writers are not known, also returns files that are committed in part.
    async fn unnamed(&self, mut paths: Vec<String>) -> Vec<String> {
        if weir_runtime::put_back!("leftovers_without_ledger") {
            return paths;
        }
        if !paths.is_empty() {
            let knows_writers = self.writer.file_system.knows_writers_of_closed_files();
            match named_files(&*self.writer.file_system, &self.root, &self.ledger).await {
                Ok(named) => paths.retain(|path| {
                    let name = file_name(path);
                    match named.get(temporary_of(name).as_deref().unwrap_or(name)) {
                        None => true,
                        Some(FileState::Complete) => false,
                        // Its writer is not known to be gone. If it is, the file is completed.
                        Some(FileState::Open) => !knows_writers,
                    }
                }),
                Err(error) => {
                    self.warn_kept(error.failure());
                    paths.clear();
                }
            }
        }
        paths
    }

    fn warn_kept(&self, error: Failure) {
        warn!(component = &*self.component, "a leftover of an earlier run stays: {error}");
    }

    /// Retires files, and returns the retired ones that no entry names and that no entry can name any more. Files that
    /// an entry names get their final names. Files that could not be retired are added to `kept`.
    async fn retire(&self, paths: Vec<String>, kept: &mut Vec<String>) -> Vec<String> {
        let mut all_retired = Vec::new();
        for path in paths {
            match retire(&*self.writer.file_system, &path).await {
                Ok(retired) => all_retired.push(retired),
                Err(error) => self.warn_kept(error.into()),
            }
        }
        if all_retired.is_empty() {
            return all_retired;
        }
        match self.unnamed_behind_a_fence(&all_retired).await {
            Ok(unnamed) => unnamed,
            Err(error) => {
                self.warn_kept(error.failure());
                kept.append(&mut all_retired);
                all_retired
            }
        }
    }

    async fn unnamed_behind_a_fence(&self, all_retired: &[String]) -> Result<Vec<String>, LedgerError> {
        let FileWriter { file_system, root, names, .. } = &*self.writer;
        let (component, directory) = (self.component.clone(), self.ledger.clone());
        let mut ledger =
            Ledger::read(file_system.clone(), component, root.clone(), directory, names.instance()).await?;
        // Without an entry there is no agent with a ledger: each begins its ledger before it writes files.
        if ledger.mark() > 0 && !weir_runtime::put_back!("retired_without_fence") {
            ledger.fence().await?;
        }
        let mut unnamed = Vec::new();
        for retired in all_retired {
            let temporary = temporary_of(retired).unwrap_or_default();
            if !ledger.complete_retired(below(root, &temporary).unwrap_or(&temporary)).await? {
                unnamed.push(retired.clone());
            }
        }
        Ok(unnamed)
    }

    /// Removes the files that have no writer and that no entry names. Returns those that have a writer.
    async fn remove(&self, mut paths: Vec<String>) -> Vec<String> {
        let knows_writers = self.writer.file_system.knows_writers_of_closed_files();
        let mut written = Vec::new();
        let mut abandoned = Vec::new();
        if !knows_writers {
            // Committed files are left alone, and so are their writers.
            paths = self.unnamed(paths).await;
        }
        for path in paths {
            match self.writer.file_system.is_abandoned(&path).await {
                Ok(true) => abandoned.push(path),
                Ok(false) => written.push(path),
                Err(error) => self.warn_kept(FileError::of(Operation::Remove, &path)(error).into()),
            }
        }
        let unnamed = match knows_writers {
            true => self.unnamed(abandoned).await,
            false => self.retire(abandoned, &mut written).await,
        };
        let mut removed = 0_u64;
        for path in unnamed {
            match self.writer.file_system.remove(&path).await {
                Ok(()) => removed += 1,
                Err(error) => self.warn_kept(FileError::of(Operation::Remove, &path)(error).into()),
            }
        }
        if removed > 0 {
            self.meter.count("leftovers_removed", removed);
            info!(
                component = &*self.component,
                "removed {removed} unfinished files of an earlier run; their events are redelivered"
            );
        }
        written
    }
}
