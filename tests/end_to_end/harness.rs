//! A test of the test harness.

use weir_tests::{Account, Scene, Servers, access_log};

#[test]
fn the_harness_reads_the_lines_that_it_wrote() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "the_harness_reads_the_lines_that_it_wrote");
    let topic = format!("{}-{}", scene.name(), std::process::id());
    let kafka = session.kafka();
    kafka.create_topic(&topic, 4);
    assert_eq!(kafka.progress(&topic, &topic).committed(), 0);
    let sent = access_log(0, 10_000);
    kafka.produce(&topic, &sent);
    Account::of(&sent, &kafka.consume(&topic)).assert_exact(scene.name());
    assert_eq!(session.hdfs().files("/no-such-path"), []);
}
