//! The incarnations of a channel, with the numbers that the channel has given to events in each.
//!
//! The number of an event is the count of events put before it, plus one, plus the shift of its incarnation. A
//! shift is zero until a repair: a log that a repair has written again has fewer events than were put, and
//! continues after the highest number that a reader may have seen.

use super::fields::Fields;
use crate::channel::Incarnation;

/// The most incarnations that are remembered. The oldest ones are forgotten.
const LIVES_MAX: usize = 256;
/// The most shifts that can be read; a repair makes one for each gap.
pub(super) const SHIFTS_MAX: usize = 4096;
const LIFE_BYTES: usize = 32;

/// Returns sixteen random bytes.
pub(super) fn drawn() -> [u8; 16] {
    let mut bytes = [0; 16];
    // If the system has no random bytes, the time tells runs apart.
    if getrandom::fill(&mut bytes).is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        bytes = now.map_or(0, |since| since.as_nanos()).to_le_bytes();
    }
    bytes
}

/// An incarnation, with the events that have their numbers from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) incarnation: Incarnation,
    /// The number of events put before its first event.
    pub(super) begins: u64,
    /// The difference between an event's number and the count of events put up to it.
    pub(super) shift: u64,
}

impl Life {
    /// Returns the highest number that was given before this incarnation.
    pub(super) fn number_before(&self) -> u64 {
        self.begins.saturating_add(self.shift)
    }
}

/// The incarnations of a channel, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lives {
    lives: Vec<Life>,
    /// The highest number given in a forgotten incarnation, if there is one.
    forgotten: Option<u64>,
}

/// The events that a reader or source has seen and that the channel lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lacks {
    /// The events with the numbers above `after`, up to `through`.
    Events { after: u64, through: u64 },
    /// The incarnation in which the event `through` got its number.
    Life { through: u64 },
}

impl Lives {
    pub(super) fn last(&self) -> Option<Incarnation> {
        self.lives.last().map(|life| life.incarnation)
    }

    /// Returns the number of remembered incarnations and shifts.
    pub(super) fn len(&self) -> usize {
        self.lives.len()
    }

