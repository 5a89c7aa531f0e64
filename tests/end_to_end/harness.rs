//! The rig itself: what it writes into Kafka it reads back.

use weir_tests::{Account, Scene, Servers, access_log};

#[test]
fn the_rig_reads_back_what_it_wrote() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "the_rig_reads_back_what_it_wrote");
    let topic = format!("{}-{}", scene.name(), std::process::id());
    let kafka = session.kafka();
    kafka.create_topic(&topic, 4);
    assert_eq!(kafka.progress(&topic, &topic).committed(), 0);
    let sent = access_log(0, 10_000);
    kafka.produce(&topic, &sent);
    Account::of(&sent, &kafka.consume(&topic)).assert_exact(scene.name());
    assert_eq!(session.hdfs().files("/no-such-path"), []);
}
