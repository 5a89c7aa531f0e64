//! Puts back backups: the sink's ledger, alone or with the channel and the positions, from before the last deliveries.
//! The next start has to be refused, and must not change anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::timeout;
use weir_runtime::agent::{Ending, Stop};
use weir_runtime::storage::SimulatedDisk;

use super::world::World;

/// How long a start may take to be refused.
const PATIENCE: Duration = Duration::from_secs(20);

type Files = BTreeMap<String, Vec<u8>>;

/// The content of the disks between two agents.
pub(super) struct Backup {
    channel: Files,
    positions: Files,
    /// By name below the ledgers' directory.
    ledger: Files,
    /// The names of all output files, complete or not, without their directories.
    names: BTreeSet<String>,
}

fn is_temporary(name: &str) -> bool {
    name.starts_with('.')
}

/// Returns the final name of an output file, whether it is temporary or complete.
fn final_name(name: &str) -> &str {
    let marked = name.strip_prefix('.').and_then(|name| name.strip_suffix(".logs.out.tmp"));
    marked.unwrap_or(name)
}

impl World {
    pub(super) fn back_up(&self) -> Backup {
        let paths = self.output.paths();
        let ledger = format!("{}/.weir/", self.root());
        let below = |path: &String| {
            let name = path.strip_prefix(&ledger)?.to_owned();
            Some((name, self.output.bytes(path)))
        };
        Backup {
            channel: self.channel.backup(),
            positions: self.positions.backup(),
            ledger: paths.iter().filter_map(below).collect(),
            names: paths.iter().filter_map(|path| path.rsplit('/').next()).map(str::to_owned).collect(),
        }
    }

    /// Returns whether files have become complete since the backup, so that its ledger does not contain them.
    fn is_further_than(&self, backup: &Backup) -> bool {
        let known: BTreeSet<&str> = backup.names.iter().map(|name| final_name(name)).collect();
        let now = self.back_up().names;
        now.iter()
            .any(|name| !is_temporary(name) && !name.ends_with(".entry") && !known.contains(final_name(name)))
    }

    /// Returns all output files except the ledger.
    fn files(&self) -> Files {
        let paths = self.output.paths().into_iter().filter(|path| !path.contains("/.weir/"));
        paths.map(|path| (path.clone(), self.output.bytes(&path))).collect()
    }

    fn put_back(&self, backup: &Backup, channel: bool, positions: bool) {
        let ledger = format!("{}/.weir/", self.root());
        let files = backup.ledger.iter().map(|(name, bytes)| (format!("{ledger}{name}"), bytes.clone()));
        self.output.put_back(&ledger, files.collect());
        if channel {
            self.channel.restore(&backup.channel);
        }
        if positions {
            self.positions.restore(&backup.positions);
        }
    }

    /// Puts a backup back, checks that an agent refuses to start, and restores the present state. Returns false,
    /// without starting an agent, if no files have become complete since the backup. No other agent may run.
    pub(super) async fn refuses_backup(&self, backup: &Backup) -> Result<bool, String> {
        if !self.is_further_than(backup) {
            return Ok(false);
        }
        let (channel, positions) = {
            let mut random = self.random.lock().unwrap();
            (random.one_in(2), random.one_in(2))
        };
        // Decides which unsynced data of a killed agent is on the disks.
        [&self.channel, &self.positions].into_iter().for_each(SimulatedDisk::reboot);
        self.output.restart();
        // A name that only the killed agent has given may be lost with the power, and the file is not complete then.
        if !self.is_further_than(backup) {
            return Ok(false);
        }
        let (intact, before) = (self.back_up(), self.files());
        self.put_back(backup, channel, positions);
        let note = format!("a backup is put back, with the channel: {channel}, positions: {positions}");
        self.workload.lock().unwrap().note(note);
        let ending = timeout(PATIENCE, self.run_agent(&Stop::default())).await;
        // The tasks that the agent has left running release its locks.
        for _turn in 0..20 {
            tokio::task::yield_now().await;
        }
        [&self.channel, &self.positions].into_iter().for_each(SimulatedDisk::kill);
        self.output.kill();
        if self.files() != before {
            return Err("a start that was to be refused has changed files".to_owned());
        }
        self.put_back(&intact, true, true);
        self.workload.lock().unwrap().note("all is put back to what it was".to_owned());
        match ending {
            // The machine has stopped before the agent could refuse.
            Ok(None) => {
                self.restart_machine().await;
                Ok(false)
            }
            Ok(Some(Ending::NotStarted { failure, .. }))
                if failure.to_string().contains("put back from a backup") =>
            {
                Ok(true)
            }
            ending => Err(format!("a backup was put back, and the agent was not refused: {ending:?}")),
        }
    }
}
