//! The producer, its polling thread, and the acknowledgement of batches by delivery reports.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Headers, Message};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::statistics::Statistics;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use weir_runtime::Acknowledgement;
use weir_runtime::sink::{Delivery, Rejecter};

use super::brokers::Produces;
use super::error::{ErrorContext, SinkError};
use super::records::{Record, Records, fingerprint};
use crate::components::kafka::connection::Connection;
use crate::components::kafka::protected::ProtectedConfig;
use crate::components::kafka::tokens::Renewal;
use crate::formats::messages::Contents;

/// The longest time of one poll.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// How long the sink waits for the producer to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The state that the delivery reports of one producer update.
pub(super) struct DeliveryReports {
    connection: Connection,
    pub(super) context: ErrorContext,
    /// The most bytes of a batch of several records, as librdkafka counts them. A larger record is alone in its batch.
    batch_bytes_max: usize,
    /// Whether the broker has refused a batch of several records as too large.
    batch_refused: AtomicBool,
    /// The number of batches with records that are not reported yet.
    unsettled: AtomicUsize,
    failure: Mutex<Option<SinkError>>,
    /// The records that the broker has refused for good, and that the sink has not rejected yet; none after the run of the sink:
    /// the batches would be kept for ever, since each of them refers to these reports.
    refused: Mutex<Option<Vec<Refused>>>,
    /// With transactions: the acknowledgements of the batches whose records are written and not committed yet; none after the
    /// run of the sink.
    uncommitted: Option<Mutex<Option<Vec<Acknowledgement>>>>,
    /// Whether the client has reported an error since [`DeliveryReports::begin_undisturbed`].
    disturbed: AtomicBool,
    /// Notified when there is a failure or a refused record, or when all batches are settled.
    changed: Notify,
}

/// A record that the broker has refused for good, and whose event the sink can reject.
pub(super) struct Refused {
    pub(super) pending: Arc<PendingBatch>,
    /// The row of the event.
    pub(super) row: usize,
    pub(super) error: SinkError,
}

/// A batch whose records are with the producer. Each record holds a reference to it. When the last record is reported,
/// the batch is acknowledged, or returned to the channel if a record has failed.
pub(super) struct PendingBatch {
    reports: Arc<DeliveryReports>,
    pub(super) rejecter: Rejecter,
    acknowledgement: Mutex<Option<Acknowledgement>>,
    /// The fingerprints and the rows of the records that are alone in their batches. Only these can be refused on their own.
    alone: Mutex<Vec<(u128, usize)>>,
    /// The number of refused events that are not rejected yet.
    unrejected: AtomicUsize,
    /// Whether the producer has all records, so that the last report settles the batch.
    all_enqueued: AtomicBool,
    failed: AtomicBool,
}

impl PendingBatch {
    /// Notes that the producer has all records of the batch.
    pub(super) fn all_enqueued(&self) {
        self.all_enqueued.store(true, Ordering::Relaxed);
    }

    /// Takes the share of an event that is rejected.
    pub(super) fn share_of_rejected(&self) -> Option<Acknowledgement> {
        let mut acknowledgement = self.acknowledgement.lock().unwrap_or_else(PoisonError::into_inner);
        acknowledgement.as_mut().map(|acknowledgement| acknowledgement.split(1))
    }

    /// Notes that an event which the broker had refused is rejected.
    pub(super) fn rejected(&self) {
        self.unrejected.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes a record that is alone in its batch, so that its event is found if the broker refuses it.
    pub(super) fn note_alone(&self, record: &Record<'_>, row: usize) {
        let note = (record.fingerprint(), row);
        self.alone.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }

    /// Finds the row of a refused record. Of equal records, each is found once.
    pub(super) fn refused_row(&self, fingerprint: u128) -> Option<usize> {
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let index = alone.iter().position(|(known, _)| *known == fingerprint)?;
        Some(alone.remove(index).1)
    }
}

impl Drop for PendingBatch {
    fn drop(&mut self) {
        // The reference count of `Arc` orders the stores of other threads before this.
        let arrived =
            *self.all_enqueued.get_mut() && !*self.failed.get_mut() && *self.unrejected.get_mut() == 0;
        let acknowledgement = self.acknowledgement.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(acknowledgement) = acknowledgement.take().filter(|_| arrived) {
            match &self.reports.uncommitted {
                Some(uncommitted) => {
                    let mut uncommitted = uncommitted.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(uncommitted) = &mut *uncommitted {
                        uncommitted.push(acknowledgement);
                    }
                }
                None => acknowledgement.done(),
            }
        }
        if self.reports.unsettled.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.reports.changed.notify_waiters();
        }
    }
}

