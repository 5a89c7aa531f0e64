//! The file system of the sink `hdfs`: implements [`FileSystem`] with the HDFS client.
//!
//! A writer whose only DataNode has died can't continue; its file is given up and written again from the channel.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hdfs_native::client::FileStatus;
use hdfs_native::file::FileWriter;
use hdfs_native::{HdfsError as ClientError, WriteOptions};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;
use weir_runtime::{Cause, ConnectFailure, Failure};
use xxhash_rust::xxh3::Xxh3Default;

use super::connection::{
    CALL_TIMEOUT, CONNECT_TIMEOUT, Hdfs, HdfsError, NOT_FOUND, Servers, WRITE_TIMEOUT, cause, unless_missing,
    within, write_error,
};
use super::writers::Writers;
use crate::tools::file_writer::{Cut, Entry, FileSystem};

/// The most bytes that one call reads.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// The timeout of closing a file that was given up, in the background.
const ABANDONED_CLOSE_TIMEOUT: Duration = Duration::from_secs(70);

/// The NameNode's error while it recovers the lease of a writer that has died.
const RECOVERY: &str = "RecoveryInProgressException";

/// How long the NameNode may take to close a file without a writer, and the time between two questions.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(20);
const RECOVERY_PAUSE: Duration = Duration::from_millis(500);

/// What the client says of a file in a directory with erasure coding.
const NOT_SYNCED: &str = "hsync is not supported";

/// The paths of files that this agent has given up while they were open.
#[derive(Clone, Default)]
struct GivenUp(Arc<Mutex<BTreeSet<String>>>);

impl GivenUp {
    fn paths(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is being written.
pub(super) struct HdfsFile {
    path: String,
    /// `None` once the file is closed.
    writer: Option<FileWriter>,
    given_up: GivenUp,
}

impl Drop for HdfsFile {
    /// Closes a file that is given up in the background. Otherwise the client would keep its connection and send
    /// heartbeats to the DataNode until the agent ends.
    fn drop(&mut self) {
        let Some(mut writer) = self.writer.take() else { return };
        self.given_up.paths().insert(std::mem::take(&mut self.path));
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = within(ABANDONED_CLOSE_TIMEOUT, writer.close()).await {
                    debug!("a file that was given up did not close: {error}");
                }
            });
        }
    }
}

/// HDFS as the writer of files sees it.
pub(super) struct HdfsFiles {
    hdfs: Hdfs,
    given_up: GivenUp,
    writers: Arc<Writers>,
    /// Whether a file could not be synced, since its directory has erasure coding.
    is_erasure_coded: AtomicBool,
}

impl HdfsFiles {
    pub(super) fn new(hdfs: Hdfs) -> HdfsFiles {
        let (given_up, writers) = (GivenUp::default(), Arc::new(Writers::of_this_machine()));
        HdfsFiles { hdfs, given_up, writers, is_erasure_coded: AtomicBool::new(false) }
    }

    fn file(&self, path: &str, writer: FileWriter) -> HdfsFile {
        HdfsFile { path: path.to_string(), writer: Some(writer), given_up: self.given_up.clone() }
    }

    /// Whether the writer of a file is known to be gone: it is this agent, which has given the file up, or an agent of this
    /// machine that has died.
    async fn is_given_up(&self, path: &str) -> bool {
        if self.given_up.paths().contains(path) {
            return true;
        }
        let (writers, path) = (self.writers.clone(), path.to_owned());
        spawn_blocking(move || writers.is_dead(&path)).await.unwrap_or(false)
    }

