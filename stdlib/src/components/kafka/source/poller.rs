//! The polling thread: takes records from librdkafka, gathers them and hands the batches over.
//!
//! The thread goes on polling whatever happens behind it, since a member that doesn't is thrown
//! out of its group. When the other side has no room it stops taking, which keeps what is
//! prefetched; after a second it pauses the partitions, which throws that away, and polls on.

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

use super::error::{SourceError, is_refusal, is_unreadable};
use super::gathering::{Gathering, Place, Record, WentBack};
use super::headers;
use super::member::{Change, Member};
use crate::components::kafka::connection::PROBE_TIMEOUT;

/// How long the thread waits for a record while there is none.
const IDLE: Duration = Duration::from_millis(100);

/// How long it waits for an event while it may take no records.
const HELD_UP: Duration = Duration::from_millis(20);

/// How long there may be no room before the partitions are paused.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often delivered offsets are sent to the broker.
const COMMIT_INTERVAL: Duration = Duration::from_millis(250);

/// The polling thread's work.
pub(super) struct Poller {
    consumer: BaseConsumer<Member>,
    gathering: Gathering,
    batches: mpsc::Sender<Batch>,
    committed: Instant,
    held_up: Option<HeldUp>,
}

/// There is no room for the gathered batch.
struct HeldUp {
    since: Instant,
    paused: bool,
}

impl Poller {
    pub(super) fn new(
        consumer: BaseConsumer<Member>,
        gathering: Gathering,
        batches: mpsc::Sender<Batch>,
    ) -> Poller {
        Poller { consumer, gathering, batches, committed: Instant::now(), held_up: None }
    }

    fn member(&self) -> &Member {
        self.consumer.context()
    }

    /// Polls until the member shall end. Dropping the poller leaves the group.
    pub(super) fn run(&mut self) -> Result<(), SourceError> {
        let ended = self.poll();
        let member = self.member();
        member.commit_now(&self.consumer, &member.owned());
        ended
    }

    fn poll(&mut self) -> Result<(), SourceError> {
        while !self.member().is_ending() {
            self.serve()?;
            if self.batches.is_closed() {
                self.rest()?;
            } else if self.gathering.remaining(Instant::now()).is_some_and(|left| left.is_zero()) {
                self.hand_over()?;
            } else {
                self.gather()?;
            }
        }
        Ok(())
    }

    /// Everything that has to be looked after from time to time.
    fn serve(&mut self) -> Result<(), SourceError> {
        for change in self.member().take_changes() {
            match change {
                Change::Assigned(beginning) => self.gathering.assign(&beginning),
                Change::Revoked(partition) => self.gathering.revoke(&partition),
            }
        }
        if let Some(error) = self.member().take_failure() {
            return Err(error);
        }
        let probe = |timeout| self.consumer.fetch_metadata(None, timeout).is_ok();
        self.member().connection().tick(probe);
        if self.committed.elapsed() >= COMMIT_INTERVAL {
            self.committed = Instant::now();
            self.member().commit_due(&self.consumer);
        }
        Ok(())
    }

    /// Takes records until the batch is full or none is there.
    fn gather(&mut self) -> Result<(), SourceError> {
        let Poller { consumer, gathering, .. } = self;
        let mut wait = gathering.remaining(Instant::now()).map_or(IDLE, |left| left.min(IDLE));
        let mut last = LastPlace::default();
        // A poll ends empty-handed after a rebalance, so that no place outlives it.
        while let Some(polled) = consumer.poll(wait) {
            let member: &Member = consumer.context();
            match polled {
                Ok(message) => take(gathering, member, &message, &mut last)?,
                Err(error) => return judge(consumer, error),
            }
            if gathering.is_full() {
                break;
            }
            wait = Duration::ZERO;
        }
        if last.place.is_some() {
            consumer.context().connection().alive();
        }
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), SourceError> {
        match self.batches.clone().try_reserve_owned() {
            Ok(room) => {
                if let Some(batch) = self.gathering.take().map_err(|error| self.no_batch(error))? {
                    room.send(batch);
                }
                if self.held_up.take().is_some_and(|held_up| held_up.paused) {
                    self.member().pause(&self.consumer, false);
                    debug!(component = %self.member().component(), "partitions are resumed");
                }
                Ok(())
            }
            Err(TrySendError::Full(_)) => self.wait_for_room(),
            Err(TrySendError::Closed(_)) => Ok(()),
        }
    }

    fn no_batch(&self, source: BatchError) -> SourceError {
        SourceError::Batch { component: self.member().component(), source }
    }

