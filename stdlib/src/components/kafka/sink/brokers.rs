//! What the sink asks of its client library and of the brokers: librdkafka, or simulated brokers in the histories of the tests. Each
//! method is called once for many records, or a few times in a transaction.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::error::SinkError;
use super::producer::{Callbacks, DeliveryReports, Enqueued, PendingBatch, ProducerHandle};
use super::records::Records;
use super::upstreams::{Brought, Offsets, Upstreams, list_of};
use crate::components::kafka::native::{TransactionError, commit_transaction, send_offsets};
use crate::components::kafka::positions::{self, PARTITION, PositionRecord, Positions, PositionsError};
use crate::components::kafka::protected::ProtectedConfig;
use crate::components::kafka::transaction_calls::{self, SLICE};
use crate::formats::messages::Contents;

/// A call of a producer for transactions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call<'c> {
    /// Gets the producer its epoch.
    Initialise,
    /// Begins a transaction. Does not ask brokers.
    Begin,
    /// Adds offsets of a group to the transaction.
    Offsets(&'c Offsets),
    /// Commits the transaction, after all its records are written.
    Commit,
    /// Ends the transaction without its records.
    Abort,
}

/// A producer, whose delivery reports go to [`DeliveryReports`].
#[async_trait]
pub(super) trait Produces: Send + Sync {
    /// Takes the records of rows until its queue is full. See [`ProducerHandle::enqueue`].
    fn enqueue(
        &self,
        reports: &DeliveryReports,
        records: &mut Records<'_>,
        contents: &Contents,
        rows: Range<usize>,
        pending: &Arc<PendingBatch>,
    ) -> Enqueued;

    /// Takes a record of the sink itself.
    ///
    /// # Errors
    /// When its queue is full, or it does not take the record.
    fn write(&self, topic: &str, record: &PositionRecord, pending: &Arc<PendingBatch>) -> KafkaResult<()>;

    /// Makes a call, again while it may go on, for at most `limit`.
    ///
    /// # Errors
    /// When it has failed, or its outcome is not known.
    async fn call(&self, call: Call<'_>, limit: Duration) -> Result<(), TransactionError>;
}

/// The brokers, as a sink with transactions needs them beside its producers.
#[async_trait]
pub(super) trait Brokers: Send + Sync {
    /// Makes a producer.
    ///
    /// # Errors
    /// When the settings are not taken.
    fn start(
        &self,
        config: &ProtectedConfig,
        reports: Arc<DeliveryReports>,
    ) -> Result<ProducerHandle, SinkError>;

    /// See [`positions::ensure_topic`].
    ///
    /// # Errors
    /// When the topic can't be used.
    async fn ensure_topic(
        &self,
        config: &ProtectedConfig,
        topic: &str,
        component: &str,
    ) -> Result<(), PositionsError>;

    /// See [`positions::read`].
    ///
    /// # Errors
    /// When the topic can't be read.
    async fn positions(
        &self,
        config: &ProtectedConfig,
        topic: &str,
        id: &str,
    ) -> Result<Positions, PositionsError>;

    /// See [`Upstreams::look_up`].
    ///
    /// # Errors
    /// When the brokers don't answer.
    async fn offsets(&self, config: &ProtectedConfig, upstreams: &Upstreams) -> KafkaResult<Brought>;
}

/// Real brokers, by librdkafka. Calls that block run on threads of their own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Librdkafka;

#[async_trait]
impl Brokers for Librdkafka {
    fn start(
        &self,
        config: &ProtectedConfig,
        reports: Arc<DeliveryReports>,
    ) -> Result<ProducerHandle, SinkError> {
        ProducerHandle::start(config, reports)
    }

    async fn ensure_topic(
        &self,
        config: &ProtectedConfig,
        topic: &str,
        component: &str,
    ) -> Result<(), PositionsError> {
        positions::ensure_topic(config, topic, component).await
    }

