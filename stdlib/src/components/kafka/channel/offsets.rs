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
}

impl Owned {
    /// The offset before which all records are delivered.
    fn delivered(&self) -> u64 {
        self.undelivered.first().copied().unwrap_or(self.next)
    }
}

impl Offsets {
    /// Begins to own a partition, of which `offset` is the first record to be taken. `committed` is the group's offset.
    pub(super) fn assign(&mut self, partition: i32, offset: u64, committed: Option<u64>) {
        self.assignments += 1;
        let owned =
            Owned { assignment: self.assignments, next: offset, undelivered: BTreeSet::new(), committed };
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
        owned.undelivered.insert(offset);
        Some(Ticket { partition, offset, assignment: owned.assignment })
    }

    /// The first offset of an owned partition that was not taken yet.
    pub(super) fn next(&self, partition: i32) -> Option<u64> {
        self.partitions.get(&partition).map(|owned| owned.next)
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
        offsets.assign(0, 10, Some(10));
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
    fn a_first_offset_is_committed_before_anything_is_delivered() {
        let mut offsets = Offsets::default();
        offsets.assign(3, 7, None);
        assert_eq!(offsets.due(), [(3, 7)]);
    }

    #[test]
    fn records_of_a_lost_partition_are_never_committed() {
        let mut offsets = Offsets::default();
        offsets.assign(0, 0, Some(0));
        let ticket = offsets.take(0, 0).unwrap();
        offsets.revoke(0);
        assert!(!offsets.owns(ticket));
        offsets.deliver(ticket);
        assert_eq!(offsets.due(), []);
        // It comes back after another member has delivered more.
        offsets.assign(0, 5, Some(5));
        offsets.deliver(ticket);
        assert!(!offsets.owns(ticket));
        assert_eq!(offsets.due(), []);
        assert_eq!(offsets.take(0, 4), None, "it is delivered");
        assert_eq!(offsets.take(1, 4), None, "it is not owned");
    }
}
