//! The sources whose commits the sink has taken over: the offsets of their groups are a part of its transactions.
//!
//! An offset says that everything before it has arrived. That is so since the events of a partition come in their order through
//! one channel, and a transaction that fails gives all its events back.

#[cfg(test)]
mod histories;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::{Instant, sleep};
use weir_runtime::batch::{Identities, Partition};
use weir_runtime::source::Handover;

use crate::components::kafka::connection::set_member;
use crate::components::kafka::protected::ProtectedConfig;
use crate::components::kafka::shared_group::{Generation, GroupOffset, NotNow, Owned, SharedGroup};
use crate::components::kafka::source::name_different_topics;
use crate::tools::arrived::{Arrived, Settled};

/// How long the sink waits for a generation of the member.
const GENERATION_LIMIT: Duration = Duration::from_secs(10);

/// The time between two looks for it.
const GENERATION_PAUSE: Duration = Duration::from_millis(20);

/// The timeout of one request for offsets, and how long the request is repeated: the brokers answer it when transactions of
/// earlier owners have ended.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const LOOKUP_LIMIT: Duration = Duration::from_secs(70);

/// The session timeout of a client that joins no group.
const NO_SESSION: Duration = Duration::from_secs(45);

/// A source whose commits the sink has taken over.
#[derive(Debug, Clone)]
struct Upstream {
    /// The beginning of the names of its partitions in the sink.
    prefix: String,
    group: Arc<SharedGroup>,
}

/// The offsets of one group for a transaction.
#[derive(Debug)]
pub(super) struct Offsets {
    pub(super) group: Arc<SharedGroup>,
    pub(super) generation: Generation,
    pub(super) offsets: Vec<GroupOffset>,
}

/// The positions of assignments that a transaction brings, by the place of their source and their name there.
pub(super) type Brought = BTreeMap<(usize, Partition), u64>;

/// What is known of the events of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// They are of no source here.
    Foreign,
    /// Their assignment is over.
    Lost,
    /// Those through this position have arrived.
    Arrived(u64),
}

/// The rows of a batch that are to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) rows: Vec<Range<u32>>,
    /// The number of rows whose partitions are lost.
    pub(super) lost: u64,
}

/// The sources whose commits the sink has taken over.
#[derive(Debug, Clone, Default)]
pub(super) struct Upstreams {
    all: Vec<Upstream>,
    /// The offsets of assignments that transactions have committed.
    committed: Brought,
}

