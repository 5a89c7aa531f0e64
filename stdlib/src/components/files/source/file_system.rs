//! The seam between the source and the file system: this machine's, or one in a test's memory.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{DirEntry, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirEntryExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::retry_on_intr;
use weir_runtime::storage::{Directory, list_directory, read_at, uninterrupted};
use weir_runtime::{BlockingExecutor, ConnectFailure, Failure};

use super::After;
use super::discovery::Scan;
use super::identity::{Key, State};
use super::patterns::Patterns;
use super::positions::{Memory, PositionsError, PositionsFile, PositionsStore};
use super::watching::Watcher;
use walking::Walk;

#[cfg(test)]
pub(in crate::components) mod simulated;
mod walking;

/// The open file of positions, and its content; `None` if there was no such file.
pub(in crate::components) type OpenPositions = (Arc<dyn PositionsStore>, Option<Memory>);

/// The calls that the source makes to a file system. All of them block, except [`FileSystem::executor`].
///
/// The source makes one call for a file, a scan or a read of up to a mebibyte, never one for an event.
pub(in crate::components) trait FileSystem: Debug + Send + Sync {
    /// Returns the executor on which the other calls run.
    fn executor(&self) -> BlockingExecutor;

    /// Whether complete files may grow all the same, as on HDFS, where a closed file can be appended to. They are read on
    /// then. Compressed files are no copies of others there.
    fn complete_files_grow(&self) -> bool {
        false
    }

    /// Returns what stands before paths in the log.
    fn place(&self) -> &str {
        ""
    }

    /// Checks whether the system lets the agent in, without reading anything. Returns the failure.
    fn probe(&self) -> Option<Failure> {
        None
    }

    /// Asks the servers whether files that match can be read, and put away as `after` says. Returns the failures; none for a
    /// file system without servers.
    fn connect(&self, _patterns: &Patterns, _after: &After) -> Vec<ConnectFailure> {
        Vec::new()
    }

    /// Scans for regular files that match the patterns, and for the directories in which such files may appear.
    fn walk(&self, patterns: &Patterns, seen: &mut Scan);

    /// Returns a watcher that reports changes of matching files between two scans, where the system supports that.
    fn watcher(&self, component: Arc<str>, patterns: Arc<Patterns>) -> Watcher;

    /// Opens a regular file.
    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    /// Returns the key and the state of the file at a path.
    fn state(&self, path: &Path) -> io::Result<State>;

    /// Lists the names in a directory.
    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>>;

    /// Finds the files with these keys in a directory, whatever their names are. Each file is returned once.
    fn find(&self, directory: &Path, keys: &HashSet<Key>) -> io::Result<Vec<(Key, PathBuf)>>;

    /// Renames a file; fails if the new name is taken.
    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Opens and locks the file of positions.
    fn positions(&self, path: &Path) -> Result<OpenPositions, PositionsError>;
}

/// A file that is open for reading. It may have been renamed or removed since.
pub(in crate::components) trait OpenFile: Debug + Send {
    /// Returns the file's key and state.
    fn state(&self) -> io::Result<State>;

    /// Reads `bytes` bytes from `position` on, fewer only at the end of the file, and replaces the buffer's content. A
    /// buffer of exactly this length is overwritten in place.
    fn read(&self, position: u64, bytes: usize, buffer: &mut Vec<u8>) -> io::Result<()>;

    /// Reads with a single system call, so it may return fewer bytes than the buffer holds.
    fn read_into(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Opens the same file a second time.
    fn again(&self) -> io::Result<Box<dyn OpenFile>>;
}

/// Finds the files with these keys among the paths, each once. Paths whose state can't be read are left out.
fn found_among(
    file_system: &dyn FileSystem,
    paths: Vec<PathBuf>,
    keys: &HashSet<Key>,
) -> Vec<(Key, PathBuf)> {
    let mut found: HashMap<Key, PathBuf> = HashMap::new();
    for path in paths {
        if let Ok(State { key, .. }) = file_system.state(&path)
            && keys.contains(&key)
        {
            found.insert(key, path);
        }
    }
    found.into_iter().collect()
}

/// The file system of this machine.
#[derive(Debug)]
pub(in crate::components) struct LocalFileSystem;

impl FileSystem for LocalFileSystem {
    fn executor(&self) -> BlockingExecutor {
        BlockingExecutor::Threads
    }

    fn walk(&self, patterns: &Patterns, seen: &mut Scan) {
        Walk::new(patterns, seen).run();
    }

    fn watcher(&self, component: Arc<str>, patterns: Arc<Patterns>) -> Watcher {
        Watcher::new(component, patterns)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        // A pipe may have taken the file's place: opening it must not block.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
        if !uninterrupted(|| file.metadata())?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is no regular file"));
        }
        Ok(Box::new(file))
    }

    fn state(&self, path: &Path) -> io::Result<State> {
        Ok(State::of(&uninterrupted(|| std::fs::metadata(path))?))
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        list_directory(directory, |entry| Ok(Some(entry.file_name())))
    }

    fn find(&self, directory: &Path, keys: &HashSet<Key>) -> io::Result<Vec<(Key, PathBuf)>> {
        let inodes: HashSet<u64> = keys.iter().map(|key| key.inode).collect();
        // Only entries with a wanted inode need a `stat`.
        let inside = |entry: &DirEntry| Ok(inodes.contains(&entry.ino()).then(|| entry.path()));
        Ok(found_among(self, list_directory(directory, inside)?, keys))
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(retry_on_intr(|| renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE))?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        uninterrupted(|| std::fs::remove_file(path))
    }

    fn positions(&self, path: &Path) -> Result<OpenPositions, PositionsError> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = Directory::create(parent.unwrap_or(Path::new(".")));
        let directory =
            directory.map_err(|source| PositionsError::Directory { path: path.to_path_buf(), source })?;
        let (positions, remembered) = PositionsFile::open(directory, path)?;
        Ok((Arc::new(positions), remembered))
    }
}

impl OpenFile for File {
    fn state(&self) -> io::Result<State> {
        Ok(State::of(&uninterrupted(|| self.metadata())?))
    }

    fn read(&self, position: u64, bytes: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        if buffer.len() == bytes {
            let length = read_at(self, position, buffer)?;
            buffer.truncate(length);
            return Ok(());
        }
        // Reads into uninitialised memory, so that the buffer is not zeroed first.
        buffer.clear();
        buffer.reserve_exact(bytes);
        while buffer.len() < bytes {
            let at = position + buffer.len() as u64;
            match rustix::io::pread(self, spare_capacity(buffer), at) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The allocator may have reserved more than `bytes`.
        buffer.truncate(bytes);
        Ok(())
    }

    fn read_into(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.read_at(buffer, position))
    }

    fn again(&self) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(self.try_clone()?))
    }
}
