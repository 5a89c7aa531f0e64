//! Where reading a partition begins: behind what the group has committed, or, where it has
//! nothing, as the program says.
//!
//! librdkafka could choose by itself (`auto.offset.reset`), but then an offset that the broker
//! no longer has would be skipped in silence. So it is told to choose nothing, and this looks up
//! each beginning. What was chosen is committed at once, so that a restart does not choose
//! again: with `newest`, it would skip what was written meanwhile.
//!
//! `newest` is about the records that are there when the group begins. A partition that is added
//! later is read from its first record, or its records between its making and its finding would
//! be skipped. How many partitions a topic had when the group began goes along with each commit,
//! as its metadata, since any member may be the one that finds a new partition.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;

use super::channels::{Named, named};
use super::member::Member;
use super::positions::{Beginning, TopicPartition};

/// How long one question may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(1);

/// How long to wait before a question is asked again.
const QUESTION_PAUSE: Duration = Duration::from_millis(100);

/// What a commit's metadata begins with.
const NOTE_PREFIX: &str = "weir ";
/// Before how many partitions the topic had.
const PARTITIONS: &str = "partitions=";
/// Before the channels that what was committed was delivered to.
const CHANNELS: &str = "channels=";

/// Where a consumer group begins that has no committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Start {
    Oldest,
    Newest,
}

/// Finds where each of these partitions begins, and which channels the group's commit of it names. Blocks for as
/// long as the member may be silent.
pub(super) fn beginnings(
    consumer: &BaseConsumer<Member>,
    partitions: &TopicPartitionList,
) -> KafkaResult<Vec<Found>> {
    let look_up = LookUp { consumer, member: consumer.context() };
    let committed = look_up.committed(partitions)?;
    let partitions_at_start = match look_up.member.start() {
        Start::Oldest => HashMap::new(),
        Start::Newest => look_up.partitions_at_start(&committed)?,
    };
    committed.iter().map(|known| look_up.beginning(known, &partitions_at_start)).collect()
}

/// A beginning that was looked up.
pub(super) struct Found {
    pub(super) partition: TopicPartition,
    /// The first offset to read.
    pub(super) offset: u64,
    /// Whether the group has committed it.
    pub(super) committed: bool,
    /// The channels that the commit names.
    pub(super) channels: Named,
    /// How many partitions its topic had when the group began, where that matters.
    partitions_at_start: Option<i32>,
}

impl Found {
    /// The beginning, after the channels behind have been asked: `stored` says that they have what the group has
    /// committed. They are these now.
    pub(super) fn into_beginning(self, stored: bool, channels: &Named) -> Beginning {
        let Found { partition, offset, committed, channels: named, partitions_at_start } = self;
        // A channel remembers only so many of its incarnations, so a later one takes the place of an older.
        let is_older = stored && named != *channels;
        Beginning { partition, offset, committed: committed && !is_older, partitions_at_start, stored }
    }
}

/// The metadata of a commit.
pub(super) fn note(partitions_at_start: Option<i32>, channels: &str) -> String {
    let partitions = partitions_at_start.map(|count| format!("{PARTITIONS}{count}"));
    let channels = (!channels.is_empty()).then(|| format!("{CHANNELS}{channels}"));
    let parts: Vec<String> = partitions.into_iter().chain(channels).collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!("{NOTE_PREFIX}{}", parts.join(" ")),
    }
}

struct LookUp<'a> {
    consumer: &'a BaseConsumer<Member>,
    member: &'a Member,
}

/// What the group has committed for a partition.
#[derive(Debug, Clone)]
struct Committed {
    partition: TopicPartition,
    offset: Option<u64>,
    /// How many partitions its topic had when the group began, if the commit says so.
    partitions_at_start: Option<i32>,
    channels: Named,
}

