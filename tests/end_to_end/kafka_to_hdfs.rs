//! From Kafka into HDFS, without faults and with kills of Weir.

use weir_tests::{Scene, Servers};

use crate::transfer::{SMALL_FILES, Transfer};

const LINES: usize = 200_000;

#[test]
fn every_line_arrives_once() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "every_line_arrives_once");
    let mut transfer = Transfer::new(&scene, &session);
    transfer.send(LINES);
    let weir = transfer.run("examples/kafka_to_hdfs.flow");
    transfer.finish(weir).assert_exact(scene.name());
}

#[test]
fn nothing_is_lost_when_weir_is_killed() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "nothing_is_lost_when_weir_is_killed");
    let mut transfer = Transfer::new(&scene, &session);
    transfer.send(LINES / 4);
    for committed in [1, LINES / 5, LINES / 2] {
        let mut weir = transfer.run(SMALL_FILES);
        transfer.await_committed(&mut weir, committed);
        // so that the run has work when it is killed
        transfer.send(LINES / 4);
        weir.kill();
    }
    let weir = transfer.run(SMALL_FILES);
    transfer.finish_after_kills(weir).assert_nothing_lost(scene.name());
}

#[test]
fn nothing_is_lost_when_weir_is_terminated() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "nothing_is_lost_when_weir_is_terminated");
    let mut transfer = Transfer::new(&scene, &session);
    transfer.send(LINES / 4);
    let mut weir = transfer.run(SMALL_FILES);
    transfer.await_committed(&mut weir, 1);
    transfer.send(LINES / 4);
    weir.terminate().assert_success();
    // the first run may have drained all earlier lines
    transfer.send(LINES / 4);
    let weir = transfer.run(SMALL_FILES);
    transfer.finish(weir).assert_nothing_lost(scene.name());
}
