//! Complete files as witnesses against a ledger that was deleted or put back from a backup, perhaps together with the
//! channel and the positions, so that nothing else knows how far the sink has been.
//!
//! The ledger knows which files it has named ([`FileNumbers`]), and an entry that names a file is there before the file
//! has its final name. So a file of this sink whose final name no entry has named shows that the ledger is not the
//! newest. Files of other sinks are known by their names, and those of another ledger by the directory that it is in.

use tracing::warn;
use weir_runtime::Failure;
use weir_runtime::channel::LedgerLoss;

use super::error::FileError;
use super::ledger::{FOLDER, FileNumbers, LedgerError};
use super::names::{Named, Owner, file_name, join};
use super::walk::{Found, Walk};
use super::{FileSink, FileSinkError, FileSystem, Keeping, READS_MAX};

/// Where the complete files of a sink are looked for.
pub(super) struct Look<'a, F> {
    pub(super) files: &'a F,
    pub(super) root: &'a str,
    /// How deep below the root the sink's path leads.
    pub(super) depth: usize,
    /// The name of the ledger's folder.
    pub(super) folder: &'a str,
    pub(super) owner: &'a Owner,
}

/// Complete files that a ledger does not know.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    pub(super) files: Vec<Named>,
    /// The one that was begun last, and its path.
    pub(super) latest: Option<(Named, String)>,
    /// Directories that could not be looked into: the first one's error, and how many.
    pub(super) unseen: Option<(String, u64)>,
}

impl<F: FileSystem> Look<'_, F> {
    /// The complete files of this sink that were never named.
    ///
    /// # Errors
    /// When a directory can't be listed and that may pass.
    pub(super) async fn unknown(&self, numbers: &FileNumbers) -> Result<Unknown, Failure> {
        let mut unknown = Unknown::default();
        let mut walk = Walk::below(self.root, self.depth);
        loop {
            let found = match walk.next(self.files).await {
                Ok(None) => return Ok(unknown),
                Ok(Some(found)) => found,
                Err(error) => {
                    self.pass_over(error, &mut unknown)?;
                    continue;
                }
            };
            let Found { directory, files, has_ledgers } = found;
            if has_ledgers && directory != self.root && self.has_own_ledger(&directory).await {
                walk.pass_over();
                continue;
            }
            let own = files.iter().filter_map(|file| Some((self.owner.own(&file.name)?, &file.name)));
            for (file, name) in own.filter(|(file, _)| !numbers.know(file)) {
                unknown.files.push(file);
                if unknown.latest.as_ref().is_none_or(|(latest, _)| *latest < file) {
                    unknown.latest = Some((file, join(&directory, name)));
                }
            }
        }
    }

    /// Whether another ledger of the same sink is in this directory, from when its path was another one: it knows the
    /// files below.
    async fn has_own_ledger(&self, directory: &str) -> bool {
        let ledgers = self.files.list(&join(directory, FOLDER)).await;
        ledgers.is_ok_and(|ledgers| ledgers.iter().any(|ledger| ledger.name == self.folder))
    }

    /// A directory of somebody else that may not be read is no reason not to start.
    fn pass_over(&self, error: FileError, unknown: &mut Unknown) -> Result<(), Failure> {
        let failure = Failure::from(error);
        if !failure.is_permanent() {
            return Err(failure);
        }
        let unseen = unknown.unseen.take();
        let (first, count) = unseen.unwrap_or((failure.to_string(), 0));
        unknown.unseen = Some((first, count + 1));
        Ok(())
    }
}

impl<F: FileSystem> FileSink<F> {
    /// Reads the ledger, and holds it against the complete files of this sink. Says what the ledger should know and
    /// does not.
    ///
    /// # Errors
    /// When something can't be read.
    pub(super) async fn ledger_loss(&mut self) -> Result<Option<LedgerLoss>, Failure> {
        for _ in 0..READS_MAX {
            self.read_ledger().await?;
            let Some(suspicion) = self.suspicion().await? else { return Ok(None) };
            // Another agent may have completed it since the ledger was read.
            self.ledger.ledger = None;
            self.read_ledger().await?;
            let Some(ledger) = &self.ledger.ledger else { return Ok(None) };
            let holds = match &suspicion {
                Suspicion::Unknown(Unknown { latest, .. }) => {
                    latest.as_ref().is_some_and(|(latest, _)| !ledger.numbers().know(latest))
                }
                Suspicion::Outgrown { .. } => {
                    ledger.outgrown().await.map_err(LedgerError::failure)?.is_some()
                }
            };
            if holds && !weir_runtime::put_back!("ledger_put_back_believed") {
                return Ok(Some(self.told(suspicion)));
            }
        }
        Err(Failure::transient(FileSinkError::Overtaken))
    }

    /// Has the ledger go on with what it has forgotten.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub(super) async fn accept(&mut self) -> Result<(), Failure> {
        self.read_ledger().await?;
        let files = match self.suspicion().await? {
            None => return Ok(()),
            Some(Suspicion::Unknown(unknown)) => unknown.files,
            Some(Suspicion::Outgrown { .. }) => self.unknown().await?.files,
        };
        let Some(ledger) = &mut self.ledger.ledger else { return Ok(()) };
        ledger.believe(&files).await.map_err(LedgerError::failure)?;
        let component = &*self.context.component;
        warn!(
            component,
            "the ledger goes on without what it has forgotten, as was accepted: {} files",
            files.len()
        );
        Ok(())
    }

    /// What speaks against the ledger that was read.
    async fn suspicion(&self) -> Result<Option<Suspicion>, Failure> {
        let Some(ledger) = self.ledger.ledger.as_ref().filter(|_| self.context.exactly_once) else {
            return Ok(None);
        };
        let outgrown = ledger.outgrown().await.map_err(LedgerError::failure)?;
        if let Some((path, known, length)) = outgrown {
            return Ok(Some(Suspicion::Outgrown { path, known, length }));
        }
        let unknown = self.unknown().await?;
        if let Some((error, count)) = &unknown.unseen {
            let component = &*self.context.component;
            warn!(
                component,
                "can't look into {count} directories for complete files that the ledger should know: {error}"
            );
        }
        Ok((!unknown.files.is_empty()).then_some(Suspicion::Unknown(unknown)))
    }

    /// The complete files that the ledger does not know.
    async fn unknown(&self) -> Result<Unknown, Failure> {
        let Keeping { directory, ledger } = &self.ledger;
        let look = Look {
            files: &*self.workshop.file_system,
            root: &self.workshop.root,
            depth: self.path.depth(),
            folder: file_name(directory.as_deref().unwrap_or_default()),
            owner: self.workshop.names.owner(),
        };
        match ledger {
            Some(ledger) => look.unknown(ledger.numbers()).await,
            None => Ok(Unknown::default()),
        }
    }

    fn told(&self, suspicion: Suspicion) -> LedgerLoss {
        let directory = self.ledger.directory.clone().unwrap_or_default();
        let remedy = LedgerError::way_out(&directory);
        let what = match suspicion {
            Suspicion::Unknown(Unknown { files, latest, .. }) => {
                let path = latest.map(|(_, path)| path).unwrap_or_default();
                LedgerError::Behind { directory, path, count: files.len() }
            }
            Suspicion::Outgrown { path, known, length } => {
                LedgerError::Outgrown { directory, path, known, length }
            }
        };
        LedgerLoss { what: what.to_string(), remedy }
    }
}

/// What a ledger should know and does not.
enum Suspicion {
    Unknown(Unknown),
    Outgrown { path: String, known: u64, length: u64 },
}
