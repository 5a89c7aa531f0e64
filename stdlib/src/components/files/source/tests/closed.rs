//! Files that were closed for lack of descriptors, and are renamed or deleted before they are opened again. The file
//! system is simulated and has no watcher, so that only scans see changes.

use std::path::Path;

use weir_runtime::storage::{Machine, SimulatedDisk};

use super::*;
use crate::components::files::source::file_system::simulated::{Handle, SimulatedFileSystem};

const LOG: &str = "/logs/a.log";
/// The number of further files: more than there are descriptors.
const OTHERS: usize = 40;

/// Starts a source that has read one line of a file, and has closed the file to read others.
async fn closed() -> (Harness, SimulatedFileSystem, Handle) {
    closed_where_births_are_known(true).await
}

async fn closed_where_births_are_known(births: bool) -> (Harness, SimulatedFileSystem, Handle) {
    let file_system = SimulatedFileSystem::new(&Machine::default(), &SimulatedDisk::new(1, u64::MAX), births);
    let handle = file_system.create(Path::new(LOG));
    file_system.append(&handle, b"one\n");
    let mut environment = Environment::new(follow("beginning"))
        .with("paths", Value::List(vec![Value::Text("/logs/*.log".to_owned())]))
        .with("poll", Value::Duration(Duration::from_secs(1)));
    environment.descriptors = Descriptors::with_limit(20);
    environment.file_system = Arc::new(file_system.clone());
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["one"]);
    for number in 0..OTHERS {
        let other = file_system.create(Path::new(&format!("/logs/other{number:02}.log")));
        file_system.append(&other, b"other\n");
    }
    harness.lines(OTHERS).await;
    assert_eq!(Arc::strong_count(&handle), 2, "only its name and this test refer to it: it is not open");
    (harness, file_system, handle)
}

#[tokio::test(start_paused = true)]
async fn a_closed_file_that_was_written_to_and_renamed_away_is_read_to_its_end() {
    for last in ["last words\n", "last words"] {
        let (mut harness, file_system, handle) = closed().await;
        file_system.append(&handle, format!("two\n{last}").as_bytes());
        file_system.rename(Path::new(LOG), Path::new("/logs/elsewhere"));
        // A new file at its path does not hide it.
        let new = file_system.create(Path::new(LOG));
        file_system.append(&new, b"new\n");
        let mut lines = harness.lines(3).await;
        lines.sort();
        assert_eq!(lines, ["last words", "new", "two"]);
        assert_eq!(harness.meter.counters().get("files_gone_unread"), None);
        harness.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_file_that_was_renamed_away_is_read_to_its_end_at_a_stop() {
    let (harness, file_system, handle) = closed().await;
    file_system.append(&handle, b"two\n");
    file_system.rename(Path::new(LOG), Path::new("/logs/elsewhere"));
    let Harness { stop, mut sink, running, environment: _environment, channel: _channel, .. } = harness;
    stop.cancel();
    let Taken::Events(Delivery { batch, acknowledgement, .. }) = sink.take().await.unwrap() else {
        panic!("there is a line");
    };
    assert_eq!(batch.bodies().unwrap().iter().flatten().collect::<Vec<_>>(), [b"two"]);
    acknowledgement.done();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_closed_file_that_is_deleted_with_something_unread_is_counted() {
    let (harness, file_system, handle) = closed().await;
    file_system.append(&handle, b"two\n");
    // The next scan sees that the file has grown, and then it is deleted.
    let files = file_system.clone();
    file_system.trouble_by(Some(Arc::new(move |call| {
        if call == "Open" {
            files.unlink(Path::new(LOG));
        }
        None
    })));
    harness.counted("files_gone_unread", 1).await;
    file_system.trouble_by(None);
    harness.end().await;
}

#[tokio::test(start_paused = true)]
async fn another_file_with_the_inode_of_a_closed_file_is_not_read() {
    for name in ["/logs/elsewhere", "/logs/new.log"] {
        let (mut harness, file_system, handle) = closed_where_births_are_known(false).await;
        file_system.unlink(Path::new(LOG));
        drop(handle);
        let stranger = file_system.create(Path::new(name));
        file_system.append(&stranger, b"stranger\n");
        let is_wanted = name.ends_with(".log");
        if is_wanted {
            assert_eq!(harness.lines(1).await, ["stranger"], "the next scan finds it");
        }
        for _scan in 0..3 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let other = file_system.create(Path::new("/logs/last.log"));
            file_system.append(&other, b"last\n");
            assert_eq!(harness.lines(1).await, ["last"], "{name}");
        }
        harness.end().await;
    }
}
