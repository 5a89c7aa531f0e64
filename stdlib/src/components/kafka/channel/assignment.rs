//! The partitions of a reader: librdkafka's callbacks when the group assigns and revokes them, and the commits of their offsets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tracing::{debug, info};

use super::error::{ChannelError, is_refusal};
use super::taking::Taking;
use super::topic::{REQUEST_TIMEOUT, Topic, failure};
use crate::components::kafka::connection::{COMMIT_LIMIT, is_unanswered};
use crate::components::kafka::native::commit_within;

/// How often a lookup of offsets is tried.
const LOOKUP_TRIES: usize = 3;

/// The metadata of an offset behind a record that was written in a transaction. An agent that is killed before it has looked for the
/// end of this transaction leaves it.
const BEHIND_TRANSACTION: &str = "weir behind=transaction";

/// The callbacks of the consumer, on the polling thread.
pub(super) struct Callbacks {
    pub(super) taking: Arc<Taking>,
    pub(super) topic: Arc<Topic>,
    /// The offset at the end of each partition when the channel was opened, if that is known.
    pub(super) ends: BTreeMap<i32, u64>,
}

impl ClientContext for Callbacks {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        self.taking.connection.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        self.taking.connection.error(code, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.taking.connection.look_for_silent(&statistics);
        self.taking.set_lag(&statistics, &self.topic.name);
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
    let Callbacks { taking, topic, ends } = &**consumer.context();
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
        let known = repeated(taking, || consumer.committed_offsets(wanted.clone(), REQUEST_TIMEOUT))
            .map_err(lookup_failed)?;
        for partition in partitions {
            let committed =
                known.find_partition(&topic.name, *partition).and_then(|found| found.offset().to_raw());
            let committed = committed.and_then(|offset| u64::try_from(offset).ok());
            let watermarks =
                repeated(taking, || consumer.fetch_watermarks(&topic.name, *partition, REQUEST_TIMEOUT));
            let (low, high) = watermarks.map_err(lookup_failed)?;
            let found = known.find_partition(&topic.name, *partition);
            let is_behind = found.as_ref().is_some_and(|found| found.metadata() == BEHIND_TRANSACTION);
            let end_at_open = ends.get(partition).copied();
            let goes_on = committed.map(|offset| match is_behind {
                true => behind_transaction(offset, u64::try_from(low).unwrap_or(0), end_at_open),
                false => offset,
            });
            let offset = goes_on.map_or(low, |offset| i64::try_from(offset).unwrap_or(i64::MAX));
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

/// Returns where a group goes on that has committed `offset`, behind a record of a transaction. The end of this transaction has an
/// offset that is not before `offset`, and was there when the channel was opened. So if the partition had only one more offset then,
/// it is the end of the transaction, and no record is missing although the retention has deleted it: the topic begins at `low`.
fn behind_transaction(offset: u64, low: u64, end_at_open: Option<u64>) -> u64 {
    let is_only_the_end = low == offset + 1 && end_at_open == Some(low);
    if is_only_the_end { low } else { offset }
}

fn repeated<Found>(taking: &Taking, ask: impl Fn() -> KafkaResult<Found>) -> KafkaResult<Found> {
    let (mut tries, begin) = (1, Instant::now());
    loop {
        let answer = ask();
        match &answer {
            Ok(_) => taking.connection.answered(),
            Err(error) if is_unanswered(error) => taking.connection.unanswered(begin.elapsed()),
            Err(_) => {}
        }
        if answer.is_ok() || tries == LOOKUP_TRIES {
            return answer;
        }
        tries += 1;
    }
}

fn revoke(consumer: &BaseConsumer<Callbacks>, list: &TopicPartitionList, partitions: &[i32]) {
    let Callbacks { taking, .. } = &**consumer.context();
    if !consumer.assignment_lost() {
        commit(consumer, COMMIT_LIMIT);
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

/// Commits the offsets of what is delivered. Blocks for at most about `limit`. Returns whether the group has them.
pub(super) fn commit(consumer: &BaseConsumer<Callbacks>, limit: Duration) -> bool {
    let Callbacks { taking, topic, .. } = &**consumer.context();
    let due = taking.offsets().due();
    if due.is_empty() {
        return true;
    }
    let mut list = TopicPartitionList::with_capacity(due.len());
    for (partition, offset) in &due {
        let is_behind = taking.offsets().is_behind_transaction(*partition, *offset);
        let mut element = list.add_partition(&topic.name, *partition);
        if is_behind {
            element.set_metadata(BEHIND_TRANSACTION);
        }
        // Only offsets that are not numbers are refused.
        let _accepted = element.set_offset(Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX)));
    }
    match commit_within(consumer.client(), &list, limit) {
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

#[cfg(test)]
mod tests {
    use super::behind_transaction;

    #[test]
    fn only_the_end_of_a_transaction_may_be_missing() {
        let go_on = |low, end_at_open| behind_transaction(10, low, end_at_open);
        assert_eq!(go_on(11, Some(11)), 11, "the partition was empty but for the end of the transaction");
        assert_eq!(go_on(9, Some(11)), 10, "nothing is deleted");
        assert_eq!(
            go_on(11, Some(12)),
            10,
            "a record may have been at 10, and the end of the transaction at 11"
        );
        assert_eq!(go_on(12, Some(12)), 10, "a record may have been at 10 or 11");
        assert_eq!(go_on(11, None), 10, "the end is not known");
    }
}
