//! Files in memory, in virtual time: a scan never sees only a part of the changes that a test makes in one step.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use weir_runtime::storage::{Machine, SimulatedDisk};

use super::compressed::gzip;
use super::*;
use crate::components::files::source::file_system::simulated::{Handle, SimulatedFileSystem};

/// A directory in the simulated file system.
struct Folder {
    file_system: SimulatedFileSystem,
    path: PathBuf,
}

/// Returns a source on such a directory, with a file of positions.
fn in_memory() -> (Environment, Folder) {
    let (machine, disk) = (Machine::default(), SimulatedDisk::new(1, u64::MAX));
    disk.attach(&machine, "positions");
    let file_system = SimulatedFileSystem::new(&machine, &disk, false);
    let environment = Environment::new(follow("beginning")).with_positions();
    let path = environment.folder.path().to_path_buf();
    (Environment { file_system: Arc::new(file_system.clone()), ..environment }, Folder { file_system, path })
}

impl Folder {
    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Handle {
        let handle = self.file_system.create(&self.path.join(name));
        self.file_system.append(&handle, text.as_ref());
        handle
    }

    fn rewrite(&self, handle: &Handle, text: &str) {
        self.file_system.truncate(handle);
        self.file_system.append(handle, text.as_bytes());
    }

    fn unlink(&self, name: &str) {
        self.file_system.unlink(Path::new(&self.path.join(name)));
    }

    /// Makes all calls except those of scans fail with this error, as long as the returned flag is true.
    fn fail_with(&self, number: i32) -> Arc<AtomicBool> {
        let fails = Arc::new(AtomicBool::new(true));
        let failing = fails.clone();
        self.file_system.trouble_by(Some(Arc::new(move |call| {
            let fails = call != "Look" && failing.load(Ordering::Relaxed);
            fails.then(|| std::io::Error::from_raw_os_error(number))
        })));
        fails
    }

    /// Checks that the source emits no lines but those that are written now.
    async fn has_nothing_more(&self, harness: &mut Harness) {
        for name in ["first.log", "second.log"] {
            tokio::time::sleep(Duration::from_secs(2)).await;
            self.write(name, format!("{name}\n"));
            assert_eq!(harness.lines(1).await, [name]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_whose_original_was_rewritten_unnoticed_is_not_read_again() {
    let (environment, folder) = in_memory();
    // The name ends in `.gz`, so that the file is identified after its copy.
    let log = folder.write("b.log.gz", "1\n2\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(2).await, ["1", "2"]);
    folder.write("a.log.gz", gzip(b"1\n2\n3\n"));
    folder.rewrite(&log, "other\n");
    let mut lines = harness.lines(2).await;
    lines.sort();
    assert_eq!(lines, ["3", "other"]);
    folder.has_nothing_more(&mut harness).await;
    harness.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_known_although_reading_its_original_failed_until_it_had_gone() {
    let (environment, folder) = in_memory();
    let log = folder.write("a.log", "1\n2\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(2).await, ["1", "2"]);
    let environment = harness.end().await;
    let mut harness = environment.begin().await;
    folder.has_nothing_more(&mut harness).await;
    // The file was not opened since the start; it grows, can't be opened, and is removed.
    let fails = folder.fail_with(24);
    folder.file_system.append(&log, b"3\n");
    harness.counted("files_not_read_for_an_outage", 1).await;
    fails.store(false, Ordering::Relaxed);
    folder.unlink("a.log");
    folder.write("a.log.gz", gzip(b"1\n2\n3\n"));
    assert_eq!(harness.lines(1).await, ["3"]);
    folder.has_nothing_more(&mut harness).await;
    folder.file_system.trouble_by(None);
    harness.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_last_line_comes_whole_from_the_copy_of_a_log_that_was_rewritten_before_its_end_was_read() {
    // The same scan finds the rewritten log and the copy, or a later scan finds the copy.
    for milliseconds in [0, 11, 21] {
        let (environment, folder) = in_memory();
        let log = folder.write("a.log", "1\nhalf");
        let mut harness = environment.begin().await;
        assert_eq!(harness.lines(1).await, ["1"]);
        if milliseconds > 0 {
            // The length changes, so that a scan sees it although the time of the file is as coarse as on a disk.
            folder.rewrite(&log, "another line\n");
            // Waits for the scan that sees the rewritten log, or for the next one.
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        }
        folder.write("a.log.1.gz", gzip(b"1\nhalf a line\n"));
        if milliseconds == 0 {
            folder.rewrite(&log, "another line\n");
        }
        let mut lines = harness.lines(2).await;
        lines.sort();
        assert_eq!(lines, ["another line", "half a line"]);
        folder.has_nothing_more(&mut harness).await;
        harness.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_last_line_comes_whole_from_the_copy_of_a_log_that_was_closed_and_has_gone() {
    let (environment, folder) = in_memory();
    let log = folder.write("a.log", "1\nhalf");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["1"]);
    // A file that can't be read is closed.
    let fails = folder.fail_with(5);
    folder.file_system.append(&log, b" a line\n");
    harness.counted("files_set_aside", 1).await;
    fails.store(false, Ordering::Relaxed);
    folder.unlink("a.log");
    folder.write("a.log.1.gz", gzip(b"1\nhalf a line\n"));
    // The partial line waits for a minute, since the writer may continue.
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(harness.lines(1).await, ["half a line"]);
    folder.has_nothing_more(&mut harness).await;
    folder.file_system.trouble_by(None);
    harness.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_first_line_comes_whole_from_the_copy_of_a_log_of_which_nothing_was_put() {
    for stopped in [false, true] {
        let (environment, folder) = in_memory();
        let log = folder.write("a.log", "half");
        let mut harness = environment.begin().await;
        folder.has_nothing_more(&mut harness).await;
        // A file that can't be read is closed.
        let fails = folder.fail_with(5);
        folder.file_system.append(&log, b" a line\n");
        harness.counted("files_set_aside", 1).await;
        fails.store(false, Ordering::Relaxed);
        folder.unlink("a.log");
        folder.write("a.log.1.gz", gzip(b"half a line\n"));
        assert_eq!(harness.lines(1).await, ["half a line"]);
        if stopped {
            assert_eq!(gone::stopped(harness).await, [] as [&str; 0]);
        } else {
            // The partial line waits for a minute, since the writer may continue.
            tokio::time::sleep(Duration::from_secs(61)).await;
            folder.has_nothing_more(&mut harness).await;
            harness.end().await;
        }
        folder.file_system.trouble_by(None);
    }
}
