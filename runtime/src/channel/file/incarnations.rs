//! The incarnations of a channel, with the numbers that the channel has given to events in each.
//!
//! The number of an event is the count of events put before it, plus one, plus the shift of its incarnation. A
//! shift is zero until a repair: a log that a repair has written again has fewer events than were put, and
//! continues after the highest number that a reader may have seen.

use super::fields::Fields;
use crate::channel::Incarnation;

/// The most incarnations that are remembered. The oldest ones are forgotten.
const INCARNATIONS_MAX: usize = 256;
/// The most shifts that can be read; a repair makes one for each gap.
pub(super) const SHIFTS_MAX: usize = 4096;
const INCARNATION_BYTES: usize = 32;

/// An incarnation, with the events that have their numbers from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IncarnationStart {
    pub(super) incarnation: Incarnation,
    /// The number of events put before its first event.
    pub(super) begins: u64,
    /// The difference between an event's number and the count of events put up to it.
    pub(super) shift: u64,
}

impl IncarnationStart {
    /// Returns the highest number that was given before this incarnation.
    pub(super) fn number_before(&self) -> u64 {
        self.begins.saturating_add(self.shift)
    }
}

/// The incarnations of a channel, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Incarnations {
    starts: Vec<IncarnationStart>,
    /// The highest number given in a forgotten incarnation, if there is one.
    forgotten: Option<u64>,
}

/// The events that a reader or source has seen and that the channel lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// The events with the numbers above `after`, up to `through`.
    Events { after: u64, through: u64 },
    /// The incarnation in which the event `through` got its number.
    Incarnation { through: u64 },
}

impl Incarnations {
    pub(super) fn last(&self) -> Option<Incarnation> {
        self.starts.last().map(|start| start.incarnation)
    }

    /// Returns the number of remembered incarnations and shifts.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Returns the incarnations, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &IncarnationStart> {
        self.starts.iter()
    }

    /// Returns whether the channel has had this incarnation; `None` if it may be a forgotten one.
    pub(super) fn contains(&self, incarnation: Incarnation) -> Option<bool> {
        let found = self.starts.iter().any(|start| start.incarnation == incarnation);
        (found || self.forgotten.is_none()).then_some(found)
    }

    /// Returns the shift of the next event when `events_before` events were put.
    pub(super) fn shift(&self, events_before: u64) -> u64 {
        let behind = self.starts.partition_point(|start| start.begins <= events_before);
        behind.checked_sub(1).map_or(0, |index| self.starts[index].shift)
    }

    /// Returns the highest number given when `events` events were put.
    pub(super) fn highest_number(&self, events: u64) -> u64 {
        events.saturating_add(self.shift(events))
    }

    /// Begins another incarnation with the next event.
    pub(super) fn begin(&mut self, incarnation: Incarnation, events_before: u64) {
        let shift = self.shift(events_before);
        self.push(IncarnationStart { incarnation, begins: events_before, shift });
    }

    /// Adds an incarnation after the others. If there are too many, forgets the oldest one that has the same shift as
    /// the next: the numbers of its events still follow from the next one's shift.
    pub(super) fn push(&mut self, start: IncarnationStart) {
        let (begins, shift) = self.starts.last().map_or((0, 0), |last| (last.begins, last.shift));
        self.starts.push(IncarnationStart {
            begins: start.begins.max(begins),
            shift: start.shift.max(shift),
            ..start
        });
        while self.starts.len() > INCARNATIONS_MAX {
            let same = self.starts.windows(2).position(|pair| pair[0].shift == pair[1].shift);
            let Some(index) = same else { return };
            let gone = self.starts.remove(index);
            let next = &mut self.starts[index];
            self.forgotten = self.forgotten.max(Some(next.number_before()));
            next.begins = gone.begins;
        }
    }

    /// Returns what a channel of `events` events lacks for someone who has seen events through this number.
    pub(super) fn missing(
        &self,
        events: u64,
        through: u64,
        incarnation: Option<Incarnation>,
    ) -> Option<Missing> {
        #[cfg(weir_bug)]
        if put_back!("numbers_given_twice") {
            return None;
        }
        let highest = self.highest_number(events);
        if through > highest {
            return Some(Missing::Events { after: highest, through });
        }
        let incarnation = incarnation?;
        let Some(index) = self.starts.iter().rposition(|start| start.incarnation == incarnation) else {
            let long_ago = self.forgotten.is_some_and(|forgotten| through <= forgotten);
            return (!long_ago).then_some(Missing::Incarnation { through });
        };
        // A sink records its present incarnation for all events, also for those of earlier incarnations.
        let after = self.starts.get(index + 1)?.number_before();
        (through > after).then_some(Missing::Events { after, through })
    }

    /// Changes the shifts so that nothing is missing any more: later events get higher numbers.
    pub(super) fn accept_loss(&mut self, events: u64, through: u64, incarnation: Option<Incarnation>) {
        let known = incarnation
            .and_then(|incarnation| self.starts.iter().rposition(|start| start.incarnation == incarnation));
        if let (Some(incarnation), None) = (incarnation, known) {
            self.begin(incarnation, events);
        }
        if let Some(later) = known.and_then(|index| self.starts.get(index + 1)).copied() {
            let more = through.saturating_sub(later.number_before());
            let later = known.map_or(0, |index| index + 1);
            self.starts[later..].iter_mut().for_each(|start| start.shift = start.shift.saturating_add(more));
        }
    }

    /// Begins another incarnation, whose numbers are all above `through`.
    pub(super) fn begin_beyond(&mut self, incarnation: Incarnation, events: u64, through: u64) {
        let shift = self.shift(events).max(through.saturating_sub(events));
        self.push(IncarnationStart { incarnation, begins: events, shift });
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.forgotten.is_some()));
        out.extend_from_slice(&self.forgotten.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&(self.starts.len() as u32).to_le_bytes());
        for IncarnationStart { incarnation, begins, shift } in &self.starts {
            out.extend_from_slice(&incarnation.bytes());
            out.extend_from_slice(&begins.to_le_bytes());
            out.extend_from_slice(&shift.to_le_bytes());
        }
    }

    /// Reads incarnations. They have to be in order, and none may begin after `events` events.
    pub(super) fn decode(fields: &mut Fields<'_>, events: u64) -> Option<Incarnations> {
        let forgotten = match (fields.u8()?, fields.u64()?) {
            (0, _) => None,
            (1, highest) => Some(highest),
            _ => return None,
        };
        let count = fields.u32()? as usize;
        if count > INCARNATIONS_MAX + SHIFTS_MAX {
            return None;
        }
        let mut stored = Fields::new(fields.bytes(count * INCARNATION_BYTES)?);
        let mut starts: Vec<IncarnationStart> = Vec::with_capacity(count);
        for _ in 0..count {
            let incarnation = Incarnation::from_bytes(stored.uuid()?);
            let start = IncarnationStart { incarnation, begins: stored.u64()?, shift: stored.u64()? };
            let in_order =
                starts.last().is_none_or(|last| last.begins <= start.begins && last.shift <= start.shift);
            if !in_order || start.begins > events || start.begins.checked_add(start.shift).is_none() {
                return None;
            }
            starts.push(start);
        }
        Some(Incarnations { starts, forgotten })
    }
}

