//! A simulated file system in memory, with calls that fail on request and a machine that can crash.
//!
//! After a loss of power, a file that was not closed may lack unsynced bytes at its end, a rename that had not returned
//! has happened or not, and a removed file may exist again. When only the agent is killed, it loses its locks and
//! nothing else.

mod calls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::sleep;
use weir_runtime::SeededRandom;
use weir_runtime::storage::{Machine, Moment, StepOutcome};

use super::error::Operation;

/// Within a simulated machine some calls take up to this long, so that later calls overtake them.
const DELAY_MS_MAX: u64 = 20;

/// The simulated file system. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Simulated {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, File>,
    calls: Vec<(Operation, String)>,
    /// The number of the call that fails.
    fails_at: Option<usize>,
    /// The number of the call at which the machine crashes, and whether that call takes effect.
    crashes_at: Option<(usize, bool)>,
    crashed: bool,
    /// The number of the call, a rename, that takes effect and returns an error.
    answer_lost_at: Option<usize>,
    /// The number of the machine's starts.
    boot: u64,
    /// How long each call takes.
    delay: Duration,
    writing: usize,
    writing_max: usize,
    /// The simulated machine that the file system is part of.
    machine: Option<Machine>,
    random: SeededRandom,
    /// Gives the random numbers that writers ask for.
    drawn: SeededRandom,
    /// Renames that have not returned, from and to.
    in_doubt: Vec<(String, String)>,
    /// Files that were removed since their directory was last synced.
    removed: Vec<(String, File)>,
    /// How many files may be open at once, and how many are.
    descriptors: Option<usize>,
    open: usize,
    /// Decides which calls on a path fail without an effect.
    trouble: Option<Trouble>,
    /// Whether the file system is like HDFS: it knows no writers of closed files, can't cut files, has calls of any duration,
    /// and loses answers to renames.
    is_remote: bool,
}

/// Returns whether a call on this path fails.
type Trouble = Arc<dyn Fn(&str) -> bool + Send + Sync>;

#[derive(Default, Clone)]
struct File {
    bytes: Vec<u8>,
    /// The number of bytes that are durable.
    synced: usize,
    closed: bool,
    /// The start of the machine in which a writer has the file open.
    held: Option<u64>,
    /// Whether the name is durable.
    named: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SimulatedError(&'static str);

/// A file that is being written.
pub(crate) struct Writer {
    path: String,
    disk: Simulated,
    open: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        state.open -= 1;
        if self.open {
            state.writing -= 1;
        }
        let boot = state.boot;
        if let Some(file) = state.files.get_mut(&self.path)
            && file.held == Some(boot)
        {
            file.held = None;
        }
    }
}

/// The effect of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Complete,
    /// The machine stops within the call, which takes effect in part or not at all.
    Partial,
}

impl State {
    /// Whether the answer to a rename is lost.
    fn loses_answer(&mut self) -> bool {
        self.is_remote && self.random.below(20) == 0
    }

    /// Forgets the writer of a file that was closed, as HDFS does.
    fn end_lease(&mut self, path: &str) {
        if self.is_remote
            && let Some(file) = self.files.get_mut(path)
        {
            file.held = None;
        }
    }

    /// Sometimes finds that the writer of a file has not renewed its lease, and closes the file in its place.
    fn expire_lease(&mut self, path: &str) {
        if self.is_remote
            && self.random.below(4) == 0
            && let Some(file) = self.files.get_mut(path)
        {
            file.held = None;
            self.recover_lease(path);
        }
    }

    /// Closes a file without a writer, as HDFS does: unsynced bytes at its end are lost or not.
    fn recover_lease(&mut self, path: &str) {
        if self.is_remote
            && let Some(file) = self.files.get_mut(path)
            && !file.closed
        {
            let unsynced = (file.bytes.len() - file.synced) as u64;
            file.bytes.truncate(file.synced + self.random.below(unsynced + 1) as usize);
            (file.closed, file.synced) = (true, file.bytes.len());
        }
    }

    /// Makes the names in this file's directory durable.
    fn synced(&mut self, path: &str) {
        self.removed.retain(|(removed, _)| directory(removed) != directory(path));
        self.in_doubt.retain(|(from, _)| directory(from) != directory(path));
        let names = self.files.iter_mut().filter(|(name, _)| directory(name) == directory(path));
        names.for_each(|(_, file)| file.named = true);
    }