    fn wait_for_room(&mut self) -> Result<(), SourceError> {
        let held_up = self.held_up.get_or_insert_with(|| HeldUp { since: Instant::now(), paused: false });
        if held_up.paused {
            return self.poll_events();
        }
        if held_up.since.elapsed() < PATIENCE {
            // The other side unparks this thread when it has taken a batch.
            thread::park_timeout(IDLE);
            return Ok(());
        }
        held_up.paused = true;
        debug!(component = %self.member().component(), "no room for a second: partitions are paused");
        self.member().pause(&self.consumer, true);
        Ok(())
    }

    /// Nothing more is wanted: the member only commits and answers its group.
    fn rest(&mut self) -> Result<(), SourceError> {
        self.gathering.clear();
        let paused = self.held_up.get_or_insert_with(|| HeldUp { since: Instant::now(), paused: false });
        if !paused.paused {
            paused.paused = true;
            self.member().pause(&self.consumer, true);
        }
        self.poll_events()
    }

    /// Polls while the partitions are paused. A record that slips through is gathered: it would
    /// be missing otherwise.
    fn poll_events(&mut self) -> Result<(), SourceError> {
        let Poller { consumer, gathering, .. } = self;
        match consumer.poll(HELD_UP) {
            Some(Ok(message)) => take(gathering, consumer.context(), &message, &mut LastPlace::default()),
            Some(Err(error)) => judge(consumer, error),
            None => Ok(()),
        }
    }
}

/// The place of the last record's partition: records come in runs.
#[derive(Default)]
struct LastPlace {
    /// librdkafka's object of the topic, and the partition; only compared, never followed.
    partition: (usize, i32),
    place: Option<Place>,
}

fn take(
    gathering: &mut Gathering,
    member: &Member,
    message: &BorrowedMessage<'_>,
    last: &mut LastPlace,
) -> Result<(), SourceError> {
    let partition = (message.topic_ptr() as usize, message.partition());
    if last.place.is_none() || last.partition != partition {
        let place = gathering.place(message.topic(), message.partition());
        *last = LastPlace { partition, place };
    }
    // A record of a partition that was revoked: whoever owns it now reads it.
    let Some(place) = last.place else { return Ok(()) };
    let headers = if gathering.wants_headers() { headers::texts(message.headers()) } else { Vec::new() };
    let record = Record {
        offset: message.offset(),
        time: message.timestamp().to_millis().unwrap_or(0),
        key: message.key(),
        body: message.payload().unwrap_or_default(),
        headers: &headers,
    };
    gathering.add(place, record, Instant::now).map_err(|WentBack { partition, offset, position }| {
        let (component, partition) = (member.component(), partition.to_string());
        SourceError::WentBack { component, partition, offset, position }
    })
}

/// What an error from librdkafka means for the source.
fn judge(consumer: &BaseConsumer<Member>, error: KafkaError) -> Result<(), SourceError> {
    let member: &Member = consumer.context();
    let component = member.component();
    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
    match code {
        _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
            Err(SourceError::Fatal { component, source: Box::new(error) })
        }
        RDKafkaErrorCode::AutoOffsetReset
        | RDKafkaErrorCode::OffsetOutOfRange
        | RDKafkaErrorCode::LogTruncation => Err(offset_gone(consumer)),
        _ if is_refusal(code) => Err(member.refused(code)),
        _ if is_unreadable(code) => Err(SourceError::Unreadable { component, code }),
        RDKafkaErrorCode::PollExceeded => {
            info!(
                component,
                "the thread was held up for longer than the session timeout; it joins its group again"
            );
            Ok(())
        }
        // Told elsewhere, or by a retry of librdkafka's own.
        _ => Ok(()),
    }
}

/// Finds out which offset the broker does not have.
fn offset_gone(consumer: &BaseConsumer<Member>) -> SourceError {
    let member: &Member = consumer.context();
    let (component, group) = (member.component(), member.group());
    let positions = consumer.position();
    for element in positions.iter().flat_map(|list| list.elements()) {
        let (topic, partition) = (element.topic().to_string(), element.partition());
        // Before its first record, a partition's position is where it began.
        let position = element.offset().to_raw().and_then(|offset| u64::try_from(offset).ok());
        let position = position.or_else(|| member.begun(&topic, partition));
        let watermarks = consumer.fetch_watermarks(&topic, partition, PROBE_TIMEOUT);
        if let (Some(position), Ok((low, high))) = (position, watermarks)
            && i64::try_from(position).is_ok_and(|position| position < low || position > high)
        {
            return SourceError::OffsetGone { component, group, topic, partition, position, low, high };
        }
    }
    SourceError::SomeOffsetGone { component, group }
}
