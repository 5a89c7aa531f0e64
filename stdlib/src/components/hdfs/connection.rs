//! The connection of the components `hdfs` to HDFS: timeouts, and troubles with their causes.
//!
//! Some calls of the client can wait for ever, for example if a NameNode accepts connections and does not answer. So
//! every call here has a timeout, long enough for a restart of the NameNode: the client itself tries again while the
//! NameNode refuses connections. A DataNode that hangs costs 60 s, after which the client gives up on it.

use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hdfs_native::client::FileStatus;
use hdfs_native::{Client, ClientBuilder, HdfsError as ClientError, WriteOptions};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};
use weir_runtime::{Cause, Failure, Meter, TroubleReport};

use super::security::{MayBlock, NoTicket, Security, SecurityError, lacks_library};
use super::silence::cause_of_silence;

/// The timeout of calls that only the NameNode answers.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(120);

/// The timeout of writes and closes, which wait for DataNodes, and for the NameNode at the end of a block.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(180);

/// A call that takes longer than this is a trouble, which counts from the begin of the call. It is visible in `/ready` and the metrics
/// when its cause has been looked for, or when the limit of `/ready` is over: the tests add these times up.
const TROUBLE_AFTER: Duration = Duration::from_secs(3);

/// How often the cause of a call's delay is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The timeout of the check of credentials before the start.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The NameNode's errors for a client that it does not let in, or for what it does not permit.
const REFUSALS: [&str; 4] =
    ["AccessControlException", "AuthorizationException", "SaslException", "GSSException"];

/// The timeout of `weir check --connect`.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The servers that a call needs: the subjects of troubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Servers {
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

    /// The verb behind the subject.
    fn answer(self) -> &'static str {
        match self {
            Servers::NameNode => "answers",
            Servers::DataNodes => "answer",
        }
    }
}

/// The setting that continues a file with the remaining DataNodes when a DataNode has failed and no other can replace
/// it. Otherwise the complete file would be written again, to as few DataNodes.
const BEST_EFFORT: (&str, &str) = ("dfs.client.block.write.replace-datanode-on-failure.best-effort", "true");

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
    /// The client has no Kerberos ticket.
    #[error(transparent)]
    NoTicket(NoTicket),
    /// The settings of `security` are wrong.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The settings don't say where the servers are.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The call was not answered in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The file can't be continued after an earlier error.
    #[error("an earlier write was given up half-way")]
    GivenUp,
    /// A file ends before its committed length.
    #[error("{0} ends before its committed length")]
    Short(String),
    /// The settings could not be checked, since no runtime could be made.
    #[error(transparent)]
    Runtime(#[from] std::io::Error),
}

/// Why HDFS can't be found by these settings.
#[derive(Debug, Error)]
pub(super) enum EndpointError {
    /// The URL does not name a NameNode or a name service.
    #[error("`url` is {0}: it has to begin with hdfs:// or viewfs:// and name a host")]
    Scheme(String),
    /// The URL has a directory, which belongs into another setting.
    #[error("`url` is {0}: the directory belongs into `{1}`")]
    UrlWithPath(String, &'static str),
    /// The configuration has no NameNodes of the name service.
    #[error(
        "`url` names the name service {0}, and hdfs-site.xml in `config` or HADOOP_CONF_DIR has no NameNodes of it \
         (dfs.ha.namenodes.{0}); a single NameNode has a port: hdfs://{0}:8020"
    )]
    NameService(String),
    /// The folder of the configuration has none.
    #[error("`config` is {0}, where there is neither core-site.xml nor hdfs-site.xml")]
    Config(String),
}