impl Upstreams {
    /// Takes over the commits of a source whose partitions have names with this prefix. The sink has these brokers.
    ///
    /// # Errors
    /// Why the sink can't commit them.
    pub(super) fn take_over(
        &mut self,
        handover: &Handover,
        prefix: &str,
        brokers: &[String],
    ) -> Result<(), String> {
        let Ok(group) = handover.clone().downcast::<SharedGroup>() else {
            return Err("commits only offsets of Kafka".to_owned());
        };
        let all = |brokers: &[String]| brokers.iter().cloned().collect::<BTreeSet<String>>();
        if all(&group.brokers) != all(brokers) {
            return Err("has other `brokers`, which don't have the offsets of its group".to_owned());
        }
        self.all.push(Upstream { prefix: prefix.to_owned(), group });
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns the place of the source that a partition belongs to, and the name of the assignment there.
    fn find(&self, partition: &Partition) -> Option<(usize, Partition)> {
        self.all.iter().enumerate().find_map(|(place, upstream)| {
            let name = partition.name().strip_prefix(&upstream.prefix)?;
            Some((place, Partition::new(name)))
        })
    }

    /// Leaves out the rows whose partitions are lost, and those that have arrived. `None` if all rows are kept.
    pub(super) fn kept(&self, identities: &Identities, rows: &[Range<u32>]) -> Option<Kept> {
        let status = |partition: &Partition| match self.find(partition) {
            None => Status::Foreign,
            Some(_) if weir_runtime::put_back!("unknown_outcome_taken_for_a_failure") => Status::Arrived(0),
            Some(key) if self.all[key.0].group.owns(&key.1) => {
                Status::Arrived(self.committed.get(&key).copied().unwrap_or(0))
            }
            Some(_) => Status::Lost,
        };
        let statuses: Vec<Status> = identities.partitions().iter().map(status).collect();
        if statuses.iter().all(|status| matches!(status, Status::Foreign | Status::Arrived(0))) {
            return None;
        }
        let mut kept = Kept { rows: Vec::new(), lost: 0 };
        for row in rows.iter().cloned().flatten() {
            let position = identities.position_of(row as usize);
            match statuses[identities.partition_of(row as usize)] {
                Status::Lost => kept.lost += 1,
                Status::Arrived(through) if position <= through => {}
                Status::Foreign | Status::Arrived(_) => match kept.rows.last_mut() {
                    Some(last) if last.end == row => last.end += 1,
                    _ => kept.rows.push(row..row + 1),
                },
            }
        }
        Some(kept)
    }

    /// Takes the events of these sources out of what a transaction brings, and returns their positions: of the events that
    /// `arrived`, and of those that steps have dropped before (`settled`).
    pub(super) fn take(&self, arrived: &mut Arrived, settled: &mut Settled) -> Brought {
        let mut brought = Brought::new();
        if self.is_empty() {
            return brought;
        }
        settled.retain(|partition, through| {
            let Some(key) = self.find(partition) else { return true };
            let is_new = self.committed.get(&key).is_none_or(|committed| committed < through);
            if is_new && self.all[key.0].group.owns(&key.1) {
                brought.insert(key, *through);
            }
            false
        });
        arrived.retain(|partition, positions| {
            let Some(key) = self.find(partition) else { return true };
            let through = positions.max().unwrap_or_default();
            let brings = brought.entry(key).or_default();
            *brings = through.max(*brings);
            false
        });
        brought
    }

    /// Returns the offsets of each group for these positions. Waits for the generations of the members.
    ///
    /// # Errors
    /// When a member has lost a partition, or has no generation for long.
    pub(super) async fn offsets(&self, brought: &Brought) -> Result<Vec<Offsets>, NotNow> {
        let limit = Instant::now() + GENERATION_LIMIT;
        loop {
            match self.offsets_now(brought) {
                Err(NotNow::NoGeneration) if Instant::now() < limit => sleep(GENERATION_PAUSE).await,
                offsets => return offsets,
            }
        }
    }

    fn offsets_now(&self, brought: &Brought) -> Result<Vec<Offsets>, NotNow> {
        let mut all = Vec::new();
        for (place, Upstream { group, .. }) in self.all.iter().enumerate() {
            let of_group = brought.iter().filter(|((of, _), _)| *of == place);
            let positions: BTreeMap<Partition, u64> =
                of_group.map(|((_, name), through)| (name.clone(), *through)).collect();
            if !positions.is_empty() {
                let (generation, offsets) = group.commit(&positions)?;
                all.push(Offsets { group: group.clone(), generation, offsets });
            }
        }
        Ok(all)
    }

    /// Notes that a transaction with these positions is committed.
    pub(super) fn committed(&mut self, brought: Brought) {
        self.committed.extend(brought);
        let Upstreams { all, committed } = self;
        committed.retain(|(place, name), _| all[*place].group.owns(name));
    }

    /// Asks the brokers which offsets of the present assignments are committed, after a transaction whose outcome is not known.
    /// Blocks until no transaction with such offsets is open.
    ///
    /// # Errors
    /// When the brokers don't answer.
    pub(super) fn look_up(&self, config: &ProtectedConfig) -> KafkaResult<Brought> {
        let mut found = Brought::new();
        for (place, Upstream { group, .. }) in self.all.iter().enumerate() {
            let owned = group.owned();
            if owned.is_empty() {
                continue;
            }
            let mut config = config.clone();
            // With the isolation of a member, the brokers wait for open transactions.
            set_member(&mut config, &group.group, NO_SESSION);
            let client: BaseConsumer = config.create(DefaultConsumerContext)?;
            let offsets = committed_offsets(&client, owned.values())?;
            let found_here = of_assignments(owned, &offsets).map(|(name, offset)| ((place, name), offset));
            found.extend(found_here);
        }
        Ok(found)
    }
}

/// Returns the offsets of assignments. The offset of a topic that was deleted since is none: what has its name now is another topic,
/// whose start the member has yet to commit.
fn of_assignments(
    owned: BTreeMap<Partition, Owned>,
    offsets: &TopicPartitionList,
) -> impl Iterator<Item = (Partition, u64)> {
    owned.into_iter().filter_map(|(name, Owned { topic, number, metadata })| {
        let found = offsets.find_partition(&topic, number)?;
        match found.offset() {
            Offset::Offset(offset) if !name_different_topics(found.metadata(), &metadata) => {
                Some((name, u64::try_from(offset).unwrap_or(0)))
            }
            _ => None,
        }
    })
}

/// Asks for the offsets of a group, again while a transaction with offsets is open.
fn committed_offsets<'p>(
    client: &BaseConsumer,
    partitions: impl Iterator<Item = &'p Owned>,
) -> KafkaResult<TopicPartitionList> {
    let mut asked = TopicPartitionList::new();
    for Owned { topic, number, .. } in partitions {
        asked.add_partition(topic, *number);
    }
    let begin = std::time::Instant::now();
    loop {
        let answer = client.committed_offsets(asked.clone(), REQUEST_TIMEOUT).and_then(|offsets| {
            offsets.elements().iter().try_for_each(|element| element.error())?;
            Ok(offsets)
        });
        match answer {
            Err(_) if begin.elapsed() < LOOKUP_LIMIT => std::thread::sleep(Duration::from_millis(50)),
            answer => return answer,
        }
    }
}

