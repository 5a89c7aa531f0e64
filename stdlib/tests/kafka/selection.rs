//! Which topics and partitions a source reads, where it starts, and what it says of them.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::AdminOptions;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use weir_plan::Value;

use crate::harness::{
    Broker, RunningSource, TIMEOUT, add_partitions, admin, assert_complete, body, bootstrap, committed,
    create_topic, produce, repeated, source_settings, topic, unique, variant, wait_until,
};

fn with(name: &str, settings: &[(&str, Value)]) -> Value {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    Value::Variant { name: name.to_owned(), settings: settings.collect::<BTreeMap<_, _>>() }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_partitions_are_read_and_committed_without_the_group() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("all", 2).await, unique("group"));
    produce(&topic, 2, 0..100).await;
    let settings = source_settings(&topic, &group, vec![("partitions", variant("all"))]);
    let source = RunningSource::start(&settings);
    source.wait_for(100).await;
    add_partitions(&topic, 3).await;
    produce(&topic, 3, 100..200).await;
    source.wait_for(200).await;
    let bodies = source.stop().await;
    assert_complete(&bodies, 0..200);
    assert_eq!(repeated(&bodies), 0);
    let offsets: i64 = committed(&group, &topic, 3).await.into_iter().flatten().sum();
    assert_eq!(offsets, 200);
    produce(&topic, 3, 200..230).await;
    let source = RunningSource::start(&settings);
    source.wait_for(30).await;
    assert_complete(&source.stop().await, 200..230);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_given_partitions_are_read() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("only", 3).await, unique("group"));
    produce(&topic, 3, 0..90).await;
    let only = |numbers: &[i64]| {
        let numbers = Value::List(numbers.iter().map(|number| Value::Int(*number)).collect());
        vec![("partitions", with("only", &[("numbers", numbers)]))]
    };
    let source = RunningSource::start(&source_settings(&topic, &group, only(&[0, 2])));
    source.wait_for(60).await;
    let bodies = source.stop().await;
    assert!(
        bodies
            .keys()
            .all(|text| (0..90).filter(|number| number % 3 != 1).any(|number| *text == body(number)))
    );
    assert_eq!(committed(&group, &topic, 3).await, [Some(30), None, Some(30)]);
    let failure = RunningSource::start(&source_settings(&topic, &group, only(&[3]))).failure().await;
    assert!(failure.is_permanent());
    assert!(failure.to_string().contains("has 3 partitions, and `only` names number 3"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_match_the_pattern_are_found_when_they_are_made() {
    let _broker = Broker::shared().await;
    let prefix = unique("pattern");
    for name in ["a", "b"] {
        create_topic(&format!("{prefix}-{name}"), 1, &[]).await;
    }
    create_topic(&format!("{prefix}-a-not"), 1, &[]).await;
    produce(&format!("{prefix}-a"), 1, 0..10).await;
    produce(&format!("{prefix}-a-not"), 1, 1_000..1_010).await;
    let changed =
        vec![("topics", Value::List(Vec::new())), ("topic_pattern", Value::Regex(format!("{prefix}-[a-z]")))];
    let source = RunningSource::start(&source_settings("", &unique("group"), changed));
    source.wait_for(10).await;
    create_topic(&format!("{prefix}-c"), 1, &[]).await;
    produce(&format!("{prefix}-b"), 1, 10..20).await;
    produce(&format!("{prefix}-c"), 1, 20..30).await;
    source.wait_for(30).await;
    let bodies = source.stop().await;
    assert_complete(&bodies, 0..30);
    assert_eq!(bodies.len(), 30);
}

/// Writes records with these times, in milliseconds; a record without a body is a tombstone.
async fn produce_at(topic: &str, records: Vec<(i64, Option<String>)>) {
    let topic = topic.to_owned();
    let write = move || {
        let mut config = ClientConfig::new();
        let producer: BaseProducer = config.set("bootstrap.servers", bootstrap()).create().unwrap();
        for (time, body) in &records {
            let record = BaseRecord::to(&topic).partition(0).key("key").timestamp(*time);
            let record = match body {
                Some(body) => record.payload(body),
                None => record,
            };
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(TIMEOUT).unwrap();
    };
    tokio::task::spawn_blocking(write).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_starts_at_a_time_or_an_offset() {
    let _broker = Broker::shared().await;
    let topic = topic("start", 1).await;
    let begin = 1_700_000_000_000;
    let records = (0..10).map(|number| (begin + number as i64 * 1_000, Some(body(number))));
    produce_at(&topic, records.collect()).await;
    let time = |text: &str| with("time", &[("at", Value::Text(text.to_owned()))]);
    let starts = [
        (time("2023-11-14T22:13:22.5Z"), 3),
        (time("2023-11-14T22:13:20Z"), 0),
        (with("offset", &[("number", Value::Int(6))]), 6),
    ];
    for (start, first) in starts {
        let settings = source_settings(&topic, &unique("group"), vec![("start", start)]);
        let source = RunningSource::start(&settings);
        source.wait_for(10 - first).await;
        let bodies = source.stop().await;
        assert_complete(&bodies, first..10);
        assert_eq!(bodies.len(), 10 - first);
    }
    let later = vec![("start", time("2023-11-14T22:14:20Z"))];
    let group = unique("group");
    let source = RunningSource::start(&source_settings(&topic, &group, later));
    // The start offset is committed at once.
    while committed(&group, &topic, 1).await != [Some(10)] {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    produce(&topic, 1, 10..15).await;
    source.wait_for(5).await;
    assert_complete(&source.stop().await, 10..15);
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_are_told_apart_from_empty_records() {
    let _broker = Broker::shared().await;
    let topic = topic("tombstones", 1).await;
    produce_at(&topic, vec![(1, Some(String::new())), (2, None), (3, Some("text".to_owned()))]).await;
    let source = RunningSource::start(&source_settings(&topic, &unique("group"), vec![]));
    wait_until("three records", || source.tombstones().len() == 3).await;
    assert_eq!(source.tombstones(), [false, true, false]);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_member_keeps_its_partitions_over_a_restart() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("named", 2).await, unique("group"));
    produce(&topic, 2, 0..50).await;
    let named = |name: &str| vec![("member", Value::Text(name.to_owned()))];
    let first = RunningSource::start(&source_settings(&topic, &group, named("first")));
    first.wait_for(50).await;
    first.stop().await;
    // The group still waits for the member, which continues with its partitions.
    produce(&topic, 2, 50..100).await;
    let first = RunningSource::start(&source_settings(&topic, &group, named("first")));
    first.wait_for(50).await;
    assert_complete(&first.stop().await, 50..100);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_of_one_name_are_refused() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("fenced", 1).await, unique("group"));
    produce(&topic, 1, 0..10).await;
    let settings = source_settings(&topic, &group, vec![("member", Value::Text("same".to_owned()))]);
    let first = RunningSource::start(&settings);
    first.wait_for(10).await;
    let second = RunningSource::start(&settings);
    let failure = first.failure().await;
    assert!(failure.is_permanent());
    assert!(failure.to_string().contains("another member of group"), "{failure}");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_counts_records_that_are_not_delivered() {
    let _broker = Broker::shared().await;
    let topic = topic("lag", 1).await;
    produce(&topic, 1, 0..100).await;
    let source = RunningSource::start(&source_settings(&topic, &unique("group"), vec![]));
    source.acknowledge(false);
    source.wait_for(100).await;
    let partition = format!("{topic}/0");
    wait_until("a lag of all records", || source.lag(&partition) == Some(100)).await;
    source.acknowledge(true);
    wait_until("no lag", || source.lag(&partition) == Some(0)).await;
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_of_a_topic_that_was_made_again_is_skipped() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("again", 1).await, unique("group"));
    produce(&topic, 1, 0..50).await;
    let source = RunningSource::start(&source_settings(&topic, &group, vec![]));
    source.wait_for(50).await;
    admin().delete_topics(&[&topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let made = || async {
        let new = rdkafka::admin::NewTopic::new(&topic, 1, rdkafka::admin::TopicReplication::Fixed(1));
        admin().create_topics([&new], &AdminOptions::new()).await.unwrap()[0].is_ok()
    };
    while !made().await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    produce(&topic, 1, 50..60).await;
    // The source notices that its offset is gone, or that the topic was gone for a while.
    wait_until("the new topic is noticed", || source.count() == 60 || source.task.is_finished()).await;
    if source.count() == 60 {
        return drop(source.stop().await);
    }
    let failure = source.failure().await;
    assert!(!failure.is_permanent(), "{failure}");
    assert!(failure.to_string().contains("made again"), "{failure}");
    // The group's offset is that of the old topic: the new one is read from its start.
    let again = RunningSource::start(&source_settings(&topic, &group, vec![]));
    again.wait_for(10).await;
    again.stop().await;
}
