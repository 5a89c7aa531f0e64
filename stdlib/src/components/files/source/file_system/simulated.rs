//! A file system in memory, in virtual time, whose files a test changes while the source reads them.
//!
//! A free inode number is reused, the lowest first, once no file with it is open. Modification times are as coarse as
//! on real file systems. Before each call of the source, a test may change files or make the call fail.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::time::Instant;
use weir_runtime::BlockingExecutor;
use weir_runtime::storage::{Machine, Moment, SimulatedDisk, StepOutcome};

use super::{FileSystem, OpenFile, OpenPositions, found_among};
use crate::components::files::source::discovery::{Directory, FoundFile, Scan};
use crate::components::files::source::identity::{Key, Stamp, State};
use crate::components::files::source::patterns::Patterns;
use crate::components::files::source::positions::{PositionsError, PositionsFile};
use crate::components::files::source::watching::Watcher;

/// The resolution of modification times.
const TICK: Duration = Duration::from_millis(4);
/// All files are on one device.
const DEVICE: u64 = 0xfe01;

/// A file, for as long as it has a name or is open.
pub(in crate::components::files) type Handle = Arc<Mutex<Inode>>;

/// The content and the metadata of a file.
#[derive(Debug)]
pub(in crate::components::files) struct Inode {
    key: Key,
    modified: Duration,
    bytes: Vec<u8>,
}

/// A callback that runs before each call of the source.
pub(in crate::components::files) type Interruption = Arc<dyn Fn() + Send + Sync>;

/// A callback that may make a call of the source fail: it gets the kind of the call and returns the error.
pub(in crate::components::files) type Trouble = Arc<dyn Fn(&str) -> Option<io::Error> + Send + Sync>;

/// A set of files, and a disk for positions. Clones share the files.
#[derive(Clone)]
pub(in crate::components::files) struct SimulatedFileSystem {
    files: Arc<Mutex<Files>>,
    interruption: Arc<Mutex<Option<Interruption>>>,
    trouble: Arc<Mutex<Option<Trouble>>>,
    positions: SimulatedDisk,
    machine: Machine,
}

struct Files {
    begin: Instant,
    /// Whether the file system records birth times.
    births: bool,
    names: BTreeMap<PathBuf, Handle>,
    /// Indexed by inode number.
    inodes: Vec<Weak<Mutex<Inode>>>,
    made: u64,
}

impl fmt::Debug for SimulatedFileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().names.keys()).finish()
    }
}

fn lock(handle: &Handle) -> MutexGuard<'_, Inode> {
    handle.lock().unwrap()
}

fn missing() -> io::Error {
    ErrorKind::NotFound.into()
}

impl Inode {
    fn state(&self) -> State {
        let stamp = Stamp { length: self.bytes.len() as u64, modified: self.modified.as_nanos() as i128 };
        State { key: self.key, stamp }
    }

