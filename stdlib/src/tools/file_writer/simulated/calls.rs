//! The calls of the simulated file system.

use bytes::Bytes;
use weir_runtime::BlockingExecutor;

use super::{Effect, File, Simulated, SimulatedError, Writer};
use crate::tools::file_writer::error::Operation;
use crate::tools::file_writer::{Cut, Entry, FileSystem};

const NO_DESCRIPTOR: &str = "too many open files";
const LEASE_LOST: SimulatedError = SimulatedError("its lease was given to another");
const STOPPED: SimulatedError = SimulatedError("the machine has stopped within it");

impl FileSystem for Simulated {
    const EXECUTOR: BlockingExecutor = BlockingExecutor::Inline;
    type File = Writer;
    type Error = SimulatedError;

    fn random(&self) -> Result<u64, getrandom::Error> {
        Ok(self.lock().drawn.next())
    }

    fn knows_writers_of_closed_files(&self) -> bool {
        !self.lock().is_remote
    }

    fn commits_open_files(&self) -> bool {
        true
    }

    fn is_out_of_descriptors(error: &SimulatedError) -> bool {
        error.0 == NO_DESCRIPTOR
    }

    async fn create_new(&self, path: &str) -> Result<Writer, SimulatedError> {
        let (mut state, effect) = self.call(Operation::Create, path, true).await?;
        if state.descriptors.is_some_and(|descriptors| state.open >= descriptors) {
            return Err(SimulatedError(NO_DESCRIPTOR));
        }
        if state.files.contains_key(path) {
            return Err(SimulatedError("it exists"));
        }
        if effect == Effect::Partial && state.random.below(2) == 0 {
            return Err(STOPPED);
        }
        let held = Some(state.boot);
        state.files.insert(path.to_string(), File { held, ..File::default() });
        state.open += 1;
        state.writing += 1;
        state.writing_max = state.writing_max.max(state.writing);
        Ok(Writer { path: path.to_string(), disk: self.clone(), open: true })
    }

    async fn write(&self, file: &mut Writer, bytes: Bytes) -> Result<(), SimulatedError> {
        let (mut state, effect) = self.call(Operation::Write, &file.path, true).await?;
        let written = match effect {
            Effect::Complete => bytes.len(),
            Effect::Partial => state.random.below(bytes.len() as u64 + 1) as usize,
        };
        let stored = state.files.get_mut(&file.path).ok_or(SimulatedError("it is gone"))?;
        if stored.closed {
            return Err(LEASE_LOST);
        }
        stored.bytes.extend_from_slice(&bytes[..written]);
        if effect == Effect::Complete { Ok(()) } else { Err(STOPPED) }
    }

    async fn sync(&self, file: &mut Writer) -> Result<(), SimulatedError> {
        let (mut state, effect) = self.call(Operation::Sync, &file.path, true).await?;
        if effect == Effect::Partial && state.random.below(2) == 0 {
            return Err(STOPPED);
        }
        let stored = state.files.get_mut(&file.path).ok_or(SimulatedError("it is gone"))?;
        if stored.closed {
            return Err(LEASE_LOST);
        }
        stored.synced = stored.bytes.len();
        if effect == Effect::Complete { Ok(()) } else { Err(STOPPED) }
    }

    async fn close(&self, file: &mut Writer) -> Result<(), SimulatedError> {
        let (mut state, effect) = self.call(Operation::Close, &file.path, true).await?;
        if effect == Effect::Partial && state.random.below(2) == 0 {
            return Err(STOPPED);
        }
        if std::mem::take(&mut file.open) {
            state.writing -= 1;
        }
        let stored = state.files.get_mut(&file.path).ok_or(SimulatedError("it is gone"))?;
        if stored.closed {
            return Err(LEASE_LOST);
        }
        (stored.closed, stored.synced) = (true, stored.bytes.len());
        state.end_lease(&file.path);
        Ok(())
    }

