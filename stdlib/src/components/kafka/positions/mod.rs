//! The positions topic: which events have arrived by committed transactions, written in the same transactions.
//!
//! The topic is compacted and has one partition. Several sinks may share it, each under its transactional id.

mod records;

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use thiserror::Error;
use tracing::{debug, info, warn};

use super::protected::ProtectedConfig;
use records::Found;
pub(super) use records::{PositionRecord, Positions};

/// The only partition of the topic.
pub(super) const PARTITION: i32 = 0;

/// The beginning of the names of topics of positions.
const TOPIC_PREFIX: &str = "weir-positions-";

/// The timeout of one request to the broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a broker may take to make the topic.
const CREATE_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest wait for the end of transactions of other sinks that share the topic: the broker ends those of dead ones after
/// their timeout.
const OPEN_TRANSACTIONS_LIMIT: Duration = Duration::from_secs(90);

/// The wait before the end of these transactions is looked for again.
const OPEN_TRANSACTIONS_PAUSE: Duration = Duration::from_millis(50);

/// How long reading may make no progress.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// The settings of a topic that the sink makes. Small segments are compacted early, which keeps a start short.
const TOPIC_SETTINGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("segment.ms", "3600000"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

/// Returns the name of the topic that holds the positions of a transactional id, if the settings name none. Each id has its own:
/// in a topic that several share, a start waits until the brokers have ended the transaction of another one that is dead.
pub(super) fn topic_of(id: &str) -> String {
    /// The longest name of a topic.
    const NAME_BYTES_MAX: usize = 249;
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let plain: String = id.chars().map(|letter| if is_allowed(letter) { letter } else { '_' }).collect();
    if plain == id && TOPIC_PREFIX.len() + id.len() <= NAME_BYTES_MAX {
        return format!("{TOPIC_PREFIX}{id}");
    }
    // Different ids keep different names.
    let hash = xxhash_rust::xxh3::xxh3_64(id.as_bytes());
    let plain: String = plain.chars().take(150).collect();
    format!("{TOPIC_PREFIX}{plain}-{hash:016x}")
}

/// Why the positions topic can't be used.
#[derive(Debug, Error)]
pub(super) enum PositionsError {
    /// The broker has failed to answer.
    #[error("{action} topic {topic}")]
    Kafka {
        action: &'static str,
        topic: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// The topic does not exist, and the sink may not make it.
    #[error(
        "topic {topic} does not exist and the broker does not let the sink make it: {code}; make it with one partition and \
         cleanup.policy=compact"
    )]
    Missing { topic: String, code: RDKafkaErrorCode },
    /// The topic forgets records.
    #[error(
        "topic {topic} has cleanup.policy={policy}: it would forget what has arrived; it needs cleanup.policy=compact"
    )]
    Forgetful { topic: String, policy: String },
    /// The topic does not keep the order of the records of different keys.
    #[error("topic {topic} has {partitions} partitions; it needs one")]
    Partitions { topic: String, partitions: usize },
    /// A record can't be read.
    #[error("topic {topic}: the record at offset {offset} is damaged")]
    Damaged {
        topic: String,
        offset: i64,
        #[source]
        source: serde_json::Error,
    },
    /// A later version of Weir has written the topic.
    #[error("topic {topic}: a later version of Weir has written to it")]
    Later { topic: String },
    /// Transactions of other producers stay open.
    #[error("topic {topic}: transactions of other sinks stay open")]
    Open { topic: String },
}

impl PositionsError {
    /// Whether another attempt may succeed without a change of the topic.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, PositionsError::Kafka { .. } | PositionsError::Open { .. })
    }
}

/// The context of the clients here: what they report is of interest only when a call fails.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(?level, "librdkafka: {facility}: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!("librdkafka: {error}: {reason}");
    }
}

impl ConsumerContext for Quiet {}

