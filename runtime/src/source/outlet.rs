//! The outlet of a source, which applies the steps to its batches and puts them into channels.

use std::sync::Arc;

use thiserror::Error;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::SourceWiring;
use super::progress::Progress;
use crate::batch::{Batch, Interval, Origins};
use crate::channel::{CommitError, Fill, Limits, Overflow, PutTransaction, ReserveError, Scope};
use crate::environment::workers::{QueueId, WorkerPanicked, Workers};
use crate::failure::Failure;
use crate::observability::meter::{Meter, Reading};
use crate::routing::Acknowledgement;
use crate::routing::{Leg, Put};
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

/// Puts a source's batches into its channels.
pub struct Outlet {
    component: Arc<str>,
    legs: Arc<[Leg]>,
    /// One scope for each channel at the ends of the legs, in the order of [`Leg::targets`].
    scopes: Vec<Scope>,
    progress: Arc<Progress>,
    meter: Arc<Meter>,
    /// The threads that apply the steps.
    workers: (Workers, QueueId),
    /// The smallest bounds of the channels.
    limits: Limits,
    stop: CancellationToken,
    closed: CancellationToken,
}

impl Outlet {
    /// Makes an outlet into the legs of the wiring.
    ///
    /// # Panics
    /// When no leg leads to a channel, which the compiler prevents.
    pub(crate) fn new(wiring: &SourceWiring, progress: Arc<Progress>, stop: CancellationToken) -> Outlet {
        let SourceWiring { component, legs, meter, workers, .. } = wiring;
        let (component, legs, meter) = (component.clone(), legs.clone(), meter.clone());
        let workers = (workers.clone(), workers.add_queue());
        let limits = legs.iter().flat_map(Leg::targets).map(|target| target.channel.limits());
        let limits = limits.reduce(smallest).expect("the compiler refuses a source that leads to no channel");
        let closed = CancellationToken::new();
        let scopes = Scope::of_a_run(scope_names(&component, &legs));
        Outlet { component, legs, scopes, progress, meter, workers, limits, stop, closed }
    }

    /// Puts a batch: applies the steps, and puts the result into all channels as one unit.
    ///
    /// Waits while a channel is full, which slows the source down. Returns when the channels have taken the batch;
    /// [`Deliveries`](super::Deliveries) reports when its origins are delivered. A batch larger than a transaction is
    /// put in parts. If the future is dropped before it is ready, the batch's origins are never reported as delivered,
    /// although some of its parts may arrive.
    ///
    /// # Errors
    /// When a step fails on the batch, an event is larger than a transaction ([`PutError::TooLarge`]), or the channels
    /// are closed.
    pub async fn put(&mut self, batch: Batch) -> Result<(), PutError> {
        let (rows, bytes, begun) = (batch.rows(), batch.payload_bytes(), Instant::now());
        self.meter.touch(begun);
        let origins = batch.origins().clone();
        let parts = self.prepare(batch).await?;
        self.meter.received.add(rows, bytes);
        // This share stays open until all parts are put. Events that steps dropped need no share, so an empty batch is
        // delivered with this share alone.
        let mut acknowledgement = self.progress.begin(&origins, rows, bytes);
        for puts in parts {
            self.put_part(puts, &mut acknowledgement).await?;
        }
        self.meter.put.record(begun.elapsed());
        acknowledgement.done();
        Ok(())
    }

    /// Splits a batch into parts and applies the steps to each. A part is halved if the steps or a channel's type make
    /// it too large. No part is put before all parts are known to fit.
    async fn prepare(&self, batch: Batch) -> Result<Vec<Vec<Put>>, PutError> {
        let mut parts = Vec::new();
        split(batch.compacted(), self.limits, &mut parts);
        let mut parts = with_origins_of_parts(parts);
        parts.reverse();
        let (mut prepared, mut first, mut rows, mut row) = (Vec::new(), None, Vec::new(), 0);
        while let Some(part) = parts.pop() {
            let puts = self.apply_steps(&part).await?;
            match puts.iter().find(|put| !put.target.optional && !put.fits()) {
                None => prepared.push(puts),
                Some(_) if part.rows() > 1 => {
                    let [first, second] = halves(&part);
                    parts.extend([second, first]);
                    continue;
                }
                Some(put) => {
                    let bound = put.target.channel.limits().byte_capacity;
                    first.get_or_insert((put.target.name.to_string(), put.batch.charged_bytes(), bound));
                    rows.push(row);
                }
            }
            row += part.rows();
        }
        match first {
            None => Ok(prepared),
            Some((channel, bytes, bound)) => Err(PutError::TooLarge { channel, bytes, bound, rows }),
        }
    }

