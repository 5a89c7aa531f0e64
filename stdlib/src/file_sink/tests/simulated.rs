//! A file system in memory that fails when it is told to, and whose machine can crash.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::super::error::Operation;
use super::{Entry, FileSystem};

#[derive(Clone, Default)]
pub(super) struct Simulated {
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
}

#[derive(Default, Clone)]
struct File {
    bytes: Vec<u8>,
    closed: bool,
    /// The boot in which somebody has it open.
    held: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct SimulatedError(&'static str);

/// A file that is being written.
pub(super) struct Writer {
    path: String,
    disk: Simulated,
    open: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
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

impl Simulated {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn fail_at(&self, call: Option<usize>) {
        self.lock().fails_at = call;
    }

    /// The machine crashes at this call, which still happens or does not: nothing works any more.
    pub(super) fn crash_at(&self, call: usize, happens: bool) {
        self.lock().crashes_at = Some((call, happens));
    }

    pub(super) fn has_crashed(&self) -> bool {
        self.lock().crashed
    }

    /// The machine starts again: what was not synced is lost in part, and nobody holds any file.
    pub(super) fn restart(&self) {
        let mut state = self.lock();
        state.crashed = false;
        state.crashes_at = None;
        state.boot += 1;
        state.calls.clear();
        for (number, file) in state.files.values_mut().enumerate() {
            file.held = None;
            if !file.closed {
                file.closed = true;
                file.bytes.truncate(file.bytes.len() * (number % 3) / 2);
            }
        }
    }

    /// The answer of this call, a rename that happens, is lost.
    pub(super) fn lose_answer_at(&self, call: usize) {
        self.lock().answer_lost_at = Some(call);
    }

    /// What is in a file.
    pub(super) fn bytes(&self, path: &str) -> Vec<u8> {
        self.lock().files[path].bytes.clone()
    }

    /// Puts bytes in the place of a file, or takes it away.
    pub(super) fn replace(&self, path: &str, bytes: Option<Vec<u8>>) {
        let mut state = self.lock();
        match bytes {
            Some(bytes) => {
                state.files.insert(path.to_string(), File { bytes, closed: true, held: None });
            }
            None => drop(state.files.remove(path)),
        }
    }

    pub(super) fn take(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    pub(super) fn calls(&self) -> Vec<(Operation, String)> {
        self.lock().calls.clone()
    }

    pub(super) fn writing_max(&self) -> usize {
        self.lock().writing_max
    }

    /// A file that somebody else has left, or is still writing.
    pub(super) fn put(&self, path: &str, closed: bool) {
        let mut state = self.lock();
        let held = (!closed).then_some(state.boot);
        state.files.insert(path.to_string(), File { bytes: Vec::new(), closed, held });
    }

    /// The paths of all files.
    pub(super) fn paths(&self) -> Vec<String> {
        self.lock().files.keys().cloned().collect()
    }

    fn is_temporary(path: &str) -> bool {
        path.rsplit('/').next().is_some_and(|name| name.starts_with('.'))
    }

    /// Each complete file's directory and lines, in the order of their names.
    pub(super) fn complete(&self) -> Vec<(String, Vec<u64>)> {
        let state = self.lock();
        let complete = state.files.iter().filter(|(path, _)| !Simulated::is_temporary(path));
        let complete = complete.filter(|(path, _)| !path.contains("/.weir/"));
        let read = complete.map(|(path, file)| {
            assert!(file.closed, "{path} is complete but not closed");
            let text = String::from_utf8(file.bytes.clone()).unwrap();
            let lines = text.lines().map(|line| line.parse().unwrap()).collect();
            (path.rsplit_once('/').unwrap().0.to_string(), lines)
        });
        read.collect()
    }

    /// The lines of all complete files, in order, each once.
    pub(super) fn events(&self) -> Vec<u64> {
        let mut events: Vec<u64> = self.complete().into_iter().flat_map(|(_, lines)| lines).collect();
        events.sort_unstable();
        events.dedup();
        events
    }

    pub(super) fn has_temporary(&self) -> bool {
        self.lock().files.keys().any(|path| Simulated::is_temporary(path))
    }

    async fn call(&self, operation: Operation, path: &str) -> Result<MutexGuard<'_, State>, SimulatedError> {
        let (delay, fails) = {
            let mut state = self.lock();
            if state.crashed {
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
            (state.delay, state.fails_at == Some(call))
        };
        if !delay.is_zero() {
            sleep(delay).await;
        }
        if fails { Err(SimulatedError("it was told to fail")) } else { Ok(self.lock()) }
    }
}

impl FileSystem for Simulated {
    const KNOWS_WRITERS_OF_CLOSED_FILES: bool = true;
    type File = Writer;
    type Error = SimulatedError;

    async fn create_new(&self, path: &str) -> Result<Writer, SimulatedError> {
        let mut state = self.call(Operation::Create, path).await?;
        if state.files.contains_key(path) {
            return Err(SimulatedError("it exists"));
        }
        let held = Some(state.boot);
        state.files.insert(path.to_string(), File { held, ..File::default() });
        state.writing += 1;
        state.writing_max = state.writing_max.max(state.writing);
        Ok(Writer { path: path.to_string(), disk: self.clone(), open: true })
    }

    async fn write(&self, file: &mut Writer, bytes: Bytes) -> Result<(), SimulatedError> {
        let mut state = self.call(Operation::Write, &file.path).await?;
        let stored = state.files.get_mut(&file.path).ok_or(SimulatedError("it is gone"))?;
        stored.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn close(&self, file: &mut Writer) -> Result<(), SimulatedError> {
        let mut state = self.call(Operation::Close, &file.path).await?;
        if std::mem::take(&mut file.open) {
            state.writing -= 1;
        }
        state.files.get_mut(&file.path).ok_or(SimulatedError("it is gone"))?.closed = true;
        Ok(())
    }

    async fn rename_no_replace(&self, from: &str, to: &str) -> Result<(), SimulatedError> {
        let mut state = self.call(Operation::Rename, from).await?;
        if state.files.contains_key(to) {
            return Err(SimulatedError("it exists"));
        }
        let file = state.files.remove(from).ok_or(SimulatedError("it is gone"))?;
        state.files.insert(to.to_string(), file);
        match state.answer_lost_at == Some(state.calls.len() - 1) {
            true => Err(SimulatedError("the answer was lost")),
            false => Ok(()),
        }
    }

    async fn sync_name(&self, path: &str) -> Result<(), SimulatedError> {
        self.call(Operation::Rename, path).await.map(drop)
    }

    async fn remove(&self, path: &str) -> Result<(), SimulatedError> {
        self.call(Operation::Remove, path).await?.files.remove(path);
        Ok(())
    }

    async fn is_abandoned(&self, path: &str) -> Result<bool, SimulatedError> {
        let state = self.call(Operation::Remove, path).await?;
        Ok(state.files.get(path).is_none_or(|file| file.held != Some(state.boot)))
    }

    async fn read(&self, path: &str) -> Result<Option<Bytes>, SimulatedError> {
        let state = self.call(Operation::Read, path).await?;
        Ok(state.files.get(path).map(|file| file.bytes.clone().into()))
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, SimulatedError> {
        let state = self.call(Operation::Read, path).await?;
        Ok(state.files.get(path).map(|file| file.bytes.len() as u64))
    }

    async fn checksum(&self, path: &str) -> Result<u64, SimulatedError> {
        let state = self.call(Operation::Read, path).await?;
        let file = state.files.get(path).ok_or(SimulatedError("it is gone"))?;
        Ok(xxhash_rust::xxh3::xxh3_64(&file.bytes))
    }

    async fn list(&self, directory: &str) -> Result<Vec<Entry>, SimulatedError> {
        let state = self.call(Operation::List, directory).await?;
        let inside = format!("{directory}/");
        let mut entries: Vec<Entry> = Vec::new();
        for path in state.files.keys() {
            let Some(rest) = path.strip_prefix(&inside) else { continue };
            let (name, is_directory) = match rest.split_once('/') {
                Some((directory, _)) => (directory.to_string(), true),
                None => (rest.to_string(), false),
            };
            if entries.last().is_none_or(|last| last.name != name) {
                entries.push(Entry { name, is_directory, modified_ms: 0 });
            }
        }
        Ok(entries)
    }
}
