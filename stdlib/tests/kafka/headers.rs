//! The source reads the headers of records.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use weir_runtime::channel::Taken;
use weir_runtime::sink::SinkPort;
use weir_runtime::source::SourcePort;

use crate::harness::{Broker, TIMEOUT, bootstrap, channel, context, source_settings, topic, unique};

fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8View, false);
    let entries = DataType::Struct(vec![text("key"), text("value")].into());
    let map = DataType::Map(Arc::new(Field::new("entries", entries, false)), false);
    Arc::new(Schema::new(vec![
        Field::new("body", DataType::BinaryView, false),
        Field::new("headers", map, false),
    ]))
}

/// Writes three records: with headers, without headers, and with headers of which some are no text.
fn write(topic: &str) {
    let header = |key, value: &'static [u8]| Header { key, value: Some(value) };
    let some = OwnedHeaders::new().insert(header("trace", b"7")).insert(header("tenant", b"weir"));
    let odd = OwnedHeaders::new()
        .insert(header("bytes", &[0xff, 0xfe]))
        .insert(Header { key: "null", value: None::<&[u8]> })
        .insert(header("twice", b"first"))
        .insert(header("twice", b"last"));
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    for (body, headers) in [("a", Some(some)), ("b", None), ("c", Some(odd))] {
        let mut record: BaseRecord<'_, str, str> = BaseRecord::to(topic).partition(0).payload(body);
        if let Some(headers) = headers {
            record = record.headers(headers);
        }
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_the_headers_of_their_records() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("headers", 1).await, unique("group"));
    let to = topic.clone();
    tokio::task::spawn_blocking(move || write(&to)).await.unwrap();
    let settings = source_settings(&topic, &group, vec![]);
    let mut source = weir_stdlib::kafka::make_source(&settings, context("in", schema())).unwrap();
    let channel = channel(1_000);
    let mut sink = SinkPort::reading(&*channel);
    let port = SourcePort::into_channel(channel.clone());
    let stop = port.stop.clone();
    let task = tokio::spawn(async move { source.run(port).await });
    let mut found = Vec::new();
    while found.len() < 3 {
        let taken = tokio::time::timeout(TIMEOUT, sink.take()).await.expect("no records came").unwrap();
        let Taken::Events(delivery) = taken else { panic!("events were expected, not {taken:?}") };
        let maps = delivery.batch.column("headers").unwrap().values();
        for row in 0..delivery.batch.rows() {
            let entries = maps.as_map().value(row);
            let column = |index: usize| entries.column(index).as_string_view().iter().flatten();
            let pairs = column(0).zip(column(1)).map(|(name, value)| format!("{name}={value}"));
            found.push(pairs.collect::<Vec<_>>().join(" "));
        }
        delivery.acknowledgement.done();
    }
    assert_eq!(found, ["trace=7 tenant=weir", "", "twice=last"]);
    stop.cancel();
    tokio::time::timeout(TIMEOUT, task).await.expect("the source did not stop").unwrap().unwrap();
}