    /// Returns the incarnations, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Life> {
        self.lives.iter()
    }

    /// Returns whether the channel has had this incarnation; `None` if it may be a forgotten one.
    pub(super) fn know(&self, incarnation: Incarnation) -> Option<bool> {
        let found = self.lives.iter().any(|life| life.incarnation == incarnation);
        (found || self.forgotten.is_none()).then_some(found)
    }

    /// Returns the shift of the next event when `events_before` events were put.
    pub(super) fn shift(&self, events_before: u64) -> u64 {
        let behind = self.lives.partition_point(|life| life.begins <= events_before);
        behind.checked_sub(1).map_or(0, |index| self.lives[index].shift)
    }

    /// Returns the highest number given when `events` events were put.
    pub(super) fn highest(&self, events: u64) -> u64 {
        events.saturating_add(self.shift(events))
    }

    /// Begins another incarnation with the next event.
    pub(super) fn begin(&mut self, incarnation: Incarnation, events_before: u64) {
        let shift = self.shift(events_before);
        self.push(Life { incarnation, begins: events_before, shift });
    }

    /// Adds an incarnation after the others. If there are too many, forgets the oldest one that has the same shift as
    /// the next: the numbers of its events still follow from the next one's shift.
    pub(super) fn push(&mut self, life: Life) {
        let (begins, shift) = self.lives.last().map_or((0, 0), |last| (last.begins, last.shift));
        self.lives.push(Life { begins: life.begins.max(begins), shift: life.shift.max(shift), ..life });
        while self.lives.len() > LIVES_MAX {
            let same = self.lives.windows(2).position(|pair| pair[0].shift == pair[1].shift);
            let Some(index) = same else { return };
            let gone = self.lives.remove(index);
            let next = &mut self.lives[index];
            self.forgotten = self.forgotten.max(Some(next.number_before()));
            next.begins = gone.begins;
        }
    }

    /// Returns what a channel of `events` events lacks for someone who has seen events through this number.
    pub(super) fn lacks(&self, events: u64, through: u64, incarnation: Option<Incarnation>) -> Option<Lacks> {
        #[cfg(weir_bug)]
        if put_back!("numbers_given_twice") {
            return None;
        }
        let highest = self.highest(events);
        if through > highest {
            return Some(Lacks::Events { after: highest, through });
        }
        let incarnation = incarnation?;
        let Some(index) = self.lives.iter().rposition(|life| life.incarnation == incarnation) else {
            let long_ago = self.forgotten.is_some_and(|forgotten| through <= forgotten);
            return (!long_ago).then_some(Lacks::Life { through });
        };
        // A sink records its present incarnation for all events, also for those of earlier incarnations.
        let after = self.lives.get(index + 1)?.number_before();
        (through > after).then_some(Lacks::Events { after, through })
    }

    /// Changes the shifts so that nothing is missing any more: later events get higher numbers.
    pub(super) fn give_up(&mut self, events: u64, through: u64, incarnation: Option<Incarnation>) {
        let known = incarnation
            .and_then(|incarnation| self.lives.iter().rposition(|life| life.incarnation == incarnation));
        if let (Some(incarnation), None) = (incarnation, known) {
            self.begin(incarnation, events);
        }
        if let Some(later) = known.and_then(|index| self.lives.get(index + 1)).copied() {
            let more = through.saturating_sub(later.number_before());
            let later = known.map_or(0, |index| index + 1);
            self.lives[later..].iter_mut().for_each(|life| life.shift = life.shift.saturating_add(more));
        }
    }

    /// Begins another incarnation, whose numbers are all above `through`.
    pub(super) fn begin_beyond(&mut self, incarnation: Incarnation, events: u64, through: u64) {
        let shift = self.shift(events).max(through.saturating_sub(events));
        self.push(Life { incarnation, begins: events, shift });
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.forgotten.is_some()));
        out.extend_from_slice(&self.forgotten.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&(self.lives.len() as u32).to_le_bytes());
        for Life { incarnation, begins, shift } in &self.lives {
            out.extend_from_slice(&incarnation.bytes());
            out.extend_from_slice(&begins.to_le_bytes());
            out.extend_from_slice(&shift.to_le_bytes());
        }
    }

    /// Reads incarnations. They have to be in order, and none may begin after `events` events.
    pub(super) fn decode(fields: &mut Fields<'_>, events: u64) -> Option<Lives> {
        let forgotten = match (fields.u8()?, fields.u64()?) {
            (0, _) => None,
            (1, highest) => Some(highest),
            _ => return None,
        };
        let count = fields.u32()? as usize;
        if count > LIVES_MAX + SHIFTS_MAX {
            return None;
        }
        let mut stored = Fields::new(fields.bytes(count * LIFE_BYTES)?);
        let mut lives: Vec<Life> = Vec::with_capacity(count);
        for _ in 0..count {
            let incarnation = Incarnation::from_bytes(stored.uuid()?);
            let life = Life { incarnation, begins: stored.u64()?, shift: stored.u64()? };
            let goes_on =
                lives.last().is_none_or(|last| last.begins <= life.begins && last.shift <= life.shift);
            if !goes_on || life.begins > events || life.begins.checked_add(life.shift).is_none() {
                return None;
            }
            lives.push(life);
        }
        Some(Lives { lives, forgotten })
    }
}

/// Keeps the numbers of events when a repair writes them into a new log, with gaps between them.
pub(super) struct Numbering<'a> {
    old: &'a Lives,
    /// The number of old incarnations that the new log has.
    taken: usize,
    new: Lives,
    /// The last incarnation of the new log, and the number after which it continues.
    incarnation: Incarnation,
    through: u64,
}

