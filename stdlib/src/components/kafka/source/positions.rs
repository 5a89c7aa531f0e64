//! Which offsets are to be committed: the bookkeeping of a group's member.
//!
//! A member commits only what it owns and only what has been delivered. A partition that was
//! revoked is forgotten, with everything of it that is under way: it comes again, from what was
//! committed, at whoever owns the partition then.

use std::collections::HashMap;
use std::sync::Arc;

use weir_runtime::batch::Partition;

/// A partition as librdkafka names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TopicPartition {
    pub(super) topic: Arc<str>,
    pub(super) number: i32,
}

impl TopicPartition {
    pub(super) fn new(topic: &str, number: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), number }
    }

    /// Its name in origins. A topic's name has no slash.
    pub(super) fn partition(&self) -> Partition {
        Partition::new(format!("{}/{}", self.topic, self.number))
    }
}

/// Where reading a partition begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beginning {
    pub(super) partition: TopicPartition,
    /// The first offset to read.
    pub(super) offset: u64,
    /// Whether the group has committed it as it would be committed now; if not, it has to, so that the next start
    /// does not choose again.
    pub(super) committed: bool,
    /// How many partitions its topic had when the group began, where that matters: it goes along with every commit.
    pub(super) partitions_at_start: Option<i32>,
    /// The durable channels behind are known to have everything before it.
    pub(super) stored: bool,
}

/// An offset to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) partition: TopicPartition,
    pub(super) offset: u64,
    pub(super) partitions_at_start: Option<i32>,
    /// The durable channels behind have everything before it: they are named.
    pub(super) stored: bool,
}

/// What a member owns, and how far it is delivered and committed.
#[derive(Debug, Default)]
pub(super) struct Positions {
    owned: HashMap<Partition, Owned>,
}

#[derive(Debug)]
struct Owned {
    partition: TopicPartition,
    begun: u64,
    delivered: u64,
    /// What the broker is known to have; nothing where the group had nothing.
    committed: Option<u64>,
    /// What was last sent to the broker.
    requested: Option<u64>,
    partitions_at_start: Option<i32>,
    /// The channels have everything before the beginning.
    stored: bool,
}

impl Positions {
    /// Owns a partition from now on.
    pub(super) fn assign(&mut self, beginning: &Beginning) {
        let committed = beginning.committed.then_some(beginning.offset);
        let owned = Owned {
            partition: beginning.partition.clone(),
            begun: beginning.offset,
            delivered: beginning.offset,
            committed,
            requested: committed,
            partitions_at_start: beginning.partitions_at_start,
            stored: beginning.stored,
        };
        self.owned.insert(beginning.partition.partition(), owned);
    }

    /// Owns a partition no more.
    pub(super) fn revoke(&mut self, partition: &TopicPartition) {
        self.owned.remove(&partition.partition());
    }

    /// Everything of a partition before `through` has been delivered.
    ///
    /// What was under way when a partition was revoked may be told after it came back. It is as
    /// true then as before, so it counts, unless the partition began further on.
    pub(super) fn delivered(&mut self, partition: &Partition, through: u64) {
        if let Some(owned) = self.owned.get_mut(partition) {
            owned.delivered = owned.delivered.max(through);
        }
    }

    /// What is delivered and not yet sent to the broker; it counts as sent from now on.
    pub(super) fn take_due(&mut self) -> Vec<Commit> {
        let due = self.owned.values_mut().filter(|owned| owned.requested != Some(owned.delivered));
        due.map(|owned| {
            owned.requested = Some(owned.delivered);
            owned.commit()
        })
        .collect()
    }

    /// What is delivered of these partitions and not confirmed by the broker.
    pub(super) fn unconfirmed(&self, partitions: &[TopicPartition]) -> Vec<Commit> {
        let owned = partitions.iter().filter_map(|partition| self.owned.get(&partition.partition()));
        owned.filter(|owned| owned.committed != Some(owned.delivered)).map(Owned::commit).collect()
    }

    /// Before which offset everything of a partition is delivered, if it is owned.
    pub(super) fn delivered_of(&self, partition: &TopicPartition) -> Option<u64> {
        self.owned.get(&partition.partition()).map(|owned| owned.delivered)
    }

