//! What a memory channel holds, as plain data: every change is one call, none of them waits.
//!
//! What a change lets go of (acknowledgements to be done, room to be given back) is returned, so
//! that the caller does it outside of the lock.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::Batch;
use crate::channel::{Demand, Fill, Limits};
use crate::observability::meter::Reading;
use crate::routing::Acknowledgement;

/// The place of a reader among the channel's readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReaderId(usize);

/// The entries and the cursors on them. `Room` is what an entry gives back when it goes.
pub(super) struct State<Room> {
    next_sequence: u64,
    entries: BTreeMap<u64, Entry<Room>>,
    cursors: Vec<Cursor>,
    fill: Fill,
    /// Puts that wait for room.
    waiting: usize,
    closed: bool,
}

/// A committed batch.
struct Entry<Room> {
    batch: Batch,
    /// There until every required reader has acknowledged the entry.
    acknowledgement: Option<Acknowledgement>,
    room: Room,
    required_left: usize,
    readers_left: usize,
}

/// What one reader has before it and in its hands.
struct Cursor {
    name: String,
    demand: Demand,
    visible: BTreeSet<u64>,
    /// With what each holds, since an optional reader's entry may go while it is leased.
    leased: BTreeMap<u64, Fill>,
    held: Fill,
    /// Events that went before an optional reader had them, not reported yet.
    skipped: usize,
}

/// What a change lets go of. The room is given back by dropping it.
#[must_use]
pub(super) struct Released<Room> {
    /// To be done.
    pub(super) acknowledgement: Option<Acknowledgement>,
    /// To be dropped.
    pub(super) rooms: Vec<Room>,
}

impl<Room> State<Room> {
    pub(super) fn new() -> State<Room> {
        State {
            next_sequence: 0,
            entries: BTreeMap::new(),
            cursors: Vec::new(),
            fill: Fill::default(),
            waiting: 0,
            closed: false,
        }
    }

