//! The member of the consumer group: what librdkafka calls back, on the polling thread, when
//! partitions come and go, commits are confirmed and errors happen.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tracing::{debug, info, warn};
use weir_runtime::source::Delivered;
use weir_runtime::{Context, Meter};

use super::KafkaSourceSettings;
use super::beginning::{Found, Start, beginnings, note};
use super::channels::{Channels, Disagreement, list};
use super::error::{SourceError, is_refusal};
use super::positions::{Beginning, Commit, Positions, TopicPartition};
use crate::components::kafka::connection::Connection;

/// How often the same complaint is worth a line in the log.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// How long commits may fail before it is worth a warning.
const COMMIT_FAILURE_GRACE: Duration = Duration::from_secs(15);

/// Commits that fail further apart have nothing to do with each other.
const COMMIT_FAILURE_GAP: Duration = Duration::from_secs(10);

/// A partition has come or gone.
#[derive(Debug)]
pub(super) enum Change {
    Assigned(Beginning),
    Revoked(TopicPartition),
}

/// A member of a consumer group, shared between the polling thread and the core's side.
pub(super) struct Member {
    connection: Connection,
    group: String,
    topics: Vec<String>,
    start: Start,
    patience: Duration,
    /// The durable channels behind.
    channels: Channels,
    /// Topics that did not exist at some time since the start.
    absent: Mutex<BTreeSet<String>>,
    positions: Mutex<Positions>,
    changes: Mutex<Vec<Change>>,
    failure: Mutex<Option<SourceError>>,
    complaints: Mutex<HashMap<&'static str, Instant>>,
    /// The first and the last commit that failed, of those that followed each other closely.
    commit_failures: Mutex<Option<(Instant, Instant)>>,
    meter: Arc<Meter>,
    /// Partitions that come are paused at once.
    paused: AtomicBool,
    /// The member shall commit what is delivered, and leave.
    ending: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Member {
    pub(super) fn new(context: &Context, settings: &KafkaSourceSettings, channels: Channels) -> Member {
        let meanwhile = "offsets stay where they are";
        Member {
            connection: Connection::new("source", &context.component, &settings.brokers, meanwhile),
            meter: context.meter.clone(),
            group: settings.group.clone(),
            topics: settings.topics.clone(),
            start: settings.start,
            patience: settings.session_timeout / 2,
            channels,
            absent: Mutex::default(),
            positions: Mutex::default(),
            changes: Mutex::default(),
            failure: Mutex::default(),
            complaints: Mutex::default(),
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

    /// How long a question may take before the group takes this member for dead.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) fn was_absent(&self, topic: &str) -> bool {
        lock(&self.absent).contains(topic)
    }

    /// Asks the member to commit what is delivered, and to leave.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Takes note of what has been delivered.
    pub(super) fn delivered(&self, delivered: &Delivered) {
        let mut positions = lock(&self.positions);
        for (partition, through) in delivered.positions() {
            positions.delivered(partition, through.position());
        }
    }

    /// What has come and gone since the last call.
    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *lock(&self.changes))
    }

    /// What has gone wrong in a call back.
    pub(super) fn take_failure(&self) -> Option<SourceError> {
        lock(&self.failure).take()
    }

    /// The partitions that the member owns.
    pub(super) fn owned(&self) -> Vec<TopicPartition> {
        lock(&self.positions).partitions()
    }

    /// Where a partition stands that the member owns: what of it is delivered, at least.
    pub(super) fn begun(&self, topic: &str, number: i32) -> Option<u64> {
        lock(&self.positions).delivered_of(&TopicPartition::new(topic, number))
    }

    /// Pauses all partitions, also those to come, or resumes them.
    pub(super) fn pause(&self, consumer: &BaseConsumer<Member>, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
        let list = list_of(&self.owned());
        let done = if paused { consumer.pause(&list) } else { consumer.resume(&list) };
        if let Err(error) = done {
            debug!(component = %self.connection.component(), paused, "pausing or resuming: {error}");
        }
    }

    /// Sends what is due to the broker. There is no answer but a failure's, in the log.
    pub(super) fn commit_due(&self, consumer: &BaseConsumer<Member>) {
        let due = lock(&self.positions).take_due();
        if due.is_empty() {
            return;
        }
        debug!(component = %self.connection.component(), ?due, "commits");
        if let Err(error) = consumer.commit(&self.commit_list(&due), CommitMode::Async) {
            self.not_committed(&error.to_string());
        }
    }

    /// Commits what is delivered of these partitions, and waits for the answer.
    pub(super) fn commit_now(&self, consumer: &BaseConsumer<Member>, partitions: &[TopicPartition]) {
        let commits = lock(&self.positions).unconfirmed(partitions);
        if !commits.is_empty() {
            match consumer.commit(&self.commit_list(&commits), CommitMode::Sync) {
                Ok(()) => lock(&self.positions).committed(&commits),
                Err(error) => self.not_committed(&error.to_string()),
            }
        }
    }

