//! The outlet of a source, which applies the steps to its batches and puts them into channels.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::SourceWiring;
use super::progress::Progress;
use crate::batch::{Batch, Interval, Origins, Partition};
use crate::channel::{Limits, Scope};
use crate::environment::memory::MemoryBudget;
use crate::environment::workers::{QueueId, Workers};
use crate::observability::meter::{Meter, Reading, StepCount};
use crate::routing::{Acknowledgement, Leg, Put, PutError, Puts, Target};
use crate::steps::{Pace, Pass, PutNumber, Transaction};

/// Puts a source's batches into its channels.
pub struct Outlet {
    legs: Arc<[Leg]>,
    puts: Puts,
    /// One scope for each channel at the ends of the legs, in the order of [`Leg::targets`].
    scopes: Vec<Scope>,
    progress: Arc<Progress>,
    meter: Arc<Meter>,
    /// The threads that apply the steps.
    workers: (Workers, QueueId),
    /// Puts wait while the process has no memory left.
    memory: MemoryBudget,
    /// The smallest bounds of the channels.
    limits: Limits,
    stop: CancellationToken,
    closed: CancellationToken,
}

/// The bounds of a source whose events are all dropped.
const WITHOUT_CHANNELS: Limits = Limits {
    capacity: 10_000,
    transaction_capacity: 10_000,
    byte_capacity: 64 << 20,
    keep_alive: Duration::from_secs(3),
};

/// A part of a batch after the steps.
struct Prepared {
    origins: Origins,
    /// The events that the steps have not rejected: rejected events never count as delivered.
    countable: Reading,
    puts: Vec<Put>,
    /// The changes to the state of the steps.
    transaction: Transaction,
    /// Whether the part is small so that its events are acknowledged before the next ones of a slow batch.
    is_portion: bool,
}

impl Outlet {
    /// Makes an outlet into the legs of the wiring.
    pub(crate) fn new(wiring: &SourceWiring, progress: Arc<Progress>, stop: CancellationToken) -> Outlet {
        let SourceWiring { component, legs, meter, workers, memory, .. } = wiring;
        let memory = memory.clone();
        let (component, legs, meter) = (component.clone(), legs.clone(), meter.clone());
        let workers = (workers.clone(), workers.add_queue());
        let bounds = |target: &Target| (target.is_reject, target.channel.limits());
        let bounds: Vec<(bool, Limits)> = legs.iter().flat_map(Leg::targets).map(bounds).collect();
        let all = bounds.iter().map(|(_, limits)| *limits).reduce(smallest).unwrap_or(WITHOUT_CHANNELS);
        // Rejected events are few: the channel that takes them does not bound the parts of a batch.
        let main = bounds.iter().filter(|(is_reject, _)| !is_reject).map(|(_, limits)| *limits);
        let limits = Limits { byte_capacity: all.byte_capacity, ..main.reduce(smallest).unwrap_or(all) };
        let closed = CancellationToken::new();
        let scopes = Scope::of_a_run(scope_names(&component, &legs));
        let puts = Puts::new(component, limits.keep_alive);
        Outlet { legs, puts, scopes, progress, meter, workers, memory, limits, stop, closed }
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
        self.memory.room().await;
        let origins = batch.origins().clone();
        let parts = self.prepare(batch).await?;
        self.meter.received.add(rows, bytes);
        let has_origins = |part: &Prepared| part.is_portion && !part.origins.intervals().is_empty();
        if parts.len() > 1 && parts.iter().all(has_origins) {
            for part in parts {
                let acknowledgement = self.begin(&part.origins, part.countable);
                self.put_part(part, acknowledgement).await?;
            }
        } else {
            let mut countable = Reading::default();
            parts.iter().for_each(|part| countable.add_reading(part.countable));
            // This share stays open until all parts are put. Events that steps dropped need no share, so an empty batch is
            // delivered with this share alone.
            let mut acknowledgement = self.begin(&origins, countable);
            acknowledgement.add_shares(parts.len() as u64);
            for part in parts {
                let share = acknowledgement.split(1);
                self.put_part(part, share).await?;
            }
            acknowledgement.done();
        }
        self.meter.put.record(begun.elapsed());
        Ok(())
    }

    fn begin(&self, origins: &Origins, countable: Reading) -> Acknowledgement {
        let events = usize::try_from(countable.events).unwrap_or(usize::MAX);
        self.progress.begin(origins, events, countable.bytes)
    }

    /// Puts a part when its events may go on. A stop does not change that: a source that is stopped gives up the put and reads
    /// the events again, or waits.
    async fn put_part(&self, part: Prepared, mut share: Acknowledgement) -> Result<(), PutError> {
        let Prepared { puts, transaction, .. } = part;
        if let Some(pace) = transaction.pace() {
            sleep_until(pace.begin).await;
        }
        puts.iter().filter(|put| !put.target.is_reject).for_each(|put| {
            self.meter.processed.add(put.batch.rows(), put.batch.payload_bytes());
        });
        self.puts.put(puts.into_iter().zip(&self.scopes).collect(), &mut share, &self.meter).await?;
        transaction.commit();
        share.done();
        Ok(())
    }