impl DeliveryReports {
    pub(super) fn new(
        connection: Connection,
        context: ErrorContext,
        batch_bytes_max: usize,
        in_transactions: bool,
    ) -> Arc<DeliveryReports> {
        Arc::new(DeliveryReports {
            connection,
            context,
            batch_bytes_max,
            batch_refused: AtomicBool::new(false),
            unsettled: AtomicUsize::new(0),
            failure: Mutex::default(),
            refused: Mutex::new(Some(Vec::new())),
            uncommitted: in_transactions.then(|| Mutex::new(Some(Vec::new()))),
            disturbed: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    /// Adds a batch whose records are to be sent.
    pub(super) fn track(self: &Arc<Self>, delivery: Delivery) -> Arc<PendingBatch> {
        let Delivery { acknowledgement, rejecter, .. } = delivery;
        self.pending(Some(acknowledgement), rejecter)
    }

    /// Adds records of the sink itself, which are no events.
    pub(super) fn track_own(self: &Arc<Self>) -> Arc<PendingBatch> {
        self.pending(None, Rejecter::default())
    }

    fn pending(
        self: &Arc<Self>,
        acknowledgement: Option<Acknowledgement>,
        rejecter: Rejecter,
    ) -> Arc<PendingBatch> {
        self.unsettled.fetch_add(1, Ordering::AcqRel);
        Arc::new(PendingBatch {
            reports: self.clone(),
            rejecter,
            acknowledgement: Mutex::new(acknowledgement),
            alone: Mutex::default(),
            unrejected: AtomicUsize::new(0),
            all_enqueued: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        })
    }

    /// Acknowledges the written batches, whose transaction is committed.
    pub(super) fn committed(&self) {
        let Some(uncommitted) = &self.uncommitted else { return };
        let mut uncommitted = uncommitted.lock().unwrap_or_else(PoisonError::into_inner);
        let written = uncommitted.as_mut().map(std::mem::take).unwrap_or_default();
        drop(uncommitted);
        written.into_iter().for_each(Acknowledgement::done);
    }

    /// Gives up the batches that are not committed. Their events return to the channel.
    fn give_up_uncommitted(&self) {
        let Some(uncommitted) = &self.uncommitted else { return };
        let given_up = uncommitted.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(given_up);
    }

    /// Notes the report that a record was not written, as the client does it.
    #[cfg(test)]
    pub(super) fn record_failed(&self, pending: &PendingBatch, error: SinkError) {
        pending.failed.store(true, Ordering::Relaxed);
        self.fail(error);
    }

    /// Notes an error of the client, such as a lost connection.
    #[cfg(test)]
    pub(super) fn disturb(&self) {
        self.disturbed.store(true, Ordering::Release);
    }

    /// Forgets the errors that the client has reported.
    pub(super) fn begin_undisturbed(&self) {
        self.disturbed.store(false, Ordering::Release);
    }

    /// Whether the client has reported an error, such as a lost connection, since [`DeliveryReports::begin_undisturbed`].
    pub(super) fn was_disturbed(&self) -> bool {
        self.disturbed.load(Ordering::Acquire)
    }

    fn fail(&self, error: SinkError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.changed.notify_waiters();
    }

    /// Whether a record of this size has a batch of its own.
    pub(super) fn is_alone(&self, bytes: usize) -> bool {
        bytes > self.batch_bytes_max || self.batch_bytes_max <= 1
    }

    /// Whether the broker has refused a batch of several records as too large, each of which may be small enough.
    pub(super) fn batch_was_refused(&self) -> bool {
        self.batch_refused.load(Ordering::Acquire)
    }

    /// Keeps a record that the broker has refused for good, if its event can be rejected.
    fn refuse(
        &self,
        pending: &Arc<PendingBatch>,
        message: &BorrowedMessage<'_>,
        error: SinkError,
    ) -> Result<(), SinkError> {
        let SinkError::TooLarge { component, topic, bytes, .. } = &error else { return Err(error) };
        if !self.is_alone(*bytes) {
            // The record may have been refused because of the others in its batch.
            self.batch_refused.store(true, Ordering::Release);
            let (component, topic) = (component.clone(), topic.clone());
            return Err(SinkError::BatchTooLarge { component, topic, bytes: self.batch_bytes_max });
        }
        if !pending.rejecter.has_route() {
            return Err(error);
        }
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let headers = headers.map(|header| (header.key, header.value.unwrap_or_default()));
        let fingerprint = fingerprint(message.topic(), message.key(), message.payload(), headers);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(refused) = &mut *refused else { return Err(error) };
        let Some(row) = pending.refused_row(fingerprint) else { return Err(error) };
        pending.unrejected.fetch_add(1, Ordering::Relaxed);
        refused.push(Refused { pending: pending.clone(), row, error });
        self.changed.notify_waiters();
        Ok(())
    }

    /// Gives up the refused records that the sink has not rejected. Their events return to the channel.
    fn give_up_refused(&self) {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Dropped after the lock, since the end of a batch notifies others.
        drop(refused);
    }

    /// Takes a record that the broker has refused and whose event has to be rejected.
    pub(super) fn take_refused(&self) -> Option<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).as_mut().and_then(Vec::pop)
    }

    /// Waits until the broker has refused a record whose event has to be rejected.
    pub(super) async fn refused(&self) -> Refused {
        loop {
            let changed = self.changed.notified();
            if let Some(refused) = self.take_refused() {
                return refused;
            }
            changed.await;
        }
    }

    pub(super) fn take_failure(&self) -> Option<SinkError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until a record has failed, and returns its error.
    pub(super) async fn failure(&self) -> SinkError {
        loop {
            let changed = self.changed.notified();
            if let Some(error) = self.take_failure() {
                return error;
            }
            changed.await;
        }
    }

    /// Waits until all batches are settled or a record has failed.
    pub(super) async fn settled(&self) -> Result<(), SinkError> {
        loop {
            let changed = self.changed.notified();
            // A failure is stored before its batch is settled, so the count is read first.
            let unsettled = self.unsettled.load(Ordering::Acquire);
            if let Some(error) = self.take_failure() {
                return Err(error);
            }
            if unsettled == 0 {
                return Ok(());
            }
            changed.await;
        }
    }
}

/// The callbacks that librdkafka calls on the polling thread.
pub(super) struct Callbacks(Arc<DeliveryReports>);

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.connection.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        self.0.disturbed.store(true, Ordering::Release);
        self.0.connection.error(code, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.connection.look_for_silent(&statistics);
    }
}