    fn lose_power(&mut self) {
        for (from, to) in std::mem::take(&mut self.in_doubt) {
            if self.random.below(2) == 0
                && !self.files.contains_key(&from)
                && let Some(file) = self.files.remove(&to)
            {
                self.files.insert(from, file);
            }
        }
        for (path, file) in std::mem::take(&mut self.removed) {
            if self.random.below(2) == 0 {
                self.files.entry(path).or_insert(file);
            }
        }
        let unsure = self.files.iter().filter(|(_, file)| !file.closed || !file.named);
        let unsure: Vec<String> = unsure.map(|(path, _)| path.clone()).collect();
        for path in unsure {
            let lost = self.random.below(2) == 0;
            let File { bytes, synced, .. } = &self.files[&path];
            let keep = synced + self.random.below((bytes.len() - synced) as u64 + 1) as usize;
            let Some(file) = self.files.get_mut(&path) else { continue };
            if !file.named && lost {
                self.files.remove(&path);
                continue;
            }
            if !std::mem::replace(&mut file.closed, true) {
                file.bytes.truncate(keep);
            }
            file.named = true;
        }
    }
}

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// Returns the kind of a file, for tables of the covered cases.
fn kind(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or_default();
    match (
        path.contains("/.weir/"),
        name.ends_with(".tmp"),
        name.ends_with(".entry") || name.contains(".txt"),
    ) {
        (true, true, _) => "entry in the making",
        (true, _, true) => "entry",
        (true, ..) => "ledger",
        (_, true, _) => "file in the making",
        (_, _, true) => "file",
        _ => "directory",
    }
}

impl Simulated {
    /// Makes an empty file system within a machine. Random outcomes follow from the seed.
    pub(crate) fn within(machine: &Machine, seed: u64) -> Simulated {
        let state = State {
            machine: Some(machine.clone()),
            random: SeededRandom::new(seed),
            drawn: SeededRandom::new(!seed),
            ..State::default()
        };
        Simulated { state: Arc::new(Mutex::new(state)) }
    }

    /// Makes an empty file system without a machine. The effects of a loss of power follow from the seed.
    pub(crate) fn seeded(seed: u64) -> Simulated {
        let state =
            State { random: SeededRandom::new(seed), drawn: SeededRandom::new(!seed), ..State::default() };
        Simulated { state: Arc::new(Mutex::new(state)) }
    }

    /// Makes an empty file system like HDFS: calls take any time, leases end although their writers live, answers to
    /// renames are lost, and closed files have no writers.
    pub(crate) fn remote(seed: u64) -> Simulated {
        let disk = Simulated::seeded(seed);
        disk.make_remote();
        disk
    }

    /// Makes the file system like HDFS.
    pub(crate) fn make_remote(&self) {
        self.lock().is_remote = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Has this call fail.
    pub(crate) fn fail_at(&self, call: Option<usize>) {
        self.lock().fails_at = call;
    }

    /// Has the machine crash at this call, which takes effect or not. All calls after it fail.
    pub(crate) fn crash_at(&self, call: usize, happens: bool) {
        self.lock().crashes_at = Some((call, happens));
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.lock().crashed
    }

    /// Starts the machine again after a loss of power.
    pub(crate) fn restart(&self) {
        self.kill();
        self.lock().lose_power();
    }

    /// Kills the agent: releases the locks of all files, and changes nothing else.
    pub(crate) fn kill(&self) {
        let mut state = self.lock();
        state.crashed = false;
        state.crashes_at = None;
        state.boot += 1;
        state.calls.clear();
        state.files.values_mut().for_each(|file| file.held = None);
    }

    /// Has this call, a rename, return an error although it takes effect.
    pub(crate) fn lose_answer_at(&self, call: usize) {
        self.lock().answer_lost_at = Some(call);
    }

    /// Returns the content of a file.
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        self.lock().files[path].bytes.clone()
    }

    /// Replaces the content of a file, or removes the file.
    pub(crate) fn replace(&self, path: &str, bytes: Option<Vec<u8>>) {
        let mut state = self.lock();
        match bytes {
            Some(bytes) => {
                let synced = bytes.len();
                let file = File { bytes, synced, closed: true, held: None, named: true };
                state.files.insert(path.to_string(), file);
            }
            None => drop(state.files.remove(path)),
        }
    }

    /// Limits the number of files that can be open at once.
    pub(crate) fn give_descriptors(&self, descriptors: usize) {
        self.lock().descriptors = Some(descriptors);
    }

    /// Renames a directory with all its files, while no machine runs.
    pub(crate) fn move_directory(&self, from: &str, to: &str) {
        let mut state = self.lock();
        let moved = |path: String| {
            let below = path.strip_prefix(from).filter(|below| below.starts_with('/'));
            below.map(|below| format!("{to}{below}")).unwrap_or(path)
        };
        let files = std::mem::take(&mut state.files).into_iter();
        state.files = files.map(|(path, file)| (moved(path), file)).collect();
        let in_doubt = std::mem::take(&mut state.in_doubt).into_iter();
        state.in_doubt = in_doubt.map(|(from, to)| (moved(from), moved(to))).collect();
        let removed = std::mem::take(&mut state.removed).into_iter();
        state.removed = removed.map(|(path, file)| (moved(path), file)).collect();
    }

    /// Restores the files of a directory and removes its other files.
    pub(crate) fn put_back(&self, directory: &str, files: Vec<(String, Vec<u8>)>) {
        let there = self.paths().into_iter().filter(|path| path.starts_with(directory));
        there.for_each(|path| self.replace(&path, None));
        files.into_iter().for_each(|(path, bytes)| self.replace(&path, Some(bytes)));
    }