/// Makes the topic if it does not exist, and checks that it keeps the last record of each key.
///
/// # Errors
/// When the topic can't be made or used, or the broker does not answer.
pub(super) async fn ensure_topic(
    config: &ProtectedConfig,
    topic: &str,
    component: &str,
) -> Result<(), PositionsError> {
    let failed = |action| {
        let topic = topic.to_owned();
        move |source| PositionsError::Kafka { action, topic, source: Box::new(source) }
    };
    let admin: AdminClient<Quiet> =
        config.create(Quiet).map_err(|error| failed("asking for")(error.into()))?;
    let options =
        AdminOptions::new().request_timeout(Some(CREATE_TIMEOUT)).operation_timeout(Some(CREATE_TIMEOUT));
    // By -1, the broker decides about replicas.
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(-1));
    let new = TOPIC_SETTINGS.iter().fold(new, |new, (name, value)| new.set(name, value));
    let made = admin.create_topics([&new], &options).await.map_err(failed("making"))?;
    let refused = match made.into_iter().next() {
        Some(Ok(_)) => {
            info!(component, "topic {topic} was made, for what has arrived by this sink's transactions");
            return Ok(());
        }
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | None => None,
        Some(Err((_, code))) => Some(code),
    };
    let resources = [ResourceSpecifier::Topic(topic)];
    let described = admin.describe_configs(&resources, &options).await.map_err(failed("asking for"))?;
    match described.into_iter().next() {
        Some(Ok(resource)) => {
            let policy = resource.get("cleanup.policy").and_then(|entry| entry.value.clone());
            let policy = policy.unwrap_or_default();
            if policy != "compact" {
                return Err(PositionsError::Forgetful { topic: topic.to_owned(), policy });
            }
        }
        Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) => {
            let code = refused.unwrap_or(RDKafkaErrorCode::UnknownTopicOrPartition);
            return Err(match code {
                // The broker may not be able to now.
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::PolicyViolation
                | RDKafkaErrorCode::InvalidTopic => PositionsError::Missing { topic: topic.to_owned(), code },
                _ => failed("making")(KafkaError::AdminOp(code)),
            });
        }
        Some(Err(code)) => warn!(
            component,
            "whether topic {topic} keeps what has arrived by this sink's transactions can't be checked ({code}): it needs \
             cleanup.policy=compact"
        ),
        None => {}
    }
    Ok(())
}

/// Reads what the committed transactions of this id have written. Blocks.
///
/// No transaction of the id may be open: a new producer has initialised transactions.
///
/// # Errors
/// When the topic can't be read, or what it says can't be used.
pub(super) fn read(config: &ProtectedConfig, topic: &str, id: &str) -> Result<Positions, PositionsError> {
    let failed = |action| {
        let topic = topic.to_owned();
        move |source| PositionsError::Kafka { action, topic, source: Box::new(source) }
    };
    let mut config = config.clone();
    config
        .set("group.id", "weir")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false");
    config.set("enable.partition.eof", "true").set("auto.offset.reset", "error").set("check.crcs", "true");
    let mut client = |isolation| {
        config.set("isolation.level", isolation);
        config.create::<_, BaseConsumer<Quiet>>(Quiet).map_err(|error| failed("reading")(error.into()))
    };
    let uncommitted = client("read_uncommitted")?;
    let consumer = client("read_committed")?;
    let metadata = uncommitted.fetch_metadata(Some(topic), REQUEST_TIMEOUT).map_err(failed("asking for"))?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    if partitions > 1 {
        return Err(PositionsError::Partitions { topic: topic.to_owned(), partitions });
    }
    let end = |consumer: &BaseConsumer<Quiet>| consumer.fetch_watermarks(topic, PARTITION, REQUEST_TIMEOUT);
    let (_, written) = end(&uncommitted).map_err(failed("asking for the end of"))?;
    // The records of this id may lie behind those of transactions that are still open.
    let begin = Instant::now();
    while end(&consumer).map_err(failed("asking for the end of"))?.1 < written {
        if begin.elapsed() > OPEN_TRANSACTIONS_LIMIT {
            return Err(PositionsError::Open { topic: topic.to_owned() });
        }
        std::thread::sleep(OPEN_TRANSACTIONS_PAUSE);
    }
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(topic, PARTITION, Offset::Beginning).map_err(failed("reading"))?;
    consumer.assign(&all).map_err(failed("reading"))?;
    let (mut found, mut heard) = (Found::default(), Instant::now());
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                heard = Instant::now();
                let damaged = |source| {
                    let (topic, offset) = (topic.to_owned(), record.offset());
                    PositionsError::Damaged { topic, offset, source }
                };
                found.add(id, record.key().unwrap_or_default(), record.payload()).map_err(damaged)?;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            // librdkafka repeats what an outage has interrupted.
            Some(Err(error)) if heard_long_ago(heard) => return Err(failed("reading")(error)),
            Some(Err(_)) => {}
            None if heard_long_ago(heard) => {
                return Err(failed("reading")(KafkaError::Global(RDKafkaErrorCode::OperationTimedOut)));
            }
            None => {}
        }
    }
    match found.is_later() {
        true => Err(PositionsError::Later { topic: topic.to_owned() }),
        false => Ok(found.into_positions(id)),
    }
}

/// Returns what these records say of an id, which committed transactions have written.
#[cfg(test)]
pub(super) fn of_records(records: &[PositionRecord], id: &str) -> Positions {
    let mut found = Found::default();
    for PositionRecord { key, value } in records {
        found.add(id, key.as_bytes(), value.as_ref().map(String::as_bytes)).expect("the sink has written it");
    }
    found.into_positions(id)
}

fn heard_long_ago(heard: Instant) -> bool {
    heard.elapsed() > SILENCE_LIMIT
}
