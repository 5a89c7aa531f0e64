//! One file from its beginning to its final name.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_runtime::{Acknowledgement, Clock, Descriptor};
use xxhash_rust::xxh3::Xxh3Default;

use super::error::{FileError, Operation};
use super::file_system::FileSystem;
use super::ledger::{Arrived, FileRecord, FileState};
use super::names::{FileNames, FilePaths, below};
use super::rows::Rows;
use crate::formats::{Encoded, Encoder, Formatting};
use crate::tools::buffers::Buffers;

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
    /// The directory that all files are under.
    pub(super) root: String,
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
    /// Whether its beginning was made durable, to be committed.
    has_durable_part: bool,
    /// Its part of the process's budget; none if the sink could have no file open otherwise.
    descriptor: Option<Descriptor>,
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

    /// Whether an entry of the ledger may name it already.
    pub(super) fn has_durable_part(&self) -> bool {
        self.has_durable_part
    }

    /// Whether somebody waits for rows in it.
    pub(super) fn is_awaited(&self) -> bool {
        !self.content.shares.is_empty()
    }
}

/// What is in a file, and who waits for it.
struct Content {
    encoder: Encoder,
    events: u64,
    /// Of the rows that are not made durable yet.
    shares: Vec<Acknowledgement>,
    /// For exactly once: which events these rows are.
    arrived: Option<Arrived>,
    /// The checksum of what was written.
    sum: Box<Xxh3Default>,
}

/// What is durable of a file and in no entry yet.
pub(super) struct Durable {
    pub(super) record: FileRecord,
    /// Which events became durable with it.
    pub(super) arrived: Arrived,
    pub(super) shares: Vec<Acknowledgement>,
}

/// A file that is written and synced, and still has its temporary name.
pub(super) struct ClosedFile<F: FileSystem> {
    /// Kept as a sign to others that the file is not left over.
    file: F::File,
    paths: FilePaths,
    pub(super) durable: Durable,
    events: u64,
    breaks: u64,
    _descriptor: Option<Descriptor>,
}

/// What rows are to be appended to.
#[expect(
    clippy::large_enum_variant,
    reason = "moved once for each append, where a box would be an allocation"
)]
pub(super) enum Target<F: FileSystem> {
    /// A file that is there.
    Open(OpenFile<F>),
    /// A new one, with its part of the budget of descriptors.
    New(Option<Descriptor>),
}

/// What has become of rows that were to be appended.
#[expect(
    clippy::large_enum_variant,
    reason = "moved once for each append, where a box would be an allocation"
)]
pub(super) enum Appended<F: FileSystem> {
    /// They are in the file.
    Into {
        file: OpenFile<F>,
        /// The file has reached its size or count; `rest` belongs into the next.
        is_full: bool,
        rest: VecDeque<Rows>,
    },
    /// No file could be made for them, since no descriptor is left.
    NoDescriptor(VecDeque<Rows>, FileError),
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

    async fn create(
        &self,
        directory: &str,
        descriptor: Option<Descriptor>,
    ) -> Result<OpenFile<F>, (FileError, bool)> {
        let paths = self.names.next(directory, self.clock.now());
        let path = &paths.temporary;
        let encoder = self.formatting.encoder();
        let encoder = encoder.map_err(|error| (FileError::of(Operation::Encode, path)(error), false))?;
        self.temporary().insert(path.clone());
        let made = self.file_system.create_new(path).await;
        let file = made.map_err(|error| {
            let out_of_descriptors = F::is_out_of_descriptors(&error);
            (FileError::of(Operation::Create, path)(error), out_of_descriptors)
        })?;
        let arrived = self.exactly_once.then(Arrived::default);
        let content = Content { encoder, events: 0, shares: Vec::new(), arrived, sum: Box::default() };
        let unwritten = Unwritten::default();
        Ok(OpenFile { paths, file, content, unwritten, has_durable_part: false, descriptor })
    }

