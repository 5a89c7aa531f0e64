//! Rejects behind a channel: a rejected event is put into the channels of the flow's rejects first, and then acknowledged
//! in the channel that it comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::BooleanArray;
use thiserror::Error;
use tokio::sync::Notify;

use crate::batch::{Batch, BatchError, Identities, Interval, Origins, Partition};
use crate::channel::{Fill, Scope};
use crate::failure::Failure;
use crate::observability::meter::{Meter, Reading};
use crate::routing::{Acknowledgement, Put, PutError, Puts, RejectRoutes, Settle, Target};
use crate::steps::{Pass, Rejected, StepError};

/// The rows of leased batches that were rejected with their bytes, by the batch's number. Readers of one name share them.
///
/// A batch is redelivered if its other events did not arrive. The rejected events have arrived by then, and stay rejected.
#[derive(Clone, Default)]
pub(crate) struct RejectedRows(Arc<Mutex<BTreeMap<u64, BytesByRow>>>);

/// The bytes of events by their rows in a batch.
type BytesByRow = BTreeMap<usize, u64>;

impl RejectedRows {
    fn with<T>(&self, change: impl FnOnce(&mut BTreeMap<u64, BytesByRow>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets a batch that is acknowledged, and returns how much of it was rejected.
    pub(super) fn forget(&self, number: u64) -> Reading {
        let rows = self.with(|rows| rows.remove(&number)).unwrap_or_default();
        Reading { events: rows.len() as u64, bytes: rows.values().sum() }
    }
}

/// The rejects of the steps between a channel and a sink.
pub(crate) struct FeedRejects {
    routes: RejectRoutes,
    /// The scopes of the targets of each slot, in their order.
    scopes: Vec<Vec<Scope>>,
    puts: Puts,
    /// Whether the channels of the rejects recognise events by their positions, so that a restart puts none twice.
    keeps_positions: bool,
    pub(super) rejected: RejectedRows,
    pub(super) unsettled: Unsettled,
    /// The sink's name, and the slot of the events that the sink itself rejects; none if it rejects none.
    pub(super) by_sink: Option<(Arc<str>, usize)>,
}

/// The puts of rejected events that are not settled yet.
#[derive(Clone, Default)]
pub(crate) struct Unsettled(Arc<Counts>);

#[derive(Default)]
struct Counts {
    count: AtomicU64,
    has_failed: AtomicBool,
    /// The number of leases whose events the sink has given up, and that return to the channel when their rejected events
    /// have arrived.
    returning: AtomicU64,
    changed: Notify,
}

/// Whether one lease of which events were rejected will return to the channel.
#[derive(Clone)]
pub(super) struct Returning {
    counts: Arc<Counts>,
    begun: Arc<AtomicBool>,
}

impl Returning {
    /// Records that the sink has given up the events.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.counts.returning.fetch_add(1, Ordering::AcqRel);
    }

    /// Records that the lease is settled.
    pub(super) fn end(&self) {
        if self.begun.swap(false, Ordering::AcqRel) {
            self.counts.returning.fetch_sub(1, Ordering::AcqRel);
            self.counts.changed.notify_waiters();
        }
    }
}

impl Unsettled {
    /// Begins to watch a lease of which events are rejected.
    pub(super) fn lease(&self) -> Returning {
        Returning { counts: self.0.clone(), begun: Arc::default() }
    }

    pub(super) fn is_returning(&self) -> bool {
        self.0.returning.load(Ordering::Acquire) > 0
    }

    /// Waits until all events that the sink has given up are in the channel again.
    pub(super) async fn returned(&self) {
        loop {
            let changed = self.0.changed.notified();
            if !self.is_returning() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until all puts are settled. Returns whether none has failed meanwhile.
    pub(crate) async fn settled(&self) -> bool {
        self.0.has_failed.store(false, Ordering::Release);
        loop {
            let changed = self.0.changed.notified();
            if self.0.count.load(Ordering::Acquire) == 0 {
                return !self.0.has_failed.load(Ordering::Acquire);
            }
            changed.await;
        }
    }
}

/// The rejected events of one leased batch, ready to be put.
pub(super) struct RejectedBatch {
    /// The puts of each part with its slot, in order.
    parts: Vec<(usize, Vec<Put>)>,
    rows: BytesByRow,
    number: u64,
}

/// Why rejected events could not be put.
#[derive(Debug, Error)]
pub(super) enum PutFailed {
    /// A channel refused a put.
    #[error("rejected events can't be put: {0}")]
    Put(#[from] PutError),
    /// An event fits into no transaction.
    #[error(
        "a rejected event of {bytes} bytes fits into no transaction of the channel {channel}, which holds {most}"
    )]
    TooLarge {
        /// The channel's name.
        channel: String,
        /// The bytes that the event is charged.
        bytes: u64,
        /// The most bytes of a transaction.
        most: u64,
    },
}

impl PutFailed {
    /// The failure of the sink's run.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            PutFailed::Put(error) => error.into_failure(),
            too_large @ PutFailed::TooLarge { .. } => Failure::permanent(too_large),
        }
    }
}

