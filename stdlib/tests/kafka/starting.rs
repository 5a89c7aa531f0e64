//! The offset at which a group starts: `oldest`, `newest`, and partitions and topics that are made later.

use std::time::Duration;

use crate::harness::{
    Broker, RunningSource, add_partitions, assert_complete, committed, create_topic, produce, repeated,
    source_settings, topic, unique, variant,
};

#[tokio::test(flavor = "multi_thread")]
async fn newest_skips_the_records_before_the_first_start_and_no_others() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("newest", 2).await, unique("group"));
    produce(&topic, 2, 0..100).await;
    let settings = source_settings(&topic, &group, vec![("start", variant("newest"))]);
    let source_run = RunningSource::start(&settings);
    until_committed(&group, &topic, 2, 50).await;
    // Nothing has been read. A restart does not choose again, so these records are not skipped.
    source_run.stop().await;
    produce(&topic, 2, 100..200).await;
    let source_run = RunningSource::start(&settings);
    source_run.wait_for(100).await;
    let bodies = source_run.stop().await;
    assert_complete(&bodies, 100..200);
    assert_eq!((bodies.len(), repeated(&bodies)), (100, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_reads_added_partitions_from_their_first_record() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("grows", 1).await, unique("group"));
    produce(&topic, 1, 0..100).await;
    let settings = source_settings(&topic, &group, vec![("start", variant("newest"))]);
    let source_run = RunningSource::start(&settings);
    until_committed(&group, &topic, 1, 100).await;
    add_partitions(&topic, 3).await;
    produce(&topic, 3, 300..600).await;
    source_run.wait_for(300).await;
    let bodies = source_run.stop().await;
    assert_complete(&bodies, 300..600);
    assert_eq!(bodies.len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist_is_read_once_it_is_created() {
    let _broker = Broker::shared().await;
    let (topic, group) = (unique("later"), unique("group"));
    let settings = source_settings(&topic, &group, vec![("start", variant("newest"))]);
    let source_run = RunningSource::start(&settings);
    tokio::time::sleep(Duration::from_secs(3)).await;
    create_topic(&topic, 2, &[]).await;
    produce(&topic, 2, 0..100).await;
    source_run.wait_for(100).await;
    assert_complete(&source_run.stop().await, 0..100);
}

#[tokio::test(flavor = "multi_thread")]
async fn start_is_ignored_if_the_group_has_a_commit() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("committed", 1).await, unique("group"));
    produce(&topic, 1, 0..100).await;
    crate::harness::commit(&group, &topic, &[(0, 40)]).await;
    let settings = source_settings(&topic, &group, vec![("start", variant("newest"))]);
    let source_run = RunningSource::start(&settings);
    source_run.wait_for(60).await;
    let bodies = source_run.stop().await;
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
    panic!("the start offset was not committed");
}
