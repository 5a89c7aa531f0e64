//! The image: the content of the log without the events. A checkpoint record holds an image; each later
//! record changes it, in the same way when the record is written and when it is read back.
//!
//! ```text
//! acknowledge   u64 events and u64 charged bytes released by all required readers, u32 count, then for
//!               each: u32 index of the reader in the checkpoint's list, low, runs; then for each: u64 mark
//! checkpoint    text owner, u64 events and u64 charged bytes held,
//!               u32 readers, for each: text name, u8 1 if required, low, runs
//!               u32 positions, for each: text scope, text partition, u64 through, u64 sequence
//!               of the put that moved it,
//!               16 bytes identity, u8 flags: 0, for each reader: u64 mark, incarnations
//! incarnation   16 bytes incarnation of the events after it
//! incarnations  u8 1 if some were forgotten, u64 their highest number, u32 count, then for each:
//!               16 bytes incarnation, u64 events put before it, u64 shift
//! low           u64 sequence, u64 segment, u64 offset: the reader has all puts before the
//!               sequence; segment and offset are where to look for this put
//! runs          u32 count, then for each u64 first, u64 last: later sequences that the reader has
//! ```
//!
//! In version 1 of the format, bodies end before the identity and the marks, and there are no incarnations.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use super::columns::decode_origins;
use super::fields::{Fields, write_text};
use super::incarnations::Incarnations;
use super::record::{Kind, RecordHeader};
use super::segment::{Location, Uuid};
use crate::batch::{PARTITIONS_MAX, Partition, partitions_to_forget};
use crate::channel::{Demand, Incarnation};

/// A reader's first missing put may be at most this far before the newest put that the reader has taken.
pub(super) const WINDOW_MAX: u64 = 1 << 26;
const READERS_MAX: usize = 1 << 10;
const LOW_BYTES: usize = 24;
const RUN_BYTES: usize = 16;

/// The first put that a reader does not have, and where to look for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LowWatermark {
    pub(super) sequence: u64,
    pub(super) location: Location,
}

/// The puts that a reader has acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReaderImage {
    pub(super) name: String,
    pub(super) demand: Demand,
    pub(super) low: LowWatermark,
    /// Sequences from `low` on.
    pub(super) done: RoaringTreemap,
    /// The highest mark that the sink's ledger is known to have had.
    pub(super) mark: u64,
}

/// The last stored position of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) through: u64,
    /// The sequence of the put that moved it last.
    pub(super) moved: u64,
    /// The run of a source that moved it; zero for a run of an earlier process. Not stored.
    pub(super) run: u64,
}

/// Positions by scope (the source with one of its paths into the channel) and partition.
pub(super) type Positions = BTreeMap<(String, Partition), Position>;

/// A number of events and their charged bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) events: u64,
    pub(super) charged: u64,
}

/// The content of the log up to a record, without the events.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Image {
    /// The pipeline that the channel belongs to.
    pub(super) owner: String,
    /// The sequence of the next put.
    pub(super) next_sequence: u64,
    /// All events put since the channel was created.
    pub(super) put: Totals,
    /// The events that not every required reader has acknowledged.
    pub(super) held: Totals,
    pub(super) readers: Vec<ReaderImage>,
    pub(super) positions: Positions,
    /// The channel's identity for sinks and sources; the UUID of its first log if the image has none.
    pub(super) identity: Option<Uuid>,
    pub(super) incarnations: Incarnations,
}

/// The puts that one reader has acknowledged since the last acknowledgement record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Acknowledged {
    pub(super) reader: usize,
    pub(super) low: LowWatermark,
    pub(super) done: RoaringTreemap,
    pub(super) mark: u64,
}

impl Totals {
    pub(super) fn add(&mut self, other: Totals) {
        self.events = self.events.saturating_add(other.events);
        self.charged = self.charged.saturating_add(other.charged);
    }

    fn checked_sub(self, other: Totals) -> Option<Totals> {
        let events = self.events.checked_sub(other.events)?;
        Some(Totals { events, charged: self.charged.checked_sub(other.charged)? })
    }
}

