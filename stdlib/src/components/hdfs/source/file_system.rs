//! HDFS as the source of complete files sees it.
//!
//! A directory is listed once for each scan, and no file is asked for alone before it is opened. HDFS has no identity of
//! files that the client knows, so a file is its path; what was read of it shows whether it is still the same.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdfs_native::HdfsError as ClientError;
use hdfs_native::client::FileStatus;
use hdfs_native::file::FileReader;
use tokio::runtime::Handle;
use weir_runtime::{BlockingExecutor, ConnectFailure, Failure};
use xxhash_rust::xxh3::xxh3_64;

use super::connecting::connect;
use super::settling::{Settling, Sighting};
use crate::components::files::source::seam::{
    After, Directory, FileSystem, FoundFile, Key, LocalFileSystem, OpenFile, OpenPositions, PartialMatches,
    Patterns, PositionsError, Scan, Stamp, State, Watcher, key_of_hidden,
};
use crate::components::hdfs::connection::{
    CALL_TIMEOUT, Hdfs, HdfsError, Servers, WRITE_TIMEOUT, unless_missing,
};

/// Stands in for the device in the keys of files on HDFS: "hdfs".
const DEVICE: u64 = 0x6864_6673;

const NANOS_PER_MILLI: i128 = 1_000_000;

/// An HDFS, and what the scans have found in it.
pub(super) struct HdfsFileSystem {
    hdfs: Arc<Hdfs>,
    url: String,
    settling: Mutex<Settling>,
}

impl fmt::Debug for HdfsFileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// A directory that is still to be visited.
struct Visit {
    path: PathBuf,
    partial: PartialMatches,
    /// Whether a pattern begins here: if it is missing, that is reported.
    is_root: bool,
}

impl HdfsFileSystem {
    pub(super) fn new(hdfs: Hdfs, settle: Duration) -> HdfsFileSystem {
        let url = hdfs.connection.url.clone();
        HdfsFileSystem { hdfs: Arc::new(hdfs), url, settling: Mutex::new(Settling::new(settle)) }
    }

    fn settling(&self) -> MutexGuard<'_, Settling> {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self, path: &Path) -> io::Result<FileStatus> {
        let status = block_on(self.hdfs.status(&text(path)?)).map_err(io_error)?;
        status.ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Lists a directory; nothing if it does not exist.
    fn list(&self, directory: &Path) -> io::Result<Option<Vec<FileStatus>>> {
        let path = text(directory)?;
        let list = async {
            let client = self.hdfs.client()?;
            self.hdfs.answer(Servers::NameNode, CALL_TIMEOUT, client.list_status(&path, false)).await
        };
        unless_missing(block_on(list)).map_err(io_error)
    }

