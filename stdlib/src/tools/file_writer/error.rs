//! The error of an operation on a file.

use std::error::Error;
use std::fmt;

use thiserror::Error;

/// An operation that failed on a path.
#[derive(Debug, Error)]
#[error("{operation} {path}")]
pub(crate) struct FileError {
    /// The operation.
    pub(crate) operation: Operation,
    /// The path of the file or directory.
    pub(crate) path: String,
    /// The cause.
    #[source]
    pub(crate) source: Box<dyn Error + Send + Sync>,
}

/// An operation of the writer on files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Creates a file.
    Create,
    /// Encodes events.
    Encode,
    /// Appends to a file.
    Write,
    /// Syncs and closes a file.
    Close,
    /// Gives a file its final name.
    Rename,
    /// Removes a file.
    Remove,
    /// Syncs an open file.
    Sync,
    /// Cuts off the uncommitted end of a file.
    Cut,
    /// Lists a directory.
    List,
    /// Reads a file.
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
    /// Returns a function for `map_err` that makes the error of this operation on this path.
    pub(crate) fn of<E>(operation: Operation, path: &str) -> impl FnOnce(E) -> FileError
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        move |source| FileError { operation, path: path.to_string(), source: source.into() }
    }
}
