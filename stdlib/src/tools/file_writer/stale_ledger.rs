//! Finds out from complete files whether the ledger is stale: deleted, or restored from a backup.
//!
//! If the channel and the positions were restored with it, nothing else shows how far the sink had come. The ledger
//! knows which files it has named ([`FileNumbers`]), and an entry names a file before the file gets its final name. So
//! a complete file of this sink that no entry has named shows that the ledger is stale. Names tell files of other sinks
//! apart. Files that belong to another ledger of this sink are below the directory of that ledger.

use tracing::warn;
use weir_runtime::Failure;
use weir_runtime::channel::{Acceptance, LedgerLoss};

use super::error::FileError;
use super::ledger::{FOLDER, FileNumbers, LedgerError};
use super::names::{Named, Owner, file_name, join};
use super::walk::{Listing, Walk};
use super::{FileSink, FileSinkError, FileSystem, READS_MAX, SinkLedger};

/// A search for complete files of a sink.
pub(super) struct FileSearch<'a, F> {
    pub(super) files: &'a F,
    pub(super) root: &'a str,
    /// How deep below the root the sink's path leads.
    pub(super) depth: usize,
    /// The name of the ledger's folder.
    pub(super) folder: &'a str,
    pub(super) owner: &'a Owner,
}

/// Complete files that no entry of the ledger has named.
#[derive(Debug, Default)]
pub(super) struct Unnamed {
    pub(super) files: Vec<Named>,
    /// The file that was begun last, and its path.
    pub(super) latest: Option<(Named, String)>,
    /// The error of the first directory that could not be listed, and the number of such directories.
    pub(super) unlisted: Option<(String, u64)>,
}

impl<F: FileSystem> FileSearch<'_, F> {
    /// Returns the complete files of this sink that no entry has named.
    ///
    /// # Errors
    /// When a directory can't be listed and the failure is transient.
    pub(super) async fn unnamed(&self, numbers: &FileNumbers) -> Result<Unnamed, Failure> {
        let mut unnamed = Unnamed::default();
        let mut walk = Walk::below(self.root, self.depth);
        loop {
            let listing = match walk.next(self.files).await {
                Ok(None) => return Ok(unnamed),
                Ok(Some(listing)) => listing,
                Err(error) => {
                    count_unlisted(error, &mut unnamed)?;
                    continue;
                }
            };
            let Listing { directory, files, has_ledgers } = listing;
            if has_ledgers && directory != self.root && self.has_own_ledger(&directory).await {
                walk.skip_children();
                continue;
            }
            let own = files.iter().filter_map(|file| Some((self.owner.own(&file.name)?, &file.name)));
            for (file, name) in own.filter(|(file, _)| !numbers.know(file)) {
                unnamed.files.push(file);
                if unnamed.latest.as_ref().is_none_or(|(latest, _)| *latest < file) {
                    unnamed.latest = Some((file, join(&directory, name)));
                }
            }
        }
    }

    /// Whether this directory has another ledger of the same sink, from a time when the sink had another path. The
    /// files below the directory belong to that ledger.
    async fn has_own_ledger(&self, directory: &str) -> bool {
        let ledgers = self.files.list(&join(directory, FOLDER)).await;
        ledgers.is_ok_and(|ledgers| ledgers.iter().any(|ledger| ledger.name == self.folder))
    }
}

/// Counts a directory that can't be listed for good, such as a directory of another user: it must not keep the agent
/// from starting.
fn count_unlisted(error: FileError, unnamed: &mut Unnamed) -> Result<(), Failure> {
    let failure = Failure::from(error);
    if !failure.is_permanent() {
        return Err(failure);
    }
    let unlisted = unnamed.unlisted.take();
    let (first, count) = unlisted.unwrap_or((failure.to_string(), 0));
    unnamed.unlisted = Some((first, count + 1));
    Ok(())
}