/// Moves a position forward, never back. Forgets the oldest positions if there are too many, and returns how many.
pub(super) fn move_position(positions: &mut Positions, key: (String, Partition), to: Position) -> usize {
    let before = positions.get(&key).map_or(0, |position| position.through);
    positions.insert(key, Position { through: to.through.max(before), ..to });
    let moved = positions.iter().map(|(key, position)| (position.moved, key.clone()));
    let oldest = partitions_to_forget(positions.len(), moved);
    oldest.iter().for_each(|key| {
        positions.remove(key);
    });
    oldest.len()
}

impl Image {
    /// Applies a record.
    ///
    /// # Errors
    /// When the record contradicts the image, which may then be partly changed.
    pub(super) fn apply(&mut self, header: &RecordHeader, body: &[u8]) -> Result<(), &'static str> {
        if header.kind == Kind::Checkpoint {
            *self = Image::decode(header, body).ok_or("the checkpoint is invalid")?;
            return Ok(());
        }
        let before = Totals { events: header.events_before, charged: header.charged_before };
        if header.sequence != self.next_sequence || before != self.put {
            return Err("the record does not continue the one before it");
        }
        match header.kind {
            Kind::Put => self.apply_put(header, body),
            Kind::Acknowledge => self.apply_acknowledged(body),
            Kind::Incarnation => {
                let incarnation = Fields::new(body).uuid().filter(|bytes| bytes.len() == body.len());
                let incarnation = incarnation.ok_or("the incarnation is invalid")?;
                self.incarnations.begin(Incarnation::from_bytes(incarnation), self.put.events);
                Ok(())
            }
            Kind::Checkpoint | Kind::Seal => Ok(()),
        }
    }

    /// Returns the highest number that was given to an event.
    pub(super) fn highest_number(&self) -> u64 {
        self.incarnations.highest_number(self.put.events)
    }

    fn apply_put(&mut self, header: &RecordHeader, body: &[u8]) -> Result<(), &'static str> {
        let origins = body.get(..header.origins_bytes as usize).and_then(decode_origins);
        let (scope, origins) = origins.ok_or("the origins are invalid")?;
        for interval in origins.intervals() {
            let position = Position { through: interval.through, moved: header.sequence, run: 0 };
            move_position(&mut self.positions, (scope.to_owned(), interval.partition.clone()), position);
        }
        if header.rows > 0 {
            let amount = Totals { events: u64::from(header.rows), charged: header.charged };
            self.next_sequence += 1;
            self.put.add(amount);
            if self.readers.iter().any(|reader| reader.demand == Demand::Required) {
                self.held.add(amount);
            }
        }
        Ok(())
    }

    fn apply_acknowledged(&mut self, body: &[u8]) -> Result<(), &'static str> {
        let mut fields = Fields::new(body);
        let (released, acknowledged) =
            decode_acknowledged(&mut fields, self).ok_or("the acknowledgements are invalid")?;
        self.held = self.held.checked_sub(released).ok_or("more was released than held")?;
        for acknowledged in &acknowledged {
            self.readers[acknowledged.reader].acknowledge(acknowledged);
        }
        Ok(())
    }

    /// Encodes the body of a checkpoint record.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_text(&mut out, &self.owner);
        out.extend_from_slice(&self.held.events.to_le_bytes());
        out.extend_from_slice(&self.held.charged.to_le_bytes());
        out.extend_from_slice(&(self.readers.len() as u32).to_le_bytes());
        for ReaderImage { name, demand, low, done, .. } in &self.readers {
            write_text(&mut out, name);
            out.push(u8::from(*demand == Demand::Required));
            write_low(&mut out, *low);
            write_runs(&mut out, done);
        }
        out.extend_from_slice(&(self.positions.len() as u32).to_le_bytes());
        for ((scope, partition), Position { through, moved, .. }) in &self.positions {
            write_text(&mut out, scope);
            write_text(&mut out, partition.name());
            out.extend_from_slice(&through.to_le_bytes());
            out.extend_from_slice(&moved.to_le_bytes());
        }
        out.extend_from_slice(&self.identity.unwrap_or_default());
        out.push(0);
        self.readers.iter().for_each(|reader| out.extend_from_slice(&reader.mark.to_le_bytes()));
        self.incarnations.encode(&mut out);
        assert_eq!(self.contradiction(), None, "the image violates an invariant");
        out
    }

    /// Decodes the body of a checkpoint record.
    pub(super) fn decode(header: &RecordHeader, body: &[u8]) -> Option<Image> {
        let mut fields = Fields::new(body);
        let owner = fields.text()?.to_owned();
        let held = Totals { events: fields.u64()?, charged: fields.u64()? };
        let put = Totals { events: header.events_before, charged: header.charged_before };
        let next_sequence = header.sequence;
        let mut image = Image { owner, next_sequence, put, held, ..Image::default() };
        let readers = fields.u32()? as usize;
        if readers > READERS_MAX {
            return None;
        }
        for _ in 0..readers {
            let name = fields.text()?.to_owned();
            let demand = if fields.u8()? == 1 { Demand::Required } else { Demand::Optional };
            let low = read_low(&mut fields, next_sequence)?;
            let done = read_runs(&mut fields, low.sequence, next_sequence)?;
            image.readers.push(ReaderImage { name, demand, low, done, mark: 0 });
        }
        let positions = fields.u32()? as usize;
        if positions > PARTITIONS_MAX {
            return None;
        }
        for _ in 0..positions {
            let key = (fields.text()?.to_owned(), Partition::new(fields.text()?));
            let position = Position { through: fields.u64()?, moved: fields.u64()?, run: 0 };
            image.positions.insert(key, position);
        }
        if fields.left() > 0 {
            image.identity = Some(fields.uuid()?);
            // Earlier versions noted here that a repair was made.
            fields.u8()?;
            for reader in &mut image.readers {
                reader.mark = fields.u64()?;
            }
            image.incarnations = Incarnations::decode(&mut fields, put.events)?;
        }
        (fields.left() == 0 && image.contradiction().is_none()).then_some(image)
    }
}

