use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use weir_plan::Value;
use weir_runtime::SystemClock;
use weir_runtime::channel::{Channel, Limits, MemoryChannel, Taken};
use weir_runtime::sink::SinkPort;

use std::sync::Arc;

use super::*;

fn source(changes: &[(&str, Value)]) -> Box<dyn Source> {
    let mut values = BTreeMap::from([
        ("content", Value::Variant { name: "access_log".into(), settings: BTreeMap::new() }),
        ("count", Value::Null),
        ("rate", Value::Null),
        ("seed", Value::Int(0)),
        ("start", Value::Text("2026-01-01T00:00:00Z".into())),
        ("every", Value::Duration(Duration::from_millis(1))),
        ("batch", Value::Int(100)),
    ]);
    values.extend(changes.iter().cloned());
    let values = values.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    let schema = Schema::new(vec![
        Field::new("@sequence", DataType::Int64, false),
        Field::new("@timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("body", DataType::BinaryView, false),
    ]);
    let context = Context {
        exactly_once: false,
        program: "test".into(),
        component: "numbers".into(),
        schema: Arc::new(schema),
        meter: Arc::default(),
        clock: Arc::new(SystemClock),
        descriptors: weir_runtime::Descriptors::of_process(),
    };
    make(&Settings { values }, context).unwrap()
}

fn numbered(size: i64) -> (&'static str, Value) {
    let settings = BTreeMap::from([("size".to_string(), Value::Size(size as u64))]);
    ("content", Value::Variant { name: "numbered".into(), settings })
}

/// Runs a source to its end and returns its batches.
async fn batches(mut source: Box<dyn Source>) -> Vec<Batch> {
    let limits = Limits {
        capacity: 1 << 20,
        transaction_capacity: 1 << 20,
        byte_capacity: 1 << 30,
        keep_alive: Duration::from_secs(3),
    };
    let channel: Arc<dyn Channel> = Arc::new(MemoryChannel::new(limits));
    let mut sink = SinkPort::reading(channel.as_ref());
    let port = SourcePort::into_channel(channel.clone());
    let mut running = tokio::spawn(async move { source.run(port).await });
    let mut batches = Vec::new();
    loop {
        tokio::select! {
            taken = sink.take() => if let Ok(Taken::Events(delivery)) = taken {
                batches.push(delivery.batch);
                delivery.acknowledgement.done();
            },
            ended = &mut running => {
                ended.unwrap().unwrap();
                return batches;
            }
        }
    }
}

fn lines(batches: &[Batch]) -> Vec<String> {
    let bodies = batches.iter().flat_map(|batch| batch.bodies().unwrap().iter().flatten());
    bodies.map(|body| String::from_utf8(body.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn numbered_events_have_their_number_and_their_size() {
    let batches = batches(source(&[numbered(20), ("count", Value::Int(250))])).await;
    let lines = lines(&batches);
    assert_eq!(lines.len(), 250);
    assert_eq!(lines[0], "1 abcdefghijklmnopqr");
    assert_eq!(lines[249], "250 abcdefghijklmnop");
    assert_eq!(batches.last().unwrap().origins().intervals()[0].through, 250);
    let numbers = batches[1].column("@sequence").unwrap().values().as_primitive::<Int64Type>();
    assert_eq!(numbers.value(0), 101);
}

#[tokio::test]
async fn access_logs_are_the_same_at_every_run_and_differ_by_seed() {
    let some = |seed| source(&[("seed", Value::Int(seed)), ("count", Value::Int(1_000))]);
    let first = lines(&batches(some(1)).await);
    assert_eq!(first, lines(&batches(some(1)).await));
    let other = lines(&batches(some(2)).await);
    assert!(first.iter().zip(&other).all(|(one, other)| one != other));
    let format = r#"^\d+\.\d+\.\d+\.\d+ - (-|user\d+) \[01/Jan/2026:00:00:0\d \+0000\] "(GET|POST) /\S* HTTP/1.1" \d{3} \d+ "[^"]+" "[^"]+"$"#;
    let format = regex::Regex::new(format).unwrap();
    let odd: Vec<&String> = first.iter().filter(|line| !format.is_match(line)).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

#[tokio::test]
async fn large_bodies_make_smaller_batches() {
    let batches = batches(source(&[numbered(1 << 18), ("count", Value::Int(10))])).await;
    let rows: Vec<usize> = batches.iter().map(Batch::rows).collect();
    assert_eq!(rows, [4, 4, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept() {
    let began = Instant::now();
    batches(source(&[("count", Value::Int(5_000)), ("rate", Value::EventRate(1_000.0))])).await;
    let seconds = began.elapsed().as_secs_f64();
    assert!((5.0..5.1).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_count_of_nothing_ends_at_once() {
    assert!(batches(source(&[("count", Value::Int(0))])).await.is_empty());
}
