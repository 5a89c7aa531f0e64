//! The file system of the sink `hdfs`: implements [`FileSystem`] with the HDFS client.
//!
//! Some calls of the client can wait for ever, for example if a NameNode accepts connections and does not answer. So
//! every call here has a timeout, long enough for a restart of the NameNode: the client itself tries again while the
//! NameNode refuses connections. A DataNode that hangs costs 60 s, after which the client gives up on it. A writer
//! whose only DataNode has died can't continue; its file is given up and written again from the channel.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hdfs_native::client::FileStatus;
use hdfs_native::file::FileWriter;
use hdfs_native::{Client, ClientBuilder, HdfsError as ClientError, WriteOptions};
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::{debug, info, warn};
use weir_runtime::{Cause, ConnectFailure, Failure, Meter};
use xxhash_rust::xxh3::Xxh3Default;

use crate::tools::file_writer::{Entry, FileSystem};

/// The timeout of calls that only the NameNode answers.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);

/// The timeout of writes and closes, which wait for DataNodes, and for the NameNode at the end of a block.
const WRITE_TIMEOUT: Duration = Duration::from_secs(180);

/// The most bytes that one call reads.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// A call that takes longer than this is a trouble.
const TROUBLE_AFTER: Duration = Duration::from_secs(3);

/// The timeout of a connection that only looks for the cause.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the cause of a call's delay is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The timeout of `weir check --connect`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The servers that a call needs: the subjects of troubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Servers {
    /// The NameNode alone.
    NameNode,
    /// DataNodes too. Only a closed file shows that they work, since the client buffers what is written.
    DataNodes,
}

impl Servers {
    fn subject(self) -> &'static str {
        match self {
            Servers::NameNode => "name node",
            Servers::DataNodes => "data nodes",
        }
    }
}

/// The timeout of closing a file that was given up, in the background.
const ABANDONED_CLOSE_TIMEOUT: Duration = Duration::from_secs(70);

/// The setting that continues a file with the remaining DataNodes when a DataNode has failed and no other can replace
/// it. Otherwise the complete file would be written again, to as few DataNodes.
const BEST_EFFORT: (&str, &str) = ("dfs.client.block.write.replace-datanode-on-failure.best-effort", "true");

/// The NameNode's error while it recovers the lease of a writer that has died.
const RECOVERY: &str = "RecoveryInProgressException";
const NOT_FOUND: &str = "FileNotFoundException";

