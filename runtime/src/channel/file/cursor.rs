//! The cursor of a reader: the puts that it has still to take, and its leases.

use std::collections::{BTreeMap, VecDeque};

use roaring::RoaringTreemap;

use super::image::{Acknowledged, LowWatermark, ReaderImage, Totals, WINDOW_MAX};
use super::reading::StoredPut;
use super::segment::Location;
use crate::channel::{Demand, Fill};

/// A reader's position in the log.
pub(super) struct Cursor {
    pub(super) name: String,
    pub(super) demand: Demand,
    /// The next put that was never leased, and where to look for it.
    pub(super) next: LowWatermark,
    /// The number of events put before `next`.
    pub(super) events_before: u64,
    /// Puts read from disk in advance, beginning with `next`.
    pub(super) ahead: VecDeque<StoredPut>,
    leased: BTreeMap<u64, LeasedPut>,
    /// Rolled back; leased again before any other put.
    returned: BTreeMap<u64, LeasedPut>,
    /// Acknowledged before the last start, at or after `next`.
    acknowledged_before: RoaringTreemap,
    /// Acknowledged and not yet written to the log.
    unwritten_done: RoaringTreemap,
    /// The sequence of `low` as it was written last.
    written_low: u64,
    /// The number of events before `written_low`, or fewer.
    settled: u64,
    /// The mark of the sink's ledger, as the sink reported it and as it was written.
    pub(super) mark: u64,
    written_mark: u64,
    /// The size of all leases.
    pub(super) held: Fill,
    /// Events that were deleted before an optional reader took them, and that were not reported yet.
    pub(super) skipped: usize,
}

/// A put that is leased or was rolled back.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeasedPut {
    pub(super) fill: Fill,
    pub(super) location: Location,
    events_before: u64,
}

/// Acknowledgements of one reader that are not in the log yet.
pub(super) struct PendingAcknowledgement {
    pub(super) acknowledged: Acknowledged,
    /// The number of events put before the first put that the reader does not have.
    events_before: u64,
}

/// Acknowledgements to be written to the log.
pub(super) struct Unwritten {
    pub(super) released: Totals,
    pub(super) readers: Vec<PendingAcknowledgement>,
}

impl Unwritten {
    pub(super) fn acknowledged(&self) -> Vec<&Acknowledged> {
        self.readers.iter().map(|reader| &reader.acknowledged).collect()
    }
}

impl Cursor {
    pub(super) fn new(name: &str, demand: Demand) -> Cursor {
        Cursor {
            name: name.to_owned(),
            demand,
            next: LowWatermark::default(),
            events_before: 0,
            ahead: VecDeque::new(),
            leased: BTreeMap::new(),
            returned: BTreeMap::new(),
            acknowledged_before: RoaringTreemap::new(),
            unwritten_done: RoaringTreemap::new(),
            written_low: 0,
            settled: 0,
            mark: 0,
            written_mark: 0,
            held: Fill::default(),
            skipped: 0,
        }
    }

    /// Continues at the reader's position in the log.
    pub(super) fn begin(&mut self, image: &ReaderImage, search_start: Location, events_before: u64) {
        self.next = LowWatermark { sequence: image.low.sequence, location: search_start };
        self.written_low = image.low.sequence;
        self.events_before = events_before;
        self.settled = events_before;
        self.acknowledged_before = image.done.clone();
        self.mark = image.mark;
        self.written_mark = image.mark;
    }

    pub(super) fn is_required(&self) -> bool {
        self.demand == Demand::Required
    }

    /// Returns whether the reader has acknowledged a put.
    pub(super) fn has(&self, sequence: u64) -> bool {
        let passed = sequence < self.next.sequence
            && !self.leased.contains_key(&sequence)
            && !self.returned.contains_key(&sequence);
        passed || self.acknowledged_before.contains(sequence)
    }

    /// Returns the first put that the reader does not have.
    pub(super) fn low(&self) -> LowWatermark {
        let firsts = [self.leased.first_key_value(), self.returned.first_key_value()];
        let firsts = firsts.into_iter().flatten();
        let firsts =
            firsts.map(|(sequence, held)| LowWatermark { sequence: *sequence, location: held.location });
        firsts.chain([self.next]).min_by_key(|low| low.sequence).unwrap_or(self.next)
    }

    /// Returns the number of events put before the first put that the reader does not have.
    fn events_before_low(&self) -> u64 {
        let firsts = [self.leased.first_key_value(), self.returned.first_key_value()];
        let first = firsts.into_iter().flatten().min_by_key(|(sequence, _)| **sequence);
        first.map_or(self.events_before, |(_, held)| held.events_before)
    }

    /// Returns how many events, counted from the channel's first, are acknowledged in the log. None of them is ever
    /// delivered again.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    /// Returns the first put that was rolled back.
    pub(super) fn first_returned(&self) -> Option<(u64, LeasedPut)> {
        self.returned.first_key_value().map(|(sequence, held)| (*sequence, *held))
    }

