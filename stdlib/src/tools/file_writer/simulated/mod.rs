//! A file system in memory that fails when it is told to, and whose machine can crash.
//!
//! When the machine loses its power, a file that was not closed has lost some of its end or all of it, a rename
//! that had not returned has happened or not, and what was removed is there again or not. When only the agent is
//! killed, nothing is lost but its locks.

mod calls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::sleep;
use weir_runtime::SeededRandom;
use weir_runtime::storage::{Machine, Moment, StepOutcome};

use super::error::Operation;

/// Some calls to what is part of a machine take up to so long, so that later ones are done before them.
const DELAY_MS_MAX: u64 = 20;

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
    /// The number of the call at which the machine crashes, and whether that call still happens.
    crashes_at: Option<(usize, bool)>,
    crashed: bool,
    /// The number of a rename that happens and whose answer is lost.
    answer_lost_at: Option<usize>,
    /// Grows with each start of the machine.
    boot: u64,
    /// How long each call takes.
    delay: Duration,
    writing: usize,
    writing_max: usize,
    /// What it is part of.
    machine: Option<Machine>,
    random: SeededRandom,
    /// Renames that have not returned: from, to.
    in_doubt: Vec<(String, String)>,
    /// What was removed since its directory was last synced.
    removed: Vec<(String, File)>,
    /// How many files may be open at once, and how many are.
    descriptors: Option<usize>,
    open: usize,
}

#[derive(Default, Clone)]
struct File {
    bytes: Vec<u8>,
    /// So many of the bytes are on disk for sure.
    synced: usize,
    closed: bool,
    /// The boot in which somebody has it open.
    held: Option<u64>,
    /// Whether its name is on disk for sure.
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

/// How much of a call happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    /// The machine stops within it.
    Part,
}

impl State {
    /// The names in this file's directory are on disk for sure.
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

/// What a file is, whatever it is called, for tables of what was covered.
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
    /// An empty one in a machine. What is left to chance follows from the seed.
    pub(crate) fn within(machine: &Machine, seed: u64) -> Simulated {
        let state =
            State { machine: Some(machine.clone()), random: SeededRandom::new(seed), ..State::default() };
        Simulated { state: Arc::new(Mutex::new(state)) }
    }

    /// An empty one that is part of nothing. What a loss of power takes follows from the seed.
    pub(crate) fn seeded(seed: u64) -> Simulated {
        let state = State { random: SeededRandom::new(seed), ..State::default() };
        Simulated { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn fail_at(&self, call: Option<usize>) {
        self.lock().fails_at = call;
    }

    /// The machine crashes at this call, which still happens or does not: nothing works any more.
    pub(crate) fn crash_at(&self, call: usize, happens: bool) {
        self.lock().crashes_at = Some((call, happens));
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.lock().crashed
    }

    /// The machine starts again after it has lost its power.
    pub(crate) fn restart(&self) {
        self.kill();
        self.lock().lose_power();
    }

    /// Nobody holds any file any more; nothing else has happened.
    pub(crate) fn kill(&self) {
        let mut state = self.lock();
        state.crashed = false;
        state.crashes_at = None;
        state.boot += 1;
        state.calls.clear();
        state.files.values_mut().for_each(|file| file.held = None);
    }

    /// The answer of this call, a rename that happens, is lost.
    pub(crate) fn lose_answer_at(&self, call: usize) {
        self.lock().answer_lost_at = Some(call);
    }

    /// What is in a file.
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        self.lock().files[path].bytes.clone()
    }

    /// Puts bytes in the place of a file, or takes it away.
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

    /// No more files than this can be held at once.
    pub(crate) fn give_descriptors(&self, descriptors: usize) {
        self.lock().descriptors = Some(descriptors);
    }

    /// Gives a directory, with all that is in it, another name. No machine runs.
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

    /// Puts the files of one directory back to what they were; none that were not there stay.
    pub(crate) fn put_back(&self, directory: &str, files: Vec<(String, Vec<u8>)>) {
        let there = self.paths().into_iter().filter(|path| path.starts_with(directory));
        there.for_each(|path| self.replace(&path, None));
        files.into_iter().for_each(|(path, bytes)| self.replace(&path, Some(bytes)));
    }

    pub(crate) fn take(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    pub(crate) fn calls(&self) -> Vec<(Operation, String)> {
        self.lock().calls.clone()
    }

    pub(crate) fn writing_max(&self) -> usize {
        self.lock().writing_max
    }

    /// A file that somebody else has left, or is still writing.
    pub(crate) fn put(&self, path: &str, closed: bool) {
        let mut state = self.lock();
        let held = (!closed).then_some(state.boot);
        let file = File { bytes: Vec::new(), synced: 0, closed, held, named: true };
        state.files.insert(path.to_string(), file);
    }

    /// The paths of all files.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.lock().files.keys().cloned().collect()
    }

    pub(crate) fn is_temporary(path: &str) -> bool {
        path.rsplit('/').next().is_some_and(|name| name.starts_with('.'))
    }

    /// The path and content of each complete file, in the order of their names.
    pub(crate) fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.lock();
        let complete = state.files.iter().filter(|(path, _)| !Simulated::is_temporary(path));
        let complete = complete.filter(|(path, _)| !path.contains("/.weir/"));
        complete.map(|(path, file)| (path.clone(), file.bytes.clone())).collect()
    }

    /// Each complete file's directory and lines, in the order of their names.
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

    /// The lines of all complete files, in order, each once.
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
    ) -> Result<(MutexGuard<'_, State>, Extent), SimulatedError> {
        let (delay, fails, extent, step) = {
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
            let extent =
                if step == StepOutcome::Stops(Moment::Within) { Extent::Part } else { Extent::Whole };
            let delay = match state.machine.is_some()
                && step == StepOutcome::Proceeds
                && state.random.below(4) == 0
            {
                true => Duration::from_millis(1 + state.random.below(DELAY_MS_MAX)),
                false => state.delay,
            };
            (delay, state.fails_at == Some(call), extent, step)
        };
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let state = self.lock();
        if state.machine.as_ref().is_some_and(|machine| step == StepOutcome::Proceeds && machine.is_down()) {
            return Err(SimulatedError("the machine has stopped before it"));
        }
        if fails { Err(SimulatedError("it was told to fail")) } else { Ok((state, extent)) }
    }
}
