//! The errors of the ledger, and their consequences for the sink.

use thiserror::Error;
use weir_runtime::Failure;

use super::entry::LATER;
use crate::tools::file_writer::error::FileError;

/// Why the ledger can't be read or written.
#[derive(Debug, Error)]
pub(in crate::tools::file_writer) enum LedgerError {
    /// An operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The machine has no random numbers.
    #[error("the machine has no random numbers: {0}")]
    Random(getrandom::Error),
    /// Another writer has written some of the rows.
    #[error(
        "another writer of {directory} has written some of these events meanwhile: the files are written again without them"
    )]
    Overlap {
        /// The ledger's directory.
        directory: String,
    },
    /// Another writer has added entries that this writer has not read.
    #[error("another writer of {directory} has gone on meanwhile: what is in it is read again")]
    Overtaken {
        /// The ledger's directory.
        directory: String,
    },
    /// A file or entry of this run was removed.
    #[error("{path} was removed under way: its events are written again")]
    Removed {
        /// The missing file.
        path: String,
    },
    /// Entries are missing.
    #[error(
        "entries before {number} are missing in {directory}: without them nobody knows which events have arrived; put them back, or begin the ledger anew with `weir ledger repair --accept-repeats {directory}`, after which some events may be written twice"
    )]
    Missing {
        /// The first entry that exists.
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
        /// The fault.
        what: &'static str,
    },
    /// There are complete files that no entry has named.
    #[error(
        "{directory} knows nothing of {count} complete files of this sink, the latest of which is {path}: the ledger was deleted, or put back from a backup, perhaps with the channel"
    )]
    Behind {
        /// The ledger's directory.
        directory: String,
        /// The latest of these files.
        path: String,
        /// The number of these files.
        count: usize,
    },
    /// A complete file is longer than its committed length in the ledger.
    #[error(
        "{directory} knows the first {known} bytes of {path}, and of its {length} bytes all were committed: the ledger was put back from a backup, perhaps with the channel"
    )]
    Outgrown {
        /// The ledger's directory.
        directory: String,
        /// The file, under its final name.
        path: String,
        /// The committed length in the ledger.
        known: u64,
        /// The length of the file.
        length: u64,
    },
    /// A committed file has other bytes than were written.
    #[error(
        "{path} is not as it was written: the ledger says that its first {length} bytes have the checksum {checksum:016x}; put back a copy as {complete}"
    )]
    Changed {
        /// The file's path.
        path: String,
        /// The file's final path.
        complete: String,
        /// The number of committed bytes.
        length: u64,
        /// The checksum of these bytes.
        checksum: u64,
    },
    /// An entry that was to be written could not be decoded again.
    #[error("{path} would not be readable: {what}; this is a defect, and nothing was committed")]
    Unreadable {
        /// The entry.
        path: String,
        /// The fault.
        what: &'static str,
    },
    /// The events have no identities.
    #[error("events came that do not say which they are, although `exactly_once` is promised")]
    Unidentified,
}

impl LedgerError {
    /// Whether entries of a version that is supported can't be read.
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

    /// Returns the failure of the sink: permanent if no retry can help.
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
