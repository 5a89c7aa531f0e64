//! The memory channel: bounded, volatile, handing acknowledgements through.

mod positions;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::hand::Hand;
use super::{
    Channel, CommitError, Demand, Fill, Lease, Limits, Overflow, PutTransaction, Reader, Recovered,
    ReserveError, Scope, Taken,
};
use crate::batch::{Batch, Partition};
use crate::failure::Failure;
use crate::observability::meter::Reading;
use crate::routing::{Acknowledgement, Settle};
use positions::Positions;
use state::{ReaderId, State};

/// The most bytes of one transaction: a semaphore hands out permits by the `u32`.
const TRANSACTION_BYTES_MAX: u64 = u32::MAX as u64;

/// A channel in memory.
pub struct MemoryChannel {
    shared: Arc<Shared>,
    overflow: Overflow,
}

struct Shared {
    limits: Limits,
    /// One permit an event of `capacity`.
    event_room: Arc<Semaphore>,
    /// One permit a byte of `byte_capacity`.
    byte_room: Arc<Semaphore>,
    state: Mutex<State<Room>>,
    positions: Mutex<Positions>,
    /// How far the memories of the sinks behind are, by their readers.
    marks: Mutex<BTreeMap<String, u64>>,
    /// Told when something has become visible, or the channel was closed.
    changed: Notify,
}

