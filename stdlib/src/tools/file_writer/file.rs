//! A file from its creation to its final name.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_runtime::{Acknowledgement, Clock, Descriptor};
use xxhash_rust::xxh3::Xxh3Default;

use super::error::{FileError, Operation};
use super::file_system::FileSystem;
use super::ledger::{FileRecord, FileState};
use super::names::{FileNames, FilePaths, below};
use super::rows::Rows;
use crate::formats::{Encoded, Encoder, Formatting};
use crate::tools::arrived::Arrived;
use crate::tools::buffers::Buffers;

/// An encoding job reads at most this many bytes of rows, so that jobs of other files get a codec thread.
const JOB_BYTES_MAX: u64 = 1024 * 1024;

/// Less output than this stays with the encoder until more rows are encoded.
pub(super) const WRITE_BYTES: usize = 256 * 1024;

/// The most encoded bytes of all files together that are not written yet: they are written while the next job
/// encodes.
pub(super) const UNWRITTEN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many files are closed at once. A close of HDFS takes about half a second, mostly waiting.
const CLOSING_FILES: usize = 16;

/// The limits at which a file is full.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileLimits {
    /// In bytes on disk.
    pub(super) size: u64,
    pub(super) events: u64,
}

/// Creates, fills and closes the files of a sink.
pub(super) struct FileWriter<F: FileSystem> {
    pub(super) file_system: Arc<F>,
    /// The directory that all files are under.
    pub(super) root: String,
    pub(super) names: FileNames,
    pub(super) formatting: Arc<Formatting>,
    pub(super) limits: FileLimits,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether a file records which events are in it.
    pub(super) exactly_once: bool,
    /// One permit for each core: more threads would only evict each other's data from the caches.
    pub(super) encoding: Arc<Semaphore>,
    /// The number of permits of `encoding`.
    pub(super) threads: u32,
    pub(super) closing: Semaphore,
    /// One permit for each encoded byte that need not be written yet.
    pub(super) unwritten: Arc<Semaphore>,
    /// Buffers of encoded bytes.
    pub(super) buffers: Buffers,
    /// The temporary files that exist now.
    pub(super) temporary: Mutex<BTreeSet<String>>,
}

/// A file that is being written.
pub(super) struct OpenFile<F: FileSystem> {
    paths: FilePaths,
    file: F::File,
    content: Content,
    unwritten: Unwritten,
    /// Whether some of its content was synced to be committed.
    has_durable_part: bool,
    /// Its descriptor in the process's budget; none if this is the one file that a sink may open beyond the budget.
    descriptor: Option<Descriptor>,
}

/// The output of the last encoding job, which is written while the next job works or when the file is closed.
#[derive(Default)]
struct Unwritten {
    bytes: Vec<u8>,
    /// Permits for these bytes ([`FileWriter::unwritten`]).
    _permits: Option<OwnedSemaphorePermit>,
}

impl<F: FileSystem> OpenFile<F> {
    /// Returns the directory that the file is in.
    pub(super) fn directory(&self) -> &str {
        self.paths.complete.rsplit_once('/').map_or("", |(directory, _)| directory)
    }

    /// Whether an entry of the ledger may name the file already.
    pub(super) fn has_durable_part(&self) -> bool {
        self.has_durable_part
    }

    /// Whether the file has rows that no commit covers.
    pub(super) fn has_uncommitted_rows(&self) -> bool {
        !self.content.shares.is_empty()
    }
}

/// The content of a file, and the shares of its events.
struct Content {
    encoder: Encoder,
    events: u64,
    /// The shares of the rows that are not durable yet.
    shares: Vec<Acknowledgement>,
    /// With `exactly_once`: which events these rows are.
    arrived: Option<Arrived>,
    /// The checksum of the encoded bytes.
    checksum: Box<Xxh3Default>,
}

/// The durable part of a file that no entry of the ledger covers yet.
pub(super) struct DurablePart {
    pub(super) record: FileRecord,
    /// The events that became durable with this part.
    pub(super) arrived: Arrived,
    pub(super) shares: Vec<Acknowledgement>,
}

/// A file that is complete and synced, and still has its temporary name.
pub(super) struct ClosedFile<F: FileSystem> {
    /// Holds the file's lock, so that no other agent takes the file for a leftover.
    file: F::File,
    paths: FilePaths,
    pub(super) durable: DurablePart,
    events: u64,
    breaks: u64,
    _descriptor: Option<Descriptor>,
}

/// The file that rows are appended to.
#[expect(
    clippy::large_enum_variant,
    reason = "moved once for each append, where a box would be an allocation"
)]
pub(super) enum AppendTarget<F: FileSystem> {
    /// A file that exists.
    Open(OpenFile<F>),
    /// A new file, with its descriptor in the budget.
    New(Option<Descriptor>),
}

