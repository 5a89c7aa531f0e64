//! HDFS behind the writer's seam.
//!
//! The client waits without a bound in places (a NameNode that takes connections and does not
//! answer), so every call here has one, generous enough for a restart of the NameNode: the
//! client itself tries again while nobody listens. A DataNode that hangs costs the 60 s after
//! which the client gives up on it. A writer whose only DataNode has died is dead itself; its
//! file is given up and begun again from the channel.

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
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::{debug, info, warn};
use xxhash_rust::xxh3::Xxh3Default;

use crate::tools::file_writer::{Entry, FileSystem};

/// For calls of the NameNode alone.
const CALL_PATIENCE: Duration = Duration::from_secs(120);

/// For writes and closes, which wait for DataNodes, and for the NameNode at a block's end.
const WRITE_PATIENCE: Duration = Duration::from_secs(180);

/// How much of a file is read at once.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// A call that takes longer than this is told of.
const SILENCE: Duration = Duration::from_secs(5);

/// How long closing a file that was given up may take, in the background.
const GIVING_UP_PATIENCE: Duration = Duration::from_secs(70);

/// Goes on with the DataNodes that are left when none can be found for one that has failed. The
/// alternative is to write the whole file again, with as few nodes.
const BEST_EFFORT: (&str, &str) = ("dfs.client.block.write.replace-datanode-on-failure.best-effort", "true");

/// What the NameNode says while it takes a file away from a writer that has died.
const RECOVERY: &str = "RecoveryInProgressException";
const NOT_FOUND: &str = "FileNotFoundException";