    pub(super) fn has_leases(&self) -> bool {
        !self.leased.is_empty()
    }

    /// Returns whether the reader may take more puts before it acknowledges its oldest lease.
    pub(super) fn may_take_more(&self) -> bool {
        self.next.sequence - self.low().sequence < WINDOW_MAX
    }

    /// Skips a put that the reader had acknowledged before the last start. Returns whether it was one.
    pub(super) fn skip_if_acknowledged(&mut self, item: &StoredPut) -> bool {
        let done = self.acknowledged_before.remove(item.sequence);
        if done {
            self.pass(item);
        }
        done
    }

    fn pass(&mut self, item: &StoredPut) {
        self.next = LowWatermark { sequence: item.sequence + 1, location: item.next };
        self.events_before = item.events_before + item.fill.events as u64;
    }

    /// Visible → Leased.
    pub(super) fn lease(&mut self, item: &StoredPut) {
        if item.sequence == self.next.sequence {
            self.pass(item);
        } else {
            self.returned.remove(&item.sequence);
        }
        self.leased.insert(
            item.sequence,
            LeasedPut { fill: item.fill, location: item.location, events_before: item.events_before },
        );
        self.held.add(item.fill);
    }

    fn return_lease(&mut self, sequence: u64) -> LeasedPut {
        let held = self.leased.remove(&sequence).expect("a lease is settled once");
        self.held.subtract(held.fill);
        held
    }

    /// Leased → Acknowledged. Returns the size of the lease.
    pub(super) fn acknowledge(&mut self, sequence: u64) -> Fill {
        let held = self.return_lease(sequence);
        self.unwritten_done.insert(sequence);
        held.fill
    }

    /// Leased → Visible, at its old position in the order. Counts as skipped if the log no longer has it.
    pub(super) fn roll_back(&mut self, sequence: u64, oldest: u64) {
        let held = self.return_lease(sequence);
        if sequence < oldest {
            self.skipped += held.fill.events;
        } else {
            self.returned.insert(sequence, held);
        }
    }

    /// Sets a new beginning of the log. An optional reader that has not reached it skips the deleted events.
    pub(super) fn truncate(&mut self, oldest: LowWatermark, events_before: u64) {
        let kept = self.returned.split_off(&oldest.sequence);
        let gone = std::mem::replace(&mut self.returned, kept);
        self.skipped += gone.values().map(|held| held.fill.events).sum::<usize>();
        if self.next.sequence < oldest.sequence {
            self.skipped += events_before.saturating_sub(self.events_before) as usize;
            self.next = oldest;
            self.events_before = events_before;
            self.ahead.clear();
            self.acknowledged_before.remove_range(..oldest.sequence);
        }
    }

    /// Returns the acknowledgements to be written, if there are any.
    pub(super) fn unwritten(&self, reader: usize) -> Option<PendingAcknowledgement> {
        let low = self.low();
        let moved = !self.unwritten_done.is_empty() || low.sequence != self.written_low;
        let changed = moved || self.mark != self.written_mark;
        let acknowledged =
            changed.then(|| Acknowledged { reader, low, done: self.unwritten_done.clone(), mark: self.mark });
        acknowledged.map(|acknowledged| PendingAcknowledgement {
            acknowledged,
            events_before: self.events_before_low(),
        })
    }

    pub(super) fn has_unwritten(&self) -> bool {
        !self.unwritten_done.is_empty()
    }

    pub(super) fn written(
        &mut self,
        PendingAcknowledgement { acknowledged, events_before }: &PendingAcknowledgement,
    ) {
        self.unwritten_done -= &acknowledged.done;
        self.written_low = acknowledged.low.sequence;
        self.written_mark = acknowledged.mark;
        self.settled = *events_before;
    }
}

/// The name that replaces the last required reader's when that reader is forgotten. Its entry keeps its events in the
/// channel, and the next reader begins there.
pub(super) const FORGOTTEN_READER: &str = "";

/// Returns where a new reader begins: with the first put that one of the required readers before it lacks. `None` if
/// there were no required readers.
pub(super) fn beginning(before: &[ReaderImage]) -> Option<(LowWatermark, RoaringTreemap)> {
    let required = before.iter().filter(|reader| reader.demand == Demand::Required);
    let all: Vec<&ReaderImage> = required.collect();
    let low = all.iter().map(|reader| reader.low).min_by_key(|low| low.sequence)?;
    let had = |reader: &ReaderImage| {
        let mut had = reader.done.clone();
        had.insert_range(low.sequence..reader.low.sequence);
        had
    };
    let all_had = all.iter().map(|reader| had(reader)).reduce(|all, one| all & one)?;
    Some((low, all_had))
}
