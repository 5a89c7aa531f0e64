//! The topic of a channel: made if the settings say so, and checked before anything is put or taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde::Deserialize;
use tokio::time::Instant;
use tracing::{info, warn};

use super::error::{ChannelError, is_refusal};
use crate::components::kafka::native::{TopicId, known_id};
use crate::components::kafka::protected::ProtectedConfig;

/// The timeout of one request to the brokers.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the brokers may take to make the topic.
const CREATE_TIMEOUT: Duration = Duration::from_secs(20);

/// The wait before a topic that was just made is looked for again.
const MADE_PAUSE: Duration = Duration::from_millis(100);

/// The record `KafkaTopic` of the signature.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Create {
    partitions: i32,
    replication: Option<i32>,
}

/// The topic as it is found.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub(super) name: String,
    /// None if the brokers give their topics no identities.
    pub(super) id: Option<TopicId>,
    pub(super) partitions: i32,
    /// The most bytes of a record.
    pub(super) record_bytes_max: u64,
}

impl Topic {
    /// The name of a partition, which is never that of another one, by which sinks know its events.
    pub(super) fn partition_name(&self, number: i32) -> String {
        match self.id {
            Some(id) => format!("kafka channel {id}/{number}"),
            None => format!("kafka channel {}/{number}", self.name),
        }
    }

    /// The number of a partition of this name, if it is one of the topic's.
    pub(super) fn partition_number(&self, name: &str) -> Option<i32> {
        let of_topic = match self.id {
            Some(id) => format!("kafka channel {id}/"),
            None => format!("kafka channel {}/", self.name),
        };
        name.strip_prefix(&of_topic)?.parse().ok()
    }
}

/// Looks for the topic, and makes it if `create` says so. `put_size` is what the channel charges for its largest put, which takes
/// at most `needed` bytes as a record.
///
/// # Errors
/// When the topic does not exist, can't be used by a channel, or the brokers don't answer.
pub(super) async fn find(
    config: &ProtectedConfig,
    name: &str,
    create: Option<Create>,
    [put_size, needed]: [u64; 2],
    component: &str,
) -> Result<Topic, ChannelError> {
    let admin: Arc<AdminClient<DefaultClientContext>> = Arc::new(config.create(DefaultClientContext)?);
    let mut made: Option<Instant> = None;
    let (id, partitions) = loop {
        let (asked, of) = (admin.clone(), name.to_owned());
        let stopped = |_| Err(failure("asking for it", name, KafkaError::Canceled));
        let asked = tokio::task::spawn_blocking(move || ask(&asked, &of)).await.unwrap_or_else(stopped)?;
        match (asked, create, made) {
            (Some(found), ..) => break found,
            // The other brokers learn of a new topic a little later.
            (None, _, Some(made)) if made.elapsed() < CREATE_TIMEOUT => tokio::time::sleep(MADE_PAUSE).await,
            (None, _, Some(_)) => {
                let unknown = KafkaError::AdminOp(RDKafkaErrorCode::UnknownTopicOrPartition);
                return Err(failure("asking for it after it was made", name, unknown));
            }
            (None, Some(create), None) => {
                // Another agent may be faster.
                if make(&admin, name, create, needed).await? {
                    info!(component, "topic {name} was made, with {} partitions", create.partitions);
                }
                made = Some(Instant::now());
            }
            (None, None, None) => return Err(ChannelError::NoTopic { topic: name.to_owned() }),
        }
    };
    let record_bytes_max = check(&admin, name, [put_size, needed], component).await?;
    Ok(Topic { name: name.to_owned(), id, partitions, record_bytes_max })
}

/// Returns the offset at the end of each partition, behind the records of transactions that are open.
///
/// # Errors
/// When the brokers don't answer.
pub(super) async fn ends(
    mut config: ProtectedConfig,
    topic: &Arc<Topic>,
) -> Result<BTreeMap<i32, u64>, ChannelError> {
    let of = topic.clone();
    let asked = tokio::task::spawn_blocking(move || {
        config.set("isolation.level", "read_uncommitted");
        let client: BaseConsumer = config.create(DefaultConsumerContext)?;
        let end = |partition: i32| {
            let (_, high) = client.fetch_watermarks(&of.name, partition, REQUEST_TIMEOUT)?;
            Ok((partition, u64::try_from(high).unwrap_or(0)))
        };
        (0..of.partitions).map(end).collect::<Result<BTreeMap<i32, u64>, KafkaError>>()
    });
    let asked = asked.await.unwrap_or(Err(KafkaError::Canceled));
    asked.map_err(|source| failure("asking for its end", &topic.name, source))
}

