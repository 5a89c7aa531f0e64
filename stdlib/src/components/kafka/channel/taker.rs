//! The takes of a channel: a thread for each reader polls the topic, commits the group's offsets of what is delivered, and
//! passes records on.
//!
//! ```text
//! librdkafka ─► this thread ─► queue ─► reader's memory ─► sink
//!      ▲             ▲                                       │
//!      └── commits ──┴──────────── offsets ◄─────────────────┘
//! ```
//!
//! A record whose partition the group has given to another member is neither handed out any more nor committed.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::{debug, warn};
use weir_runtime::batch::Batch;
use weir_runtime::channel::encoding::Decoder;

use super::assignment::{Callbacks, assign, commit};
use super::error::{ChannelError, is_refusal};
use super::identity::decode;
use super::offsets::Ticket;
use super::sending::TRANSACTION_HEADER;
use super::settings::KafkaChannelSettings;
use super::taking::Taking;
use super::topic::{REQUEST_TIMEOUT, Topic, check_identity, failure};
use crate::components::kafka::connection::{COMMIT_LIMIT, POLLING_TIMEOUT};
use crate::components::kafka::security::SecurityError;
use crate::components::kafka::source::Partitions;
use crate::components::kafka::tokens::Renewal;

/// The longest wait for a record.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// The wait for space in the queue.
const SPACE_WAIT: Duration = Duration::from_millis(5);

/// How long the queue must be full before the partitions are paused, unless the group gives up a member that does not poll for so
/// long. A pause discards what was fetched in advance.
const PAUSE_AFTER: Duration = Duration::from_secs(1);

/// The time between two commits.
const COMMIT_INTERVAL: Duration = Duration::from_millis(250);

/// How long the last ends of partitions are looked for by reading, before they are asked for. While others put without a pause, a
/// reading finds no end. By this time, the transactions of this agent's last puts have ended.
const BUSY_AFTER: Duration = Duration::from_secs(2);

/// The time between two lookups of new partitions, if the group does not assign them.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(10);

/// How long commits must fail before a warning is logged: during a rebalance, they fail and are repeated.
const COMMIT_FAILURE_GRACE: Duration = Duration::from_secs(15);

/// A record that was taken.
pub(super) struct Arrival {
    pub(super) ticket: Ticket,
    pub(super) batch: Batch,
}

/// The queue to a reader; none when everything is passed on.
pub(super) type Queue = Option<mpsc::Sender<Arrival>>;

/// The polling thread of a reader.
pub(super) struct Taker {
    consumer: BaseConsumer<Callbacks>,
    renewal: Renewal,
    settings: KafkaChannelSettings,
    decoder: Decoder,
    /// A record that waits for space in the queue.
    held: Option<Arrival>,
    full_since: Option<Instant>,
    /// How long the queue must be full before the partitions are paused.
    pause_after: Duration,
    paused: bool,
    committed: Instant,
    failing_since: Option<Instant>,
    next_lookup: Option<Instant>,
    /// When it was last asked whether the topic is still the one that it was.
    topic_checked: Instant,
    /// The partitions that are still to be read from their next record on, since the channel was closed; none before.
    unsought: Option<BTreeSet<i32>>,
    /// When the last ends of busy partitions are asked for; none before the channel is closed.
    ends_asked: Option<Instant>,
    /// The partitions whose ends are still to be asked for, since `topic_checked`.
    unasked: BTreeSet<i32>,
}

impl Taker {
    /// Begins to take.
    ///
    /// # Errors
    /// When the topic was made again, or the group can't be joined.
    pub(super) fn new(
        consumer: BaseConsumer<Callbacks>,
        renewal: Renewal,
        settings: KafkaChannelSettings,
    ) -> Result<Taker, ChannelError> {
        check_identity(consumer.client(), &consumer.context().topic, REQUEST_TIMEOUT)?;
        if let Partitions::Group = settings.partitions {
            let topic = &consumer.context().topic.name;
            consumer.subscribe(&[topic]).map_err(|source| failure("joining the group", topic, source))?;
        }
        Ok(Taker {
            consumer,
            renewal,
            decoder: Decoder::default(),
            held: None,
            full_since: None,
            pause_after: PAUSE_AFTER.min(settings.session_timeout / 4),
            settings,
            paused: false,
            committed: Instant::now(),
            failing_since: None,
            next_lookup: None,
            topic_checked: Instant::now(),
            unsought: None,
            ends_asked: None,
            unasked: BTreeSet::new(),
        })
    }