impl ProducerContext for Callbacks {
    type DeliveryOpaque = Arc<PendingBatch>;

    fn delivery(&self, report: &DeliveryResult<'_>, pending: Arc<PendingBatch>) {
        let Err((error, message)) = report else { return self.0.connection.answered() };
        let code = error.rdkafka_error_code();
        // These codes mean that the producer is being dropped, which has another cause.
        if matches!(code, Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)) {
            pending.failed.store(true, Ordering::Relaxed);
            return;
        }
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let headers = headers.map(|header| header.key.len() + header.value.map_or(0, <[u8]>::len));
        let bytes = message.payload_len() + message.key_len() + headers.sum::<usize>();
        let error = self.0.context.record(error.clone(), message.topic(), bytes);
        if let Err(error) = self.0.refuse(&pending, message, error) {
            pending.failed.store(true, Ordering::Relaxed);
            self.0.fail(error);
        }
    }
}

/// How many rows of a batch the producer has taken.
pub(super) enum Enqueued {
    /// All requested rows, which end before this one.
    All(usize),
    /// The rows before this one; then the queue was full.
    Full(usize),
    /// The rows before this one, whose record can't be written.
    Refused(usize, SinkError),
}

/// A producer and its polling thread. Dropping it gives up the records that are not reported.
pub(super) struct ProducerHandle {
    reports: Arc<DeliveryReports>,
    producer: Option<Box<dyn Produces>>,
    ending: Arc<AtomicBool>,
    ended: oneshot::Receiver<()>,
}

