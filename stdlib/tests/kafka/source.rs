//! The source: it reads all records once, and loses none at a restart.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::AdminOptions;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use weir_plan::Value;

use crate::harness::{
    Broker, RunningSource, admin, assert_complete, bootstrap, commit, committed, missing, produce, repeated,
    source_settings, topic, unique, wait_until,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_records_are_read_once_and_in_order() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("exact", 4).await, unique("group"));
    produce(&topic, 4, 0..100_000).await;
    let source_run = RunningSource::start(&source_settings(&topic, &group, vec![]));
    source_run.wait_for(100_000).await;
    for ((_, partition), offsets) in source_run.offsets() {
        assert!(offsets.iter().copied().eq(0..25_000), "partition {partition} is not in order");
    }
    let bodies = source_run.stop().await;
    assert_complete(&bodies, 0..100_000);
    assert_eq!(repeated(&bodies), 0);
    assert_eq!(committed(&group, &topic, 4).await, [Some(25_000); 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_mid_run_loses_nothing() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("restart", 4).await, unique("group"));
    produce(&topic, 4, 0..100_000).await;
    let settings = source_settings(&topic, &group, vec![]);
    let mut bodies = std::collections::BTreeMap::new();
    // Each run ends in the middle: beyond the acknowledged records it reads no more than the channel can hold.
    for orderly in [true, false, true] {
        let source_run = RunningSource::start_with(&settings, 5_000);
        source_run.acknowledge_first(15_000);
        source_run.wait_for_held(3_000).await;
        let before = bodies.len();
        let more = if orderly { source_run.stop().await } else { source_run.abort() };
        more.into_iter().for_each(|(body, times)| *bodies.entry(body).or_insert(0) += times);
        let new = bodies.len() - before;
        assert!((10_000..=30_000).contains(&new), "{new} new records");
    }
    let source_run = RunningSource::start(&settings);
    // Records that were not acknowledged at the abort are read again, so the number of records shows nothing.
    let left = missing(&bodies, 0..100_000);
    wait_until("the records that are left", || source_run.has_each(&left)).await;
    source_run.stop().await.into_iter().for_each(|(body, times)| *bodies.entry(body).or_insert(0) += times);
    assert_complete(&bodies, 0..100_000);
    let again = repeated(&bodies);
    assert!(
        again >= 3_000,
        "only {again} of the records that were not acknowledged at the abort are read again"
    );
    assert_eq!(committed(&group, &topic, 4).await, [Some(25_000); 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_before_it_is_acknowledged() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("unacknowledged", 1).await, unique("group"));
    produce(&topic, 1, 0..1000).await;
    let source_run = RunningSource::start(&source_settings(&topic, &group, vec![]));
    source_run.acknowledge(false);
    source_run.wait_for(1000).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The start offset is committed, so that a restart does not choose again.
    assert_eq!(committed(&group, &topic, 1).await, [Some(0)]);
    source_run.acknowledge(true);
    let bodies = source_run.stop().await;
    assert_eq!(repeated(&bodies), 0);
    assert_eq!(committed(&group, &topic, 1).await, [Some(1000)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_waits_for_its_channel_stays_in_its_group() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("held-up", 2).await, unique("group"));
    produce(&topic, 2, 0..30_000).await;
    let session = ("session_timeout", Value::Duration(Duration::from_secs(6)));
    let source_run = RunningSource::start_with(&source_settings(&topic, &group, vec![session]), 3_000);
    source_run.acknowledge(false);
    source_run.wait_for(2_000).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(source_run.count() <= 3_000, "the channel's bound was not kept");
    source_run.acknowledge(true);
    source_run.wait_for(30_000).await;
    let bodies = source_run.stop().await;
    assert_complete(&bodies, 0..30_000);
    assert_eq!(repeated(&bodies), 0, "a member that the group has removed would read records again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_that_the_broker_no_longer_has_is_an_error() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("gone", 1).await, unique("group"));
    produce(&topic, 1, 0..100).await;
    commit(&group, &topic, &[(0, 10)]).await;
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, Offset::Offset(50)).unwrap();
    admin().delete_records(&before, &AdminOptions::new()).await.unwrap();
    let failure = RunningSource::start(&source_settings(&topic, &group, vec![])).failure().await;
    assert!(failure.is_permanent());
    let text = failure.to_string();
    assert!(text.contains(&format!("no longer has offset 10 of {topic}/0")), "{text}");
    assert!(text.contains("it has 50 up to 100"), "{text}");
    assert_eq!(committed(&group, &topic, 1).await, [Some(10)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_beyond_the_end_is_an_error_too() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("beyond", 1).await, unique("group"));
    produce(&topic, 1, 0..100).await;
    commit(&group, &topic, &[(0, 5000)]).await;
    let failure = RunningSource::start(&source_settings(&topic, &group, vec![])).failure().await;
    assert!(failure.is_permanent());
    assert!(failure.to_string().contains("no longer has offset 5000"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_transactions_are_not_read_and_their_offsets_are_covered() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("transactions", 1).await, unique("group"));
    let write = {
        let topic = topic.clone();
        move || transactions(&topic)
    };
    tokio::task::spawn_blocking(write).await.unwrap();
    let source_run = RunningSource::start(&source_settings(&topic, &group, vec![]));
    source_run.wait_for(200).await;
    // A round has ten records and the marker of the commit, or ten aborted records and the marker of the abort.
    wait_until("the last commit", || source_run.count() == 200).await;
    let bodies = source_run.stop().await;
    assert_eq!(bodies.len(), 200);
    assert!(bodies.keys().all(|body| body.starts_with("committed")), "an aborted record came");
    let offsets = committed(&group, &topic, 1).await;
    assert!(offsets[0].is_some_and(|offset| (200..=440).contains(&offset)), "{offsets:?}");
}

fn transactions(topic: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap()).set("transactional.id", unique("transactions"));
    let producer: BaseProducer = config.create().unwrap();
    let wait = Duration::from_secs(60);
    producer.init_transactions(wait).unwrap();
    for round in 0..40 {
        producer.begin_transaction().unwrap();
        let word = if round % 2 == 0 { "committed" } else { "aborted" };
        for number in 0..10 {
            let body = format!("{word} {round} {number}");
            let record = BaseRecord::<(), String>::to(topic).payload(&body);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        match word {
            "committed" => producer.commit_transaction(wait).unwrap(),
            _ => {
                producer.flush(wait).unwrap();
                producer.abort_transaction(wait).unwrap();
            }
        }
    }
}
