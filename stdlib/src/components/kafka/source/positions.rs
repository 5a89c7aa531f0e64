//! Keeps track of which offsets of a member's partitions are delivered and committed.
//!
//! A member commits only offsets of partitions that it owns, and only of delivered records. When a partition is
//! revoked, its undelivered records are forgotten: the next owner reads them again, from the committed offset.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use weir_runtime::batch::Partition;
use weir_runtime::source::{Delivered, Given};

use crate::components::kafka::native::TopicId;

/// A partition as librdkafka names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TopicPartition {
    pub(super) topic: Arc<str>,
    pub(super) number: i32,
}

impl TopicPartition {
    pub(super) fn new(topic: &str, number: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), number }
    }

    /// Returns the name of the partition in origins. It has the identity of the topic, so that offsets of a topic that was deleted are
    /// never taken for those of a topic that was made with its name. A topic's name has no slash.
    pub(super) fn partition(&self, id: Option<TopicId>) -> Partition {
        match id {
            Some(id) => Partition::new(format!("{self}/{id}")),
            None => Partition::new(self.to_string()),
        }
    }
}

/// As users read it, and metrics have it.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

/// The offset at which reading a partition starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StartOffset {
    pub(super) partition: TopicPartition,
    /// The name of the partition in origins.
    pub(super) name: Partition,
    /// The identity of the topic, if the brokers give it one.
    pub(super) id: Option<TopicId>,
    /// The first offset to read.
    pub(super) offset: u64,
    /// The offset before which all records are delivered; less than `offset` if channels have records that are not.
    pub(super) delivered: u64,
    /// Whether the group has committed this offset with the present metadata. If not, it is committed at once, so that
    /// the next start does not choose again.
    pub(super) committed: bool,
    /// How many partitions its topic had when the group started, for the metadata of every commit; only with `newest`.
    pub(super) partitions_at_start: Option<i32>,
    /// Whether the durable channels behind are known to have all records before this offset.
    pub(super) stored: bool,
}

impl StartOffset {
    /// Returns the commit that makes this start the group's.
    pub(super) fn commit(&self) -> Commit {
        Commit {
            partition: self.partition.clone(),
            id: self.id,
            offset: self.delivered,
            partitions_at_start: self.partitions_at_start,
            stored: self.stored,
        }
    }
}

/// The positions after which partitions go on in a run of the source: with `exactly_once`, the channels and sinks behind know them
/// better than the group, whose last commit may be missing.
#[derive(Debug, Default)]
pub(super) struct GoesOn {
    /// Whether a flow promises `exactly_once`.
    pub(super) exactly_once: bool,
    /// The position that each partition was given to channels through, and the one that it is delivered through.
    positions: HashMap<Partition, (u64, u64)>,
}

impl GoesOn {
    /// Makes the positions from those that channels were given, and those that are delivered.
    pub(super) fn after(given: &Given, delivered: &Delivered) -> GoesOn {
        let delivered: HashMap<&Partition, u64> =
            delivered.positions().map(|(partition, through)| (partition, through.position())).collect();
        let positions = given.positions().map(|(partition, given)| {
            let through = delivered.get(partition).copied().unwrap_or(0);
            (partition.clone(), (given.position(), through))
        });
        GoesOn { exactly_once: true, positions: positions.collect() }
    }

    /// Returns the position that channels or sinks have of a partition; 0 if they don't know it.
    pub(super) fn known_of(&self, partition: &Partition) -> u64 {
        self.positions.get(partition).map_or(0, |(given, _)| *given)
    }

    /// Moves the start of a partition to the position after which it goes on, if that is known.
    pub(super) fn apply(&self, start: StartOffset) -> StartOffset {
        match self.positions.get(&start.name) {
            // 0 says that something behind has not had the partition yet: the group knows where it begins.
            None | Some((0, _)) => start,
            Some((given, delivered)) => {
                // The group may have committed more than the sinks had written down as settled.
                let known = if start.committed { start.delivered } else { 0 };
                let delivered = known.max(*delivered);
                let committed = start.committed && known == delivered;
                StartOffset { offset: *given, delivered, committed, ..start }
            }
        }
    }
}

/// An offset to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) partition: TopicPartition,
    pub(super) id: Option<TopicId>,
    pub(super) offset: u64,
    pub(super) partitions_at_start: Option<i32>,
    /// Whether the durable channels behind have all records before this offset. Then the metadata names the channels.
    pub(super) stored: bool,
}

/// The partitions that a member owns, and how far each is delivered and committed.
#[derive(Debug, Default)]
pub(super) struct Positions {
    /// Whether the sink behind the source commits the offsets of delivered records.
    committed_by_sink: bool,
    owned: HashMap<TopicPartition, Owned>,
    /// The owned partitions by their names in origins.
    names: HashMap<Partition, TopicPartition>,
}

