//! `weir ledger repair`: goes on with a ledger that has forgotten complete files of its sink, or that can't be read.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use weir_runtime::Failure;

use super::FileSystem;
use super::ledger::{FOLDER, Ledger, LedgerError};
use super::names::{Owner, file_name};
use super::stale_ledger::FileSearch;

/// The search for files goes this deep below the sink's root.
const DEPTH: usize = 128;

/// The losses of a ledger, and whether they were accepted.
#[derive(Debug)]
pub struct LedgerRepair {
    directory: String,
    /// Why the ledger can't be read, if it can't.
    fault: Option<String>,
    /// The number of complete files that no entry has named, and the path of the latest one.
    files: usize,
    latest: Option<String>,
    /// A complete file that is longer than its committed length in the ledger.
    outgrown: Option<String>,
    /// The error of the first directory that could not be listed, and the number of such directories.
    unseen: Option<(String, u64)>,
    /// Whether the ledger was repaired.
    pub made: bool,
}

/// Why a ledger was not repaired.
#[derive(Debug, Error)]
pub enum LedgerRepairError {
    /// The path is not the directory of a ledger.
    #[error(
        "{0} is no directory of a ledger: that is `.weir/PROGRAM.SINK` in the directory that the sink writes into; on HDFS with the sink's `url` before it"
    )]
    NoLedger(String),
    /// Reading or writing failed.
    #[error("{0}")]
    Failed(Failure),
}

impl From<Failure> for LedgerRepairError {
    fn from(failure: Failure) -> LedgerRepairError {
        LedgerRepairError::Failed(failure)
    }
}

impl LedgerRepair {
    /// Whether the ledger has no losses.
    pub fn is_whole(&self) -> bool {
        self.fault.is_none() && self.files == 0 && self.outgrown.is_none()
    }
}

impl fmt::Display for LedgerRepair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LedgerRepair { directory, fault, files, latest, outgrown, unseen, made } = self;
        if let Some((error, count)) = unseen {
            writeln!(f, "{count} directories could not be looked into: {error}")?;
        }
        if let Some(fault) = fault {
            writeln!(f, "{fault}")?;
        }
        if let Some(latest) = latest {
            writeln!(
                f,
                "{directory} knows nothing of {files} complete files, the latest of which is {latest}"
            )?;
        }
        if let Some(path) = outgrown {
            writeln!(f, "{directory} knows only the beginning of {path}")?;
        }
        match made {
            true => writeln!(f, "it goes on: what it has forgotten may be written twice"),
            false if self.is_whole() => writeln!(f, "{directory} knows all complete files of its sink"),
            false => Ok(()),
        }
    }
}

/// Splits the path of a ledger's directory into the root and the directory's name.
fn place(directory: &str) -> Option<(&str, &str)> {
    let directory = directory.trim_end_matches('/');
    let (ledgers, folder) = directory.rsplit_once('/')?;
    let root = match ledgers.strip_suffix(FOLDER)? {
        "" => ".",
        "/" => "/",
        root => root.strip_suffix('/')?,
    };
    (!folder.is_empty() && folder.contains('.')).then_some((root, folder))
}

/// Searches for losses of the ledger in this directory. Repairs it if the user accepts repeated events.
///
/// # Errors
/// When there is no ledger, it can't be read or written, or an agent writes it at the same time.
pub(crate) async fn repair<F: FileSystem>(
    files: Arc<F>,
    directory: &str,
    accept_repeats: bool,
) -> Result<LedgerRepair, LedgerRepairError> {
    let directory = directory.trim_end_matches('/');
    let no_ledger = || LedgerRepairError::NoLedger(directory.to_string());
    let (root, folder) = place(directory).ok_or_else(no_ledger)?;
    let ledger = |unread| {
        let (files, component) = (files.clone(), file_name(folder).into());
        let (root, directory) = (root.to_string(), directory.to_string());
        async move {
            match unread {
                true => Ledger::unread(files, component, root, directory, 0).await,
                false => Ledger::read(files, component, root, directory, 0).await,
            }
        }
    };
    let (mut ledger, fault) = match ledger(false).await {
        Ok(ledger) => (ledger, None),
        Err(error) if error.is_fault() => {
            (ledger(true).await.map_err(LedgerError::failure)?, Some(error.to_string()))
        }
        Err(error) => return Err(error.failure().into()),
    };
    let owner = Owner::of(folder, true);
    let search = FileSearch { files: &*files, root, depth: DEPTH, folder, owner: &owner };
    let unnamed = search.unnamed(ledger.numbers()).await?;
    let outgrown = ledger.outgrown().await.map_err(LedgerError::failure)?;
    let mut repair = LedgerRepair {
        directory: directory.to_string(),
        fault,
        files: unnamed.files.len(),
        latest: unnamed.latest.map(|(_, path)| path),
        outgrown: outgrown.map(|(path, ..)| path),
        unseen: unnamed.unlisted,
        made: false,
    };
    if repair.is_whole() && ledger.mark() == 0 {
        // There is neither a ledger nor a file of its sink.
        return Err(no_ledger());
    }
    if accept_repeats && !repair.is_whole() {
        ledger.believe(&unnamed.files, BTreeSet::new(), Some(0)).await.map_err(LedgerError::failure)?;
        repair.made = true;
    }
    Ok(repair)
}
