//! The file system of the sink `hdfs`: implements [`FileSystem`] with the HDFS client.
//!
//! A writer whose only DataNode has died can't continue; its file is given up and written again from the channel.

use std::time::Duration;

use bytes::Bytes;
use hdfs_native::client::FileStatus;
use hdfs_native::file::FileWriter;
use hdfs_native::{HdfsError as ClientError, WriteOptions};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::debug;
use weir_runtime::{Cause, ConnectFailure, Failure};
use xxhash_rust::xxh3::Xxh3Default;

use super::connection::{
    CALL_TIMEOUT, CONNECT_TIMEOUT, Hdfs, HdfsError, NOT_FOUND, Servers, WRITE_TIMEOUT, cause, unless_missing,
    within, write_error,
};
use crate::tools::file_writer::{Entry, FileSystem};

/// The most bytes that one call reads.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// The timeout of closing a file that was given up, in the background.
const ABANDONED_CLOSE_TIMEOUT: Duration = Duration::from_secs(70);

/// The NameNode's error while it recovers the lease of a writer that has died.
const RECOVERY: &str = "RecoveryInProgressException";

/// A file that is being written.
pub(super) struct HdfsFile {
    /// `None` once the file is closed.
    writer: Option<FileWriter>,
}

impl Drop for HdfsFile {
    /// Closes a file that is given up in the background. Otherwise the client would keep its connection and send
    /// heartbeats to the DataNode until the agent ends.
    fn drop(&mut self) {
        if let (Some(mut writer), Ok(runtime)) = (self.writer.take(), Handle::try_current()) {
            runtime.spawn(async move {
                if let Err(error) = within(ABANDONED_CLOSE_TIMEOUT, writer.close()).await {
                    debug!("a file that was given up did not close: {error}");
                }
            });
        }
    }
}

/// HDFS as the writer of files sees it.
pub(super) struct HdfsFiles(pub(super) Hdfs);

impl FileSystem for HdfsFiles {
    type File = HdfsFile;
    type Error = HdfsError;

    /// A writer is known by its lease, which ends when the file is closed.
    fn knows_writers_of_closed_files(&self) -> bool {
        false
    }

    /// The client can't cut a file that a killed writer has left.
    fn commits_open_files(&self) -> bool {
        false
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
        self.0.login_failure().await
    }

    /// Creates an empty file in the nearest directory that exists, and removes it.
    async fn connect(&self, directory: &str) -> Vec<ConnectFailure> {
        let at = |setting, failure| vec![ConnectFailure { setting: Some(setting), failure }];
        if let Some(failure) = self.0.login_failure().await {
            return at("security", failure);
        }
        match timeout(CONNECT_TIMEOUT, self.0.try_directory(directory)).await {
            Ok(Ok(())) => Vec::new(),
            Ok(Err(error @ (HdfsError::NoTicket(_) | HdfsError::Security(_)))) => {
                at("security", Failure::from(error))
            }
            Ok(Err(error)) if cause(&error) == Some(Cause::NotAuthorised) => at("path", Failure::from(error)),
            Ok(Err(error)) => at("url", Failure::from(error)),
            Err(_elapsed) => {
                let url = &self.0.connection.url;
                let (cause, what) = self.0.connection.probe().await;
                let setting = if cause == Cause::NotAuthorised { "security" } else { "url" };
                at(setting, Failure::transient(format!("{url} {what}")).caused_by(cause))
            }
        }
    }

    async fn create_new(&self, path: &str) -> Result<HdfsFile, HdfsError> {
        // The NameNode makes the directories.
        let options = WriteOptions { replication: self.0.connection.replication, ..WriteOptions::default() };
        let create = self.0.client()?.create(path, options);
        Ok(HdfsFile { writer: Some(self.0.answer(Servers::NameNode, CALL_TIMEOUT, create).await?) })
    }

    async fn write(&self, file: &mut HdfsFile, bytes: Bytes) -> Result<(), HdfsError> {
        let writer = file.writer.as_mut().ok_or(HdfsError::GivenUp)?;
        self.0
            .answer(Servers::DataNodes, WRITE_TIMEOUT, writer.write_bytes(bytes))
            .await
            .map(drop)
            .map_err(write_error)
    }

