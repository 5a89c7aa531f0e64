//! Complete files on a file system on which they may grow, and on which a file is its path, like HDFS.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use weir_runtime::BlockingExecutor;
use weir_runtime::storage::{Machine, SimulatedDisk};

use super::compressed::gzip;
use super::*;
use crate::components::files::source::discovery::Scan;
use crate::components::files::source::file_system::simulated::{Handle, SimulatedFileSystem};
use crate::components::files::source::file_system::{OpenFile, OpenPositions};
use crate::components::files::source::identity::{Key, State};
use crate::components::files::source::watching::Watcher;

#[derive(Debug, Clone)]
struct Growing {
    inner: SimulatedFileSystem,
    /// The paths that were free before the next scan.
    returned: Arc<Mutex<HashSet<PathBuf>>>,
}

impl FileSystem for Growing {
    fn executor(&self) -> BlockingExecutor {
        self.inner.executor()
    }

    fn complete_files_grow(&self) -> bool {
        true
    }

    fn walk(&self, patterns: &Patterns, seen: &mut Scan) {
        self.inner.walk(patterns, seen);
        let mut returned = self.returned.lock().unwrap();
        let keys = seen.files.iter().filter(|file| returned.remove(&file.path)).map(|file| file.key);
        seen.returned = keys.collect();
    }

    fn watcher(&self, component: Arc<str>, patterns: Arc<Patterns>) -> Watcher {
        self.inner.watcher(component, patterns)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.inner.open(path)
    }

    fn state(&self, path: &Path) -> io::Result<State> {
        self.inner.state(path)
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        self.inner.names(directory)
    }

    fn find(&self, directory: &Path, keys: &HashSet<Key>) -> io::Result<Vec<(Key, PathBuf)>> {
        self.inner.find(directory, keys)
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename_no_replace(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn positions(&self, path: &Path) -> Result<OpenPositions, PositionsError> {
        self.inner.positions(path)
    }
}

impl Growing {
    fn write(&self, environment: &Environment, name: &str, text: impl AsRef<[u8]>) -> Handle {
        let handle = self.inner.create(&environment.path(name));
        self.inner.append(&handle, text.as_ref());
        handle
    }
}

fn growing(after: Value) -> (Environment, Growing) {
    let (machine, disk) = (Machine::default(), SimulatedDisk::new(1, u64::MAX));
    disk.attach(&machine, "positions");
    let inner = SimulatedFileSystem::new(&machine, &disk, false);
    let file_system = Growing { inner, returned: Arc::default() };
    let environment = Environment::new(complete(after)).with_positions();
    (Environment { file_system: Arc::new(file_system.clone()), ..environment }, file_system)
}

#[tokio::test(start_paused = true)]
async fn a_file_that_grows_is_read_on_also_after_a_restart() {
    let (environment, files) = growing(variant("keep", &[]));
    let log = files.write(&environment, "a.log", "1\n2");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(2).await, ["1", "2"], "a last line needs no line end");
    files.inner.append(&log, b"\n3\n");
    assert_eq!(harness.lines(2).await, ["", "3"]);
    let environment = harness.end().await;
    let mut harness = environment.begin().await;
    files.inner.append(&log, b"4\n");
    assert_eq!(harness.lines(1).await, ["4"]);
    harness.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_compressed_file_is_no_copy_of_another_one() {
    let (environment, files) = growing(variant("keep", &[]));
    files.write(&environment, "a.log", "1\n2\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(2).await, ["1", "2"]);
    files.write(&harness.environment, "a.log.gz", gzip(b"1\n2\n"));
    assert_eq!(harness.lines(2).await, ["1", "2"]);
    harness.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_whose_path_was_free_is_a_new_one() {
    let (environment, files) = growing(variant("delete", &[]));
    files.write(&environment, "a.log", "1\n2\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(2).await, ["1", "2"]);
    harness.counted("files_delivered", 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    files.returned.lock().unwrap().insert(harness.path("a.log"));
    files.write(&harness.environment, "a.log", "1\n2\n");
    assert_eq!(harness.lines(2).await, ["1", "2"], "the same text is there again");
    harness.counted("files_delivered", 2).await;
    // A new file that begins with all that was read, after a restart as well.
    let environment = harness.end().await;
    let mut harness = environment.begin().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    files.returned.lock().unwrap().insert(harness.path("a.log"));
    files.write(&harness.environment, "a.log", "1\n2\n3\n");
    assert_eq!(harness.lines(3).await, ["1", "2", "3"]);
    harness.end().await;
}