    async fn cut(&self, path: &str, length: u64, copy: &str) -> Result<Cut, SimulatedError> {
        if self.lock().is_remote {
            return self.copy(path, length, copy).await;
        }
        let (mut state, effect) = self.call(Operation::Cut, path, true).await?;
        if effect == Effect::Partial && state.random.below(2) == 0 {
            return Err(STOPPED);
        }
        let boot = state.boot;
        let stored = state.files.get_mut(path).ok_or(SimulatedError("it is gone"))?;
        if stored.held == Some(boot) {
            return Err(SimulatedError("somebody writes it"));
        }
        stored.bytes.truncate(length as usize);
        (stored.closed, stored.synced) = (true, stored.bytes.len());
        Ok(Cut::InPlace)
    }

    async fn rename_no_replace(&self, from: &str, to: &str) -> Result<(), SimulatedError> {
        let (mut state, effect) = self.call(Operation::Rename, from, true).await?;
        if state.files.contains_key(to) {
            return Err(SimulatedError("it exists"));
        }
        let file = state.files.remove(from).ok_or(SimulatedError("it is gone"))?;
        state.files.insert(to.to_string(), file);
        // The caller of a rename at which the machine crashes gets no answer.
        if effect == Effect::Partial || state.crashed {
            state.in_doubt.push((from.to_string(), to.to_string()));
            return Err(STOPPED);
        }
        state.synced(to);
        match state.answer_lost_at == Some(state.calls.len() - 1) || state.loses_answer() {
            true => Err(SimulatedError("the answer was lost")),
            false => Ok(()),
        }
    }

    async fn sync_name(&self, path: &str) -> Result<(), SimulatedError> {
        let (mut state, effect) = self.call(Operation::Rename, path, true).await?;
        if effect == Effect::Partial {
            return Err(STOPPED);
        }
        state.synced(path);
        Ok(())
    }

    async fn remove(&self, path: &str) -> Result<(), SimulatedError> {
        let (mut state, effect) = self.call(Operation::Remove, path, true).await?;
        if effect == Effect::Partial && state.random.below(2) == 0 {
            return Err(STOPPED);
        }
        if let Some(file) = state.files.remove(path) {
            state.removed.push((path.to_string(), file));
        }
        Ok(())
    }

    async fn is_abandoned(&self, path: &str) -> Result<bool, SimulatedError> {
        let (mut state, _) = self.call(Operation::Remove, path, false).await?;
        state.expire_lease(path);
        let is_abandoned = state.files.get(path).is_none_or(|file| file.held != Some(state.boot));
        if is_abandoned {
            state.recover_lease(path);
        }
        Ok(is_abandoned)
    }

    async fn read(&self, path: &str) -> Result<Option<Bytes>, SimulatedError> {
        let (state, _) = self.call(Operation::Read, path, false).await?;
        Ok(state.files.get(path).map(|file| file.bytes.clone().into()))
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, SimulatedError> {
        let (state, _) = self.call(Operation::Read, path, false).await?;
        Ok(state.files.get(path).map(|file| file.bytes.len() as u64))
    }

    async fn checksum(&self, path: &str, length: u64) -> Result<u64, SimulatedError> {
        let (state, _) = self.call(Operation::Read, path, false).await?;
        let file = state.files.get(path).ok_or(SimulatedError("it is gone"))?;
        let length = file.bytes.len().min(length as usize);
        Ok(xxhash_rust::xxh3::xxh3_64(&file.bytes[..length]))
    }

    async fn list(&self, directory: &str) -> Result<Vec<Entry>, SimulatedError> {
        let (state, _) = self.call(Operation::List, directory, false).await?;
        let inside = format!("{}/", directory.trim_end_matches('/'));
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

impl Simulated {
    /// Copies the beginning of a file, like HDFS, which can't cut files.
    async fn copy(&self, path: &str, length: u64, copy: &str) -> Result<Cut, SimulatedError> {
        let bytes = self.read(path).await?.ok_or(SimulatedError("it is gone"))?;
        let mut file = self.create_new(copy).await?;
        let length = bytes.len().min(length as usize);
        self.write(&mut file, bytes.slice(..length)).await?;
        self.close(&mut file).await?;
        Ok(Cut::Copied)
    }
}
