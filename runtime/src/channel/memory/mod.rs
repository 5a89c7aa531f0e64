//! The memory channel: bounded and volatile. A put is acknowledged when all readers have acknowledged its events.

mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::in_flight::InFlight;
use super::{
    Channel, CommitError, Demand, Fill, Lease, Limits, Overflow, PutTransaction, Reader, RecordedPositions,
    Recovered, ReserveError, Scope, Taken,
};
use crate::batch::{BATCH_BYTES, Batch, Partition};
use crate::failure::Failure;
use crate::observability::meter::Reading;
use crate::routing::{Acknowledgement, Settle};
use state::{ReaderId, State};

/// The most bytes of one transaction, since a semaphore counts the permits of a request in a `u32`.
const TRANSACTION_BYTES_MAX: u64 = u32::MAX as u64;

/// The least `byte_capacity` of a channel that counts what puts take beside their events. The signature of the channel has the
/// same number.
const PUTS_COUNTED_FROM: u64 = 1 << 20;

/// A channel in memory.
pub struct MemoryChannel {
    shared: Arc<Shared>,
    overflow: Overflow,
}

struct Shared {
    limits: Limits,
    /// One permit for each event of `capacity`.
    event_permits: Arc<Semaphore>,
    /// One permit for each byte of `byte_capacity`.
    byte_permits: Arc<Semaphore>,
    state: Mutex<State<Reservation>>,
    positions: Mutex<RecordedPositions>,
    /// The marks of the sinks' ledgers, by reader.
    marks: Mutex<BTreeMap<String, u64>>,
    /// Notified when an event has become visible, a put waits for space, or the channel was closed.
    changed: Notify,
}

