//! Pipelines that promise `exactly_once` or `at_most_once` and are killed repeatedly.

use std::path::Path;
use std::time::Duration;

use weir_tests::{Scene, Weir, lines_of, print_line, visible_files};

const EVENTS: u64 = 1_200_000;
const KILLS: usize = 12;
const PATIENCE: Duration = Duration::from_secs(120);
const FLOW: &str = "tests/end_to_end/flows/exactly_once_in_files.flow";
const AT_MOST_ONCE: &str = "tests/end_to_end/flows/at_most_once_in_files.flow";
const EVENTS_AT_MOST_ONCE: u64 = 600_000;

/// Returns the numbers of the events in a folder's files, in the order of the files' names.
fn numbers(folder: &Path) -> Vec<u64> {
    let number = |line: Vec<u8>| {
        let line = String::from_utf8(line).expect("lines are text");
        let number = match line.strip_prefix("{\"sequence\":") {
            Some(rest) => rest.split(',').next(),
            None => line.split(' ').next(),
        };
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("a line without a number: {line}"))
    };
    lines_of(&visible_files(folder)).into_iter().map(number).collect()
}

/// Runs a flow to its end, and kills it often before. Each run that is killed has completed some files, every third has only
/// recovered.
fn run_and_kill(scene: &Scene, flow: &str, settings: &[(&str, String)]) {
    let output = scene.folder().join("output");
    for kill in 0..KILLS {
        let files = || if output.exists() { visible_files(&output).len() } else { 0 };
        let before = files();
        let mut weir = Weir::run(scene, flow, settings);
        let wanted = if kill % 3 == 0 { 0 } else { kill % 4 + 1 };
        let ledger = output.join("memory/.weir");
        weir.await_event("it has written enough to be killed", PATIENCE, |_| {
            (ledger.exists() && files() >= before + wanted).then_some(())
        });
        weir.kill();
    }
    Weir::run(scene, flow, settings).finish().assert_success();
}

#[test]
fn every_event_is_in_one_file_however_often_it_is_killed() {
    let scene =
        Scene::new(env!("CARGO_TARGET_TMPDIR"), "every_event_is_in_one_file_however_often_it_is_killed");
    let output = scene.folder().join("output");
    let settings =
        [("channel", scene.path("channel")), ("to", scene.path("output")), ("events", EVENTS.to_string())];
    run_and_kill(&scene, FLOW, &settings);
    for channel in ["disk", "memory"] {
        // Times grow with the numbers, so that the order of the directories is the order of the numbers.
        let found = numbers(&output.join(channel));
        let expected: Vec<u64> = (1..=EVENTS).collect();
        let wrong = found.iter().zip(&expected).position(|(found, expected)| found != expected);
        assert_eq!(wrong, None, "behind {channel}: {:?}", wrong.map(|place| &found[place..][..3]));
        assert_eq!(found.len(), expected.len(), "behind {channel}");
    }
}

#[test]
fn no_event_is_in_two_files_however_often_it_is_killed() {
    let scene =
        Scene::new(env!("CARGO_TARGET_TMPDIR"), "no_event_is_in_two_files_however_often_it_is_killed");
    let output = scene.folder().join("output");
    let events = EVENTS_AT_MOST_ONCE;
    let settings =
        [("channel", scene.path("channel")), ("to", scene.path("output")), ("events", events.to_string())];
    run_and_kill(&scene, AT_MOST_ONCE, &settings);
    for channel in ["disk", "memory"] {
        let mut found = numbers(&output.join(channel));
        // An event that was dropped may come behind newer ones after a restart.
        found.sort_unstable();
        let repeated = found.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(repeated, None, "behind {channel}");
        assert!(found.len() as u64 > events / 10, "behind {channel}: {} events", found.len());
        print_line(
            scene.name(),
            format_args!("behind {channel}, {} of {events} events arrived", found.len()),
        );
    }
}
