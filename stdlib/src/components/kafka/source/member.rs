//! The member of the consumer group: assigned and revoked partitions, commits and errors.

mod callbacks;
mod commits;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, info, warn};
use weir_runtime::source::Delivered;
use weir_runtime::{Context, Meter};

use super::KafkaSourceSettings;
use super::channels::{Channels, Mismatch};
use super::error::{SourceError, is_refusal};
use super::positions::{GoesOn, Positions, StartOffset, TopicPartition};
use super::start::{LookedUp, Start, start_offsets};
use crate::components::kafka::connection::{Connection, POLLING_TIMEOUT};
use crate::components::kafka::native::topic_ids;
use crate::components::kafka::security::Security;
use crate::components::kafka::tokens::Renewal;

pub(super) use commits::Committer;

/// The shortest time between two warnings of the same kind.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// A partition was assigned or revoked.
#[derive(Debug)]
pub(super) enum Change {
    Assigned(StartOffset),
    Revoked(TopicPartition),
}

/// A member of a consumer group, shared by the polling thread and the source's task.
pub(super) struct Member {
    connection: Connection,
    group: String,
    brokers: Vec<String>,
    security: Security,
    start: Start,
    lookup_timeout: Duration,
    /// The durable channels behind the source.
    channels: Channels,
    /// The positions after which partitions go on, with `exactly_once`.
    goes_on: GoesOn,
    /// What the sink knows that commits the delivered offsets, if a sink does.
    committer: Option<Committer>,
    /// Whether the group is neither asked for its commits nor changed.
    untraced: bool,
    /// The topics that did not exist at some time since the start.
    missing_topics: Mutex<BTreeSet<String>>,
    /// The topics that were made again since the group has committed offsets of them.
    other_topics: Mutex<BTreeSet<String>>,
    positions: Mutex<Positions>,
    changes: Mutex<Vec<Change>>,
    failure: Mutex<Option<SourceError>>,
    last_warnings: Mutex<HashMap<&'static str, Instant>>,
    /// The times of the first and the last of the failed commits that followed each other closely.
    commit_failures: Mutex<Option<(Instant, Instant)>>,
    meter: Arc<Meter>,
    /// Whether partitions are paused, also those that are assigned later.
    paused: AtomicBool,
    /// Whether the member is to commit the delivered offsets and leave the group.
    ending: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Member {
    pub(super) fn new(
        context: &Context,
        settings: &KafkaSourceSettings,
        channels: Channels,
        goes_on: GoesOn,
        committer: Option<Committer>,
    ) -> Member {
        let meanwhile = "offsets stay where they are";
        Member {
            connection: Connection::new(
                "source",
                &context.component,
                &settings.brokers,
                meanwhile,
                &context.meter,
            ),
            meter: context.meter.clone(),
            group: settings.group.clone(),
            brokers: settings.brokers.clone(),
            security: settings.security.clone(),
            start: settings.start,
            untraced: settings.untraced,
            lookup_timeout: settings.session_timeout / 2,
            channels,
            goes_on,
            positions: Mutex::new(match committer {
                Some(_) => Positions::committed_by_sink(),
                None => Positions::default(),
            }),
            committer,
            missing_topics: Mutex::default(),
            other_topics: Mutex::default(),
            changes: Mutex::default(),
            failure: Mutex::default(),
            last_warnings: Mutex::default(),
            commit_failures: Mutex::default(),
            paused: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn component(&self) -> String {
        self.connection.component().to_string()
    }

    pub(super) fn group(&self) -> String {
        self.group.clone()
    }

    pub(super) fn start(&self) -> Start {
        self.start
    }

    /// Whether the group is neither asked for its commits nor changed.
    pub(super) fn is_untraced(&self) -> bool {
        self.untraced
    }

    /// Returns how long a lookup may block. Beyond the session timeout the group would give this member up.
    pub(super) fn lookup_timeout(&self) -> Duration {
        self.lookup_timeout
    }

    pub(super) fn was_missing(&self, topic: &str) -> bool {
        lock(&self.missing_topics).contains(topic)
    }

    /// Asks the member to commit the delivered offsets and to leave the group.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Notes which records were delivered.
    pub(super) fn delivered(&self, delivered: &Delivered) {
        let mut positions = lock(&self.positions);
        for (partition, through) in delivered.positions() {
            positions.delivered(partition, through.position());
        }
    }

    /// Returns the partitions that were assigned and revoked since the last call.
    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *lock(&self.changes))
    }

    /// Returns the error of a callback, if one has failed.
    pub(super) fn take_failure(&self) -> Option<SourceError> {
        lock(&self.failure).take()
    }

    /// Returns the partitions that the member owns.
    pub(super) fn owned(&self) -> Vec<TopicPartition> {
        lock(&self.positions).partitions()
    }

    /// Checks that the topics that are read are still the ones that they were.
    ///
    /// # Errors
    /// When one of them was deleted and made again.
    pub(super) fn check_topics(&self, consumer: &BaseConsumer<Member>) -> Result<(), SourceError> {
        let topics = lock(&self.positions).topics();
        let names: Vec<&str> = topics.keys().map(|topic| &**topic).collect();
        if names.is_empty() {
            return Ok(());
        }
        // Brokers that don't answer are no change.
        let found = topic_ids(consumer.client(), &names, POLLING_TIMEOUT).unwrap_or_default();
        for (topic, now) in found {
            // A topic that is missing now may be made again later.
            if let (Some(before), Ok(Some(now))) = (topics.get(&*topic).copied(), now)
                && now != before
            {
                let component = self.component();
                return Err(SourceError::MadeAgain { component, topic, before, now });
            }
        }
        Ok(())
    }

    /// Pauses or resumes all partitions, also those that are assigned later.
    pub(super) fn pause(&self, consumer: &BaseConsumer<Member>, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
        let list = list_of(&self.owned());
        let done = if paused { consumer.pause(&list) } else { consumer.resume(&list) };
        if let Err(error) = done {
            debug!(component = %self.connection.component(), paused, "pausing or resuming: {error}");
        }
    }

    pub(super) fn refused(&self, code: RDKafkaErrorCode) -> SourceError {
        SourceError::Refused { component: self.component(), group: self.group(), code }
    }

    fn fail(&self, error: SourceError) {
        lock(&self.failure).get_or_insert(error);
    }

    /// Logs a warning, at most once in [`WARNING_INTERVAL`] for each kind `about`.
    pub(super) fn warn_limited(&self, about: &'static str, text: impl FnOnce() -> String) {
        let now = Instant::now();
        let mut last_warnings = lock(&self.last_warnings);
        if last_warnings.get(about).is_none_or(|last| now - *last >= WARNING_INTERVAL) {
            last_warnings.insert(about, now);
            warn!(
                component = %self.connection.component(),
                "source {}: {}",
                self.connection.component(),
                text()
            );
        }
    }

    /// Checks that the brokers let the client in, and that its token stays of use: without a connection, the member can't leave its group,
    /// which then waits for it.
    ///
    /// # Errors
    /// When a broker does not let the client in, or its token expires and there is no other one.
    pub(super) fn check_security(&self, renewal: &Renewal) -> Result<(), SourceError> {
        let insecure = |source| SourceError::Security { component: self.component(), source };
        renewal.check().map_err(|error| insecure(error.into()))?;
        let Some(refusal) = self.connection.take_refusal() else { return Ok(()) };
        Err(insecure(self.security.error(&self.brokers, refusal, renewal.shown())))
    }

    /// Reads further partitions. The group assigns partitions by [`ConsumerContext::rebalance`], which calls this as well.
    pub(super) fn assign(
        &self,
        consumer: &BaseConsumer<Member>,
        list: &TopicPartitionList,
    ) -> Result<(), SourceError> {
        let found = start_offsets(consumer, list).map_err(|error| self.lookup_error(error))?;
        let start_offsets = found.into_iter().map(|found| self.check_channels(found));
        let mut start_offsets = start_offsets.collect::<Result<Vec<StartOffset>, SourceError>>()?;
        let mut started = TopicPartitionList::with_capacity(start_offsets.len());
        for start in &start_offsets {
            let TopicPartition { topic, number } = &start.partition;
            let offset = Offset::Offset(i64::try_from(start.offset).unwrap_or(i64::MAX));
            started.add_partition_offset(topic, *number, offset).map_err(|error| self.lookup_error(error))?;
        }
        let assigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Eager => consumer.assign(&started),
            // Without a subscription, partitions are added to those that are read already.
            _ => consumer.incremental_assign(&started),
        };
        assigned.map_err(|error| self.lookup_error(error))?;
        if self.goes_on.exactly_once || self.committer.is_some() {
            self.commit_starts(consumer, &mut start_offsets)?;
        }
        // From now on the sink behind may ask for the group's offset: before, that of a deleted topic may have been there.
        start_offsets.iter_mut().for_each(|start| self.name_assignment(start));
        self.log_partitions("reads", start_offsets.iter().map(|start| &start.partition));
        let mut positions = lock(&self.positions);
        start_offsets.iter().for_each(|start| positions.assign(start));
        drop(positions);
        self.renew_generation(consumer);
        lock(&self.changes).extend(start_offsets.into_iter().map(Change::Assigned));
        if self.paused.load(Ordering::Relaxed) {
            self.pause(consumer, true);
        }
        // The source is ready even if no partition was assigned to this member.
        self.meter.finish_discovery();
        Ok(())
    }

