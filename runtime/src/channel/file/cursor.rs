//! What one reader has before it and in its hands.

use std::collections::{BTreeMap, VecDeque};

use roaring::RoaringTreemap;

use super::image::{Acknowledged, Low, ReaderImage, WINDOW_MAX};
use super::reading::Item;
use super::segment::Place;
use crate::channel::{Demand, Fill};

/// A reader's place in the log.
pub(super) struct Cursor {
    pub(super) name: String,
    pub(super) demand: Demand,
    /// The next put that was never leased, and where to look for it.
    pub(super) next: Low,
    /// Events put before that.
    pub(super) events_before: u64,
    /// Read back from disk, beginning with `next`.
    pub(super) ahead: VecDeque<Item>,
    leased: BTreeMap<u64, Held>,
    /// Rolled back, to be leased again before anything else.
    returned: BTreeMap<u64, Held>,
    /// Acknowledged in an earlier life, beyond `next`.
    done_before: RoaringTreemap,
    /// Acknowledged and not written down yet.
    fresh: RoaringTreemap,
    /// The low that was written down last.
    written_low: u64,
    /// At least so many events lie before that.
    settled: u64,
    /// How far the memory of the sink behind it is, as it was told and as it was written down.
    pub(super) mark: u64,
    written_mark: u64,
    /// What is leased.
    pub(super) held: Fill,
    /// Events that went before an optional reader had them, not reported yet.
    pub(super) skipped: usize,
}

/// A put that is leased or was rolled back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) fill: Fill,
    pub(super) place: Place,
    events_before: u64,
}

/// What a reader has acknowledged and the log does not say yet.
pub(super) struct Unsettled {
    pub(super) acknowledged: Acknowledged,
    /// Events put before the first put that the reader does not have.
    events_before: u64,
}

impl Cursor {
    pub(super) fn new(name: &str, demand: Demand) -> Cursor {
        Cursor {
            name: name.to_owned(),
            demand,
            next: Low::default(),
            events_before: 0,
            ahead: VecDeque::new(),
            leased: BTreeMap::new(),
            returned: BTreeMap::new(),
            done_before: RoaringTreemap::new(),
            fresh: RoaringTreemap::new(),
            written_low: 0,
            settled: 0,
            mark: 0,
            written_mark: 0,
            held: Fill::default(),
            skipped: 0,
        }
    }

    /// Begins where the log says that the reader is.
    pub(super) fn begin(&mut self, image: &ReaderImage, look_from: Place, events_before: u64) {
        self.next = Low { sequence: image.low.sequence, place: look_from };
        self.written_low = image.low.sequence;
        self.events_before = events_before;
        self.settled = events_before;
        self.done_before = image.done.clone();
        self.mark = image.mark;
        self.written_mark = image.mark;
    }

    pub(super) fn is_required(&self) -> bool {
        self.demand == Demand::Required
    }

    /// Whether the reader has acknowledged this put.
    pub(super) fn has(&self, sequence: u64) -> bool {
        let passed = sequence < self.next.sequence
            && !self.leased.contains_key(&sequence)
            && !self.returned.contains_key(&sequence);
        passed || self.done_before.contains(sequence)
    }

    /// The first put that it does not have.
    pub(super) fn low(&self) -> Low {
        let firsts = [self.leased.first_key_value(), self.returned.first_key_value()];
        let firsts = firsts.into_iter().flatten();
        let firsts = firsts.map(|(sequence, held)| Low { sequence: *sequence, place: held.place });
        firsts.chain([self.next]).min_by_key(|low| low.sequence).unwrap_or(self.next)
    }

    /// Events put before the first put that it does not have.
    fn events_before_low(&self) -> u64 {
        let firsts = [self.leased.first_key_value(), self.returned.first_key_value()];
        let first = firsts.into_iter().flatten().min_by_key(|(sequence, _)| **sequence);
        first.map_or(self.events_before, |(_, held)| held.events_before)
    }

