//! The storage seam: the few things that the core does with a disk, so that the same code runs on
//! a real directory and on a simulated one that tears, fills, rots and lies.
//!
//! A [`Storage`] is one flat directory. Names are plain file names. Every operation may fail, and
//! what a failure or a crash leaves behind is up to the disk, within what POSIX promises: only
//! what was synced is sure to stay, and a name is sure to stay only when its directory was.

mod directory;
pub(crate) mod encrypted;
mod interrupted;
mod simulated;
mod writable;

use std::io;

use thiserror::Error;

pub use directory::{Directory, DirectoryError, DirectoryLock, holder_of, holder_of_name, read_at, try_lock};
pub use encrypted::{Encrypted, EncryptedFile, Key, Keys, KeysError, NoKey};
pub use interrupted::{list_directory, uninterrupted};
pub use simulated::{
    Call, Fault, Fired, Machine, Moment, SimulatedDisk, SimulatedFile, SimulatedLock, Site, Step, Toll,
};
pub use writable::{NotWritable, probe};

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading alone.
    Read,
    /// Reading and writing.
    Write,
}

/// Why a directory could not be locked.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else holds the lock; they left this note.
    #[error("it is in use by {holder}")]
    Held {
        /// The holder's note: program, boot and process.
        holder: String,
    },
    /// The lock could not be tried.
    #[error("locking it")]
    Io(#[from] io::Error),
}

/// One directory on a disk.
///
/// Offsets and lengths are in bytes. No operation is atomic unless it says so.
pub trait Storage: Clone + Send + Sync + 'static {
    /// An open file.
    type File: Send + Sync + 'static;
    /// A held lock; dropping it lets it go.
    type Lock: Send + 'static;

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

    /// Writes the parts one behind the other. A failure may leave any of it written.
    ///
    /// # Errors
    /// When the disk is full or fails.
    fn write_at(&self, file: &Self::File, offset: u64, parts: &[&[u8]]) -> io::Result<()>;

    /// Reads until the buffer is full or the file ends, and says how much.
    ///
    /// # Errors
    /// When the disk fails.
    fn read_at(&self, file: &Self::File, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Makes what was written to the file durable, and its length (`fdatasync`).
    ///
    /// # Errors
    /// When the disk fails. The data is then lost although it can be read, and another sync
    /// would succeed: whoever gets this error must write the data elsewhere.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Makes the file `bytes` long and takes the room for it (`fallocate`); new bytes are zero.
    ///
    /// # Errors
    /// When the disk is full or fails.
    fn allocate(&self, file: &Self::File, bytes: u64) -> io::Result<()>;

    /// The file's length.
    ///
    /// # Errors
    /// When the disk fails.
    fn length(&self, file: &Self::File) -> io::Result<u64>;

    /// Gives a file another name, in the place of whatever has it. Atomic.
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

    /// The names in the directory, in no order.
    ///
    /// # Errors
    /// When the disk fails.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Takes the directory for this process alone, leaving a note for those who come second.
    ///
    /// # Errors
    /// When somebody else has it, or the disk fails.
    fn lock(&self, name: &str, note: &str) -> Result<Self::Lock, LockError>;

    /// Takes this name for this process alone, in a directory of which others may take other names.
    ///
    /// # Errors
    /// When somebody else has it, or the disk fails.
    fn lock_name(&self, name: &str, note: &str) -> Result<Self::Lock, LockError> {
        self.lock(name, note)
    }

    /// Whether this name still leads to what [`Storage::lock_name`] has locked: anybody can remove a file, or put
    /// another into its place, and whoever comes next locks that one.
    ///
    /// # Errors
    /// When the disk fails.
    fn still_holds(&self, _lock: &Self::Lock, _name: &str) -> io::Result<bool> {
        Ok(true)
    }

    /// Locks an open file for this process as long as it is open; `false` if another has locked it. Where the file
    /// system has no locks, nobody holds one.
    fn lock_open(&self, _file: &Self::File) -> bool {
        true
    }

    /// Whether this name leads to an open file.
    ///
    /// # Errors
    /// When the disk fails.
    fn is_named(&self, _file: &Self::File, _name: &str) -> io::Result<bool> {
        Ok(true)
    }

    /// Whether the directory's path still leads to an open file of it under this name. What is written into a file
    /// that was unlinked, or with its directory moved away, is not found by the next start.
    ///
    /// # Errors
    /// When that can't be looked up.
    fn is_reached(&self, _file: &Self::File, _name: &str) -> io::Result<bool> {
        Ok(true)
    }

    /// Whether the directory's path still leads to the directory that is open.
    ///
    /// # Errors
    /// When that can't be looked up.
    fn is_there(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Where the directory is, for messages.
    fn place(&self) -> String;
}

/// Puts a new file in a file's place, in one act: there is always one of that name that is whole. `new` is what it
/// is called meanwhile; `write` fills and syncs it.
///
/// # Errors
/// When the disk is full or fails. Which of the two files is there, only the next look can say.
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

/// Whether an error says that there is no room left, which may pass.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