    /// Appends rows to a file until it is full.
    ///
    /// While one part is written, the next is already being encoded; so what the last turn has made may not be
    /// written yet.
    ///
    /// # Errors
    /// When the file can't be made, encoded or written. All the rows in it come again.
    pub(super) async fn append(
        &self,
        directory: &str,
        target: Target<F>,
        mut rows: VecDeque<Rows>,
    ) -> Result<Appended<F>, FileError> {
        let mut open = match target {
            Target::Open(file) => file,
            Target::New(descriptor) => match self.create(directory, descriptor).await {
                Ok(file) => file,
                Err((error, true)) => return Ok(Appended::NoDescriptor(rows, error)),
                Err((error, false)) => return Err(error),
            },
        };
        loop {
            let OpenFile { paths, mut file, content, unwritten, has_durable_part, descriptor } = open;
            let path = &paths.temporary;
            let turn = Turn { content, rows, is_full: false, output: Vec::new() };
            let (encoded, written) =
                tokio::join!(self.encode(turn), self.write(&mut file, path, unwritten.bytes));
            written?;
            let Turn { content, rows: rest, is_full, output } =
                encoded.map_err(FileError::of(Operation::Encode, path))?;
            let is_last = is_full || rest.is_empty();
            let unwritten = match is_last {
                true => self.keep_back(output, &mut file, path).await?,
                false => Unwritten { bytes: output, _part: None },
            };
            open = OpenFile { paths, file, content, unwritten, has_durable_part, descriptor };
            if is_last {
                return Ok(Appended::Into { file: open, is_full, rest });
            }
            rows = rest;
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
        let worked = F::EXECUTOR.run(move || (work(), permit)).await.map_err(io::Error::other)?;
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

    /// Makes durable what is in a file, in a way that the file can be cut behind it, and gives the file back.
    ///
    /// # Errors
    /// When that fails. All the rows in the file that are not committed come again.
    pub(super) async fn sync(&self, open: OpenFile<F>) -> Result<(OpenFile<F>, Durable), FileError> {
        let OpenFile { paths, mut file, mut content, unwritten, has_durable_part, descriptor } = open;
        let path = &paths.temporary;
        let buffers = self.buffers.clone();
        let ending = self.on_a_codec_thread(move || {
            content.encoder.end_part()?;
            let output = content.encoder.take_output(0, &buffers)?;
            content.sum.update(&output);
            Ok((content, output))
        });
        let (ended, written) = tokio::join!(ending, self.write(&mut file, path, unwritten.bytes));
        written?;
        let (mut content, output) = ended.map_err(FileError::of(Operation::Encode, path))?;
        self.write(&mut file, path, output).await?;
        self.file_system.sync(&mut file).await.map_err(FileError::of(Operation::Sync, path))?;
        if !has_durable_part {
            self.sync_temporary_name(path).await?;
        }
        let durable = Durable {
            record: self.record(&paths, content.encoder.size(), content.sum.digest(), FileState::Open),
            arrived: content.arrived.as_mut().map(std::mem::take).unwrap_or_default(),
            shares: std::mem::take(&mut content.shares),
        };
        let unwritten = Unwritten::default();
        Ok((OpenFile { paths, file, content, unwritten, has_durable_part: true, descriptor }, durable))
    }

    /// An entry of the ledger is going to name the file, and whoever reads it believes that a file with neither
    /// name was taken away.
    async fn sync_temporary_name(&self, path: &str) -> Result<(), FileError> {
        if weir_runtime::put_back!("temporary_name_not_synced") {
            return Ok(());
        }
        self.file_system.sync_name(path).await.map_err(FileError::of(Operation::Close, path))
    }

    fn record(&self, paths: &FilePaths, length: u64, checksum: u64, state: FileState) -> FileRecord {
        let name = |path: &str| below(&self.root, path).unwrap_or(path).to_string();
        let (temporary, complete) = (name(&paths.temporary), name(&paths.complete));
        FileRecord { temporary, complete, length, checksum, state }
    }

    /// Closes a file: its last bytes, and a sync. It keeps its temporary name.
    ///
    /// # Errors
    /// When one of these fails. All the rows in the file that are not committed come again.
    pub(super) async fn close(&self, file: OpenFile<F>) -> Result<ClosedFile<F>, FileError> {
        let OpenFile { paths, mut file, content, unwritten, has_durable_part, descriptor } = file;
        let path = &paths.temporary;
        let Content { encoder, events, shares, arrived, mut sum } = content;
        let _permit = self.closing.acquire().await.map_err(FileError::of(Operation::Close, path))?;
        let finish = self.on_a_codec_thread(move || encoder.finish());
        let (finished, written) = tokio::join!(finish, self.write(&mut file, path, unwritten.bytes));
        written?;
        let Encoded { rest, size, breaks } = finished.map_err(FileError::of(Operation::Encode, path))?;
        sum.update(&rest);
        self.write(&mut file, path, rest).await?;
        self.file_system.close(&mut file).await.map_err(FileError::of(Operation::Close, path))?;
        #[cfg(weir_bug)]
        let shares = if weir_runtime::put_back!("acknowledged_before_entry") {
            shares.into_iter().for_each(Acknowledgement::done);
            Vec::new()
        } else {
            shares
        };
        if self.exactly_once && !has_durable_part {
            self.sync_temporary_name(path).await?;
        }
        let record = self.record(&paths, size, sum.digest(), FileState::Complete);
        let durable = Durable { record, arrived: arrived.unwrap_or_default(), shares };
        Ok(ClosedFile { file, paths, durable, events, breaks, _descriptor: descriptor })
    }

    /// Gives a closed file its final name, and then acknowledges its events.
    ///
    /// # Errors
    /// When that fails. Without an entry in a ledger, all the rows in the file come again.
    pub(super) async fn publish(&self, closed: ClosedFile<F>) -> Result<Completed, FileError> {
        let ClosedFile { file, paths, durable, events, breaks, _descriptor } = closed;
        let FilePaths { temporary, complete } = paths;
        let _permit = self.closing.acquire().await.map_err(FileError::of(Operation::Rename, &temporary))?;
        let renamed = self.file_system.rename_no_replace(&temporary, &complete).await;
        #[cfg(weir_bug)]
        let renamed = if weir_runtime::put_back!("renamed_before_entry") { Ok(()) } else { renamed };
        renamed.map_err(FileError::of(Operation::Rename, &temporary))?;
        drop(file);
        self.temporary().remove(&temporary);
        durable.shares.into_iter().for_each(Acknowledgement::done);
        Ok(Completed { path: complete, events, size: durable.record.length, breaks })
    }
}

impl Turn {
    fn run(mut self, full: Full, formatting: &Formatting, buffers: &Buffers) -> io::Result<Turn> {
        let Content { encoder, events, shares, arrived, sum } = &mut self.content;
        let mut worked = 0;
        while let Some(rows) = self.rows.front_mut()
            && worked < TURN_BYTES
        {
            let bytes_per_row = rows.bytes / rows.left().max(1) as u64;
            let taken = rows.encode(formatting, encoder, full.events - *events, full.size)?;
            if let Some(arrived) = arrived {
                rows.note_encoded(taken, arrived);
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
        sum.update(&self.output);
        Ok(self)
    }
}