    /// Visits a directory. Returns whether it could be read.
    fn visit(&self, visit: &Visit, patterns: &Patterns, seen: &mut Scan, open: &mut Vec<Visit>) -> bool {
        let (path, device, inode) = (visit.path.clone(), DEVICE, path_hash(&visit.path));
        seen.directories.push(Directory { path, device, inode });
        if patterns.needs_listing(&visit.partial) {
            let entries = match self.list(&visit.path) {
                Ok(entries) => entries,
                Err(error) => {
                    seen.note(&visit.path, &error, true);
                    return false;
                }
            };
            if entries.is_none() && visit.is_root {
                seen.note(&visit.path, &"it does not exist", false);
            }
            for status in entries.into_iter().flatten() {
                let name = status.path.rsplit('/').next().unwrap_or_default().to_string();
                self.note(visit, &name, &status, patterns, seen, open);
            }
            return true;
        }
        let mut is_read = true;
        for name in patterns.literal_names(&visit.partial) {
            let path = visit.path.join(name);
            match self.status(&path) {
                Ok(status) => self.note(visit, &name.to_string_lossy(), &status, patterns, seen, open),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if visit.is_root {
                        seen.note(&path, &"it does not exist", false);
                    }
                }
                Err(error) => {
                    seen.note(&path, &error, true);
                    is_read = false;
                }
            }
        }
        is_read
    }

    /// Notes what a directory has under a name.
    fn note(
        &self,
        visit: &Visit,
        name: &str,
        status: &FileStatus,
        patterns: &Patterns,
        seen: &mut Scan,
        open: &mut Vec<Visit>,
    ) {
        // By Hadoop's convention: `_SUCCESS`, `_temporary`.
        if name.starts_with('_') {
            return;
        }
        let (path, matched) = (visit.path.join(name), patterns.match_name(&visit.partial, name.as_ref()));
        if status.isdir {
            if !matched.below.is_empty() {
                open.push(Visit { path, partial: matched.below, is_root: false });
            }
        } else if matched.unfinished {
            seen.note_unfinished(path);
        } else if matched.file && status.length > 0 {
            let stamp = stamp_of(status);
            let block_bytes = status.blocksize.unwrap_or(0);
            let sighting = self.settling().see(&path, stamp, block_bytes, Instant::now());
            match sighting {
                // It exists, so what is known of it is kept.
                Sighting::Unsettled => {
                    seen.unscanned.insert(path);
                    seen.unsettled += 1;
                }
                Sighting::Settled { stamp, returned } => {
                    let key = key_of(&path);
                    if returned {
                        seen.returned.insert(key);
                    }
                    seen.files.push(FoundFile { path, key, stamp });
                }
            }
        }
    }

    /// Opens a file that is complete. An open file is known by its last block, which the client leaves out.
    fn open_settled(&self, path: &Path) -> io::Result<HdfsOpenFile> {
        let busy = |what| io::Error::new(ErrorKind::ResourceBusy, what);
        let Some(settled) = self.settling().settled(path) else {
            return Err(busy("it may still be written to"));
        };
        let name = text(path)?;
        let opened = block_on(async {
            let status = self.hdfs.status(&name).await?;
            let client = self.hdfs.client()?;
            let reader = self.hdfs.answer(Servers::NameNode, CALL_TIMEOUT, client.read(&name)).await?;
            Ok::<_, HdfsError>((status, reader))
        });
        let (status, reader) = opened.map_err(io_error)?;
        let status = status.ok_or(ErrorKind::NotFound)?;
        if stamp_of(&status) != settled {
            return Err(busy("it has changed since the last scan"));
        }
        if reader.file_length() as u64 != settled.length {
            self.settling().unsettle(path, Instant::now());
            return Err(busy("it is still being written"));
        }
        let state = State { key: key_of(path), stamp: settled };
        Ok(HdfsOpenFile { hdfs: self.hdfs.clone(), reader: Arc::new(reader), state })
    }
}

impl FileSystem for HdfsFileSystem {
    fn executor(&self) -> BlockingExecutor {
        BlockingExecutor::Threads
    }

    fn complete_files_grow(&self) -> bool {
        true
    }

    fn place(&self) -> &str {
        &self.url
    }

    fn probe(&self) -> Option<Failure> {
        block_on(self.hdfs.login_failure())
    }

    fn connect(&self, patterns: &Patterns, after: &After) -> Vec<ConnectFailure> {
        block_on(connect(&self.hdfs, patterns, after))
    }

    fn walk(&self, patterns: &Patterns, seen: &mut Scan) {
        self.settling().begin();
        seen.all_watchable = false;
        let roots = patterns.roots().into_iter();
        let mut open: Vec<Visit> =
            roots.map(|(path, partial)| Visit { path, partial, is_root: true }).collect();
        let mut complete = true;
        while let Some(visit) = open.pop() {
            complete &= self.visit(&visit, patterns, seen, &mut open);
        }
        self.settling().end(complete);
    }

    fn watcher(&self, component: Arc<str>, patterns: Arc<Patterns>) -> Watcher {
        Watcher::disabled(component, patterns)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(self.open_settled(path)?))
    }

    fn state(&self, path: &Path) -> io::Result<State> {
        Ok(State { key: key_of(path), stamp: stamp_of(&self.status(path)?) })
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let listed = self.list(directory)?.ok_or(ErrorKind::NotFound)?;
        Ok(listed.iter().filter_map(|status| status.path.rsplit('/').next()).map(OsString::from).collect())
    }

    /// Finds nothing: a file under another name is another file.
    fn find(&self, _directory: &Path, _keys: &HashSet<Key>) -> io::Result<Vec<(Key, PathBuf)>> {
        Ok(Vec::new())
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_text, to_text) = (text(from)?, text(to)?);
        let renamed = block_on(async {
            let client = self.hdfs.client()?;
            let rename = client.rename(&from_text, &to_text, false);
            self.hdfs.answer(Servers::NameNode, CALL_TIMEOUT, rename).await
        });
        renamed.map_err(io_error)?;
        self.settling().forget(from);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let name = text(path)?;
        let removed = block_on(async {
            let client = self.hdfs.client()?;
            self.hdfs.answer(Servers::NameNode, CALL_TIMEOUT, client.delete(&name, false)).await
        });
        removed.map(drop).map_err(io_error)
    }

    fn positions(&self, path: &Path) -> Result<OpenPositions, PositionsError> {
        LocalFileSystem.positions(path)
    }
}

