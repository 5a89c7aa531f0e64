//! The polling thread: takes records from librdkafka, builds batches and passes them to the source's task.
//!
//! Assigned partitions pass their records to a queue of their own, from which many are taken at once. Everything else, and what a
//! partition has passed on before that, comes from the consumer's queue, which is emptied first.
//!
//! The thread always goes on polling, since a group removes a member that does not. When the queue of batches is full,
//! the thread stops taking records, which keeps the prefetched ones. After a second it pauses the partitions, and goes on polling for
//! what the group says. librdkafka reads the prefetched records again afterwards, and drops them from the queue then.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::{debug, info};
use weir_runtime::batch::{Batch, BatchError};

use super::batch_builder::{BatchBuilder, PartitionIndex, Record, WentBack};
use super::error::{SourceError, is_refusal, is_unreadable};
use super::headers;
use super::member::{Change, Member};
use super::selection::Selection;
use crate::components::kafka::connection::PROBE_TIMEOUT;
use crate::components::kafka::native::{RecordQueue, TakenRecord};
use crate::components::kafka::tokens::Renewal;

/// The longest wait for a record.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// The longest wait for an event while the partitions are paused.
const PAUSED_POLL_WAIT: Duration = Duration::from_millis(20);

/// How long the queue of batches must be full before the partitions are paused.
const PAUSE_AFTER: Duration = Duration::from_secs(1);

/// The time between two commits of delivered offsets.
const COMMIT_INTERVAL: Duration = Duration::from_millis(250);

/// The time between two questions whether the topics are still the ones that they were.
const TOPIC_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// The state of the polling thread.
pub(super) struct Poller {
    records: RecordQueue<Member>,
    renewal: Renewal,
    selection: Selection,
    builder: BatchBuilder,
    batches: mpsc::Sender<Batch>,
    committed: Instant,
    /// When it was last asked whether the topics are still the ones that they were.
    topics_checked: Instant,
    backpressure: Option<Backpressure>,
}

/// The queue of batches is full, and the built batch waits.
struct Backpressure {
    since: Instant,
    paused: bool,
}

impl Poller {
    pub(super) fn new(
        records: RecordQueue<Member>,
        renewal: Renewal,
        selection: Selection,
        builder: BatchBuilder,
        batches: mpsc::Sender<Batch>,
    ) -> Poller {
        let (committed, topics_checked) = (Instant::now(), Instant::now());
        Poller {
            records,
            renewal,
            selection,
            builder,
            batches,
            committed,
            topics_checked,
            backpressure: None,
        }
    }

    fn consumer(&self) -> &BaseConsumer<Member> {
        self.records.consumer()
    }

    fn member(&self) -> &Member {
        self.consumer().context()
    }

    /// Polls until the member is asked to end. Dropping the poller leaves the group.
    pub(super) fn run(&mut self) -> Result<(), SourceError> {
        let ended = self.poll();
        let member = self.member();
        member.commit_now(self.consumer(), &member.owned());
        ended
    }

    fn poll(&mut self) -> Result<(), SourceError> {
        while !self.member().is_ending() {
            self.do_housekeeping()?;
            if self.batches.is_closed() {
                self.drain()?;
            } else if self.builder.remaining(Instant::now()).is_some_and(|left| left.is_zero()) {
                self.pass_on_batch()?;
            } else {
                self.take_records()?;
            }
        }
        Ok(())
    }

    /// Looks for topics and partitions, handles assigned and revoked partitions, errors of callbacks, outages and commits that
    /// are due.
    fn do_housekeeping(&mut self) -> Result<(), SourceError> {
        self.selection.refresh(self.records.consumer())?;
        self.apply_changes();
        if let Some(error) = self.member().take_failure() {
            return Err(error);
        }
        self.member().check_security(&self.renewal)?;
        self.renewal.renew(self.records.consumer().client());
        self.member().connection().tick(self.consumer().client());
        if self.topics_checked.elapsed() >= TOPIC_CHECK_INTERVAL {
            self.topics_checked = Instant::now();
            self.member().check_topics(self.consumer())?;
        }
        if self.committed.elapsed() >= COMMIT_INTERVAL {
            self.committed = Instant::now();
            self.member().commit_due(self.consumer());
            self.member().renew_generation(self.consumer());
        }
        Ok(())
    }