impl<'a> Numbering<'a> {
    pub(super) fn new(old: &'a Lives, incarnation: Incarnation, through: u64) -> Numbering<'a> {
        let new = Lives { lives: Vec::new(), forgotten: old.forgotten };
        Numbering { old, taken: 0, new, incarnation, through }
    }

    /// Keeps the number of an event that `old_before` events precede in the old log and `new_before` in the new one.
    pub(super) fn keep(&mut self, old_before: u64, new_before: u64) {
        let before = self.old.highest(old_before);
        self.take(before, new_before);
        let shift = before.saturating_sub(new_before);
        if self.new.shift(new_before) >= shift {
            return;
        }
        // Too many gaps: the events after this gap get new numbers that no reader has seen.
        let too_many = self.new.len() >= SHIFTS_MAX;
        let shift = if too_many { self.through.saturating_sub(new_before).max(shift) } else { shift };
        let incarnation = self.new.last().unwrap_or(self.incarnation);
        self.new.push(Life { incarnation, begins: new_before, shift });
    }

    /// Copies the old incarnations whose numbers begin at or before `before`.
    fn take(&mut self, before: u64, new_before: u64) {
        for life in self.old.lives.iter().skip(self.taken) {
            if life.number_before() > before {
                break;
            }
            let shift = life.number_before().saturating_sub(new_before);
            self.new.push(Life { begins: new_before, shift, ..*life });
            self.taken += 1;
        }
    }

    /// Returns the incarnations of the new log, which has `events` events.
    pub(super) fn end(mut self, events: u64) -> Lives {
        self.take(u64::MAX, events);
        self.new.begin_beyond(self.incarnation, events, self.through);
        self.new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> Incarnation {
        Incarnation::from_bytes([byte; 16])
    }

    /// Three incarnations, which begin with the events 1, 101 and 301.
    fn three() -> Lives {
        let mut lives = Lives::default();
        [(1, 0), (2, 100), (3, 300)].into_iter().for_each(|(byte, before)| lives.begin(id(byte), before));
        lives
    }

    #[test]
    fn who_has_had_no_more_than_was_given_lacks_nothing() {
        let lives = three();
        for (through, incarnation) in
            [(400, Some(3)), (50, Some(3)), (300, Some(2)), (100, Some(1)), (0, Some(1)), (400, None)]
        {
            assert_eq!(lives.lacks(400, through, incarnation.map(id)), None, "{through} {incarnation:?}");
        }
    }

    #[test]
    fn what_a_channel_does_not_have_any_more_is_lacking() {
        let lives = three();
        let events = |after, through| Some(Lacks::Events { after, through });
        assert_eq!(lives.lacks(400, 401, Some(id(3))), events(400, 401));
        assert_eq!(lives.lacks(400, 500, None), events(400, 500));
        // The channel continued from an earlier state.
        assert_eq!(lives.lacks(400, 350, Some(id(2))), events(300, 350));
        assert_eq!(lives.lacks(400, 10, Some(id(9))), Some(Lacks::Life { through: 10 }));
        assert_eq!(Lives::default().lacks(400, 10, Some(id(9))), Some(Lacks::Life { through: 10 }));
        assert_eq!(Lives::default().lacks(400, 10, None), None);
    }

    #[test]
    fn what_is_given_up_is_lacking_no_more_and_no_number_is_given_again() {
        for (through, incarnation) in
            [(500, Some(3)), (500, None), (350, Some(2)), (700, Some(1)), (500, Some(9))]
        {
            let incarnation = incarnation.map(id);
            let mut lives = three();
            assert!(lives.lacks(400, through, incarnation).is_some());
            let before = lives.clone();
            lives.give_up(400, through, incarnation);
            lives.begin_beyond(id(10), 400, through);
            assert_eq!(lives.lacks(400, through, incarnation), None, "{through} {incarnation:?}");
            assert!(lives.highest(400) >= through.max(before.highest(400)));
            for events_before in 0..400 {
                assert!(lives.shift(events_before) <= lives.shift(events_before + 1));
            }
            assert_eq!(lives.last(), Some(id(10)));
        }
    }

    #[test]
    fn what_is_written_anew_keeps_its_numbers() {
        let old = three();
        let mut numbering = Numbering::new(&old, id(9), 400);
        // Of 400 events, the events 51 to 120 and 310 to 350 are left, in puts of ten.
        let kept = (50..120).step_by(10).chain((309..350).step_by(10));
        let kept: Vec<(u64, u64)> = kept.enumerate().map(|(put, old)| (old, put as u64 * 10)).collect();
        kept.iter().for_each(|(old, new)| numbering.keep(*old, *new));
        let lives = numbering.end(120);
        for (old, new) in kept {
            assert_eq!(lives.highest(new), old);
        }
        assert_eq!((lives.highest(120), lives.last()), (400, Some(id(9))));
        for known in [1, 2, 3, 9] {
            assert_eq!(lives.know(id(known)), Some(true));
        }
        assert_eq!(lives.lacks(120, 300, Some(id(2))), None);
        assert!(lives.lacks(120, 301, Some(id(2))).is_some());
    }

    #[test]
    fn they_are_read_as_they_were_written_and_nonsense_is_refused() {
        let mut lives = three();
        lives.begin_beyond(id(4), 400, 1_000);
        let mut bytes = Vec::new();
        lives.encode(&mut bytes);
        assert_eq!(Lives::decode(&mut Fields::new(&bytes), 400), Some(lives));
        assert_eq!(Lives::decode(&mut Fields::new(&bytes), 399), None, "one begins later");
        for length in 0..bytes.len() {
            assert_eq!(Lives::decode(&mut Fields::new(&bytes[..length]), 400), None);
        }
    }

    #[test]
    fn of_too_many_the_oldest_are_forgotten_and_who_knows_those_is_believed() {
        let mut lives = Lives::default();
        for run in 0..1_000_u64 {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&run.to_le_bytes());
            lives.begin(Incarnation::from_bytes(bytes), run * 10);
        }
        assert_eq!(lives.len(), LIVES_MAX);
        assert_eq!(lives.know(id(9)), None);
        assert_eq!(lives.lacks(10_000, 100, Some(id(9))), None);
        assert!(lives.lacks(10_000, 9_999, Some(id(9))).is_some());
    }
}
