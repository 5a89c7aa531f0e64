//! What an agent that was killed has left behind: temporary files that nobody writes any more.
//!
//! Its events were never acknowledged, so they come again, and the files are removed; but not those
//! that an entry of the ledger names, which are complete and only lack their final name. Only
//! files are considered that bear the marker of the same program and sink, and another
//! instance's name ([`FileNames::is_left_over`](super::names::FileNames)); and one of those is
//! removed only when the file system knows of no writer: another agent may run the same program
//! on the same directories. Should that go wrong all the same, nothing is lost: the other
//! agent's file fails to close, and its events come again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};
use weir_runtime::{Failure, Meter};

use super::error::{FileError, Operation};
use super::file::Workshop;
use super::file_system::FileSystem;
use super::ledger::named_files;
use super::names::{file_name, join};
use super::walk::{Found, Walk};

/// So many leftovers are removed together. The ledger is read once for that.
const TOGETHER: usize = 1_000;

/// Files that still had a writer are looked at again after this; HDFS gives up the lease of a
/// writer that has died after 60 s.
const SECOND_LOOK: Duration = Duration::from_secs(35);

/// How often they are looked at again without any of them having gone. On HDFS those of one dead
/// writer go one at a time, about one a minute: giving up one file renews the lease of the others.
const LOOKS_IN_VAIN_MAX: usize = 5;

/// Looks for leftovers under `root` and removes them.
pub(super) struct Sweep<F: FileSystem> {
    pub(super) component: Arc<str>,
    pub(super) workshop: Arc<Workshop<F>>,
    pub(super) meter: Arc<Meter>,
    pub(super) root: String,
    /// How deep below it the path leads.
    pub(super) depth: usize,
    /// The directory of the ledger, if the sink keeps one.
    pub(super) ledger: Option<String>,
}

/// What a look has left to be looked at again.
pub(super) enum Rest {
    /// All of it: the directories could not be listed.
    Everything,
    /// These files still have a writer.
    Written(Vec<String>),
}

impl<F: FileSystem> Sweep<F> {
    /// The first look.
    pub(super) async fn look(&self) -> Rest {
        match self.find_and_remove().await {
            Ok(written) => Rest::Written(written),
            Err(error) => {
                let error = Failure::from(error);
                warn!(
                    component = &*self.component,
                    "can't look for leftovers of an earlier run yet: {error}"
                );
                Rest::Everything
            }
        }
    }

    /// Looks again at what is left, until nothing is.
    pub(super) async fn look_again(&self, mut rest: Rest) {
        let mut looks_in_vain = 0;
        while looks_in_vain < LOOKS_IN_VAIN_MAX {
            if matches!(&rest, Rest::Written(paths) if paths.is_empty()) {
                return;
            }
            sleep(SECOND_LOOK).await;
            looks_in_vain += 1;
            rest = match rest {
                Rest::Everything => self.look().await,
                Rest::Written(paths) => {
                    let before = paths.len();
                    let left = self.remove(paths).await;
                    if left.len() < before {
                        looks_in_vain = 0;
                    }
                    Rest::Written(left)
                }
            };
        }
    }

    /// Looks into all directories. Returns what is still being written.
    async fn find_and_remove(&self) -> Result<Vec<String>, FileError> {
        let (mut found, mut written) = (Vec::new(), Vec::new());
        let mut walk = Walk::below(&self.root, self.depth);
        while let Some(Found { directory, files, .. }) = walk.next(&*self.workshop.file_system).await? {
            let left = files.iter().filter(|file| self.workshop.names.is_left_over(&file.name));
            found.extend(left.map(|file| join(&directory, &file.name)));
            if found.len() >= TOGETHER {
                written.append(&mut self.remove(std::mem::take(&mut found)).await);
            }
        }
        written.append(&mut self.remove(found).await);
        Ok(written)
    }

    /// Those of these files that no entry of the ledger names. Asked when their writers are known to be
    /// gone: who is gone names no file any more.
    async fn unnamed(&self, mut paths: Vec<String>) -> Vec<String> {
        if weir_runtime::put_back!("leftovers_without_ledger") {
            return paths;
        }
        if let (Some(directory), false) = (&self.ledger, paths.is_empty()) {
            match named_files(&*self.workshop.file_system, &self.root, directory).await {
                Ok(named) => paths.retain(|path| !named.contains(file_name(path))),
                Err(error) => {
                    self.stays(error.failure());
                    paths.clear();
                }
            }
        }
        paths
    }

    fn stays(&self, error: Failure) {
        warn!(component = &*self.component, "a leftover of an earlier run stays: {error}");
    }

    /// Removes those that nobody writes and that are not complete; returns those that are written.
    async fn remove(&self, paths: Vec<String>) -> Vec<String> {
        let mut written = Vec::new();
        let mut abandoned = Vec::new();
        for path in paths {
            match self.workshop.file_system.is_abandoned(&path).await {
                Ok(true) => abandoned.push(path),
                Ok(false) => written.push(path),
                Err(error) => self.stays(FileError::of(Operation::Remove, &path)(error).into()),
            }
        }
        let mut removed = 0_u64;
        for path in self.unnamed(abandoned).await {
            match self.workshop.file_system.remove(&path).await {
                Ok(()) => removed += 1,
                Err(error) => self.stays(FileError::of(Operation::Remove, &path)(error).into()),
            }
        }
        if removed > 0 {
            self.meter.count("leftovers_removed", removed);
            info!(
                component = &*self.component,
                "removed {removed} unfinished files of an earlier run; their events come again"
            );
        }
        written
    }
}
