//! The servers, started once for all tests of a process and stopped when it has ended.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{env, fs, process};

use crate::{Hdfs, Kafka, repository};

static SERVERS: OnceLock<Result<Servers, String>> = OnceLock::new();
/// Read by those that use the servers, written by the one that stops some of them.
static IN_USE: RwLock<()> = RwLock::new(());

/// Kafka and HDFS, running.
#[derive(Debug)]
pub struct Servers {
    folder: PathBuf,
    bootstrap: String,
    hdfs_url: String,
}

/// The servers for as long as one test uses them.
#[derive(Debug)]
pub struct Session {
    servers: &'static Servers,
    _turn: Turn,
}

#[derive(Debug)]
enum Turn {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

/// A server that is down. It is started again by [`Outage::end`], or at the latest when this is dropped.
#[derive(Debug)]
pub struct Outage {
    servers: &'static Servers,
    name: &'static str,
    role: &'static str,
    over: bool,
}

impl Servers {
    /// The servers, beside other tests.
    ///
    /// Where `WEIR_SERVICES_DIR` names a folder, its servers are used, and whoever set it stops them. Otherwise they
    /// run in a folder of this process and are wiped when it has ended.
    pub fn shared() -> Session {
        let guard = IN_USE.read().unwrap_or_else(PoisonError::into_inner);
        Session { servers: Servers::get(), _turn: Turn::Shared { _guard: guard } }
    }

    /// The servers, with no other test beside: for those that take one down.
    pub fn alone() -> Session {
        let guard = IN_USE.write().unwrap_or_else(PoisonError::into_inner);
        Session { servers: Servers::get(), _turn: Turn::Alone { _guard: guard } }
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
    /// A client of the broker.
    pub fn kafka(&self) -> Kafka {
        Kafka::new(&self.servers.bootstrap)
    }

    /// Hadoop's client.
    pub fn hdfs(&self) -> Hdfs {
        Hdfs::new(&self.servers.hdfs_url, &self.servers.folder)
    }

    /// Kills the only DataNode, as a power failure would.
    pub fn kill_datanode(&self) -> Outage {
        let outage = self.outage("hdfs", "datanode1");
        self.servers.tool(&["signal", "hdfs", "datanode1", "KILL"]);
        outage
    }

    /// Stops the only broker in an orderly way.
    pub fn stop_broker(&self) -> Outage {
        let outage = self.outage("kafka", "broker");
        self.servers.tool(&["stop", "kafka", "broker"]);
        outage
    }

    fn outage(&self, name: &'static str, role: &'static str) -> Outage {
        assert!(
            matches!(self._turn, Turn::Alone { .. }),
            "only a test that is alone may take {name} {role} down"
        );
        Outage { servers: self.servers, name, role, over: false }
    }
}

impl Outage {
    /// Starts the server again, with the same port and data, and returns when it is ready.
    pub fn end(mut self) {
        self.over = true;
        self.servers.tool(&["start", self.name, self.role]);
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if !self.over {
            // the test has failed already; the next ones need the server, and say so if it doesn't come back
            let _ = run(tool(&self.servers.folder).args(["start", self.name, self.role]));
        }
    }
}

/// The `services` tool, for the servers in `folder`.
pub(crate) fn tool(folder: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(repository().join("tests/services/services"));
    command.env("WEIR_SERVICES_DIR", folder).stdin(Stdio::null());
    command
}

/// Runs a command to its end: what it printed, or why it failed.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
    }
}
