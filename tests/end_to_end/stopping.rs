//! Pipelines with a channel on disk: stops under load, and a full disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weir_tests::{Scene, Weir, lines_of, visible_files};

const FLOW: &str = "tests/end_to_end/flows/generate_to_files.flow";
const PATIENCE: Duration = Duration::from_secs(120);
/// The default drain limit of `weir run`.
const DRAIN: Duration = Duration::from_secs(30);
/// More events than any of these tests waits for.
const ENDLESS: u64 = 1 << 40;

fn settings(scene: &Scene, events: u64) -> [(&'static str, String); 3] {
    [("channel", scene.path("disk/channel")), ("events", events.to_string()), ("to", scene.path("out"))]
}

/// Returns the numbers of the lines below a folder, sorted.
fn numbers(folder: &Path) -> Vec<u64> {
    let lines = lines_of(&visible_files(folder));
    let number = |line: &Vec<u8>| {
        assert_eq!(line.len(), 100, "each line is complete");
        String::from_utf8_lossy(line).split(' ').next().and_then(|number| number.parse().ok())
    };
    let mut numbers: Vec<u64> = lines.iter().map(|line| number(line).expect("each has its number")).collect();
    numbers.sort_unstable();
    numbers
}

/// Makes a folder whose sink can't write, and returns the file to remove. A start would notice a file instead of the folder.
fn put_in_the_way(out: &Path) -> PathBuf {
    fs::create_dir(out).expect("the folder is there");
    fs::write(out.join("a"), "in the way").expect("the folder is there");
    out.join("a")
}

#[test]
fn a_stop_under_load_drains_in_time_and_loses_and_repeats_nothing() {
    let name = "a_stop_under_load_drains_in_time_and_loses_and_repeats_nothing";
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), name);
    let out = scene.folder().join("out");
    let files = || if out.exists() { visible_files(&out).len() } else { 0 };
    // The second run goes on where the first run stopped.
    for _ in 0..2 {
        let before = files();
        let mut weir = Weir::run(&scene, FLOW, &settings(&scene, ENDLESS));
        weir.await_event("files are there", PATIENCE, |_| (files() >= before + 3).then_some(()));
        let begin = Instant::now();
        let ending = weir.terminate();
        ending.assert_success();
        assert!(!ending.log.contains("not drained within the limit"), "{}", ending.log);
        assert!(begin.elapsed() < DRAIN + Duration::from_secs(5), "it took {:?}", begin.elapsed());
        let numbers = numbers(&out);
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert!(numbers == expected, "each event once, and none missing in between");
    }
}

#[test]
fn a_second_signal_stops_immediately_and_events_are_delivered_after_the_next_start() {
    let name = "a_second_signal_stops_immediately_and_events_are_delivered_after_the_next_start";
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), name);
    let out = scene.folder().join("out");
    let in_the_way = put_in_the_way(&out);
    let mut weir = Weir::run(&scene, FLOW, &settings(&scene, 10_000));
    let position = weir.log_end();
    weir.await_line("the sink waits", position, |line| line.contains("its events stay in buffer"));
    weir.signal_to_drain();
    weir.await_line("it drains", position, |line| line.contains("sources read no more"));
    let begin = Instant::now();
    let ending = weir.terminate();
    assert_eq!(ending.status.code(), Some(3), "{}", ending.log);
    assert!(
        ending.log.contains("stopped at once: uncommitted events are delivered again after the next start"),
        "{}",
        ending.log
    );
    assert!(begin.elapsed() < DRAIN, "it did not wait for the sink: {:?}", begin.elapsed());

    fs::remove_file(&in_the_way).expect("it is there");
    Weir::run(&scene, FLOW, &settings(&scene, 10_000)).finish().assert_success();
    assert!(numbers(&out) == (1..=10_000).collect::<Vec<u64>>(), "all are there");
}

/// The disk has 24 MiB and the channel's limit is 64 MiB, so that the disk is full before the channel.
#[test]
fn a_full_disk_stalls_the_source_until_there_is_room_again() {
    let name = "a_full_disk_stalls_the_source_until_there_is_room_again";
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), name);
    let out = scene.folder().join("out");
    let in_the_way = put_in_the_way(&out);
    fs::create_dir(scene.folder().join("disk")).expect("the folder is there");
    let events = 600_000;
    let mut weir = Weir::run_on_a_small_disk(&scene, "disk", "24m", FLOW, &settings(&scene, events));
    let position = weir.log_end();
    let full = "puts wait until there is room; the events in the channel are safe";
    weir.await_line("the disk is full (needs the right to mount)", position, |line| line.contains(full));
    // The sink can write again; the events that it delivers free disk space.
    fs::remove_file(&in_the_way).expect("it is there");
    weir.await_line("it goes on", position, |line| line.contains("there is room again, puts go on"));
    let ending = weir.finish();
    ending.assert_success();
    let numbers = numbers(&out);
    let expected: Vec<u64> = (1..=events).collect();
    assert!(numbers == expected, "each event once: {} lines", numbers.len());
}
