//! Why the ledger can't go on, and what that means for the sink.

use thiserror::Error;
use weir_runtime::Failure;

use super::entry::LATER;
use crate::tools::file_writer::error::FileError;

/// Why the ledger can't go on.
#[derive(Debug, Error)]
pub(in crate::tools::file_writer) enum LedgerError {
    /// An operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// No random numbers.
    #[error("the machine has no random numbers: {0}")]
    Random(getrandom::Error),
    /// Another writer has some of the rows.
    #[error(
        "another writer of {directory} has written some of these events meanwhile: the files are written again without them"
    )]
    Overlap {
        /// The ledger's directory.
        directory: String,
    },
    /// Another writer went on before this one could look.
    #[error("another writer of {directory} has gone on meanwhile: what is in it is read again")]
    Overtaken {
        /// The ledger's directory.
        directory: String,
    },
    /// Somebody has removed what was being worked on.
    #[error("{path} was removed under way: its events are written again")]
    Removed {
        /// What is not there any more.
        path: String,
    },
    /// Somebody has removed entries.
    #[error(
        "entries before {number} are missing in {directory}: without them nobody knows which events have arrived; put them back, or begin the ledger anew with `weir ledger repair --accept-repeats {directory}`, after which some events may be written twice"
    )]
    Missing {
        /// The first entry that is there.
        number: u64,
        /// The ledger's directory.
        directory: String,
    },
    /// An entry can't be read.
    #[error(
        "{path} is damaged: {what}; put back a copy, or begin the ledger anew with `weir ledger repair --accept-repeats` and its directory, after which some events may be written twice"
    )]
    Damaged {
        /// The entry.
        path: String,
        /// In which way.
        what: &'static str,
    },
    /// There are files of which every ledger of this sink should know.
    #[error(
        "{directory} knows nothing of {count} complete files of this sink, the latest of which is {path}: the ledger was deleted, or put back from a backup, perhaps with the channel"
    )]
    Behind {
        /// The ledger's directory.
        directory: String,
        /// The latest of these files.
        path: String,
        /// How many there are.
        count: usize,
    },
    /// A file was committed further than the ledger knows.
    #[error(
        "{directory} knows the first {known} bytes of {path}, and of its {length} bytes all were committed: the ledger was put back from a backup, perhaps with the channel"
    )]
    Outgrown {
        /// The ledger's directory.
        directory: String,
        /// The file, under its final name.
        path: String,
        /// How many of its bytes the ledger knows.
        known: u64,
        /// How many there are.
        length: u64,
    },
    /// A file that is committed is not the one that was written.
    #[error(
        "{path} is not as it was written: the ledger says that its first {length} bytes have the checksum {checksum:016x}; put back a copy as {complete}"
    )]
    Changed {
        /// Where it is.
        path: String,
        /// What it would be called.
        complete: String,
        /// How many of its bytes are committed.
        length: u64,
        /// Of these bytes.
        checksum: u64,
    },
    /// What was to be written could not be read back.
    #[error("{path} would not be readable: {what}; this is a defect, and nothing was committed")]
    Unreadable {
        /// The entry.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The core gave events without identities.
    #[error("events came that do not say which they are, although `exactly_once` is promised")]
    Unidentified,
}

impl LedgerError {
    /// Whether entries can't be read that this version should be able to read.
    pub(in crate::tools::file_writer) fn is_fault(&self) -> bool {
        match self {
            LedgerError::Missing { .. } => true,
            LedgerError::Damaged { what, .. } => *what != LATER,
            _ => false,
        }
    }

    /// What can be done about a ledger in this directory that has forgotten what it had.
    pub(in crate::tools::file_writer) fn way_out(directory: &str) -> String {
        format!(
            "No event was delivered and no file was removed: put the newer ledger back, or go on with `weir ledger repair --accept-repeats {directory}`, after which what the ledger has forgotten may be written twice"
        )
    }

    /// What it means for the sink: what no attempt can mend is permanent.
    pub(in crate::tools::file_writer) fn failure(self) -> Failure {
        match self {
            LedgerError::Missing { .. }
            | LedgerError::Damaged { .. }
            | LedgerError::Changed { .. }
            | LedgerError::Behind { .. }
            | LedgerError::Outgrown { .. }
            | LedgerError::Unreadable { .. }
            | LedgerError::Unidentified => Failure::permanent(self),
            LedgerError::File(_) => Failure::from(self),
            LedgerError::Random(_)
            | LedgerError::Removed { .. }
            | LedgerError::Overlap { .. }
            | LedgerError::Overtaken { .. } => Failure::transient(self),
        }
    }
}
