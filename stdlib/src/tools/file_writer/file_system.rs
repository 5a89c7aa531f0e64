//! The seam between the writer of files and where they are: the local disk, HDFS, or a test's
//! memory.

use std::error::Error;
use std::future::Future;

use bytes::Bytes;
use weir_runtime::{BlockingExecutor, Failure};

/// What the writer needs of a file system. Paths are joined with `/`.
///
/// Whatever returns `Ok` has happened for good: it outlives a crash of the agent and, where the
/// file system can promise it, of its machine.
pub(crate) trait FileSystem: Send + Sync + 'static {
    /// Whether [`FileSystem::is_abandoned`] knows the writer of a file that is closed and has not got
    /// its final name: without, another agent might remove it between the two, and no ledger helps.
    const KNOWS_WRITERS_OF_CLOSED_FILES: bool;
    /// Whether [`FileSystem::sync`] and [`FileSystem::cut`] do what they say, so that a file can be committed
    /// while it stays open.
    const COMMITS_OPEN_FILES: bool;
    /// Where what computes for long is done.
    const EXECUTOR: BlockingExecutor = BlockingExecutor::Threads;

    /// A file that is being written. Dropping it gives it up where it stands.
    type File: Send + 'static;
    /// What goes wrong.
    type Error: Error + Send + Sync + 'static;

    /// Whether this says that no more files can be open at once.
    fn is_out_of_descriptors(error: &Self::Error) -> bool;

    /// Why no files can be made in a directory, tried without leaving any; nothing where that is not known.
    fn probe(&self, _directory: &str) -> impl Future<Output = Option<Failure>> + Send {
        std::future::ready(None)
    }

    /// Makes a file that must not exist yet, and the directories that it is in.
    fn create_new(&self, path: &str) -> impl Future<Output = Result<Self::File, Self::Error>> + Send;

    /// Appends to a file. It need not be durable before [`FileSystem::close`].
    fn write(
        &self,
        file: &mut Self::File,
        bytes: Bytes,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Makes all that was written durable; more may be written. About the file's name as [`FileSystem::close`].
    fn sync(&self, file: &mut Self::File) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Makes all that was written durable, and writes no more. The file's name need not be durable before
    /// [`FileSystem::sync_name`] or a rename in its directory.
    fn close(&self, file: &mut Self::File) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Gives a closed file another name in its directory; an error if there is such a file.
    ///
    /// An error after which nobody knows whether it was renamed is cleared up before it is
    /// returned: then the file has its old name, or it can't be known at all.
    fn rename_no_replace(&self, from: &str, to: &str)
    -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Makes the name of a file durable: one that was made, or renamed with an outcome in doubt.
    fn sync_name(&self, path: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Removes a file; it is no error if there is none. After a crash of its machine it may be there again.
    fn remove(&self, path: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Whether nobody writes this file any more: its writer has died, or closed it and gone on. A
    /// writer that holds on to its closed file is still its writer, where the file system can tell.
    fn is_abandoned(&self, path: &str) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Cuts a file to a length, durably; an error if somebody writes it.
    fn cut(&self, path: &str, length: u64) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// What is in a small file; nothing if it is not there.
    fn read(&self, path: &str) -> impl Future<Output = Result<Option<Bytes>, Self::Error>> + Send;

    /// The length of a file; nothing if it is not there.
    fn length(&self, path: &str) -> impl Future<Output = Result<Option<u64>, Self::Error>> + Send;

    /// XXH3 (64 bits) of a file's first `length` bytes, or of all where it is shorter.
    fn checksum(&self, path: &str, length: u64) -> impl Future<Output = Result<u64, Self::Error>> + Send;

    /// What is in a directory; nothing if it does not exist.
    fn list(&self, directory: &str) -> impl Future<Output = Result<Vec<Entry>, Self::Error>> + Send;
}

/// A file or directory in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name, without the directory.
    pub(crate) name: String,
    /// Whether it is a directory itself.
    pub(crate) is_directory: bool,
    /// When it was last changed, in milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) modified_ms: u64,
}
