//! One file from its beginning to its final name.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_runtime::{Acknowledgement, Clock};
use xxhash_rust::xxh3::Xxh3Default;

use super::error::{FileError, Operation};
use super::file_system::FileSystem;
use super::ledger::{Arrived, FileRecord};
use super::names::{FileNames, FilePaths};
use super::rows::Rows;
use crate::buffers::Buffers;
use crate::formats::{Encoded, Encoder, Formatting};

/// How much one turn on a thread of the codecs' reads, at most, before others get theirs.
const TURN_BYTES: u64 = 1024 * 1024;

/// Less than this stays with the encoder, and is written together with what comes next.
pub(super) const WRITE_BYTES: usize = 256 * 1024;

/// What the last turns of all files together may keep back, to be written while the next ones work, at most.
pub(super) const UNWRITTEN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many files are closed at once: a close of HDFS waits for half a second, mostly.
const CLOSING_FILES: usize = 16;

/// When a file is full.
#[derive(Debug, Clone, Copy)]
pub(super) struct Full {
    /// At this many bytes.
    pub(super) size: u64,
    /// At this many events.
    pub(super) events: u64,
}

/// What all files of a sink have in common; it makes, fills and closes them.
pub(super) struct Workshop<F: FileSystem> {
    pub(super) file_system: Arc<F>,
    pub(super) names: FileNames,
    pub(super) formatting: Arc<Formatting>,
    pub(super) full: Full,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether files note which events are in them.
    pub(super) exactly_once: bool,
    /// One permit a core: more threads than cores would only push each other out of the caches.
    pub(super) encoding: Arc<Semaphore>,
    /// How many permits there are.
    pub(super) threads: u32,
    pub(super) closing: Semaphore,
    /// One permit for each byte that may be kept back.
    pub(super) unwritten: Arc<Semaphore>,
    /// What goes to files.
    pub(super) buffers: Buffers,
    /// The temporary names that exist now.
    pub(super) temporary: Mutex<BTreeSet<String>>,
}

/// A file that is being written.
pub(super) struct OpenFile<F: FileSystem> {
    paths: FilePaths,
    file: F::File,
    content: Content,
    unwritten: Unwritten,
}

/// What the last turn has made, to be written while the next one works or the file is closed.
#[derive(Default)]
struct Unwritten {
    bytes: Vec<u8>,
    /// Its part of what all files may keep back.
    _part: Option<OwnedSemaphorePermit>,
}

impl<F: FileSystem> OpenFile<F> {
    /// The directory that it is in.
    pub(super) fn directory(&self) -> &str {
        self.paths.complete.rsplit_once('/').map_or("", |(directory, _)| directory)
    }
}

/// What is in a file, and who waits for it.
struct Content {
    encoder: Encoder,
    events: u64,
    shares: Vec<Acknowledgement>,
    /// For a ledger: which events are in it, and the checksum of what was written.
    arrived: Option<Box<(Arrived, Xxh3Default)>>,
}

impl Content {
    /// Takes bytes into the checksum.
    fn sum(&mut self, bytes: &[u8]) {
        if let Some(arrived) = &mut self.arrived {
            arrived.1.update(bytes);
        }
    }
}

/// A file that is written and synced, and still has its temporary name.
pub(super) struct ClosedFile<F: FileSystem> {
    /// Kept as a sign to others that the file is not left over.
    file: F::File,
    pub(super) record: FileRecord,
    /// Which events are in it.
    pub(super) arrived: Arrived,
    shares: Vec<Acknowledgement>,
    events: u64,
    breaks: u64,
}

/// What has become of rows that were to be appended.
pub(super) struct Appended<F: FileSystem> {
    pub(super) file: OpenFile<F>,
    /// The file has reached its size or count; `rest` belongs into the next.
    pub(super) is_full: bool,
    pub(super) rest: VecDeque<Rows>,
}

/// A file that has its final name. Its events are acknowledged.
pub(super) struct Completed {
    pub(super) path: String,
    pub(super) events: u64,
    pub(super) size: u64,
    pub(super) breaks: u64,
}

/// One turn of encoding.
struct Turn {
    content: Content,
    rows: VecDeque<Rows>,
    is_full: bool,
    output: Vec<u8>,
}

