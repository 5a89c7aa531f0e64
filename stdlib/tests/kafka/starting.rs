//! Where a group begins: oldest, newest, and what comes up while it runs.

use std::time::Duration;

use crate::rig::{
    Broker, Reading, add_partitions, assert_complete, committed, create_topic, produce, repeated,
    source_settings, topic, unique, variant,
};

#[tokio::test(flavor = "multi_thread")]
async fn newest_skips_what_is_there_and_then_nothing() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("newest", 2).await, unique("group"));
    produce(&topic, 2, 0..100).await;
    let settings = source_settings(&topic, &group, vec![("start", variant("newest"))]);
    let reading = Reading::start(&settings);
    until_committed(&group, &topic, 2, 50).await;
    // Nothing has been read; still a restart does not choose again, so that this is not skipped.
    reading.stop().await;
    produce(&topic, 2, 100..200).await;
    let reading = Reading::start(&settings);
    reading.wait_for(100).await;
    let bodies = reading.stop().await;
    assert_complete(&bodies, 100..200);
    assert_eq!((bodies.len(), repeated(&bodies)), (100, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_reads_partitions_that_are_added_from_their_beginning() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("grows", 1).await, unique("group"));
    produce(&topic, 1, 0..100).await;
    let settings = source_settings(&topic, &group, vec![("start", variant("newest"))]);
    let reading = Reading::start(&settings);
    until_committed(&group, &topic, 1, 100).await;
    add_partitions(&topic, 3).await;
    produce(&topic, 3, 300..600).await;
    reading.wait_for(300).await;
    let bodies = reading.stop().await;
    assert_complete(&bodies, 300..600);
    assert_eq!(bodies.len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist_is_waited_for() {
    let _broker = Broker::shared().await;
    let (topic, group) = (unique("later"), unique("group"));
    let settings = source_settings(&topic, &group, vec![("start", variant("newest"))]);
    let reading = Reading::start(&settings);
    tokio::time::sleep(Duration::from_secs(3)).await;
    create_topic(&topic, 2, &[]).await;
    produce(&topic, 2, 0..100).await;
    reading.wait_for(100).await;
    assert_complete(&reading.stop().await, 0..100);
}

#[tokio::test(flavor = "multi_thread")]
async fn start_matters_only_where_nothing_is_committed() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("committed", 1).await, unique("group"));
    produce(&topic, 1, 0..100).await;
    crate::rig::commit(&group, &topic, &[(0, 40)]).await;
    let settings = source_settings(&topic, &group, vec![("start", variant("newest"))]);
    let reading = Reading::start(&settings);
    reading.wait_for(60).await;
    let bodies = reading.stop().await;
    assert_eq!(bodies.len(), 60);
    assert_complete(&bodies, 40..100);
}

async fn until_committed(group: &str, topic: &str, partitions: i32, offset: i64) {
    for _ in 0..200 {
        if committed(group, topic, partitions).await.iter().all(|found| *found == Some(offset)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the group's beginning was not committed");
}
