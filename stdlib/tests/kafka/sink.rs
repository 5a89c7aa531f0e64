//! The sink. Its records are read by the source or by librdkafka itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{BinaryViewArray, StringViewArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, TopicPartitionList};
use weir_plan::{Hole, HoleFormat, Settings, Template, TemplatePart, Value};
use weir_runtime::Failure;
use weir_runtime::batch::{Batch, Column, Interval, Origins, Partition};
use weir_runtime::channel::Channel;
use weir_runtime::sink::{Sink, SinkPort};
use weir_runtime::source::{Deliveries, SourcePort};

use crate::harness::{
    Broker, RunningSource, assert_complete, body, bootstrap, channel, context, create_topic, repeated,
    sink_settings, source_settings, template, topic, unique, variant,
};

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("@host", DataType::Utf8View, false),
        Field::new("@timestamp", time, false),
        Field::new("body", DataType::BinaryView, false),
    ]))
}

pub(crate) fn batch(numbers: std::ops::Range<usize>) -> Batch {
    let hosts = numbers.clone().map(|number| format!("host-{}", number % 3));
    let interval = Interval {
        partition: Partition::new("numbers"),
        after: numbers.start as u64,
        through: numbers.end as u64,
    };
    let columns = vec![
        Column::Array(Arc::new(StringViewArray::from_iter_values(hosts))),
        Column::constant_time(1_700_000_000_123_000),
        BinaryViewArray::from_iter_values(numbers.clone().map(body)).into(),
    ];
    Batch::new(schema(), columns, numbers.len(), Origins::new(vec![interval])).unwrap()
}

/// Runs a sink on these batches. Returns its result, and what its channel has delivered.
pub(crate) async fn run_on(sink: &mut dyn Sink, batches: Vec<Batch>) -> (Result<(), Failure>, Deliveries) {
    let channel: Arc<dyn Channel> = channel(200_000);
    let mut port = SinkPort::reading(&*channel);
    let SourcePort { mut outlet, deliveries, .. } = SourcePort::into_channel(channel.clone());
    let put = async {
        for batch in batches {
            outlet.put(batch).await.unwrap();
        }
        outlet.close();
        channel.close();
    };
    let (ended, ()) = tokio::join!(sink.run(&mut port), put);
    (ended, deliveries)
}

/// Makes a sink and runs it on these batches. Returns its result, and the number through which all events are delivered.
pub(crate) async fn write(settings: &Settings, batches: Vec<Batch>) -> (Result<(), Failure>, u64) {
    let mut sink = weir_stdlib::kafka::make_sink(settings, context("out", schema())).unwrap();
    let (ended, mut deliveries) = run_on(&mut *sink, batches).await;
    let mut through = 0;
    if ended.is_ok() {
        while let Some(delivered) = deliveries.next().await {
            through = delivered.positions().map(|(_, through)| through.position()).max().unwrap_or(through);
        }
    }
    (ended, through)
}

