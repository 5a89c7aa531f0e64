//! The sink that writes files to the local disk: a [`FileSink`](crate::tools::file_writer) on the local file system.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::{Errno, retry_on_intr};
use tokio::task::spawn_blocking;
use weir_plan::Settings;
use weir_runtime::sink::Sink;
use weir_runtime::storage::{NotWritable, list_directory, probe, try_lock, uninterrupted};
use weir_runtime::{Context, Failure, Purpose};
use xxhash_rust::xxh3::Xxh3Default;

use crate::tools::file_writer::{
    Cut, Entry, FileSettings, FileSink, FileSystem, LedgerRepair, LedgerRepairError, repair,
};

/// How many bytes of a file are read at once.
const READ_BYTES: usize = 1024 * 1024;

/// Makes a sink of local files.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Sink>, Failure> {
    context.descriptors.expect(Purpose::SinkFile);
    let settings: FileSettings = settings.read().map_err(Failure::permanent)?;
    Ok(Box::new(FileSink::new(settings, LocalFiles, "", context)?))
}

/// Reports which entries the ledger of a sink of local files has lost, or that it can't be read. If repeats are
/// accepted, repairs the ledger so that the sink continues without them. `directory` is `.weir/PROGRAM.SINK` in the
/// sink's directory.
///
/// # Errors
/// When there is no ledger, it can't be read or written, or an agent writes it at the same time.
pub async fn repair_ledger(directory: &str, accept_repeats: bool) -> Result<LedgerRepair, LedgerRepairError> {
    repair(Arc::new(LocalFiles), directory, accept_repeats).await
}

/// The file system of the local disk.
///
/// A file is locked while it is written. The lock ends with the process, so a file without a lock has no writer.
struct LocalFiles;

/// A file that is being written; `None` while a blocking thread uses it.
struct LocalFile(Option<File>);

impl FileSystem for LocalFiles {
    type File = LocalFile;
    type Error = io::Error;

    /// The lock is held until the file is renamed.
    fn knows_writers_of_closed_files(&self) -> bool {
        true
    }

    fn commits_open_files(&self) -> bool {
        true
    }

    fn is_out_of_descriptors(error: &io::Error) -> bool {
        let errno = Errno::from_io_error(error);
        matches!(errno, Some(Errno::MFILE | Errno::NFILE))
    }

    async fn probe(&self, directory: &str) -> Option<Failure> {
        probe(Path::new(directory)).await.err().map(NotWritable::into_failure)
    }

