//! Checks whether a channel's directory is encrypted, and whether the given keys fit.

use std::io;

use thiserror::Error;

use super::recovery::LOCK;
use super::segment::segment_number;
use super::superblock::SUPERBLOCK;
use super::{BlockingExecutor, FileChannel, FileChannelOptions, UnsupportedColumn, lock_note};
use crate::environment::storage::encrypted::{FillRandom, has_keys, is_encrypted, system_random};
use crate::environment::storage::{Directory, Encrypted, Keys, KeysError, LockError, Storage};
use crate::failure::Failure;

/// Why a directory can't be used with the given keys, or without keys. Nothing was changed.
#[derive(Debug, Error)]
pub enum EncryptionError {
    /// Another process uses the directory.
    #[error("{place} is in use by {holder}; stop that agent first")]
    InUse {
        /// The directory.
        place: String,
        /// The note of this process.
        holder: String,
    },
    /// The directory is encrypted, and no key is given.
    #[error(
        "{place} is encrypted, and no key is given; nothing was changed: give the channel its key with `encrypt`, and `weir channel` with `--key-file`"
    )]
    NoKey {
        /// The directory.
        place: String,
    },
    /// The directory is not encrypted, and a key is given.
    #[error(
        "{place} holds a channel that is not encrypted, and a key is given; nothing was changed: let the channel be drained without `encrypt`, or give the encrypted one a directory of its own"
    )]
    NotEncrypted {
        /// The directory.
        place: String,
    },
    /// The file with the data key is missing.
    #[error(
        "{place} is encrypted, and its file `keys` is missing; nothing was changed: bring that file back from a backup, without it nothing here can be read"
    )]
    KeysMissing {
        /// The directory.
        place: String,
    },
    /// The data key can't be read.
    #[error("{place}: {error}; nothing was changed{}", advice(error))]
    Keys {
        /// The directory.
        place: String,
        /// Why.
        #[source]
        error: KeysError,
    },
    /// The disk failed.
    #[error("{place}: {what}")]
    Io {
        /// The directory.
        place: String,
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

fn advice(error: &KeysError) -> &'static str {
    match error {
        KeysError::Damaged => ": bring that file back from a backup, without it nothing here can be read",
        KeysError::OtherKey { .. } => ": give it that key, or list that key in `former` beside the new one",
        KeysError::Version { .. } => ": let the version drain the channel that made it",
        KeysError::Io { .. } => "",
    }
}

/// What a directory contains, as far as its file names and one file tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// No channel.
    Nothing,
    Plain,
    Encrypted,
    /// Encrypted files without the data key.
    EncryptedWithoutKeys,
}

fn look<S: Storage>(storage: &S) -> Result<Content, EncryptionError> {
    let what = "finding out whether it is encrypted";
    let refused = |source| EncryptionError::Io { place: storage.place(), what: what.to_owned(), source };
    if has_keys(storage).map_err(refused)? {
        return Ok(Content::Encrypted);
    }
    let names = storage.list().map_err(refused)?;
    let superblock = names.iter().find(|name| *name == SUPERBLOCK);
    let segment = || names.iter().find(|name| segment_number(name).is_some());
    // All files of a directory are either plain or encrypted.
    let Some(name) = superblock.or_else(segment) else { return Ok(Content::Nothing) };
    match is_encrypted(storage, name).map_err(refused)? {
        true => Ok(Content::EncryptedWithoutKeys),
        false => Ok(Content::Plain),
    }
}

/// Returns a storage that is to be used without encryption.
///
/// # Errors
/// When it is encrypted.
pub(super) fn plain<S: Storage>(storage: S) -> Result<S, EncryptionError> {
    let place = || storage.place();
    match look(&storage)? {
        Content::Encrypted => Err(EncryptionError::NoKey { place: place() }),
        Content::EncryptedWithoutKeys => Err(EncryptionError::KeysMissing { place: place() }),
        Content::Nothing | Content::Plain => Ok(storage),
    }
}

/// What to do if the directory has no channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfAbsent {
    Create,
    Refuse,
}

/// Opens a directory with these keys. Locks it meanwhile, so that two processes that start at once do not make two
/// data keys.
///
/// # Errors
/// When the directory is in use or not encrypted, or the keys don't fit.
pub(super) fn encrypted<S: Storage>(
    storage: S,
    keys: &Keys,
    if_absent: IfAbsent,
    fill_random: std::sync::Arc<FillRandom>,
) -> Result<Encrypted<S>, EncryptionError> {
    let place = storage.place();
    let _lock = storage.lock(LOCK, &lock_note("weir")).map_err(|error| match error {
        LockError::Held { holder } => EncryptionError::InUse { place: place.clone(), holder },
        LockError::Io(source) => {
            EncryptionError::Io { place: place.clone(), what: "locking the directory".to_owned(), source }
        }
    })?;
    let opened = match (look(&storage)?, if_absent) {
        (Content::Encrypted, _) => Encrypted::open(storage, keys, fill_random),
        (Content::Nothing, IfAbsent::Create) => Encrypted::make(storage, keys, fill_random),
        (Content::EncryptedWithoutKeys, _) => return Err(EncryptionError::KeysMissing { place }),
        (Content::Plain | Content::Nothing, _) => return Err(EncryptionError::NotEncrypted { place }),
    };
    opened.map_err(unusable(place))
}

fn unusable(place: String) -> impl FnOnce(KeysError) -> EncryptionError {
    |error| match error {
        KeysError::Io { what, source } => {
            EncryptionError::Io { place, what: format!("{what} its keys"), source }
        }
        error => EncryptionError::Keys { place, error },
    }
}

/// Opens a directory for reading only, without a lock; `None` if there is no channel yet.
fn open_read_only<S: Storage>(storage: S, keys: &Keys) -> Result<Option<Encrypted<S>>, EncryptionError> {
    let place = storage.place();
    match look(&storage)? {
        Content::Nothing => Ok(None),
        Content::Encrypted => {
            Encrypted::open_read_only(storage, keys, system_random()).map(Some).map_err(unusable(place))
        }
        Content::EncryptedWithoutKeys => Err(EncryptionError::KeysMissing { place }),
        Content::Plain => Err(EncryptionError::NotEncrypted { place }),
    }
}

impl FileChannel<Encrypted<Directory>> {
    /// Makes a channel in an encrypted directory of this machine. Nothing is touched before the channel is opened.
    ///
    /// # Errors
    /// When the channel can't hold the type of its events.
    pub fn encrypted(
        options: FileChannelOptions,
        keys: Keys,
    ) -> Result<FileChannel<Encrypted<Directory>>, UnsupportedColumn> {
        let path = options.path.clone();
        let probe_keys = keys.clone();
        let look = move |storage| {
            open_read_only(storage, &probe_keys).map_err(Failure::permanent_unless_disk_failure)
        };
        let make = move || {
            let storage = Directory::create(&path).map_err(Failure::permanent_unless_disk_failure)?;
            let encrypted = encrypted(storage, &keys, IfAbsent::Create, system_random());
            encrypted.map_err(Failure::permanent_unless_disk_failure)
        };
        let mut channel = FileChannel::on(options, BlockingExecutor::Threads, Box::new(make))?;
        channel.look = Some(Box::new(look));
        Ok(channel)
    }
}
