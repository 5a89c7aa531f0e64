//! The outlet: through which a source's batches pass their steps into channels.

use std::sync::Arc;

use thiserror::Error;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Connection;
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
    /// A channel refused.
    #[error("channel {channel}: {error}")]
    Channel {
        /// The channel's name.
        channel: String,
        /// Why.
        error: ReserveError,
    },
    /// Single events fit into no transaction of a channel, as they came or as steps made them. Nothing of their batch
    /// was put. Whoever has its source puts the batch again without them, refuses them, or sets them aside.
    #[error("channel {channel}: an event of {bytes} bytes fits into no transaction, which holds {bound}")]
    TooLarge {
        /// The channel's name, for the first of them.
        channel: String,
        /// What the first is charged there, with what the channel's type adds to it.
        bytes: u64,
        /// The most that a transaction may be charged.
        bound: u64,
        /// Which rows of the batch they are, in order.
        rows: Vec<usize>,
    },
    /// A durable channel refused to leave a hole.
    #[error("channel {channel}: {error}")]
    Hole {
        /// The channel's name.
        channel: String,
        /// Why.
        error: CommitError,
    },
    /// A step failed on the batch.
    #[error(transparent)]
    Step(StepError),
    /// A step has panicked.
    #[error(transparent)]
    Worker(WorkerPanicked),
}