    /// Has calls on the paths fail for which `trouble` returns true, before they have an effect.
    pub(crate) fn trouble_by(&self, trouble: Option<Trouble>) {
        self.lock().trouble = trouble;
    }

    /// Has each call take this long.
    pub(crate) fn take(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    pub(crate) fn calls(&self) -> Vec<(Operation, String)> {
        self.lock().calls.clone()
    }

    pub(crate) fn writing_max(&self) -> usize {
        self.lock().writing_max
    }

    /// Adds an empty file of another agent, which has closed it or is still writing it.
    pub(crate) fn put(&self, path: &str, closed: bool) {
        let mut state = self.lock();
        let held = (!closed).then_some(state.boot);
        let file = File { bytes: Vec::new(), synced: 0, closed, held, named: true };
        state.files.insert(path.to_string(), file);
    }

    /// Returns the paths of all files.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.lock().files.keys().cloned().collect()
    }

    pub(crate) fn is_temporary(path: &str) -> bool {
        path.rsplit('/').next().is_some_and(|name| name.starts_with('.'))
    }

    /// Returns the path and content of each complete file, in the order of their names.
    pub(crate) fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.lock();
        let complete = state.files.iter().filter(|(path, _)| !Simulated::is_temporary(path));
        let complete = complete.filter(|(path, _)| !path.contains("/.weir/"));
        complete.map(|(path, file)| (path.clone(), file.bytes.clone())).collect()
    }

    /// Returns those of the complete files whose names a loss of power can't take back.
    pub(crate) fn settled_contents(&self) -> Vec<(String, Vec<u8>)> {
        let in_doubt: Vec<String> = self.lock().in_doubt.iter().map(|(_, to)| to.clone()).collect();
        self.contents().into_iter().filter(|(path, _)| !in_doubt.contains(path)).collect()
    }

    /// Returns each complete file's directory and lines, in the order of their names.
    pub(crate) fn complete(&self) -> Vec<(String, Vec<u64>)> {
        let state = self.lock();
        let complete = state.files.iter().filter(|(path, _)| !Simulated::is_temporary(path));
        let complete = complete.filter(|(path, _)| !path.contains("/.weir/"));
        let read = complete.map(|(path, file)| {
            let is_synced = file.closed || file.synced == file.bytes.len();
            assert!(is_synced, "{path} is complete and not on disk");
            let text = String::from_utf8(file.bytes.clone()).unwrap();
            let lines = text.lines().map(|line| line.parse().unwrap()).collect();
            (path.rsplit_once('/').unwrap().0.to_string(), lines)
        });
        read.collect()
    }

    /// Returns the lines of all complete files, sorted and without duplicates.
    pub(crate) fn events(&self) -> Vec<u64> {
        let mut events: Vec<u64> = self.complete().into_iter().flat_map(|(_, lines)| lines).collect();
        events.sort_unstable();
        events.dedup();
        events
    }

    pub(crate) fn has_temporary(&self) -> bool {
        self.lock().files.keys().any(|path| Simulated::is_temporary(path))
    }

    async fn call(
        &self,
        operation: Operation,
        path: &str,
        changes: bool,
    ) -> Result<(MutexGuard<'_, State>, Effect), SimulatedError> {
        let trouble = self.lock().trouble.clone();
        if trouble.is_some_and(|trouble| trouble(path)) {
            return Err(SimulatedError("its disk does not answer"));
        }
        let (delay, fails, effect, step) = {
            let mut state = self.lock();
            let step = state.machine.as_ref().map_or(StepOutcome::Proceeds, |machine| {
                machine.step("sink", &format!("{operation:?}"), kind(path), changes)
            });
            if state.crashed || matches!(step, StepOutcome::Down | StepOutcome::Stops(Moment::Before)) {
                return Err(SimulatedError("the machine has crashed"));
            }
            state.calls.push((operation, path.to_string()));
            let call = state.calls.len() - 1;
            if let Some((_, happens)) = state.crashes_at.filter(|(crash, _)| *crash == call) {
                state.crashed = true;
                if !happens {
                    return Err(SimulatedError("the machine has crashed"));
                }
            }
            let effect =
                if step == StepOutcome::Stops(Moment::Within) { Effect::Partial } else { Effect::Complete };
            let varies = state.machine.is_some() && step == StepOutcome::Proceeds || state.is_remote;
            let delay = match varies && state.random.below(4) == 0 {
                true => Duration::from_millis(1 + state.random.below(DELAY_MS_MAX)),
                false => state.delay,
            };
            (delay, state.fails_at == Some(call), effect, step)
        };
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let state = self.lock();
        if state.machine.as_ref().is_some_and(|machine| step == StepOutcome::Proceeds && machine.is_down()) {
            return Err(SimulatedError("the machine has stopped before it"));
        }
        if fails { Err(SimulatedError("it was told to fail")) } else { Ok((state, effect)) }
    }
}
