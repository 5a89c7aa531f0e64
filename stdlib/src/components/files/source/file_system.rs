//! The seam between the source and where its files are: this machine, or a test's memory.

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
use weir_runtime::BlockingExecutor;
use weir_runtime::storage::{Directory, list_directory, read_at, uninterrupted};

use super::discovery::Scan;
use super::identity::{Key, State};
use super::patterns::Patterns;
use super::positions::{Memory, PositionsError, PositionsFile, PositionsStore};
use super::watching::Watcher;
use walking::Walk;

#[cfg(test)]
pub(in crate::components::files) mod simulated;
mod walking;

/// Where positions are kept, and what was kept there; nothing if nothing ever was.
pub(in crate::components::files) type OpenPositions = (Arc<dyn PositionsStore>, Option<Memory>);

/// What the source needs of the machine that its files are on. Everything blocks.
///
/// It is asked once for a file, a look or a read of up to a mebibyte, never for an event.
pub(in crate::components::files) trait FileSystem: Debug + Send + Sync {
    /// Where all this is waited for.
    fn executor(&self) -> BlockingExecutor;

    /// Notes the regular files that are wanted, and the directories in which they may appear.
    fn walk(&self, patterns: &Patterns, seen: &mut Scan);

    /// Tells of what happens to what is wanted between two looks, if it can.
    fn watcher(&self, component: Arc<str>, patterns: Arc<Patterns>) -> Watcher;

    /// Opens a regular file.
    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    /// Which file is at a path, and in what state it is.
    fn state(&self, path: &Path) -> io::Result<State>;

    /// The names in a directory.
    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>>;

    /// Which of these files are in a directory, under whatever names; each once.
    fn find(&self, directory: &Path, keys: &HashSet<Key>) -> io::Result<Vec<(Key, PathBuf)>>;

    /// Gives a file another name; an error if there is such a file.
    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Takes hold of the file of positions.
    fn positions(&self, path: &Path) -> Result<OpenPositions, PositionsError>;
}

/// A file that is open for reading, under whatever name it now has.
pub(in crate::components::files) trait OpenFile: Debug + Send {
    /// Which file it is, and in what state it is.
    fn state(&self) -> io::Result<State>;

    /// Reads so many bytes from `position` on, fewer only where the file ends, in the place of what is in the
    /// buffer. One that has just so many already is used as it is.
    fn read(&self, position: u64, bytes: usize, buffer: &mut Vec<u8>) -> io::Result<()>;

    /// Reads into a buffer what one call brings.
    fn read_into(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// The same file once more.
    fn again(&self) -> io::Result<Box<dyn OpenFile>>;
}

/// Which of these files lie at some of the paths; each once. What can't be looked at is none of them.
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

/// The files of this machine.
#[derive(Debug)]
pub(in crate::components::files) struct LocalFileSystem;

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
        // Whatever has taken the place of a file meanwhile, a pipe say, does not hold up the source.
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
        // Only what may be one of them is looked at.
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
        // Into memory that was never written to.
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
        // The allocator may have given more than was asked for.
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
