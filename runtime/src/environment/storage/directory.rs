//! Storage on a real directory.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, CWD, FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use thiserror::Error;

use super::{Access, LockError, Storage, list_directory, uninterrupted};

/// The most parts of one write that the system takes at once (`IOV_MAX`).
const PARTS_MAX: usize = 1024;
/// Zeros, written piece by piece on file systems that can't reserve space.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
/// The longest note of a lock's holder that is read.
const NOTE_BYTES_MAX: u64 = 4096;

/// Stands in for the note of a lock's holder whose lock file was removed.
const HOLDER_WITHOUT_FILE: &str = "another process, whose lock file is gone";

/// An open directory of this machine.
#[derive(Debug, Clone)]
pub struct Directory {
    path: Arc<Path>,
    descriptor: Arc<OwnedFd>,
}

/// A directory can't be created or opened.
#[derive(Debug, Error)]
#[error("{} {}", .what, .path.display())]
pub struct DirectoryError {
    /// What was tried, as the first words of the message.
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Directory {
    /// Opens a directory; creates it and its parents first if they are missing.
    ///
    /// # Errors
    /// When a directory of the path can't be created or opened; names this directory.
    pub fn create(path: &Path) -> Result<Directory, DirectoryError> {
        make_durably(path)?;
        Directory::open(path)
    }

    /// Opens a directory that exists.
    ///
    /// # Errors
    /// When the directory does not exist or can't be read.
    pub fn open(path: &Path) -> Result<Directory, DirectoryError> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let descriptor = retry_on_intr(|| fs::open(path, flags, Mode::empty()));
        let refused = |error: Errno| DirectoryError {
            what: "opening the directory",
            path: path.to_owned(),
            source: error.into(),
        };
        Ok(Directory { path: path.into(), descriptor: Arc::new(descriptor.map_err(refused)?) })
    }

    fn open_with(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP;
        let open = || fs::openat(&*self.descriptor, name, flags | OFlags::CLOEXEC, mode);
        Ok(retry_on_intr(open)?.into())
    }

    fn lock_file(&self, name: &str) -> Result<File, LockError> {
        let file = self.open_with(name, OFlags::RDWR | OFlags::CREATE)?;
        match try_lock(&file)? {
            true => Ok(file),
            false => Err(LockError::Held { holder: read_note(file) }),
        }
    }
}

/// Returns the note of the process that holds the lock `name` ([`Storage::lock`]), if one does. Takes and releases
/// the lock to find out; writes nothing.
///
/// # Errors
/// When the directory can't be read.
pub fn holder_of(directory: &Directory, name: &str) -> io::Result<Option<String>> {
    let holder = holder_of_name(directory, name)?;
    if holder.is_some() {
        return Ok(holder);
    }
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = retry_on_intr(|| fs::openat(&*directory.descriptor, ".", flags, Mode::empty()))?;
    let is_free = try_lock(&File::from(opened)).unwrap_or(true);
    Ok((!is_free).then(|| HOLDER_WITHOUT_FILE.to_owned()))
}

