//! Files in memory, in virtual time: what is done to them at once, no look of the source sees by halves.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use weir_runtime::storage::{Machine, SimulatedDisk};

use super::packed::gzip;
use super::*;
use crate::components::files::source::file_system::simulated::{Handle, SimulatedFileSystem};

/// A folder in memory.
struct Folder {
    file_system: SimulatedFileSystem,
    path: PathBuf,
}

/// A source over such a folder, which keeps positions.
fn in_memory() -> (Setting, Folder) {
    let (machine, disk) = (Machine::default(), SimulatedDisk::new(1, u64::MAX));
    disk.attach(&machine, "positions");
    let file_system = SimulatedFileSystem::new(&machine, &disk, false);
    let setting = Setting::new(follow("beginning")).with_positions();
    let path = setting.folder.path().to_path_buf();
    (Setting { file_system: Arc::new(file_system.clone()), ..setting }, Folder { file_system, path })
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

    /// Has all calls but those of looks fail with this error, for as long as the value that it gives back is true.
    fn fail_with(&self, number: i32) -> Arc<AtomicBool> {
        let fails = Arc::new(AtomicBool::new(true));
        let failing = fails.clone();
        self.file_system.trouble_by(Some(Arc::new(move |call| {
            let fails = call != "Look" && failing.load(Ordering::Relaxed);
            fails.then(|| std::io::Error::from_raw_os_error(number))
        })));
        fails
    }

    /// Sees that nothing comes but what is written now.
    async fn has_nothing_more(&self, trial: &mut Trial) {
        for name in ["first.log", "second.log"] {
            tokio::time::sleep(Duration::from_secs(2)).await;
            self.write(name, format!("{name}\n"));
            assert_eq!(trial.lines(1).await, [name]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_whose_original_was_rewritten_unnoticed_is_not_read_again() {
    let (setting, folder) = in_memory();
    // Its name has it looked into behind its copy, as where its inode was used again for a packed file.
    let log = folder.write("b.log.gz", "1\n2\n");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(2).await, ["1", "2"]);
    folder.write("a.log.gz", gzip(b"1\n2\n3\n"));
    folder.rewrite(&log, "other\n");
    let mut lines = trial.lines(2).await;
    lines.sort();
    assert_eq!(lines, ["3", "other"]);
    folder.has_nothing_more(&mut trial).await;
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_known_although_reading_its_original_failed_until_it_had_gone() {
    let (setting, folder) = in_memory();
    let log = folder.write("a.log", "1\n2\n");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(2).await, ["1", "2"]);
    let setting = trial.end().await;
    let mut trial = setting.begin().await;
    folder.has_nothing_more(&mut trial).await;
    // It is at rest since the start, grows, can't be opened, and goes.
    let fails = folder.fail_with(24);
    folder.file_system.append(&log, b"3\n");
    trial.counted("files_not_read_for_an_outage", 1).await;
    fails.store(false, Ordering::Relaxed);
    folder.unlink("a.log");
    folder.write("a.log.gz", gzip(b"1\n2\n3\n"));
    assert_eq!(trial.lines(1).await, ["3"]);
    folder.has_nothing_more(&mut trial).await;
    folder.file_system.trouble_by(None);
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_last_line_comes_whole_from_the_copy_of_a_log_that_was_rewritten_before_its_end_was_read() {
    // The copy is noticed together with that, or by a later look; and it may be renamed while one goes by.
    for milliseconds in [0, 11, 21] {
        let (setting, folder) = in_memory();
        let log = folder.write("a.log", "1\nhalf");
        let mut trial = setting.begin().await;
        assert_eq!(trial.lines(1).await, ["1"]);
        if milliseconds > 0 {
            folder.rewrite(&log, "other\n");
            // Past the look that sees this, or the one behind it.
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        }
        folder.write("a.log.1.gz", gzip(b"1\nhalf a line\n"));
        if milliseconds == 0 {
            folder.rewrite(&log, "other\n");
        }
        let mut lines = trial.lines(2).await;
        lines.sort();
        assert_eq!(lines, ["half a line", "other"]);
        folder.has_nothing_more(&mut trial).await;
        trial.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_last_line_comes_whole_from_the_copy_of_a_log_that_was_closed_and_has_gone() {
    let (setting, folder) = in_memory();
    let log = folder.write("a.log", "1\nhalf");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["1"]);
    // What can't be read is closed.
    let fails = folder.fail_with(5);
    folder.file_system.append(&log, b" a line\n");
    trial.counted("files_set_aside", 1).await;
    fails.store(false, Ordering::Relaxed);
    folder.unlink("a.log");
    folder.write("a.log.1.gz", gzip(b"1\nhalf a line\n"));
    // Its writer may go on for a minute.
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(trial.lines(1).await, ["half a line"]);
    folder.has_nothing_more(&mut trial).await;
    folder.file_system.trouble_by(None);
    trial.end().await;
}
