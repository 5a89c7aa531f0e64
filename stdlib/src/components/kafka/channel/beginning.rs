//! Where the groups of readers begin: each group has an offset in each partition before the first put is acknowledged.
//!
//! A group without one would begin at the first record that the topic has. If every agent died before its readers had committed
//! anything, and the retention emptied the topic, the next start would take the events that are gone for events that never were.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

use super::error::{ChannelError, is_refusal};
use super::topic::{REQUEST_TIMEOUT, Topic, failure};
use crate::components::kafka::protected::ProtectedConfig;

/// The wait before the group's offsets are asked for again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Commits the beginning of each partition of which a group has no offset. The brokers don't take it while the group has members: those
/// commit where they begin, or are given up after the session timeout. So this takes `limit` at most.
///
/// # Errors
/// When the brokers don't answer, or don't let the agent use the group.
pub(super) async fn begin(
    config: ProtectedConfig,
    topic: Arc<Topic>,
    group: String,
    limit: Duration,
) -> Result<(), ChannelError> {
    let name = topic.name.clone();
    let stopped = |_| Err(failure("committing where its readers begin", &name, KafkaError::Canceled));
    tokio::task::spawn_blocking(move || begin_now(&config, &topic, &group, limit))
        .await
        .unwrap_or_else(stopped)
}

fn begin_now(
    config: &ProtectedConfig,
    topic: &Topic,
    group: &str,
    limit: Duration,
) -> Result<(), ChannelError> {
    let consumer: BaseConsumer = config.create(DefaultConsumerContext)?;
    let begin = Instant::now();
    loop {
        let error = match commit_missing(&consumer, topic) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let (topic, group) = (topic.name.clone(), group.to_owned());
        match error.rdkafka_error_code() {
            Some(code) if is_refusal(code) => return Err(ChannelError::NotReadable { topic, group, code }),
            _ if begin.elapsed() >= limit => {
                return Err(failure("committing where its readers begin", &topic, error));
            }
            _ => std::thread::sleep(RETRY_PAUSE),
        }
    }
}

fn commit_missing(consumer: &BaseConsumer, topic: &Topic) -> KafkaResult<()> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(&topic.name, 0, topic.partitions - 1);
    let known = consumer.committed_offsets(asked, REQUEST_TIMEOUT)?;
    let mut missing = TopicPartitionList::new();
    for element in known.elements() {
        element.error()?;
        if !matches!(element.offset(), Offset::Offset(_)) {
            let (low, _) = consumer.fetch_watermarks(&topic.name, element.partition(), REQUEST_TIMEOUT)?;
            missing.add_partition_offset(&topic.name, element.partition(), Offset::Offset(low))?;
        }
    }
    match missing.count() {
        0 => Ok(()),
        _ => consumer.commit(&missing, CommitMode::Sync),
    }
}
