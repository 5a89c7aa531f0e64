//! What goes wrong with one file.

use std::error::Error;
use std::fmt;

use thiserror::Error;

/// An operation that failed on a path.
#[derive(Debug, Error)]
#[error("{operation} {path}")]
pub(crate) struct FileError {
    /// What was tried.
    pub(crate) operation: Operation,
    /// On what.
    pub(crate) path: String,
    /// Why it failed.
    #[source]
    pub(crate) source: Box<dyn Error + Send + Sync>,
}

/// What the writer does with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Makes a new file.
    Create,
    /// Turns events into bytes.
    Encode,
    /// Appends.
    Write,
    /// Makes durable and closes.
    Close,
    /// Gives a file its final name.
    Rename,
    /// Removes a file.
    Remove,
    /// Makes durable what was written so far.
    Sync,
    /// Cuts off what is not committed.
    Cut,
    /// Looks into a directory.
    List,
    /// Reads.
    Read,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Create => "creating",
            Operation::Encode => "encoding",
            Operation::Write => "writing",
            Operation::Close => "closing",
            Operation::Rename => "giving its final name to",
            Operation::Remove => "removing",
            Operation::Sync => "syncing",
            Operation::Cut => "cutting off the uncommitted end of",
            Operation::List => "listing",
            Operation::Read => "reading",
        })
    }
}

impl FileError {
    /// For `map_err`: this operation on this path failed.
    pub(crate) fn of<E>(operation: Operation, path: &str) -> impl FnOnce(E) -> FileError
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        move |source| FileError { operation, path: path.to_string(), source: source.into() }
    }
}