/// Checks the settings `url` and `config`. `of_paths` is the setting that directories belong into.
///
/// # Errors
/// When one of them can't be used.
pub(super) fn check_endpoint(
    url: &str,
    config: Option<&str>,
    of_paths: &'static str,
) -> Result<(), EndpointError> {
    let host = url.strip_prefix("hdfs://").or_else(|| url.strip_prefix("viewfs://"));
    match host.map(|host| host.split_once('/').unwrap_or((host, ""))) {
        None | Some(("", _)) => return Err(EndpointError::Scheme(url.to_owned())),
        Some((_, "")) => {}
        Some(_) => return Err(EndpointError::UrlWithPath(url.to_owned(), of_paths)),
    }
    let Some(config) = config else { return Ok(()) };
    let has = |name| Path::new(config).join(name).is_file();
    match has("core-site.xml") || has("hdfs-site.xml") {
        true => Ok(()),
        false => Err(EndpointError::Config(config.to_owned())),
    }
}

/// The NameNode's error for a file that does not exist.
pub(super) const NOT_FOUND: &str = "FileNotFoundException";

/// A call of the client.
type BoxedCall<'a, T> = Pin<Box<dyn Future<Output = Result<T, ClientError>> + Send + 'a>>;

/// The parameters of a connection to HDFS.
pub(super) struct Connection {
    /// The component's name, for messages.
    pub(super) component: Arc<str>,
    /// The URL of the name node or name service, without a path.
    pub(super) url: String,
    /// How the connection is protected.
    pub(super) security: Security,
    /// The user; `None` is `HADOOP_USER_NAME` or the agent's own user.
    pub(super) user: Option<String>,
    /// The folder of `core-site.xml` and `hdfs-site.xml`; `None` is `HADOOP_CONF_DIR`.
    pub(super) config: Option<String>,
    /// The number of copies of each file that is written; `None` is the cluster's default.
    pub(super) replication: Option<u32>,
    pub(super) meter: Arc<Meter>,
    /// Why an outage loses nothing, for messages.
    pub(super) safe: &'static str,
}

/// An HDFS, to which the first call connects.
pub(super) struct Hdfs {
    pub(super) connection: Connection,
    client: OnceLock<Client>,
    /// Whether HDFS is in trouble. It is checked before the meter's lock is taken.
    in_trouble: AtomicBool,
}

impl Connection {
    fn client(&self, runtime: &Handle) -> Result<Client, HdfsError> {
        let config = [BEST_EFFORT].into_iter().chain(self.security.config().iter().copied());
        let builder = ClientBuilder::new()
            .with_url(&self.url)
            .with_config(config)
            .with_io_runtime(self.security.background(runtime)?);
        let mut builder = self.security.apply(builder);
        if let Some(user) = &self.user {
            builder = builder.with_user(user);
        }
        if let Some(config) = &self.config {
            builder = builder.with_config_dir(config);
        }
        Ok(builder.build()?)
    }

    /// Finds out why the NameNode does not answer.
    pub(super) async fn probe(&self) -> (Cause, String) {
        cause_of_silence(&self.url, !self.security.blocks()).await
    }

    /// Names what is wrong with the ticket, if that is why a call has failed.
    pub(super) fn explain(&self, error: HdfsError) -> HdfsError {
        match error {
            HdfsError::Client(error) if lacks_library(&error) => SecurityError::Library.into(),
            HdfsError::Client(ClientError::RPCError(class, message)) => {
                // The server's stack trace follows.
                let message = message.lines().next().unwrap_or_default().to_owned();
                HdfsError::Client(ClientError::RPCError(class, message))
            }
            HdfsError::Client(error) => match self.security.no_ticket(&error) {
                Some(no_ticket) => HdfsError::NoTicket(no_ticket),
                None => HdfsError::Client(error),
            },
            error => error,
        }
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
        let made = match Handle::try_current() {
            Ok(runtime) => self.connection.client(&runtime),
            Err(_) => {
                // A client needs a runtime. A current-thread runtime starts no threads.
                let runtime = tokio::runtime::Builder::new_current_thread().build()?;
                self.connection.client(runtime.handle())
            }
        };
        match (made, self.connection.url.strip_prefix("hdfs://")) {
            (Err(HdfsError::Client(ClientError::InvalidArgument(_))), Some(service))
                if !service.contains(':') =>
            {
                Err(EndpointError::NameService(service.to_owned()).into())
            }
            (made, _) => made.map(drop),
        }
    }