    /// Has the NameNode close an open file whose writer is gone. Returns whether it has.
    async fn close_without_writer(&self, path: &str) -> Result<bool, HdfsError> {
        let until = Instant::now() + RECOVERY_TIMEOUT;
        loop {
            let recovered = self.hdfs.client()?.recover_lease(path);
            match self.hdfs.answer(Servers::NameNode, CALL_TIMEOUT, recovered).await {
                Ok(true) => break,
                Ok(false) if Instant::now() < until => sleep(RECOVERY_PAUSE).await,
                Ok(false) => return Ok(false),
                Err(HdfsError::Client(ClientError::RPCError(class, _))) if class.ends_with(NOT_FOUND) => {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.given_up.paths().remove(path);
        Ok(true)
    }

    /// Writes the first `length` bytes of a file into a new one.
    async fn copy(&self, path: &str, length: u64, copy: &str) -> Result<(), HdfsError> {
        let mut reader =
            self.hdfs.answer(Servers::NameNode, CALL_TIMEOUT, self.hdfs.client()?.read(path)).await?;
        let mut file = self.create_new(copy).await?;
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let bytes = self.hdfs.answer(Servers::DataNodes, WRITE_TIMEOUT, reader.read_bytes(most)).await?;
            if bytes.is_empty() {
                return Err(HdfsError::Short(path.to_string()));
            }
            left -= bytes.len() as u64;
            self.write(&mut file, bytes).await?;
        }
        self.close(&mut file).await
    }
}

impl FileSystem for HdfsFiles {
    type File = HdfsFile;
    type Error = HdfsError;

    /// A writer is known by its lease, which ends when the file is closed.
    fn knows_writers_of_closed_files(&self) -> bool {
        false
    }

    fn commits_open_files(&self) -> bool {
        !self.is_erasure_coded.load(Ordering::Relaxed)
    }

    fn has_servers(&self) -> bool {
        true
    }

    /// A file on HDFS uses a few connections. A lack of descriptors is not a reason to close another file.
    fn is_out_of_descriptors(_error: &HdfsError) -> bool {
        false
    }

    /// Checks the credentials alone: a running agent waits for the servers.
    async fn probe(&self, _directory: &str) -> Option<Failure> {
        self.hdfs.login_failure().await
    }

    /// Creates an empty file in the nearest directory that exists, and removes it.
    async fn connect(&self, directory: &str) -> Vec<ConnectFailure> {
        let at = |setting, failure| vec![ConnectFailure { setting: Some(setting), failure }];
        if let Some(failure) = self.hdfs.login_failure().await {
            return at("security", failure);
        }
        match timeout(CONNECT_TIMEOUT, self.hdfs.try_directory(directory)).await {
            Ok(Ok(())) => Vec::new(),
            Ok(Err(error @ (HdfsError::NoTicket(_) | HdfsError::Security(_)))) => {
                at("security", Failure::from(error))
            }
            Ok(Err(error)) if cause(&error) == Some(Cause::NotAuthorised) => at("path", Failure::from(error)),
            Ok(Err(error)) => at("url", Failure::from(error)),
            Err(_elapsed) => {
                let url = &self.hdfs.connection.url;
                let (cause, what) = self.hdfs.connection.probe().await;
                let setting = if cause == Cause::NotAuthorised { "security" } else { "url" };
                at(setting, Failure::transient(format!("{url} {what}")).caused_by(cause))
            }
        }
    }

    async fn create_new(&self, path: &str) -> Result<HdfsFile, HdfsError> {
        let (writers, begun) = (self.writers.clone(), path.to_owned());
        // Without the lock, other agents wait for the lease.
        let _unlocked = spawn_blocking(move || writers.begin(&begun)).await;
        // The NameNode makes the directories.
        let options =
            WriteOptions { replication: self.hdfs.connection.replication, ..WriteOptions::default() };
        let create = self.hdfs.client()?.create(path, options);
        let writer = self.hdfs.answer(Servers::NameNode, CALL_TIMEOUT, create).await?;
        Ok(self.file(path, writer))
    }

    async fn write(&self, file: &mut HdfsFile, bytes: Bytes) -> Result<(), HdfsError> {
        let writer = file.writer.as_mut().ok_or(HdfsError::GivenUp)?;
        self.hdfs
            .answer(Servers::DataNodes, WRITE_TIMEOUT, writer.write_bytes(bytes))
            .await
            .map(drop)
            .map_err(write_error)
    }

    /// Has all DataNodes of the last block sync it, and tells the NameNode its length.
    async fn sync(&self, file: &mut HdfsFile) -> Result<(), HdfsError> {
        let writer = file.writer.as_mut().ok_or(HdfsError::GivenUp)?;
        let synced = self.hdfs.answer(Servers::DataNodes, WRITE_TIMEOUT, writer.hsync()).await;
        if let Err(HdfsError::Client(error)) = &synced
            && error.to_string().contains(NOT_SYNCED)
        {
            // The next run closes files instead.
            self.is_erasure_coded.store(true, Ordering::Relaxed);
        }
        synced.map_err(write_error)
    }

    async fn close(&self, file: &mut HdfsFile) -> Result<(), HdfsError> {
        let writer = file.writer.as_mut().ok_or(HdfsError::GivenUp)?;
        self.hdfs.answer(Servers::DataNodes, WRITE_TIMEOUT, writer.close()).await.map_err(write_error)?;
        file.writer = None;
        self.hdfs.works(Servers::DataNodes);
        Ok(())
    }

    async fn rename_no_replace(&self, from: &str, to: &str) -> Result<(), HdfsError> {
        self.hdfs.answer(Servers::NameNode, CALL_TIMEOUT, self.hdfs.client()?.rename(from, to, false)).await
    }

    /// Does nothing: the NameNode answers a rename after it has synced its log, so the name is durable.
    async fn sync_name(&self, _path: &str) -> Result<(), HdfsError> {
        Ok(())
    }

    async fn remove(&self, path: &str) -> Result<(), HdfsError> {
        self.hdfs.answer(Servers::NameNode, CALL_TIMEOUT, self.hdfs.client()?.delete(path, false)).await?;
        self.given_up.paths().remove(path);
        Ok(())
    }

    /// Finds out whether the writer of a file is dead. The NameNode refuses to append to a file whose writer has
    /// renewed its lease within the last minute, and the attempt does not disturb the writer.
    async fn is_abandoned(&self, path: &str) -> Result<bool, HdfsError> {
        if self.hdfs.status(path).await?.is_none() {
            return Ok(true);
        }
        // The client renews the leases of its files until they are closed, and the NameNode waits for a dead writer for a minute.
        if self.is_given_up(path).await {
            return self.close_without_writer(path).await;
        }
        match self.hdfs.answer(Servers::NameNode, CALL_TIMEOUT, self.hdfs.client()?.append(path)).await {
            Ok(writer) => self.close(&mut self.file(path, writer)).await?,
            Err(HdfsError::Client(ClientError::AlreadyExists(_))) => return Ok(false),
            // The NameNode has given its writer up, and its length is not known before that is over.
            Err(HdfsError::Client(ClientError::RPCError(class, _))) if class.ends_with(RECOVERY) => {
                return self.close_without_writer(path).await;
            }
            Err(HdfsError::Client(ClientError::RPCError(class, _))) if class.ends_with(NOT_FOUND) => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Copies the beginning of the file: the client can't cut files.
    async fn cut(&self, path: &str, length: u64, copy: &str) -> Result<Cut, HdfsError> {
        self.copy(path, length, copy).await.map(|()| Cut::Copied)
    }

    async fn read(&self, path: &str) -> Result<Option<Bytes>, HdfsError> {
        let reader = self.hdfs.answer(Servers::NameNode, CALL_TIMEOUT, self.hdfs.client()?.read(path)).await;
        let Some(mut reader) = unless_missing(reader)? else { return Ok(None) };
        let length = reader.file_length();
        self.hdfs.answer(Servers::DataNodes, WRITE_TIMEOUT, reader.read_bytes(length)).await.map(Some)
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, HdfsError> {
        Ok(self.hdfs.status(path).await?.map(|status| status.length as u64))
    }

    async fn checksum(&self, path: &str, length: u64) -> Result<u64, HdfsError> {
        let mut reader =
            self.hdfs.answer(Servers::NameNode, CALL_TIMEOUT, self.hdfs.client()?.read(path)).await?;
        let (mut sum, mut left) = (Xxh3Default::new(), length);
        loop {
            let most = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let bytes = self.hdfs.answer(Servers::DataNodes, WRITE_TIMEOUT, reader.read_bytes(most)).await?;
            if bytes.is_empty() || most == 0 {
                return Ok(sum.digest());
            }
            sum.update(&bytes);
            left -= bytes.len() as u64;
        }
    }

    async fn list(&self, directory: &str) -> Result<Vec<Entry>, HdfsError> {
        let list = self.hdfs.client()?.list_status(directory, false);
        let statuses = unless_missing(self.hdfs.answer(Servers::NameNode, CALL_TIMEOUT, list).await)?;
        let entry = |status: FileStatus| {
            let name = status.path.rsplit('/').next()?.to_string();
            Some(Entry { name, is_directory: status.isdir, modified_ms: status.modification_time })
        };
        Ok(statuses.into_iter().flatten().filter_map(entry).collect())
    }
}