impl ProducerHandle {
    pub(super) fn start(
        config: &ProtectedConfig,
        reports: Arc<DeliveryReports>,
    ) -> Result<ProducerHandle, SinkError> {
        let component = reports.context.component.clone();
        let created = config.create(Callbacks(reports.clone()));
        let producer: BaseProducer<Callbacks> = created.map_err(|error| reports.context.no_client(error))?;
        let producer = Arc::new(producer);
        let ending = Arc::new(AtomicBool::new(false));
        let renewal = Renewal::new(reports.context.security.tokens());
        let (end_sender, ended) = oneshot::channel();
        let poll = {
            let (producer, ending) = (producer.clone(), ending.clone());
            move || {
                poll_until(&producer, renewal, &ending);
                // This is the last reference to the producer. Dropping it blocks for a while.
                drop(producer);
                let _nobody_waits = end_sender.send(());
            }
        };
        let thread = thread::Builder::new().name(format!("kafka {component}"));
        thread.spawn(poll).map_err(|source| SinkError::Thread { component, source })?;
        Ok(ProducerHandle { reports, producer: Some(Box::new(producer)), ending, ended })
    }

    /// A producer of simulated brokers, which needs no thread that polls it.
    #[cfg(test)]
    pub(super) fn simulated(producer: Box<dyn Produces>, reports: Arc<DeliveryReports>) -> ProducerHandle {
        let (ended_already, ended) = oneshot::channel();
        drop(ended_already);
        ProducerHandle { reports, producer: Some(producer), ending: Arc::default(), ended }
    }

    pub(super) fn reports(&self) -> &Arc<DeliveryReports> {
        &self.reports
    }

    /// Passes the records of `rows` to the producer until its queue is full. Leaves out rows that the format can't represent.
    /// Never blocks.
    pub(super) fn enqueue(
        &self,
        records: &mut Records<'_>,
        contents: &Contents,
        rows: std::ops::Range<usize>,
        pending: &Arc<PendingBatch>,
    ) -> Enqueued {
        match &self.producer {
            Some(producer) => producer.enqueue(&self.reports, records, contents, rows, pending),
            None => Enqueued::Full(rows.start),
        }
    }

    /// The client; none when it has been dropped.
    pub(super) fn producer(&self) -> Option<&dyn Produces> {
        self.producer.as_deref()
    }

    /// Drops the producer and the records that it has not written, and waits until it has ended.
    pub(super) async fn end(mut self) {
        self.stop_polling();
        // After the timeout, the thread goes on alone.
        let _longer = timeout(END_TIMEOUT, &mut self.ended).await;
    }

    /// The same without a timeout: then the events that it has not written are all back in the channel.
    pub(super) async fn end_completely(mut self) {
        self.stop_polling();
        // The thread ends without a word only if it has panicked, and then it has dropped the producer as well.
        let _ended = (&mut self.ended).await;
    }

    fn stop_polling(&mut self) {
        self.producer = None;
        self.reports.give_up_refused();
        self.reports.give_up_uncommitted();
        self.ending.store(true, Ordering::Release);
    }
}

impl Drop for ProducerHandle {
    fn drop(&mut self) {
        self.stop_polling();
    }
}

fn poll_until(producer: &BaseProducer<Callbacks>, mut renewal: Renewal, ending: &AtomicBool) {
    while !ending.load(Ordering::Acquire) {
        producer.poll(POLL_TIMEOUT);
        renewal.renew(producer.client());
        let reports = &producer.context().0;
        reports.connection.tick(producer.client());
        if let Some(refusal) = reports.connection.take_refusal() {
            reports.fail(reports.context.refusal(refusal, renewal.shown()));
        }
    }
}
