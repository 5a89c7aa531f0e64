//! From Kafka into HDFS while one of them is away.

use std::thread::sleep;
use std::time::{Duration, Instant};

use weir_tests::{Mark, Scene, Servers, Weir, say};

use crate::transfer::{SMALL_FILES, Transfer};

const LINES: usize = 200_000;

#[test]
fn a_datanode_that_dies_is_waited_out() {
    let session = Servers::alone();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "a_datanode_that_dies_is_waited_out");
    let mut transfer = Transfer::new(&scene, &session);
    transfer.send(LINES / 2);
    let mut weir = transfer.run(SMALL_FILES);
    transfer.await_committed(&mut weir, LINES / 10);
    let mark = weir.mark();
    let outage = session.kill_datanode();
    transfer.send(LINES / 2);
    say(scene.name(), await_complaint(&mut weir, mark, "lake"));
    outage.end();
    transfer.finish(weir).assert_nothing_lost(scene.name());
}

#[test]
fn a_broker_that_is_away_for_ten_seconds_is_waited_out() {
    let session = Servers::alone();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "a_broker_that_is_away_is_waited_out");
    let mut transfer = Transfer::new(&scene, &session);
    transfer.send(LINES);
    let mut weir = transfer.run(SMALL_FILES);
    transfer.await_committed(&mut weir, LINES / 10);
    let mark = weir.mark();
    let outage = session.stop_broker();
    let begin = Instant::now();
    say(scene.name(), await_complaint(&mut weir, mark, "clicks"));
    sleep(Duration::from_secs(10).saturating_sub(begin.elapsed()));
    outage.end();
    transfer.finish(weir).assert_nothing_lost(scene.name());
}

/// Waits for a warning or an error that names the component as the user named it.
fn await_complaint(weir: &mut Weir, mark: Mark, component: &str) -> String {
    let what = format!("a warning or an error about {component}");
    weir.await_line(&what, mark, |line| {
        (line.contains("WARN") || line.contains("ERROR")) && line.contains(component)
    })
}