impl ReaderImage {
    pub(super) fn new(name: &str, demand: Demand, low: LowWatermark) -> ReaderImage {
        ReaderImage { name: name.to_owned(), demand, low, done: RoaringTreemap::new(), mark: 0 }
    }

    /// Returns whether the reader has acknowledged a put.
    pub(super) fn has(&self, sequence: u64) -> bool {
        sequence < self.low.sequence || self.done.contains(sequence)
    }

    fn acknowledge(&mut self, acknowledged: &Acknowledged) {
        let Acknowledged { low, done, mark, .. } = acknowledged;
        debug_assert!(self.low.sequence <= low.sequence, "a reader does not go back");
        self.done |= done;
        self.done.remove_range(..low.sequence);
        self.low = *low;
        self.mark = self.mark.max(*mark);
    }
}

/// Encodes the body of an acknowledge record.
pub(super) fn encode_acknowledged(released: Totals, acknowledged: &[&Acknowledged]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&released.events.to_le_bytes());
    out.extend_from_slice(&released.charged.to_le_bytes());
    out.extend_from_slice(&(acknowledged.len() as u32).to_le_bytes());
    for Acknowledged { reader, low, done, .. } in acknowledged {
        out.extend_from_slice(&(*reader as u32).to_le_bytes());
        write_low(&mut out, *low);
        write_runs(&mut out, done);
    }
    acknowledged.iter().for_each(|reader| out.extend_from_slice(&reader.mark.to_le_bytes()));
    out
}

