//! Knows which writers of files on HDFS have died on this machine.
//!
//! The NameNode gives up the lease of a dead writer after a minute. A writer of the same machine and user is known to be dead at
//! once: it holds a lock on a file in the machine's temporary directory, whose name is the instance in the names of its files
//! on HDFS. The kernel releases the lock when the process ends, however that happens. Of a writer without such a file, nothing is
//! known.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use weir_runtime::storage::try_lock;

use crate::tools::file_writer::instance_in;

/// Files of dead writers are removed after this time.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// The writers of this machine.
pub(super) struct Writers {
    /// The directory of the locked files.
    directory: PathBuf,
    /// The instance that this process writes as, and its lock; the lock is none if it could not be had.
    own: Mutex<Option<(String, Option<File>)>>,
}

impl Writers {
    /// The writers of this machine and user.
    pub(super) fn of_this_machine() -> Writers {
        let user = rustix::process::getuid().as_raw();
        Writers::within(std::env::temp_dir().join(format!("weir-writers-{user}")))
    }

    fn within(directory: PathBuf) -> Writers {
        Writers { directory, own: Mutex::new(None) }
    }

    /// Notes that this process is alive and writes this file, once for each instance. Blocks shortly. Without the lock, other
    /// agents wait for the lease of this one.
    pub(super) fn begin(&self, path: &str) {
        let Some(instance) = instance_in(path) else { return };
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if own.as_ref().is_none_or(|(own, _)| own != instance) {
            *own = Some((instance.to_owned(), self.lock(instance).ok()));
        }
    }

    /// Whether the writer of this file is known to be dead. Blocks shortly.
    pub(super) fn is_dead(&self, path: &str) -> bool {
        let Some(instance) = instance_in(path) else { return false };
        is_own(&self.directory) && is_unlocked(&self.directory.join(instance))
    }

    fn lock(&self, instance: &str) -> io::Result<File> {
        if !is_own(&self.directory) {
            DirBuilder::new().mode(0o700).create(&self.directory)?;
        }
        self.remove_old()?;
        // Under its final name the file is locked from the beginning.
        let (new, path) = (self.directory.join(format!("{instance}.new")), self.directory.join(instance));
        let file = File::create(&new)?;
        if !try_lock(&file)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        fs::rename(&new, path)?;
        Ok(file)
    }

    fn remove_old(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let is_old = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = is_old.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > KEPT));
            if is_old && is_unlocked(&entry.path()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Writers {
    /// Other agents that look for the file wait for the lease, if one of this process's files is still open.
    fn drop(&mut self) {
        let own = self.own.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((instance, Some(_lock))) = own {
            // The file is small, and is removed later if this fails.
            let _stays = fs::remove_file(self.directory.join(instance));
        }
    }
}

/// Whether this user has the directory for itself.
fn is_own(directory: &Path) -> bool {
    let user = rustix::process::getuid().as_raw();
    fs::symlink_metadata(directory)
        .is_ok_and(|found| found.is_dir() && found.uid() == user && found.mode() & 0o022 == 0)
}

/// Whether a file exists and nobody has locked it.
fn is_unlocked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| try_lock(&file).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/lake/.events-20260101T120000Z-9f3c51d2a07b64e8-000017.txt.shop.lake.tmp";

    #[test]
    fn a_writer_is_dead_when_its_lock_is_released() {
        let machine = tempfile::tempdir().unwrap();
        let directory = machine.path().join("writers");
        let (one, other) = (Writers::within(directory.clone()), Writers::within(directory.clone()));
        assert!(!other.is_dead(FILE), "nothing is known of it");
        one.begin(FILE);
        one.begin(FILE);
        assert!(!other.is_dead(FILE));
        // As when the process is killed.
        one.own.lock().unwrap().as_mut().unwrap().1 = None;
        assert!(other.is_dead(FILE));
        assert!(!other.is_dead("/lake/.events-20260101T120000Z-0000000000000001-000017.txt.shop.lake.tmp"));
        assert!(!other.is_dead("/lake/other"));
    }

    #[test]
    fn a_writer_that_ends_leaves_nothing() {
        let machine = tempfile::tempdir().unwrap();
        let writers = Writers::within(machine.path().to_owned());
        fs::set_permissions(machine.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        writers.begin(FILE);
        assert_eq!(fs::read_dir(machine.path()).unwrap().count(), 1);
        drop(writers);
        assert_eq!(fs::read_dir(machine.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_others_can_change_is_not_believed() {
        let machine = tempfile::tempdir().unwrap();
        fs::set_permissions(machine.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        fs::write(machine.path().join("9f3c51d2a07b64e8"), "").unwrap();
        assert!(!Writers::within(machine.path().to_owned()).is_dead(FILE));
    }
}
