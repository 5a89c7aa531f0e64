//! The state of a file channel, as plain data and without its log: every change is one call, and no call
//! waits.
//!
//! The states of a put, and the calls that change them:
//!
//! ```text
//! Reserved ─submit─► Submitted ─publish─► Visible ─lease─► Leased ─acknowledge─► Acknowledged
//!     └─release─► (gone)  └─fail─► (failed)   ▲              │                  written, deleted
//!                                             └──roll back───┘                  ─► Reclaimed
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_schema::SchemaRef;

use super::cursor::{Cursor, PendingAcknowledgement, Unwritten};
use super::image::{Image, LowWatermark, Position, Positions, Totals, move_position};
use super::incarnations::Incarnations;
use super::log::{Durable, SegmentInfo};
use super::reading::{LoadRequest, StoredPut};
use super::segment::{Location, Uuid};
use super::submitted::Submitted;
use crate::batch::{BATCH_BYTES, Batch, Interval, Partition};
use crate::channel::in_flight::InFlight;
use crate::channel::origins::{self, Stored, Verdict};
use crate::channel::{CommitError, Demand, Fill, Limits, Scope};
use crate::routing::Acknowledgement;

/// The most bytes of puts in memory that wait for the disk: a few groups.
const SUBMITTED_BYTES_MAX: u64 = 16 << 20;

/// The index of a reader's cursor.
pub(super) type ReaderId = usize;

/// The result of a take.
pub(super) enum Take {
    /// A batch, leased.
    Leased(StoredPut),
    /// The batch has to be read from disk first.
    Load(Box<LoadRequest>),
    /// See [`Taken::Pressure`](crate::channel::Taken).
    Pressure,
    /// The reader has to wait for a put.
    Wait,
    /// The channel is closed, and the reader has taken everything.
    End,
}

/// The state of a file channel without its log.
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) schema: SchemaRef,
    uuid: Uuid,
    reserved: Fill,
    /// The number of puts that wait for space.
    pub(super) waiting: usize,
    next_sequence: u64,
    /// The number of events put since the channel was created.
    pub(super) events_put: u64,
    /// As on disk.
    pub(super) incarnations: Incarnations,
    submitted: VecDeque<Submitted>,
    /// Bytes of the submitted puts that `used_bytes` does not contain yet.
    submitted_bytes: u64,
    /// Bytes in memory of the submitted puts that are not on disk.
    submitted_memory: u64,
    /// Events of the submitted puts that are not on disk.
    submitted_events: usize,
    pub(super) positions: Positions,
    /// Events that not every required reader has acknowledged, submitted ones included.
    held: Fill,
    /// Bytes of the log on disk that a required reader needs.
    used_bytes: u64,
    /// The sequence of the first put that is not on disk.
    durable: u64,
    /// The newest puts, for readers that keep up; without gaps.
    recent: VecDeque<StoredPut>,
    recent_bytes: u64,
    recent_bytes_max: u64,
    pub(super) cursors: Vec<Cursor>,
    segments: Arc<BTreeMap<u64, SegmentInfo>>,
    /// Acknowledged by every required reader and not yet written to the log.
    released: Totals,
    /// The number of readers that the log lists.
    listed: usize,
    pub(super) opened: bool,
    closed: bool,
    pub(super) failed: bool,
}

impl State {
    pub(super) fn new(limits: Limits, schema: SchemaRef, recent_bytes_max: u64) -> State {
        State {
            limits,
            schema,
            uuid: Uuid::default(),
            reserved: Fill::default(),
            waiting: 0,
            next_sequence: 0,
            events_put: 0,
            incarnations: Incarnations::default(),
            submitted: VecDeque::new(),
            submitted_bytes: 0,
            submitted_memory: 0,
            submitted_events: 0,
            positions: Positions::new(),
            held: Fill::default(),
            used_bytes: 0,
            durable: 0,
            recent: VecDeque::new(),
            recent_bytes: 0,
            recent_bytes_max,
            cursors: Vec::new(),
            segments: Arc::default(),
            released: Totals::default(),
            listed: 0,
            opened: false,
            closed: false,
            failed: false,
        }
    }

    /// Returns the reader of this name, and adds it if there is none.
    pub(super) fn reader(&mut self, name: &str, demand: Demand) -> ReaderId {
        if let Some(reader) = self.cursors.iter().position(|cursor| cursor.name == name) {
            return reader;
        }
        let mut cursor = Cursor::new(name, demand);
        if let Some((&segment, info)) = self.segments.first_key_value() {
            let location = Location { segment, offset: info.begin };
            cursor.next = LowWatermark { sequence: info.first_sequence, location };
            cursor.events_before = info.events_before;
        }
        self.cursors.push(cursor);
        self.cursors.len() - 1
    }

