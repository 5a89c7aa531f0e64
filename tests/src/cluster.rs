//! Servers that only some tests need: Kafka with Kerberos, HDFS with Kerberos, HDFS with two NameNodes, and a schema registry.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::servers::{run, tool};
use crate::{Hdfs, Kafka, Outage};

/// Held by the test whose cluster runs: the memory of the machine is for one.
static RUNNING: Mutex<()> = Mutex::new(());

/// A cluster that runs until it is dropped.
#[derive(Debug)]
pub struct Cluster {
    name: &'static str,
    folder: PathBuf,
    env: String,
    _running: MutexGuard<'static, ()>,
}

impl Cluster {
    pub(crate) fn start(name: &'static str, folder: &Path, settings: &[(&str, &str)]) -> Cluster {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut up = tool(folder);
        up.args(["up", name]).envs(settings.iter().copied());
        let env = run(&mut up).unwrap_or_else(|why| panic!("{name} did not start:\n{why}"));
        Cluster { name, folder: folder.to_owned(), env, _running: running }
    }

    /// Returns a value of the cluster's environment, such as `HADOOP_CONF_DIR`.
    pub fn setting(&self, key: &str) -> String {
        let value = self.env.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("{} has no {key}", self.name)).to_owned()
    }

    /// Returns Hadoop's own client, which is the superuser.
    pub fn hdfs(&self) -> Hdfs {
        Hdfs::new(self.name, &self.setting("HDFS_URL"), &self.folder)
    }

    /// Returns a client of the broker, which needs no tickets.
    pub fn kafka(&self) -> Kafka {
        Kafka::new(&self.setting("KAFKA_BOOTSTRAP"), &self.folder)
    }

    /// Kills one of the servers with SIGKILL.
    pub fn kill(&self, role: &'static str) -> Outage {
        let outage = Outage::begin(&self.folder, self.name, role);
        self.tool(&["signal", self.name, role, "KILL"]);
        outage
    }

    /// Stops one of the servers and starts it again, with these settings from the environment.
    pub fn restart(&self, role: &str, settings: &[(&str, &str)]) {
        self.tool(&["stop", self.name, role]);
        let mut start = tool(&self.folder);
        start.args(["start", self.name, role]).envs(settings.iter().copied());
        run(&mut start).unwrap_or_else(|why| panic!("{} {role} did not start:\n{why}", self.name));
    }

    /// Runs a command of `services`.
    pub fn tool(&self, words: &[&str]) -> String {
        run(tool(&self.folder).args(words))
            .unwrap_or_else(|why| panic!("services {}: {why}", words.join(" ")))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Whatever remains is removed when the process has ended.
        let _ = run(tool(&self.folder).args(["wipe", self.name]));
    }
}