    async fn put_part(&mut self, puts: Vec<Put>, batch_share: &mut Acknowledgement) -> Result<(), PutError> {
        puts.iter().for_each(|put| self.meter.processed.add(put.batch.rows(), put.batch.payload_bytes()));
        let mut puts: Vec<(Put, &Scope)> = puts.into_iter().zip(&self.scopes).collect();
        puts.retain(|(put, _)| !put.batch.is_empty() || put.target.channel.knows_positions());
        puts.sort_by(|(left, _), (right, _)| left.target.name.cmp(&right.target.name));
        let (optional, required): (Vec<_>, Vec<_>) =
            puts.into_iter().partition(|(put, _)| put.target.optional);
        let (waiting, overflowing): (Vec<_>, Vec<_>) =
            required.into_iter().partition(|(put, _)| put.target.channel.overflow() == Overflow::Wait);
        let transactions = self.reserve(&waiting).await?;
        for ((put, scope), transaction) in waiting.into_iter().zip(transactions) {
            commit(put, transaction, scope, batch_share)?;
        }
        for (put, scope) in overflowing {
            if let Some((put, transaction)) = self.reserve_or_drop(put, scope).await? {
                commit(put, transaction, scope, batch_share)?;
            }
        }
        optional.into_iter().for_each(|(put, scope)| put.commit_if_room(scope));
        Ok(())
    }

    /// Applies the steps to a part, and returns a put for each channel. Steps run on the workers; a part without steps
    /// is handled here, which is cheaper than a hand-over to a worker.
    async fn apply_steps(&self, part: &Batch) -> Result<Vec<Put>, PutError> {
        let (legs, meter, part) = (self.legs.clone(), self.meter.clone(), part.clone());
        let has_steps = legs.iter().any(Leg::has_steps);
        let apply = move || {
            let mut puts = Vec::new();
            for leg in legs.iter() {
                leg.apply(&part, &meter, &mut puts)?;
            }
            Ok(puts)
        };
        let applied = match (has_steps, &self.workers) {
            (true, (workers, lane)) => workers.run(*lane, apply).await.map_err(PutError::Worker)?,
            (false, _) => apply(),
        };
        applied.map_err(PutError::Step)
    }

    /// Reserves space in a channel that drops events when it is full, either its oldest events or the events of this
    /// put. If this put is dropped and the channel knows positions, the returned put is empty and has the positions.
    async fn reserve_or_drop(
        &self,
        put: Put,
        scope: &Scope,
    ) -> Result<Option<(Put, Box<dyn PutTransaction>)>, PutError> {
        let Put { target, batch } = &put;
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
        if !target.channel.knows_positions() {
            return Ok(None);
        }
        let positions = [(Put { target: target.clone(), batch: batch.slice(0, 0) }, scope)];
        let transaction = self.reserve(&positions).await?.pop();
        let [(positions, _)] = positions;
        Ok(transaction.map(|transaction| (positions, transaction)))
    }

