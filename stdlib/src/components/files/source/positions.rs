//! The file of positions: how far each file was delivered, and what identifies it.
//!
//! The file is only ever replaced atomically: the new one is written under another name, synced and renamed, and its
//! directory is synced. Every position in it was delivered before it was written, so a crash leaves positions that
//! are correct, if not the latest. [`mod@format`] describes the format.
//!
//! A lock file beside it keeps a second agent away. Users may remove a lock file, so the file of positions itself is
//! locked as well, and each save checks that both locks are still held.

mod downstream;
mod format;
mod image;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::warn;
use weir_runtime::batch::Partition;
use weir_runtime::source::{DeliveredThrough, DownstreamChannels, GivenThrough};
use weir_runtime::storage::{Access, Directory, DirectoryError, LockError, Storage, holder_of_name, replace};

use super::identity::{Head, Key, PartitionName, Stamp};
use super::text_hash::TextHash;
pub(super) use downstream::{Downstream, DownstreamLoss};
use format::FormatError;
pub(super) use image::ChangedFile;
pub(in crate::components) use image::{Image, NewPositions};

/// The suffix of the file by which a user accepts that a channel or sink downstream has lost delivered events. The
/// file's name is that of the positions with this suffix.
pub(super) const ACCEPT_SUFFIX: &str = ".accept";

/// The remembered state of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RememberedFile {
    /// The name of its partition.
    pub(super) partition: String,
    /// The path at which it was last seen, for people who read the positions.
    pub(super) path: String,
    /// Everything before this position was delivered.
    pub(super) position: DeliveredThrough,
    /// Everything before this position was put into the channels of this process. They may lose it, so this position is
    /// not saved.
    #[serde(skip)]
    pub(super) given: Option<GivenThrough>,
    /// The hash of the text's beginning, as much of it as there was.
    pub(super) head: Head,
    /// The hash of the delivered text.
    pub(super) consumed: Option<TextHash>,
    /// The file's stamp when everything in it was delivered; `None` if there was more.
    pub(super) rest: Option<Stamp>,
    /// The compressed copy that is read in place of the file that the partition's name identifies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) copy: Option<Key>,
    /// Whether the file was compressed when it was read.
    #[serde(rename = "packed", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) compressed: bool,
    /// Whether reading began at the position (`start: end`), and no channel has confirmed that position yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unconfirmed: bool,
}

/// A compressed file that is a copy: another file brings its lines, or has brought them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RememberedCopy {
    pub(super) key: Key,
    /// The copy's stamp when its original was found.
    pub(super) stamp: Stamp,
    /// The partition of the original.
    pub(super) partition: String,
    /// Whether the copy is never read, since the partition was already read beyond the copy's end.
    pub(super) done: bool,
}

/// The state of a source that outlives a run; all of it but the positions given is saved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::components) struct Memory {
    pub(super) files: Vec<RememberedFile>,
    pub(super) copies: Vec<RememberedCopy>,
    /// The channels and sinks that have the delivered events.
    pub(super) downstream: Downstream,
}

impl RememberedFile {
    /// Returns a file of which only the partition's name is known.
    pub(super) fn named(partition: &Partition, name: PartitionName) -> RememberedFile {
        RememberedFile {
            partition: partition.name().to_string(),
            path: String::new(),
            position: DeliveredThrough::default(),
            given: None,
            head: name.head,
            consumed: None,
            rest: None,
            copy: None,
            compressed: false,
            unconfirmed: false,
        }
    }

    /// Parses the partition's name; `None` if it does not name a file's partition.
    pub(super) fn name(&self) -> Option<PartitionName> {
        self.partition.parse().ok()
    }

    /// Returns the position at which reading continues.
    pub(super) fn resume_position(&self) -> u64 {
        let position = self.position.position();
        self.given.map_or(position, |given| given.position().max(position))
    }

    /// Returns a description of the first contradiction between the fields, if there is one.
    fn contradiction(&self) -> Option<&'static str> {
        let position = self.position.position();
        if self.consumed.is_some_and(|part| part.base > part.through) {
            return Some("what was hashed ends before it begins");
        }
        if self.consumed.is_some_and(|part| part.through > position) {
            return Some("its position lies before the end of what was hashed");
        }
        None
    }
}

