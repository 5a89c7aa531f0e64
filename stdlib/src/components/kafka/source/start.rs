//! Looks up the offset at which reading a partition starts: the offset that the group has committed, or, without a
//! commit, the one that the setting `start` names.
//!
//! librdkafka could choose the offset itself (`auto.offset.reset`), but would then silently skip offsets that the
//! broker no longer has. So librdkafka is set to choose nothing. A chosen offset is committed at once, so that a
//! restart does not choose again: with `newest`, it would skip the records that were written meanwhile.
//!
//! `newest` skips only the records that exist when the group starts. A partition that is added later is read from its
//! first record; otherwise the records written before the partition was found would be skipped. Any member may find a
//! new partition, so the metadata of each commit has the number of partitions that the topic had when the group
//! started.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;

use super::channels::{ChannelList, parse_list};
use super::member::Member;
use super::positions::{StartOffset, TopicPartition};
use crate::components::kafka::connection::{POLLING_TIMEOUT, is_unanswered};
use crate::components::kafka::native::{TopicId, known_id};

/// The wait before a failed request is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The beginning of a commit's metadata.
const METADATA_PREFIX: &str = "weir ";
/// The key of the number of partitions that the topic had when the group started.
const PARTITIONS: &str = "partitions=";
/// The key of the identity of the topic whose records were committed.
const TOPIC: &str = "topic=";
/// The key of the channels that the committed records were delivered to.
const CHANNELS: &str = "channels=";

/// Where a consumer group without a committed offset starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Start {
    Oldest,
    Newest,
    Time { at: StartTime },
    Offset { number: u64 },
}

/// A time, in microseconds since 1970-01-01T00:00:00Z. Settings have it as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct StartTime(i64);

impl TryFrom<String> for StartTime {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<StartTime, jiff::Error> {
        Ok(StartTime(text.parse::<jiff::Timestamp>()?.as_microsecond()))
    }
}

/// Looks up the start offset of each partition, and the channels that the group's commit names. Blocks for at most
/// [`Member::lookup_timeout`].
pub(super) fn start_offsets(
    consumer: &BaseConsumer<Member>,
    partitions: &TopicPartitionList,
) -> KafkaResult<Vec<LookedUp>> {
    let lookup = Lookup { consumer, member: consumer.context() };
    let committed = lookup.committed(partitions)?;
    let partitions_at_start = match lookup.member.start() {
        Start::Oldest | Start::Time { .. } => HashMap::new(),
        Start::Newest | Start::Offset { .. } => lookup.partitions_at_start(&committed)?,
    };
    committed.iter().map(|known| lookup.start_offset(known, &partitions_at_start)).collect()
}

/// A start offset that was looked up, and not yet compared with the channels behind.
pub(super) struct LookedUp {
    pub(super) partition: TopicPartition,
    /// The identity of the topic, if the brokers give it one.
    pub(super) id: Option<TopicId>,
    /// The first offset to read.
    pub(super) offset: u64,
    /// Whether the group has committed the offset.
    pub(super) committed: bool,
    /// The channels that the commit names.
    pub(super) channels: ChannelList,
    /// How many partitions its topic had when the group started; only with `newest`.
    partitions_at_start: Option<i32>,
}

impl LookedUp {
    /// Makes the start offset, after the comparison with the channels behind. `stored` says that they have the records
    /// that the group has committed, and `channels` are their present incarnations.
    pub(super) fn into_start_offset(self, stored: bool, channels: &ChannelList) -> StartOffset {
        let LookedUp { partition, id, offset, committed, channels: committed_channels, partitions_at_start } =
            self;
        // A channel remembers a limited number of incarnations, so a commit with an older one is replaced.
        let is_outdated = stored && committed_channels != *channels;
        let committed = committed && !is_outdated;
        let name = partition.partition(id);
        StartOffset { partition, name, id, offset, delivered: offset, committed, partitions_at_start, stored }
    }
}