/// Why a call of HDFS has failed.
#[derive(Debug, Error)]
pub(super) enum HdfsError {
    /// An error of the client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An error of the client at a write, which does not name the server.
    #[error("a DataNode that it is written to, or the NameNode: {0}")]
    Server(#[source] ClientError),
    /// All DataNodes that hold the file's last block have failed.
    #[error("all DataNodes that it is written to have failed: {0}")]
    DataNodes(#[source] ClientError),
    /// The call was not answered in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The file can't be continued after an earlier error.
    #[error("an earlier write was given up half-way")]
    GivenUp,
    /// The call works on open files, which this file system does not support.
    #[error("a file on HDFS is committed when it is closed, and not before")]
    OpenFile,
    /// The settings could not be checked, since no runtime could be made.
    #[error(transparent)]
    Runtime(#[from] std::io::Error),
}

/// The parameters of a connection to HDFS.
pub(super) struct Connection {
    /// The sink's name, for messages.
    pub(super) component: Arc<str>,
    /// The URL of the name node or name service, without a path.
    pub(super) url: String,
    /// The user who writes; `None` is `HADOOP_USER_NAME` or the agent's own user.
    pub(super) user: Option<String>,
    /// The folder of `core-site.xml` and `hdfs-site.xml`; `None` is `HADOOP_CONF_DIR`.
    pub(super) config: Option<String>,
    pub(super) meter: Arc<Meter>,
}

/// An HDFS, to which the first call connects.
pub(super) struct Hdfs {
    connection: Connection,
    client: OnceLock<Client>,
    /// Whether HDFS is in trouble. It is checked before the meter's lock is taken.
    in_trouble: AtomicBool,
}

impl Connection {
    fn client(&self, runtime: &Handle) -> Result<Client, HdfsError> {
        let mut builder = ClientBuilder::new()
            .with_url(&self.url)
            .with_config([BEST_EFFORT])
            .with_io_runtime(runtime.clone());
        if let Some(user) = &self.user {
            builder = builder.with_user(user);
        }
        if let Some(config) = &self.config {
            builder = builder.with_config_dir(config);
        }
        Ok(builder.build()?)
    }
}

impl Hdfs {
    pub(super) fn new(connection: Connection) -> Hdfs {
        Hdfs { connection, client: OnceLock::new(), in_trouble: AtomicBool::new(false) }
    }

    /// Checks whether a client can be made of the settings, without connecting.
    ///
    /// # Errors
    /// When the URL or the configuration can't be used.
    pub(super) fn check(&self) -> Result<(), HdfsError> {
        if let Ok(runtime) = Handle::try_current() {
            return self.connection.client(&runtime).map(drop);
        }
        // A client needs a runtime. A current-thread runtime starts no threads.
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        self.connection.client(runtime.handle()).map(drop)
    }

    fn client(&self) -> Result<&Client, HdfsError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.connection.client(&Handle::current())?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Waits for a call. While it is not answered, HDFS is in trouble.
    async fn answer<T>(
        &self,
        servers: Servers,
        limit: Duration,
        call: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, HdfsError> {
        let mut call = pin!(within(limit, call));
        let mut look_after = TROUBLE_AFTER;
        let answer = loop {
            match timeout(look_after, &mut call).await {
                Ok(answer) => break answer,
                Err(_elapsed) => self.look_for_cause(servers, limit).await,
            }
            look_after = LOOK_EVERY;
        };
        match &answer {
            Ok(_) => self.works(Servers::NameNode),
            Err(error) => {
                if let Some(cause) = cause(error) {
                    self.report(servers, cause, format!("{}: {error}", self.connection.url), limit);
                }
            }
        }
        answer
    }

    /// Notes that servers work.
    fn works(&self, servers: Servers) {
        if self.in_trouble.load(Ordering::Relaxed) {
            let Connection { component, url, meter, .. } = &self.connection;
            if let Some(lasted) = meter.resolve_trouble(servers.subject()) {
                info!(
                    component = %component,
                    "the {} of {url} answer again, after {} s",
                    servers.subject(),
                    lasted.as_secs()
                );
            }
            self.in_trouble.store(!meter.condition().troubles().is_empty(), Ordering::Relaxed);
        }
    }

    /// Opens a trouble, or notes that it goes on.
    fn report(&self, servers: Servers, cause: Cause, message: String, limit: Duration) {
        let Connection { component, meter, .. } = &self.connection;
        self.in_trouble.store(true, Ordering::Relaxed);
        if let Some(reminder) = meter.report_trouble(servers.subject(), cause, &message) {
            warn!(
                component = %component,
                "{message}: events stay in the channel; waiting for at most {limit:?}{reminder}"
            );
        }
    }

    /// Reports that a call is not answered, and why. The client tries again in silence while a NameNode refuses
    /// connections, so the cause is looked for beside it.
    async fn look_for_cause(&self, servers: Servers, limit: Duration) {
        let url = &self.connection.url;
        let (cause, what) = match servers {
            Servers::NameNode => probe(url).await,
            Servers::DataNodes => (Cause::TimedOut, "does not complete a write".to_owned()),
        };
        self.report(servers, cause, format!("{url} {what}"), limit);
    }

    /// Returns the status of a file, or `None` if the file does not exist.
    async fn status(&self, path: &str) -> Result<Option<FileStatus>, HdfsError> {
        match self.answer(Servers::NameNode, CALL_TIMEOUT, self.client()?.get_file_info(path)).await {
            Err(HdfsError::Client(ClientError::FileNotFound(_))) => Ok(None),
            status => status.map(Some),
        }
    }

    /// Creates an empty file in the nearest directory that exists, and removes it.
    async fn try_directory(&self, directory: &str) -> Result<(), HdfsError> {
        let client = self.client()?;
        let mut existing = directory.trim_end_matches('/');
        while !existing.is_empty() {
            match client.get_file_info(existing).await {
                Ok(status) if status.isdir => break,
                Ok(_) => return Err(ClientError::OperationFailed(format!("{existing} is a file")).into()),
                Err(ClientError::FileNotFound(_)) => {
                    existing = existing.rsplit_once('/').map_or("", |(parent, _)| parent);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let path = format!("{existing}/.weir-connect-{:016x}", getrandom::u64().unwrap_or_default());
        client.create(&path, WriteOptions::default()).await?.close().await?;
        client.delete(&path, false).await?;
        Ok(())
    }

    /// Finds out whether a rename whose outcome is unknown has happened.
    async fn is_renamed(&self, from: &str, to: &str) -> Result<bool, HdfsError> {
        Ok(self.status(from).await?.is_none() && self.status(to).await?.is_some())
    }
}

/// The cause of an error, if it is an outage of a server.
fn cause(error: &HdfsError) -> Option<Cause> {
    match error {
        HdfsError::Timeout(_) => Some(Cause::TimedOut),
        HdfsError::Client(ClientError::DataTransferError(_)) => Some(Cause::Unreachable),
        HdfsError::Client(ClientError::IOError(error)) => {
            Some(Cause::of_system_error(error).unwrap_or(Cause::Unreachable))
        }
        HdfsError::Client(
            ClientError::SASLError(_) | ClientError::GSSAPIError(..) | ClientError::NoSASLMechanism,
        ) => Some(Cause::NotAuthorised),
        HdfsError::Client(ClientError::RPCError(class, _)) if class.ends_with("AccessControlException") => {
            Some(Cause::NotAuthorised)
        }
        HdfsError::Client(ClientError::RPCError(class, _)) if class.ends_with("QuotaExceededException") => {
            Some(Cause::DiskFull)
        }
        _ => None,
    }
}

/// Finds out why a NameNode does not answer. A name service, which has no port, can't be asked.
async fn probe(url: &str) -> (Cause, String) {
    let silent = || (Cause::TimedOut, "does not answer".to_owned());
    let Some(address) =
        url.split_once("://").map(|(_, address)| address).filter(|address| address.contains(':'))
    else {
        return silent();
    };
    let addresses = match lookup_host(address).await {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(error) => return (Cause::NoSuchHost, format!("can't be found: {error}")),
    };
    match timeout(PROBE_TIMEOUT, TcpStream::connect(&*addresses)).await {
        Ok(Err(error)) => {
            let cause = Cause::of_system_error(&error).unwrap_or(Cause::Unreachable);
            (cause, format!("can't be reached: {error}"))
        }
        Ok(Ok(_)) => (Cause::TimedOut, "accepts connections and does not answer".to_owned()),
        Err(_elapsed) => (Cause::TimedOut, "can't be reached: no answer".to_owned()),
    }
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, HdfsError> {
    match timeout(limit, call).await {
        Ok(outcome) => Ok(outcome?),
        Err(_elapsed) => Err(HdfsError::Timeout(limit)),
    }
}

/// Adds to the error of a write which servers may have caused it: the client reports only "connection refused".
fn write_error(error: HdfsError) -> HdfsError {
    match error {
        HdfsError::Client(error @ ClientError::DataTransferError(_)) => HdfsError::DataNodes(error),
        HdfsError::Client(error @ ClientError::IOError(_)) => HdfsError::Server(error),
        error => error,
    }
}

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

impl FileSystem for Hdfs {
    /// A writer is known by its lease, which ends when the file is closed.
    const KNOWS_WRITERS_OF_CLOSED_FILES: bool = false;
    const COMMITS_OPEN_FILES: bool = false;
    type File = HdfsFile;
    type Error = HdfsError;

    /// A file on HDFS uses a few connections. A lack of descriptors is not a reason to close another file.
    fn is_out_of_descriptors(_error: &HdfsError) -> bool {
        false
    }

    /// Creates an empty file in the nearest directory that exists, and removes it.
    async fn connect(&self, directory: &str) -> Vec<ConnectFailure> {
        let at = |setting, failure| vec![ConnectFailure { setting: Some(setting), failure }];
        match timeout(CONNECT_TIMEOUT, self.try_directory(directory)).await {
            Ok(Ok(())) => Vec::new(),
            Ok(Err(error)) if cause(&error) == Some(Cause::NotAuthorised) => at("path", Failure::from(error)),
            Ok(Err(error)) => at("url", Failure::from(error)),
            Err(_elapsed) => {
                let url = &self.connection.url;
                let (cause, what) = probe(url).await;
                at("url", Failure::transient(format!("{url} {what}")).caused_by(cause))
            }
        }
    }

    async fn create_new(&self, path: &str) -> Result<HdfsFile, HdfsError> {
        // The NameNode makes the directories.
        let create = self.client()?.create(path, WriteOptions::default());
        Ok(HdfsFile { writer: Some(self.answer(Servers::NameNode, CALL_TIMEOUT, create).await?) })
    }

    async fn write(&self, file: &mut HdfsFile, bytes: Bytes) -> Result<(), HdfsError> {
        let writer = file.writer.as_mut().ok_or(HdfsError::GivenUp)?;
        self.answer(Servers::DataNodes, WRITE_TIMEOUT, writer.write_bytes(bytes))
            .await
            .map(drop)
            .map_err(write_error)
    }

    async fn sync(&self, _file: &mut HdfsFile) -> Result<(), HdfsError> {
        Err(HdfsError::OpenFile)
    }

    async fn close(&self, file: &mut HdfsFile) -> Result<(), HdfsError> {
        let writer = file.writer.as_mut().ok_or(HdfsError::GivenUp)?;
        self.answer(Servers::DataNodes, WRITE_TIMEOUT, writer.close()).await.map_err(write_error)?;
        file.writer = None;
        self.works(Servers::DataNodes);
        Ok(())
    }

    async fn rename_no_replace(&self, from: &str, to: &str) -> Result<(), HdfsError> {
        match self.answer(Servers::NameNode, CALL_TIMEOUT, self.client()?.rename(from, to, false)).await {
            Ok(()) => Ok(()),
            // The NameNode may have renamed the file although its answer was lost.
            Err(error) => match self.is_renamed(from, to).await {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(error),
            },
        }
    }

    /// Does nothing: the NameNode answers a rename after it has synced its log, so the name is durable.
    async fn sync_name(&self, _path: &str) -> Result<(), HdfsError> {
        Ok(())
    }

    async fn remove(&self, path: &str) -> Result<(), HdfsError> {
        self.answer(Servers::NameNode, CALL_TIMEOUT, self.client()?.delete(path, false)).await.map(drop)
    }

    /// Finds out whether the writer of a file is dead. The NameNode refuses to append to a file whose writer has
    /// renewed its lease within the last minute, and the attempt does not disturb the writer.
    async fn is_abandoned(&self, path: &str) -> Result<bool, HdfsError> {
        match self.answer(Servers::NameNode, CALL_TIMEOUT, self.client()?.append(path)).await {
            Ok(writer) => drop(HdfsFile { writer: Some(writer) }),
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
        let mut reader = match self.answer(Servers::NameNode, CALL_TIMEOUT, self.client()?.read(path)).await {
            Err(HdfsError::Client(ClientError::FileNotFound(_))) => return Ok(None),
            reader => reader?,
        };
        let length = reader.file_length();
        self.answer(Servers::DataNodes, WRITE_TIMEOUT, reader.read_bytes(length)).await.map(Some)
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, HdfsError> {
        Ok(self.status(path).await?.map(|status| status.length as u64))
    }

    async fn checksum(&self, path: &str, length: u64) -> Result<u64, HdfsError> {
        let mut reader = self.answer(Servers::NameNode, CALL_TIMEOUT, self.client()?.read(path)).await?;
        let (mut sum, mut left) = (Xxh3Default::new(), length);
        loop {
            let most = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let bytes = self.answer(Servers::DataNodes, WRITE_TIMEOUT, reader.read_bytes(most)).await?;
            if bytes.is_empty() || most == 0 {
                return Ok(sum.digest());
            }
            sum.update(&bytes);
            left -= bytes.len() as u64;
        }
    }

    async fn list(&self, directory: &str) -> Result<Vec<Entry>, HdfsError> {
        let statuses = match self
            .answer(Servers::NameNode, CALL_TIMEOUT, self.client()?.list_status(directory, false))
            .await
        {
            Err(HdfsError::Client(ClientError::FileNotFound(_))) => return Ok(Vec::new()),
            statuses => statuses?,
        };
        let entry = |status: FileStatus| {
            let name = status.path.rsplit('/').next()?.to_string();
            Some(Entry { name, is_directory: status.isdir, modified_ms: status.modification_time })
        };
        Ok(statuses.into_iter().filter_map(entry).collect())
    }
}
