//! A file system in memory that fails when it is told to.

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
    /// How long each call takes.
    delay: Duration,
    writing: usize,
    writing_max: usize,
}

#[derive(Default, Clone)]
struct File {
    bytes: Vec<u8>,
    closed: bool,
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
        if self.open {
            self.disk.lock().writing -= 1;
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
        self.lock().files.insert(path.to_string(), File { bytes: Vec::new(), closed });
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
            state.calls.push((operation, path.to_string()));
            (state.delay, state.fails_at == Some(state.calls.len() - 1))
        };
        if !delay.is_zero() {
            sleep(delay).await;
        }
        if fails { Err(SimulatedError("it was told to fail")) } else { Ok(self.lock()) }
    }
}

impl FileSystem for Simulated {
    type File = Writer;
    type Error = SimulatedError;

    async fn create_new(&self, path: &str) -> Result<Writer, SimulatedError> {
        let mut state = self.call(Operation::Create, path).await?;
        if state.files.contains_key(path) {
            return Err(SimulatedError("it exists"));
        }
        state.files.insert(path.to_string(), File::default());
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
        file.open = false;
        state.writing -= 1;
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
        Ok(())
    }

    async fn remove(&self, path: &str) -> Result<(), SimulatedError> {
        self.call(Operation::Remove, path).await?.files.remove(path);
        Ok(())
    }

    async fn remove_abandoned(&self, path: &str) -> Result<bool, SimulatedError> {
        let mut state = self.call(Operation::Remove, path).await?;
        if state.files.get(path).is_some_and(|file| !file.closed) {
            return Ok(false);
        }
        state.files.remove(path);
        Ok(true)
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