impl<F: FileSystem> Workshop<F> {
    /// The permits for files that are closed at once.
    pub(super) fn closing_permits() -> Semaphore {
        Semaphore::new(CLOSING_FILES)
    }

    /// The permits for what files keep back.
    pub(super) fn unwritten_permits() -> Semaphore {
        Semaphore::new(UNWRITTEN_BYTES_MAX)
    }

    fn temporary(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.temporary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The temporary files that were made and neither completed nor removed.
    pub(super) fn unfinished(&self) -> Vec<String> {
        self.temporary().iter().cloned().collect()
    }

    /// Removes a temporary file.
    ///
    /// # Errors
    /// When it may still be there.
    pub(super) async fn remove(&self, path: &str) -> Result<(), FileError> {
        self.file_system.remove(path).await.map_err(FileError::of(Operation::Remove, path))?;
        self.temporary().remove(path);
        Ok(())
    }

    async fn create(&self, directory: &str) -> Result<OpenFile<F>, FileError> {
        let paths = self.names.next(directory, self.clock.now());
        let path = &paths.temporary;
        let encoder = self.formatting.encoder().map_err(FileError::of(Operation::Encode, path))?;
        self.temporary().insert(path.clone());
        let file = self.file_system.create_new(path).await.map_err(FileError::of(Operation::Create, path))?;
        let arrived = self.exactly_once.then(Box::default);
        let content = Content { encoder, events: 0, shares: Vec::new(), arrived };
        Ok(OpenFile { paths, file, content, unwritten: Unwritten::default() })
    }

    /// Appends rows to a file, a new one if there is none, until it is full.
    ///
    /// While one part is written, the next is already being encoded; so what the last turn has made may not be
    /// written yet.
    ///
    /// # Errors
    /// When the file can't be made, encoded or written. All the rows in it come again.
    pub(super) async fn append(
        &self,
        directory: &str,
        file: Option<OpenFile<F>>,
        mut rows: VecDeque<Rows>,
    ) -> Result<Appended<F>, FileError> {
        let OpenFile { paths, mut file, mut content, mut unwritten } = match file {
            Some(file) => file,
            None => self.create(directory).await?,
        };
        let path = &paths.temporary;
        loop {
            let turn = Turn { content, rows, is_full: false, output: Vec::new() };
            let (encoded, written) =
                tokio::join!(self.encode(turn), self.write(&mut file, path, unwritten.bytes));
            written?;
            let turn = encoded.map_err(FileError::of(Operation::Encode, path))?;
            (content, rows) = (turn.content, turn.rows);
            let is_last = turn.is_full || rows.is_empty();
            unwritten = Unwritten { bytes: turn.output, _part: None };
            if is_last {
                let unwritten = self.keep_back(unwritten.bytes, &mut file, path).await?;
                let file = OpenFile { paths, file, content, unwritten };
                return Ok(Appended { file, is_full: turn.is_full, rest: rows });
            }
        }
    }

    async fn encode(&self, turn: Turn) -> io::Result<Turn> {
        let (full, formatting, buffers) = (self.full, self.formatting.clone(), self.buffers.clone());
        self.on_a_codec_thread(move || turn.run(full, &formatting, &buffers)).await
    }

    async fn on_a_codec_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        // The semaphore is never closed.
        let permit = self.encoding.clone().acquire_owned().await.map_err(io::Error::other)?;
        // What nobody waits for any more is dropped before its permit.
        let worked = F::DRIVE.run(move || (work(), permit)).await.map_err(io::Error::other)?;
        worked.0
    }

    /// Waits until no codec works any more: then nobody holds rows whose task has ended.
    pub(super) async fn quiet(&self) {
        // The semaphore is never closed.
        let _all = self.encoding.acquire_many(self.threads).await;
    }

    /// Keeps bytes for the next turn, or writes them if too much is kept already.
    async fn keep_back(
        &self,
        bytes: Vec<u8>,
        file: &mut F::File,
        path: &str,
    ) -> Result<Unwritten, FileError> {
        let part = u32::try_from(bytes.len()).ok();
        match part.and_then(|part| self.unwritten.clone().try_acquire_many_owned(part).ok()) {
            Some(part) => Ok(Unwritten { bytes, _part: Some(part) }),
            None => self.write(file, path, bytes).await.map(|()| Unwritten::default()),
        }
    }