/// The partition that numbers the events of a batch which has no identities.
const ROWS: &str = "rows";

impl FeedRejects {
    /// Makes the rejects of the steps before a sink. The channels of the rejects store the positions of the events under
    /// names that begin with `scope`; without it they store none.
    pub(crate) fn new(
        sink: &str,
        routes: RejectRoutes,
        scope: Option<String>,
        rejected: RejectedRows,
        by_sink: Option<usize>,
    ) -> FeedRejects {
        let keep_alive = routes.targets().iter().map(|target| target.channel.limits().keep_alive).min();
        let puts = Puts::new(sink.into(), keep_alive.unwrap_or_default());
        let keeps_positions = scope.is_some();
        let prefix = scope.unwrap_or_default();
        let scopes = routes.slots.iter().enumerate().map(|(slot, route)| {
            let names = (0..route.targets().len()).map(|target| format!("{prefix}#{slot}.{target}").into());
            Scope::of_a_run(names.collect::<Vec<_>>())
        });
        let scopes = scopes.collect();
        let by_sink = by_sink.map(|slot| (sink.into(), slot));
        let unsettled = Unsettled::default();
        FeedRejects { routes, scopes, puts, keeps_positions, rejected, unsettled, by_sink }
    }

    pub(crate) fn targets(&self) -> Vec<&Target> {
        self.routes.targets()
    }

    /// The partitions of which the channels of the rejects have positions.
    pub(super) fn partitions(&self) -> BTreeSet<Partition> {
        let slots = self.routes.slots.iter().zip(&self.scopes);
        let targets = slots.flat_map(|(route, scopes)| route.targets().into_iter().zip(scopes));
        let stored = targets.filter_map(|(target, scope)| target.channel.stored(&scope.name));
        stored.flat_map(BTreeMap::into_keys).collect()
    }

    /// Whether rejected events are safe as soon as they are put.
    pub(super) fn are_durable(&self) -> bool {
        self.targets().iter().all(|target| target.channel.is_durable())
    }

    /// Returns a leased batch with identities.
    ///
    /// # Errors
    /// When identities can't be added.
    pub(super) fn numbered(&self, batch: &Batch) -> Result<Batch, BatchError> {
        match batch.identities() {
            Some(_) => Ok(batch.clone()),
            None => batch.clone().with_identities(Identities::counting(Partition::new(ROWS), 1)),
        }
    }

    /// Returns a leased batch without the events that were rejected when it was leased before.
    ///
    /// # Errors
    /// When Arrow's filter refuses the columns.
    pub(super) fn without_rejected(&self, number: u64, batch: &Batch) -> Result<Batch, BatchError> {
        let Some(gone) = self.rejected.with(|rows| rows.get(&number).cloned()) else {
            return Ok(batch.clone());
        };
        let kept = (0..batch.rows()).map(|row| Some(!gone.contains_key(&row)));
        batch.filter(&kept.collect::<BooleanArray>())
    }

    /// Makes the puts of the events that were rejected of a leased batch; none if there are none. `lease` is the
    /// complete batch, `part` the batch before the steps.
    ///
    /// # Errors
    /// When the events can't be made, or a step of the rejects does not fit them.
    pub(super) fn rejected_of(
        &self,
        number: u64,
        lease: &Batch,
        part: &Batch,
        pass: &mut Pass,
    ) -> Result<Option<RejectedBatch>, StepError> {
        let rejected = std::mem::take(&mut pass.rejected);
        if rejected.is_empty() {
            return Ok(None);
        }
        let mut parts = Vec::new();
        for slot in 0..self.routes.slots.len() {
            let of_slot: Vec<&Rejected> = rejected.iter().filter(|rejected| rejected.slot == slot).collect();
            if of_slot.is_empty() {
                continue;
            }
            let misfit = |error| StepError { step: "-> rejects".to_owned(), error };
            let events = self.routes.events.make(&of_slot, part).map_err(misfit)?;
            self.add_puts(slot, events, pass, &mut parts)?;
        }
        let rows = rows_of(lease, &rejected);
        Ok(Some(RejectedBatch { parts, rows, number }))
    }