/// Formats the metadata of a commit.
pub(super) fn metadata(partitions_at_start: Option<i32>, id: Option<TopicId>, channels: &str) -> String {
    let partitions = partitions_at_start.map(|count| format!("{PARTITIONS}{count}"));
    let topic = id.map(|id| format!("{TOPIC}{id}"));
    let channels = (!channels.is_empty()).then(|| format!("{CHANNELS}{channels}"));
    let parts: Vec<String> = partitions.into_iter().chain(topic).chain(channels).collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!("{METADATA_PREFIX}{}", parts.join(" ")),
    }
}

struct Lookup<'a> {
    consumer: &'a BaseConsumer<Member>,
    member: &'a Member,
}

/// The group's commit of a partition, if there is one.
#[derive(Debug, Clone)]
struct Committed {
    partition: TopicPartition,
    id: Option<TopicId>,
    offset: Option<u64>,
    /// How many partitions its topic had when the group started, if the commit's metadata says so.
    partitions_at_start: Option<i32>,
    channels: ChannelList,
}

impl Lookup<'_> {
    fn start_offset(
        &self,
        known: &Committed,
        partitions_at_start: &HashMap<&str, i32>,
    ) -> KafkaResult<LookedUp> {
        let partitions_at_start = partitions_at_start.get(&*known.partition.topic).copied();
        let (partition, id) = (known.partition.clone(), known.id);
        if let Some(offset) = known.offset {
            let channels = known.channels.clone();
            return Ok(LookedUp { partition, id, offset, committed: true, channels, partitions_at_start });
        }
        let is_older = partitions_at_start.is_some_and(|count| partition.number < count);
        let offset = match self.member.start() {
            Start::Offset { number } if is_older => number,
            Start::Time { at: StartTime(at) } => self.first_since(&partition, at)?,
            start => {
                let watermarks =
                    |timeout| self.consumer.fetch_watermarks(&partition.topic, partition.number, timeout);
                let (oldest, newest) = self.retry(watermarks)?;
                let is_skipped = start == Start::Newest && is_older;
                u64::try_from(if is_skipped { newest } else { oldest }).unwrap_or(0)
            }
        };
        Ok(LookedUp { partition, id, offset, committed: false, channels: Vec::new(), partitions_at_start })
    }

    /// Returns the offset of the first record whose time is not before this one, in microseconds; without one, the
    /// partition's end.
    fn first_since(&self, partition: &TopicPartition, at: i64) -> KafkaResult<u64> {
        let (topic, number) = (&*partition.topic, partition.number);
        // A record's time has milliseconds: the first one that is not before.
        let milliseconds = at.div_euclid(1_000) + i64::from(at.rem_euclid(1_000) > 0);
        self.retry(|timeout| {
            let mut wanted = TopicPartitionList::with_capacity(1);
            wanted.add_partition_offset(topic, number, Offset::Offset(milliseconds.max(0)))?;
            let found = self.consumer.offsets_for_times(wanted, timeout)?;
            let element = found.find_partition(topic, number);
            element.as_ref().map_or(Ok(()), |element| element.error())?;
            match element.map(|element| element.offset()) {
                Some(Offset::Offset(offset)) => Ok(u64::try_from(offset).unwrap_or(0)),
                _ => {
                    let (_, end) = self.consumer.fetch_watermarks(topic, number, timeout)?;
                    Ok(u64::try_from(end).unwrap_or(0))
                }
            }
        })
    }

    fn committed(&self, partitions: &TopicPartitionList) -> KafkaResult<Vec<Committed>> {
        let mut ids: HashMap<String, Option<TopicId>> = HashMap::new();
        for element in partitions.elements() {
            if !ids.contains_key(element.topic()) {
                let id = self.retry(|timeout| self.topic_id(element.topic(), timeout))?;
                ids.insert(element.topic().to_owned(), id);
            }
        }
        if self.member.is_untraced() {
            let unknown = |element: TopicPartitionListElem<'_>| Committed {
                partition: TopicPartition::new(element.topic(), element.partition()),
                id: ids.get(element.topic()).copied().flatten(),
                offset: None,
                partitions_at_start: None,
                channels: Vec::new(),
            };
            return Ok(partitions.elements().into_iter().map(unknown).collect());
        }
        self.retry(|timeout| {
            let mut unset = TopicPartitionList::with_capacity(partitions.count());
            for element in partitions.elements() {
                unset.add_partition(element.topic(), element.partition());
            }
            let found = self.consumer.committed_offsets(unset, timeout)?;
            let known = found.elements().into_iter().map(|element| {
                element.error()?;
                let offset = match element.offset() {
                    Offset::Offset(offset) => u64::try_from(offset).ok(),
                    _ => None,
                };
                let id = ids.get(element.topic()).copied().flatten();
                let of_another = offset.is_some_and(|_| is_of_another_topic(element.metadata(), id));
                if of_another {
                    self.member.note_of_another_topic(element.topic());
                }
                let offset = offset.filter(|_| !of_another);
                let metadata = offset.map_or("", |_| element.metadata());
                Ok(Committed {
                    partition: TopicPartition::new(element.topic(), element.partition()),
                    id,
                    offset,
                    partitions_at_start: partitions_of_metadata(metadata),
                    channels: parse_list(metadata_part(metadata, CHANNELS).unwrap_or_default()),
                })
            });
            known.collect()
        })
    }

    /// Returns the identity of a topic; none if the brokers give it none. A broker that does not know a new topic yet is an error,
    /// and is asked again: without its identity, the topic would have another name for sinks than after the next start.
    fn topic_id(&self, topic: &str, timeout: Duration) -> KafkaResult<Option<TopicId>> {
        known_id(self.consumer.client(), topic, timeout).map_err(KafkaError::AdminOp)
    }

    /// Returns how many partitions each topic had when the group started.
    fn partitions_at_start<'c>(&self, assigned: &'c [Committed]) -> KafkaResult<HashMap<&'c str, i32>> {
        let mut counts = HashMap::new();
        for known in assigned {
            if let Some(count) = known.partitions_at_start {
                counts.insert(&*known.partition.topic, count);
            }
        }
        for known in assigned {
            let topic = &*known.partition.topic;
            if !counts.contains_key(topic) {
                counts.insert(topic, self.partitions_of_topic_at_start(topic)?);
            }
        }
        Ok(counts)
    }

    fn partitions_of_topic_at_start(&self, topic: &str) -> KafkaResult<i32> {
        let count = self.retry(|timeout| {
            let metadata = self.consumer.fetch_metadata(Some(topic), timeout)?;
            let found = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
            match i32::try_from(found) {
                Ok(0) | Err(_) => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable)),
                Ok(count) => Ok(count),
            }
        })?;
        let mut all = TopicPartitionList::with_capacity(count as usize);
        all.add_partition_range(topic, 0, count - 1);
        let known = self.committed(&all)?;
        Ok(partitions_at_start(&known, count, self.member.was_missing(topic)))
    }

    /// Repeats a request until it is answered, the error is permanent, or [`Member::lookup_timeout`] has passed.
    fn retry<T>(&self, request: impl Fn(Duration) -> KafkaResult<T>) -> KafkaResult<T> {
        let (begin, connection) = (Instant::now(), self.member.connection());
        loop {
            match request(POLLING_TIMEOUT) {
                Err(error)
                    if begin.elapsed() < self.member.lookup_timeout()
                        && !self.member.is_ending()
                        && is_transient(&error) =>
                {
                    if is_unanswered(&error) {
                        connection.unanswered(begin.elapsed());
                    }
                    std::thread::sleep(RETRY_PAUSE);
                }
                Err(error) => return Err(error),
                Ok(answer) => {
                    connection.answered();
                    return Ok(answer);
                }
            }
        }
    }
}