    async fn write(&self, file: &mut F::File, path: &str, bytes: Vec<u8>) -> Result<(), FileError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.file_system
            .write(file, self.buffers.lend(bytes))
            .await
            .map_err(FileError::of(Operation::Write, path))
    }

    /// Closes a file: its last bytes, and a sync. It keeps its temporary name.
    ///
    /// # Errors
    /// When one of these fails. All the rows in the file come again.
    pub(super) async fn close(&self, file: OpenFile<F>) -> Result<ClosedFile<F>, FileError> {
        let OpenFile { paths, mut file, content, unwritten } = file;
        let path = &paths.temporary;
        let Content { encoder, events, shares, arrived } = content;
        let _permit = self.closing.acquire().await.map_err(FileError::of(Operation::Close, path))?;
        let finish = self.on_a_codec_thread(move || encoder.finish());
        let (finished, written) = tokio::join!(finish, self.write(&mut file, path, unwritten.bytes));
        written?;
        let Encoded { rest, size, breaks } = finished.map_err(FileError::of(Operation::Encode, path))?;
        let (arrived, mut sum) = *arrived.unwrap_or_default();
        if self.exactly_once {
            sum.update(&rest);
        }
        self.write(&mut file, path, rest).await?;
        self.file_system.close(&mut file).await.map_err(FileError::of(Operation::Close, path))?;
        #[cfg(weir_bug = "acknowledged_before_entry")]
        let shares = {
            shares.into_iter().for_each(Acknowledgement::done);
            Vec::new()
        };
        if self.exactly_once && cfg!(not(weir_bug = "temporary_name_not_synced")) {
            // The ledger is going to name it, and believes that a file with neither name was taken away.
            self.file_system.sync_name(path).await.map_err(FileError::of(Operation::Close, path))?;
        }
        let FilePaths { temporary, complete } = paths;
        let record = FileRecord { temporary, complete, length: size, checksum: sum.digest() };
        Ok(ClosedFile { file, record, arrived, shares, events, breaks })
    }

    /// Gives a closed file its final name, and then acknowledges its events.
    ///
    /// # Errors
    /// When that fails. Without a ledger, all the rows in the file come again.
    pub(super) async fn publish(&self, closed: ClosedFile<F>) -> Result<Completed, FileError> {
        let ClosedFile { file, record, shares, events, breaks, .. } = closed;
        let FileRecord { temporary, complete, length, .. } = record;
        let renamed = self.file_system.rename_no_replace(&temporary, &complete).await;
        #[cfg(weir_bug = "renamed_before_entry")]
        let renamed = renamed.or(Ok::<(), F::Error>(()));
        renamed.map_err(FileError::of(Operation::Rename, &temporary))?;
        drop(file);
        self.temporary().remove(&temporary);
        shares.into_iter().for_each(Acknowledgement::done);
        Ok(Completed { path: complete, events, size: length, breaks })
    }
}

impl Turn {
    fn run(mut self, full: Full, formatting: &Formatting, buffers: &Buffers) -> io::Result<Turn> {
        let Content { encoder, events, shares, arrived } = &mut self.content;
        let mut worked = 0;
        while let Some(rows) = self.rows.front_mut()
            && worked < TURN_BYTES
        {
            let bytes_per_row = rows.bytes / rows.left().max(1) as u64;
            let taken = rows.encode(formatting, encoder, full.events - *events, full.size)?;
            if let Some(arrived) = arrived {
                rows.note_encoded(taken, &mut arrived.0);
            }
            let bytes = bytes_per_row * taken;
            rows.bytes -= bytes.min(rows.bytes);
            // Empty bodies are work, too.
            worked += bytes + taken;
            *events += taken;
            self.is_full = *events >= full.events || encoder.size() >= full.size;
            if rows.left() == 0 || self.is_full {
                shares.push(rows.encoded_shares());
            }
            if rows.left() == 0 {
                self.rows.pop_front();
            }
            if self.is_full {
                break;
            }
        }
        self.output = encoder.take_output(WRITE_BYTES, buffers)?;
        self.content.sum(&self.output);
        Ok(self)
    }
}