    /// Sets the state that the log was recovered with.
    pub(super) fn open(
        &mut self,
        image: &Image,
        uuid: Uuid,
        search_start: impl Fn(LowWatermark) -> (Location, u64),
    ) {
        self.uuid = uuid;
        self.next_sequence = image.next_sequence;
        self.events_put = image.put.events;
        self.incarnations = image.incarnations.clone();
        self.durable = image.next_sequence;
        self.positions = image.positions.clone();
        self.held = Fill { events: image.held.events as usize, bytes: image.held.charged };
        self.listed = image.readers.len();
        for cursor in &mut self.cursors {
            if let Some(reader) = image.readers.iter().find(|reader| reader.name == cursor.name) {
                let (location, events_before) = search_start(reader.low);
                cursor.begin(reader, location, events_before);
            }
        }
        self.opened = true;
    }

    /// Returns the readers that the log does not list yet.
    pub(super) fn unlisted(&self) -> impl Iterator<Item = &Cursor> {
        self.cursors.iter().skip(self.listed)
    }

    pub(super) fn list_readers(&mut self, held: Totals) {
        self.listed = self.cursors.len();
        self.released = Totals::default();
        self.held.events = held.events as usize + self.submitted_events;
        self.held.bytes = held.charged + self.submitted_bytes;
    }

    // Puts.

    /// Compares a batch with the positions in the log.
    ///
    /// # Errors
    /// When the log lacks positions before the batch.
    pub(super) fn compare(&self, scope: &Scope, batch: &Batch) -> Result<Verdict, CommitError> {
        origins::compare(scope, batch, |partition| {
            let position = self.positions.get(&(scope.name.to_string(), partition.clone()))?;
            Some(Stored { through: position.through, run: position.run })
        })
    }

    /// Returns the positions of a scope in the log.
    pub(super) fn stored(&self, scope: &str) -> BTreeMap<Partition, u64> {
        let stored = self.positions.iter().filter(|((of, _), _)| of == scope);
        stored.map(|((_, partition), position)| (partition.clone(), position.through)).collect()
    }

    /// Returns whether memory allows for another put: a put is in memory as a batch and as a record until it is on
    /// disk.
    pub(super) fn writer_keeps_up(&self, amount: Fill) -> bool {
        let ahead = self.submitted_memory + self.reserved.bytes;
        ahead == 0 || ahead + amount.bytes <= SUBMITTED_BYTES_MAX
    }

    /// Reserves space for a put, if there is enough.
    pub(super) fn reserve(&mut self, amount: Fill) -> bool {
        let events = self.held.events + self.reserved.events + amount.events;
        let bytes = self.used_bytes + self.submitted_bytes + self.reserved.bytes + amount.bytes;
        let fits = events <= self.limits.capacity && bytes <= self.limits.byte_capacity;
        let fits = fits && self.writer_keeps_up(amount) && self.opened && !self.closed && !self.failed;
        if fits {
            self.reserved.add(amount);
        }
        fits
    }

    /// Reserved → gone.
    pub(super) fn release(&mut self, amount: Fill) {
        self.reserved.subtract(amount);
    }

    /// Reserved → Submitted. Returns how many positions were forgotten because there were too many.
    pub(super) fn submit(&mut self, scope: &Scope, mut put: Submitted) -> usize {
        let mut forgotten = 0;
        if !put.body.is_empty() {
            for Interval { partition, through, .. } in put.batch.origins().intervals() {
                let position = Position { through: *through, moved: self.next_sequence, run: scope.run };
                let key = (scope.name.to_string(), partition.clone());
                forgotten += move_position(&mut self.positions, key, position);
            }
        }
        if !put.body.is_empty() && !put.batch.is_empty() {
            put.sequence = Some(self.next_sequence);
            put.events_before = self.events_put;
            self.next_sequence += 1;
            self.submitted_events += put.fill.events;
            self.events_put += put.fill.events as u64;
            if self.cursors.iter().any(Cursor::is_required) {
                self.held.add(put.fill);
            }
        }
        self.submitted_bytes += put.body.len() as u64;
        self.submitted_memory += put.memory_bytes();
        self.submitted.push_back(put);
        forgotten
    }

    /// Takes submitted puts of one schema, about `bytes_max` bytes in all.
    pub(super) fn collect(&mut self, bytes_max: u64) -> Vec<Submitted> {
        let mut group: Vec<Submitted> = Vec::new();
        let mut bytes = 0;
        while let Some(first) = self.submitted.front() {
            let length = first.body.len() as u64;
            let fits = bytes == 0 || bytes + length <= bytes_max;
            let same = group.first().is_none_or(|one| one.batch.schema() == first.batch.schema());
            if !fits || !same {
                break;
            }
            bytes += length;
            group.extend(self.submitted.pop_front());
        }
        group
    }