/// The result of an append.
#[expect(
    clippy::large_enum_variant,
    reason = "moved once for each append, where a box would be an allocation"
)]
pub(super) enum Appended<F: FileSystem> {
    /// The rows are in the file.
    Into {
        file: OpenFile<F>,
        /// The file has reached one of its limits; `rest` belongs into the next file.
        is_full: bool,
        rest: VecDeque<Rows>,
    },
    /// No file could be created for the rows, because no descriptor is left.
    NoDescriptor(VecDeque<Rows>, FileError),
}

/// A file with its final name, whose events are acknowledged.
pub(super) struct Completed {
    pub(super) path: String,
    pub(super) events: u64,
    pub(super) size: u64,
    pub(super) breaks: u64,
}

/// Rows to be encoded into a file on a codec thread.
struct EncodeJob {
    content: Content,
    rows: VecDeque<Rows>,
    is_full: bool,
    output: Vec<u8>,
}

impl<F: FileSystem> FileWriter<F> {
    /// Makes the permits for files that are closed at once.
    pub(super) fn closing_permits() -> Semaphore {
        Semaphore::new(CLOSING_FILES)
    }

    /// Makes the permits for encoded bytes that are not written yet.
    pub(super) fn unwritten_permits() -> Semaphore {
        Semaphore::new(UNWRITTEN_BYTES_MAX)
    }

    fn temporary(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.temporary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether files can be committed while they are open: the file system can sync them, and the format has parts.
    pub(super) fn commits_open_files(&self) -> bool {
        self.formatting.has_parts() && self.file_system.commits_open_files()
    }

    /// Returns the temporary files that were created and neither completed nor removed.
    pub(super) fn unfinished(&self) -> Vec<String> {
        self.temporary().iter().cloned().collect()
    }

    /// Removes a temporary file.
    ///
    /// # Errors
    /// When the file may still exist.
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
        let content = Content { encoder, events: 0, shares: Vec::new(), arrived, checksum: Box::default() };
        let unwritten = Unwritten::default();
        Ok(OpenFile { paths, file, content, unwritten, has_durable_part: false, descriptor })
    }

    /// Appends rows to a file until it is full.
    ///
    /// The output of one job is written while the next job encodes, so the last output may not be written yet.
    ///
    /// # Errors
    /// When the file can't be created, encoded or written. All rows in it are redelivered.
    pub(super) async fn append(
        &self,
        directory: &str,
        target: AppendTarget<F>,
        mut rows: VecDeque<Rows>,
    ) -> Result<Appended<F>, FileError> {
        let mut open = match target {
            AppendTarget::Open(file) => file,
            AppendTarget::New(descriptor) => match self.create(directory, descriptor).await {
                Ok(file) => file,
                Err((error, true)) => return Ok(Appended::NoDescriptor(rows, error)),
                Err((error, false)) => return Err(error),
            },
        };
        loop {
            let OpenFile { paths, mut file, content, unwritten, has_durable_part, descriptor } = open;
            let path = &paths.temporary;
            let job = EncodeJob { content, rows, is_full: false, output: Vec::new() };
            let (encoded, written) =
                tokio::join!(self.encode(job), self.write(&mut file, path, unwritten.bytes));
            written?;
            let EncodeJob { content, rows: rest, is_full, output } =
                encoded.map_err(FileError::of(Operation::Encode, path))?;
            let is_last = is_full || rest.is_empty();
            let unwritten = match is_last {
                true => self.hold_back(output, &mut file, path).await?,
                false => Unwritten { bytes: output, _permits: None },
            };
            open = OpenFile { paths, file, content, unwritten, has_durable_part, descriptor };
            if is_last {
                return Ok(Appended::Into { file: open, is_full, rest });
            }
            rows = rest;
        }
    }

    async fn encode(&self, job: EncodeJob) -> io::Result<EncodeJob> {
        let (limits, formatting, buffers) = (self.limits, self.formatting.clone(), self.buffers.clone());
        self.on_codec_thread(move || job.run(limits, &formatting, &buffers)).await
    }

