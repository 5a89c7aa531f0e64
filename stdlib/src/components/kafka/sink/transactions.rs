//! The calls of a producer for transactions. They block, so they run on threads of their own while the polling thread of the
//! producer goes on.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::sleep;

use super::brokers::Call;
use super::error::SinkError;
use super::producer::{PendingBatch, ProducerHandle};
use super::upstreams::Offsets;
use crate::components::kafka::native::TransactionError;
use crate::components::kafka::positions::PositionRecord;

/// How long a producer may take to be initialised before the sink reports an error and tries again.
const INITIALISE_LIMIT: Duration = Duration::from_secs(30);

/// The wait for space in the producer's queue.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(5);

/// A producer with transactions.
pub(super) struct TransactionalProducer {
    handle: ProducerHandle,
    /// The transactional id.
    id: String,
    /// How long a commit may take.
    limit: Duration,
}

impl TransactionalProducer {
    pub(super) fn new(handle: ProducerHandle, id: String, limit: Duration) -> TransactionalProducer {
        TransactionalProducer { handle, id, limit }
    }

    /// The transactional id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn handle(&self) -> &ProducerHandle {
        &self.handle
    }

    /// Gets the producer its epoch. Ends transactions of earlier producers with its id, which can't write any more.
    ///
    /// # Errors
    /// When the broker does not do so within the limit.
    pub(super) async fn initialise(&self) -> Result<(), SinkError> {
        self.call("beginning", INITIALISE_LIMIT, Call::Initialise).await
    }

    /// Begins a transaction. Does not block.
    ///
    /// # Errors
    /// When the producer can't go on.
    pub(super) async fn begin(&self) -> Result<(), SinkError> {
        self.call("beginning", self.limit, Call::Begin).await
    }

    /// Adds offsets of a group to the transaction.
    ///
    /// # Errors
    /// When the brokers don't take them: the transaction can only be aborted.
    pub(super) async fn send_offsets(&self, offsets: &Offsets) -> Result<(), TransactionError> {
        match self.handle.producer() {
            Some(producer) => producer.call(Call::Offsets(offsets), self.limit).await,
            None => Ok(()),
        }
    }

    /// Commits the transaction, and acknowledges its events.
    ///
    /// # Errors
    /// When it is not committed, or that is not known: the producer must not be used any more.
    pub(super) async fn commit(&self) -> Result<(), SinkError> {
        let reports = self.handle.reports();
        reports.begin_undisturbed();
        if let Err(error) = self.call("committing", self.limit, Call::Commit).await {
            // The error of a record says more than that of its transaction.
            return Err(reports.take_failure().unwrap_or(error));
        }
        reports.settled().await?;
        reports.committed();
        Ok(())
    }

    /// Ends the transaction without its records, if that succeeds soon. If not, the next producer ends it.
    pub(super) async fn abort(&self, limit: Duration) {
        if let Err(error) = self.call("ending", limit, Call::Abort).await {
            let component = &self.handle.reports().context.component;
            tracing::debug!(component, "{error}: the next producer ends it");
        }
    }

    /// Writes a record of the sink itself. Waits while the producer's queue is full.
    ///
    /// # Errors
    /// When the producer does not take it, or a record has failed meanwhile.
    pub(super) async fn write(
        &self,
        topic: &str,
        record: &PositionRecord,
        pending: &Arc<PendingBatch>,
    ) -> Result<(), SinkError> {
        let reports = self.handle.reports();
        while let Some(producer) = self.handle.producer() {
            match producer.write(topic, record, pending) {
                Ok(()) => return Ok(()),
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => tokio::select! {
                    biased;
                    error = reports.failure() => return Err(error),
                    () = sleep(QUEUE_FULL_PAUSE) => {}
                },
                Err(error) => {
                    let bytes = record.key.len() + record.value.as_ref().map_or(0, String::len);
                    return Err(reports.context.record(error, topic, bytes));
                }
            }
        }
        Ok(())
    }

    /// Drops the producer, and waits until it has ended: `completely`, or for a short time.
    pub(super) async fn end(self, completely: bool) {
        match completely {
            true => self.handle.end_completely().await,
            false => self.handle.end().await,
        }
    }

    async fn call(&self, action: &'static str, limit: Duration, call: Call<'_>) -> Result<(), SinkError> {
        let Some(producer) = self.handle.producer() else { return Ok(()) };
        let called = producer.call(call, limit).await;
        called.map_err(|error| self.handle.reports().context.transaction(&self.id, action, error))
    }
}
