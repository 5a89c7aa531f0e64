//! The content of a memory channel, as plain data: every change is one call, and no call waits.
//!
//! A change returns the acknowledgements to complete and the reservations to free, so that the caller does this
//! without holding the lock.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::Batch;
use crate::channel::{Demand, Fill, Limits};
use crate::observability::meter::Reading;
use crate::routing::Acknowledgement;

/// The index of a reader's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReaderId(usize);

/// The entries, and the cursors of the readers. `Reservation` is the space of an entry, freed when it is dropped.
pub(super) struct State<Reservation> {
    next_sequence: u64,
    entries: BTreeMap<u64, Entry<Reservation>>,
    cursors: Vec<Cursor>,
    fill: Fill,
    /// The number of puts that wait for space.
    waiting: usize,
    closed: bool,
}

/// A committed batch.
struct Entry<Reservation> {
    batch: Batch,
    /// `Some` until every required reader has acknowledged the entry.
    acknowledgement: Option<Acknowledgement>,
    reservation: Reservation,
    required_left: usize,
    readers_left: usize,
}

/// The visible and the leased entries of one reader.
struct Cursor {
    name: String,
    demand: Demand,
    visible: BTreeSet<u64>,
    /// With their sizes, since an optional reader's entry may be removed while it is leased.
    leased: BTreeMap<u64, Fill>,
    held: Fill,
    /// Events that were removed before an optional reader took them, and that were not reported yet.
    skipped: usize,
}

/// The acknowledgements and reservations that a change has released.
#[must_use]
pub(super) struct Released<Reservation> {
    /// To be completed.
    pub(super) acknowledgement: Option<Acknowledgement>,
    /// To be dropped.
    pub(super) reservations: Vec<Reservation>,
}

impl<Reservation> State<Reservation> {
    pub(super) fn new() -> State<Reservation> {
        State {
            next_sequence: 0,
            entries: BTreeMap::new(),
            cursors: Vec::new(),
            fill: Fill::default(),
            waiting: 0,
            closed: false,
        }
    }

    /// Returns the cursor of this name, and adds it if there is none.
    pub(super) fn reader(&mut self, name: &str, demand: Demand) -> ReaderId {
        if let Some(reader) = self.cursors.iter().position(|cursor| cursor.name == name) {
            return ReaderId(reader);
        }
        self.cursors.push(Cursor {
            name: name.to_owned(),
            demand,
            visible: BTreeSet::new(),
            leased: BTreeMap::new(),
            held: Fill::default(),
            skipped: 0,
        });
        ReaderId(self.cursors.len() - 1)
    }

    /// Reserved → Visible.
    pub(super) fn put(
        &mut self,
        batch: Batch,
        acknowledgement: Acknowledgement,
        reservation: Reservation,
    ) -> Released<Reservation> {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.fill.add(Fill::of(&batch));
        for cursor in &mut self.cursors {
            cursor.visible.insert(sequence);
        }
        let required_left = self.cursors.iter().filter(|cursor| cursor.demand == Demand::Required).count();
        let readers_left = self.cursors.len();
        let acknowledgement = Some(acknowledgement);
        self.entries
            .insert(sequence, Entry { batch, acknowledgement, reservation, required_left, readers_left });
        self.release(sequence)
    }

    /// Visible → Leased, for the reader's oldest visible entry.
    pub(super) fn lease(&mut self, reader: ReaderId) -> Option<(u64, Batch)> {
        let cursor = &mut self.cursors[reader.0];
        let sequence = cursor.visible.pop_first()?;
        let batch = self.entries[&sequence].batch.clone();
        cursor.leased.insert(sequence, Fill::of(&batch));
        cursor.held.add(Fill::of(&batch));
        Some((sequence, batch))
    }

    /// Leased → Acknowledged, and → Reclaimed when all readers have acknowledged the entry. Of its events, these were rejected
    /// behind the channel.
    pub(super) fn acknowledge(
        &mut self,
        reader: ReaderId,
        sequence: u64,
        rejected: Reading,
    ) -> Released<Reservation> {
        self.return_lease(reader, sequence);
        let demand = self.cursors[reader.0].demand;
        if let Some(entry) = self.entries.get_mut(&sequence) {
            entry.readers_left -= 1;
            if demand == Demand::Required {
                entry.required_left -= 1;
                entry.acknowledgement.iter().for_each(|put| put.add_rejected(rejected));
            }
        }
        self.release(sequence)
    }

    /// Leased → Visible, at its old position in the order.
    pub(super) fn roll_back(&mut self, reader: ReaderId, sequence: u64) {
        let held = self.return_lease(reader, sequence);
        let cursor = &mut self.cursors[reader.0];
        if self.entries.contains_key(&sequence) {
            cursor.visible.insert(sequence);
        } else {
            cursor.skipped += held.events;
        }
    }