    /// Compares a start offset that was looked up with the channels behind.
    ///
    /// # Errors
    /// When a channel has lost records that the group has committed.
    fn check_channels(&self, found: LookedUp) -> Result<StartOffset, SourceError> {
        let TopicPartition { topic, number } = &found.partition;
        let name = found.partition.partition(found.id);
        let compared = self.channels.compare(&name, found.offset, &found.channels);
        let (component, group, topic) = (self.component(), self.group(), topic.to_string());
        let (partition, offset) = (*number, found.offset);
        let known = self.goes_on.known_of(&name);
        if known > 0 && !found.committed {
            return Err(SourceError::NoCommit { component, group, topic, partition, known });
        }
        match compared {
            Ok(stored) => Ok(self.goes_on.apply(found.into_start_offset(stored, &self.channels.list()))),
            Err(Mismatch::UnknownIncarnation(channels)) => {
                let channels = channels.join(", ");
                Err(SourceError::UnknownIncarnation { component, group, topic, partition, offset, channels })
            }
            Err(Mismatch::MissingRecords { channel, through }) => {
                let channel = channel.to_string();
                Err(SourceError::MissingRecords {
                    component,
                    group,
                    topic,
                    partition,
                    offset,
                    channel,
                    through,
                })
            }
        }
    }