    pub(super) fn has_submitted(&self) -> bool {
        !self.submitted.is_empty()
    }

    /// Submitted → Visible; needs the proof that the group is on disk. Returns the puts' acknowledgements.
    pub(super) fn publish(&mut self, group: Vec<Submitted>, durable: &Durable) -> Vec<Acknowledgement> {
        let mut locations = durable.locations.iter();
        let mut acknowledgements = Vec::with_capacity(group.len());
        for put in group {
            self.submitted_bytes -= put.body.len() as u64;
            self.submitted_memory -= put.memory_bytes();
            acknowledgements.push(put.acknowledgement);
            if put.body.is_empty() {
                continue;
            }
            let &(location, next) = locations.next().expect("the log has written every record");
            let Some(sequence) = put.sequence else { continue };
            self.durable = sequence + 1;
            self.submitted_events -= put.fill.events;
            let Submitted { batch, fill, events_before, .. } = put;
            self.keep_recent(StoredPut { sequence, batch, fill, location, next, events_before });
        }
        acknowledgements
    }

    /// Keeps a put in memory for readers that keep up, within a bound.
    fn keep_recent(&mut self, item: StoredPut) {
        self.recent_bytes += item.fill.bytes + BATCH_BYTES;
        self.recent.push_back(item);
        while self.recent_bytes > self.recent_bytes_max {
            self.drop_oldest_recent();
        }
        self.drop_taken_puts();
    }

    fn drop_oldest_recent(&mut self) {
        if let Some(item) = self.recent.pop_front() {
            self.recent_bytes -= item.fill.bytes + BATCH_BYTES;
        }
    }

    fn drop_taken_puts(&mut self) {
        let behind = self.cursors.iter().map(|cursor| cursor.next.sequence).min().unwrap_or(self.durable);
        while self.recent.front().is_some_and(|item| item.sequence < behind) {
            self.drop_oldest_recent();
        }
    }

    fn recent_put(&self, sequence: u64) -> Option<&StoredPut> {
        let first = self.recent.front()?.sequence;
        self.recent.get(usize::try_from(sequence.checked_sub(first)?).ok()?)
    }

    /// Sets the log's segments and its size on disk.
    pub(super) fn set_log(&mut self, segments: Arc<BTreeMap<u64, SegmentInfo>>, used_bytes: u64) {
        let oldest_before = self.segments.keys().next().copied();
        self.segments = segments;
        self.used_bytes = used_bytes;
        let Some((&segment, oldest)) = self.segments.first_key_value() else { return };
        if oldest_before.is_some_and(|before| before < segment) {
            let location = Location { segment, offset: oldest.begin };
            let low = LowWatermark { sequence: oldest.first_sequence, location };
            let events_before = oldest.events_before;
            self.cursors.iter_mut().for_each(|cursor| cursor.truncate(low, events_before));
        }
    }

    /// Returns whether segments may be kept for optional readers alone: no put needs their space.
    pub(super) fn keep_for_optional(&self) -> bool {
        self.waiting == 0 && 2 * self.used_bytes < self.limits.byte_capacity
    }

    // Takes.

    pub(super) fn take(&mut self, reader: ReaderId, in_flight: &InFlight) -> Take {
        if self.failed || !self.opened {
            // A failed or unopened channel delivers nothing. Its events are delivered after the next start.
            return if self.closed { Take::End } else { Take::Wait };
        }
        if self.reports_pressure(reader, in_flight) {
            return Take::Pressure;
        }
        if let Some((sequence, held)) = self.cursors[reader].first_returned() {
            return match self.recent_put(sequence).cloned() {
                Some(item) => self.lease(reader, item),
                None => self.load(sequence, held.location, false),
            };
        }
        loop {
            let cursor = &self.cursors[reader];
            let LowWatermark { sequence, location } = cursor.next;
            if sequence >= self.durable || !cursor.may_take_more() {
                let all = self.submitted.is_empty() && self.durable == self.next_sequence;
                return if self.closed && all && sequence >= self.durable { Take::End } else { Take::Wait };
            }
            let ahead = self.cursors[reader].ahead.pop_front();
            let item = ahead.filter(|item| item.sequence == sequence);
            let Some(item) = item.or_else(|| self.recent_put(sequence).cloned()) else {
                return self.load(sequence, location, true);
            };
            if !self.cursors[reader].skip_if_acknowledged(&item) {
                return self.lease(reader, item);
            }
        }
    }

