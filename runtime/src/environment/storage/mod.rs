//! The storage interface: the few operations that the core needs of a disk. The same code runs on a real
//! directory and on a simulated one that tears writes, fills up, flips bits and loses what it claimed to sync.
//!
//! A [`Storage`] is one flat directory. Names are plain file names. Every operation may fail. A failure or a
//! crash may leave any state that POSIX allows: only synced content is sure to survive, and a name is sure to
//! survive only if its directory was synced.

mod directory;
pub(crate) mod encrypted;
mod interrupted;
mod simulated;
mod writable;

use std::io;

use thiserror::Error;

pub use directory::{Directory, DirectoryError, DirectoryLock, holder_of, holder_of_name, read_at, try_lock};
pub use encrypted::{Encrypted, EncryptedFile, InvalidKey, Key, Keys, KeysError};
pub use interrupted::{list_directory, uninterrupted};
pub use simulated::{
    Call, Fault, Fired, Machine, Moment, SimulatedDisk, SimulatedFile, SimulatedLock, Site, StepCounts,
    StepOutcome,
};
pub use writable::{NotWritable, probe};

/// The access that a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

/// Why a directory could not be locked.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds the lock; `holder` is its note.
    #[error("it is in use by {holder}")]
    Held {
        /// The holder's note: program, boot and process.
        holder: String,
    },
    /// The lock could not be tried.
    #[error("locking it")]
    Io(#[from] io::Error),
}

/// Returns sixteen random bytes.
pub(crate) fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    // If the system has no random bytes, the time tells runs apart.
    if getrandom::fill(&mut bytes).is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        bytes = now.map_or(0, |since| since.as_nanos()).to_le_bytes();
    }
    bytes
}

/// One directory on a disk.
///
/// Offsets and lengths are in bytes. No operation is atomic unless it says so.
pub trait Storage: Clone + Send + Sync + 'static {
    /// An open file.
    type File: Send + Sync + 'static;
    /// A held lock; dropping it releases the lock.
    type Lock: Send + 'static;

    /// Returns sixteen random bytes, by which a channel tells itself and its runs from all others.
    fn random_bytes(&self) -> [u8; 16] {
        random_bytes()
    }

    /// Makes an empty file and opens it for reading and writing.
    ///
    /// # Errors
    /// When the name is taken, or the disk refuses.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file.
    ///
    /// # Errors
    /// When there is none of this name, or the disk refuses.
    fn open(&self, name: &str, access: Access) -> io::Result<Self::File>;

    /// Writes the parts one after the other. A failure may leave any of the bytes written.
    ///
    /// # Errors
    /// When the disk is full or fails.
    fn write_at(&self, file: &Self::File, offset: u64, parts: &[&[u8]]) -> io::Result<()>;

    /// Reads until the buffer is full or the file ends. Returns the number of bytes read.
    ///
    /// # Errors
    /// When the disk fails.
    fn read_at(&self, file: &Self::File, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Makes the file's written bytes and its length durable (`fdatasync`).
    ///
    /// # Errors
    /// When the disk fails. The bytes are then lost, although they can still be read and another sync would succeed:
    /// after this error, the caller must write the bytes to another file.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Makes the file `bytes` long and reserves its space (`fallocate`); new bytes are zero.
    ///
    /// # Errors
    /// When the disk is full or fails.
    fn allocate(&self, file: &Self::File, bytes: u64) -> io::Result<()>;

    /// Returns the file's length.
    ///
    /// # Errors
    /// When the disk fails.
    fn length(&self, file: &Self::File) -> io::Result<u64>;

    /// Renames a file and replaces any file that has the new name. Atomic.
    ///
    /// # Errors
    /// When there is no such file, or the disk fails.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// When there is none, or the disk fails.
    fn unlink(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// When the disk fails.
    fn sync_directory(&self) -> io::Result<()>;

    /// Returns the names in the directory, in no order.
    ///
    /// # Errors
    /// When the disk fails.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Locks the directory for this process alone. A process that is refused the lock gets `note`.
    ///
    /// # Errors
    /// When another process holds the lock, or the disk fails.
    fn lock(&self, name: &str, note: &str) -> Result<Self::Lock, LockError>;

    /// Locks one name for this process alone; other processes may lock other names of the directory.
    ///
    /// # Errors
    /// When another process holds the lock, or the disk fails.
    fn lock_name(&self, name: &str, note: &str) -> Result<Self::Lock, LockError> {
        self.lock(name, note)
    }

    /// Returns whether the name still leads to the file that [`Storage::lock_name`] has locked. If the file was removed
    /// or replaced, the next process would lock another file.
    ///
    /// # Errors
    /// When the disk fails.
    fn still_holds(&self, _lock: &Self::Lock, _name: &str) -> io::Result<bool> {
        Ok(true)
    }

    /// Locks an open file for this process for as long as the file is open. Returns `false` if another process has
    /// locked it, and `true` on a file system without locks.
    fn lock_open(&self, _file: &Self::File) -> bool {
        true
    }

    /// Returns whether a name leads to an open file.
    ///
    /// # Errors
    /// When the disk fails.
    fn is_named(&self, _file: &Self::File, _name: &str) -> io::Result<bool> {
        Ok(true)
    }

    /// Returns whether the directory's path and this name still lead to an open file. If the file was unlinked or its
    /// directory was moved away, the next start would not find what is written to the file.
    ///
    /// # Errors
    /// When the path can't be looked up.
    fn is_reached(&self, _file: &Self::File, _name: &str) -> io::Result<bool> {
        Ok(true)
    }

    /// Returns whether the directory's path still leads to the open directory.
    ///
    /// # Errors
    /// When the path can't be looked up.
    fn is_there(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Returns the directory's location, for messages.
    fn place(&self) -> String;
}

/// Replaces a file atomically: `name` always leads to a complete file. The new file is called `new` until `write`
/// has filled and synced it.
///
/// # Errors
/// When the disk is full or fails. After an error, `name` may lead to either file.
pub fn replace<S: Storage>(
    storage: &S,
    new: &str,
    name: &str,
    write: impl FnOnce(&S::File) -> io::Result<()>,
) -> io::Result<S::File> {
    match storage.unlink(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = storage.create(new)?;
    write(&file)?;
    storage.rename(new, name)?;
    storage.sync_directory()?;
    Ok(file)
}

/// Returns whether an error means that the disk or a quota is full, which may pass.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