    fn taking(&self) -> &Taking {
        &self.consumer.context().taking
    }

    fn topic(&self) -> &Topic {
        &self.consumer.context().topic
    }

    /// Takes until the thread has to end. Dropping the taker leaves the group.
    ///
    /// # Errors
    /// When it can't go on. The queue is kept for another taker.
    pub(super) fn run(&mut self, queue: &mut Queue) -> Result<(), ChannelError> {
        let ended = self.take_all(queue);
        commit(&self.consumer, COMMIT_LIMIT);
        let mut offsets = self.taking().offsets();
        let owned: Vec<i32> = offsets.owned().collect();
        owned.into_iter().for_each(|partition| offsets.revoke(partition));
        ended
    }

    fn take_all(&mut self, queue: &mut Queue) -> Result<(), ChannelError> {
        while !self.taking().is_ending() {
            self.do_housekeeping()?;
            self.pass_on(queue);
            // After the held record has been passed on and before another one is taken: others may put without a pause.
            if self.taking().closing.load(Ordering::Acquire) && self.taking().unwritten.is_empty() {
                self.end_when_drained(queue);
            }
            match (&self.held, self.paused || queue.is_none()) {
                (Some(_), false) => thread::sleep(SPACE_WAIT),
                _ => self.poll(queue)?,
            }
        }
        Ok(())
    }

    fn do_housekeeping(&mut self) -> Result<(), ChannelError> {
        if let Some(error) = self.taking().take_failure() {
            return Err(error);
        }
        self.check_security()?;
        self.renewal.renew(self.consumer.client());
        self.taking().connection.tick(self.consumer.client());
        // The thread sees the statistics between two questions.
        if !self.look_up()? && !self.check_topic()? {
            self.pass_ends_of_transactions();
        }
        if self.committed.elapsed() >= COMMIT_INTERVAL {
            self.committed = Instant::now();
            self.commit_due();
        }
        Ok(())
    }

    /// Ends this taker if a broker does not let its client in: librdkafka would show the same password or token again and again. Ends it as
    /// well while it can still leave its group, if its token expires and there is no other one.
    fn check_security(&self) -> Result<(), ChannelError> {
        self.renewal.check().map_err(SecurityError::from)?;
        let Some(refusal) = self.taking().connection.take_refusal() else { return Ok(()) };
        let KafkaChannelSettings { security, brokers, .. } = &self.settings;
        Err(security.error(brokers, refusal, self.renewal.shown()).into())
    }

    /// Checks that the topic is still the one that it was, if that is due. Returns whether it is.
    fn check_topic(&mut self) -> Result<bool, ChannelError> {
        if self.topic_checked.elapsed() < LOOKUP_INTERVAL {
            return Ok(false);
        }
        self.topic_checked = Instant::now();
        check_identity(self.consumer.client(), self.topic(), POLLING_TIMEOUT)?;
        let idle = self.taking().offsets().idle();
        self.unasked = idle;
        Ok(true)
    }

    fn commit_due(&mut self) {
        if commit(&self.consumer, POLLING_TIMEOUT) {
            self.failing_since = None;
            return;
        }
        let now = Instant::now();
        let since = *self.failing_since.get_or_insert(now);
        if now - since >= COMMIT_FAILURE_GRACE {
            // Warned of once for each stretch of failures.
            self.failing_since = Some(now + Duration::from_secs(3600));
            let component = &*self.taking().component;
            warn!(
                component,
                "channel {component}: offsets can't be committed: events are taken again after a restart"
            );
        }
    }