/// The space that an entry takes up; dropping it frees the space.
#[derive(Debug)]
struct Reservation {
    _events: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl MemoryChannel {
    /// Makes an empty channel with these limits.
    ///
    /// # Panics
    /// When `transaction_capacity` exceeds `capacity`, which the checker rules out.
    pub fn new(limits: Limits) -> MemoryChannel {
        assert!(limits.transaction_capacity <= limits.capacity, "the checker compares the capacities");
        let bytes = usize::try_from(limits.byte_capacity).unwrap_or(usize::MAX);
        MemoryChannel {
            overflow: Overflow::Wait,
            shared: Arc::new(Shared {
                limits,
                event_permits: Arc::new(Semaphore::new(limits.capacity.min(Semaphore::MAX_PERMITS))),
                byte_permits: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
                state: Mutex::new(State::new()),
                positions: Mutex::default(),
                marks: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }
}

impl MemoryChannel {
    /// Sets what happens to a put when the channel is full.
    pub fn with_overflow(self, overflow: Overflow) -> MemoryChannel {
        MemoryChannel { overflow, ..self }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State<Reservation>> {
        // Each change of the state is a single call that does not panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn positions(&self) -> MutexGuard<'_, RecordedPositions> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes that each put takes beside its events. A small channel does not count them, so that events have its room.
    fn put_bytes(&self) -> u64 {
        match self.limits.byte_capacity {
            ..PUTS_COUNTED_FROM => 0,
            _ => BATCH_BYTES,
        }
    }

    /// Returns the numbers of permits for `amount`, or an error if the channel can never hold so much.
    fn permits(&self, amount: Fill) -> Result<(u32, u32), ReserveError> {
        let too_large = |requested: u64, limit: u64, unit| ReserveError::TooLarge { requested, limit, unit };
        let events_max = self.limits.transaction_capacity;
        let bytes_max = self.limits.byte_capacity.min(TRANSACTION_BYTES_MAX);
        match (u32::try_from(amount.events), u32::try_from(amount.bytes)) {
            (Ok(events), Ok(_)) if amount.events <= events_max && amount.bytes <= bytes_max => {
                let bytes = (amount.bytes + self.put_bytes()).min(bytes_max);
                Ok((events, u32::try_from(bytes).unwrap_or(u32::MAX)))
            }
            _ if amount.events > events_max => {
                Err(too_large(amount.events as u64, events_max as u64, "events"))
            }
            _ => Err(too_large(amount.bytes, bytes_max, "bytes")),
        }
    }

    /// Returns whether `amount` would fit if all events that no reader has leased were dropped. If not, dropping some
    /// would be of no use.
    fn could_make_space(&self, amount: Fill) -> bool {
        let (free, puts) = self.lock().unleased();
        let events = self.event_permits.available_permits() + free.events;
        let bytes =
            self.byte_permits.available_permits() as u64 + free.bytes + puts as u64 * self.put_bytes();
        let needed = self.permits(amount).map(|(_, bytes)| u64::from(bytes));
        amount.events <= events && needed.is_ok_and(|needed| needed <= bytes)
    }

    fn marks(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_mark(&self, reader: &str, mark: u64) {
        let mut marks = self.marks();
        match marks.get_mut(reader) {
            Some(before) => *before = mark.max(*before),
            None => drop(marks.insert(reader.to_owned(), mark)),
        }
    }

    fn transaction(self: &Arc<Self>, reservation: Reservation) -> Box<dyn PutTransaction> {
        Box::new(MemoryPut { shared: self.clone(), reservation })
    }
}

#[async_trait]
impl Channel for MemoryChannel {
    fn limits(&self) -> Limits {
        self.shared.limits
    }

    async fn reserve(&self, amount: Fill) -> Result<Box<dyn PutTransaction>, ReserveError> {
        let (events, bytes) = self.shared.permits(amount)?;
        if let Some(transaction) = self.try_reserve(amount) {
            return Ok(transaction);
        }
        let _waiting_put = WaitingPut::begin(&self.shared);
        let closed = |_| ReserveError::Closed;
        // All puts take events before bytes. So a put that waits for bytes waits for readers only, and two puts can't
        // wait for each other.
        let events = self.shared.event_permits.clone().acquire_many_owned(events).await.map_err(closed)?;
        let bytes = self.shared.byte_permits.clone().acquire_many_owned(bytes).await.map_err(closed)?;
        Ok(self.shared.transaction(Reservation { _events: events, _bytes: bytes }))
    }

    fn try_reserve(&self, amount: Fill) -> Option<Box<dyn PutTransaction>> {
        let (events, bytes) = self.shared.permits(amount).ok()?;
        let events = self.shared.event_permits.clone().try_acquire_many_owned(events).ok()?;
        let bytes = self.shared.byte_permits.clone().try_acquire_many_owned(bytes).ok()?;
        Some(self.shared.transaction(Reservation { _events: events, _bytes: bytes }))
    }

    fn reader(&self, name: &str, demand: Demand) -> Box<dyn Reader> {
        let id = self.shared.lock().reader(name, demand);
        Box::new(MemoryReader {
            shared: self.shared.clone(),
            name: name.to_owned(),
            id,
            in_flight: InFlight::default(),
        })
    }

    fn overflow(&self) -> Overflow {
        self.overflow
    }

    fn displace(&self, amount: Fill) -> (Option<Box<dyn PutTransaction>>, Reading) {
        let mut dropped = Reading::default();
        if !self.shared.could_make_space(amount) {
            return (None, dropped);
        }
        loop {
            if let Some(transaction) = self.try_reserve(amount) {
                return (Some(transaction), dropped);
            }
            let oldest = self.shared.lock().drop_oldest();
            let Some((gone, released)) = oldest else { return (None, dropped) };
            dropped.events += gone.events;
            dropped.bytes += gone.bytes;
            released.settle();
        }
    }

    fn knows_positions(&self) -> bool {
        self.shared.positions().are_recorded()
    }

    fn remember(&self, scope: &str, prefix: &str, stored: BTreeMap<Partition, u64>) {
        self.shared.positions().remember(scope, prefix, stored);
    }

    fn stored(&self, scope: &str) -> Option<BTreeMap<Partition, u64>> {
        self.shared.positions().stored(scope)
    }

    fn forget(&self, scope: &str, partition: &Partition) {
        self.shared.positions().forget(scope, partition);
    }

    fn marks(&self) -> BTreeMap<String, u64> {
        self.shared.marks().clone()
    }

    fn check_recovered(&self, reader: &str, recovered: &Recovered) -> Result<(), Failure> {
        self.shared.keep_mark(reader, recovered.mark);
        Ok(())
    }

    fn close(&self) {
        self.shared.event_permits.close();
        self.shared.byte_permits.close();
        self.shared.lock().close();
        self.shared.changed.notify_waiters();
    }

    fn fill(&self) -> Fill {
        self.shared.lock().fill()
    }

    fn has_unread(&self) -> bool {
        self.shared.lock().has_unread()
    }
}

/// A put that is waiting for space, so that readers know of it.
struct WaitingPut<'a>(&'a Shared);

impl WaitingPut<'_> {
    fn begin(shared: &Shared) -> WaitingPut<'_> {
        let released = shared.lock().begin_waiting();
        released.settle();
        shared.changed.notify_waiters();
        WaitingPut(shared)
    }
}

impl Drop for WaitingPut<'_> {
    fn drop(&mut self) {
        self.0.lock().end_waiting();
    }
}

struct MemoryPut {
    shared: Arc<Shared>,
    reservation: Reservation,
}

impl PutTransaction for MemoryPut {
    fn commit(
        self: Box<Self>,
        scope: &Scope,
        batch: Batch,
        acknowledgement: Acknowledgement,
    ) -> Result<(), CommitError> {
        let MemoryPut { shared, reservation } = *self;
        // If the channel has all events already, the put is done when the puts before it are done: positions are
        // acknowledged in their order.
        let Some(batch) = shared.positions().record(scope, batch)? else {
            acknowledgement.done();
            return Ok(());
        };
        let released = shared.lock().put(batch, acknowledgement, reservation);
        released.settle();
        shared.changed.notify_waiters();
        Ok(())
    }
}

struct MemoryReader {
    shared: Arc<Shared>,
    name: String,
    id: ReaderId,
    in_flight: InFlight,
}

#[async_trait]
impl Reader for MemoryReader {
    async fn take(&mut self) -> Taken<Lease> {
        loop {
            // The listener is registered before the state is read, so that no change is missed in between.
            let changed = self.shared.changed.notified();
            {
                let mut state = self.shared.lock();
                let blocks = state.blocks_puts(self.id, &self.shared.limits);
                if self.in_flight.report_pressure(blocks) {
                    return Taken::Pressure;
                }
                if let Some((sequence, batch)) = state.lease(self.id) {
                    let fill = Fill::of(&batch);
                    self.in_flight.add(fill);
                    let (shared, in_flight) = (self.shared.clone(), self.in_flight.clone());
                    let settle = LeaseSettle { shared, reader: self.id, in_flight, sequence, fill };
                    let acknowledgement = Acknowledgement::new(1, Box::new(settle));
                    return Taken::Events(Lease { number: sequence, batch, acknowledgement });
                }
                if state.is_closed() {
                    return Taken::End;
                }
            }
            changed.await;
        }
    }

    async fn pressure(&mut self) {
        loop {
            let changed = self.shared.changed.notified();
            let blocks = self.shared.lock().blocks_puts(self.id, &self.shared.limits);
            if self.in_flight.report_pressure(blocks) {
                return;
            }
            changed.await;
        }
    }

    fn held(&self) -> Fill {
        self.in_flight.fill()
    }

    fn keep_mark(&mut self, mark: u64) {
        self.shared.keep_mark(&self.name, mark);
    }

    fn take_skipped(&mut self) -> usize {
        self.shared.lock().take_skipped(self.id)
    }
}

struct LeaseSettle {
    shared: Arc<Shared>,
    reader: ReaderId,
    in_flight: InFlight,
    sequence: u64,
    fill: Fill,
}

impl Settle for LeaseSettle {
    fn settle(self: Box<Self>, done: bool) {
        self.settle_with(done, Reading::default());
    }

    fn settle_with(self: Box<Self>, done: bool, rejected: Reading) {
        self.in_flight.remove(self.fill);
        if done {
            let released = self.shared.lock().acknowledge(self.reader, self.sequence, rejected);
            released.settle();
        } else {
            self.shared.lock().roll_back(self.reader, self.sequence);
            self.shared.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