    async fn create_new(&self, path: &str) -> io::Result<LocalFile> {
        let path = PathBuf::from(path);
        blocking(move || {
            let file = match new_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make_directories(directory_of(&path))?;
                    new_file(&path)?
                }
                made => made?,
            };
            // If the file system has no locks, leftovers stay: they can't be told from files that are being written.
            match try_lock(&file) {
                Ok(false) => Err(io::Error::other("another process has locked it")),
                Ok(true) | Err(_) => Ok(LocalFile(Some(file))),
            }
        })
        .await
    }

    async fn write(&self, file: &mut LocalFile, bytes: Bytes) -> io::Result<()> {
        let mut open = file.0.take().ok_or_else(write_was_cancelled)?;
        file.0 = Some(blocking(move || open.write_all(&bytes).map(|()| open)).await?);
        Ok(())
    }

    async fn sync(&self, file: &mut LocalFile) -> io::Result<()> {
        let open = file.0.take().ok_or_else(write_was_cancelled)?;
        file.0 = Some(blocking(move || open.sync_data().map(|()| open)).await?);
        Ok(())
    }

    async fn close(&self, file: &mut LocalFile) -> io::Result<()> {
        let open = file.0.take().ok_or_else(write_was_cancelled)?;
        file.0 = Some(blocking(move || open.sync_all().map(|()| open)).await?);
        Ok(())
    }

    async fn rename_no_replace(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (PathBuf::from(from), PathBuf::from(to));
        blocking(move || {
            rename(&from, &to)?;
            sync_directory(directory_of(&to))
        })
        .await
    }

    async fn sync_name(&self, path: &str) -> io::Result<()> {
        let path = PathBuf::from(path);
        blocking(move || sync_directory(directory_of(&path))).await
    }

    async fn remove(&self, path: &str) -> io::Result<()> {
        let path = PathBuf::from(path);
        blocking(move || unless_missing(uninterrupted(|| std::fs::remove_file(&path)))).await
    }

    async fn is_abandoned(&self, path: &str) -> io::Result<bool> {
        let path = PathBuf::from(path);
        blocking(move || {
            let file = match OpenOptions::new().write(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
                opened => opened?,
            };
            try_lock(&file)
        })
        .await
    }

    async fn cut(&self, path: &str, length: u64, _copy: &str) -> io::Result<Cut> {
        let path = PathBuf::from(path);
        blocking(move || {
            let file = OpenOptions::new().write(true).open(&path)?;
            // The lock is held while the file is cut.
            if !try_lock(&file)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            uninterrupted(|| file.set_len(length))?;
            file.sync_all()?;
            Ok(Cut::InPlace)
        })
        .await
    }

    async fn read(&self, path: &str) -> io::Result<Option<Bytes>> {
        let path = PathBuf::from(path);
        blocking(move || if_there(std::fs::read(path).map(Bytes::from))).await
    }

    async fn length(&self, path: &str) -> io::Result<Option<u64>> {
        let path = PathBuf::from(path);
        blocking(move || if_there(uninterrupted(|| std::fs::metadata(&path)).map(|metadata| metadata.len())))
            .await
    }

    async fn checksum(&self, path: &str, length: u64) -> io::Result<u64> {
        let path = PathBuf::from(path);
        blocking(move || {
            let (mut file, mut sum) = (File::open(path)?.take(length), Xxh3Default::new());
            let mut bytes = vec![0; READ_BYTES];
            loop {
                match uninterrupted(|| file.read(&mut bytes))? {
                    0 => return Ok(sum.digest()),
                    read => sum.update(&bytes[..read]),
                }
            }
        })
        .await
    }

    async fn list(&self, directory: &str) -> io::Result<Vec<Entry>> {
        let directory = PathBuf::from(directory);
        blocking(move || list(&directory)).await
    }
}

/// Runs a call that waits for the disk on the pool of blocking threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

fn write_was_cancelled() -> io::Error {
    io::Error::other("an earlier write was given up half-way")
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

/// Creates a directory and its missing parents. Each new directory's entry is synced in its parent: otherwise a crash
/// of the machine could remove the directory with its files.
fn make_directories(directory: &Path) -> io::Result<()> {
    let is_missing = |ancestor: &&Path| !ancestor.as_os_str().is_empty() && !ancestor.is_dir();
    let missing: Vec<&Path> = directory.ancestors().take_while(is_missing).collect();
    for directory in missing.into_iter().rev() {
        match uninterrupted(|| std::fs::create_dir(directory)) {
            // Another task has created it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            made => made?,
        }
        sync_directory(directory_of(directory))?;
    }
    Ok(())
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Renames a file without replacing another. On file systems that can't do that atomically, the target is checked
/// first. The names are unique anyway, so this is only a second safeguard.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match retry_on_intr(|| renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if !uninterrupted(|| to.try_exists())? => {
            uninterrupted(|| std::fs::rename(from, to))
        }
        renamed => Ok(renamed?),
    }
}

fn if_there<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        outcome => outcome.map(Some),
    }
}

fn unless_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn list(directory: &Path) -> io::Result<Vec<Entry>> {
    let listed = list_directory(directory, |entry| {
        // Names that are not UTF-8 are not the sink's; files that vanish meanwhile do not matter.
        let Ok(name) = entry.file_name().into_string() else { return Ok(None) };
        let Some(metadata) = if_there(uninterrupted(|| entry.metadata()))? else { return Ok(None) };
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified_ms = u64::try_from(modified.as_millis()).unwrap_or(u64::MAX);
        Ok(Some(Entry { name, is_directory: metadata.is_dir(), modified_ms }))
    });
    match listed {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        listed => listed,
    }
}

#[cfg(test)]
mod tests;
