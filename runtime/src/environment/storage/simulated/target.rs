//! The target of a call on a simulated disk, and the directory's lock.

use super::{SimulatedDisk, SimulatedFile};

/// The target of a call.
pub(super) enum Target<'a> {
    Directory,
    Name(&'a str),
    /// An offset in a file.
    File(&'a SimulatedFile, u64),
}

impl Target<'_> {
    pub(super) fn file(&self) -> Option<&SimulatedFile> {
        match self {
            Target::File(file, _) => Some(file),
            Target::Directory | Target::Name(_) => None,
        }
    }
}

/// The lock of a simulated directory.
pub struct SimulatedLock {
    pub(super) disk: SimulatedDisk,
    pub(super) boot: u64,
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut disk = self.disk.lock_disk();
        if disk.boot == self.boot {
            disk.holder = None;
        }
    }
}