    /// Returns the file's content.
    pub(in crate::components::files) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Files {
    fn now(&self) -> Duration {
        // A date in 2023 instead of the epoch, as on real machines.
        let now = Duration::from_secs(1_700_000_000) + self.begin.elapsed();
        Duration::from_nanos_u128(now.as_nanos() / TICK.as_nanos() * TICK.as_nanos())
    }

    fn create(&mut self, path: &Path) -> Handle {
        let free = self.inodes.iter().position(|inode| inode.strong_count() == 0);
        let number = free.unwrap_or(self.inodes.len());
        self.made += 1;
        let birth = if self.births { self.begin.elapsed().as_nanos() as u64 + self.made } else { 0 };
        let key = Key { device: DEVICE, inode: number as u64, birth };
        let handle = Arc::new(Mutex::new(Inode { key, modified: self.now(), bytes: Vec::new() }));
        match self.inodes.get_mut(number) {
            Some(entry) => *entry = Arc::downgrade(&handle),
            None => self.inodes.push(Arc::downgrade(&handle)),
        }
        self.names.insert(path.to_path_buf(), handle.clone());
        handle
    }
}

impl SimulatedFileSystem {
    /// Creates a file system without files. Positions are kept on the given disk.
    pub(in crate::components::files) fn new(
        machine: &Machine,
        positions: &SimulatedDisk,
        births: bool,
    ) -> SimulatedFileSystem {
        let (names, inodes) = (BTreeMap::new(), Vec::new());
        let files = Files { begin: Instant::now(), births, names, inodes, made: 0 };
        SimulatedFileSystem {
            files: Arc::new(Mutex::new(files)),
            interruption: Arc::default(),
            trouble: Arc::default(),
            positions: positions.clone(),
            machine: machine.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap()
    }

    /// Runs the callback before each call of the source.
    pub(in crate::components::files) fn interrupt_by(&self, interruption: Option<Interruption>) {
        *self.interruption.lock().unwrap() = interruption;
    }

    /// Lets the callback fail calls of the source.
    pub(in crate::components::files) fn trouble_by(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap() = trouble;
    }

    /// Runs the callbacks at the beginning of a call of the source.
    fn begin(&self, call: &str) -> io::Result<()> {
        self.interrupt();
        let trouble = self.trouble.lock().unwrap().clone();
        trouble.and_then(|trouble| trouble(call)).map_or(Ok(()), Err)
    }

    fn interrupt(&self) {
        let interruption = self.interruption.lock().unwrap().clone();
        if let Some(interruption) = interruption {
            interruption();
        }
    }

    /// Creates an empty file; replaces an existing one.
    pub(in crate::components::files) fn create(&self, path: &Path) -> Handle {
        self.lock().create(path)
    }

    /// Appends to a file, whatever its name is now.
    pub(in crate::components::files) fn append(&self, handle: &Handle, text: &[u8]) {
        let now = self.lock().now();
        let mut inode = lock(handle);
        inode.bytes.extend_from_slice(text);
        inode.modified = now;
    }

    /// Returns the paths of all files.
    pub(in crate::components::files) fn paths(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    /// Truncates a file to length 0.
    pub(in crate::components::files) fn truncate(&self, handle: &Handle) {
        let now = self.lock().now();
        let mut inode = lock(handle);
        inode.bytes.clear();
        inode.modified = now;
    }

    /// Renames a file and replaces an existing one; does nothing if there is no file at `from`.
    pub(in crate::components::files) fn rename(&self, from: &Path, to: &Path) {
        let mut files = self.lock();
        if let Some(handle) = files.names.remove(from) {
            files.names.insert(to.to_path_buf(), handle);
        }
    }

    /// Removes a name, and returns its file.
    pub(in crate::components::files) fn unlink(&self, path: &Path) -> Option<Handle> {
        self.lock().names.remove(path)
    }

    fn act(&self, what: &str, act: impl FnOnce(&mut Files) -> io::Result<()>) -> io::Result<()> {
        self.begin(what)?;
        let step = self.machine.step("source", what, "file", true);
        if matches!(step, StepOutcome::Down | StepOutcome::Stops(Moment::Before)) {
            return Err(io::Error::other("the machine is down"));
        }
        act(&mut self.lock())
    }
}

impl FileSystem for SimulatedFileSystem {
    fn executor(&self) -> BlockingExecutor {
        BlockingExecutor::Inline
    }

    fn walk(&self, patterns: &Patterns, seen: &mut Scan) {
        let paths: Vec<PathBuf> = self.lock().names.keys().cloned().collect();
        let parents: BTreeSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
        for directory in &parents {
            if let Err(error) = self.begin("Look") {
                seen.note(directory, &error, true);
            }
        }
        let directory = |path: &Path| Directory { path: path.to_path_buf(), device: DEVICE, inode: 0 };
        seen.directories.extend(parents.into_iter().map(directory));
        for path in paths.into_iter().filter(|path| patterns.match_path(path).file) {
            if seen.is_unknown(&path) {
                continue;
            }
            // The test may change files between two entries, as in a real directory.
            if let Err(error) = self.begin("Look") {
                seen.note(&path, &error, true);
                continue;
            }
            let files = self.lock();
            let Some(handle) = files.names.get(&path) else { continue };
            let State { key, stamp } = lock(handle).state();
            seen.files.push(FoundFile { path, key, stamp });
        }
    }

    fn watcher(&self, component: Arc<str>, patterns: Arc<Patterns>) -> Watcher {
        Watcher::disabled(component, patterns)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.begin("Open")?;
        let handle = self.lock().names.get(path).cloned().ok_or_else(missing)?;
        Ok(Box::new(SimulatedFile { handle, file_system: self.clone() }))
    }

    fn state(&self, path: &Path) -> io::Result<State> {
        self.begin("State")?;
        let files = self.lock();
        let handle = files.names.get(path).ok_or_else(missing)?;
        Ok(lock(handle).state())
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        self.begin("List")?;
        let files = self.lock();
        let inside = files.names.keys().filter(|path| path.parent() == Some(directory));
        Ok(inside.filter_map(|path| path.file_name().map(OsString::from)).collect())
    }

    fn find(&self, directory: &Path, keys: &HashSet<Key>) -> io::Result<Vec<(Key, PathBuf)>> {
        let names = self.names(directory)?;
        Ok(found_among(self, names.into_iter().map(|name| directory.join(name)).collect(), keys))
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act("Rename", |files| {
            if files.names.contains_key(to) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let handle = files.names.remove(from).ok_or_else(missing)?;
            files.names.insert(to.to_path_buf(), handle);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.act("Remove", |files| files.names.remove(path).map(drop).ok_or_else(missing))
    }

    fn positions(&self, path: &Path) -> Result<OpenPositions, PositionsError> {
        let (positions, remembered) = PositionsFile::open(self.positions.clone(), path)?;
        Ok((Arc::new(positions), remembered))
    }
}

/// An open file.
#[derive(Debug)]
struct SimulatedFile {
    handle: Handle,
    file_system: SimulatedFileSystem,
}

impl OpenFile for SimulatedFile {
    fn state(&self) -> io::Result<State> {
        self.file_system.begin("State")?;
        Ok(lock(&self.handle).state())
    }

    fn read(&self, position: u64, bytes: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.file_system.begin("Read")?;
        let inode = lock(&self.handle);
        let begin = (position as usize).min(inode.bytes.len());
        let end = begin.saturating_add(bytes).min(inode.bytes.len());
        buffer.clear();
        buffer.extend_from_slice(&inode.bytes[begin..end]);
        Ok(())
    }

    fn read_into(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = Vec::new();
        self.read(position, buffer.len(), &mut bytes)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn again(&self) -> io::Result<Box<dyn OpenFile>> {
        self.file_system.begin("Open")?;
        Ok(Box::new(SimulatedFile { handle: self.handle.clone(), file_system: self.file_system.clone() }))
    }
}
