//! A pipeline with a channel on disk that is killed repeatedly.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use weir_tests::{Scene, Weir};

/// More events than the source generates before the last run is stopped.
const EVENTS: u64 = 1_000_000_000;
const KILLS: usize = 30;
const PATIENCE: Duration = Duration::from_secs(120);
const FLOW: &str = "tests/end_to_end/flows/generate_to_stdout.flow";

/// Returns the numbers of the complete lines of events in a log.
fn numbers(log: &str) -> BTreeSet<u64> {
    let complete = log
        .lines()
        .filter(|line| line.len() == 100 && line.ends_with(|last: char| last.is_ascii_lowercase()));
    complete.filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
}

#[test]
fn nothing_is_missing_however_often_it_is_killed() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "nothing_is_missing_however_often_it_is_killed");
    let settings = [("channel", scene.path("channel")), ("events", EVENTS.to_string())];
    let run_until_written = |run: usize, wanted: u64| {
        let mut weir = Weir::run(&scene, FLOW, &settings);
        let log = scene.folder().join(format!("weir-{run}.log"));
        let length = || fs::metadata(&log).map_or(0, |metadata| metadata.len());
        weir.await_event("it has written enough", PATIENCE, |_| (length() >= wanted).then_some(()));
        weir
    };
    for kill in 0..KILLS {
        // Every third run is killed before it delivers much: during recovery or just after it.
        let wanted = if kill % 3 == 0 { 1 } else { (kill as u64 % 7) * 200_000 };
        run_until_written(kill + 1, wanted).kill();
    }
    run_until_written(KILLS + 1, 200_000).terminate().assert_success();
    let mut arrived = BTreeSet::new();
    for run in 1..=KILLS + 1 {
        let log = fs::read(scene.folder().join(format!("weir-{run}.log"))).expect("each run has a log");
        arrived.extend(numbers(&String::from_utf8_lossy(&log)));
    }
    let last = *arrived.last().expect("something has arrived");
    let missing: Vec<u64> = (1..=last).filter(|number| !arrived.contains(number)).take(10).collect();
    assert!(missing.is_empty(), "events before {last} are missing, the first of them {missing:?}");
}