    /// Reserves space for all puts or for none, in the order of the channels' names, so that two sources never wait for
    /// each other's reservations.
    async fn reserve(&self, puts: &[(Put, &Scope)]) -> Result<Vec<Box<dyn PutTransaction>>, PutError> {
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
                            puts.iter().map(|(put, _)| &*put.target.name).collect::<Vec<_>>().join(", ");
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

    /// The most bytes that one event may be charged ([`Batch::charged_bytes`] of a batch of this event). A larger event
    /// does not fit into a transaction of some channel; the source refuses it when it reads it.
    pub fn event_bytes_max(&self) -> u64 {
        self.limits.byte_capacity
    }

    /// Closes the outlet when the source has ended and will put no further event. A channel is closed when all its
    /// sources have closed their outlets; its sinks then take the remaining events.
    pub fn close(self) {
        self.closed.cancel();
    }

    pub(crate) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }
}

/// Before a stop, a dropped outlet belongs to a failed source, which will be run again, so its channels stay open.
/// After a stop there is no further run.
impl Drop for Outlet {
    fn drop(&mut self) {
        if self.stop.is_cancelled() {
            self.closed.cancel();
        }
        self.progress.close();
    }
}

fn commit(
    put: Put,
    transaction: Box<dyn PutTransaction>,
    scope: &Scope,
    batch_share: &mut Acknowledgement,
) -> Result<(), PutError> {
    batch_share.add_shares(1);
    let channel = put.target.name.clone();
    let committed = put.commit(transaction, scope, batch_share.split(1));
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

/// Returns the smaller of each bound.
fn smallest(one: Limits, other: Limits) -> Limits {
    Limits {
        capacity: one.capacity.min(other.capacity),
        transaction_capacity: one.transaction_capacity.min(other.transaction_capacity),
        byte_capacity: one.byte_capacity.min(other.byte_capacity),
        keep_alive: one.keep_alive.min(other.keep_alive),
    }
}

/// Splits a batch into parts, each of which fits into a transaction. A single event that is too large is a part as
/// well.
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

/// Returns the two halves of a part, each with its origins.
fn halves(part: &Batch) -> [Batch; 2] {
    let half = part.rows() / 2;
    let halves = vec![part.slice(0, half), part.slice(half, part.rows() - half)];
    let halves: Result<[Batch; 2], _> = with_origins_of_parts(halves).try_into();
    halves.expect("two parts stay two")
}

/// Gives each part of one batch the origins that its rows cover.
///
/// The origins follow from the rows' identities, or from the row numbers if there is one row for each position.
/// Otherwise the last part has all origins: when it is stored, all parts are stored, but after a crash in between the
/// earlier parts are put twice.
fn with_origins_of_parts(parts: Vec<Batch>) -> Vec<Batch> {
    let count = parts.len();
    let rows: usize = parts.iter().map(Batch::rows).sum();
    let Some(first) = parts.first().filter(|_| count > 1) else { return parts };
    let dense = match first.origins().intervals() {
        [one] if one.through - one.after == rows as u64 => Some(one.clone()),
        _ => None,
    };
    let mut rest = first.origins().clone();
    let mut begin = 0;
    let parts = parts.into_iter().enumerate().map(|(number, part)| {
        let rows = part.rows() as u64;
        let last = number + 1 == count;
        let origins = match (&dense, part.identities()) {
            (Some(Interval { partition, after, .. }), _) => {
                Origins::one(partition.clone(), after + begin, after + begin + rows)
            }
            (None, Some(identities)) if !last => rest.take_through(identities, part.rows()),
            (None, Some(_)) => std::mem::take(&mut rest),
            (None, None) if last => part.origins().clone(),
            (None, None) => Origins::default(),
        };
        begin += rows;
        part.with_origins(origins)
    });
    parts.collect()
}

/// Returns the scope name of each target, by which channels store the source's positions: the source's name, with a
/// number if several legs lead into the same channel, since each brings different events of the same positions.
pub(crate) fn scope_names(component: &str, legs: &[Leg]) -> Vec<Arc<str>> {
    let targets: Vec<_> = legs.iter().flat_map(Leg::targets).collect();
    let names = targets.iter().enumerate().map(|(index, target)| {
        let before = targets[..index].iter().filter(|other| other.name == target.name).count();
        if before == 0 { component.into() } else { format!("{component}#{}", before + 1).into() }
    });
    names.collect()
}

#[cfg(test)]
mod tests;