/// The positions can't be read, or can't be saved.
#[derive(Debug, Error)]
pub(in crate::components) enum PositionsError {
    #[error("{action} the positions {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("making the directory of the positions {}", path.display())]
    Directory { path: PathBuf, source: DirectoryError },
    #[error("the positions {} are kept by another agent", path.display())]
    Locked { path: PathBuf },
    #[error(
        "the positions {} can't be understood; restore the file, or remove it to read all files from the beginning",
        path.display()
    )]
    Format { path: PathBuf, source: FormatError },
    #[error(
        "{loss}, but the positions {path} are later. Restore the channel or ledger that belongs to these positions; or \
         remove {path}: then the lost events are read again, and others may arrive twice; or create the empty file \
         {path}{ACCEPT_SUFFIX}: then the source continues behind the positions, without the lost events",
        path = path.display()
    )]
    DownstreamLoss { path: PathBuf, loss: DownstreamLoss },
}

/// Saves positions, and locks them against other agents as long as it lives.
pub(in crate::components) trait PositionsStore: Send + Sync {
    /// Applies the changes to the image, and replaces the saved positions by it. It blocks until the new ones are on disk.
    fn save(&self, image: &mut Image, changes: &NewPositions) -> Result<(), PositionsError>;

    /// Returns whether the user has accepted a loss downstream. It blocks.
    fn is_accepted(&self) -> Result<bool, PositionsError>;

    /// Removes the user's acceptance, so that it counts once. It blocks.
    fn forget_acceptance(&self) -> Result<(), PositionsError>;
}

/// A file of positions in a directory, locked as long as this lives.
pub(super) struct PositionsFile<S: Storage> {
    directory: S,
    name: String,
    /// The path, for messages.
    path: PathBuf,
    held: Mutex<Locks<S>>,
}

/// The two locks that keep other agents away.
struct Locks<S: Storage> {
    lock: S::Lock,
    /// The locked file of positions; `None` before the first save.
    saved: Option<S::File>,
}

impl<S: Storage> PositionsFile<S> {
    /// Takes both locks, and reads the positions; `None` if there is no file yet.
    pub(super) fn open(
        directory: S,
        path: &Path,
    ) -> Result<(PositionsFile<S>, Option<Memory>), PositionsError> {
        let failed = |action| {
            let path = path.to_path_buf();
            move |source| PositionsError::File { action, path, source }
        };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let lock = lock(&directory, &name, path)?;
        let (saved, text) = loop {
            let Some(file) = open(&directory, &name).map_err(failed("opening"))? else { break (None, None) };
            if !directory.lock_open(&file) {
                return Err(PositionsError::Locked { path: path.to_path_buf() });
            }
            // Another agent may have replaced the file between opening and locking it.
            if directory.is_named(&file, &name).map_err(failed("opening"))? {
                let text = read(&directory, &file).map_err(failed("reading"))?;
                break (Some(file), Some(text));
            }
        };
        let held = Mutex::new(Locks { lock, saved });
        let positions = PositionsFile { directory, name, path: path.to_path_buf(), held };
        let Some(text) = text else { return Ok((positions, None)) };
        let memory = format::read(&text)
            .map_err(|source| PositionsError::Format { path: path.to_path_buf(), source })?;
        Ok((positions, Some(memory)))
    }

    fn replace(&self, image: &Image) -> io::Result<S::File> {
        let text = image.text()?;
        let new = format!("{}.new", self.name);
        replace(&self.directory, &new, &self.name, |file| {
            self.directory.write_at(file, 0, &[&text])?;
            self.directory.sync(file)?;
            // The new file has no other user yet, so this lock always succeeds.
            self.directory.lock_open(file);
            Ok(())
        })
    }

    /// Checks both locks, and takes the lock file again if it was removed.
    ///
    /// # Errors
    /// When another agent holds a lock, or has saved positions meanwhile.
    fn hold(&self, held: &mut Locks<S>) -> Result<(), PositionsError> {
        let failed = |source| self.failed("looking for the lock of", source);
        if self.directory.still_holds(&held.lock, &lock_name(&self.name)).map_err(failed)? {
            return Ok(());
        }
        held.lock = lock(&self.directory, &self.name, &self.path)?;
        let is_own = |file| self.directory.is_named(file, &self.name);
        if open(&self.directory, &self.name).map_err(failed)?.is_some()
            && !held.saved.as_ref().map_or(Ok(false), is_own).map_err(failed)?
        {
            return Err(PositionsError::Locked { path: self.path.clone() });
        }
        let path = self.path.display();
        warn!("the lock of the positions {path} was removed while it was held; it is there again");
        Ok(())
    }

