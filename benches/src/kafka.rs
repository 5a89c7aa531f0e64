//! Reading Kafka: the source, compared with librdkafka's consumer alone.

use std::error::Error;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use tokio::runtime::Builder;

use crate::Outcome;
use crate::pipeline::{Until, compile, run};
use crate::rounds::{Run, pairs};

const PROGRAM: &str = "
param brokers: [Address]
param topic: Text
param group: Text

source records = kafka { brokers: brokers, topics: [topic], group: group }

channel buffer = memory { capacity: 100_000 }

sink nowhere = null {}

flow main { records -> buffer -> nowhere }
";

const FILL: &str = "
param brokers: [Address]
param topic: Text
param events: Int

source lines = generate { content: access_log, count: events }

channel buffer = memory { capacity: 100_000 }

sink topic_of_lines = kafka { brokers: brokers, topic: \"{topic}\" }

flow main { lines -> buffer -> topic_of_lines }
";

const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads a topic of access-log lines to its end.
///
/// # Errors
/// When a run fails.
pub(crate) fn measure(rounds: usize, events: u64) -> Outcome {
    let brokers = brokers()?;
    let topic = fill_topic(&brokers, events)?;
    println!("Kafka -> memory -> null: {events} access log lines from {PARTITIONS} partitions");
    let mut group = 0;
    let weir = || -> Result<Run, Box<dyn Error>> {
        group += 1;
        let group = format!("{topic}-{group}");
        let plan = compile(PROGRAM, &[("brokers", &brokers), ("topic", &topic), ("group", &group)])?;
        Ok(run(&plan, "nowhere", events, Until::Delivered)?.0)
    };
    let mut bare_group = 0;
    let bare = || {
        bare_group += 1;
        let mut read = Run { events: 0, bytes: 0, took: Duration::ZERO };
        let began = Instant::now();
        let consumer = consumer(&brokers, &topic, &format!("{topic}-bare-{bare_group}"))?;
        consume(&consumer, events, &mut |payload| {
            read.events += 1;
            read.bytes += payload.len() as u64;
            Ok(())
        })?;
        read.took = began.elapsed();
        Ok(read)
    };
    pairs(rounds, "bare consumer", weir, bare)
}

/// Returns the brokers of KAFKA_BOOTSTRAP.
///
/// # Errors
/// When KAFKA_BOOTSTRAP is not set.
pub(crate) fn brokers() -> Result<String, Box<dyn Error>> {
    std::env::var("KAFKA_BOOTSTRAP").map_err(|_| "KAFKA_BOOTSTRAP must name a broker".into())
}

/// Creates a topic with a new name.
///
/// # Errors
/// When the broker does not create it.
pub(crate) fn make_topic(brokers: &str) -> Result<String, Box<dyn Error>> {
    let topic = format!("bench-{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis());
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let new = NewTopic::new(&topic, PARTITIONS, TopicReplication::Fixed(1));
    let runtime = Builder::new_current_thread().enable_all().build()?;
    for made in runtime.block_on(admin.create_topics([&new], &AdminOptions::new()))? {
        made.map_err(|(topic, error)| format!("making {topic}: {error}"))?;
    }
    Ok(topic)
}

/// Creates a topic and fills it with this number of access-log lines, with Weir.
///
/// # Errors
/// When the topic can't be created or filled.
pub(crate) fn fill_topic(brokers: &str, events: u64) -> Result<String, Box<dyn Error>> {
    let topic = make_topic(brokers)?;
    let params = [("brokers", brokers), ("topic", &topic), ("events", &events.to_string())];
    let (filled, _) = run(&compile(FILL, &params)?, "topic_of_lines", events, Until::Delivered)?;
    let (rate, megabytes) = (filled.events_per_second() / 1e6, filled.megabytes_per_second());
    println!("generate -> memory -> Kafka (filling the topic): {rate:.2} M events/s, {megabytes:.1} MB/s");
    Ok(topic)
}

/// Creates a consumer of a complete topic, from its beginning.
///
/// # Errors
/// When the consumer can't be created.
pub(crate) fn consumer(brokers: &str, topic: &str, group: &str) -> Result<BaseConsumer, Box<dyn Error>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        // The same value as in the source. The default of one second starves a fast reader: less than half of the
        // rate was measured.
        .set("fetch.queue.backoff.ms", "20")
        .set("check.crcs", "true")
        .create()?;
    consumer.subscribe(&[topic])?;
    Ok(consumer)
}

/// Passes the payloads of this number of records to `take`.
///
/// # Errors
/// When the records don't arrive, or `take` fails.
pub(crate) fn consume(
    consumer: &BaseConsumer,
    events: u64,
    take: &mut dyn FnMut(&[u8]) -> Outcome,
) -> Outcome {
    let mut left = events;
    let mut last = Instant::now();
    while left > 0 {
        match consumer.poll(Duration::from_millis(100)) {
            Some(message) => {
                take(message?.payload().unwrap_or_default())?;
                left -= 1;
                if left.is_multiple_of(65_536) {
                    last = Instant::now();
                }
            }
            None if last.elapsed() > PATIENCE => return Err(format!("{left} records did not come").into()),
            None => {}
        }
    }
    Ok(())
}
