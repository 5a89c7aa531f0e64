//! The file of positions: how far each file was delivered, and what it looked like.
//!
//! It is only ever replaced as a whole: written under another name, synced, renamed, and its directory
//! synced. What stands in it was delivered before it was written, so whatever a crash leaves there is true,
//! if not the latest. How it is written says [`format`].
//!
//! A lock beside it keeps a second agent away. Anybody can remove that file, so the positions are locked as well,
//! which nobody removes without a loss, and each save looks whether both are still held.

mod downstream;
mod format;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::warn;
use weir_runtime::batch::Partition;
use weir_runtime::source::{DeliveredThrough, GivenThrough};
use weir_runtime::storage::{Access, Directory, DirectoryError, LockError, Storage, holder_of_name, replace};

use super::consumed::Consumed;
use super::identity::{Head, Key, Name, Stamp};
pub(super) use downstream::{Downstream, DownstreamLoss};
use format::FormatError;

/// What is appended to the name of the positions for the file by which it is accepted that the ends behind
/// know less.
pub(super) const ACCEPT_SUFFIX: &str = ".accept";

/// A file, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RememberedFile {
    /// The name of its partition.
    pub(super) partition: String,
    /// Where it was seen last, for whoever reads this.
    pub(super) path: String,
    /// Up to here it was delivered.
    pub(super) position: DeliveredThrough,
    /// Up to here the channels of this process were given it. They may lose it, so it is not saved.
    #[serde(skip)]
    pub(super) given: Option<GivenThrough>,
    /// How its text begins, as far as was known.
    pub(super) head: Head,
    /// The hash of what was delivered.
    pub(super) consumed: Option<Consumed>,
    /// What state it was in when everything in it was delivered.
    pub(super) rest: Option<Stamp>,
    /// The packed copy that it is read from now, where that is another file than the partition's name says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) copy: Option<Key>,
    /// Whether it was packed when it was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) packed: bool,
    /// What lies before the position was not wanted, and channels were not heard to know that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unconfirmed: bool,
}

/// A packed file that was found to be a copy of one that another file brings, or has brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RememberedCopy {
    pub(super) key: Key,
    /// What state it was in then.
    pub(super) stamp: Stamp,
    /// Of what it is a copy.
    pub(super) partition: String,
    /// Whether nothing of it will ever be wanted, since the partition is read beyond it.
    pub(super) done: bool,
}

/// Everything that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::components::files) struct Memory {
    pub(super) files: Vec<RememberedFile>,
    pub(super) copies: Vec<RememberedCopy>,
    /// Who has what was delivered.
    pub(super) downstream: Downstream,
}

impl RememberedFile {
    /// Nothing but the name of a partition.
    pub(super) fn named(partition: &Partition, name: Name) -> RememberedFile {
        RememberedFile {
            partition: partition.name().to_string(),
            path: String::new(),
            position: DeliveredThrough::default(),
            given: None,
            head: name.head,
            consumed: None,
            rest: None,
            copy: None,
            packed: false,
            unconfirmed: false,
        }
    }

    /// The parts of its partition's name, if that is a file's.
    pub(super) fn name(&self) -> Option<Name> {
        self.partition.parse().ok()
    }

    /// Where reading goes on.
    pub(super) fn reads_on_at(&self) -> u64 {
        let position = self.position.position();
        self.given.map_or(position, |given| given.position().max(position))
    }

    /// What can't be so, if anything.
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

/// Positions that can't be kept.
#[derive(Debug, Error)]
pub(in crate::components::files) enum PositionsError {
    #[error("{action} the positions {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("making the directory of the positions {}", path.display())]
    Directory { path: PathBuf, source: DirectoryError },
    #[error("the positions {} are kept by another agent", path.display())]
    Locked { path: PathBuf },
    #[error(
        "the positions {} can't be understood; put back what was there, or remove the file to begin anew",
        path.display()
    )]
    Format { path: PathBuf, source: FormatError },
    #[error(
        "{loss}: the positions {path} were delivered to more. Put back what belongs to these positions; or remove \
         {path}, then what is missing is read again, and what arrived may arrive twice; or make the empty file \
         {path}{ACCEPT_SUFFIX}, then the source goes on behind the positions without it",
        path = path.display()
    )]
    DownstreamLoss { path: PathBuf, loss: DownstreamLoss },
}