    fn failed(&self, action: &'static str, source: io::Error) -> PositionsError {
        PositionsError::File { action, path: self.path.clone(), source }
    }
}

/// Reads the positions in this file, and whether a loss was accepted, without locking or changing anything. It blocks.
/// Returns `None` if there are none.
///
/// # Errors
/// When existing positions can't be read or parsed, or another agent has locked them.
pub(super) fn look(path: &Path) -> Result<Option<(Memory, bool)>, PositionsError> {
    let failed = |action| {
        let path = path.to_path_buf();
        move |source| PositionsError::File { action, path, source }
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        // The source creates the directory when it runs.
        return Ok(None);
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let directory = Directory::open(parent)
        .map_err(|source| PositionsError::Directory { path: path.to_path_buf(), source })?;
    if holder_of_name(&directory, &lock_name(&name)).map_err(failed("looking for the lock of"))?.is_some() {
        return Err(PositionsError::Locked { path: path.to_path_buf() });
    }
    let Some(file) = open(&directory, &name).map_err(failed("opening"))? else { return Ok(None) };
    let text = read(&directory, &file).map_err(failed("reading"))?;
    let memory =
        format::read(&text).map_err(|source| PositionsError::Format { path: path.to_path_buf(), source })?;
    let is_accepted = is_accepted(&directory, &name).map_err(failed("looking for the acceptance beside"))?;
    Ok(Some((memory, is_accepted)))
}

/// Checks that no channel or sink downstream has lost events of the positions in this file, unless that was accepted.
///
/// # Errors
/// The loss, and the errors of [`look`].
pub(super) fn check_downstream(path: &Path, downstream: &DownstreamChannels) -> Result<(), PositionsError> {
    let Some((memory, false)) = look(path)? else { return Ok(()) };
    match memory.downstream.loss(&memory.files, downstream) {
        Some(loss) => Err(PositionsError::DownstreamLoss { path: path.to_path_buf(), loss }),
        None => Ok(()),
    }
}

fn is_accepted<S: Storage>(directory: &S, name: &str) -> io::Result<bool> {
    match directory.open(&format!("{name}{ACCEPT_SUFFIX}"), Access::Read) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl<S: Storage> PositionsStore for PositionsFile<S> {
    fn save(&self, image: &mut Image, changes: &NewPositions) -> Result<(), PositionsError> {
        // First, so that no change is missing after a failure.
        image.apply(changes).map_err(|error| self.failed("writing", error.into()))?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.hold(&mut held)?;
        held.saved = Some(self.replace(image).map_err(|source| self.failed("writing", source))?);
        Ok(())
    }

    fn is_accepted(&self) -> Result<bool, PositionsError> {
        let found = is_accepted(&self.directory, &self.name);
        found.map_err(|error| self.failed("looking for the acceptance beside", error))
    }

    fn forget_acceptance(&self) -> Result<(), PositionsError> {
        match self.directory.unlink(&format!("{}{ACCEPT_SUFFIX}", self.name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("removing the acceptance beside", error))
            }
            _ => Ok(()),
        }
    }
}

fn lock_name(name: &str) -> String {
    format!("{name}.lock")
}

fn lock<S: Storage>(directory: &S, name: &str, path: &Path) -> Result<S::Lock, PositionsError> {
    let note = format!("the source of files, process {}", std::process::id());
    let path = path.to_path_buf();
    directory.lock_name(&lock_name(name), &note).map_err(|error| match error {
        LockError::Held { .. } => PositionsError::Locked { path },
        LockError::Io(source) => PositionsError::File { action: "locking", path, source },
    })
}

/// Opens a file; `None` if there is no file of this name.
fn open<S: Storage>(directory: &S, name: &str) -> io::Result<Option<S::File>> {
    match directory.open(name, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

fn read<S: Storage>(directory: &S, file: &S::File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(directory.length(file)?).map_err(io::Error::other)?;
    let mut text = vec![0; length];
    let read = directory.read_at(file, 0, &mut text)?;
    text.truncate(read);
    Ok(text)
}

#[cfg(test)]
mod tests;