    /// Makes the builder know the partitions that were assigned and revoked. Returns whether there were any.
    fn apply_changes(&mut self) -> bool {
        let changes = self.member().take_changes();
        for change in &changes {
            match change {
                Change::Assigned(start) => {
                    self.builder.assign(start);
                    self.records.take_over(&start.partition.topic, start.partition.number);
                }
                Change::Revoked(partition) => {
                    self.builder.revoke(partition);
                    self.records.forget(&partition.topic, partition.number);
                }
            }
        }
        !changes.is_empty()
    }

    /// Takes records until the batch is full or no record is available.
    fn take_records(&mut self) -> Result<(), SourceError> {
        let owns_any = self.builder.owns_any();
        self.take_events_within(if owns_any { Duration::ZERO } else { POLL_WAIT })?;
        // The records of a partition in the consumer's queue lie before those in its own queue.
        if !owns_any || self.apply_changes() || self.records.has_events() || self.builder.is_full() {
            return Ok(());
        }
        let Poller { records, builder, .. } = self;
        let member = records.consumer().context().clone();
        let mut wait = builder.remaining(Instant::now()).map_or(POLL_WAIT, |left| left.min(POLL_WAIT));
        let mut last = LastPartition::default();
        let mut failed = None;
        while failed.is_none() && !builder.is_full() && records.fill(builder.room(), wait) {
            wait = Duration::ZERO;
            while let Some(taken) = records.next() {
                failed = taken.error().map(|code| (code, taken.offset()));
                if failed.is_some() {
                    break;
                }
                add_taken(builder, &member, &taken, &mut last)?;
                if builder.is_full() {
                    break;
                }
            }
        }
        if last.index.is_some() {
            member.connection().answered();
        }
        let Some((code, offset)) = failed else { return Ok(()) };
        handle_error(records.consumer(), builder, KafkaError::MessageConsumption(code))?;
        // After a pause, librdkafka would go on behind the record at this offset, which nobody has read.
        match offset >= 0 {
            true => Err(SourceError::Interrupted { component: member.component(), code }),
            false => Ok(()),
        }
    }

    /// Handles what the consumer's queue holds: what the group and the brokers say, and records of partitions that were assigned just
    /// now, also if they are paused, since such a record would be lost otherwise. Waits at most so long for it.
    fn take_events_within(&mut self, mut wait: Duration) -> Result<(), SourceError> {
        let Poller { records, builder, .. } = self;
        let consumer = records.consumer();
        // A poll returns nothing after a rebalance, so no record is taken for the partition of another assignment.
        while let Some(polled) = consumer.poll(wait) {
            wait = Duration::ZERO;
            match polled {
                Ok(message) => add_message(builder, consumer.context(), &message)?,
                Err(error) => return handle_error(consumer, builder, error),
            }
            if builder.is_full() {
                break;
            }
        }
        Ok(())
    }

    fn pass_on_batch(&mut self) -> Result<(), SourceError> {
        match self.batches.clone().try_reserve_owned() {
            Ok(permit) => {
                if let Some(batch) = self.builder.take().map_err(|error| self.no_batch(error))? {
                    permit.send(batch);
                }
                if self.backpressure.take().is_some_and(|backpressure| backpressure.paused) {
                    self.member().pause(self.consumer(), false);
                    debug!(component = %self.member().component(), "partitions are resumed");
                }
                Ok(())
            }
            Err(TrySendError::Full(_)) => self.wait_for_space(),
            Err(TrySendError::Closed(_)) => Ok(()),
        }
    }

    fn no_batch(&self, source: BatchError) -> SourceError {
        SourceError::Batch { component: self.member().component(), source }
    }

    fn wait_for_space(&mut self) -> Result<(), SourceError> {
        let backpressure =
            self.backpressure.get_or_insert_with(|| Backpressure { since: Instant::now(), paused: false });
        if backpressure.paused {
            return self.take_events_within(PAUSED_POLL_WAIT);
        }
        if backpressure.since.elapsed() < PAUSE_AFTER {
            // The source's task unparks this thread when it has taken a batch.
            thread::park_timeout(POLL_WAIT);
            return Ok(());
        }
        backpressure.paused = true;
        debug!(component = %self.member().component(), "the queue of batches was full for a second: partitions are paused");
        self.member().pause(self.consumer(), true);
        Ok(())
    }

