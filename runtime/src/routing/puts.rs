//! Puts into several channels as one unit: space is reserved in all of them or in none.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Acknowledgement, Put};
use crate::channel::{CommitError, Fill, Overflow, PutTransaction, ReserveError, Scope};
use crate::environment::workers::WorkerPanicked;
use crate::failure::Failure;
use crate::observability::meter::{Meter, Reading};
use crate::steps::StepError;

/// Why a batch could not be put.
#[derive(Debug, Error)]
pub enum PutError {
    /// A channel refused the put.
    #[error("channel {channel}: {error}")]
    Channel {
        /// The channel's name.
        channel: String,
        /// The reason.
        error: ReserveError,
    },
    /// Single events fit into no transaction of a channel, as the source read them or as steps changed them. No event
    /// of the batch was put. The source puts the batch again without them, and refuses or quarantines them.
    #[error("channel {channel}: an event of {bytes} bytes fits into no transaction, which holds {bound}")]
    TooLarge {
        /// The name of the channel that the first of these events does not fit.
        channel: String,
        /// The bytes that the first is charged there, including the columns that the channel's type adds.
        bytes: u64,
        /// The most bytes that a transaction may be charged.
        bound: u64,
        /// The rows of these events in the batch, in order.
        rows: Vec<usize>,
    },
    /// A channel refused the put, since earlier positions are missing.
    #[error("channel {channel}: {error}")]
    Hole {
        /// The channel's name.
        channel: String,
        /// The reason.
        error: CommitError,
    },
    /// A step failed on the batch.
    #[error(transparent)]
    Step(StepError),
    /// A step panicked.
    #[error(transparent)]
    Worker(WorkerPanicked),
}

impl PutError {
    /// Returns the failure of the source's run. It is transient if the channels are closed, since the agent then ends,
    /// or if positions are missing, since the source puts them when it runs again. Otherwise it is permanent, since
    /// another attempt would fail as well.
    pub fn into_failure(self) -> Failure {
        match self {
            PutError::Channel { error: ReserveError::Closed, .. } | PutError::Hole { .. } => {
                Failure::transient(self)
            }
            PutError::Channel { .. }
            | PutError::TooLarge { .. }
            | PutError::Step(_)
            | PutError::Worker(_) => Failure::permanent(self),
        }
    }
}

/// Puts batches into channels for one component, and counts the waits in its meter.
pub(crate) struct Puts {
    component: Arc<str>,
    /// How long a put waits for space before it is rolled back and tried again.
    keep_alive: Duration,
}

impl Puts {
    pub(crate) fn new(component: Arc<str>, keep_alive: Duration) -> Puts {
        Puts { component, keep_alive }
    }

    /// Puts each batch into its channel, and adds a share to the acknowledgement for each put. Waits while a required
    /// channel is full. Dropping the future before it is ready may leave channels that drop events with a put that the
    /// others lack.
    ///
    /// # Errors
    /// When a channel is closed, or refuses a put.
    pub(crate) async fn put(
        &self,
        mut puts: Vec<(Put, &Scope)>,
        share: &mut Acknowledgement,
        meter: &Meter,
    ) -> Result<(), PutError> {
        puts.retain(|(put, _)| !put.batch.is_empty() || put.target.recognises_events());
        puts.sort_by(|(left, _), (right, _)| left.target.name.cmp(&right.target.name));
        let (optional, required): (Vec<_>, Vec<_>) =
            puts.into_iter().partition(|(put, _)| put.target.optional);
        let (mut waiting, overflowing): (Vec<_>, Vec<_>) =
            required.into_iter().partition(|(put, _)| put.target.channel.overflow() == Overflow::Wait);
        let transactions = self.reserve(&mut waiting, meter).await?;
        for ((put, scope), transaction) in waiting.into_iter().zip(transactions) {
            commit(put, transaction, scope, share)?;
        }
        for (put, scope) in overflowing {
            if let Some((put, transaction)) = self.reserve_or_drop(put, scope, meter).await? {
                commit(put, transaction, scope, share)?;
            }
        }
        for (put, scope) in optional {
            let elsewhere = put.elsewhere().map_err(PutError::Step)?;
            elsewhere.unwrap_or(put).commit_if_room(scope);
        }
        Ok(())
    }

