//! From Kafka into HDFS during outages of the servers.

use std::thread::sleep;
use std::time::{Duration, Instant};

use weir_tests::{LogPosition, Scene, Servers, Weir, print_line};

use crate::transfer::{SMALL_FILES, Transfer};

const LINES: usize = 200_000;

#[test]
fn an_outage_of_the_datanode_loses_nothing() {
    let session = Servers::exclusive();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "an_outage_of_the_datanode_loses_nothing");
    let mut transfer = Transfer::new(&scene, &session);
    transfer.send(LINES / 2);
    let mut weir = transfer.run(SMALL_FILES);
    transfer.await_committed(&mut weir, LINES / 10);
    let position = weir.log_end();
    let outage = session.kill_datanode();
    transfer.send(LINES / 2);
    print_line(scene.name(), await_complaint(&mut weir, position, "lake"));
    outage.end();
    transfer.finish(weir).assert_nothing_lost(scene.name());
}

#[test]
fn an_outage_of_the_broker_of_ten_seconds_loses_nothing() {
    let session = Servers::exclusive();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "an_outage_of_the_broker_loses_nothing");
    let mut transfer = Transfer::new(&scene, &session);
    transfer.send(LINES);
    let mut weir = transfer.run(SMALL_FILES);
    transfer.await_committed(&mut weir, LINES / 10);
    let position = weir.log_end();
    let outage = session.stop_broker();
    let begin = Instant::now();
    print_line(scene.name(), await_complaint(&mut weir, position, "clicks"));
    sleep(Duration::from_secs(10).saturating_sub(begin.elapsed()));
    outage.end();
    transfer.finish(weir).assert_nothing_lost(scene.name());
}

/// Waits for a warning or an error about a component.
fn await_complaint(weir: &mut Weir, position: LogPosition, component: &str) -> String {
    let event = format!("a warning or an error about {component}");
    weir.await_line(&event, position, |line| {
        (line.contains("WARN") || line.contains("ERROR")) && line.contains(component)
    })
}