    fn commit_list(&self, commits: &[Commit]) -> TopicPartitionList {
        let channels = list(&self.channels.named());
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for Commit { partition, offset, partitions_at_start, stored } in commits {
            let note = note(*partitions_at_start, if *stored { &channels } else { "" });
            let mut element = list.add_partition(&partition.topic, partition.number);
            if !note.is_empty() {
                element.set_metadata(&*note);
            }
            // It can't fail: what is refused is an offset that is no number.
            let _number = element.set_offset(Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX)));
        }
        list
    }

    fn not_committed(&self, reason: &str) {
        lock(&self.positions).retry();
        let now = Instant::now();
        let mut failures = lock(&self.commit_failures);
        let first =
            failures.filter(|(_, last)| now - *last < COMMIT_FAILURE_GAP).map_or(now, |(first, _)| first);
        *failures = Some((first, now));
        // While members come and go, commits fail and are repeated.
        if now - first < COMMIT_FAILURE_GRACE {
            return;
        }
        self.complain("commit", || {
            format!("offsets can't be committed: while this lasts, records come again after a restart; trying again ({reason})")
        });
    }

    pub(super) fn refused(&self, code: RDKafkaErrorCode) -> SourceError {
        SourceError::Refused { component: self.component(), group: self.group(), code }
    }

    fn fail(&self, error: SourceError) {
        lock(&self.failure).get_or_insert(error);
    }

    /// Warns, but not of the same thing all the time.
    pub(super) fn complain(&self, about: &'static str, text: impl FnOnce() -> String) {
        let now = Instant::now();
        let mut complaints = lock(&self.complaints);
        if complaints.get(about).is_none_or(|last| now - *last >= COMPLAINT_INTERVAL) {
            complaints.insert(about, now);
            warn!(
                component = %self.connection.component(),
                "source {}: {}",
                self.connection.component(),
                text()
            );
        }
    }

    fn assign(&self, consumer: &BaseConsumer<Member>, list: &TopicPartitionList) -> Result<(), SourceError> {
        let found = beginnings(consumer, list).map_err(|error| self.no_beginning(error))?;
        let beginnings = found.into_iter().map(|found| self.agreed(found));
        let beginnings = beginnings.collect::<Result<Vec<Beginning>, SourceError>>()?;
        let mut begun = TopicPartitionList::with_capacity(beginnings.len());
        for beginning in &beginnings {
            let TopicPartition { topic, number } = &beginning.partition;
            let offset = Offset::Offset(i64::try_from(beginning.offset).unwrap_or(i64::MAX));
            begun.add_partition_offset(topic, *number, offset).map_err(|error| self.no_beginning(error))?;
        }
        let assigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&begun),
            _ => consumer.assign(&begun),
        };
        assigned.map_err(|error| self.no_beginning(error))?;
        self.tell("reads", beginnings.iter().map(|beginning| &beginning.partition));
        let mut positions = lock(&self.positions);
        beginnings.iter().for_each(|beginning| positions.assign(beginning));
        drop(positions);
        lock(&self.changes).extend(beginnings.into_iter().map(Change::Assigned));
        if self.paused.load(Ordering::Relaxed) {
            self.pause(consumer, true);
        }
        // A member may well be given no partition.
        self.meter.finish_discovery();
        Ok(())
    }

    /// A beginning that the channels behind have nothing to say against.
    fn agreed(&self, found: Found) -> Result<Beginning, SourceError> {
        let TopicPartition { topic, number } = &found.partition;
        let judged = self.channels.judge(&found.partition.partition(), found.offset, &found.channels);
        let (component, group, topic) = (self.component(), self.group(), topic.to_string());
        let (partition, offset) = (*number, found.offset);
        match judged {
            Ok(stored) => Ok(found.into_beginning(stored, &self.channels.named())),
            Err(Disagreement::Strange(channels)) => {
                let channels = channels.join(", ");
                Err(SourceError::StrangeChannel { component, group, topic, partition, offset, channels })
            }
            Err(Disagreement::Less { channel, through }) => {
                let channel = channel.to_string();
                Err(SourceError::ChannelHasLess {
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

    fn no_beginning(&self, error: KafkaError) -> SourceError {
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
        if consumer.assignment_lost() {
            self.complain("lost", || {
                "the group has given its partitions away, as it did not hear from this member in time: \
                 what is under way comes again"
                    .to_string()
            });
        } else {
            self.commit_now(consumer, &gone);
        }
        if self.paused.load(Ordering::Relaxed) {
            // librdkafka would remember that it is paused, should the partition come back.
            let _unowned_anyway = consumer.resume(list);
        }
        self.tell("leaves", gone.iter());
        let mut positions = lock(&self.positions);
        gone.iter().for_each(|partition| positions.revoke(partition));
        drop(positions);
        lock(&self.changes).extend(gone.into_iter().map(Change::Revoked));
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        }
    }

    fn tell<'a>(&self, verb: &str, partitions: impl Iterator<Item = &'a TopicPartition>) {
        let mut names: Vec<String> = partitions.map(|partition| partition.partition().to_string()).collect();
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

    /// Finds out which topic does not exist from librdkafka's `Subscribed topic not available`.
    fn note_absent(&self, reason: &str) {
        for topic in &self.topics {
            if reason.contains(&format!(": {topic}:")) && lock(&self.absent).insert(topic.clone()) {
                warn!(
                    component = %self.connection.component(),
                    "source {}: topic {topic} does not exist; it is read as soon as it does",
                    self.connection.component()
                );
            }
        }
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.connection.log(level, facility, message);
        // The only word that librdkafka has about an asynchronous commit that went wrong, when
        // its results come as events: those of the commits of one's own are left out.
        if facility == "COMMITFAIL" {
            self.not_committed(message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if code == RDKafkaErrorCode::UnknownTopicOrPartition {
            self.note_absent(reason);
        }
        self.connection.error(code, reason);
    }
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Member>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                if let Err(error) = self.assign(consumer, list) {
                    // The group waits for an answer, and this member can't go on.
                    let _ending_anyway = consumer.unassign();
                    self.fail(error);
                }
            }
            _ => {
                if let Err(error) = self.revoke(consumer, list) {
                    debug!(component = %self.connection.component(), "giving partitions back: {error}");
                }
            }
        }
    }
}

fn list_of(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for TopicPartition { topic, number } in partitions {
        list.add_partition(topic, *number);
    }
    list
}