    async fn sync(&self, _file: &mut HdfsFile) -> Result<(), HdfsError> {
        Err(HdfsError::OpenFile)
    }

    async fn close(&self, file: &mut HdfsFile) -> Result<(), HdfsError> {
        let writer = file.writer.as_mut().ok_or(HdfsError::GivenUp)?;
        self.0.answer(Servers::DataNodes, WRITE_TIMEOUT, writer.close()).await.map_err(write_error)?;
        file.writer = None;
        self.0.works(Servers::DataNodes);
        Ok(())
    }

    async fn rename_no_replace(&self, from: &str, to: &str) -> Result<(), HdfsError> {
        self.0.answer(Servers::NameNode, CALL_TIMEOUT, self.0.client()?.rename(from, to, false)).await
    }

    /// Does nothing: the NameNode answers a rename after it has synced its log, so the name is durable.
    async fn sync_name(&self, _path: &str) -> Result<(), HdfsError> {
        Ok(())
    }

    async fn remove(&self, path: &str) -> Result<(), HdfsError> {
        self.0.answer(Servers::NameNode, CALL_TIMEOUT, self.0.client()?.delete(path, false)).await.map(drop)
    }

    /// Finds out whether the writer of a file is dead. The NameNode refuses to append to a file whose writer has
    /// renewed its lease within the last minute, and the attempt does not disturb the writer.
    ///
    /// A closed file is not appended to, since readers would miss its last block meanwhile. A file that ends within a
    /// block is closed: while it is written without syncs, its length has complete blocks only.
    async fn is_abandoned(&self, path: &str) -> Result<bool, HdfsError> {
        let Some(status) = self.0.status(path).await? else { return Ok(true) };
        let block_bytes = status.blocksize.filter(|bytes| *bytes > 0).unwrap_or(1);
        if !(status.length as u64).is_multiple_of(block_bytes) {
            return Ok(true);
        }
        match self.0.answer(Servers::NameNode, CALL_TIMEOUT, self.0.client()?.append(path)).await {
            Ok(writer) => self.close(&mut HdfsFile { writer: Some(writer) }).await?,
            Err(HdfsError::Client(ClientError::AlreadyExists(_))) => return Ok(false),
            Err(HdfsError::Client(ClientError::RPCError(class, _))) if class.ends_with(RECOVERY) => {}
            Err(HdfsError::Client(ClientError::RPCError(class, _))) if class.ends_with(NOT_FOUND) => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    async fn cut(&self, _path: &str, _length: u64) -> Result<(), HdfsError> {
        Err(HdfsError::OpenFile)
    }

    async fn read(&self, path: &str) -> Result<Option<Bytes>, HdfsError> {
        let reader = self.0.answer(Servers::NameNode, CALL_TIMEOUT, self.0.client()?.read(path)).await;
        let Some(mut reader) = unless_missing(reader)? else { return Ok(None) };
        let length = reader.file_length();
        self.0.answer(Servers::DataNodes, WRITE_TIMEOUT, reader.read_bytes(length)).await.map(Some)
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, HdfsError> {
        Ok(self.0.status(path).await?.map(|status| status.length as u64))
    }

    async fn checksum(&self, path: &str, length: u64) -> Result<u64, HdfsError> {
        let mut reader = self.0.answer(Servers::NameNode, CALL_TIMEOUT, self.0.client()?.read(path)).await?;
        let (mut sum, mut left) = (Xxh3Default::new(), length);
        loop {
            let most = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let bytes = self.0.answer(Servers::DataNodes, WRITE_TIMEOUT, reader.read_bytes(most)).await?;
            if bytes.is_empty() || most == 0 {
                return Ok(sum.digest());
            }
            sum.update(&bytes);
            left -= bytes.len() as u64;
        }
    }

    async fn list(&self, directory: &str) -> Result<Vec<Entry>, HdfsError> {
        let list = self.0.client()?.list_status(directory, false);
        let statuses = unless_missing(self.0.answer(Servers::NameNode, CALL_TIMEOUT, list).await)?;
        let entry = |status: FileStatus| {
            let name = status.path.rsplit('/').next()?.to_string();
            Some(Entry { name, is_directory: status.isdir, modified_ms: status.modification_time })
        };
        Ok(statuses.into_iter().flatten().filter_map(entry).collect())
    }
}
