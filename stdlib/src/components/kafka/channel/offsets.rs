//! Which records of the owned partitions are delivered: plain data.

use std::collections::{BTreeMap, BTreeSet};

/// A record that was taken from the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) partition: i32,
    pub(super) offset: u64,
    /// The assignment of the partition in which it was taken.
    assignment: u64,
}

/// The partitions that a reader owns.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    partitions: BTreeMap<i32, Owned>,
    /// The number of assignments so far.
    assignments: u64,
    /// A partition whose end was found or passed stays at its end, although records follow.
    ends_stay: bool,
}

#[derive(Debug)]
struct Owned {
    assignment: u64,
    /// The first offset that was not taken yet.
    next: u64,
    /// The offsets that were taken and are not delivered.
    undelivered: BTreeSet<u64>,
    /// The offset that the broker is known to have as the group's.
    committed: Option<u64>,
    /// The end of the partition before the reading began that will find its end. The end of a transaction takes an offset that is
    /// never taken.
    end: u64,
    /// The partition is at its end when everything before this offset was taken, although no reading finds its end.
    last: Option<u64>,
    /// Whether everything was taken that the partition had.
    at_end: bool,
    /// The offset behind the last record that was taken, if it was written in a transaction.
    behind_transaction: Option<u64>,
}

impl Owned {
    /// The offset before which all records are delivered.
    fn delivered(&self) -> u64 {
        self.undelivered.first().copied().unwrap_or(self.next)
    }
}

impl Offsets {
    /// Begins to own a partition, of which `offset` is the first record to be taken. `committed` is the group's offset, and `end` the
    /// end of the partition.
    pub(super) fn assign(&mut self, partition: i32, offset: u64, committed: Option<u64>, end: u64) {
        self.assignments += 1;
        let (assignment, undelivered) = (self.assignments, BTreeSet::new());
        let owned = Owned {
            assignment,
            next: offset,
            undelivered,
            committed,
            end,
            last: None,
            at_end: false,
            behind_transaction: None,
        };
        self.partitions.insert(partition, owned);
    }

    /// Ends the ownership. Records that were taken are another member's now.
    pub(super) fn revoke(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }

    pub(super) fn owned(&self) -> impl Iterator<Item = i32> {
        self.partitions.keys().copied()
    }

    /// Notes that a record was taken; none if its partition is not owned, or the record was taken before.
    pub(super) fn take(&mut self, partition: i32, offset: u64) -> Option<Ticket> {
        let owned = self.partitions.get_mut(&partition).filter(|owned| offset >= owned.next)?;
        owned.next = offset + 1;
        let is_last = owned.last.is_some_and(|last| owned.next >= last);
        owned.at_end = self.ends_stay && (owned.at_end || is_last);
        owned.undelivered.insert(offset);
        Some(Ticket { partition, offset, assignment: owned.assignment })
    }

    /// Notes that the record was written in a transaction.
    pub(super) fn was_in_transaction(&mut self, ticket: Ticket) {
        if let Some(owned) = self.partitions.get_mut(&ticket.partition) {
            owned.behind_transaction = Some(ticket.offset + 1);
        }
    }

    /// Whether the record before this offset is known to have been written in a transaction, whose end is behind it.
    pub(super) fn is_behind_transaction(&self, partition: i32, offset: u64) -> bool {
        self.partitions.get(&partition).is_some_and(|owned| owned.behind_transaction == Some(offset))
    }

    /// The offset of each owned partition before which all records are delivered.
    pub(super) fn delivered(&self) -> impl Iterator<Item = (i32, u64)> {
        self.partitions.iter().map(|(partition, owned)| (*partition, owned.delivered()))
    }

    /// The first offset of an owned partition that was not taken yet.
    pub(super) fn next(&self, partition: i32) -> Option<u64> {
        self.partitions.get(&partition).map(|owned| owned.next)
    }