impl PutError {
    /// What a source that can't put does about it: what can't be put now can't be put later
    /// either, unless the channels are closed, which they are only when the agent is about to end;
    /// or the source left something out, and puts it when it begins again.
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

/// Where a source puts its batches.
pub struct Outlet {
    component: Arc<str>,
    legs: Arc<[Leg]>,
    /// One for each channel that the legs lead into, in their order.
    scopes: Vec<Scope>,
    progress: Arc<Progress>,
    meter: Arc<Meter>,
    /// Who applies the steps.
    workers: (Workers, QueueId),
    /// The bounds that every channel behind this outlet keeps.
    limits: Limits,
    stop: CancellationToken,
    closed: CancellationToken,
}

impl Outlet {
    /// An outlet into these legs.
    ///
    /// # Panics
    /// When no leg leads to a channel, which the checker rules out.
    pub(crate) fn new(connection: &Connection, progress: Arc<Progress>, stop: CancellationToken) -> Outlet {
        let Connection { component, legs, meter, workers, .. } = connection;
        let (component, legs, meter) = (component.clone(), legs.clone(), meter.clone());
        let workers = (workers.clone(), workers.add_queue());
        let limits = legs.iter().flat_map(Leg::targets).map(|target| target.channel.limits());
        let limits = limits.reduce(narrower).expect("the checker sees to it that a source leads somewhere");
        let closed = CancellationToken::new();
        let scopes = Scope::of_a_run(scope_names(&component, &legs));
        Outlet { component, legs, scopes, progress, meter, workers, limits, stop, closed }
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
    /// When a step fails on the batch, an event is larger than a channel ([`PutError::TooLarge`]), or the
    /// channels are closed.
    pub async fn put(&mut self, batch: Batch) -> Result<(), PutError> {
        let (rows, bytes, begun) = (batch.rows(), batch.payload_bytes(), Instant::now());
        self.meter.touch(begun);
        let origins = batch.origins().clone();
        let parts = self.prepare(batch).await?;
        self.meter.received.add(rows, bytes);
        // The batch keeps one share until all its parts are put; what the steps have dropped is
        // delivered by being dropped, so that an empty batch is done when its turn comes.
        let mut whole = self.progress.begin(&origins, rows, bytes);
        for puts in parts {
            self.put_part(puts, &mut whole).await?;
        }
        self.meter.put.record(begun.elapsed());
        whole.done();
        Ok(())
    }

    /// The parts of a batch, behind their steps. A part is halved when steps or a channel's type make it too large.
    /// Nothing is put before it is known that all parts can be.
    async fn prepare(&self, batch: Batch) -> Result<Vec<Vec<Put>>, PutError> {
        let mut parts = Vec::new();
        split(batch.compacted(), self.limits, &mut parts);
        let mut parts = with_their_origins(parts);
        parts.reverse();
        let (mut prepared, mut first, mut rows, mut row) = (Vec::new(), None, Vec::new(), 0);
        while let Some(part) = parts.pop() {
            let puts = self.apply_steps(&part).await?;
            match puts.iter().find(|put| !put.target.optional && !put.fits()) {
                None => prepared.push(puts),
                Some(_) if part.rows() > 1 => {
                    let [one, other] = halves(&part);
                    parts.extend([other, one]);
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

    async fn put_part(&mut self, puts: Vec<Put>, whole: &mut Acknowledgement) -> Result<(), PutError> {
        puts.iter().for_each(|put| self.meter.processed.add(put.batch.rows(), put.batch.payload_bytes()));
        let mut puts: Vec<(Put, &Scope)> = puts.into_iter().zip(&self.scopes).collect();
        puts.retain(|(put, _)| !put.batch.is_empty() || put.target.channel.knows_positions());
        puts.sort_by(|(one, _), (other, _)| one.target.name.cmp(&other.target.name));
        let (optional, required): (Vec<_>, Vec<_>) =
            puts.into_iter().partition(|(put, _)| put.target.optional);
        let (waiting, yielding): (Vec<_>, Vec<_>) =
            required.into_iter().partition(|(put, _)| put.target.channel.overflow() == Overflow::Wait);
        let transactions = self.reserve(&waiting).await?;
        for ((put, scope), transaction) in waiting.into_iter().zip(transactions) {
            commit(put, transaction, scope, whole)?;
        }
        for (put, scope) in yielding {
            if let Some((put, transaction)) = self.reserve_or_drop(put, scope).await? {
                commit(put, transaction, scope, whole)?;
            }
        }
        optional.into_iter().for_each(|(put, scope)| put.commit_if_room(scope));
        Ok(())
    }

    /// What becomes of a batch on its ways, a put for each channel. Steps are the workers' business; without
    /// any it is not worth the way to them.
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

    /// Room for a put into a channel that drops events when it is full: older ones, or these. What
    /// remains of a put that is dropped are its positions, for a channel that knows them.
    async fn reserve_or_drop(
        &self,
        put: Put,
        scope: &Scope,
    ) -> Result<Option<(Put, Box<dyn PutTransaction>)>, PutError> {
        let Put { target, batch } = &put;
        let room = Fill::of(batch);
        let (transaction, dropped) = match target.channel.overflow() {
            Overflow::DropOldest => target.channel.displace(room),
            Overflow::DropNewest | Overflow::Wait => (target.channel.try_reserve(room), Reading::default()),
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

    /// Reserves room for all puts or for none, in the order of the channels' names, so that two
    /// sources never hold what the other one waits for.
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

    /// The most bytes that one event may be charged ([`Batch::charged_bytes`] of a batch of it alone): a
    /// larger one fits into no transaction of some channel behind. A source refuses it where it came from.
    pub fn event_bytes_max(&self) -> u64 {
        self.limits.byte_capacity
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

fn commit(
    put: Put,
    transaction: Box<dyn PutTransaction>,
    scope: &Scope,
    whole: &mut Acknowledgement,
) -> Result<(), PutError> {
    whole.widen(1);
    let channel = put.target.name.clone();
    let committed = put.commit(transaction, scope, whole.split(1));
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
/// stays as it is.
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

/// The two halves of a part with the origins that each covers.
fn halves(part: &Batch) -> [Batch; 2] {
    let half = part.rows() / 2;
    let halves = vec![part.slice(0, half), part.slice(half, part.rows() - half)];
    let halves: Result<[Batch; 2], _> = with_their_origins(halves).try_into();
    halves.expect("two parts stay two")
}

/// The parts of one batch with the origins that each covers.
///
/// Rows that say which events they are say what their part covers. Rows of which there is one for each
/// position do so, too. Without either the last part covers all: once it is stored, all parts are, and a part
/// that is put again after a crash comes twice.
fn with_their_origins(parts: Vec<Batch>) -> Vec<Batch> {
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

/// What durable channels know the positions of a source by: its name, with a number when several
/// of its ways lead into the same channel, since each brings other events of the same positions.
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