    fn lease(&mut self, reader: ReaderId, item: StoredPut) -> Take {
        self.cursors[reader].lease(&item);
        self.drop_taken_puts();
        Take::Leased(item)
    }

    fn load(&self, sequence: u64, from: Location, ahead: bool) -> Take {
        Take::Load(Box::new(LoadRequest {
            from,
            sequence,
            below: self.durable,
            ahead,
            uuid: self.uuid,
            segments: self.segments.clone(),
            schema: self.schema.clone(),
        }))
    }

    /// Takes the batches that were read for a reader: leases the first one if it was rolled back before, otherwise
    /// keeps them until the reader takes them.
    pub(super) fn loaded(&mut self, reader: ReaderId, items: Vec<StoredPut>) -> Option<StoredPut> {
        let cursor = &mut self.cursors[reader];
        let first = items.first()?.sequence;
        if cursor.first_returned().is_some_and(|(sequence, _)| sequence == first) {
            let item = items.into_iter().next()?;
            cursor.lease(&item);
            return Some(item);
        }
        if first == cursor.next.sequence {
            cursor.ahead = items.into();
        }
        None
    }

    /// Leased → Acknowledged. Returns whether this frees space.
    pub(super) fn acknowledge(&mut self, reader: ReaderId, sequence: u64) -> bool {
        let fill = self.cursors[reader].acknowledge(sequence);
        let mut required = self.cursors.iter().filter(|cursor| cursor.is_required());
        let frees = self.cursors[reader].is_required() && required.all(|cursor| cursor.has(sequence));
        if frees {
            self.held.events = self.held.events.saturating_sub(fill.events);
            self.held.bytes = self.held.bytes.saturating_sub(fill.bytes);
            self.released.add(Totals { events: fill.events as u64, charged: fill.bytes });
        }
        frees
    }

    /// Leased → Visible.
    pub(super) fn roll_back(&mut self, reader: ReaderId, sequence: u64) {
        let oldest = self.segments.first_key_value().map_or(0, |(_, info)| info.first_sequence);
        self.cursors[reader].roll_back(sequence, oldest);
    }

    /// Returns true if the leases of a reader prevent puts: once, until one of them is settled.
    pub(super) fn reports_pressure(&self, reader: ReaderId, in_flight: &InFlight) -> bool {
        in_flight.report_pressure(self.blocks_puts(reader))
    }

    /// Returns whether the leases of the reader's cursor prevent puts.
    fn blocks_puts(&self, reader: ReaderId) -> bool {
        let starved = self.waiting > 0;
        let cursor = &self.cursors[reader];
        let Limits { capacity, byte_capacity, .. } = self.limits;
        let half = 2 * cursor.held.events >= capacity || 2 * cursor.held.bytes >= byte_capacity;
        let nothing_left = cursor.next.sequence >= self.durable && cursor.first_returned().is_none();
        // The log is freed from its beginning, so one old lease keeps everything after it on disk.
        let pins =
            starved && 2 * self.used_bytes >= byte_capacity && cursor.low().sequence < cursor.next.sequence;
        let blocks = half || (starved && nothing_left) || pins || !cursor.may_take_more();
        cursor.is_required() && cursor.has_leases() && blocks
    }

    /// Returns the acknowledgements that are not written to the log.
    pub(super) fn unwritten(&self) -> Option<Unwritten> {
        let cursors = self.cursors.iter().enumerate().take(self.listed);
        let readers: Vec<PendingAcknowledgement> =
            cursors.filter_map(|(reader, cursor)| cursor.unwritten(reader)).collect();
        let nothing = readers.is_empty() && self.released == Totals::default();
        (!nothing).then_some(Unwritten { released: self.released, readers })
    }

    pub(super) fn has_unwritten(&self) -> bool {
        self.cursors.iter().take(self.listed).any(Cursor::has_unwritten)
    }

    pub(super) fn written(&mut self, unwritten: &Unwritten) {
        self.released.events -= unwritten.released.events;
        self.released.charged -= unwritten.released.charged;
        for reader in &unwritten.readers {
            self.cursors[reader.acknowledged.reader].written(reader);
        }
    }

    // The channel.

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Submitted → failed: the log can't go on. Returns the puts that will not be written.
    pub(super) fn fail(&mut self) -> VecDeque<Submitted> {
        self.failed = true;
        std::mem::take(&mut self.submitted)
    }

    pub(super) fn fill(&self) -> Fill {
        self.held
    }

    /// Returns whether a required reader has events that are not leased.
    pub(super) fn has_unread(&self) -> bool {
        let mut required = self.cursors.iter().filter(|cursor| cursor.is_required());
        required.any(|cursor| cursor.first_returned().is_some() || cursor.next.sequence < self.next_sequence)
    }
}
