//! Writing Kafka: the sink, compared with librdkafka's producer alone, and with transactions.

use std::error::Error;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::Outcome;
use crate::kafka::{brokers, make_topic};
use crate::pipeline::{Until, compile, run};
use crate::rounds::{Run, pairs};

/// A program that writes numbered bodies of `SIZE`; `SETTINGS` are those of the sink, and `PROMISE` is that of the flow.
const PROGRAM: &str = "
param brokers: [Address]
param topic: Text
param events: Int

source made = generate { content: numbered { size: SIZE }, count: events }

channel buffer = memory { capacity: 1_000_000, byte_capacity: 1GiB }

sink written = kafka { brokers: brokers, topic: \"{topic}\"SETTINGS }

flow main delivers PROMISE { made -> buffer -> written }
";

/// The bytes of a body where the producer alone is measured.
const BODY_BYTES: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes events that are made on the way.
///
/// # Errors
/// When a run fails.
pub(crate) fn measure(rounds: usize, events: u64) -> Outcome {
    let brokers = brokers()?;
    println!("generate -> memory -> Kafka: {events} numbered bodies of {BODY_BYTES} B");
    let weir = || written(&brokers, events, &format!("{BODY_BYTES}B"), "", "at_least_once");
    pairs(rounds, "bare producer", weir, || bare(&brokers, events))
}

/// Writes events in transactions: of 1,000 events against a goal in events a second, and of 500 ms against at least once.
///
/// # Errors
/// When a run fails.
pub(crate) fn measure_transactions(rounds: usize, events: u64) -> Outcome {
    let brokers = brokers()?;
    let exactly_once = |events, transaction: &str| {
        // Another id for each run: a sink with the id of an earlier one leaves out what has arrived.
        let settings =
            format!(", delivery: exactly_once, transactional_id: topic, transaction: {transaction}");
        written(&brokers, events, "1KiB", &settings, "exactly_once")
    };
    println!("generate -> memory -> Kafka: {events} numbered bodies of 1 KiB, transactions of 500 ms");
    let long = || exactly_once(events, "{ events: 1_000_000, age: 500ms }");
    pairs(rounds, "at least once", long, || written(&brokers, events, "1KiB", "", "at_least_once"))?;
    let events = events / 5;
    println!("the same with {events} bodies, transactions of 1,000 events against those of 10,000");
    let short = || exactly_once(events, "{ events: 1_000, age: 10s }");
    pairs(rounds, "10,000", short, || exactly_once(events, "{ events: 10_000, age: 10s }"))
}

/// Writes events into a new topic with Weir.
fn written(
    brokers: &str,
    events: u64,
    size: &str,
    settings: &str,
    promise: &str,
) -> Result<Run, Box<dyn Error>> {
    let topic = make_topic(brokers)?;
    let program = PROGRAM.replace("SIZE", size).replace("SETTINGS", settings).replace("PROMISE", promise);
    let params = [("brokers", brokers), ("topic", &topic), ("events", &events.to_string())];
    Ok(run(&compile(&program, &params)?, "written", events, Until::Delivered)?.0)
}

/// Writes events into a new topic with a producer that has the settings of the sink.
fn bare(brokers: &str, events: u64) -> Result<Run, Box<dyn Error>> {
    let topic = make_topic(brokers)?;
    let began = Instant::now();
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("queue.buffering.max.kbytes", "65536")
        .set("queue.buffering.max.messages", "262144")
        .create()?;
    let mut body = vec![b'x'; BODY_BYTES];
    for number in 1..=events {
        let digits = number.to_string();
        body[..digits.len()].copy_from_slice(digits.as_bytes());
        let mut record: BaseRecord<'_, (), [u8]> = BaseRecord::to(&topic).payload(&body);
        while let Err((error, unsent)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_millis(1));
            record = unsent;
        }
    }
    producer.flush(PATIENCE)?;
    Ok(Run { events, bytes: events * BODY_BYTES as u64, took: began.elapsed() })
}