    /// Splits a batch into parts and applies the steps to each. A part is halved if the steps or a channel's type make
    /// it too large, and divided if a step before or behind a channel lets its events go on slowly. No part is put before all
    /// parts are known to fit.
    async fn prepare(&self, batch: Batch) -> Result<Vec<Prepared>, PutError> {
        let mut parts = Vec::new();
        split(batch.compacted(), self.limits, &mut parts);
        let mut parts = with_origins_of_parts(parts);
        parts.reverse();
        let (mut first, mut rows, mut row) = (None, Vec::new(), 0);
        let (mut prepared, mut counts, mut is_portion) = (Vec::new(), Vec::new(), false);
        let number = PutNumber::next();
        while let Some(part) = parts.pop() {
            let (puts, pass) = self.apply_steps(&part, number).await?;
            let too_large = puts.iter().find(|put| !put.target.optional && !put.fits());
            // An event that is slow stays whole.
            let slow = pieces_of_slow(&puts, pass.transaction.pace(), part.rows());
            let pieces = if too_large.is_some() { slow.max(2).min(part.rows()) } else { slow };
            is_portion |= slow > 1;
            match too_large {
                _ if pieces > 1 => {
                    drop(pass);
                    parts.extend(divided(&part, pieces).into_iter().rev());
                    continue;
                }
                None => {
                    let Pass { transaction, counts: of_part, .. } = pass;
                    let (origins, countable) = (part.origins().clone(), countable(&part, &of_part));
                    prepared.push(Prepared { origins, countable, puts, transaction, is_portion: false });
                    counts.extend(of_part);
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
            None => {
                self.meter.count_steps(&counts);
                prepared.iter_mut().for_each(|part| part.is_portion = is_portion);
                Ok(prepared)
            }
            Some((channel, bytes, bound)) => Err(PutError::TooLarge { channel, bytes, bound, rows }),
        }
    }

    /// Applies the steps to a part of the put with this number, and returns a put for each channel. Steps run on the
    /// workers; a part without steps is handled here, which is cheaper than a hand-over to a worker.
    async fn apply_steps(&self, part: &Batch, number: PutNumber) -> Result<(Vec<Put>, Pass), PutError> {
        let (legs, part) = (self.legs.clone(), part.clone());
        let has_steps = legs.iter().any(Leg::has_steps);
        let apply = move || {
            let (mut puts, mut pass) = (Vec::new(), Pass::within(Transaction::of_put(number)));
            for leg in legs.iter() {
                leg.apply(&part, &mut pass, &mut puts)?;
            }
            Ok((puts, pass))
        };
        let applied = match (has_steps, &self.workers) {
            (true, (workers, lane)) => workers.run(*lane, apply).await.map_err(PutError::Worker)?,
            (false, _) => apply(),
        };
        applied.map_err(PutError::Step)
    }

    /// The most bytes that one event may be charged ([`Batch::charged_bytes`] of a batch of this event). A larger event
    /// does not fit into a transaction of some channel; the source refuses it when it reads it.
    pub fn event_bytes_max(&self) -> u64 {
        self.limits.byte_capacity
    }

    /// Forgets partitions that no further event comes from, so that their positions take no memory. Partitions with puts in flight
    /// stay in `partitions`.
    pub fn forget(&self, partitions: &mut Vec<Partition>) {
        partitions.retain(|partition| {
            let is_settled = self.progress.forget(partition);
            if is_settled {
                let targets = self.legs.iter().flat_map(Leg::targets).zip(&self.scopes);
                targets.for_each(|(target, scope)| target.channel.forget(scope.name(), partition));
            }
            !is_settled
        });
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

/// Returns into how many pieces a part has to be divided, so that each takes little time in the steps before the channels,
/// or behind one; 1 if it stays whole.
fn pieces_of_slow(puts: &[Put], pace: Option<Pace>, rows: usize) -> usize {
    let before = pace.map_or(1, |pace| pace.parts(rows));
    let behind = puts.iter().map(|put| put.target.portion.parts(&put.batch)).max().unwrap_or(1);
    before.max(behind).min(rows).max(1)
}

/// Returns the events of a part that the steps have not rejected.
fn countable(part: &Batch, counts: &[StepCount]) -> Reading {
    let mut rejected = Reading::default();
    counts.iter().flat_map(|count| &count.rejected).for_each(|(_, one)| rejected.add_reading(*one));
    let events = (part.rows() as u64).saturating_sub(rejected.events);
    Reading { events, bytes: part.payload_bytes().saturating_sub(rejected.bytes) }
}

/// Divides a part into pieces of nearly the same number of events, each with its origins. There are at least as many events.
fn divided(part: &Batch, pieces: usize) -> Vec<Batch> {
    let bound = |piece: usize| part.rows() * piece / pieces;
    let pieces = (0..pieces).map(|piece| part.slice(bound(piece), bound(piece + 1) - bound(piece)));
    with_origins_of_parts(pieces.collect())
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
/// number if several legs lead into the same channel, since each brings different events of the same positions. Rejected
/// events are numbered apart, so that a step that begins to reject events changes no other scope.
pub(crate) fn scope_names(component: &str, legs: &[Leg]) -> Vec<Arc<str>> {
    let targets: Vec<_> = legs.iter().flat_map(Leg::targets).collect();
    let names = targets.iter().enumerate().map(|(index, target)| {
        let same = |other: &&&Target| other.name == target.name && other.is_reject == target.is_reject;
        let before = targets[..index].iter().filter(same).count();
        let name = if target.is_reject { format!("{component}!rejects") } else { component.to_owned() };
        if before == 0 { name.into() } else { format!("{name}#{}", before + 1).into() }
    });
    names.collect()
}

/// Returns the name of the source whose scope this is, as [`scope_names`] has named it; `None` for the scope of a sink's
/// rejects, whose number has two parts.
pub(crate) fn source_of_scope(scope: &str) -> Option<&str> {
    let (name, number) = scope.split_once('#').unwrap_or((scope, ""));
    (!number.contains('.')).then(|| name.strip_suffix("!rejects").unwrap_or(name))
}

#[cfg(test)]
mod tests;
