//! The producer, its polling thread, and the acknowledgement of batches by delivery reports.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use weir_runtime::Acknowledgement;

use super::error::{ErrorContext, SinkError};
use super::records::Records;
use crate::components::kafka::connection::Connection;

/// The longest time of one poll.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// How long the sink waits for the producer to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The state that the delivery reports of one producer update.
pub(super) struct DeliveryReports {
    connection: Connection,
    context: ErrorContext,
    /// The number of batches with records that are not reported yet.
    unsettled: AtomicUsize,
    failure: Mutex<Option<SinkError>>,
    /// Notified when there is a failure, or when all batches are settled.
    changed: Notify,
}

/// A batch whose records are with the producer. Each record holds a reference to it. When the last record is reported,
/// the batch is acknowledged, or returned to the channel if a record has failed.
pub(super) struct PendingBatch {
    reports: Arc<DeliveryReports>,
    acknowledgement: Option<Acknowledgement>,
    /// Whether the producer has all records, so that the last report settles the batch.
    all_enqueued: AtomicBool,
    failed: AtomicBool,
}

impl PendingBatch {
    /// Notes that the producer has all records of the batch.
    pub(super) fn all_enqueued(&self) {
        self.all_enqueued.store(true, Ordering::Relaxed);
    }
}

impl Drop for PendingBatch {
    fn drop(&mut self) {
        // The reference count of `Arc` orders the stores of other threads before this.
        let arrived = *self.all_enqueued.get_mut() && !*self.failed.get_mut();
        if let Some(acknowledgement) = self.acknowledgement.take().filter(|_| arrived) {
            acknowledgement.done();
        }
        if self.reports.unsettled.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.reports.changed.notify_waiters();
        }
    }
}

impl DeliveryReports {
    pub(super) fn new(connection: Connection, context: ErrorContext) -> Arc<DeliveryReports> {
        Arc::new(DeliveryReports {
            connection,
            context,
            unsettled: AtomicUsize::new(0),
            failure: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Adds a batch whose records are to be sent.
    pub(super) fn track(self: &Arc<Self>, acknowledgement: Acknowledgement) -> Arc<PendingBatch> {
        self.unsettled.fetch_add(1, Ordering::AcqRel);
        Arc::new(PendingBatch {
            reports: self.clone(),
            acknowledgement: Some(acknowledgement),
            all_enqueued: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        })
    }

    fn fail(&self, error: SinkError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.changed.notify_waiters();
    }

    fn take_failure(&self) -> Option<SinkError> {
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
        self.0.connection.error(code, reason);
    }
}

impl ProducerContext for Callbacks {
    type DeliveryOpaque = Arc<PendingBatch>;

    fn delivery(&self, report: &DeliveryResult<'_>, pending: Arc<PendingBatch>) {
        let Err((error, message)) = report else { return self.0.connection.answered() };
        pending.failed.store(true, Ordering::Relaxed);
        let code = error.rdkafka_error_code();
        // These codes mean that the producer is being dropped, which has another cause.
        if !matches!(code, Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)) {
            use rdkafka::Message;
            let bytes = message.payload_len() + message.key_len();
            self.0.fail(self.0.context.record(error.clone(), message.topic(), bytes));
        }
    }
}

/// How many rows of a batch the producer has taken.
pub(super) enum Enqueued {
    /// All requested rows, which end before this one.
    All(usize),
    /// The rows before this one; then the queue was full.
    Full(usize),
}

/// A producer and its polling thread. Dropping it gives up the records that are not reported.
pub(super) struct ProducerHandle {
    reports: Arc<DeliveryReports>,
    producer: Option<Arc<BaseProducer<Callbacks>>>,
    ending: Arc<AtomicBool>,
    ended: oneshot::Receiver<()>,
}

impl ProducerHandle {
    pub(super) fn start(
        config: &ClientConfig,
        reports: Arc<DeliveryReports>,
    ) -> Result<ProducerHandle, SinkError> {
        let component = reports.context.component.clone();
        let no_client = |error| SinkError::Client { component: component.clone(), source: Box::new(error) };
        let producer: BaseProducer<Callbacks> =
            config.create_with_context(Callbacks(reports.clone())).map_err(no_client)?;
        let producer = Arc::new(producer);
        let ending = Arc::new(AtomicBool::new(false));
        let (end_sender, ended) = oneshot::channel();
        let poll = {
            let (producer, ending) = (producer.clone(), ending.clone());
            move || {
                poll_until(&producer, &ending);
                // This is the last reference to the producer. Dropping it blocks for a while.
                drop(producer);
                let _nobody_waits = end_sender.send(());
            }
        };
        let thread = thread::Builder::new().name(format!("kafka {component}"));
        thread.spawn(poll).map_err(|source| SinkError::Thread { component, source })?;
        Ok(ProducerHandle { reports, producer: Some(producer), ending, ended })
    }

    pub(super) fn reports(&self) -> &Arc<DeliveryReports> {
        &self.reports
    }

    /// Passes the records of `rows` to the producer until its queue is full. Never blocks.
    pub(super) fn enqueue(
        &self,
        records: &mut Records<'_>,
        rows: std::ops::Range<usize>,
        pending: &Arc<PendingBatch>,
    ) -> Result<Enqueued, SinkError> {
        let Some(producer) = &self.producer else { return Ok(Enqueued::Full(rows.start)) };
        let context = &self.reports.context;
        for row in rows.clone() {
            let record = records.record(row);
            let bytes = record.body.len() + record.key.map_or(0, str::len);
            let too_large = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
            if bytes as u64 > context.limit {
                return Err(context.record(too_large, record.topic, bytes));
            }
            let send = BaseRecord {
                topic: record.topic,
                partition: None,
                payload: Some(record.body),
                key: record.key,
                timestamp: record.time,
                headers: None,
                delivery_opaque: pending.clone(),
            };
            match producer.send(send) {
                Ok(()) => {}
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    return Ok(Enqueued::Full(row));
                }
                Err((error, _)) => return Err(context.record(error, record.topic, bytes)),
            }
        }
        Ok(Enqueued::All(rows.end))
    }

    /// Drops the producer and the records that it has not written, and waits until it has ended.
    pub(super) async fn end(mut self) {
        self.stop_polling();
        // After the timeout, the thread goes on alone.
        let _longer = timeout(END_TIMEOUT, &mut self.ended).await;
    }

    fn stop_polling(&mut self) {
        self.producer = None;
        self.ending.store(true, Ordering::Release);
    }
}

impl Drop for ProducerHandle {
    fn drop(&mut self) {
        self.stop_polling();
    }
}

fn poll_until(producer: &BaseProducer<Callbacks>, ending: &AtomicBool) {
    while !ending.load(Ordering::Acquire) {
        producer.poll(POLL_TIMEOUT);
        let probe = |timeout| producer.client().fetch_metadata(None, timeout).is_ok();
        producer.context().0.connection.tick(probe);
    }
}
