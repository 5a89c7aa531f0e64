//! Checks whether a channel's directory could be opened, without locking or changing anything.

use std::path::Path;

use super::recovery::{self, LOCK, Opening};
use super::refusal::OpenError;
use crate::environment::storage::{Directory, Storage, holder_of};
use crate::failure::Failure;

/// Opens the channel's storage in a directory for reading only; `None` if there is no channel yet.
pub(super) type Look<S> = Box<dyn Fn(Directory) -> Result<Option<S>, Failure> + Send + Sync>;

/// Examines a channel's directory as opening it would. Blocks on the disk.
///
/// # Errors
/// Those that opening the directory now would have.
pub(super) fn probe<S: Storage>(path: &Path, look: &Look<S>, opening: &Opening) -> Result<(), Failure> {
    if !path.is_dir() {
        // Opening the channel would create it.
        return Ok(());
    }
    let directory = Directory::open(path).map_err(Failure::permanent_unless_disk_failure)?;
    is_free(&directory)?;
    let found = look(directory.clone()).and_then(|storage| match storage {
        Some(storage) => recovery::look(&storage, opening).map_err(Failure::permanent_unless_disk_failure),
        None => Ok(()),
    });
    // If an agent has opened the directory in the meantime, its writes look like damage.
    found.or_else(|failure| is_free(&directory).and(Err(failure)))
}

/// # Errors
/// When an agent uses the directory.
fn is_free(directory: &Directory) -> Result<(), Failure> {
    let place = directory.place();
    let held = holder_of(directory, LOCK).map_err(|source| {
        let what = "looking for its lock".to_owned();
        Failure::permanent_unless_disk_failure(OpenError::Io { place: place.clone(), what, source })
    })?;
    match held {
        Some(holder) => Err(Failure::permanent(OpenError::InUse { place, holder })),
        None => Ok(()),
    }
}