/// What goes wrong on HDFS.
#[derive(Debug, Error)]
pub(super) enum HdfsError {
    /// The client's own.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The client's own, of a write: it does not say which server it was.
    #[error("a DataNode that it is written to, or the NameNode: {0}")]
    Server(#[source] ClientError),
    /// None of the DataNodes is left that hold the file's last block.
    #[error("all DataNodes that it is written to have failed: {0}")]
    DataNodes(#[source] ClientError),
    /// No answer.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// A file that can't be written any further.
    #[error("an earlier write was given up half-way")]
    GivenUp,
    /// The sink does not ask for it.
    #[error("a file on HDFS is committed when it is closed, and not before")]
    OpenFile,
    /// No thread to check the settings on.
    #[error(transparent)]
    Runtime(#[from] std::io::Error),
}

/// Where HDFS is and who asks.
pub(super) struct Connection {
    /// The sink's name, for messages.
    pub(super) component: Arc<str>,
    /// Of the name node or name service, without a path.
    pub(super) url: String,
    /// On whose behalf; `HADOOP_USER_NAME` or the agent's own user without.
    pub(super) user: Option<String>,
    /// The folder of `core-site.xml` and `hdfs-site.xml`; `HADOOP_CONF_DIR` without.
    pub(super) config: Option<String>,
}

/// One HDFS, connected when it is first needed.
pub(super) struct Hdfs {
    connection: Connection,
    client: OnceLock<Client>,
    /// It was told that HDFS does not answer.
    silent: AtomicBool,
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
        Hdfs { connection, client: OnceLock::new(), silent: AtomicBool::new(false) }
    }

    /// Whether a client can be made of the settings, without connecting to anything.
    ///
    /// # Errors
    /// When the URL or the configuration can't be used.
    pub(super) fn check(&self) -> Result<(), HdfsError> {
        if let Ok(runtime) = Handle::try_current() {
            return self.connection.client(&runtime).map(drop);
        }
        // A client belongs to a runtime; this one makes the threads of none.
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

    /// Waits for a call, and says once that HDFS keeps it waiting, and once that it is back.
    async fn answer<T>(
        &self,
        patience: Duration,
        call: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, HdfsError> {
        let Connection { component, url, .. } = &self.connection;
        let mut call = pin!(within(patience, call));
        let answer = match timeout(SILENCE, &mut call).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                if !self.silent.swap(true, Ordering::Relaxed) {
                    warn!(
                        component = &**component,
                        "{url} has not answered for {SILENCE:?}: events stay in the channel; waiting for at most {patience:?}"
                    );
                }
                call.await
            }
        };
        if answer.is_ok() && self.silent.swap(false, Ordering::Relaxed) {
            info!(component = &**component, "{url} answers again");
        }
        answer
    }

    /// What is known of a file; `None` if there is none.
    async fn status(&self, path: &str) -> Result<Option<FileStatus>, HdfsError> {
        match self.answer(CALL_PATIENCE, self.client()?.get_file_info(path)).await {
            Err(HdfsError::Client(ClientError::FileNotFound(_))) => Ok(None),
            status => status.map(Some),
        }
    }

    /// After a rename whose outcome is unknown: whether it has happened.
    async fn is_renamed(&self, from: &str, to: &str) -> Result<bool, HdfsError> {
        Ok(self.status(from).await?.is_none() && self.status(to).await?.is_some())
    }
}

async fn within<T>(
    patience: Duration,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, HdfsError> {
    match timeout(patience, call).await {
        Ok(outcome) => Ok(outcome?),
        Err(_elapsed) => Err(HdfsError::Timeout(patience)),
    }
}

/// A failure of a write, with the servers that it may be about: the client says "connection
/// refused" without a name.
fn of_a_write(error: HdfsError) -> HdfsError {
    match error {
        HdfsError::Client(error @ ClientError::DataTransferError(_)) => HdfsError::DataNodes(error),
        HdfsError::Client(error @ ClientError::IOError(_)) => HdfsError::Server(error),
        error => error,
    }
}

/// A file that is being written.
pub(super) struct HdfsFile {
    /// None once it is closed.
    writer: Option<FileWriter>,
}

impl Drop for HdfsFile {
    /// Closes a file that is given up: the client would otherwise keep its connection, and send
    /// heartbeats to the DataNode, for as long as the agent lives.
    fn drop(&mut self) {
        if let (Some(mut writer), Ok(runtime)) = (self.writer.take(), Handle::try_current()) {
            runtime.spawn(async move {
                if let Err(error) = within(GIVING_UP_PATIENCE, writer.close()).await {
                    debug!("a file that was given up did not close: {error}");
                }
            });
        }
    }
}

impl FileSystem for Hdfs {
    /// The lease ends when the file is closed.
    const KNOWS_WRITERS_OF_CLOSED_FILES: bool = false;
    const COMMITS_OPEN_FILES: bool = false;
    type File = HdfsFile;
    type Error = HdfsError;

    /// A file on HDFS is a few connections; none that is missing closes another file.
    fn is_out_of_descriptors(_error: &HdfsError) -> bool {
        false
    }

    async fn create_new(&self, path: &str) -> Result<HdfsFile, HdfsError> {
        // The NameNode makes the directories.
        let create = self.client()?.create(path, WriteOptions::default());
        Ok(HdfsFile { writer: Some(self.answer(CALL_PATIENCE, create).await?) })
    }

    async fn write(&self, file: &mut HdfsFile, bytes: Bytes) -> Result<(), HdfsError> {
        let writer = file.writer.as_mut().ok_or(HdfsError::GivenUp)?;
        self.answer(WRITE_PATIENCE, writer.write_bytes(bytes)).await.map(drop).map_err(of_a_write)
    }

    async fn sync(&self, _file: &mut HdfsFile) -> Result<(), HdfsError> {
        Err(HdfsError::OpenFile)
    }

    async fn close(&self, file: &mut HdfsFile) -> Result<(), HdfsError> {
        let writer = file.writer.as_mut().ok_or(HdfsError::GivenUp)?;
        self.answer(WRITE_PATIENCE, writer.close()).await.map_err(of_a_write)?;
        file.writer = None;
        Ok(())
    }

    async fn rename_no_replace(&self, from: &str, to: &str) -> Result<(), HdfsError> {
        match self.answer(CALL_PATIENCE, self.client()?.rename(from, to, false)).await {
            Ok(()) => Ok(()),
            // An answer that was lost says nothing about what the NameNode has done.
            Err(error) => match self.is_renamed(from, to).await {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(error),
            },
        }
    }

    /// The NameNode answers when its log is synced, so what can be seen is durable.
    async fn sync_name(&self, _path: &str) -> Result<(), HdfsError> {
        Ok(())
    }

    async fn remove(&self, path: &str) -> Result<(), HdfsError> {
        self.answer(CALL_PATIENCE, self.client()?.delete(path, false)).await.map(drop)
    }

    /// Whether a file has a writer, its lease tells: the NameNode lets nobody append to a file
    /// whose writer has renewed its lease within the last minute, and asking disturbs no writer.
    async fn is_abandoned(&self, path: &str) -> Result<bool, HdfsError> {
        match self.answer(CALL_PATIENCE, self.client()?.append(path)).await {
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
        let mut reader = match self.answer(CALL_PATIENCE, self.client()?.read(path)).await {
            Err(HdfsError::Client(ClientError::FileNotFound(_))) => return Ok(None),
            reader => reader?,
        };
        let length = reader.file_length();
        self.answer(WRITE_PATIENCE, reader.read_bytes(length)).await.map(Some)
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, HdfsError> {
        Ok(self.status(path).await?.map(|status| status.length as u64))
    }

    async fn checksum(&self, path: &str, length: u64) -> Result<u64, HdfsError> {
        let mut reader = self.answer(CALL_PATIENCE, self.client()?.read(path)).await?;
        let (mut sum, mut left) = (Xxh3Default::new(), length);
        loop {
            let most = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let bytes = self.answer(WRITE_PATIENCE, reader.read_bytes(most)).await?;
            if bytes.is_empty() || most == 0 {
                return Ok(sum.digest());
            }
            sum.update(&bytes);
            left -= bytes.len() as u64;
        }
    }

    async fn list(&self, directory: &str) -> Result<Vec<Entry>, HdfsError> {
        let statuses = match self.answer(CALL_PATIENCE, self.client()?.list_status(directory, false)).await {
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