    /// The partitions that are owned.
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        self.owned.values().map(|owned| owned.partition.clone()).collect()
    }

    /// The broker has confirmed these.
    pub(super) fn committed(&mut self, commits: &[Commit]) {
        for commit in commits {
            if let Some(owned) = self.owned.get_mut(&commit.partition.partition()) {
                owned.committed = owned.committed.max(Some(commit.offset));
            }
        }
    }

    /// Something that was sent did not arrive: all that is not confirmed is due again.
    pub(super) fn retry(&mut self) {
        self.owned.values_mut().for_each(|owned| owned.requested = owned.committed);
    }
}

impl Owned {
    fn commit(&self) -> Commit {
        Commit {
            partition: self.partition.clone(),
            offset: self.delivered,
            partitions_at_start: self.partitions_at_start,
            stored: self.stored || self.delivered > self.begun,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("logs", number)
    }

    fn begin(number: i32, offset: u64, committed: bool) -> Beginning {
        Beginning {
            partition: partition(number),
            offset,
            committed,
            partitions_at_start: None,
            stored: false,
        }
    }

    fn delivered(positions: &mut Positions, number: i32, through: u64) {
        positions.delivered(&partition(number).partition(), through);
    }

    fn offsets(commits: Vec<Commit>) -> Vec<(i32, u64)> {
        let mut offsets: Vec<_> =
            commits.into_iter().map(|commit| (commit.partition.number, commit.offset)).collect();
        offsets.sort_unstable();
        offsets
    }

    #[test]
    fn what_is_delivered_is_due_once() {
        let mut positions = Positions::default();
        positions.assign(&begin(0, 10, true));
        positions.assign(&begin(1, 0, true));
        assert_eq!(positions.take_due(), []);
        delivered(&mut positions, 0, 15);
        delivered(&mut positions, 0, 20);
        assert_eq!(offsets(positions.take_due()), [(0, 20)]);
        assert_eq!(positions.take_due(), []);
    }

    #[test]
    fn a_beginning_that_the_group_did_not_have_is_committed() {
        let mut positions = Positions::default();
        positions.assign(&begin(0, 700, false));
        let due = positions.take_due();
        assert!(!due[0].stored, "no channel has what is before it");
        assert_eq!(offsets(due), [(0, 700)]);
        delivered(&mut positions, 0, 701);
        assert!(positions.take_due()[0].stored);
    }

    #[test]
    fn a_commit_that_did_not_arrive_is_due_again() {
        let mut positions = Positions::default();
        positions.assign(&begin(0, 0, true));
        delivered(&mut positions, 0, 5);
        assert_eq!(offsets(positions.take_due()), [(0, 5)]);
        positions.retry();
        assert_eq!(offsets(positions.take_due()), [(0, 5)]);
        let unconfirmed = positions.unconfirmed(&[partition(0)]);
        positions.committed(&unconfirmed);
        positions.retry();
        assert_eq!(positions.take_due(), []);
        assert_eq!(positions.unconfirmed(&[partition(0)]), []);
    }

    #[test]
    fn deliveries_of_a_revoked_partition_are_not_committed() {
        let mut positions = Positions::default();
        positions.assign(&begin(0, 0, true));
        positions.assign(&begin(1, 0, true));
        delivered(&mut positions, 0, 5);
        assert_eq!(offsets(positions.unconfirmed(&[partition(0)])), [(0, 5)]);
        positions.revoke(&partition(0));
        delivered(&mut positions, 0, 8);
        delivered(&mut positions, 1, 3);
        assert_eq!(offsets(positions.take_due()), [(1, 3)]);
    }

    #[test]
    fn a_partition_that_came_back_never_moves_backwards() {
        let mut positions = Positions::default();
        positions.assign(&begin(0, 0, true));
        positions.revoke(&partition(0));
        positions.assign(&begin(0, 100, true));
        delivered(&mut positions, 0, 60);
        assert_eq!(positions.take_due(), []);
        delivered(&mut positions, 0, 130);
        assert_eq!(offsets(positions.take_due()), [(0, 130)]);
    }

    #[test]
    fn an_unconfirmed_commit_is_repeated_when_the_partition_goes() {
        let mut positions = Positions::default();
        positions.assign(&begin(0, 0, true));
        delivered(&mut positions, 0, 5);
        positions.take_due();
        assert_eq!(offsets(positions.unconfirmed(&[partition(0)])), [(0, 5)]);
    }
}
