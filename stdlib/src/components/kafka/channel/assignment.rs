//! The partitions of a reader: librdkafka's callbacks when the group assigns and revokes them, and the commits of their offsets.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tracing::{debug, info};

use super::error::{ChannelError, is_refusal};
use super::taker::Taking;
use super::topic::{REQUEST_TIMEOUT, Topic, failure};

/// How often a lookup of offsets is tried.
const LOOKUP_TRIES: usize = 3;

/// The callbacks of the consumer, on the polling thread.
pub(super) struct Callbacks {
    pub(super) taking: Arc<Taking>,
    pub(super) topic: Arc<Topic>,
}

impl ClientContext for Callbacks {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        self.taking.connection.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        self.taking.connection.error(code, reason);
    }
}

impl ConsumerContext for Callbacks {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Callbacks>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            if let Err(error) = assign(consumer, &partitions) {
                // The group waits for an answer, and this member can't go on.
                let _ending_anyway = consumer.unassign();
                self.taking.fail(error);
            } else if self.taking.offsets().owned().next().is_none() {
                // Nothing will arrive by which the brokers show that they answer.
                self.taking.resolve_trouble();
            }
            self.taking.has_joined.store(true, Ordering::Release);
        } else {
            revoke(consumer, list, &partitions);
        }
    }
}

/// Takes from further partitions, each from the group's offset on, or from its first record.
pub(super) fn assign(consumer: &BaseConsumer<Callbacks>, partitions: &[i32]) -> Result<(), ChannelError> {
    let Callbacks { taking, topic } = &**consumer.context();
    let lookup_failed = |source: KafkaError| match source.rdkafka_error_code() {
        Some(code) if is_refusal(code) => {
            ChannelError::NotReadable { topic: topic.name.clone(), group: taking.group.clone(), code }
        }
        _ => failure("asking for the group's offsets", &topic.name, source),
    };
    let mut starts = Vec::with_capacity(partitions.len());
    if !partitions.is_empty() {
        let mut wanted = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            wanted.add_partition(&topic.name, *partition);
        }
        let known = repeated(|| consumer.committed_offsets(wanted.clone(), REQUEST_TIMEOUT))
            .map_err(lookup_failed)?;
        for partition in partitions {
            let committed =
                known.find_partition(&topic.name, *partition).and_then(|found| found.offset().to_raw());
            let committed = committed.and_then(|offset| u64::try_from(offset).ok());
            let watermarks = repeated(|| consumer.fetch_watermarks(&topic.name, *partition, REQUEST_TIMEOUT));
            let (low, high) = watermarks.map_err(lookup_failed)?;
            let offset = committed.map_or(low, |offset| i64::try_from(offset).unwrap_or(i64::MAX));
            if offset < low || offset > high {
                let (topic, group, partition) = (topic.name.clone(), taking.group.clone(), *partition);
                return Err(ChannelError::Gone { topic, group, partition, offset, low, high });
            }
            let end = u64::try_from(high).unwrap_or(0);
            starts.push((*partition, u64::try_from(offset).unwrap_or(0), committed, end));
        }
    }
    let mut list = TopicPartitionList::with_capacity(starts.len());
    for (partition, offset, ..) in &starts {
        let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
        list.add_partition_offset(&topic.name, *partition, offset).map_err(lookup_failed)?;
    }
    let assigned = match consumer.rebalance_protocol() {
        RebalanceProtocol::Eager => consumer.assign(&list),
        // Without a subscription, partitions are added to those that are read already.
        _ => consumer.incremental_assign(&list),
    };
    assigned.map_err(lookup_failed)?;
    let mut offsets = taking.offsets();
    for (partition, offset, committed, end) in starts {
        offsets.assign(partition, offset, committed, end);
    }
    drop(offsets);
    if !partitions.is_empty() {
        let (component, group) = (&*taking.component, &taking.group);
        info!(
            component,
            "group {group}: this agent takes from {} of its partitions: {partitions:?}",
            partitions.len()
        );
    }
    Ok(())
}

fn repeated<Found>(ask: impl Fn() -> KafkaResult<Found>) -> KafkaResult<Found> {
    let mut tries = 1;
    loop {
        match ask() {
            Err(_) if tries < LOOKUP_TRIES => tries += 1,
            answer => return answer,
        }
    }
}

fn revoke(consumer: &BaseConsumer<Callbacks>, list: &TopicPartitionList, partitions: &[i32]) {
    let Callbacks { taking, .. } = &**consumer.context();
    if !consumer.assignment_lost() {
        commit(consumer);
    }
    let mut offsets = taking.offsets();
    partitions.iter().for_each(|partition| offsets.revoke(*partition));
    drop(offsets);
    // librdkafka would keep a partition paused if it were assigned again.
    let _unowned_anyway = consumer.resume(list);
    let given = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        _ => consumer.unassign(),
    };
    let (component, group) = (&*taking.component, &taking.group);
    info!(
        component,
        "group {group}: this agent leaves {} of its partitions: {partitions:?}",
        partitions.len()
    );
    if let Err(error) = given {
        debug!(component, "giving partitions back: {error}");
    }
}

/// Commits the offsets of what is delivered. Returns whether the group has them.
pub(super) fn commit(consumer: &BaseConsumer<Callbacks>) -> bool {
    let Callbacks { taking, topic } = &**consumer.context();
    let due = taking.offsets().due();
    if due.is_empty() {
        return true;
    }
    let mut list = TopicPartitionList::with_capacity(due.len());
    for (partition, offset) in &due {
        let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
        // Only offsets that are not numbers are refused.
        let _accepted = list.add_partition_offset(&topic.name, *partition, offset);
    }
    match consumer.commit(&list, CommitMode::Sync) {
        Ok(()) => {
            taking.offsets().committed(&due);
            true
        }
        Err(error) => {
            debug!(component = &*taking.component, "committing offsets: {error}");
            false
        }
    }
}
