//! Pipelines into HDFS that promise `exactly_once`, while Weir, the NameNode and the DataNode are killed.

use std::process;
use std::time::Duration;

use crate::kerberos::numbers;
use weir_tests::{Scene, Server, Servers, Session, StoredFile, Weir, print_line};

/// The events of the first run. Each later run has more, so that a run that ends before it is killed leaves work for the next one.
const FIRST_EVENTS: usize = 60_000;
const MORE_EVENTS: usize = 20_000;
const KILLS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(120);
const FLOW: &str = "tests/end_to_end/flows/exactly_once_on_hdfs.flow";

/// Kills a server and starts it again.
fn restart_a_server(session: &Session, kill: usize) {
    match kill {
        1 => session.kill(Server::NameNode).end(),
        3 => session.kill(Server::DataNode).end(),
        _ => {}
    }
}

#[test]
fn every_event_is_in_one_file_on_hdfs_whatever_is_killed() {
    let session = Servers::exclusive();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "every_event_is_in_one_file_on_hdfs");
    let hdfs = session.hdfs();
    let path = format!("/{}-{}", scene.name(), process::id());
    let events = |run: usize| FIRST_EVENTS + run * MORE_EVENTS;
    let settings = |run| {
        [
            ("hdfs", hdfs.url().to_owned()),
            ("directory", path.clone()),
            ("channel", scene.path("channel")),
            ("events", events(run).to_string()),
        ]
    };
    for kill in 0..KILLS {
        let before = hdfs.complete(&path);
        let mut weir = Weir::run(&scene, FLOW, &settings(kill));
        weir.await_event("it has completed a file", PATIENCE, |_| {
            (hdfs.complete(&path) > before).then_some(())
        });
        restart_a_server(&session, kill);
        weir.kill();
        print_line(scene.name(), format_args!("killed with {} files", hdfs.complete(&path)));
    }
    Weir::run(&scene, FLOW, &settings(KILLS)).finish().assert_success();
    for channel in ["disk", "memory"] {
        let (lines, _unfinished) = hdfs.lines(&format!("{path}/{channel}"), &scene);
        assert_each_once(lines, events(KILLS), &format!("behind {channel}"));
    }
}

/// Returns the number of an entry of a ledger; none of another file.
fn entry_number(file: &StoredFile) -> Option<u64> {
    file.path.strip_suffix(".entry")?.rsplit('/').next()?.parse().ok()
}

/// Checks that the lines have each number from 1 once.
fn assert_each_once(lines: Vec<Vec<u8>>, events: usize, place: &str) {
    let found = numbers(lines);
    let wrong = found.iter().copied().zip(1..=events).find(|(found, expected)| found != expected);
    assert_eq!(wrong, None, "{place}: found and expected");
    assert_eq!(found.len(), events, "{place}");
}

#[test]
fn a_file_that_is_larger_than_its_channel_is_committed_while_it_is_open() {
    const FLOW: &str = "tests/end_to_end/flows/open_file_on_hdfs.flow";
    const EVENTS: usize = 500_000;
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "open_file_on_hdfs");
    let hdfs = session.hdfs();
    let path = format!("/{}-{}", scene.name(), process::id());
    let settings = |rate: &str| {
        [
            ("hdfs", hdfs.url().to_owned()),
            ("directory", path.clone()),
            ("events", EVENTS.to_string()),
            ("rate", rate.to_owned()),
        ]
    };
    for kill in 1..=2 {
        let entries = || {
            let files = hdfs.files(&format!("{path}/.weir"));
            files.iter().filter_map(entry_number).max().unwrap_or(0)
        };
        let before = entries();
        let mut weir = Weir::run(&scene, FLOW, &settings("40_000/s"));
        // The first entry begins the ledger, and each later one commits a part of the file.
        weir.await_event("it has committed two parts", PATIENCE, |_| (entries() > before + 2).then_some(()));
        weir.kill();
        assert_eq!(hdfs.complete(&path), kill - 1, "the file is complete before its `roll`");
    }
    Weir::run(&scene, FLOW, &settings("1_000_000/s")).finish().assert_success();
    let (lines, _unfinished) = hdfs.lines(&path, &scene);
    assert_each_once(lines, EVENTS, "all files");
    assert_eq!(hdfs.complete(&path), 3, "a file of each run");
}