    /// Adds the puts of events in parts that fit into transactions, or that have one event.
    fn add_puts(
        &self,
        slot: usize,
        events: Batch,
        pass: &mut Pass,
        parts: &mut Vec<(usize, Vec<Put>)>,
    ) -> Result<(), StepError> {
        let mut puts = Vec::new();
        self.routes.apply_slot(slot, &self.positioned(&events), pass, &mut puts)?;
        let is_large =
            |put: &Put| !put.target.optional && (!put.fits() || put.target.portion.parts(&put.batch) > 1);
        if events.rows() > 1 && puts.iter().any(is_large) {
            let half = events.rows() / 2;
            for part in [events.slice(0, half), events.slice(half, events.rows() - half)] {
                self.add_puts(slot, part, pass, parts)?;
            }
            return Ok(());
        }
        parts.push((slot, puts));
        Ok(())
    }

    /// Returns events with the positions by which the channels recognise them, or without.
    ///
    /// A reader takes batches in the order of their numbers, and a batch that was rolled back before all others. So the
    /// channels have all rejected events up to the last position.
    fn positioned(&self, events: &Batch) -> Batch {
        let Some(identities) = events.identities().filter(|_| self.keeps_positions) else {
            return events.clone().without_identities().with_origins(Origins::default());
        };
        let mut through: BTreeMap<usize, u64> = BTreeMap::new();
        for row in 0..events.rows() {
            let last = through.entry(identities.partition_of(row)).or_default();
            *last = identities.position_of(row).max(*last);
        }
        let intervals = through.into_iter().map(|(partition, through)| Interval {
            partition: identities.partitions()[partition].clone(),
            after: 0,
            through,
        });
        events.clone().with_origins(Origins::new(intervals.collect()))
    }

    /// Puts rejected events, and adds a share of the lease for them. Waits while a channel is full.
    ///
    /// # Errors
    /// When an event fits into no transaction, or a channel is closed.
    pub(super) async fn put(
        &self,
        rejected: RejectedBatch,
        lease: &mut Acknowledgement,
        meter: &Meter,
    ) -> Result<(), PutFailed> {
        let RejectedBatch { parts, rows, number } = rejected;
        if let Some(put) =
            parts.iter().flat_map(|(_, puts)| puts).find(|put| !put.target.optional && !put.fits())
        {
            let (bytes, most) = (Fill::of(&put.batch).bytes, put.target.channel.limits().byte_capacity);
            let channel = &put.target.name;
            return Err(PutFailed::TooLarge { channel: channel.to_string(), bytes, most });
        }
        lease.add_shares(1);
        let counts = self.unsettled.0.clone();
        counts.count.fetch_add(1, Ordering::AcqRel);
        let rejected = self.rejected.clone();
        let lease = Some(lease.split(1));
        let settle = RejectSettle { rejected, rows, number, counts, lease };
        let mut share = Acknowledgement::new(1, Box::new(settle));
        for (slot, puts) in parts {
            self.puts.put(puts.into_iter().zip(&self.scopes[slot]).collect(), &mut share, meter).await?;
        }
        share.done();
        Ok(())
    }
}

/// Passes the outcome of the puts of rejected events on to the lease.
struct RejectSettle {
    rejected: RejectedRows,
    rows: BytesByRow,
    number: u64,
    counts: Arc<Counts>,
    lease: Option<Acknowledgement>,
}

impl Settle for RejectSettle {
    fn settle(self: Box<Self>, done: bool) {
        let RejectSettle { rejected, rows, number, counts, lease } = *self;
        if done {
            rejected.with(|all| all.entry(number).or_default().extend(rows));
            lease.into_iter().for_each(Acknowledgement::done);
        } else {
            counts.has_failed.store(true, Ordering::Release);
            drop(lease);
        }
        counts.count.fetch_sub(1, Ordering::AcqRel);
        counts.changed.notify_waiters();
    }
}

/// Returns the rows of a leased batch that were rejected, with the bytes of their bodies.
fn rows_of(lease: &Batch, rejected: &[Rejected]) -> BytesByRow {
    let identities_of = |batch: &Batch| -> Vec<(usize, u64)> {
        let identities = batch.identities().into_iter();
        let each = |identities: &Identities, row| (identities.partition_of(row), identities.position_of(row));
        identities.flat_map(|identities| (0..batch.rows()).map(move |row| each(identities, row))).collect()
    };
    let gone: BTreeSet<_> = rejected.iter().flat_map(|rejected| identities_of(&rejected.events)).collect();
    let rows = identities_of(lease).into_iter().enumerate();
    let rows = rows.filter(|(_, identity)| gone.contains(identity)).map(|(row, _)| row);
    rows.map(|row| (row, lease.slice(row, 1).payload_bytes())).collect()
}
