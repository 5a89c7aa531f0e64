//! The file system that the writer of files works on: the local disk, HDFS, or a simulation in a test's memory.

use std::error::Error;
use std::future::Future;

use bytes::Bytes;
use weir_runtime::{BlockingExecutor, ConnectFailure, Failure};

/// The operations on a file system that the writer needs. Paths are joined with `/`.
///
/// An operation that returned `Ok` outlasts a crash of the agent and, if the file system can promise it, a crash of
/// the machine, unless its comment says otherwise.
pub(crate) trait FileSystem: Send + Sync + 'static {
    /// Where long computations run.
    const EXECUTOR: BlockingExecutor = BlockingExecutor::Threads;

    /// A file that is being written. Dropping it leaves the file as it is.
    type File: Send + 'static;
    /// Why an operation failed.
    type Error: Error + Send + Sync + 'static;

    /// Whether [`FileSystem::is_abandoned`] knows the writer of a closed file without its final name. Otherwise the
    /// search for leftovers may find a closed file of a running agent: it retires the file before it removes it
    /// ([`leftovers`](super::leftovers)).
    fn knows_writers_of_closed_files(&self) -> bool;

    /// Whether [`FileSystem::sync`] works, so that a file can be committed while it stays open.
    fn commits_open_files(&self) -> bool;

    /// Whether servers keep the files. A running agent waits for them, so the check before the start does not read the ledger.
    fn has_servers(&self) -> bool {
        false
    }

    /// Whether the error says that no more files can be open at once.
    fn is_out_of_descriptors(error: &Self::Error) -> bool;

    /// Returns a random number: names that contain it are not used by another run or on another machine.
    ///
    /// # Errors
    /// When the machine has no random numbers.
    fn random(&self) -> Result<u64, getrandom::Error> {
        getrandom::u64()
    }

    /// Checks before the start whether files can be written. A file system of this machine tries to create a file in a
    /// directory, and removes it; servers are asked only whether they accept the agent's credentials. Returns the failure.
    fn probe(&self, _directory: &str) -> impl Future<Output = Option<Failure>> + Send {
        std::future::ready(None)
    }

    /// Asks the servers whether files can be written below a directory. Returns the failures; none for a file system without
    /// servers, which [`FileSystem::probe`] tries.
    fn connect(&self, _directory: &str) -> impl Future<Output = Vec<ConnectFailure>> + Send {
        std::future::ready(Vec::new())
    }

    /// Creates a file, which must not exist yet, and the directories that it is in.
    fn create_new(&self, path: &str) -> impl Future<Output = Result<Self::File, Self::Error>> + Send;

    /// Appends to a file. The bytes need not be durable before [`FileSystem::sync`] or [`FileSystem::close`].
    fn write(
        &self,
        file: &mut Self::File,
        bytes: Bytes,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Makes all written bytes durable; more may be written. The file's name need not be durable, as with
    /// [`FileSystem::close`].
    fn sync(&self, file: &mut Self::File) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Makes all written bytes durable and closes the file for writing. The file's name need not be durable before
    /// [`FileSystem::sync_name`] or a rename in its directory.
    fn close(&self, file: &mut Self::File) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Renames a closed file within its directory. Fails if a file of the new name exists.
    ///
    /// After an error the file may have been renamed all the same, if the answer was lost. `Ok` is never concluded from
    /// the names of files: another writer may have taken the new name.
    fn rename_no_replace(&self, from: &str, to: &str)
    -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Makes the name of a file durable that was created, or whose rename has an unknown outcome.
    fn sync_name(&self, path: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Removes a file, if it exists. The file may exist again after a crash of the machine.
    fn remove(&self, path: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Whether the file has no writer: its writer has died, or has dropped it. A writer that
    /// holds its closed file counts as well, if the file system knows it
    /// ([`FileSystem::knows_writers_of_closed_files`]).
    fn is_abandoned(&self, path: &str) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Cuts a file to a length, durably. Fails if the file has a writer. A file system whose files can't be cut writes their
    /// beginning into a new file with the name `copy` instead, and closes it. Returns which of both it has done.
    fn cut(
        &self,
        path: &str,
        length: u64,
        copy: &str,
    ) -> impl Future<Output = Result<Cut, Self::Error>> + Send;

    /// Reads a small file; none if it does not exist.
    fn read(&self, path: &str) -> impl Future<Output = Result<Option<Bytes>, Self::Error>> + Send;

    /// Returns the length of a file in bytes; none if it does not exist.
    fn length(&self, path: &str) -> impl Future<Output = Result<Option<u64>, Self::Error>> + Send;

    /// Returns XXH3 (64 bits) of a file's first `length` bytes, or of all bytes if the file is shorter.
    fn checksum(&self, path: &str, length: u64) -> impl Future<Output = Result<u64, Self::Error>> + Send;

    /// Lists a directory; nothing if it does not exist.
    fn list(&self, directory: &str) -> impl Future<Output = Result<Vec<Entry>, Self::Error>> + Send;
}

/// How a file was cut to a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The file has the length.
    InPlace,
    /// A copy has the length. The file is as it was.
    Copied,
}

/// A file or directory in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name, without the directory.
    pub(crate) name: String,
    /// Whether the entry is a directory.
    pub(crate) is_directory: bool,
    /// The time of the last change, in milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) modified_ms: u64,
}