/// Room that an entry takes up; dropping it makes it free.
#[derive(Debug)]
struct Room {
    _events: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl MemoryChannel {
    /// An empty channel with these bounds.
    ///
    /// # Panics
    /// When `transaction_capacity` exceeds `capacity`, which the checker rules out.
    pub fn new(limits: Limits) -> MemoryChannel {
        assert!(limits.transaction_capacity <= limits.capacity, "the checker compares the capacities");
        let byte_permits = usize::try_from(limits.byte_capacity).unwrap_or(usize::MAX);
        MemoryChannel {
            overflow: Overflow::Wait,
            shared: Arc::new(Shared {
                limits,
                event_room: Arc::new(Semaphore::new(limits.capacity.min(Semaphore::MAX_PERMITS))),
                byte_room: Arc::new(Semaphore::new(byte_permits.min(Semaphore::MAX_PERMITS))),
                state: Mutex::new(State::new()),
                positions: Mutex::default(),
                marks: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }
}

impl MemoryChannel {
    /// The channel with another way of dealing with puts that find no room.
    pub fn with_overflow(self, overflow: Overflow) -> MemoryChannel {
        MemoryChannel { overflow, ..self }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State<Room>> {
        // The state is changed by single calls that don't panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn positions(&self) -> MutexGuard<'_, Positions> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The permits for this much room, or why it can never be had.
    fn permits(&self, room: Fill) -> Result<(u32, u32), ReserveError> {
        let too_large = |requested: u64, limit: u64, unit| ReserveError::TooLarge { requested, limit, unit };
        let events_max = self.limits.transaction_capacity;
        let bytes_max = self.limits.byte_capacity.min(TRANSACTION_BYTES_MAX);
        match (u32::try_from(room.events), u32::try_from(room.bytes)) {
            (Ok(events), Ok(bytes)) if room.events <= events_max && room.bytes <= bytes_max => {
                Ok((events, bytes))
            }
            _ if room.events > events_max => Err(too_large(room.events as u64, events_max as u64, "events")),
            _ => Err(too_large(room.bytes, bytes_max, "bytes")),
        }
    }

    /// Whether there would be so much room without the events that no reader has in its hands: if not,
    /// they are not worth dropping.
    fn could_fit(&self, room: Fill) -> bool {
        let free = self.lock().unleased();
        let events = self.event_room.available_permits() + free.events;
        let bytes = self.byte_room.available_permits() as u64 + free.bytes;
        self.permits(room).is_ok() && room.events <= events && room.bytes <= bytes
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

    fn transaction(self: &Arc<Self>, room: Room) -> Box<dyn PutTransaction> {
        Box::new(MemoryPut { shared: self.clone(), room })
    }
}

#[async_trait]
impl Channel for MemoryChannel {
    fn limits(&self) -> Limits {
        self.shared.limits
    }

    async fn reserve(&self, room: Fill) -> Result<Box<dyn PutTransaction>, ReserveError> {
        let (events, bytes) = self.shared.permits(room)?;
        if let Some(transaction) = self.try_reserve(room) {
            return Ok(transaction);
        }
        let _waiting = Waiting::begin(&self.shared);
        let closed = |_| ReserveError::Closed;
        // Events before bytes, always: whoever waits for bytes waits for readers alone, never
        // for another put, so that two puts can't wait for each other.
        let events = self.shared.event_room.clone().acquire_many_owned(events).await.map_err(closed)?;
        let bytes = self.shared.byte_room.clone().acquire_many_owned(bytes).await.map_err(closed)?;
        Ok(self.shared.transaction(Room { _events: events, _bytes: bytes }))
    }

    fn try_reserve(&self, room: Fill) -> Option<Box<dyn PutTransaction>> {
        let (events, bytes) = self.shared.permits(room).ok()?;
        let events = self.shared.event_room.clone().try_acquire_many_owned(events).ok()?;
        let bytes = self.shared.byte_room.clone().try_acquire_many_owned(bytes).ok()?;
        Some(self.shared.transaction(Room { _events: events, _bytes: bytes }))
    }

    fn reader(&self, name: &str, demand: Demand) -> Box<dyn Reader> {
        let id = self.shared.lock().reader(name, demand);
        Box::new(MemoryReader {
            shared: self.shared.clone(),
            name: name.to_owned(),
            id,
            hand: Hand::default(),
        })
    }

    fn overflow(&self) -> Overflow {
        self.overflow
    }

    fn displace(&self, room: Fill) -> (Option<Box<dyn PutTransaction>>, Reading) {
        let mut dropped = Reading::default();
        if !self.shared.could_fit(room) {
            return (None, dropped);
        }
        loop {
            if let Some(transaction) = self.try_reserve(room) {
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
        self.shared.positions().are_known()
    }

    fn remember(&self, scope: &str, prefix: &str, stored: BTreeMap<Partition, u64>) {
        self.shared.positions().remember(scope, prefix, stored);
    }

    fn stored(&self, scope: &str) -> Option<BTreeMap<Partition, u64>> {
        self.shared.positions().stored(scope)
    }

    fn marks(&self) -> BTreeMap<String, u64> {
        self.shared.marks().clone()
    }

    fn hold_against(&self, reader: &str, recovered: &Recovered) -> Result<(), Failure> {
        self.shared.keep_mark(reader, recovered.mark);
        Ok(())
    }

    fn close(&self) {
        self.shared.event_room.close();
        self.shared.byte_room.close();
        self.shared.lock().close();
        self.shared.changed.notify_waiters();
    }

    fn fill(&self) -> Fill {
        self.shared.lock().fill()
    }

    fn has_waiting(&self) -> bool {
        self.shared.lock().has_waiting()
    }
}

/// A put that waits for room, known to the readers.
struct Waiting<'a>(&'a Shared);

impl Waiting<'_> {
    fn begin(shared: &Shared) -> Waiting<'_> {
        let released = shared.lock().put_waits();
        released.settle();
        shared.changed.notify_waiters();
        Waiting(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().put_waits_no_more();
    }
}

struct MemoryPut {
    shared: Arc<Shared>,
    room: Room,
}

impl PutTransaction for MemoryPut {
    fn commit(
        self: Box<Self>,
        scope: &Scope,
        batch: Batch,
        acknowledgement: Acknowledgement,
    ) -> Result<(), CommitError> {
        let MemoryPut { shared, room } = *self;
        // What the channel has already is done when what was put before is: positions are reported in
        // their order.
        let Some(batch) = shared.positions().take_in(scope, batch)? else {
            acknowledgement.done();
            return Ok(());
        };
        let released = shared.lock().put(batch, acknowledgement, room);
        released.settle();
        shared.changed.notify_waiters();
        Ok(())
    }
}

struct MemoryReader {
    shared: Arc<Shared>,
    name: String,
    id: ReaderId,
    hand: Hand,
}

#[async_trait]
impl Reader for MemoryReader {
    async fn take(&mut self) -> Taken<Lease> {
        loop {
            // Listening begins before looking, so that no change falls between.
            let changed = self.shared.changed.notified();
            {
                let mut state = self.shared.lock();
                let in_the_way = state.is_in_the_way(self.id, &self.shared.limits);
                if self.hand.press(in_the_way) {
                    return Taken::Pressure;
                }
                if let Some((sequence, batch)) = state.lease(self.id) {
                    let fill = Fill::of(&batch);
                    self.hand.take(fill);
                    let (shared, hand) = (self.shared.clone(), self.hand.clone());
                    let settle = LeaseSettle { shared, reader: self.id, hand, sequence, fill };
                    let acknowledgement = Acknowledgement::new(1, Box::new(settle));
                    return Taken::Events(Lease { batch, acknowledgement });
                }
                if state.is_closed() {
                    return Taken::End;
                }
            }
            changed.await;
        }
    }

    fn held(&self) -> Fill {
        self.hand.fill()
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
    hand: Hand,
    sequence: u64,
    fill: Fill,
}

impl Settle for LeaseSettle {
    fn settle(self: Box<Self>, done: bool) {
        self.hand.give_back(self.fill);
        if done {
            let released = self.shared.lock().acknowledge(self.reader, self.sequence);
            released.settle();
        } else {
            self.shared.lock().roll_back(self.reader, self.sequence);
            self.shared.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
