//! The commits of a member: by itself, or by the sink behind, which then needs to know the member's partitions and generation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tracing::debug;

use super::{Member, lock};
use crate::components::kafka::connection::COMMIT_LIMIT;
use crate::components::kafka::native::{commit_within, generation};
use crate::components::kafka::shared_group::SharedGroup;
use crate::components::kafka::source::channels::format_list;
use crate::components::kafka::source::error::SourceError;
use crate::components::kafka::source::positions::{Commit, StartOffset, TopicPartition};
use crate::components::kafka::source::start::metadata;

/// How long commits must fail before a warning is logged.
const COMMIT_FAILURE_GRACE: Duration = Duration::from_secs(15);

/// Failed commits with more time between them are independent.
const COMMIT_FAILURE_GAP: Duration = Duration::from_secs(10);

/// The sink that commits the delivered offsets, in its transactions.
#[derive(Clone)]
pub(in crate::components::kafka::source) struct Committer {
    pub(in crate::components::kafka::source) group: Arc<SharedGroup>,
    /// The run of the source.
    pub(in crate::components::kafka::source) run: u64,
}

impl Member {
    /// Gives the assignment of a partition its own name, and tells it the sink, if the sink commits its offsets.
    pub(super) fn name_assignment(&self, start: &mut StartOffset) {
        if let Some(Committer { group, run }) = &self.committer {
            let TopicPartition { topic, number } = &start.partition;
            self.end_assignments(std::slice::from_ref(&start.partition));
            let metadata = metadata(start.partitions_at_start, start.id, "");
            start.name = group.assign(*run, &start.name, topic, *number, metadata);
        }
    }

    /// Tells the sink that commits the offsets that the member loses these partitions.
    pub(super) fn end_assignments(&self, gone: &[TopicPartition]) {
        if let Some(Committer { group, .. }) = &self.committer {
            group.revoke(lock(&self.positions).names_of(gone));
        }
    }

    /// Tells the sink that commits the offsets the present generation of the member.
    pub(in crate::components::kafka::source) fn renew_generation(&self, consumer: &BaseConsumer<Member>) {
        if let Some(Committer { group, run }) = &self.committer {
            group.renew(*run, generation(consumer.client()));
        }
    }

    /// Sends the commits that are due to the broker, without waiting. A failure is reported by librdkafka's log. Sends none if the sink
    /// commits the offsets: a commit that comes between the offsets and the end of a transaction would take them back.
    pub(in crate::components::kafka::source) fn commit_due(&self, consumer: &BaseConsumer<Member>) {
        if self.committer.is_some() || self.untraced {
            return;
        }
        let due = lock(&self.positions).take_due();
        if due.is_empty() {
            return;
        }
        debug!(component = %self.connection.component(), ?due, "commits");
        if let Err(error) = consumer.commit(&self.commit_list(&due), CommitMode::Async) {
            self.commit_failed(&error.to_string());
        }
    }

    /// Commits the delivered offsets of these partitions, and waits for the answer. Commits nothing if the sink does, or if the source
    /// leaves no trace.
    pub(in crate::components::kafka::source) fn commit_now(
        &self,
        consumer: &BaseConsumer<Member>,
        partitions: &[TopicPartition],
    ) {
        if self.committer.is_some() || self.untraced {
            return;
        }
        let commits = lock(&self.positions).unconfirmed(partitions);
        if !commits.is_empty() {
            match commit_within(consumer.client(), &self.commit_list(&commits), COMMIT_LIMIT) {
                Ok(()) => lock(&self.positions).committed(&commits),
                Err(error) => self.commit_failed(&error.to_string()),
            }
        }
    }

    /// Commits the offsets at which partitions start, before anything is read from there: with `exactly_once`, a partition of which
    /// something is known has a commit, unless its topic was deleted.
    pub(super) fn commit_starts(
        &self,
        consumer: &BaseConsumer<Member>,
        starts: &mut [StartOffset],
    ) -> Result<(), SourceError> {
        if self.untraced {
            return Ok(());
        }
        let chosen = starts.iter_mut().filter(|start| !start.committed);
        let mut chosen: Vec<&mut StartOffset> = chosen.collect();
        if chosen.is_empty() {
            return Ok(());
        }
        let commits: Vec<Commit> = chosen.iter().map(|start| start.commit()).collect();
        commit_within(consumer.client(), &self.commit_list(&commits), COMMIT_LIMIT)
            .map_err(|error| self.lookup_error(KafkaError::ConsumerCommit(error)))?;
        chosen.iter_mut().for_each(|start| start.committed = true);
        Ok(())
    }

    fn commit_list(&self, commits: &[Commit]) -> TopicPartitionList {
        let channels = format_list(&self.channels.list());
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for Commit { partition, id, offset, partitions_at_start, stored } in commits {
            let metadata = metadata(*partitions_at_start, *id, if *stored { &channels } else { "" });
            let mut element = list.add_partition(&partition.topic, partition.number);
            if !metadata.is_empty() {
                element.set_metadata(&*metadata);
            }
            // Only offsets that are not numbers are refused.
            let _accepted = element.set_offset(Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX)));
        }
        list
    }

    pub(super) fn commit_failed(&self, reason: &str) {
        lock(&self.positions).retry();
        let now = Instant::now();
        let mut failures = lock(&self.commit_failures);
        let first =
            failures.filter(|(_, last)| now - *last < COMMIT_FAILURE_GAP).map_or(now, |(first, _)| first);
        *failures = Some((first, now));
        // During a rebalance, commits fail and are repeated.
        if now - first < COMMIT_FAILURE_GRACE {
            return;
        }
        self.warn_limited("commit", || {
            format!("offsets can't be committed: while this lasts, records are read again after a restart; trying again ({reason})")
        });
    }
}