    /// Checks the credentials of `security`, and whether the NameNode lets the agent in. Servers that can't be reached now
    /// are no failure.
    pub(super) async fn log_in(&self) -> Result<(), HdfsError> {
        self.connection.security.check_files()?;
        if !self.connection.security.blocks() {
            return Ok(());
        }
        let ask = self.client()?.get_file_info("/");
        let call = MayBlock { call: Box::pin(ask), blocks: true };
        let Ok(Err(error)) = timeout(LOGIN_TIMEOUT, call).await else { return Ok(()) };
        match self.connection.explain(error.into()) {
            error @ HdfsError::Security(_) => Err(error),
            HdfsError::NoTicket(no_ticket) => no_ticket.refusal().map_or(Ok(()), |error| Err(error.into())),
            error if is_not_let_in(&error) => Err(SecurityError::NotLetIn(error.to_string()).into()),
            _ => Ok(()),
        }
    }

    /// The failure of the check of the credentials.
    pub(super) async fn login_failure(&self) -> Option<Failure> {
        self.log_in().await.err().map(Failure::permanent_unless_outage)
    }

    /// Returns the client, and makes it at the first call.
    pub(super) fn client(&self) -> Result<&Client, HdfsError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.connection.client(&Handle::current())?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Waits for a call. While it is not answered, HDFS is in trouble.
    ///
    /// The futures of the client are very large, so the call is moved to the heap: deep callers would overflow their
    /// stack.
    pub(super) fn answer<'a, T: Send + 'a>(
        &'a self,
        servers: Servers,
        limit: Duration,
        call: impl Future<Output = Result<T, ClientError>> + Send + 'a,
    ) -> impl Future<Output = Result<T, HdfsError>> + Send + 'a {
        self.answer_of_boxed(servers, limit, Box::pin(call))
    }

    async fn answer_of_boxed<T>(
        &self,
        servers: Servers,
        limit: Duration,
        call: BoxedCall<'_, T>,
    ) -> Result<T, HdfsError> {
        let call = MayBlock { call, blocks: self.connection.security.blocks() };
        let mut call = pin!(within(limit, call));
        let (mut look_after, begin) = (TROUBLE_AFTER, Instant::now());
        let answer = loop {
            match timeout(look_after, &mut call).await {
                Ok(answer) => break answer,
                Err(_elapsed) => self.look_for_cause(servers, limit, begin).await,
            }
            look_after = LOOK_EVERY;
        };
        let answer = answer.map_err(|error| self.connection.explain(error));
        match &answer {
            Ok(_) => self.works(Servers::NameNode),
            Err(error) => {
                if let Some(cause) = cause(error) {
                    let message = format!("{}: {error}", self.connection.url);
                    self.report(servers, cause, &message, limit, begin);
                }
            }
        }
        answer
    }

    /// Notes that servers work.
    pub(super) fn works(&self, servers: Servers) {
        if self.in_trouble.load(Ordering::Relaxed) {
            let Connection { component, url, meter, .. } = &self.connection;
            if let Some(lasted) = meter.resolve_trouble(servers.subject()) {
                info!(
                    component = %component,
                    "the {} of {url} {} again, after {} s",
                    servers.subject(),
                    servers.answer(),
                    lasted.as_secs()
                );
            }
            self.in_trouble.store(!meter.condition().troubles().is_empty(), Ordering::Relaxed);
        }
    }

    /// Opens a trouble, or notes that it goes on.
    fn report(&self, servers: Servers, cause: Cause, message: &str, limit: Duration, begin: Instant) {
        let Connection { component, meter, .. } = &self.connection;
        self.in_trouble.store(true, Ordering::Relaxed);
        let (subject, lasts) = (servers.subject(), begin.elapsed());
        let report = TroubleReport { subject, holder: "", cause, message, lasts };
        if let Some(reminder) = meter.report_trouble_of(report) {
            warn!(
                component = %component,
                "{message}: {}; waiting for at most {limit:?}{reminder}",
                self.connection.safe
            );
        }
    }

    /// Reports that a call is not answered, and why. The client tries again in silence while a NameNode refuses
    /// connections, so the cause is looked for beside it.
    async fn look_for_cause(&self, servers: Servers, limit: Duration, begin: Instant) {
        let url = &self.connection.url;
        let (cause, what) = match servers {
            Servers::NameNode => self.connection.probe().await,
            Servers::DataNodes => (Cause::TimedOut, "does not complete a write".to_owned()),
        };
        self.report(servers, cause, &format!("{url} {what}"), limit, begin);
    }

    /// Returns the status of a file, or `None` if the file does not exist.
    pub(super) async fn status(&self, path: &str) -> Result<Option<FileStatus>, HdfsError> {
        unless_missing(self.answer(Servers::NameNode, CALL_TIMEOUT, self.client()?.get_file_info(path)).await)
    }

    /// Creates an empty file in the nearest directory that exists, and removes it.
    pub(super) async fn try_directory(&self, directory: &str) -> Result<(), HdfsError> {
        self.create_in(directory).await.map_err(|error| self.connection.explain(error))
    }

    async fn create_in(&self, directory: &str) -> Result<(), HdfsError> {
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
}