/// Keeps the numbers of events when a repair writes them into a new log, with gaps between them.
pub(super) struct Numbering<'a> {
    old: &'a Incarnations,
    /// The number of old incarnations that the new log has.
    taken: usize,
    new: Incarnations,
    /// The last incarnation of the new log, and the number after which it continues.
    incarnation: Incarnation,
    through: u64,
}

impl<'a> Numbering<'a> {
    pub(super) fn new(old: &'a Incarnations, incarnation: Incarnation, through: u64) -> Numbering<'a> {
        let new = Incarnations { starts: Vec::new(), forgotten: old.forgotten };
        Numbering { old, taken: 0, new, incarnation, through }
    }

    /// Leaves out this many numbers, which the old log may have given after the last one that can be read, perhaps in
    /// incarnations that can't be read either.
    pub(super) fn skip(&mut self, numbers: u64) {
        self.through = self.through.saturating_add(numbers);
        self.new.forgotten = self.new.forgotten.max(Some(self.through));
    }

    /// Keeps the number of an event that `old_before` events precede in the old log and `new_before` in the new one.
    pub(super) fn keep(&mut self, old_before: u64, new_before: u64) {
        let before = self.old.highest_number(old_before);
        self.take(before, new_before);
        let shift = before.saturating_sub(new_before);
        if self.new.shift(new_before) >= shift {
            return;
        }
        // Too many gaps: the events after this gap get new numbers that no reader has seen.
        let too_many = self.new.len() >= SHIFTS_MAX;
        let shift = if too_many { self.through.saturating_sub(new_before).max(shift) } else { shift };
        let incarnation = self.new.last().unwrap_or(self.incarnation);
        self.new.push(IncarnationStart { incarnation, begins: new_before, shift });
    }

    /// Copies the old incarnations whose numbers begin at or before `before`.
    fn take(&mut self, before: u64, new_before: u64) {
        for start in self.old.starts.iter().skip(self.taken) {
            if start.number_before() > before {
                break;
            }
            let shift = start.number_before().saturating_sub(new_before);
            self.new.push(IncarnationStart { begins: new_before, shift, ..*start });
            self.taken += 1;
        }
    }

    /// Returns the incarnations of the new log, which has `events` events.
    pub(super) fn end(mut self, events: u64) -> Incarnations {
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
    fn three() -> Incarnations {
        let mut incarnations = Incarnations::default();
        [(1, 0), (2, 100), (3, 300)]
            .into_iter()
            .for_each(|(byte, before)| incarnations.begin(id(byte), before));
        incarnations
    }

    #[test]
    fn nothing_is_missing_for_a_sink_that_has_had_given_numbers() {
        let incarnations = three();
        for (through, incarnation) in
            [(400, Some(3)), (50, Some(3)), (300, Some(2)), (100, Some(1)), (0, Some(1)), (400, None)]
        {
            assert_eq!(
                incarnations.missing(400, through, incarnation.map(id)),
                None,
                "{through} {incarnation:?}"
            );
        }
    }

    #[test]
    fn events_that_a_channel_has_lost_are_missing() {
        let incarnations = three();
        let events = |after, through| Some(Missing::Events { after, through });
        assert_eq!(incarnations.missing(400, 401, Some(id(3))), events(400, 401));
        assert_eq!(incarnations.missing(400, 500, None), events(400, 500));
        // The channel continued from an earlier state.
        assert_eq!(incarnations.missing(400, 350, Some(id(2))), events(300, 350));
        assert_eq!(incarnations.missing(400, 10, Some(id(9))), Some(Missing::Incarnation { through: 10 }));
        assert_eq!(
            Incarnations::default().missing(400, 10, Some(id(9))),
            Some(Missing::Incarnation { through: 10 })
        );
        assert_eq!(Incarnations::default().missing(400, 10, None), None);
    }

    #[test]
    fn an_accepted_loss_is_not_missing_and_no_number_is_given_twice() {
        for (through, incarnation) in
            [(500, Some(3)), (500, None), (350, Some(2)), (700, Some(1)), (500, Some(9))]
        {
            let incarnation = incarnation.map(id);
            let mut incarnations = three();
            assert!(incarnations.missing(400, through, incarnation).is_some());
            let before = incarnations.clone();
            incarnations.accept_loss(400, through, incarnation);
            incarnations.begin_beyond(id(10), 400, through);
            assert_eq!(incarnations.missing(400, through, incarnation), None, "{through} {incarnation:?}");
            assert!(incarnations.highest_number(400) >= through.max(before.highest_number(400)));
            for events_before in 0..400 {
                assert!(incarnations.shift(events_before) <= incarnations.shift(events_before + 1));
            }
            assert_eq!(incarnations.last(), Some(id(10)));
        }
    }

    #[test]
    fn a_repaired_log_keeps_its_numbers() {
        let old = three();
        let mut numbering = Numbering::new(&old, id(9), 400);
        // Of 400 events, the events 51 to 120 and 310 to 350 are left, in puts of ten.
        let kept = (50..120).step_by(10).chain((309..350).step_by(10));
        let kept: Vec<(u64, u64)> = kept.enumerate().map(|(put, old)| (old, put as u64 * 10)).collect();
        kept.iter().for_each(|(old, new)| numbering.keep(*old, *new));
        let incarnations = numbering.end(120);
        for (old, new) in kept {
            assert_eq!(incarnations.highest_number(new), old);
        }
        assert_eq!((incarnations.highest_number(120), incarnations.last()), (400, Some(id(9))));
        for known in [1, 2, 3, 9] {
            assert_eq!(incarnations.contains(id(known)), Some(true));
        }
        assert_eq!(incarnations.missing(120, 300, Some(id(2))), None);
        assert!(incarnations.missing(120, 301, Some(id(2))).is_some());
    }

    #[test]
    fn sinks_that_have_had_the_lost_end_of_a_log_are_accepted() {
        let old = three();
        let mut numbering = Numbering::new(&old, id(9), 400);
        numbering.keep(0, 0);
        numbering.skip(1_000);
        let new = numbering.end(100);
        for (through, incarnation) in [(400, 3), (900, 3), (300, 2), (1_400, 8)] {
            assert_eq!(new.missing(100, through, Some(id(incarnation))), None, "{through} {incarnation}");
        }
        assert!(new.missing(100, 1_401, Some(id(8))).is_some());
        assert_eq!((new.highest_number(99), new.highest_number(100)), (99, 1_400));
    }

    #[test]
    fn incarnations_are_read_as_they_were_written_and_invalid_bytes_are_refused() {
        let mut incarnations = three();
        incarnations.begin_beyond(id(4), 400, 1_000);
        let mut bytes = Vec::new();
        incarnations.encode(&mut bytes);
        assert_eq!(Incarnations::decode(&mut Fields::new(&bytes), 400), Some(incarnations));
        assert_eq!(Incarnations::decode(&mut Fields::new(&bytes), 399), None, "one begins later");
        for length in 0..bytes.len() {
            assert_eq!(Incarnations::decode(&mut Fields::new(&bytes[..length]), 400), None);
        }
    }

    #[test]
    fn the_oldest_of_too_many_are_forgotten_and_sinks_that_know_them_are_accepted() {
        let mut incarnations = Incarnations::default();
        for run in 0..1_000_u64 {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&run.to_le_bytes());
            incarnations.begin(Incarnation::from_bytes(bytes), run * 10);
        }
        assert_eq!(incarnations.len(), INCARNATIONS_MAX);
        assert_eq!(incarnations.contains(id(9)), None);
        assert_eq!(incarnations.missing(10_000, 100, Some(id(9))), None);
        assert!(incarnations.missing(10_000, 9_999, Some(id(9))).is_some());
    }
}
