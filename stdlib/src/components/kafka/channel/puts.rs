//! Puts: space, positions and the queue of what is to be written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Notify, Semaphore, mpsc};
use weir_runtime::batch::Batch;
use weir_runtime::channel::encoding::Encoder;
use weir_runtime::channel::{
    CommitError, Fill, Limits, PutTransaction, RecordedPositions, ReserveError, Scope,
};
use weir_runtime::{Acknowledgement, Failure};

use super::error::ChannelError;
use super::lag::Lags;
use super::sending::Submitted;
use super::topic::Topic;
use super::writer::{Unwritten, position_name};
use crate::components::kafka::connection::Connection;

/// What the puts and the tasks of a channel share.
pub(super) struct Shared {
    pub(super) encoder: Encoder,
    /// The connection of the producer. Those of the readers are others.
    pub(super) connection: Arc<Connection>,
    /// One permit for each byte of `buffer`.
    pub(super) space: Arc<Semaphore>,
    /// The most bytes of a put.
    pub(super) put_bytes_max: u64,
    /// Positions are recorded, and puts queued, under this lock, so that both have one order.
    pub(super) puts: Mutex<Puts>,
    pub(super) unwritten: Arc<Unwritten>,
    pub(super) lags: Arc<Lags>,
    pub(super) topic: Arc<OnceLock<Arc<Topic>>>,
    /// The offset at the end of each partition when the channel was opened, with `exactly_once`.
    pub(super) ends: OnceLock<BTreeMap<i32, u64>>,
    pub(super) failure: Mutex<Option<String>>,
    pub(super) failed: Notify,
}

/// The positions that the channel has, and the queue of what is to be written.
#[derive(Default)]
pub(super) struct Puts {
    /// None unless a flow promises `exactly_once`.
    pub(super) positions: Option<RecordedPositions>,
    /// None before the channel is open, and after its end.
    pub(super) queue: Option<mpsc::UnboundedSender<Submitted>>,
}

impl Shared {
    pub(super) fn puts(&self) -> MutexGuard<'_, Puts> {
        self.puts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failure(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the channel with an error.
    pub(super) fn fail(&self, error: ChannelError) {
        self.failure().get_or_insert(Failure::permanent(error).to_string());
        self.puts().queue = None;
        self.space.close();
        self.failed.notify_waiters();
    }

    pub(super) fn failed_with(&self) -> Option<Failure> {
        self.failure().clone().map(Failure::permanent)
    }

    /// Queues a put. Without the writer, the channel has failed, and the acknowledgement fails with the put.
    fn submit(&self, puts: &Puts, put: Submitted) {
        if let Some(queue) = &puts.queue {
            self.unwritten.add();
            let _dropped = queue.send(put);
        }
    }

    /// Returns the number of permits of a put.
    pub(super) fn permits(&self, amount: Fill, limits: &Limits) -> Result<u32, ReserveError> {
        let too_large = |requested: u64, limit: u64, unit| ReserveError::TooLarge { requested, limit, unit };
        if amount.events > limits.transaction_capacity {
            return Err(too_large(amount.events as u64, limits.transaction_capacity as u64, "events"));
        }
        match u32::try_from(amount.bytes) {
            Ok(bytes) if amount.bytes <= limits.byte_capacity => Ok(bytes.max(1)),
            _ => Err(too_large(amount.bytes, limits.byte_capacity, "bytes")),
        }
    }
}

/// Space for a put.
pub(super) struct KafkaPut {
    pub(super) shared: Arc<Shared>,
    pub(super) space: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl PutTransaction for KafkaPut {
    fn commit(
        self: Box<Self>,
        scope: &Scope,
        batch: Batch,
        acknowledgement: Acknowledgement,
    ) -> Result<(), CommitError> {
        let KafkaPut { shared, space } = *self;
        let intervals = batch.origins().intervals().iter();
        let position = |partition, through| (position_name(scope.name(), partition), through);
        if shared.puts().positions.is_none() {
            // Without an order of positions, puts are encoded at the same time.
            let record = (!batch.is_empty()).then(|| shared.encoder.encode(&batch));
            shared
                .submit(&shared.puts(), Submitted { record, positions: Vec::new(), acknowledgement, space });
            return Ok(());
        }
        let mut puts = shared.puts();
        let (batch, positions) = match &mut puts.positions {
            Some(recorded) => {
                let positions =
                    intervals.map(|interval| position(&interval.partition, interval.through)).collect();
                if recorded.stored(scope.name()).is_none() {
                    recorded.remember(scope.name(), "", BTreeMap::new());
                }
                (recorded.record(scope, batch)?, positions)
            }
            None => (Some(batch).filter(|batch| !batch.is_empty()), Vec::new()),
        };
        // A put of which the channel has everything waits for the puts before it, which may not be written yet.
        let record = batch.map(|batch| shared.encoder.encode(&batch));
        shared.submit(&puts, Submitted { record, positions, acknowledgement, space });
        Ok(())
    }
}
