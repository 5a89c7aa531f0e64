//! The outlet: through which a source's batches pass their steps into channels.

use std::sync::Arc;

use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::progress::Progress;
use crate::acknowledgement::Acknowledgement;
use crate::batch::Batch;
use crate::channel::{Fill, Limits, PutTransaction, ReserveError};
use crate::failure::Failure;
use crate::meter::Meter;
use crate::route::{Put, Segment, StepError};

/// Why a batch could not be put.
#[derive(Debug, Error)]
pub enum PutError {
    /// A channel refused.
    #[error("channel {channel}: {error}")]
    Channel {
        /// The channel's name.
        channel: String,
        /// Why.
        error: ReserveError,
    },
    /// A step failed on the batch.
    #[error(transparent)]
    Step(StepError),
}

impl PutError {
    /// What a source that can't put does about it: what can't be put now can't be put later
    /// either, unless the channels are closed, which they are only when the agent is about to end.
    pub fn into_failure(self) -> Failure {
        match self {
            PutError::Channel { error: ReserveError::Closed, .. } => Failure::transient(self),
            PutError::Channel { .. } | PutError::Step(_) => Failure::permanent(self),
        }
    }
}

/// Where a source puts its batches.
pub struct Outlet {
    component: Arc<str>,
    segments: Arc<[Segment]>,
    progress: Arc<Progress>,
    meter: Arc<Meter>,
    /// The bounds that every channel behind this outlet keeps.
    limits: Limits,
    stop: CancellationToken,
    closed: CancellationToken,
}

impl Outlet {
    /// An outlet into these segments.
    ///
    /// # Panics
    /// When no segment leads to a channel, which the checker rules out.
    pub(crate) fn new(
        component: Arc<str>,
        segments: Arc<[Segment]>,
        progress: Arc<Progress>,
        meter: Arc<Meter>,
        stop: CancellationToken,
    ) -> Outlet {
        let limits = segments.iter().flat_map(Segment::targets).map(|target| target.channel.limits());
        let limits = limits.reduce(narrower).expect("the checker sees to it that a source leads somewhere");
        let closed = CancellationToken::new();
        Outlet { component, segments, progress, meter, limits, stop, closed }
    }

    /// Puts a batch: through its steps and into all its channels, as one unit.
    ///
    /// Waits while a channel is full: this is what slows a source down. When it returns, the
    /// batch is on its way; that its origins are done is told by
    /// [`Deliveries`](super::Deliveries). A batch larger than a transaction may be is put in
    /// parts. When the future is dropped before it is ready, the batch's origins are never
    /// reported as done, although some of its parts may arrive.
    ///
    /// # Errors
    /// When a step fails on the batch, an event is larger than a channel, or the channels are
    /// closed.
    pub async fn put(&mut self, batch: Batch) -> Result<(), PutError> {
        let (rows, bytes) = (batch.rows(), batch.payload_bytes());
        self.meter.received.add(rows, bytes);
        let origins = batch.origins().clone();
        let mut parts = Vec::new();
        split(batch.compacted(), self.limits, &mut parts);
        // The batch keeps one share until all its parts are put; what the steps have dropped is
        // delivered by being dropped, so that an empty batch is done when its turn comes.
        let mut whole = self.progress.begin(&origins, rows, bytes);
        for part in parts {
            self.put_part(&part, &mut whole).await?;
        }
        whole.done();
        Ok(())
    }

    async fn put_part(&mut self, part: &Batch, whole: &mut Acknowledgement) -> Result<(), PutError> {
        let mut puts = Vec::new();
        for segment in self.segments.iter() {
            segment.apply(part, &self.meter, &mut puts).map_err(PutError::Step)?;
        }
        puts.retain(|put| !put.batch.is_empty());
        puts.sort_by(|one, other| one.target.name.cmp(&other.target.name));
        let (optional, required): (Vec<Put>, Vec<Put>) =
            puts.into_iter().partition(|put| put.target.optional);
        let transactions = self.reserve(&required).await?;
        for (put, transaction) in required.into_iter().zip(transactions) {
            whole.widen(1);
            put.commit(transaction, whole.split(1));
        }
        optional.into_iter().for_each(Put::commit_if_room);
        Ok(())
    }

    /// Reserves room for all puts or for none, in the order of the channels' names, so that two
    /// sources never hold what the other one waits for.
    async fn reserve(&self, puts: &[Put]) -> Result<Vec<Box<dyn PutTransaction>>, PutError> {
        let mut stalled = false;
        loop {
            match timeout(self.limits.keep_alive, reserve_all(puts)).await {
                Ok(transactions) => {
                    if stalled {
                        info!(component = %self.component, "there is room again, the source goes on");
                    }
                    return transactions;
                }
                Err(_elapsed) => {
                    self.meter.count("put_timeouts", 1);
                    if !stalled {
                        let channels =
                            puts.iter().map(|put| &*put.target.name).collect::<Vec<_>>().join(", ");
                        warn!(
                            component = %self.component,
                            "no room in {channels} for {:?}: the source waits until the sinks have committed more",
                            self.limits.keep_alive
                        );
                    }
                    stalled = true;
                }
            }
        }
    }

    /// Says that nothing more will be put, ever: the source has ended. The channels behind empty
    /// into their sinks when all their sources have.
    pub fn close(self) {
        self.closed.cancel();
    }

    pub(crate) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }
}

/// An outlet that is dropped before a stop belongs to a source that has failed and will be run
/// again, so its channels stay open; after a stop there is no other run.
impl Drop for Outlet {
    fn drop(&mut self) {
        if self.stop.is_cancelled() {
            self.closed.cancel();
        }
        self.progress.close();
    }
}

async fn reserve_all(puts: &[Put]) -> Result<Vec<Box<dyn PutTransaction>>, PutError> {
    let mut transactions = Vec::with_capacity(puts.len());
    for put in puts {
        let reserved = put.target.channel.reserve(Fill::of(&put.batch)).await;
        let channel = || put.target.name.to_string();
        transactions.push(reserved.map_err(|error| PutError::Channel { channel: channel(), error })?);
    }
    Ok(transactions)
}

/// The bounds that hold for both.
fn narrower(one: Limits, other: Limits) -> Limits {
    Limits {
        capacity: one.capacity.min(other.capacity),
        transaction_capacity: one.transaction_capacity.min(other.transaction_capacity),
        byte_capacity: one.byte_capacity.min(other.byte_capacity),
        keep_alive: one.keep_alive.min(other.keep_alive),
    }
}

/// Cuts a batch into parts that fit into a transaction each. A single event that is too large
/// stays as it is: the channel refuses it with a message.
fn split(batch: Batch, limits: Limits, parts: &mut Vec<Batch>) {
    let fits = batch.rows() <= limits.transaction_capacity && batch.charged_bytes() <= limits.byte_capacity;
    if fits || batch.rows() <= 1 {
        parts.push(batch);
        return;
    }
    let half = batch.rows() / 2;
    split(batch.slice(0, half), limits, parts);
    split(batch.slice(half, batch.rows() - half), limits, parts);
}

#[cfg(test)]
mod tests;
