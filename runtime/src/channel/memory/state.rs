//! What a memory channel holds, as plain data: every change is one call, none of them waits.

use std::collections::{BTreeMap, BTreeSet};

use crate::acknowledgement::Acknowledgement;
use crate::batch::Batch;
use crate::channel::{Fill, Limits};

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
pub(super) struct Entry<Room> {
    batch: Batch,
    /// Done when every reader has acknowledged the entry.
    pub(super) acknowledgement: Acknowledgement,
    _room: Room,
    readers_left: usize,
}

/// What one reader has before it and in its hands.
#[derive(Default)]
struct Cursor {
    visible: BTreeSet<u64>,
    leased: BTreeSet<u64>,
    held: Fill,
    /// Pressure was reported and nothing was returned since.
    pressed: bool,
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

    pub(super) fn add_reader(&mut self) -> ReaderId {
        self.cursors.push(Cursor::default());
        ReaderId(self.cursors.len() - 1)
    }

    /// Reserved → Visible.
    pub(super) fn put(&mut self, batch: Batch, acknowledgement: Acknowledgement, room: Room) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.fill.add(Fill::of(&batch));
        for cursor in &mut self.cursors {
            cursor.visible.insert(sequence);
        }
        let readers_left = self.cursors.len();
        self.entries.insert(sequence, Entry { batch, acknowledgement, _room: room, readers_left });
    }

    /// Visible → Leased: the reader's oldest entry.
    pub(super) fn lease(&mut self, reader: ReaderId) -> Option<(u64, Batch)> {
        let cursor = &mut self.cursors[reader.0];
        let sequence = cursor.visible.pop_first()?;
        let batch = self.entries[&sequence].batch.clone();
        cursor.leased.insert(sequence);
        cursor.held.add(Fill::of(&batch));
        Some((sequence, batch))
    }

    /// Leased → Acknowledged; and → Reclaimed, when this was the last reader that had it.
    pub(super) fn acknowledge(&mut self, reader: ReaderId, sequence: u64) -> Option<Entry<Room>> {
        self.return_lease(reader, sequence);
        let entry = self.entries.get_mut(&sequence)?;
        entry.readers_left -= 1;
        if entry.readers_left > 0 {
            return None;
        }
        let entry = self.entries.remove(&sequence)?;
        self.fill.subtract(Fill::of(&entry.batch));
        Some(entry)
    }

    /// Leased → Visible, at its old place in the order.
    pub(super) fn roll_back(&mut self, reader: ReaderId, sequence: u64) {
        self.return_lease(reader, sequence);
        self.cursors[reader.0].visible.insert(sequence);
    }

    fn return_lease(&mut self, reader: ReaderId, sequence: u64) {
        let cursor = &mut self.cursors[reader.0];
        assert!(cursor.leased.remove(&sequence), "a lease is settled once");
        cursor.held.subtract(Fill::of(&self.entries[&sequence].batch));
        cursor.pressed = false;
    }

    /// Whether what the reader holds stands in the way; true once until something is returned.
    pub(super) fn press(&mut self, reader: ReaderId, limits: &Limits) -> bool {
        let starved = self.waiting > 0;
        let cursor = &mut self.cursors[reader.0];
        let half = 2 * cursor.held.events >= limits.capacity || 2 * cursor.held.bytes >= limits.byte_capacity;
        let pressed = !cursor.leased.is_empty() && (half || (starved && cursor.visible.is_empty()));
        let first = pressed && !cursor.pressed;
        cursor.pressed |= pressed;
        first
    }

    pub(super) fn put_waits(&mut self) {
        self.waiting += 1;
    }

    pub(super) fn put_waits_no_more(&mut self) {
        self.waiting -= 1;
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

    pub(super) fn held(&self, reader: ReaderId) -> Fill {
        self.cursors[reader.0].held
    }
}

#[cfg(test)]
mod histories;
