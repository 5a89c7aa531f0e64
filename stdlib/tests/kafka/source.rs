//! The source on its own: everything, once, and nothing lost over a restart.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::AdminOptions;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use weir_plan::Value;

use crate::rig::{
    Broker, Reading, admin, assert_complete, bootstrap, commit, committed, missing, produce, repeated,
    source_settings, topic, unique, wait_until,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_records_come_once_and_in_order() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("exact", 4).await, unique("group"));
    produce(&topic, 4, 0..100_000).await;
    let reading = Reading::start(&source_settings(&topic, &group, vec![]));
    reading.wait_for(100_000).await;
    for ((_, partition), offsets) in reading.offsets() {
        assert!(offsets.iter().copied().eq(0..25_000), "partition {partition} is not in order");
    }
    let bodies = reading.stop().await;
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
    // Each run ends in the middle: behind what it acknowledges it gets no further than the channel's bound.
    for orderly in [true, false, true] {
        let reading = Reading::start_with(&settings, 5_000);
        reading.acknowledge_first(15_000);
        reading.wait_for_held(3_000).await;
        let before = bodies.len();
        let more = if orderly { reading.stop().await } else { reading.abort() };
        more.into_iter().for_each(|(body, times)| *bodies.entry(body).or_insert(0) += times);
        let new = bodies.len() - before;
        assert!((10_000..=30_000).contains(&new), "{new} new records");
    }
    let reading = Reading::start(&settings);
    // What was held at the abort comes as well, so that a number of records would say nothing.
    let left = missing(&bodies, 0..100_000);
    wait_until("the records that are left", || reading.has_each(&left)).await;
    reading.stop().await.into_iter().for_each(|(body, times)| *bodies.entry(body).or_insert(0) += times);
    assert_complete(&bodies, 0..100_000);
    let again = repeated(&bodies);
    assert!(again >= 3_000, "{again} records came again: what was held at the abort did not");
    assert_eq!(committed(&group, &topic, 4).await, [Some(25_000); 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_before_it_is_acknowledged() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("unacknowledged", 1).await, unique("group"));
    produce(&topic, 1, 0..1000).await;
    let reading = Reading::start(&source_settings(&topic, &group, vec![]));
    reading.acknowledge(false);
    reading.wait_for(1000).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The beginning itself is committed, so that a restart does not choose again.
    assert_eq!(committed(&group, &topic, 1).await, [Some(0)]);
    reading.acknowledge(true);
    let bodies = reading.stop().await;
    assert_eq!(repeated(&bodies), 0);
    assert_eq!(committed(&group, &topic, 1).await, [Some(1000)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_held_up_stays_in_its_group() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("held-up", 2).await, unique("group"));
    produce(&topic, 2, 0..30_000).await;
    let session = ("session_timeout", Value::Duration(Duration::from_secs(6)));
    let reading = Reading::start_with(&source_settings(&topic, &group, vec![session]), 3_000);
    reading.acknowledge(false);
    reading.wait_for(2_000).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(reading.count() <= 3_000, "the channel's bound was not kept");
    reading.acknowledge(true);
    reading.wait_for(30_000).await;
    let bodies = reading.stop().await;
    assert_complete(&bodies, 0..30_000);
    assert_eq!(repeated(&bodies), 0, "a member that was thrown out reads again");
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
    let failure = Reading::start(&source_settings(&topic, &group, vec![])).failure().await;
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
    let failure = Reading::start(&source_settings(&topic, &group, vec![])).failure().await;
    assert!(failure.is_permanent());
    assert!(failure.to_string().contains("no longer has offset 5000"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_transactions_are_not_read_and_leave_no_hole() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("transactions", 1).await, unique("group"));
    let write = {
        let topic = topic.clone();
        move || transactions(&topic)
    };
    tokio::task::spawn_blocking(write).await.unwrap();
    let reading = Reading::start(&source_settings(&topic, &group, vec![]));
    reading.wait_for(200).await;
    // Ten times ten records and the mark of the commit, then of ten records the mark of the abort.
    wait_until("the last commit", || reading.count() == 200).await;
    let bodies = reading.stop().await;
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