    /// Reserves space in a channel that drops events when it is full, either its oldest events or the events of this
    /// put. If this put is dropped and the channel knows positions, the returned put is empty and has the positions.
    async fn reserve_or_drop(
        &self,
        put: Put,
        scope: &Scope,
        meter: &Meter,
    ) -> Result<Option<(Put, Box<dyn PutTransaction>)>, PutError> {
        let Put { target, batch, .. } = &put;
        let size = Fill::of(batch);
        let (transaction, dropped) = match target.channel.overflow() {
            Overflow::DropOldest => target.channel.displace(size),
            Overflow::DropNewest | Overflow::Wait => (target.channel.try_reserve(size), Reading::default()),
        };
        target.meter.drop_events("overflow", dropped.events as usize, dropped.bytes);
        if let Some(transaction) = transaction {
            return Ok(Some((put, transaction)));
        }
        target.meter.drop_events("overflow", batch.rows(), batch.payload_bytes());
        if !target.recognises_events() {
            return Ok(None);
        }
        let empty = Put { target: target.clone(), batch: batch.slice(0, 0), others: None };
        let mut positions = [(empty, scope)];
        let transaction = self.reserve(&mut positions, meter).await?.pop();
        let [(positions, _)] = positions;
        Ok(transaction.map(|transaction| (positions, transaction)))
    }

    /// Reserves space for all puts or for none, in the order of the channels' names, so that two sources never wait for
    /// each other's reservations. Puts into a full channel of a `failover` are replaced.
    async fn reserve(
        &self,
        puts: &mut [(Put, &Scope)],
        meter: &Meter,
    ) -> Result<Vec<Box<dyn PutTransaction>>, PutError> {
        let mut stalled = false;
        loop {
            match timeout(self.keep_alive, reserve_all(puts)).await {
                Ok(transactions) => {
                    if stalled {
                        info!(component = %self.component, "there is room again, it goes on");
                    }
                    return transactions;
                }
                Err(_elapsed) => {
                    meter.count("put_timeouts", 1);
                    if fail_over(puts)? {
                        continue;
                    }
                    if !stalled {
                        let channels =
                            puts.iter().map(|(put, _)| &*put.target.name).collect::<Vec<_>>().join(", ");
                        warn!(
                            component = %self.component,
                            "no room in {channels} for {:?}: it waits until the sinks have committed more",
                            self.keep_alive
                        );
                    }
                    stalled = true;
                }
            }
        }
    }
}

/// Lets other channels of a `failover` take the puts whose channels have no space. Returns whether there are such puts.
fn fail_over(puts: &mut [(Put, &Scope)]) -> Result<bool, PutError> {
    let mut replaced = false;
    for (put, _) in puts.iter_mut() {
        if let Some(elsewhere) = put.elsewhere().map_err(PutError::Step)? {
            *put = elsewhere;
            replaced = true;
        }
    }
    puts.sort_by(|(left, _), (right, _)| left.target.name.cmp(&right.target.name));
    Ok(replaced)
}

fn commit(
    put: Put,
    transaction: Box<dyn PutTransaction>,
    scope: &Scope,
    share: &mut Acknowledgement,
) -> Result<(), PutError> {
    if put.target.is_reject && put_back!("rejected_counted_as_delivered") {
        let committed = put.commit(transaction, scope, Acknowledgement::unobserved());
        return committed.map_err(|error| PutError::Hole { channel: String::new(), error });
    }
    share.add_shares(1);
    let channel = put.target.name.clone();
    let committed = put.commit(transaction, scope, share.split(1));
    committed.map_err(|error| PutError::Hole { channel: channel.to_string(), error })
}

async fn reserve_all(puts: &[(Put, &Scope)]) -> Result<Vec<Box<dyn PutTransaction>>, PutError> {
    let mut transactions = Vec::with_capacity(puts.len());
    for (put, _) in puts {
        let reserved = put.target.channel.reserve(Fill::of(&put.batch)).await;
        let channel = || put.target.name.to_string();
        transactions.push(reserved.map_err(|error| PutError::Channel { channel: channel(), error })?);
    }
    Ok(transactions)
}
