//! The producer: its polling thread, the delivery reports, and what they mean for the batches.

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

use super::error::{Naming, SinkError};
use super::records::Records;
use crate::components::kafka::connection::Connection;

/// How long the thread polls before it looks after other things.
const POLL: Duration = Duration::from_millis(100);

/// How long the producer may take to give up what it holds.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// What the delivery reports of one producer have said.
pub(super) struct Reports {
    connection: Connection,
    naming: Naming,
    /// Batches with records that are not all reported.
    unsettled: AtomicUsize,
    failure: Mutex<Option<SinkError>>,
    /// There is a failure, or all batches are settled.
    changed: Notify,
}

/// A batch on its way: every record that is with the producer holds a share of it, and when the
/// last report has come, the batch is acknowledged or, if anything failed, given back.
pub(super) struct Shipment {
    reports: Arc<Reports>,
    acknowledgement: Option<Acknowledgement>,
    /// All records are with the producer: the last report settles it.
    loaded: AtomicBool,
    failed: AtomicBool,
}

impl Shipment {
    /// All its records are with the producer.
    pub(super) fn loaded(&self) {
        self.loaded.store(true, Ordering::Relaxed);
    }
}

impl Drop for Shipment {
    fn drop(&mut self) {
        // `Arc` orders what the others did to it before this.
        let arrived = *self.loaded.get_mut() && !*self.failed.get_mut();
        if let Some(acknowledgement) = self.acknowledgement.take().filter(|_| arrived) {
            acknowledgement.done();
        }
        if self.reports.unsettled.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.reports.changed.notify_waiters();
        }
    }
}

impl Reports {
    pub(super) fn new(connection: Connection, naming: Naming) -> Arc<Reports> {
        Arc::new(Reports {
            connection,
            naming,
            unsettled: AtomicUsize::new(0),
            failure: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Begins to send a batch.
    pub(super) fn begin(self: &Arc<Self>, acknowledgement: Acknowledgement) -> Arc<Shipment> {
        self.unsettled.fetch_add(1, Ordering::AcqRel);
        Arc::new(Shipment {
            reports: self.clone(),
            acknowledgement: Some(acknowledgement),
            loaded: AtomicBool::new(false),
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

    /// Completes when a record has failed.
    pub(super) async fn failure(&self) -> SinkError {
        loop {
            let changed = self.changed.notified();
            if let Some(error) = self.take_failure() {
                return error;
            }
            changed.await;
        }
    }

    /// Completes when all batches have arrived, or a record has failed.
    pub(super) async fn settled(&self) -> Result<(), SinkError> {
        loop {
            let changed = self.changed.notified();
            // The failure is written before its batch is settled.
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

/// What librdkafka calls on the polling thread.
pub(super) struct Callbacks(Arc<Reports>);

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
    type DeliveryOpaque = Arc<Shipment>;

    fn delivery(&self, report: &DeliveryResult<'_>, shipment: Arc<Shipment>) {
        let Err((error, message)) = report else { return self.0.connection.alive() };
        shipment.failed.store(true, Ordering::Relaxed);
        let code = error.rdkafka_error_code();
        // The producer is being given up: whoever did that knows why.
        if !matches!(code, Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)) {
            use rdkafka::Message;
            let bytes = message.payload_len() + message.key_len();
            self.0.fail(self.0.naming.record(error.clone(), message.topic(), bytes));
        }
    }
}

/// How far the rows of a batch were taken by the producer.
pub(super) enum Loaded {
    /// Up to this row.
    Through(usize),
    /// Up to this row; then there was no room.
    Full(usize),
}

/// A producer and its polling thread. Dropping it gives up what is not reported.
pub(super) struct Shipping {
    reports: Arc<Reports>,
    producer: Option<Arc<BaseProducer<Callbacks>>>,
    ending: Arc<AtomicBool>,
    ended: oneshot::Receiver<()>,
}

impl Shipping {
    pub(super) fn start(config: &ClientConfig, reports: Arc<Reports>) -> Result<Shipping, SinkError> {
        let component = reports.naming.component.clone();
        let no_client = |error| SinkError::Client { component: component.clone(), source: Box::new(error) };
        let producer: BaseProducer<Callbacks> =
            config.create_with_context(Callbacks(reports.clone())).map_err(no_client)?;
        let producer = Arc::new(producer);
        let ending = Arc::new(AtomicBool::new(false));
        let (tell_end, ended) = oneshot::channel();
        let poll = {
            let (producer, ending) = (producer.clone(), ending.clone());
            move || {
                poll_until(&producer, &ending);
                // The last one to hold the producer: dropping it blocks for a while.
                drop(producer);
                let _nobody_waits = tell_end.send(());
            }
        };
        let thread = thread::Builder::new().name(format!("kafka {component}"));
        thread.spawn(poll).map_err(|source| SinkError::Thread { component, source })?;
        Ok(Shipping { reports, producer: Some(producer), ending, ended })
    }

    pub(super) fn reports(&self) -> &Arc<Reports> {
        &self.reports
    }

    /// Hands the records of `rows` to the producer, until it has no room. Never blocks.
    pub(super) fn load(
        &self,
        records: &mut Records<'_>,
        rows: std::ops::Range<usize>,
        shipment: &Arc<Shipment>,
    ) -> Result<Loaded, SinkError> {
        let Some(producer) = &self.producer else { return Ok(Loaded::Full(rows.start)) };
        let naming = &self.reports.naming;
        for row in rows.clone() {
            let record = records.record(row);
            let bytes = record.body.len() + record.key.map_or(0, str::len);
            let too_large = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
            if bytes as u64 > naming.limit {
                return Err(naming.record(too_large, record.topic, bytes));
            }
            let send = BaseRecord {
                topic: record.topic,
                partition: None,
                payload: Some(record.body),
                key: record.key,
                timestamp: record.time,
                headers: None,
                delivery_opaque: shipment.clone(),
            };
            match producer.send(send) {
                Ok(()) => {}
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    return Ok(Loaded::Full(row));
                }
                Err((error, _)) => return Err(naming.record(error, record.topic, bytes)),
            }
        }
        Ok(Loaded::Through(rows.end))
    }

    /// Gives up the producer and what it has not written, and waits until it is gone.
    pub(super) async fn end(mut self) {
        self.let_go();
        // If it takes longer, it goes on without anybody waiting.
        let _longer = timeout(END_TIMEOUT, &mut self.ended).await;
    }

    fn let_go(&mut self) {
        self.producer = None;
        self.ending.store(true, Ordering::Release);
    }
}

impl Drop for Shipping {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn poll_until(producer: &BaseProducer<Callbacks>, ending: &AtomicBool) {
    while !ending.load(Ordering::Acquire) {
        producer.poll(POLL);
        let probe = |timeout| producer.client().fetch_metadata(None, timeout).is_ok();
        producer.context().0.connection.tick(probe);
    }
}