    async fn positions(
        &self,
        config: &ProtectedConfig,
        topic: &str,
        id: &str,
    ) -> Result<Positions, PositionsError> {
        let (config, of, id) = (config.clone(), topic.to_owned(), id.to_owned());
        let read = tokio::task::spawn_blocking(move || positions::read(&config, &of, &id)).await;
        read.unwrap_or_else(|_| Err(PositionsError::Open { topic: topic.to_owned() }))
    }

    async fn offsets(&self, config: &ProtectedConfig, upstreams: &Upstreams) -> KafkaResult<Brought> {
        let (config, upstreams) = (config.clone(), upstreams.clone());
        let looked_up = tokio::task::spawn_blocking(move || upstreams.look_up(&config)).await;
        looked_up.unwrap_or(Err(KafkaError::Global(RDKafkaErrorCode::OperationTimedOut)))
    }
}

#[async_trait]
impl Produces for Arc<BaseProducer<Callbacks>> {
    fn enqueue(
        &self,
        reports: &DeliveryReports,
        records: &mut Records<'_>,
        contents: &Contents,
        rows: Range<usize>,
        pending: &Arc<PendingBatch>,
    ) -> Enqueued {
        let context = &reports.context;
        for row in rows.clone() {
            if contents.is_unwritable(row) {
                continue;
            }
            let record = records.record(contents, row);
            if !record.has_topic_name {
                return Enqueued::Refused(row, context.no_topic_name(record.topic));
            }
            let bytes = record.bytes();
            let too_large = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
            if bytes as u64 > context.limit {
                return Enqueued::Refused(row, context.record(too_large, record.topic, bytes));
            }
            let send = BaseRecord {
                topic: record.topic,
                partition: None,
                payload: record.body,
                key: record.key,
                timestamp: record.time,
                headers: record.owned_headers(),
                delivery_opaque: pending.clone(),
            };
            // The report may come before `send` returns.
            let is_alone = reports.is_alone(bytes);
            if is_alone {
                pending.note_alone(&record, row);
            }
            let Err((error, _)) = self.send(send) else { continue };
            if is_alone {
                pending.refused_row(record.fingerprint());
            }
            if matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                return Enqueued::Full(row);
            }
            return Enqueued::Refused(row, context.record(error, record.topic, bytes));
        }
        Enqueued::All(rows.end)
    }

    fn write(&self, topic: &str, record: &PositionRecord, pending: &Arc<PendingBatch>) -> KafkaResult<()> {
        let PositionRecord { key, value } = record;
        let send = BaseRecord {
            topic,
            partition: Some(PARTITION),
            payload: value.as_deref(),
            key: Some(key.as_str()),
            timestamp: None,
            headers: None,
            delivery_opaque: pending.clone(),
        };
        self.send(send).map_err(|(error, _)| error)
    }

    async fn call(&self, call: Call<'_>, limit: Duration) -> Result<(), TransactionError> {
        let producer = || self.clone();
        match call {
            Call::Initialise => {
                let next = || {
                    let producer = producer();
                    Some(move || Ok(producer.init_transactions(SLICE)?))
                };
                transaction_calls::repeat(limit, next).await
            }
            Call::Begin => Ok(self.begin_transaction()?),
            Call::Offsets(Offsets { offsets, generation, .. }) => {
                let list = list_of(offsets)?;
                let next = || {
                    let (producer, list, generation) = (producer(), list.clone(), generation.clone());
                    Some(move || send_offsets(producer.client(), &list, &generation, SLICE))
                };
                transaction_calls::repeat(limit, next).await
            }
            Call::Commit => {
                let next = || {
                    let producer = producer();
                    Some(move || commit_transaction(producer.client(), SLICE))
                };
                transaction_calls::repeat(limit, next).await
            }
            Call::Abort => {
                let next = || {
                    let producer = producer();
                    Some(move || Ok(producer.abort_transaction(SLICE)?))
                };
                transaction_calls::repeat(limit, next).await
            }
        }
    }
}