/// Keeps positions, and others away while it lives.
pub(in crate::components::files) trait PositionsStore: Send + Sync {
    /// Replaces what is there. It blocks until that is on disk.
    fn save(&self, memory: &Memory) -> Result<(), PositionsError>;

    /// Whether somebody has accepted that the ends behind know less. It blocks.
    fn is_accepted(&self) -> Result<bool, PositionsError>;

    /// That was taken note of: it does not count again. It blocks.
    fn forget_acceptance(&self) -> Result<(), PositionsError>;
}

/// A file of positions in a directory; locked while it lives.
pub(super) struct PositionsFile<S: Storage> {
    directory: S,
    name: String,
    /// The whole path, for messages.
    path: PathBuf,
    held: Mutex<Locks<S>>,
}

/// What keeps others away.
struct Locks<S: Storage> {
    lock: S::Lock,
    /// The positions as they are on disk, locked; none before the first save.
    saved: Option<S::File>,
}

impl<S: Storage> PositionsFile<S> {
    /// Takes the lock, and reads what is there. `None`: nothing was ever kept.
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
            // Whoever keeps them may have replaced them before this one was locked.
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

    fn replace(&self, memory: &Memory) -> io::Result<S::File> {
        let contradiction = memory.files.iter().find_map(RememberedFile::contradiction);
        assert_eq!(contradiction, None, "positions that could not be read back");
        let text = format::write(memory)?;
        let new = format!("{}.new", self.name);
        replace(&self.directory, &new, &self.name, |file| {
            self.directory.write_at(file, 0, &[&text])?;
            self.directory.sync(file)?;
            // Nobody else knows it yet.
            self.directory.lock_open(file);
            Ok(())
        })
    }

    /// Takes the lock again if somebody has removed it.
    ///
    /// # Errors
    /// When another agent has it, or had it meanwhile.
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

/// Says why positions could not be kept in this file, and takes and changes nothing. It blocks.
///
/// # Errors
/// When there are some that can't be understood or read, or another agent keeps them.
pub(super) fn probe(path: &Path) -> Result<(), PositionsError> {
    let failed = |action| {
        let path = path.to_path_buf();
        move |source| PositionsError::File { action, path, source }
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        // It would be made.
        return Ok(());
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let directory = Directory::open(parent)
        .map_err(|source| PositionsError::Directory { path: path.to_path_buf(), source })?;
    if holder_of_name(&directory, &lock_name(&name)).map_err(failed("looking for the lock of"))?.is_some() {
        return Err(PositionsError::Locked { path: path.to_path_buf() });
    }
    let Some(file) = open(&directory, &name).map_err(failed("opening"))? else { return Ok(()) };
    let text = read(&directory, &file).map_err(failed("reading"))?;
    match format::read(&text) {
        Ok(_memory) => Ok(()),
        Err(source) => Err(PositionsError::Format { path: path.to_path_buf(), source }),
    }
}

impl<S: Storage> PositionsStore for PositionsFile<S> {
    fn save(&self, memory: &Memory) -> Result<(), PositionsError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.hold(&mut held)?;
        held.saved = Some(self.replace(memory).map_err(|source| self.failed("writing", source))?);
        Ok(())
    }

    fn is_accepted(&self) -> Result<bool, PositionsError> {
        match self.directory.open(&format!("{}{ACCEPT_SUFFIX}", self.name), Access::Read) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("looking for the acceptance beside", error)),
        }
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

/// The file of this name; nothing if there is none.
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