    fn lookup_error(&self, error: KafkaError) -> SourceError {
        match error.rdkafka_error_code() {
            Some(code) if is_refusal(code) => self.refused(code),
            _ => SourceError::LookUp {
                component: self.component(),
                group: self.group(),
                source: Box::new(error),
            },
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Member>, list: &TopicPartitionList) -> KafkaResult<()> {
        let elements = list.elements();
        let gone = elements.iter().map(|element| TopicPartition::new(element.topic(), element.partition()));
        let gone: Vec<TopicPartition> = gone.collect();
        self.end_assignments(&gone);
        if consumer.assignment_lost() {
            self.warn_limited("lost", || {
                "the group has given its partitions away, as it did not hear from this member in time: \
                 undelivered records are read again"
                    .to_string()
            });
        } else {
            self.commit_now(consumer, &gone);
        }
        if self.paused.load(Ordering::Relaxed) {
            // librdkafka would keep the partition paused if it were assigned again.
            let _unowned_anyway = consumer.resume(list);
        }
        self.log_partitions("leaves", gone.iter());
        let mut positions = lock(&self.positions);
        gone.iter().for_each(|partition| positions.revoke(partition));
        drop(positions);
        lock(&self.changes).extend(gone.into_iter().map(Change::Revoked));
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        }
    }

    fn log_partitions<'a>(&self, verb: &str, partitions: impl Iterator<Item = &'a TopicPartition>) {
        let mut names: Vec<String> = partitions.map(ToString::to_string).collect();
        if names.is_empty() {
            return;
        }
        names.sort_unstable();
        info!(
            component = %self.connection.component(),
            "group {}: this member {verb} {} of its partitions: {}",
            self.group,
            names.len(),
            names.join(", ")
        );
    }

    /// Warns once that the group's offsets belong to a topic that was deleted.
    pub(super) fn note_of_another_topic(&self, topic: &str) {
        if lock(&self.other_topics).insert(topic.to_owned()) {
            warn!(
                component = %self.connection.component(),
                "source {}: topic {topic} was deleted and made again since the group {} has committed offsets of it: they are left, and \
                 the topic is read from its `start`",
                self.connection.component(),
                self.group
            );
        }
    }

    /// Finds out from librdkafka's message `Subscribed topic not available: TOPIC: …` which topic does not exist.
    fn note_missing_topics(&self, reason: &str) {
        let topic = reason.split_once(": ").and_then(|(_, rest)| Some(rest.split_once(':')?.0));
        topic.into_iter().for_each(|topic| self.note_missing(topic));
    }

    /// Warns once of a topic that does not exist.
    pub(super) fn note_missing(&self, topic: &str) {
        if lock(&self.missing_topics).insert(topic.to_owned()) {
            warn!(
                component = %self.connection.component(),
                "source {}: topic {topic} does not exist; it is read as soon as it does",
                self.connection.component()
            );
        }
    }

    /// Sets the metric of the lag: the records of each partition that are not delivered yet.
    fn set_lag(&self, statistics: &Statistics) {
        let positions = lock(&self.positions);
        let mut lag = BTreeMap::new();
        for partition in positions.partitions() {
            let known = statistics.topics.get(&*partition.topic);
            let known = known.and_then(|topic| topic.partitions.get(&partition.number));
            // Records behind the last stable offset belong to open transactions, and can't be read yet.
            let end = known.and_then(|known| u64::try_from(known.ls_offset).ok());
            if let (Some(end), Some(delivered)) = (end, positions.delivered_of(&partition)) {
                lag.insert(partition.to_string(), end.saturating_sub(delivered));
            }
        }
        self.meter.set_partition_gauge("lag_events", lag);
    }
}

fn list_of(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for TopicPartition { topic, number } in partitions {
        list.add_partition(topic, *number);
    }
    list
}
