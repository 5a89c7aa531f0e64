//! Which topics and partitions a source reads. Topics by a pattern, and partitions that the group does not assign, are
//! looked up again and again, since both are made later as well.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use regex::Regex;
use serde::Deserialize;
use thiserror::Error;

use super::KafkaSourceSettings;
use super::error::SourceError;
use super::member::Member;
use crate::components::kafka::asking::{Question, Reads};
use crate::components::kafka::connection::POLLING_TIMEOUT;

/// The time between two lookups.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(10);

/// The wait after a lookup that has failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The beginning of the names of Kafka's own topics, which no pattern matches.
const INTERNAL: &str = "__";

/// The enum `Partitions` of the signature.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::components::kafka) enum Partitions {
    /// The partitions that the group assigns.
    Group,
    All,
    Only {
        numbers: Vec<i64>,
    },
}

/// Why settings select no partitions.
#[derive(Debug, Error)]
pub(super) enum SelectionError {
    /// The pattern of topics can't be used.
    #[error("`topic_pattern` is no regular expression")]
    Pattern(#[from] regex::Error),
    /// A number is negative or too large.
    #[error("`only` names the partition {0}: numbers are from 0 to 2147483647")]
    Number(i64),
    /// A name of a member without a group that assigns partitions.
    #[error("`member` names a member of the group, which has none with these `partitions`")]
    Member,
}

/// The topics and partitions that a source reads.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    topics: BTreeSet<String>,
    pattern: Option<Regex>,
    partitions: Partitions,
    subscribed: BTreeSet<String>,
    /// The partitions that are read, if the group does not assign them.
    read: BTreeSet<(String, i32)>,
    next_lookup: Option<Instant>,
}

impl Selection {
    /// Makes the selection of a source that has not started yet.
    ///
    /// # Errors
    /// When the settings contradict each other, or the pattern can't be used.
    pub(super) fn new(settings: &KafkaSourceSettings) -> Result<Selection, SelectionError> {
        // The name of a topic matches as a whole.
        let pattern = settings.topic_pattern.as_ref().map(|pattern| Regex::new(&format!("^(?:{pattern})$")));
        if let Partitions::Only { numbers } = &settings.partitions
            && let Some(number) =
                numbers.iter().find(|number| i32::try_from(**number).map_or(true, |n| n < 0))
        {
            return Err(SelectionError::Number(*number));
        }
        if settings.member.is_some() && !matches!(settings.partitions, Partitions::Group) {
            return Err(SelectionError::Member);
        }
        Ok(Selection {
            topics: settings.topics.iter().cloned().collect(),
            pattern: pattern.transpose()?,
            partitions: settings.partitions.clone(),
            subscribed: BTreeSet::new(),
            read: BTreeSet::new(),
            next_lookup: None,
        })
    }

    /// Returns what the source needs of the brokers.
    pub(super) fn question(&self, settings: &KafkaSourceSettings) -> Question {
        let partitions = match &self.partitions {
            Partitions::Only { numbers } => numbers.iter().filter_map(|n| i32::try_from(*n).ok()).collect(),
            Partitions::Group | Partitions::All => Vec::new(),
        };
        Question {
            brokers: settings.brokers.clone(),
            security: settings.security.clone(),
            setting: "topics",
            topics: self.topics.iter().cloned().collect(),
            reads: Some(Reads { group: settings.group.clone(), pattern: self.pattern.clone(), partitions }),
        }
    }

    /// Looks up topics and partitions, if that is due, and reads those that are new.
    ///
    /// # Errors
    /// When a partition that the settings name does not exist, or can't be read.
    pub(super) fn refresh(&mut self, consumer: &BaseConsumer<Member>) -> Result<(), SourceError> {
        let now = Instant::now();
        if self.next_lookup.is_some_and(|next| now < next) {
            return Ok(());
        }
        let is_complete = match self.partitions {
            Partitions::Group => self.subscribe(consumer),
            _ => self.assign(consumer)?,
        };
        let wait = if is_complete { LOOKUP_INTERVAL } else { RETRY_INTERVAL };
        self.next_lookup = Some(now + wait);
        Ok(())
    }

    /// Subscribes to the topics, if they have changed. Returns whether the lookup has succeeded.
    fn subscribe(&mut self, consumer: &BaseConsumer<Member>) -> bool {
        let (topics, is_complete) = match self.names(consumer) {
            Ok(topics) => (topics, true),
            Err(_) => (self.topics.clone(), false),
        };
        if !topics.is_subset(&self.subscribed) || (is_complete && topics != self.subscribed) {
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            if names.is_empty() {
                consumer.unsubscribe();
            } else if consumer.subscribe(&names).is_err() {
                return false;
            }
            self.subscribed = topics;
        }
        is_complete
    }

    /// Returns the names of all topics that are read now.
    fn names(&self, consumer: &BaseConsumer<Member>) -> KafkaResult<BTreeSet<String>> {
        let mut names = self.topics.clone();
        if let Some(pattern) = &self.pattern {
            let metadata = consumer.fetch_metadata(None, POLLING_TIMEOUT)?;
            let known = metadata.topics().iter().map(|topic| topic.name());
            let matching = known.filter(|name| !name.starts_with(INTERNAL) && pattern.is_match(name));
            names.extend(matching.map(str::to_owned));
        }
        Ok(names)
    }

    /// Reads partitions that are not read yet. Returns whether all topics were found.
    fn assign(&mut self, consumer: &BaseConsumer<Member>) -> Result<bool, SourceError> {
        let Ok(names) = self.names(consumer) else { return Ok(false) };
        let mut is_complete = true;
        for topic in names {
            let count = partitions_of(consumer, &topic);
            match count {
                Ok(0) => consumer.context().note_missing(&topic),
                Ok(count) => self.assign_topic(consumer, &topic, count)?,
                // Brokers that don't answer are asked again later, for all topics.
                Err(_) => return Ok(false),
            }
            is_complete &= count.is_ok_and(|count| count > 0);
        }
        Ok(is_complete)
    }

    fn assign_topic(
        &mut self,
        consumer: &BaseConsumer<Member>,
        topic: &str,
        count: usize,
    ) -> Result<(), SourceError> {
        let numbers: Vec<i32> = match &self.partitions {
            Partitions::Only { numbers } => {
                if let Some(number) = numbers.iter().find(|number| **number >= count as i64) {
                    let (component, topic) = (consumer.context().component(), topic.to_owned());
                    return Err(SourceError::NoPartition { component, topic, number: *number, count });
                }
                numbers.iter().filter_map(|number| i32::try_from(*number).ok()).collect()
            }
            _ => (0..i32::try_from(count).unwrap_or(i32::MAX)).collect(),
        };
        let numbers = numbers.into_iter().filter(|number| !self.read.contains(&(topic.to_owned(), *number)));
        let numbers: BTreeSet<i32> = numbers.collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(numbers.len());
        for number in &numbers {
            list.add_partition(topic, *number);
        }
        consumer.context().assign(consumer, &list)?;
        self.read.extend(numbers.into_iter().map(|number| (topic.to_owned(), number)));
        Ok(())
    }
}

/// Returns how many partitions a topic has; 0 if it does not exist.
fn partitions_of(consumer: &BaseConsumer<Member>, topic: &str) -> KafkaResult<usize> {
    let metadata = consumer.fetch_metadata(Some(topic), POLLING_TIMEOUT)?;
    Ok(metadata
        .topics()
        .iter()
        .find(|found| found.name() == topic)
        .map_or(0, |found| found.partitions().len()))
}