    /// Looks for the partitions that the group does not assign, if that is due. Returns whether it is.
    fn look_up(&mut self) -> Result<bool, ChannelError> {
        let now = Instant::now();
        if matches!(self.settings.partitions, Partitions::Group)
            || self.next_lookup.is_some_and(|next| now < next)
        {
            return Ok(false);
        }
        self.next_lookup = Some(now + LOOKUP_INTERVAL);
        let name = &self.topic().name;
        let Ok(metadata) = self.consumer.fetch_metadata(Some(name), POLLING_TIMEOUT) else { return Ok(true) };
        let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        let wanted: Vec<i32> = match &self.settings.partitions {
            Partitions::Only { numbers } => numbers.iter().filter_map(|n| i32::try_from(*n).ok()).collect(),
            _ => (0..count).collect(),
        };
        if let Some(partition) = wanted.iter().find(|partition| **partition >= count) {
            return Err(ChannelError::NoPartition { topic: name.clone(), partition: *partition });
        }
        let owned: BTreeSet<i32> = self.taking().offsets().owned().collect();
        let new: Vec<i32> = wanted.into_iter().filter(|partition| !owned.contains(partition)).collect();
        if !new.is_empty() {
            assign(&self.consumer, &new)?;
        }
        self.taking().has_joined.store(true, Ordering::Release);
        Ok(true)
    }

    /// Passes on what the topic has at this time, and then closes the queue. Each partition is read once more from its next
    /// record on: its end is then reported, also behind records without events, such as the ends of transactions.
    fn end_when_drained(&mut self, queue: &mut Queue) {
        if queue.is_none() || !self.taking().has_joined.load(Ordering::Acquire) {
            return;
        }
        let owned: BTreeSet<i32> = self.taking().offsets().owned().collect();
        if self.unsought.is_none() {
            self.taking().offsets().look_for_last_ends();
            self.unsought = Some(owned.clone());
        }
        let unsought = std::mem::take(self.unsought.get_or_insert_default());
        let mut left = BTreeSet::new();
        for partition in unsought.intersection(&owned) {
            if !self.seek_next(*partition) {
                left.insert(*partition);
            }
        }
        self.ask_for_last_ends();
        let is_drained = left.is_empty() && self.held.is_none() && self.taking().offsets().are_at_ends();
        self.unsought = Some(left);
        if is_drained {
            *queue = None;
            self.pause(true);
        }
    }

    /// Asks for the last ends of partitions that no reading has found for a while.
    fn ask_for_last_ends(&mut self) {
        let now = Instant::now();
        if now < *self.ends_asked.get_or_insert(now + BUSY_AFTER) {
            return;
        }
        self.ends_asked = Some(now + BUSY_AFTER);
        let endless = self.taking().offsets().endless();
        for partition in endless {
            let asked = self.consumer.fetch_watermarks(&self.topic().name, partition, POLLING_TIMEOUT);
            // Brokers that don't answer are asked again later.
            let Ok((_, end)) = asked else { return };
            self.taking().offsets().end_at(partition, u64::try_from(end).unwrap_or(0));
        }
    }

    /// Lets one partition be read again from its next record on. Returns whether it will be.
    fn seek_next(&self, partition: i32) -> bool {
        let Some(next) = self.taking().offsets().next(partition) else { return true };
        let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
        self.consumer.seek(&self.topic().name, partition, offset, REQUEST_TIMEOUT).is_ok()
    }

    /// Moves the next record of one idle partition behind the ends of transactions: reads it again, with its end known before. One
    /// request for each call, so that the thread polls in between.
    fn pass_ends_of_transactions(&mut self) {
        if self.unsought.is_some() || self.held.is_some() {
            return;
        }
        let Some(partition) = self.unasked.pop_first() else { return };
        let is_idle = self.taking().offsets().idle().contains(&partition);
        let Some(next) = self.taking().offsets().next(partition).filter(|_| is_idle) else { return };
        let Ok((_, end)) = self.consumer.fetch_watermarks(&self.topic().name, partition, POLLING_TIMEOUT)
        else {
            // Brokers that don't answer are asked again later.
            self.unasked.clear();
            return;
        };
        let end = u64::try_from(end).unwrap_or(0);
        // An end that was found before the seek is discarded by librdkafka.
        if end > next && self.seek_next(partition) {
            self.taking().offsets().read_again(partition, end);
        }
    }

