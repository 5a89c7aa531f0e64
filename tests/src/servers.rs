//! The servers: started once for all tests of a process, and stopped when the process has ended.

use std::ffi::OsStr;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use std::{env, fs, process};

use crate::{Cluster, Hdfs, Kafka, repository, wait_until};

/// The limit of a wait for the end of a killed server.
const PATIENCE: Duration = Duration::from_secs(30);

static SERVERS: OnceLock<Result<Servers, String>> = OnceLock::new();
/// Tests that use the servers hold a read lock; a test that stops a server holds the write lock.
static IN_USE: RwLock<()> = RwLock::new(());

/// Running Kafka and HDFS servers.
#[derive(Debug)]
pub struct Servers {
    folder: PathBuf,
    bootstrap: String,
    hdfs_url: String,
}

/// A test's access to the servers.
#[derive(Debug)]
pub struct Session {
    servers: &'static Servers,
    access: Access,
}

#[derive(Debug)]
enum Access {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Exclusive { _guard: RwLockWriteGuard<'static, ()> },
}

/// A process of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The only Kafka broker.
    Broker,
    /// The only NameNode.
    NameNode,
    /// The only DataNode.
    DataNode,
}

/// A server that answers nobody, although its connections stay open. [`Stall::end`] or dropping the stall lets it go on.
#[derive(Debug)]
pub struct Stall {
    servers: &'static Servers,
    server: Server,
}

/// A stopped server. [`Outage::end`] or dropping the outage starts the server again.
#[derive(Debug)]
pub struct Outage {
    folder: PathBuf,
    name: &'static str,
    role: &'static str,
    over: bool,
}

impl Servers {
    /// Returns the servers, which other tests may use at the same time.
    ///
    /// If `WEIR_SERVICES_DIR` is set, the servers of that folder are used and stay running. Otherwise the servers run in a
    /// folder of this process and are wiped when the process has ended.
    pub fn shared() -> Session {
        let guard = IN_USE.read().unwrap_or_else(PoisonError::into_inner);
        Session { servers: Servers::get(), access: Access::Shared { _guard: guard } }
    }

    /// Waits until no other test uses the servers, and returns them. For tests that stop a server.
    pub fn exclusive() -> Session {
        let guard = IN_USE.write().unwrap_or_else(PoisonError::into_inner);
        Session { servers: Servers::get(), access: Access::Exclusive { _guard: guard } }
    }

    fn get() -> &'static Servers {
        match SERVERS.get_or_init(Servers::start) {
            Ok(servers) => servers,
            Err(why) => panic!("Kafka and HDFS did not start, and this test needs them:\n{why}"),
        }
    }

    fn start() -> Result<Servers, String> {
        let folder = match env::var_os("WEIR_SERVICES_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => {
                let folder = env::temp_dir().join(format!("weir-tests-{}", process::id()));
                fs::create_dir_all(&folder)
                    .map_err(|error| format!("can't make {}: {error}", folder.display()))?;
                let mut wipe = tool(&folder);
                wipe.arg("wipe-after").arg(process::id().to_string()).process_group(0);
                wipe.stdout(Stdio::null()).stderr(Stdio::null());
                wipe.spawn().map_err(|error| format!("tests/services/services: {error}"))?;
                folder
            }
        };
        let lines = run(tool(&folder).args(["up", "kafka", "hdfs"]))?;
        let setting = |key: &str| {
            let value = lines.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            value.map(str::to_owned).ok_or(format!("`services up` printed no {key}"))
        };
        Ok(Servers { bootstrap: setting("KAFKA_BOOTSTRAP")?, hdfs_url: setting("HDFS_URL")?, folder })
    }

    fn tool(&self, words: &[&str]) {
        if let Err(why) = run(tool(&self.folder).args(words)) {
            panic!("services {}: {why}", words.join(" "));
        }
    }
}

impl Session {
    /// Returns a client of the broker.
    pub fn kafka(&self) -> Kafka {
        Kafka::new(&self.servers.bootstrap, &self.servers.folder)
    }

    /// Returns a client of HDFS.
    pub fn hdfs(&self) -> Hdfs {
        Hdfs::new("hdfs", &self.servers.hdfs_url, &self.servers.folder)
    }