impl LookUp<'_> {
    fn beginning(&self, known: &Committed, partitions_at_start: &HashMap<&str, i32>) -> KafkaResult<Found> {
        let partitions_at_start = partitions_at_start.get(&*known.partition.topic).copied();
        let partition = known.partition.clone();
        if let Some(offset) = known.offset {
            let channels = known.channels.clone();
            return Ok(Found { partition, offset, committed: true, channels, partitions_at_start });
        }
        let watermarks =
            |timeout| self.consumer.fetch_watermarks(&partition.topic, partition.number, timeout);
        let (oldest, newest) = self.patiently(watermarks)?;
        let skips = partitions_at_start.is_some_and(|count| partition.number < count);
        let offset = u64::try_from(if skips { newest } else { oldest }).unwrap_or(0);
        Ok(Found { partition, offset, committed: false, channels: Vec::new(), partitions_at_start })
    }

    fn committed(&self, partitions: &TopicPartitionList) -> KafkaResult<Vec<Committed>> {
        self.patiently(|timeout| {
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
                let note = offset.map_or("", |_| element.metadata());
                Ok(Committed {
                    partition: TopicPartition::new(element.topic(), element.partition()),
                    offset,
                    partitions_at_start: partitions_of_note(note),
                    channels: named(part_of_note(note, CHANNELS).unwrap_or_default()),
                })
            });
            known.collect()
        })
    }

    /// How many partitions each topic had when the group began.
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
        let count = self.patiently(|timeout| {
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
        Ok(partitions_at_start(&known, count, self.member.was_absent(topic)))
    }

    /// Asks until there is an answer, for as long as the group bears a silent member.
    fn patiently<T>(&self, ask: impl Fn(Duration) -> KafkaResult<T>) -> KafkaResult<T> {
        let deadline = Instant::now() + self.member.patience();
        loop {
            match ask(QUESTION_TIMEOUT) {
                Err(error) if Instant::now() < deadline && !self.member.is_ending() && may_pass(&error) => {
                    std::thread::sleep(QUESTION_PAUSE);
                }
                answer => return answer,
            }
        }
    }
}

fn may_pass(error: &KafkaError) -> bool {
    !error.rdkafka_error_code().is_some_and(super::error::is_refusal)
}

fn part_of_note<'n>(note: &'n str, prefix: &str) -> Option<&'n str> {
    note.strip_prefix(NOTE_PREFIX)?.split(' ').find_map(|part| part.strip_prefix(prefix))
}

fn partitions_of_note(note: &str) -> Option<i32> {
    part_of_note(note, PARTITIONS)?.parse().ok()
}

/// How many partitions a topic had when the group began, from what is committed for all of the
/// `count` that it has now. `absent` says that this member has seen the time before the topic.
fn partitions_at_start(known: &[Committed], count: i32, absent: bool) -> i32 {
    let noted = known.iter().find_map(|known| known.partitions_at_start);
    // Another program's commits carry no note: the group had the partitions that it committed.
    let committed = known.iter().filter(|known| known.offset.is_some());
    let committed = committed.map(|known| known.partition.number + 1).max();
    noted.or(committed).unwrap_or(if absent { 0 } else { count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(number: i32, offset: Option<u64>, note: &str) -> Committed {
        let partition = TopicPartition::new("logs", number);
        let channels = Vec::new();
        Committed { partition, offset, partitions_at_start: partitions_of_note(note), channels }
    }

    #[test]
    fn a_note_says_what_it_was_made_of() {
        let list = "0000000000000007:0102030405060708090a0b0c0d0e0f10";
        for (partitions, channels) in [(None, ""), (Some(4), ""), (None, list), (Some(4), list)] {
            let note = note(partitions, channels);
            assert_eq!(partitions_of_note(&note), partitions, "{note}");
            assert_eq!(part_of_note(&note, CHANNELS).unwrap_or_default(), channels, "{note}");
        }
        assert_eq!(note(Some(4), ""), "weir partitions=4", "as earlier versions have written it");
    }

    #[test]
    fn a_new_group_skips_what_all_partitions_have() {
        let none = [known(0, None, ""), known(1, None, "")];
        assert_eq!(partitions_at_start(&none, 2, false), 2);
    }

    #[test]
    fn a_topic_that_was_made_while_the_group_waited_is_read_whole() {
        assert_eq!(partitions_at_start(&[known(0, None, "")], 1, true), 0);
    }

    #[test]
    fn a_member_that_joins_later_learns_the_count_from_the_others() {
        let others = [known(0, Some(70), "weir partitions=4"), known(1, None, ""), known(5, None, "")];
        assert_eq!(partitions_at_start(&others, 6, false), 4);
    }

    #[test]
    fn commits_of_another_program_say_what_the_group_had() {
        let others = [known(0, Some(70), ""), known(1, Some(3), "flume"), known(2, None, "")];
        assert_eq!(partitions_at_start(&others, 3, false), 2);
    }
}