#[derive(Debug)]
struct Owned {
    partition: TopicPartition,
    name: Partition,
    id: Option<TopicId>,
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
    /// Makes the positions of a member whose delivered offsets the sink commits.
    pub(super) fn committed_by_sink() -> Positions {
        Positions { committed_by_sink: true, ..Positions::default() }
    }

    /// Adds a partition that the member owns now.
    pub(super) fn assign(&mut self, start: &StartOffset) {
        let committed = start.committed.then_some(start.delivered);
        let owned = Owned {
            partition: start.partition.clone(),
            name: start.name.clone(),
            id: start.id,
            started_at: start.delivered,
            delivered: start.delivered,
            committed,
            requested: committed,
            partitions_at_start: start.partitions_at_start,
            stored: start.stored,
        };
        self.revoke(&start.partition);
        self.names.insert(start.name.clone(), start.partition.clone());
        self.owned.insert(start.partition.clone(), owned);
    }

    /// Removes a partition that the member no longer owns.
    pub(super) fn revoke(&mut self, partition: &TopicPartition) {
        if let Some(owned) = self.owned.remove(partition) {
            self.names.remove(&owned.name);
        }
    }

    /// Returns the names of these partitions in origins, as far as the member owns them.
    pub(super) fn names_of<'p>(
        &'p self,
        partitions: &'p [TopicPartition],
    ) -> impl Iterator<Item = &'p Partition> {
        partitions.iter().filter_map(|partition| Some(&self.owned.get(partition)?.name))
    }

    /// Notes that all records of a partition before offset `through` are delivered.
    ///
    /// Records that were in channels when the partition was revoked may be reported after it was assigned again. Their
    /// delivery counts, unless the partition started at a later offset.
    pub(super) fn delivered(&mut self, partition: &Partition, through: u64) {
        let owned = self.names.get(partition).and_then(|named| self.owned.get_mut(named));
        if let Some(owned) = owned {
            owned.delivered = owned.delivered.max(through);
            if self.committed_by_sink {
                (owned.committed, owned.requested) = (Some(owned.delivered), Some(owned.delivered));
            }
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
        let owned = partitions.iter().filter_map(|partition| self.owned.get(partition));
        owned.filter(|owned| owned.committed != Some(owned.delivered)).map(Owned::commit).collect()
    }

    /// Returns the offset before which all records of a partition are delivered, if the member owns it.
    pub(super) fn delivered_of(&self, partition: &TopicPartition) -> Option<u64> {
        self.owned.get(partition).map(|owned| owned.delivered)
    }

    /// Returns the topics of the partitions that the member owns, with their identities.
    pub(super) fn topics(&self) -> BTreeMap<Arc<str>, TopicId> {
        let known = self.owned.values().filter_map(|owned| Some((owned.partition.topic.clone(), owned.id?)));
        known.collect()
    }

    /// Returns the partitions that the member owns.
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        self.owned.values().map(|owned| owned.partition.clone()).collect()
    }

    /// Notes that the broker has confirmed these commits.
    pub(super) fn committed(&mut self, commits: &[Commit]) {
        for commit in commits {
            if let Some(owned) = self.owned.get_mut(&commit.partition) {
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
            id: self.id,
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
            name: partition(number).partition(None),
            id: None,
            offset,
            delivered: offset,
            committed,
            partitions_at_start: None,
            stored: false,
        }
    }

    fn delivered(positions: &mut Positions, number: i32, through: u64) {
        positions.delivered(&partition(number).partition(None), through);
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
    fn a_partition_goes_on_after_what_channels_were_given_and_commits_only_what_is_delivered() {
        let goes_on = |given, delivered| {
            let positions = HashMap::from([(partition(0).partition(None), (given, delivered))]);
            GoesOn { exactly_once: true, positions }
        };
        let start = |goes_on: GoesOn, offset, committed| {
            let StartOffset { offset, delivered, committed, .. } = goes_on.apply(begin(0, offset, committed));
            (offset, delivered, committed)
        };
        assert_eq!(start(goes_on(0, 0), 70, true), (70, 70, true), "nothing is known behind");
        assert_eq!(start(goes_on(90, 90), 70, true), (90, 90, false), "the last commit is missing");
        assert_eq!(start(goes_on(90, 40), 70, true), (90, 70, true), "a channel in memory has the rest");
        assert_eq!(start(goes_on(50, 50), 70, true), (50, 70, true), "sinks skip what they have");
        assert_eq!(start(goes_on(90, 90), 999, false), (90, 90, false), "the group has no commit");
    }

    #[test]
    fn offsets_that_the_sink_commits_are_never_due() {
        let mut positions = Positions::committed_by_sink();
        positions.assign(&begin(0, 10, true));
        positions.assign(&begin(1, 20, false));
        assert_eq!(
            offsets(positions.unconfirmed(&[partition(0), partition(1)])),
            [(1, 20)],
            "a start that was chosen"
        );
        delivered(&mut positions, 0, 15);
        delivered(&mut positions, 1, 25);
        assert_eq!(positions.take_due(), []);
        assert_eq!(positions.unconfirmed(&[partition(0), partition(1)]), []);
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