    fn return_lease(&mut self, reader: ReaderId, sequence: u64) -> Fill {
        let cursor = &mut self.cursors[reader.0];
        let held = cursor.leased.remove(&sequence).expect("a lease is settled once");
        cursor.held.subtract(held);
        held
    }

    /// Takes the acknowledgement of an entry if every required reader has acknowledged it. Removes the entry if all
    /// readers have, or if all required ones have and a put waits for space.
    fn release(&mut self, sequence: u64) -> Released<Reservation> {
        let Some(entry) = self.entries.get_mut(&sequence) else {
            return Released { acknowledgement: None, reservations: Vec::new() };
        };
        let required_done = entry.required_left == 0;
        let acknowledgement = if required_done { entry.acknowledgement.take() } else { None };
        let evicts = entry.readers_left == 0 || (required_done && self.waiting > 0);
        let reservation = if evicts { self.evict(sequence) } else { None };
        Released { acknowledgement, reservations: reservation.into_iter().collect() }
    }

    fn is_leased(&self, sequence: u64) -> bool {
        self.cursors.iter().any(|cursor| cursor.leased.contains_key(&sequence))
    }

    /// Returns the size and the number of the entries that no reader has leased.
    pub(super) fn unleased(&self) -> (Fill, usize) {
        let (mut fill, mut entries) = (Fill::default(), 0);
        for (_, entry) in self.entries.iter().filter(|(sequence, _)| !self.is_leased(**sequence)) {
            fill.add(Fill::of(&entry.batch));
            entries += 1;
        }
        (fill, entries)
    }

    /// Visible → Reclaimed: removes the oldest entry that no reader has leased, and returns its size. Its events are
    /// dropped on purpose, so they do not count as skipped.
    pub(super) fn drop_oldest(&mut self) -> Option<(Reading, Released<Reservation>)> {
        let sequence = *self.entries.keys().find(|sequence| !self.is_leased(**sequence))?;
        let entry = self.entries.remove(&sequence)?;
        self.fill.subtract(Fill::of(&entry.batch));
        for cursor in &mut self.cursors {
            cursor.visible.remove(&sequence);
        }
        let gone = Reading { events: entry.batch.rows() as u64, bytes: entry.batch.payload_bytes() };
        Some((
            gone,
            Released { acknowledgement: entry.acknowledgement, reservations: vec![entry.reservation] },
        ))
    }

    /// → Reclaimed. Readers that have not taken the entry skip it.
    fn evict(&mut self, sequence: u64) -> Option<Reservation> {
        let entry = self.entries.remove(&sequence)?;
        self.fill.subtract(Fill::of(&entry.batch));
        for cursor in &mut self.cursors {
            if cursor.visible.remove(&sequence) {
                cursor.skipped += entry.batch.rows();
            }
        }
        Some(entry.reservation)
    }

    /// Returns whether the leases of the reader's cursor prevent puts. Never true for an optional reader.
    pub(super) fn blocks_puts(&self, reader: ReaderId, limits: &Limits) -> bool {
        let starved = self.waiting > 0;
        let cursor = &self.cursors[reader.0];
        let half = 2 * cursor.held.events >= limits.capacity || 2 * cursor.held.bytes >= limits.byte_capacity;
        let blocks = half || (starved && cursor.visible.is_empty());
        cursor.demand == Demand::Required && blocks
    }

    /// Counts a waiting put, and removes the entries that only optional readers have not acknowledged.
    pub(super) fn begin_waiting(&mut self) -> Released<Reservation> {
        self.waiting += 1;
        let done = self.entries.iter().filter(|(_, entry)| entry.required_left == 0);
        let done: Vec<u64> = done.map(|(sequence, _)| *sequence).collect();
        let reservations = done.into_iter().filter_map(|sequence| self.evict(sequence)).collect();
        Released { acknowledgement: None, reservations }
    }

    pub(super) fn end_waiting(&mut self) {
        self.waiting -= 1;
    }

    pub(super) fn take_skipped(&mut self, reader: ReaderId) -> usize {
        std::mem::take(&mut self.cursors[reader.0].skipped)
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn fill(&self) -> Fill {
        self.fill
    }

    /// Returns whether a required reader has visible entries.
    pub(super) fn has_unread(&self) -> bool {
        let mut required = self.cursors.iter().filter(|cursor| cursor.demand == Demand::Required);
        required.any(|cursor| !cursor.visible.is_empty())
    }

    #[cfg(test)]
    pub(super) fn held(&self, reader: ReaderId) -> Fill {
        self.cursors[reader.0].held
    }
}

impl<Reservation> Released<Reservation> {
    /// Completes the acknowledgement and frees the reservations. This wakes the source and waiting puts, so the
    /// caller must not hold the lock.
    pub(super) fn settle(self) {
        if let Some(acknowledgement) = self.acknowledgement {
            acknowledgement.done();
        }
        drop(self.reservations);
    }
}

#[cfg(test)]
mod histories;