    /// So many events from the channel's first one are acknowledged, and the log says so: none of
    /// them is ever given out again.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    /// The first put that was rolled back.
    pub(super) fn first_returned(&self) -> Option<(u64, Held)> {
        self.returned.first_key_value().map(|(sequence, held)| (*sequence, *held))
    }

    pub(super) fn has_leases(&self) -> bool {
        !self.leased.is_empty()
    }

    /// Whether the reader may go further ahead of what it has not acknowledged.
    pub(super) fn may_go_on(&self) -> bool {
        self.next.sequence - self.low().sequence < WINDOW_MAX
    }

    /// Passes over what it has had in an earlier life.
    pub(super) fn skip_what_was_done(&mut self, item: &Item) -> bool {
        let done = self.done_before.remove(item.sequence);
        if done {
            self.pass(item);
        }
        done
    }

    fn pass(&mut self, item: &Item) {
        self.next = Low { sequence: item.sequence + 1, place: item.next };
        self.events_before = item.events_before + item.fill.events as u64;
    }

    /// Visible → Leased.
    pub(super) fn lease(&mut self, item: &Item) {
        if item.sequence == self.next.sequence {
            self.pass(item);
        } else {
            self.returned.remove(&item.sequence);
        }
        self.leased.insert(
            item.sequence,
            Held { fill: item.fill, place: item.place, events_before: item.events_before },
        );
        self.held.add(item.fill);
    }

    fn return_lease(&mut self, sequence: u64) -> Held {
        let held = self.leased.remove(&sequence).expect("a lease is settled once");
        self.held.subtract(held.fill);
        held
    }

    /// Leased → Acknowledged. Says what the lease held.
    pub(super) fn acknowledge(&mut self, sequence: u64) -> Fill {
        let held = self.return_lease(sequence);
        self.fresh.insert(sequence);
        held.fill
    }

    /// Leased → Visible, at its old place in the order; it is missed if the log no longer has it.
    pub(super) fn roll_back(&mut self, sequence: u64, oldest: u64) {
        let held = self.return_lease(sequence);
        if sequence < oldest {
            self.skipped += held.fill.events;
        } else {
            self.returned.insert(sequence, held);
        }
    }

    /// The log begins here now: an optional reader that is not so far misses what is gone.
    pub(super) fn truncate(&mut self, oldest: Low, events_before: u64) {
        let kept = self.returned.split_off(&oldest.sequence);
        let gone = std::mem::replace(&mut self.returned, kept);
        self.skipped += gone.values().map(|held| held.fill.events).sum::<usize>();
        if self.next.sequence < oldest.sequence {
            self.skipped += events_before.saturating_sub(self.events_before) as usize;
            self.next = oldest;
            self.events_before = events_before;
            self.ahead.clear();
            self.done_before.remove_range(..oldest.sequence);
        }
    }

    /// What is to be written down, if anything is.
    pub(super) fn unwritten(&self, reader: usize) -> Option<Unsettled> {
        let low = self.low();
        let moved = !self.fresh.is_empty() || low.sequence != self.written_low;
        let changed = moved || self.mark != self.written_mark;
        let acknowledged =
            changed.then(|| Acknowledged { reader, low, done: self.fresh.clone(), mark: self.mark });
        acknowledged.map(|acknowledged| Unsettled { acknowledged, events_before: self.events_before_low() })
    }

    pub(super) fn has_unwritten(&self) -> bool {
        !self.fresh.is_empty()
    }

    pub(super) fn written(&mut self, Unsettled { acknowledged, events_before }: &Unsettled) {
        self.fresh -= &acknowledged.done;
        self.written_low = acknowledged.low.sequence;
        self.written_mark = acknowledged.mark;
        self.settled = *events_before;
    }
}

/// The name that the last required reader keeps in the list when it is forgotten: events that wait for it are held, and
/// the next reader begins there.
pub(super) const FORGOTTEN: &str = "";

/// Where a new reader begins: it needs what one of the required readers before it has not had. None if there were none.
pub(super) fn beginning(before: &[ReaderImage]) -> Option<(Low, RoaringTreemap)> {
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