/// Returns the identity of the topic and the number of its partitions; none if there is no such topic.
fn ask(
    admin: &AdminClient<DefaultClientContext>,
    name: &str,
) -> Result<Option<(Option<TopicId>, i32)>, ChannelError> {
    let failed = |source| failure("asking for it", name, source);
    // Asked first, since a request for metadata may let the brokers make the topic, in another way than `create` says.
    let id = match known_id(admin.inner(), name, REQUEST_TIMEOUT) {
        Ok(id) => id,
        Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => return Ok(None),
        Err(code) => return Err(failed(KafkaError::AdminOp(code))),
    };
    let metadata = admin.inner().fetch_metadata(Some(name), REQUEST_TIMEOUT).map_err(failed)?;
    let found = metadata.topics().first();
    match found.and_then(|topic| topic.error()).map(RDKafkaErrorCode::from) {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => return Ok(None),
        Some(code) => return Err(failed(KafkaError::MetadataFetch(code))),
        None => {}
    }
    let partitions = found.map_or(0, |topic| topic.partitions().len());
    Ok(Some((id, i32::try_from(partitions).unwrap_or(i32::MAX))))
}

/// Checks that the topic is still the one that it was. A topic that is missing, or brokers that don't answer, are no change. Blocks for at
/// most about `limit`.
///
/// # Errors
/// When the topic was made again.
pub(super) fn check_identity<C: ClientContext>(
    client: &rdkafka::client::Client<C>,
    topic: &Topic,
    limit: Duration,
) -> Result<(), ChannelError> {
    let (Some(before), Ok(Some(now))) = (topic.id, known_id(client, &topic.name, limit)) else {
        return Ok(());
    };
    if before == now {
        return Ok(());
    }
    Err(ChannelError::MadeAgain { topic: topic.name.clone(), before, now })
}

/// Makes the topic. Returns false if it exists.
async fn make(
    admin: &AdminClient<DefaultClientContext>,
    name: &str,
    create: Create,
    needed: u64,
) -> Result<bool, ChannelError> {
    let options =
        AdminOptions::new().request_timeout(Some(CREATE_TIMEOUT)).operation_timeout(Some(CREATE_TIMEOUT));
    // By -1, the brokers decide.
    let replication = TopicReplication::Fixed(create.replication.unwrap_or(-1));
    let size = needed.max(1 << 20).to_string();
    let new = NewTopic::new(name, create.partitions, replication);
    let new = new.set("cleanup.policy", "delete").set("max.message.bytes", &size);
    let made =
        admin.create_topics([&new], &options).await.map_err(|source| failure("making it", name, source))?;
    match made.into_iter().next() {
        Some(Err((_, code))) if is_refusal(code) => {
            Err(ChannelError::NotMade { topic: name.to_owned(), code })
        }
        Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
            Err(failure("making it", name, KafkaError::AdminOp(code)))
        }
        Some(Ok(_)) => Ok(true),
        _ => Ok(false),
    }
}

/// Checks the settings of the topic. Returns the most bytes of a record.
async fn check(
    admin: &AdminClient<DefaultClientContext>,
    name: &str,
    [put_size, needed]: [u64; 2],
    component: &str,
) -> Result<u64, ChannelError> {
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let resources = [ResourceSpecifier::Topic(name)];
    let described = admin.describe_configs(&resources, &options).await;
    let described = described.map_err(|source| failure("asking for its settings", name, source))?;
    let resource = match described.into_iter().next() {
        Some(Ok(resource)) => resource,
        Some(Err(code)) if is_refusal(code) => {
            warn!(
                component,
                "whether topic {name} keeps events until they are delivered can't be checked ({code}): it needs \
                 cleanup.policy=delete and max.message.bytes={needed}"
            );
            return Ok(needed);
        }
        Some(Err(code)) => return Err(failure("asking for its settings", name, KafkaError::AdminOp(code))),
        None => return Ok(needed),
    };
    let value =
        |setting: &str| resource.get(setting).and_then(|entry| entry.value.clone()).unwrap_or_default();
    let topic = name.to_owned();
    let policy = value("cleanup.policy");
    if policy != "delete" {
        return Err(ChannelError::Compacted { topic, policy });
    }
    let limit = value("max.message.bytes").parse().unwrap_or(needed);
    if limit < needed {
        return Err(ChannelError::TooSmall { topic, limit, put_size, needed });
    }
    let bounds = [("retention.ms", "milliseconds"), ("retention.bytes", "bytes in a partition")];
    let bounds = bounds.iter().filter_map(|(setting, unit)| {
        let bound: u64 = value(setting).parse().ok()?;
        Some(format!("{bound} {unit}"))
    });
    let bounds: Vec<String> = bounds.collect();
    if !bounds.is_empty() {
        info!(
            component,
            "topic {name} deletes events after {}, also events that are not delivered by then",
            bounds.join(" or ")
        );
    }
    Ok(limit)
}

pub(super) fn failure(action: &'static str, topic: &str, source: KafkaError) -> ChannelError {
    ChannelError::Kafka { action, topic: topic.to_owned(), source: Box::new(source) }
}