    async fn on_codec_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        // The semaphore is never closed.
        let permit = self.encoding.clone().acquire_owned().await.map_err(io::Error::other)?;
        // The permit comes back with the result: a result that nothing waits for is dropped before its permit.
        let worked = F::EXECUTOR.run(move || (work(), permit)).await.map_err(io::Error::other)?;
        worked.0
    }

    /// Waits until no encoding job runs: then no codec thread holds rows whose task has ended.
    pub(super) async fn encoders_idle(&self) {
        // The semaphore is never closed.
        let _all = self.encoding.acquire_many(self.threads).await;
    }

    /// Keeps bytes until the next job, or writes them if all files together hold too many.
    async fn hold_back(
        &self,
        bytes: Vec<u8>,
        file: &mut F::File,
        path: &str,
    ) -> Result<Unwritten, FileError> {
        let length = u32::try_from(bytes.len()).ok();
        match length.and_then(|length| self.unwritten.clone().try_acquire_many_owned(length).ok()) {
            Some(permits) => Ok(Unwritten { bytes, _permits: Some(permits) }),
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

    /// Makes the content of a file durable, up to a length at which the file can be cut. Returns the file.
    ///
    /// # Errors
    /// When that fails. All rows in the file that are not committed are redelivered.
    pub(super) async fn sync(&self, open: OpenFile<F>) -> Result<(OpenFile<F>, DurablePart), FileError> {
        let OpenFile { paths, mut file, mut content, unwritten, has_durable_part, descriptor } = open;
        let path = &paths.temporary;
        let buffers = self.buffers.clone();
        let ending = self.on_codec_thread(move || {
            content.encoder.end_part()?;
            let output = content.encoder.take_output(0, &buffers)?;
            content.checksum.update(&output);
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
        let durable = DurablePart {
            record: self.record(&paths, content.encoder.size(), content.checksum.digest(), FileState::Open),
            arrived: content.arrived.as_mut().map(std::mem::take).unwrap_or_default(),
            shares: std::mem::take(&mut content.shares),
        };
        let unwritten = Unwritten::default();
        Ok((OpenFile { paths, file, content, unwritten, has_durable_part: true, descriptor }, durable))
    }

    /// Makes the temporary name durable before an entry of the ledger names the file: a reader of the ledger takes
    /// a file that has neither of its names for one that was moved away.
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

    /// Closes a file: writes its last bytes and syncs it. The file keeps its temporary name.
    ///
    /// # Errors
    /// When one of these fails. All rows in the file that are not committed are redelivered.
    pub(super) async fn close(&self, file: OpenFile<F>) -> Result<ClosedFile<F>, FileError> {
        let OpenFile { paths, mut file, content, unwritten, has_durable_part, descriptor } = file;
        let path = &paths.temporary;
        let Content { encoder, events, shares, arrived, mut checksum } = content;
        let _permit = self.closing.acquire().await.map_err(FileError::of(Operation::Close, path))?;
        let finish = self.on_codec_thread(move || encoder.finish());
        let (finished, written) = tokio::join!(finish, self.write(&mut file, path, unwritten.bytes));
        written?;
        let Encoded { rest, size, breaks } = finished.map_err(FileError::of(Operation::Encode, path))?;
        checksum.update(&rest);
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
        let record = self.record(&paths, size, checksum.digest(), FileState::Complete);
        let durable = DurablePart { record, arrived: arrived.unwrap_or_default(), shares };
        Ok(ClosedFile { file, paths, durable, events, breaks, _descriptor: descriptor })
    }

    /// Gives a closed file its final name, and then acknowledges its events.
    ///
    /// # Errors
    /// When that fails. Without an entry in a ledger, all rows in the file are redelivered.
    pub(super) async fn publish(&self, closed: ClosedFile<F>) -> Result<Completed, FileError> {
        let ClosedFile { file, paths, durable, events, breaks, _descriptor } = closed;
        let FilePaths { temporary, complete } = paths;
        let _permit = self.closing.acquire().await.map_err(FileError::of(Operation::Rename, &temporary))?;
        let renamed = self.file_system.rename_no_replace(&temporary, &complete).await;
        #[cfg(weir_bug)]
        let renamed = if weir_runtime::put_back!("renamed_before_entry") { Ok(()) } else { renamed };
        if let Err(error) = renamed {
            self.check_renamed(&temporary, &complete, durable.record.length)
                .await
                .map_err(|_unknown| FileError::of(Operation::Rename, &temporary)(error))?;
        }
        drop(file);
        self.temporary().remove(&temporary);
        durable.shares.into_iter().for_each(Acknowledgement::done);
        Ok(Completed { path: complete, events, size: durable.record.length, breaks })
    }

    /// Checks whether a file was renamed although the answer was lost. Names of files are used once, so a file of the
    /// final name is this one.
    async fn check_renamed(&self, temporary: &str, complete: &str, length: u64) -> Result<(), NotRenamed> {
        let find = async |path| self.file_system.length(path).await.map_err(|_error| NotRenamed);
        if find(temporary).await?.is_some() || find(complete).await? != Some(length) {
            return Err(NotRenamed);
        }
        self.file_system.sync_name(complete).await.map_err(|_error| NotRenamed)
    }
}

/// A file was not renamed, or that is unknown.
struct NotRenamed;

impl EncodeJob {
    fn run(
        mut self,
        limits: FileLimits,
        formatting: &Formatting,
        buffers: &Buffers,
    ) -> io::Result<EncodeJob> {
        let Content { encoder, events, shares, arrived, checksum } = &mut self.content;
        let mut worked = 0;
        while let Some(rows) = self.rows.front_mut()
            && worked < JOB_BYTES_MAX
        {
            let bytes_per_row = rows.bytes / rows.left().max(1) as u64;
            let taken = rows.encode(formatting, encoder, limits.events - *events, limits.size)?;
            if let Some(arrived) = arrived {
                rows.note_encoded(taken, arrived);
            }
            let bytes = bytes_per_row * taken;
            rows.bytes -= bytes.min(rows.bytes);
            // Each row counts as a byte, so that a job of empty bodies ends, too.
            worked += bytes + taken;
            *events += taken;
            self.is_full = *events >= limits.events || encoder.size() >= limits.size;
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
        checksum.update(&self.output);
        Ok(self)
    }
}