/// A complete file that is open for reading, with the length that it had then.
struct HdfsOpenFile {
    hdfs: Arc<Hdfs>,
    reader: Arc<FileReader>,
    state: State,
}

impl fmt::Debug for HdfsOpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.state)
    }
}

impl HdfsOpenFile {
    /// Reads so many bytes, fewer only at the end of the file.
    fn range(&self, position: u64, bytes: usize) -> io::Result<Bytes> {
        let length = self.reader.file_length();
        let begin = usize::try_from(position).map_or(length, |position| position.min(length));
        let bytes = bytes.min(length - begin);
        if bytes == 0 {
            return Ok(Bytes::new());
        }
        let read = self.hdfs.answer(Servers::DataNodes, WRITE_TIMEOUT, self.reader.read_range(begin, bytes));
        let read = block_on(read).map_err(io_error)?;
        self.hdfs.works(Servers::DataNodes);
        if read.len() != bytes {
            let what = format!("{} of {bytes} bytes at {begin} could be read", read.len());
            return Err(io::Error::new(ErrorKind::TimedOut, what));
        }
        Ok(read)
    }
}

impl OpenFile for HdfsOpenFile {
    fn state(&self) -> io::Result<State> {
        Ok(self.state)
    }

    fn read(&self, position: u64, bytes: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let read = self.range(position, bytes)?;
        buffer.clear();
        buffer.extend_from_slice(&read);
        Ok(())
    }

    fn read_into(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.range(position, buffer.len())?;
        buffer[..read.len()].copy_from_slice(&read);
        Ok(read.len())
    }

    fn again(&self) -> io::Result<Box<dyn OpenFile>> {
        let (hdfs, reader, state) = (self.hdfs.clone(), self.reader.clone(), self.state);
        Ok(Box::new(HdfsOpenFile { hdfs, reader, state }))
    }
}

/// Waits for calls of the client on a thread for blocking calls.
fn block_on<T>(calls: impl Future<Output = T>) -> T {
    Handle::current().block_on(calls)
}

fn text(path: &Path) -> io::Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "its name is no UTF-8, as HDFS requires"))
}

fn path_hash(path: &Path) -> u64 {
    xxh3_64(path.as_os_str().as_encoded_bytes())
}

/// The key of the file at a path. A file that is being renamed or removed keeps its key.
fn key_of(path: &Path) -> Key {
    key_of_hidden(path).unwrap_or_else(|| Key { device: DEVICE, inode: path_hash(path), birth: 0 })
}

fn stamp_of(status: &FileStatus) -> Stamp {
    let modified = i128::from(status.modification_time) * NANOS_PER_MILLI;
    Stamp { length: status.length as u64, modified }
}

/// The error as one of a file system. What is not known to need somebody's help counts as an outage, which passes.
fn io_error(error: HdfsError) -> io::Error {
    let kind = match &error {
        HdfsError::Client(ClientError::FileNotFound(_)) => ErrorKind::NotFound,
        HdfsError::Client(ClientError::AlreadyExists(_)) => ErrorKind::AlreadyExists,
        HdfsError::Client(ClientError::RPCError(class, _)) => match class.rsplit('.').next() {
            Some("FileNotFoundException") => ErrorKind::NotFound,
            Some("FileAlreadyExistsException") => ErrorKind::AlreadyExists,
            Some("AccessControlException") => ErrorKind::PermissionDenied,
            _ => ErrorKind::TimedOut,
        },
        _ => ErrorKind::TimedOut,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_being_put_away_keeps_its_key() {
        let path = Path::new("/in/a.log");
        let key = key_of(path);
        let hidden = format!("/in/.a.log.{key}.12.-3.weir-away");
        assert_eq!(key_of(Path::new(&hidden)), key);
        assert_ne!(key_of(Path::new("/in/b.log")), key);
    }
}