    /// Notes the end of a partition, which is read from its next record on after `end` was known.
    pub(super) fn read_again(&mut self, partition: i32, end: u64) {
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.end = end;
            owned.at_end = false;
        }
    }

    /// Notes that a reading has found the end of a partition. Offsets before it that were not taken have no records, so the group
    /// goes on behind them: otherwise it would miss them after the retention has deleted what was before.
    pub(super) fn reach_end(&mut self, partition: i32) {
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.next = owned.next.max(owned.end);
            owned.at_end = true;
        }
    }

    /// The partitions at their ends of which everything is delivered.
    pub(super) fn idle(&self) -> BTreeSet<i32> {
        let idle = self.partitions.iter().filter(|(_, owned)| owned.at_end && owned.undelivered.is_empty());
        idle.map(|(partition, _)| *partition).collect()
    }

    /// Forgets the ends that were found. One that is found from now on counts, whatever is put behind it.
    pub(super) fn look_for_last_ends(&mut self) {
        self.ends_stay = true;
        self.partitions.values_mut().for_each(|owned| owned.at_end = false);
    }

    /// The partitions whose last ends are neither found nor known.
    pub(super) fn endless(&self) -> BTreeSet<i32> {
        let endless = self.partitions.iter().filter(|(_, owned)| !owned.at_end && owned.last.is_none());
        endless.map(|(partition, _)| *partition).collect()
    }

    /// Notes the last end of a partition, which a reading may not find while others put.
    pub(super) fn end_at(&mut self, partition: i32, end: u64) {
        if let Some(owned) = self.partitions.get_mut(&partition) {
            owned.last = Some(end);
            owned.at_end |= owned.next >= end;
        }
    }

    /// Whether all partitions are at their ends.
    pub(super) fn are_at_ends(&self) -> bool {
        self.partitions.values().all(|owned| owned.at_end)
    }

    /// Whether the partition of the record is still owned, since the record was taken.
    pub(super) fn owns(&self, ticket: Ticket) -> bool {
        self.partitions.get(&ticket.partition).is_some_and(|owned| owned.assignment == ticket.assignment)
    }

    /// Notes that the events of a record are delivered. Nothing follows if the partition is not owned any more.
    pub(super) fn deliver(&mut self, ticket: Ticket) {
        if self.owns(ticket)
            && let Some(owned) = self.partitions.get_mut(&ticket.partition)
        {
            owned.undelivered.remove(&ticket.offset);
        }
    }

    /// Returns the offsets that the group should have, where they differ from those that it has.
    pub(super) fn due(&self) -> Vec<(i32, u64)> {
        let due =
            self.partitions.iter().map(|(partition, owned)| (*partition, owned.delivered(), owned.committed));
        due.filter(|(_, delivered, committed)| *committed != Some(*delivered))
            .map(|(partition, delivered, _)| (partition, delivered))
            .collect()
    }

    /// Notes that the broker has these offsets.
    pub(super) fn committed(&mut self, offsets: &[(i32, u64)]) {
        for (partition, offset) in offsets {
            if let Some(owned) = self.partitions.get_mut(partition) {
                owned.committed = Some(*offset);
            }
        }
    }

    /// The group's offset of each owned partition, where the broker is known to have one.
    pub(super) fn of_group(&self) -> impl Iterator<Item = (i32, u64)> {
        self.partitions.iter().filter_map(|(partition, owned)| Some((*partition, owned.committed?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_gets_the_offset_before_which_all_is_delivered() {
        let mut offsets = Offsets::default();
        offsets.assign(0, 10, Some(10), 14);
        let tickets: Vec<Ticket> = [10, 11, 13].map(|offset| offsets.take(0, offset).unwrap()).to_vec();
        assert_eq!(offsets.due(), []);
        offsets.deliver(tickets[1]);
        assert_eq!(offsets.due(), []);
        offsets.deliver(tickets[0]);
        assert_eq!(offsets.due(), [(0, 13)]);
        offsets.committed(&[(0, 13)]);
        offsets.deliver(tickets[2]);
        assert_eq!(offsets.due(), [(0, 14)]);
        assert_eq!(offsets.of_group().collect::<Vec<_>>(), [(0, 13)]);
    }

    #[test]
    fn an_offset_is_behind_a_transaction_if_the_record_before_it_was_in_one() {
        let mut offsets = Offsets::default();
        offsets.assign(0, 10, Some(10), 14);
        let ticket = offsets.take(0, 10).unwrap();
        offsets.was_in_transaction(ticket);
        assert!(offsets.is_behind_transaction(0, 11) && !offsets.is_behind_transaction(0, 10));
        let later = offsets.take(0, 12).unwrap();
        offsets.was_in_transaction(later);
        assert!(!offsets.is_behind_transaction(0, 12), "the end of the first transaction is at 11");
        offsets.assign(0, 13, Some(13), 14);
        assert!(!offsets.is_behind_transaction(0, 13), "it was taken by another member");
    }

    #[test]
    fn a_first_offset_is_committed_before_anything_is_delivered() {
        let mut offsets = Offsets::default();
        offsets.assign(3, 7, None, 9);
        assert_eq!(offsets.due(), [(3, 7)]);
    }

    #[test]
    fn records_of_a_lost_partition_are_never_committed() {
        let mut offsets = Offsets::default();
        offsets.assign(0, 0, Some(0), 3);
        let ticket = offsets.take(0, 0).unwrap();
        offsets.revoke(0);
        assert!(!offsets.owns(ticket));
        offsets.deliver(ticket);
        assert_eq!(offsets.due(), []);
        // It comes back after another member has delivered more.
        offsets.assign(0, 5, Some(5), 5);
        offsets.deliver(ticket);
        assert!(!offsets.owns(ticket));
        assert_eq!(offsets.due(), []);
        assert_eq!(offsets.take(0, 4), None, "it is delivered");
        assert_eq!(offsets.take(1, 4), None, "it is not owned");
    }

    #[test]
    fn the_group_goes_on_behind_the_end_of_a_transaction() {
        let mut offsets = Offsets::default();
        // The record 9 is delivered, and the end of its transaction is at 10.
        offsets.assign(0, 9, Some(9), 11);
        let ticket = offsets.take(0, 9).unwrap();
        offsets.reach_end(0);
        assert_eq!(offsets.due(), [], "the record is not delivered");
        offsets.deliver(ticket);
        assert_eq!(offsets.due(), [(0, 11)]);
        assert_eq!(offsets.idle(), BTreeSet::from([0]));
        // The same while the partition stays assigned.
        let ticket = offsets.take(0, 11).unwrap();
        assert_eq!(offsets.idle(), BTreeSet::new());
        offsets.reach_end(0);
        assert_eq!(offsets.next(0), Some(12), "the end of the transaction may not be known yet");
        offsets.deliver(ticket);
        offsets.read_again(0, 13);
        assert_eq!(offsets.due(), [(0, 12)], "a record may be before the end");
        offsets.reach_end(0);
        assert_eq!(offsets.due(), [(0, 13)]);
    }

    #[test]
    fn a_last_end_stays_although_records_follow() {
        let mut offsets = Offsets::default();
        offsets.assign(0, 0, Some(0), 0);
        offsets.assign(1, 0, Some(0), 0);
        offsets.reach_end(0);
        offsets.reach_end(1);
        offsets.take(0, 0);
        assert!(!offsets.are_at_ends());
        offsets.look_for_last_ends();
        offsets.reach_end(0);
        offsets.take(0, 1);
        assert!(!offsets.are_at_ends(), "the other partition may have more");
        offsets.revoke(1);
        assert!(offsets.are_at_ends());
        offsets.assign(1, 0, Some(0), 0);
        assert!(!offsets.are_at_ends(), "it is read anew");
        assert_eq!(offsets.endless(), BTreeSet::from([1]));
        offsets.end_at(1, 2);
        assert_eq!(offsets.endless(), BTreeSet::new());
        offsets.take(1, 0);
        assert!(!offsets.are_at_ends());
        // The end of a transaction is at 1.
        offsets.take(1, 2);
        assert!(offsets.are_at_ends());
    }
}