/// Returns the note of the process that holds a name ([`Storage::lock_name`]), if one does.
///
/// # Errors
/// When the lock file can't be read.
pub fn holder_of_name(directory: &Directory, name: &str) -> io::Result<Option<String>> {
    match directory.open(name, Access::Read) {
        // Some file systems can't lock a file that is open for reading: there the holder is unknown.
        Ok(file) => Ok((!try_lock(&file).unwrap_or(true)).then(|| read_note(file))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_note(file: &mut File, note: &str) -> io::Result<()> {
    uninterrupted(|| file.set_len(0))?;
    file.write_all(note.as_bytes())
}

/// Makes a directory that only its owner and group may read, and its missing parents, and makes each name durable in its
/// parent. Others may use the parents as far as the mask of the process allows: they may hold more than this directory.
fn make_durably(path: &Path) -> Result<(), DirectoryError> {
    make_all_durably(path, Mode::RWXU | Mode::RGRP | Mode::XGRP)
}

fn make_all_durably(path: &Path, mode: Mode) -> Result<(), DirectoryError> {
    let refused = |what, at: &Path, source: io::Error| DirectoryError { what, path: at.to_owned(), source };
    if uninterrupted(|| std::fs::metadata(path)).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_all_durably(parent, Mode::RWXU | Mode::RWXG | Mode::RWXO)?;
    match retry_on_intr(|| fs::mkdirat(CWD, path, mode)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(refused("making the directory", path, error.into())),
    }
    let synced = File::open(parent).and_then(|parent| parent.sync_all());
    synced.map_err(|error| refused("syncing the directory", parent, error))
}

impl Storage for Directory {
    type File = File;
    type Lock = DirectoryLock;

    fn create(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<File> {
        self.open_with(name, if access == Access::Write { OFlags::RDWR } else { OFlags::RDONLY })
    }

    fn write_at(&self, file: &File, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        let mut at = offset;
        for parts in parts.chunks(PARTS_MAX) {
            let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            let mut rest = &mut slices[..];
            IoSlice::advance_slices(&mut rest, 0);
            while !rest.is_empty() {
                match rustix::io::pwritev(file, rest, at) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        at += written as u64;
                        IoSlice::advance_slices(&mut rest, written);
                    }
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn read_at(&self, file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        read_at(file, offset, buffer)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        Ok(retry_on_intr(|| fs::fdatasync(file))?)
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        match retry_on_intr(|| fs::fallocate(file, FallocateFlags::empty(), 0, bytes)) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP) => {
                // Writing zeros reserves the space, on file systems that write in place.
                let mut at = self.length(file)?;
                while at < bytes {
                    let part = ZEROS.len().min(usize::try_from(bytes - at).unwrap_or(usize::MAX));
                    self.write_at(file, at, &[&ZEROS[..part]])?;
                    at += part as u64;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn length(&self, file: &File) -> io::Result<u64> {
        Ok(uninterrupted(|| file.metadata())?.len())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(retry_on_intr(|| fs::renameat(&*self.descriptor, from, &*self.descriptor, to))?)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        Ok(retry_on_intr(|| fs::unlinkat(&*self.descriptor, name, AtFlags::empty()))?)
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| fs::fsync(&*self.descriptor))?)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        // Weir's own file names are all UTF-8.
        list_directory(&self.path, |entry| Ok(entry.file_name().into_string().ok()))
    }

    fn lock(&self, name: &str, note: &str) -> Result<DirectoryLock, LockError> {
        let mut file = self.lock_file(name)?;
        // The lock file can be removed or replaced while the lock is held. So the directory itself is locked as well.
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = retry_on_intr(|| fs::openat(&*self.descriptor, ".", flags, Mode::empty()));
        let directory = File::from(directory.map_err(io::Error::from)?);
        let directory = match try_lock(&directory) {
            Ok(true) => Some(directory),
            Ok(false) => {
                return Err(LockError::Held { holder: HOLDER_WITHOUT_FILE.to_owned() });
            }
            // Some file systems, such as NFS, can't lock directories.
            Err(_) => None,
        };
        write_note(&mut file, note)?;
        Ok(DirectoryLock { file, _directory: directory })
    }

    fn lock_name(&self, name: &str, note: &str) -> Result<DirectoryLock, LockError> {
        let mut file = self.lock_file(name)?;
        write_note(&mut file, note)?;
        Ok(DirectoryLock { file, _directory: None })
    }

    fn still_holds(&self, lock: &DirectoryLock, name: &str) -> io::Result<bool> {
        self.is_named(&lock.file, name)
    }

    fn lock_open(&self, file: &File) -> bool {
        try_lock(file).unwrap_or(true)
    }

    fn is_named(&self, file: &File, name: &str) -> io::Result<bool> {
        let held = retry_on_intr(|| fs::fstat(file))?;
        match retry_on_intr(|| fs::statat(&*self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(found) => Ok((found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn is_reached(&self, file: &File, name: &str) -> io::Result<bool> {
        leads_to(&self.path.join(name), file)
    }

    fn is_there(&self) -> io::Result<bool> {
        leads_to(&self.path, &self.descriptor)
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

/// Returns whether a path leads to an open file or directory.
fn leads_to(path: &Path, open: impl AsFd) -> io::Result<bool> {
    let held = retry_on_intr(|| fs::fstat(&open))?;
    match retry_on_intr(|| fs::stat(path)) {
        Ok(found) => Ok((found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::STALE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A lock on a directory for this process, held until this value is dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
    /// The directory itself, if its file system can lock directories.
    _directory: Option<File>,
}

/// Locks a file for this process for as long as it is open. Returns `false` if another process holds the lock.
///
/// # Errors
/// When the system can't lock the file, as on a file system without locks.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match retry_on_intr(|| fs::flock(file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Reads the note of a lock's holder.
fn read_note(file: File) -> String {
    let mut holder = String::new();
    let mut note = file.take(NOTE_BYTES_MAX);
    match note.read_to_string(&mut holder).is_err() || holder.trim().is_empty() {
        true => "another process".to_owned(),
        false => holder.trim().to_owned(),
    }
}

/// Reads from `offset` until the buffer is full or the file ends. Returns the number of bytes read.
///
/// # Errors
/// When the disk fails.
pub fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match rustix::io::pread(file, &mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operations_work_on_a_real_directory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er");
        let storage = Directory::create(&path).unwrap();
        let file = storage.create("a").unwrap();
        assert_eq!(storage.create("a").unwrap_err().kind(), ErrorKind::AlreadyExists);
        storage.allocate(&file, 8192).unwrap();
        storage.write_at(&file, 4000, &[b"one", b"", b"two"]).unwrap();
        storage.sync(&file).unwrap();
        let mut buffer = [1; 8];
        assert_eq!(storage.read_at(&file, 4000, &mut buffer).unwrap(), 8);
        assert_eq!(&buffer, b"onetwo\0\0");
        assert_eq!(storage.read_at(&file, 8190, &mut buffer).unwrap(), 2);
        assert_eq!(storage.length(&file).unwrap(), 8192);
        storage.rename("a", "b").unwrap();
        storage.sync_directory().unwrap();
        assert_eq!(storage.list().unwrap(), ["b"]);
        storage.unlink("b").unwrap();
        assert_eq!(storage.open("b", Access::Read).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn only_the_directory_itself_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("usual")).unwrap();
        Directory::create(&folder.path().join("parent/own")).unwrap();
        let mode = |name| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("parent"), mode("usual"));
        assert_eq!(mode("parent/own"), 0o750 & mode("usual"));
    }

    #[test]
    fn a_write_of_very_many_parts_arrives_complete() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Directory::create(folder.path()).unwrap();
        let file = storage.create("a").unwrap();
        let parts: Vec<&[u8]> = vec![b"xyz"; 3000];
        storage.write_at(&file, 0, &parts).unwrap();
        assert_eq!(storage.length(&file).unwrap(), 9000);
    }

    #[test]
    fn a_refused_holder_gets_the_note_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Directory::create(folder.path()).unwrap();
        let held = storage.lock("lock", "the first").unwrap();
        let refused = Directory::open(folder.path()).unwrap().lock("lock", "the second").unwrap_err();
        assert_eq!(refused.to_string(), "it is in use by the first");
        assert_eq!(holder_of(&storage, "lock").unwrap().unwrap(), "the first");
        // Removing the lock file does not free the lock.
        storage.unlink("lock").unwrap();
        let refused = Directory::open(folder.path()).unwrap().lock("lock", "the second").unwrap_err();
        assert_eq!(refused.to_string(), "it is in use by another process, whose lock file is gone");
        assert_eq!(holder_of(&storage, "lock").unwrap().unwrap(), HOLDER_WITHOUT_FILE);
        drop(held);
        assert_eq!(holder_of(&storage, "lock").unwrap(), None);
        storage.lock("lock", "the second").unwrap();
    }

    #[test]
    fn the_holder_of_a_name_or_a_file_sees_whether_the_name_still_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Directory::create(folder.path()).unwrap();
        let held = storage.lock_name("a.lock", "the first").unwrap();
        assert!(storage.still_holds(&held, "a.lock").unwrap());
        storage.unlink("a.lock").unwrap();
        assert!(!storage.still_holds(&held, "a.lock").unwrap());
        let second = storage.lock_name("a.lock", "the second").unwrap();
        assert!(!storage.still_holds(&held, "a.lock").unwrap());
        assert!(storage.still_holds(&second, "a.lock").unwrap());
        let file = storage.create("a").unwrap();
        assert!(storage.lock_open(&file));
        let again = storage.open("a", Access::Read).unwrap();
        assert!(!storage.lock_open(&again));
        storage.rename("a", "b").unwrap();
        assert!(storage.is_named(&file, "b").unwrap() && !storage.is_named(&file, "a").unwrap());
        drop(file);
        assert!(storage.lock_open(&again));
    }

    #[test]
    fn it_is_seen_whether_a_path_still_leads_to_the_open_directory() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join("a"), folder.path().join("b"));
        let storage = Directory::create(&path).unwrap();
        let file = storage.create("log").unwrap();
        let reached = || (storage.is_there().unwrap(), storage.is_reached(&file, "log").unwrap());
        assert_eq!(reached(), (true, true));
        std::fs::rename(&path, &elsewhere).unwrap();
        assert_eq!(reached(), (false, false));
        Directory::create(&path).unwrap().create("log").unwrap();
        assert_eq!(reached(), (false, false), "another one in its place");
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::rename(&elsewhere, &path).unwrap();
        assert_eq!(reached(), (true, true));
        std::fs::remove_file(path.join("log")).unwrap();
        assert_eq!(reached(), (true, false));
    }
}