    /// Returns a line of the output of the servers, such as `KAFKA_PROXIED`.
    ///
    /// # Panics
    ///
    /// When there is no such line.
    pub fn setting(&self, key: &str) -> String {
        let env = ["kafka", "hdfs"].map(|name| self.servers.folder.join(name).join("env"));
        let lines = env.map(|path| fs::read_to_string(path).unwrap_or_default()).concat();
        let value = lines.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("the servers have no {key}")).to_owned()
    }

    /// Returns a token of the user `weir` for Kafka, which expires in so many seconds or has expired before.
    ///
    /// # Panics
    ///
    /// When it can't be made.
    pub fn token(&self, seconds: i64) -> String {
        let made = run(tool(&self.servers.folder).args(["token", &seconds.to_string()]));
        made.unwrap_or_else(|why| panic!("services token: {why}")).trim_end().to_owned()
    }

    /// Starts a cluster of its own, with these settings from the environment.
    pub fn cluster(&self, name: &'static str, settings: &[(&str, &str)]) -> Cluster {
        Cluster::start(name, &self.servers.folder, settings)
    }

    /// Kills a server with SIGKILL.
    pub fn kill(&self, server: Server) -> Outage {
        let outage = self.outage(server);
        let [name, role] = server.words();
        self.servers.tool(&["signal", name, role, "KILL"]);
        if server == Server::Broker {
            // Its port is free when the system has ended the process.
            wait_until("the end of the broker", PATIENCE, || {
                TcpStream::connect(&self.servers.bootstrap).err().map(drop)
            });
        }
        outage
    }

    /// Stops a server with SIGTERM.
    pub fn stop(&self, server: Server) -> Outage {
        let outage = self.outage(server);
        let [name, role] = server.words();
        self.servers.tool(&["stop", name, role]);
        outage
    }

    /// Stalls a server with SIGSTOP.
    pub fn stall(&self, server: Server) -> Stall {
        self.assert_exclusive(server);
        let [name, role] = server.words();
        self.servers.tool(&["signal", name, role, "STOP"]);
        Stall { servers: self.servers, server }
    }

    fn outage(&self, server: Server) -> Outage {
        self.assert_exclusive(server);
        let [name, role] = server.words();
        Outage::begin(&self.servers.folder, name, role)
    }

    fn assert_exclusive(&self, server: Server) {
        let is_exclusive = matches!(self.access, Access::Exclusive { .. });
        assert!(is_exclusive, "only a test with exclusive access may stop the {server:?}");
    }
}

impl Server {
    /// The service and the role of the process, for the tool `services`.
    fn words(self) -> [&'static str; 2] {
        match self {
            Server::Broker => ["kafka", "broker"],
            Server::NameNode => ["hdfs", "namenode"],
            Server::DataNode => ["hdfs", "datanode1"],
        }
    }
}

impl Stall {
    /// Lets the server go on.
    pub fn end(self) {}
}

impl Drop for Stall {
    fn drop(&mut self) {
        let [name, role] = self.server.words();
        // An error means that the server has ended.
        let _ = run(tool(&self.servers.folder).args(["signal", name, role, "CONT"]));
    }
}

impl Outage {
    pub(crate) fn begin(folder: &Path, name: &'static str, role: &'static str) -> Outage {
        Outage { folder: folder.to_owned(), name, role, over: false }
    }

    /// Starts the server again with the same port and data. Returns when it is ready.
    pub fn end(mut self) {
        self.over = true;
        let words = ["start", self.name, self.role];
        wait_until("the killed server has ended", PATIENCE, || match run(tool(&self.folder).args(words)) {
            Err(why) if why.contains("is running already") => None,
            Err(why) => panic!("services {}: {why}", words.join(" ")),
            Ok(_) => Some(()),
        });
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if !self.over {
            // the test has failed already; if the server doesn't start, the next tests that use it fail
            let _ = run(tool(&self.folder).args(["start", self.name, self.role]));
        }
    }
}

/// Returns a command that runs the `services` tool for the servers in `folder`.
pub(crate) fn tool(folder: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(repository().join("tests/services/services"));
    command.env("WEIR_SERVICES_DIR", folder).stdin(Stdio::null());
    command
}

/// Runs a command to its end. Returns its standard output, or the reason of its failure.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
    }
}