/// Returns `None` for a file or directory that does not exist. The client has an error for that, and passes on the
/// NameNode's when it opens a file.
///
/// # Errors
/// All others.
pub(super) fn unless_missing<T>(outcome: Result<T, HdfsError>) -> Result<Option<T>, HdfsError> {
    match outcome {
        Err(HdfsError::Client(ClientError::FileNotFound(_))) => Ok(None),
        Err(HdfsError::Client(ClientError::RPCError(class, _))) if class.ends_with(NOT_FOUND) => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// The cause of an error, if it is an outage of a server.
pub(super) fn cause(error: &HdfsError) -> Option<Cause> {
    match error {
        HdfsError::Timeout(_) => Some(Cause::TimedOut),
        HdfsError::Client(ClientError::DataTransferError(_)) => Some(Cause::Unreachable),
        HdfsError::Client(ClientError::IOError(error)) => {
            Some(Cause::of_system_error(error).unwrap_or(Cause::Unreachable))
        }
        HdfsError::NoTicket(_) | HdfsError::Security(_) => Some(Cause::NotAuthorised),
        error if is_not_let_in(error) => Some(Cause::NotAuthorised),
        HdfsError::Client(ClientError::RPCError(class, _)) if class.ends_with("QuotaExceededException") => {
            Some(Cause::DiskFull)
        }
        _ => None,
    }
}

/// Whether the NameNode refuses who the agent is, or what it wants to do.
pub(super) fn is_not_let_in(error: &HdfsError) -> bool {
    match error {
        HdfsError::Client(
            ClientError::SASLError(_) | ClientError::GSSAPIError(..) | ClientError::NoSASLMechanism,
        ) => true,
        HdfsError::Client(ClientError::RPCError(class, _) | ClientError::FatalRPCError(class, _)) => {
            REFUSALS.iter().any(|refusal| class.ends_with(refusal))
        }
        _ => false,
    }
}

/// Waits for a call until a limit.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, HdfsError> {
    match timeout(limit, call).await {
        Ok(outcome) => Ok(outcome?),
        Err(_elapsed) => Err(HdfsError::Timeout(limit)),
    }
}

/// Adds to the error of a write which servers may have caused it: the client reports only "connection refused".
pub(super) fn write_error(error: HdfsError) -> HdfsError {
    match error {
        HdfsError::Client(error @ ClientError::DataTransferError(_)) => HdfsError::DataNodes(error),
        HdfsError::Client(error @ ClientError::IOError(_)) => HdfsError::Server(error),
        error => error,
    }
}

#[cfg(test)]
mod tests;