    /// The cursor of this name; a new one, if there is none.
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
        room: Room,
    ) -> Released<Room> {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.fill.add(Fill::of(&batch));
        for cursor in &mut self.cursors {
            cursor.visible.insert(sequence);
        }
        let required_left = self.cursors.iter().filter(|cursor| cursor.demand == Demand::Required).count();
        let readers_left = self.cursors.len();
        let acknowledgement = Some(acknowledgement);
        self.entries.insert(sequence, Entry { batch, acknowledgement, room, required_left, readers_left });
        self.release(sequence)
    }

    /// Visible → Leased: the reader's oldest entry.
    pub(super) fn lease(&mut self, reader: ReaderId) -> Option<(u64, Batch)> {
        let cursor = &mut self.cursors[reader.0];
        let sequence = cursor.visible.pop_first()?;
        let batch = self.entries[&sequence].batch.clone();
        cursor.leased.insert(sequence, Fill::of(&batch));
        cursor.held.add(Fill::of(&batch));
        Some((sequence, batch))
    }

    /// Leased → Acknowledged; and → Reclaimed, when nobody is left who may want it.
    pub(super) fn acknowledge(&mut self, reader: ReaderId, sequence: u64) -> Released<Room> {
        self.return_lease(reader, sequence);
        let demand = self.cursors[reader.0].demand;
        if let Some(entry) = self.entries.get_mut(&sequence) {
            entry.readers_left -= 1;
            if demand == Demand::Required {
                entry.required_left -= 1;
            }
        }
        self.release(sequence)
    }

    /// Leased → Visible, at its old place in the order.
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

    /// What of an entry nobody is left to ask for: its acknowledgement when every required reader
    /// has it, its room when all have, or when a put waits and only optional ones have not.
    fn release(&mut self, sequence: u64) -> Released<Room> {
        let Some(entry) = self.entries.get_mut(&sequence) else {
            return Released { acknowledgement: None, rooms: Vec::new() };
        };
        let required_done = entry.required_left == 0;
        let acknowledgement = if required_done { entry.acknowledgement.take() } else { None };
        let goes = entry.readers_left == 0 || (required_done && self.waiting > 0);
        let room = if goes { self.evict(sequence) } else { None };
        Released { acknowledgement, rooms: room.into_iter().collect() }
    }

    fn is_leased(&self, sequence: u64) -> bool {
        self.cursors.iter().any(|cursor| cursor.leased.contains_key(&sequence))
    }

    /// What no reader has in its hands.
    pub(super) fn unleased(&self) -> Fill {
        let mut fill = Fill::default();
        let unleased = self.entries.iter().filter(|(sequence, _)| !self.is_leased(**sequence));
        unleased.for_each(|(_, entry)| fill.add(Fill::of(&entry.batch)));
        fill
    }

    /// Visible → Reclaimed: gives up the oldest entry that no reader has in its hands, and says how much
    /// it was. Its events are dropped on purpose, so that nobody counts them as skipped.
    pub(super) fn drop_oldest(&mut self) -> Option<(Reading, Released<Room>)> {
        let sequence = *self.entries.keys().find(|sequence| !self.is_leased(**sequence))?;
        let entry = self.entries.remove(&sequence)?;
        self.fill.subtract(Fill::of(&entry.batch));
        for cursor in &mut self.cursors {
            cursor.visible.remove(&sequence);
        }
        let gone = Reading { events: entry.batch.rows() as u64, bytes: entry.batch.payload_bytes() };
        Some((gone, Released { acknowledgement: entry.acknowledgement, rooms: vec![entry.room] }))
    }

    /// → Reclaimed. Readers that have not taken the entry skip it.
    fn evict(&mut self, sequence: u64) -> Option<Room> {
        let entry = self.entries.remove(&sequence)?;
        self.fill.subtract(Fill::of(&entry.batch));
        for cursor in &mut self.cursors {
            if cursor.visible.remove(&sequence) {
                cursor.skipped += entry.batch.rows();
            }
        }
        Some(entry.room)
    }

    /// Whether what is leased with the reader's cursor stands in the way. An optional reader's never does.
    pub(super) fn is_in_the_way(&self, reader: ReaderId, limits: &Limits) -> bool {
        let starved = self.waiting > 0;
        let cursor = &self.cursors[reader.0];
        let half = 2 * cursor.held.events >= limits.capacity || 2 * cursor.held.bytes >= limits.byte_capacity;
        let in_the_way = half || (starved && cursor.visible.is_empty());
        cursor.demand == Demand::Required && in_the_way
    }

    /// A put begins to wait: what only optional readers have not had makes room for it.
    pub(super) fn put_waits(&mut self) -> Released<Room> {
        self.waiting += 1;
        let done = self.entries.iter().filter(|(_, entry)| entry.required_left == 0);
        let done: Vec<u64> = done.map(|(sequence, _)| *sequence).collect();
        let rooms = done.into_iter().filter_map(|sequence| self.evict(sequence)).collect();
        Released { acknowledgement: None, rooms }
    }

    pub(super) fn put_waits_no_more(&mut self) {
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

    /// Whether a required reader has events before it.
    pub(super) fn has_waiting(&self) -> bool {
        let mut required = self.cursors.iter().filter(|cursor| cursor.demand == Demand::Required);
        required.any(|cursor| !cursor.visible.is_empty())
    }

    #[cfg(test)]
    pub(super) fn held(&self, reader: ReaderId) -> Fill {
        self.cursors[reader.0].held
    }
}

impl<Room> Released<Room> {
    /// Does what is to be done. Not under the lock: it wakes the source and whoever waits for room.
    pub(super) fn settle(self) {
        if let Some(acknowledgement) = self.acknowledgement {
            acknowledgement.done();
        }
        drop(self.rooms);
    }
}

#[cfg(test)]
mod histories;