    /// Passes the held record on, if there is space. Pauses the partitions when there has been none for a while.
    fn pass_on(&mut self, queue: &Queue) {
        let Some(queue) = queue else { return };
        let Some(arrival) = self.held.take() else { return };
        match queue.try_send(arrival) {
            Ok(()) | Err(TrySendError::Closed(_)) => {
                self.full_since = None;
                if self.paused {
                    self.pause(false);
                }
            }
            Err(TrySendError::Full(arrival)) => {
                self.held = Some(arrival);
                let since = *self.full_since.get_or_insert_with(Instant::now);
                if !self.paused && since.elapsed() >= self.pause_after {
                    self.pause(true);
                }
            }
        }
    }

    fn pause(&mut self, paused: bool) {
        self.paused = paused;
        let list = self.consumer.assignment().unwrap_or_default();
        let done = if paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        if let Err(error) = done {
            debug!(component = &*self.taking().component, paused, "pausing or resuming: {error}");
        }
    }

    /// Takes a record, if there is one. With a held record or a closed queue, records are left where they are.
    fn poll(&mut self, queue: &Queue) -> Result<(), ChannelError> {
        let wait = if self.held.is_some() { SPACE_WAIT } else { POLL_WAIT };
        let message = match self.consumer.poll(wait) {
            None => return Ok(()),
            Some(Ok(message)) => message,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.taking().resolve_trouble();
                self.taking().offsets().reach_end(partition);
                return Ok(());
            }
            Some(Err(error)) => return self.handle(error),
        };
        self.consumer.context().taking.connection.answered();
        self.consumer.context().taking.resolve_trouble();
        let partition = message.partition();
        if self.held.is_some() || queue.is_none() {
            // A partition that was assigned meanwhile is not paused yet. The record is read again from its offset.
            let (name, offset) = (self.topic().name.clone(), Offset::Offset(message.offset()));
            drop(message);
            self.pause(true);
            let sought = self.consumer.seek(&name, partition, offset, REQUEST_TIMEOUT);
            return sought.map_err(|source| failure("going back", &name, source));
        }
        let offset = u64::try_from(message.offset()).unwrap_or(0);
        let Some(ticket) = self.taking().offsets().take(partition, offset) else { return Ok(()) };
        let mut headers = message.headers().into_iter().flat_map(Headers::iter);
        if headers.any(|header| header.key == TRANSACTION_HEADER) {
            self.consumer.context().taking.offsets().was_in_transaction(ticket);
        }
        let (decoder, topic) = (&mut self.decoder, &*self.consumer.context().topic);
        let batch = decode(decoder, topic, &message)?;
        match batch.is_empty() {
            true => self.consumer.context().taking.offsets().deliver(ticket),
            false => self.held = Some(Arrival { ticket, batch }),
        }
        Ok(())
    }

    /// Decides whether an error of librdkafka ends the taker.
    fn handle(&self, error: KafkaError) -> Result<(), ChannelError> {
        let (topic, group) = (self.topic().name.clone(), self.taking().group.clone());
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        match code {
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                Err(failure("taking", &topic, error))
            }
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::LogTruncation => Err(self.gone(error)),
            _ if is_refusal(code) => Err(ChannelError::NotReadable { topic, group, code }),
            // Other errors are reported by callbacks, or librdkafka tries again.
            _ => Ok(()),
        }
    }

    /// Finds out which record the topic no longer has.
    fn gone(&self, error: KafkaError) -> ChannelError {
        if let Err(made_again) = check_identity(self.consumer.client(), self.topic(), REQUEST_TIMEOUT) {
            return made_again;
        }
        let topic = self.topic().name.clone();
        let owned: Vec<i32> = self.taking().offsets().owned().collect();
        for partition in owned {
            let Some(next) = self.taking().offsets().next(partition) else { continue };
            let watermarks = self.consumer.fetch_watermarks(&topic, partition, REQUEST_TIMEOUT);
            let offset = i64::try_from(next).unwrap_or(i64::MAX);
            if let Ok((low, high)) = watermarks
                && (offset < low || offset > high)
            {
                let group = self.taking().group.clone();
                return ChannelError::Gone { topic, group, partition, offset, low, high };
            }
        }
        failure("taking", &topic, error)
    }
}