    /// Polls without taking records after the source was stopped: the member only commits, and answers its group.
    fn drain(&mut self) -> Result<(), SourceError> {
        self.builder.clear();
        self.records.clear();
        let paused =
            self.backpressure.get_or_insert_with(|| Backpressure { since: Instant::now(), paused: false });
        if !paused.paused {
            paused.paused = true;
            self.member().pause(self.consumer(), true);
        }
        self.take_events_within(PAUSED_POLL_WAIT)
    }
}

/// The partition of the last record. Most records have the same partition as the one before.
#[derive(Default)]
struct LastPartition {
    /// The address of librdkafka's topic object, which is only compared, and the number of the partition.
    partition: (usize, i32),
    index: Option<PartitionIndex>,
}

/// Adds a record that the partition has passed to the queue of records.
fn add_taken(
    builder: &mut BatchBuilder,
    member: &Member,
    taken: &TakenRecord<'_>,
    last: &mut LastPartition,
) -> Result<(), SourceError> {
    let partition = (taken.topic_address(), taken.partition());
    if last.index.is_none() || last.partition != partition {
        *last = LastPartition { partition, index: builder.index(taken.topic(), taken.partition()) };
    }
    let headers = if builder.wants_headers() { headers::texts(taken.headers()) } else { Vec::new() };
    let record = Record {
        offset: taken.offset(),
        time: taken.time().unwrap_or(0),
        key: taken.key(),
        body: taken.body(),
        headers: &headers,
    };
    add(builder, member, last.index, record)
}

/// Adds a record from the consumer's queue.
fn add_message(
    builder: &mut BatchBuilder,
    member: &Member,
    message: &BorrowedMessage<'_>,
) -> Result<(), SourceError> {
    let index = builder.index(message.topic(), message.partition());
    let headers = if builder.wants_headers() {
        headers::texts(headers::of_message(message.headers()))
    } else {
        Vec::new()
    };
    let record = Record {
        offset: message.offset(),
        time: message.timestamp().to_millis().unwrap_or(0),
        key: message.key(),
        body: message.payload(),
        headers: &headers,
    };
    add(builder, member, index, record)
}

fn add(
    builder: &mut BatchBuilder,
    member: &Member,
    index: Option<PartitionIndex>,
    record: Record<'_>,
) -> Result<(), SourceError> {
    // The partition was revoked, and its new owner reads this record.
    let Some(index) = index else { return Ok(()) };
    builder.add(index, record, Instant::now).map_err(|WentBack { partition, offset, position }| {
        let (component, partition) = (member.component(), partition.to_string());
        SourceError::WentBack { component, partition, offset, position }
    })
}

/// Decides whether an error of librdkafka stops the source.
fn handle_error(
    consumer: &BaseConsumer<Member>,
    builder: &BatchBuilder,
    error: KafkaError,
) -> Result<(), SourceError> {
    let member: &Member = consumer.context();
    let component = member.component();
    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
    match code {
        RDKafkaErrorCode::FencedInstanceId => Err(SourceError::Fenced { component, group: member.group() }),
        _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
            Err(SourceError::Fatal { component, source: Box::new(error) })
        }
        RDKafkaErrorCode::AutoOffsetReset
        | RDKafkaErrorCode::OffsetOutOfRange
        | RDKafkaErrorCode::LogTruncation => Err(offset_gone(consumer, builder)),
        _ if is_refusal(code) => Err(member.refused(code)),
        _ if is_unreadable(code) => Err(SourceError::Unreadable { component, code }),
        RDKafkaErrorCode::PollExceeded => {
            info!(
                component,
                "the thread was held up for longer than the session timeout; it joins its group again"
            );
            Ok(())
        }
        // Other errors are reported by callbacks, or librdkafka tries again.
        _ => Ok(()),
    }
}

/// Finds out which offset the broker no longer has.
fn offset_gone(consumer: &BaseConsumer<Member>, builder: &BatchBuilder) -> SourceError {
    let member: &Member = consumer.context();
    if let Err(made_again) = member.check_topics(consumer) {
        return made_again;
    }
    let (component, group) = (member.component(), member.group());
    for (topic, partition, position) in builder.positions() {
        let watermarks = consumer.fetch_watermarks(topic, partition, PROBE_TIMEOUT);
        if let Ok((low, high)) = watermarks
            && i64::try_from(position).is_ok_and(|position| position < low || position > high)
        {
            let topic = topic.to_owned();
            return SourceError::OffsetGone { component, group, topic, partition, position, low, high };
        }
    }
    SourceError::SomeOffsetGone { component, group }
}