impl<F: FileSystem> FileSink<F> {
    /// Reads the ledger and compares it with the complete files of this sink. Returns what the ledger lacks.
    ///
    /// # Errors
    /// When the ledger or a directory can't be read.
    pub(super) async fn ledger_loss(&mut self) -> Result<Option<LedgerLoss>, Failure> {
        for _ in 0..READS_MAX {
            self.read_ledger().await?;
            let Some(evidence) = self.evidence().await? else { return Ok(None) };
            // Another agent may have completed the file since the ledger was read.
            self.ledger.loaded = None;
            self.read_ledger().await?;
            let Some(ledger) = &self.ledger.loaded else { return Ok(None) };
            let is_stale = match &evidence {
                Evidence::Unnamed(Unnamed { latest, .. }) => {
                    latest.as_ref().is_some_and(|(latest, _)| !ledger.numbers().know(latest))
                }
                Evidence::Outgrown { .. } => ledger.outgrown().await.map_err(LedgerError::failure)?.is_some(),
            };
            if is_stale && !weir_runtime::put_back!("ledger_put_back_believed") {
                return Ok(Some(self.loss(evidence)));
            }
        }
        Err(Failure::transient(FileSinkError::Overtaken))
    }

    /// Adds to the ledger the files that it has forgotten, and the channels that are read from now on.
    ///
    /// # Errors
    /// When the ledger can't be read or written.
    pub(super) async fn accept(&mut self, acceptance: &Acceptance) -> Result<(), Failure> {
        self.read_ledger().await?;
        let evidence = self.evidence().await?;
        let is_stale = evidence.is_some();
        let files = match evidence {
            None => Vec::new(),
            Some(Evidence::Unnamed(unnamed)) => unnamed.files,
            Some(Evidence::Outgrown { .. }) => self.unnamed().await?.files,
        };
        let Some(ledger) = &mut self.ledger.loaded else { return Ok(()) };
        let beyond = (is_stale || acceptance.mark > ledger.mark()).then_some(acceptance.mark);
        let believed = ledger.believe(&files, acceptance.channels.clone(), beyond).await;
        believed.map_err(LedgerError::failure)?;
        let component = &*self.context.component;
        warn!(
            component,
            "the ledger goes on without what it or its channel has forgotten, as was accepted: it did not know {} files",
            files.len()
        );
        Ok(())
    }

    /// Returns evidence that the ledger is stale.
    async fn evidence(&self) -> Result<Option<Evidence>, Failure> {
        let Some(ledger) = self.ledger.loaded.as_ref().filter(|_| self.context.exactly_once) else {
            return Ok(None);
        };
        let outgrown = ledger.outgrown().await.map_err(LedgerError::failure)?;
        if let Some((path, known, length)) = outgrown {
            return Ok(Some(Evidence::Outgrown { path, known, length }));
        }
        let unnamed = self.unnamed().await?;
        if let Some((error, count)) = &unnamed.unlisted {
            let component = &*self.context.component;
            warn!(
                component,
                "can't look into {count} directories for complete files that the ledger should know: {error}"
            );
        }
        Ok((!unnamed.files.is_empty()).then_some(Evidence::Unnamed(unnamed)))
    }

    /// Returns the complete files that no entry of the ledger has named.
    async fn unnamed(&self) -> Result<Unnamed, Failure> {
        let SinkLedger { directory, loaded } = &self.ledger;
        let search = FileSearch {
            files: &*self.writer.file_system,
            root: &self.writer.root,
            depth: self.path.depth(),
            folder: file_name(directory.as_deref().unwrap_or_default()),
            owner: self.writer.names.owner(),
        };
        match loaded {
            Some(ledger) => search.unnamed(ledger.numbers()).await,
            None => Ok(Unnamed::default()),
        }
    }

    fn loss(&self, evidence: Evidence) -> LedgerLoss {
        let directory = self.ledger.directory.clone().unwrap_or_default();
        let remedy = LedgerError::way_out(&directory);
        let what = match evidence {
            Evidence::Unnamed(Unnamed { files, latest, .. }) => {
                let path = latest.map(|(_, path)| path).unwrap_or_default();
                LedgerError::Behind { directory, path, count: files.len() }
            }
            Evidence::Outgrown { path, known, length } => {
                LedgerError::Outgrown { directory, path, known, length }
            }
        };
        LedgerLoss { what: what.to_string(), remedy }
    }
}

/// Evidence that a ledger is stale.
enum Evidence {
    /// Complete files that no entry has named.
    Unnamed(Unnamed),
    /// A complete file that is longer than the ledger says of the open file.
    Outgrown { path: String, known: u64, length: u64 },
}