async fn read_back(topic: &str, count: usize) -> BTreeMap<String, usize> {
    let source_run = RunningSource::start(&source_settings(topic, &unique("group"), vec![]));
    source_run.wait_for(count).await;
    source_run.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_every_codec_can_be_read() {
    let _broker = Broker::shared().await;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = topic(codec, 3).await;
        let settings = sink_settings(template(&topic), vec![("compress", variant(codec))]);
        let (ended, through) = write(&settings, vec![batch(0..5_000), batch(5_000..10_000)]).await;
        ended.unwrap();
        assert_eq!(through, 10_000, "{codec}");
        let bodies = read_back(&topic, 10_000).await;
        assert_complete(&bodies, 0..10_000);
        assert_eq!(repeated(&bodies), 0, "{codec}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sink_waits_while_the_queue_is_full() {
    let _broker = Broker::shared().await;
    let topic = topic("full", 3).await;
    let settings = sink_settings(template(&topic), vec![("buffer", Value::Size(1 << 20))]);
    let batches = (0..20).map(|part| batch(part * 5_000..(part + 1) * 5_000)).collect();
    let (ended, through) = write(&settings, batches).await;
    ended.unwrap();
    assert_eq!(through, 100_000);
    let bodies = read_back(&topic, 100_000).await;
    assert_complete(&bodies, 0..100_000);
    assert_eq!(repeated(&bodies), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_delivered_with_acks_none_and_leader() {
    let _broker = Broker::shared().await;
    for acks in ["none", "leader"] {
        let topic = topic(acks, 1).await;
        let settings = sink_settings(template(&topic), vec![("acks", variant(acks))]);
        let (ended, through) = write(&settings, vec![batch(0..1_000)]).await;
        ended.unwrap();
        assert_eq!(through, 1_000);
        assert_complete(&read_back(&topic, 1_000).await, 0..1_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_keys_and_times_are_taken_from_the_events() {
    let _broker = Broker::shared().await;
    let prefix = unique("by");
    for host in 0..3 {
        create_topic(&format!("{prefix}-host-{host}"), 1, &[]).await;
    }
    let host = || TemplatePart::Hole(Hole { column: "@host".into(), format: HoleFormat::Plain });
    let text = TemplatePart::Text(format!("{prefix}-"));
    let topic = Value::Template(Template { parts: vec![text, host()] });
    let key = Value::Template(Template { parts: vec![host()] });
    let (ended, _) = write(&sink_settings(topic, vec![("key", key)]), vec![batch(0..300)]).await;
    ended.unwrap();
    for host in 0..3 {
        let topic = format!("{prefix}-host-{host}");
        let records = tokio::task::spawn_blocking(move || records(&topic, 100)).await.unwrap();
        assert_eq!(records[7], (Some(format!("host-{host}")), body(21 + host), Some(1_700_000_000_123)));
    }
}

fn records(topic: &str, count: usize) -> Vec<(Option<String>, String, Option<i64>)> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap()).set("group.id", unique("reader"));
    config.set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let mut records = Vec::new();
    while records.len() < count {
        let message = consumer.poll(Duration::from_secs(30)).expect("a record").unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        records.push((
            message.key().map(text),
            message.payload().map(text).unwrap(),
            message.timestamp().to_millis(),
        ));
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_stops_the_sink_with_a_message_that_names_the_topic() {
    let _broker = Broker::shared().await;
    let topic = unique("small");
    create_topic(&topic, 1, &[("max.message.bytes", "2000")]).await;
    let batch = two_records("small".to_owned(), pseudo_random(1_500_000));
    let (ended, _) = write(&sink_settings(template(&topic), vec![]), vec![batch]).await;
    let failure = ended.unwrap_err();
    assert!(failure.is_permanent());
    let text = failure.to_string();
    assert!(
        text.contains("sink out") && text.contains(&topic) && text.contains("max.message.bytes"),
        "{text}"
    );
}

fn two_records(one: String, other: String) -> Batch {
    let columns = vec![
        Column::constant_text("host"),
        Column::constant_time(0),
        BinaryViewArray::from_iter_values([one, other]).into(),
    ];
    Batch::new(schema(), columns, 2, Origins::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_of_several_records_is_tried_again_in_smaller_ones() {
    let _broker = Broker::shared().await;
    let topic = unique("batches");
    create_topic(&topic, 1, &[("max.message.bytes", "5000")]).await;
    let text = pseudo_random(7_000);
    let batch = two_records(text[..4_000].to_owned(), text[4_000..].to_owned());
    let (ended, _) = write(&sink_settings(template(&topic), vec![]), vec![batch]).await;
    let failure = ended.unwrap_err();
    assert!(!failure.is_permanent());
    assert!(failure.to_string().contains("the next ones are smaller"), "{failure}");
}

/// Makes a text that no codec can compress.
fn pseudo_random(length: usize) -> String {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b' ' + (state >> 24) as u8 % 95)
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_topic_name_stops_the_sink() {
    let _broker = Broker::shared().await;
    let (ended, _) = write(&sink_settings(template("not a topic!"), vec![]), vec![batch(0..1)]).await;
    let failure = ended.unwrap_err();
    assert!(failure.to_string().contains("not a topic!"), "{failure}");
}