fn decode_acknowledged(fields: &mut Fields<'_>, image: &Image) -> Option<(Totals, Vec<Acknowledged>)> {
    let released = Totals { events: fields.u64()?, charged: fields.u64()? };
    let count = fields.u32()? as usize;
    if count > image.readers.len() {
        return None;
    }
    let mut acknowledged = Vec::with_capacity(count);
    for _ in 0..count {
        let reader = fields.u32()? as usize;
        let before = image.readers.get(reader)?.low.sequence;
        let low = read_low(fields, image.next_sequence)?;
        let done = read_runs(fields, before, image.next_sequence)?;
        if low.sequence < before {
            return None;
        }
        acknowledged.push(Acknowledged { reader, low, done, mark: 0 });
    }
    if fields.left() > 0 {
        for reader in &mut acknowledged {
            reader.mark = fields.u64()?;
        }
    }
    (fields.left() == 0).then_some((released, acknowledged))
}

fn write_low(out: &mut Vec<u8>, low: LowWatermark) {
    for number in [low.sequence, low.location.segment, low.location.offset] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn read_low(fields: &mut Fields<'_>, next_sequence: u64) -> Option<LowWatermark> {
    let mut fields = Fields::new(fields.bytes(LOW_BYTES)?);
    let sequence = fields.u64()?;
    let location = Location { segment: fields.u64()?, offset: fields.u64()? };
    (sequence <= next_sequence).then_some(LowWatermark { sequence, location })
}

fn write_runs(out: &mut Vec<u8>, done: &RoaringTreemap) {
    let count_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut count = 0_u32;
    let mut sequences = done.iter().peekable();
    while let Some(first) = sequences.next() {
        let mut last = first;
        while sequences.next_if_eq(&(last + 1)).is_some() {
            last += 1;
        }
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&last.to_le_bytes());
        count += 1;
    }
    out[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
}

/// Reads runs in ascending order, of sequences in `from..below`.
fn read_runs(fields: &mut Fields<'_>, from: u64, below: u64) -> Option<RoaringTreemap> {
    let count = fields.u32()? as usize;
    let mut runs = Fields::new(fields.bytes(count.checked_mul(RUN_BYTES)?)?);
    let mut done = RoaringTreemap::new();
    let mut free_from = from;
    for _ in 0..count {
        let (first, last) = (runs.u64()?, runs.u64()?);
        if first < free_from || last < first || last >= below || last - from > WINDOW_MAX {
            return None;
        }
        done.insert_range(first..=last);
        free_from = last + 1;
    }
    Some(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: Kind, image: &Image) -> RecordHeader {
        RecordHeader {
            kind,
            first_of_group: true,
            last_of_group: true,
            origins_bytes: 0,
            body_bytes: 0,
            rows: 0,
            sequence: image.next_sequence,
            events_before: image.put.events,
            charged_before: image.put.charged,
            charged: 0,
            previous: 0,
            body_checksum: 0,
        }
    }

    fn example() -> Image {
        let amount = Totals { events: 1_000, charged: 50_000 };
        let location = Location { segment: 3, offset: 4096 };
        let mut reader = ReaderImage::new("store", Demand::Required, LowWatermark { sequence: 90, location });
        reader.done.extend([92, 93, 95]);
        reader.mark = 12;
        let optional = ReaderImage::new("watch", Demand::Optional, LowWatermark::default());
        let mut incarnations = Incarnations::default();
        incarnations.begin(Incarnation::from_bytes([1; 16]), 0);
        incarnations.begin(Incarnation::from_bytes([2; 16]), 700);
        let position = |through| Position { through, moved: 40, run: 0 };
        Image {
            owner: "clicks/buffer".to_owned(),
            next_sequence: 100,
            put: amount,
            held: Totals { events: 10, charged: 500 },
            readers: vec![reader, optional],
            positions: BTreeMap::from([
                (("in".to_owned(), Partition::new("t/0")), position(7)),
                (("in#2".to_owned(), Partition::new("t/0")), position(9)),
            ]),
            identity: Some([5; 16]),
            incarnations,
        }
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        let image = example();
        let body = image.encode();
        assert_eq!(Image::decode(&header(Kind::Checkpoint, &image), &body), Some(image.clone()));
        let mut incarnations = Vec::new();
        image.incarnations.encode(&mut incarnations);
        let version_1 = body.len() - incarnations.len() - 16 - 1 - 2 * 8;
        for length in (0..body.len()).filter(|length| *length != version_1) {
            assert_eq!(Image::decode(&header(Kind::Checkpoint, &image), &body[..length]), None);
        }
        let old = Image::decode(&header(Kind::Checkpoint, &image), &body[..version_1]).unwrap();
        assert_eq!((old.identity, old.incarnations, old.readers[0].mark), (None, Incarnations::default(), 0));
    }

    #[test]
    fn an_incarnation_begins_with_the_next_event() {
        let mut image = example();
        image.apply(&header(Kind::Incarnation, &example()), &[3; 16]).unwrap();
        assert_eq!(image.incarnations.last(), Some(Incarnation::from_bytes([3; 16])));
        assert_eq!(image.incarnations.iter().last().map(|start| start.begins), Some(1_000));
        example().apply(&header(Kind::Incarnation, &example()), &[3; 15]).unwrap_err();
        example().apply(&header(Kind::Incarnation, &example()), &[3; 17]).unwrap_err();
    }

    #[test]
    fn acknowledgements_move_the_low_and_fill_the_set() {
        let mut image = example();
        let location = Location { segment: 3, offset: 8192 };
        let done = RoaringTreemap::from_iter([90, 91, 97]);
        let low = LowWatermark { sequence: 94, location };
        let released = Totals { events: 3, charged: 30 };
        let body = encode_acknowledged(released, &[&Acknowledged { reader: 0, low, done, mark: 15 }]);
        // Version 1 has no marks.
        let mut old = example();
        old.apply(&header(Kind::Acknowledge, &example()), &body[..body.len() - 8]).unwrap();
        image.apply(&header(Kind::Acknowledge, &example()), &body).unwrap();
        assert_eq!((old.readers[0].mark, image.readers[0].mark), (12, 15));
        assert_eq!(image.held, Totals { events: 7, charged: 470 });
        let reader = &image.readers[0];
        assert_eq!(reader.done, RoaringTreemap::from_iter([95, 97]));
        assert!(reader.has(93) && reader.has(95) && !reader.has(94) && !reader.has(96));
    }

    #[test]
    fn hostile_acknowledgements_are_refused() {
        let low = |sequence| LowWatermark { sequence, location: Location::default() };
        let acknowledged = |reader, sequence, done: &[u64]| Acknowledged {
            reader,
            low: low(sequence),
            done: done.iter().copied().collect(),
            mark: 0,
        };
        let none = Totals::default();
        for (released, wrong) in [
            (none, acknowledged(7, 94, &[])),
            (none, acknowledged(0, 80, &[])),
            (none, acknowledged(0, 101, &[])),
            (none, acknowledged(0, 94, &[100])),
            (Totals { events: 11, charged: 0 }, acknowledged(0, 94, &[])),
        ] {
            let body = encode_acknowledged(released, &[&wrong]);
            example().apply(&header(Kind::Acknowledge, &example()), &body).unwrap_err();
        }
    }

    #[test]
    fn the_positions_idle_the_longest_are_forgotten_when_there_are_too_many() {
        let key = |name: usize| (String::new(), Partition::new(name.to_string()));
        let position = |moved| Position { through: 1, moved, run: 0 };
        // Several partitions move with each put.
        let all = (0..PARTITIONS_MAX).map(|name| (key(name), position(name as u64 / 1_000)));
        let mut positions: Positions = all.collect();
        let moved = PARTITIONS_MAX as u64;
        let forgotten = move_position(&mut positions, key(PARTITIONS_MAX), position(moved));
        assert_eq!(forgotten, PARTITIONS_MAX / 8 + 1);
        assert_eq!(positions.len(), PARTITIONS_MAX - PARTITIONS_MAX / 8);
        assert!(positions.values().all(|position| position.moved >= PARTITIONS_MAX as u64 / 8 / 1_000));
        assert!(positions.contains_key(&key(PARTITIONS_MAX)));
    }
}