fn is_transient(error: &KafkaError) -> bool {
    !error.rdkafka_error_code().is_some_and(super::error::is_refusal)
}

fn metadata_part<'n>(metadata: &'n str, prefix: &str) -> Option<&'n str> {
    metadata.strip_prefix(METADATA_PREFIX)?.split(' ').find_map(|part| part.strip_prefix(prefix))
}

/// Whether a commit's metadata names another topic than the one that has the name now.
fn is_of_another_topic(metadata: &str, now: Option<TopicId>) -> bool {
    let named = metadata_part(metadata, TOPIC);
    matches!((named, now), (Some(named), Some(now)) if named != now.to_string())
}

/// Whether the metadata of two commits name different topics.
pub(in crate::components::kafka) fn name_different_topics(one: &str, other: &str) -> bool {
    let (one, other) = (metadata_part(one, TOPIC), metadata_part(other, TOPIC));
    one.is_some() && other.is_some() && one != other
}

fn partitions_of_metadata(metadata: &str) -> Option<i32> {
    metadata_part(metadata, PARTITIONS)?.parse().ok()
}

/// Returns how many partitions a topic had when the group started. `known` are the group's commits of the `count`
/// partitions that the topic has now. `was_missing` says that the topic was made after this member started.
fn partitions_at_start(known: &[Committed], count: i32, was_missing: bool) -> i32 {
    let from_metadata = known.iter().find_map(|known| known.partitions_at_start);
    // The commits of other programs have no such metadata: the group had at least the partitions that it committed.
    let committed = known.iter().filter(|known| known.offset.is_some());
    let committed = committed.map(|known| known.partition.number + 1).max();
    from_metadata.or(committed).unwrap_or(if was_missing { 0 } else { count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(number: i32, offset: Option<u64>, metadata: &str) -> Committed {
        let partition = TopicPartition::new("logs", number);
        let channels = Vec::new();
        let partitions_at_start = partitions_of_metadata(metadata);
        Committed { partition, id: None, offset, partitions_at_start, channels }
    }

    #[test]
    fn metadata_is_parsed_as_it_was_formatted() {
        let list = "0000000000000007:0102030405060708090a0b0c0d0e0f10";
        for (partitions, channels) in [(None, ""), (Some(4), ""), (None, list), (Some(4), list)] {
            let metadata = metadata(partitions, Some(TopicId(7)), channels);
            assert_eq!(partitions_of_metadata(&metadata), partitions, "{metadata}");
            assert_eq!(metadata_part(&metadata, CHANNELS).unwrap_or_default(), channels, "{metadata}");
        }
        assert_eq!(metadata(Some(4), None, ""), "weir partitions=4", "as earlier versions have written it");
    }

    #[test]
    fn a_commit_of_a_deleted_topic_is_known_by_the_topics_identity() {
        let of_topic = |id| metadata(None, Some(TopicId(id)), "");
        assert!(is_of_another_topic(&of_topic(7), Some(TopicId(8))));
        assert!(!is_of_another_topic(&of_topic(7), Some(TopicId(7))));
        assert!(!is_of_another_topic(&of_topic(7), None), "the brokers don't say");
        assert!(!is_of_another_topic("weir partitions=4", Some(TopicId(7))), "the commit does not say");
    }

    #[test]
    fn a_new_group_skips_the_records_of_all_partitions() {
        let none = [known(0, None, ""), known(1, None, "")];
        assert_eq!(partitions_at_start(&none, 2, false), 2);
    }

    #[test]
    fn a_topic_that_is_made_after_the_group_started_is_read_from_its_first_record() {
        assert_eq!(partitions_at_start(&[known(0, None, "")], 1, true), 0);
    }

    #[test]
    fn a_member_that_joins_later_takes_the_count_from_commits_of_the_group() {
        let others = [known(0, Some(70), "weir partitions=4"), known(1, None, ""), known(5, None, "")];
        assert_eq!(partitions_at_start(&others, 6, false), 4);
    }

    #[test]
    fn commits_of_other_programs_show_which_partitions_the_group_had() {
        let others = [known(0, Some(70), ""), known(1, Some(3), "flume"), known(2, None, "")];
        assert_eq!(partitions_at_start(&others, 3, false), 2);
    }
}