/// Whether the brokers take no offsets of the member's generation any more.
pub(super) fn is_of_another_generation(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::FencedMemberEpoch
            | RDKafkaErrorCode::StaleMemberEpoch
    )
}

/// Makes the list of offsets for librdkafka.
pub(super) fn list_of(offsets: &[GroupOffset]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for GroupOffset { topic, number, offset, metadata } in offsets {
        let mut element = list.add_partition(topic, *number);
        if !metadata.is_empty() {
            element.set_metadata(metadata.as_str());
        }
        element.set_offset(Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX)))?;
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use roaring::RoaringTreemap;

    use super::*;

    struct Scene {
        upstreams: Upstreams,
        group: Arc<SharedGroup>,
        run: u64,
    }

    impl Scene {
        fn new() -> Scene {
            let group = Arc::new(SharedGroup::new("g", &[]));
            let run = group.begin_run();
            let mut upstreams = Upstreams::default();
            let handover: Handover = group.clone();
            upstreams.take_over(&handover, "buffer/in/", &[]).unwrap();
            Scene { upstreams, group, run }
        }

        /// Assigns a partition, and returns its name in the sink.
        fn assign(&self, number: i32) -> (Partition, Partition) {
            let plain = Partition::new(format!("logs/{number}"));
            let name = self.group.assign(self.run, &plain, "logs", number, String::new());
            (Partition::new(format!("buffer/in/{name}")), name)
        }

        fn join(&self, number: i32) {
            let generation =
                Generation { group: "g".to_owned(), number, member: "m".to_owned(), instance: None };
            self.group.renew(self.run, Some(generation));
        }
    }

    fn set(positions: impl IntoIterator<Item = u64>) -> RoaringTreemap {
        positions.into_iter().collect()
    }

    #[test]
    fn offsets_of_other_brokers_are_not_taken_over() {
        let brokers = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<String>>();
        let handover: Handover = Arc::new(SharedGroup::new("g", &brokers(&["a:1", "b:1"])));
        let taken = |names: &[&str]| Upstreams::default().take_over(&handover, "", &brokers(names));
        assert!(taken(&["b:1", "a:1"]).is_ok());
        assert!(taken(&["a:1"]).is_err());
        let other: Handover = Arc::new(7);
        assert!(Upstreams::default().take_over(&other, "", &[]).is_err());
    }

    #[test]
    fn rows_of_lost_partitions_and_rows_that_have_arrived_are_left_out() {
        let mut scene = Scene::new();
        let ((lost, lost_name), (kept, kept_name)) = (scene.assign(0), scene.assign(1));
        let other = Partition::new("buffer/other/p");
        let identities =
            Identities::of_several(vec![lost, kept, other], vec![0, 1, 1, 2, 0, 1], vec![5, 7, 8, 1, 6, 9]);
        let all = 0..6;
        let all = std::slice::from_ref(&all);
        assert_eq!(scene.upstreams.kept(&identities, all), None);
        scene.upstreams.committed(BTreeMap::from([((0, kept_name), 7)]));
        scene.group.revoke([&lost_name].into_iter());
        let kept = Kept { rows: vec![2..4, 5..6], lost: 2 };
        assert_eq!(scene.upstreams.kept(&identities, all), Some(kept));
    }

    #[test]
    fn an_offset_of_a_deleted_topic_is_no_offset_of_an_assignment() {
        let owned = |number: i32, metadata: &str| {
            let (topic, metadata) = ("logs".to_owned(), metadata.to_owned());
            (Partition::new(format!("logs/{number}")), Owned { topic, number, metadata })
        };
        let mut offsets = TopicPartitionList::new();
        for (number, metadata) in [(0, "weir topic=07"), (1, "weir topic=08"), (2, "")] {
            let mut element = offsets.add_partition("logs", number);
            element.set_metadata(metadata);
            element.set_offset(Offset::Offset(40 + i64::from(number))).unwrap();
        }
        offsets.add_partition("logs", 3);
        let assigned = (0..5).map(|number| owned(number, "weir partitions=4 topic=08")).collect();
        let found: Vec<(Partition, u64)> = of_assignments(assigned, &offsets).collect();
        assert_eq!(found, [(Partition::new("logs/1"), 41), (Partition::new("logs/2"), 42)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_brings_offsets_also_of_dropped_events() {
        let mut scene = Scene::new();
        let ((zero, zero_name), (one, one_name)) = (scene.assign(0), scene.assign(1));
        scene.join(4);
        let other = Partition::new("buffer/other/p");
        let mut arrived = BTreeMap::from([(zero.clone(), set([5, 6])), (other.clone(), set([1]))]);
        let mut settled = BTreeMap::from([(zero, 4), (one, 9), (other.clone(), 1)]);
        let brought = scene.upstreams.take(&mut arrived, &mut settled);
        assert_eq!(brought, BTreeMap::from([((0, zero_name), 6), ((0, one_name), 9)]));
        assert_eq!(arrived.keys().collect::<Vec<_>>(), [&other]);
        assert_eq!(settled, BTreeMap::from([(other, 1)]));
        let offsets = scene.upstreams.offsets(&brought).await.unwrap();
        let found: Vec<(i32, u64)> =
            offsets[0].offsets.iter().map(|offset| (offset.number, offset.offset)).collect();
        assert_eq!((found, offsets[0].generation.number), (vec![(0, 6), (1, 9)], 4));
        scene.upstreams.committed(brought);
        assert!(scene.upstreams.take(&mut Arrived::new(), &mut Settled::new()).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_with_a_lost_partition_is_not_committed() {
        let scene = Scene::new();
        let (zero, name) = scene.assign(0);
        scene.join(4);
        let brought = scene.upstreams.take(&mut BTreeMap::from([(zero, set([5]))]), &mut Settled::new());
        scene.group.revoke([&name].into_iter());
        assert_eq!(scene.upstreams.offsets(&brought).await.unwrap_err(), NotNow::Lost);
    }
}
