//! Keeps track of which offsets of a member's partitions are delivered and committed.
//!
//! A member commits only offsets of partitions that it owns, and only of delivered records. When a partition is
//! revoked, its undelivered records are forgotten: the next owner reads them again, from the committed offset.

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

    /// Returns the name of the partition in origins. A topic's name has no slash.
    pub(super) fn partition(&self) -> Partition {
        Partition::new(format!("{}/{}", self.topic, self.number))
    }
}

/// The offset at which reading a partition starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StartOffset {
    pub(super) partition: TopicPartition,
    /// The first offset to read.
    pub(super) offset: u64,
    /// Whether the group has committed this offset with the present metadata. If not, it is committed at once, so that
    /// the next start does not choose again.
    pub(super) committed: bool,
    /// How many partitions its topic had when the group started, for the metadata of every commit; only with `newest`.
    pub(super) partitions_at_start: Option<i32>,
    /// Whether the durable channels behind are known to have all records before this offset.
    pub(super) stored: bool,
}

/// An offset to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) partition: TopicPartition,
    pub(super) offset: u64,
    pub(super) partitions_at_start: Option<i32>,
    /// Whether the durable channels behind have all records before this offset. Then the metadata names the channels.
    pub(super) stored: bool,
}

/// The partitions that a member owns, and how far each is delivered and committed.
#[derive(Debug, Default)]
pub(super) struct Positions {
    owned: HashMap<Partition, Owned>,
}

#[derive(Debug)]
struct Owned {
    partition: TopicPartition,
    started_at: u64,
    delivered: u64,
    /// The offset that the broker has confirmed; `None` if the group has no commit.
    committed: Option<u64>,
    /// The offset that was last sent to the broker.
    requested: Option<u64>,
    partitions_at_start: Option<i32>,
    /// Whether the channels have all records before `started_at`.
    stored: bool,
}

impl Positions {
    /// Adds a partition that the member owns now.
    pub(super) fn assign(&mut self, start: &StartOffset) {
        let committed = start.committed.then_some(start.offset);
        let owned = Owned {
            partition: start.partition.clone(),
            started_at: start.offset,
            delivered: start.offset,
            committed,
            requested: committed,
            partitions_at_start: start.partitions_at_start,
            stored: start.stored,
        };
        self.owned.insert(start.partition.partition(), owned);
    }

    /// Removes a partition that the member no longer owns.
    pub(super) fn revoke(&mut self, partition: &TopicPartition) {
        self.owned.remove(&partition.partition());
    }

    /// Notes that all records of a partition before offset `through` are delivered.
    ///
    /// Records that were in channels when the partition was revoked may be reported after it was assigned again. Their
    /// delivery counts, unless the partition started at a later offset.
    pub(super) fn delivered(&mut self, partition: &Partition, through: u64) {
        if let Some(owned) = self.owned.get_mut(partition) {
            owned.delivered = owned.delivered.max(through);
        }
    }

    /// Returns the delivered offsets that were not sent to the broker yet, and marks them as sent.
    pub(super) fn take_due(&mut self) -> Vec<Commit> {
        let due = self.owned.values_mut().filter(|owned| owned.requested != Some(owned.delivered));
        due.map(|owned| {
            owned.requested = Some(owned.delivered);
            owned.commit()
        })
        .collect()
    }

    /// Returns the delivered offsets of these partitions that the broker has not confirmed.
    pub(super) fn unconfirmed(&self, partitions: &[TopicPartition]) -> Vec<Commit> {
        let owned = partitions.iter().filter_map(|partition| self.owned.get(&partition.partition()));
        owned.filter(|owned| owned.committed != Some(owned.delivered)).map(Owned::commit).collect()
    }

    /// Returns the offset before which all records of a partition are delivered, if the member owns it.
    pub(super) fn delivered_of(&self, partition: &TopicPartition) -> Option<u64> {
        self.owned.get(&partition.partition()).map(|owned| owned.delivered)
    }

    /// Returns the partitions that the member owns.
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        self.owned.values().map(|owned| owned.partition.clone()).collect()
    }

    /// Notes that the broker has confirmed these commits.
    pub(super) fn committed(&mut self, commits: &[Commit]) {
        for commit in commits {
            if let Some(owned) = self.owned.get_mut(&commit.partition.partition()) {
                owned.committed = owned.committed.max(Some(commit.offset));
            }
        }
    }

    /// Notes that a commit has failed: all offsets that are not confirmed are to be sent again.
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
            stored: self.stored || self.delivered > self.started_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("logs", number)
    }

    fn begin(number: i32, offset: u64, committed: bool) -> StartOffset {
        StartOffset {
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
    fn a_delivered_offset_is_due_once() {
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
    fn a_start_offset_that_the_group_has_not_committed_is_committed() {
        let mut positions = Positions::default();
        positions.assign(&begin(0, 700, false));
        let due = positions.take_due();
        assert!(!due[0].stored, "no channel has the records before it");
        assert_eq!(offsets(due), [(0, 700)]);
        delivered(&mut positions, 0, 701);
        assert!(positions.take_due()[0].stored);
    }

    #[test]
    fn a_failed_commit_is_due_again() {
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
    fn a_partition_that_is_assigned_again_never_moves_backwards() {
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
    fn an_unconfirmed_commit_is_repeated_when_the_partition_is_revoked() {
        let mut positions = Positions::default();
        positions.assign(&begin(0, 0, true));
        delivered(&mut positions, 0, 5);
        positions.take_due();
        assert_eq!(offsets(positions.unconfirmed(&[partition(0)])), [(0, 5)]);
    }
}
