//! `weir check --connect`: asks the brokers whether they are there, and have and grant what the settings name. Changes nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientContext, metadata::Metadata};
use regex::Regex;
use weir_runtime::{Cause, ConnectFailure, Failure};

use super::connection::{client_config, unreachable_cause};
use super::refusal::Refusal;
use super::security::Security;

/// How long the first answer of a broker is waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How long all records of the topics are waited for.
const READ_LIMIT: Duration = Duration::from_secs(3);

/// The timeout of one further request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// The brokers and topics that a component needs.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) brokers: Vec<String>,
    pub(super) security: Security,
    /// The setting that names the topics.
    pub(super) setting: &'static str,
    pub(super) topics: Vec<String>,
    /// The group and the partitions of a source or a channel; none for a sink.
    pub(super) reads: Option<Reads>,
}

/// The group and the partitions that a source needs.
#[derive(Debug, Clone)]
pub(super) struct Reads {
    pub(super) group: String,
    /// A pattern of topics.
    pub(super) pattern: Option<Regex>,
    /// The only partitions of each topic that are read.
    pub(super) partitions: Vec<i32>,
}

/// Keeps the last error of the client.
#[derive(Clone, Default)]
struct LastError(Arc<Mutex<Option<(RDKafkaErrorCode, String)>>>);

impl LastError {
    fn take(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for LastError {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, "librdkafka: {facility}: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        // That all brokers are down says less than the error before.
        if code != RDKafkaErrorCode::AllBrokersDown {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for LastError {}

/// Asks the brokers. Takes about ten seconds at most. The check of the security before has said whether they let the client in.
pub(super) async fn ask(question: Question) -> Vec<ConnectFailure> {
    if let Err(error) = question.security.prepare_once().await {
        // That there is no ticket at the moment is no failure of that check.
        let outage = error.login_outage();
        return outage.map(|cause| at("security", cause, error.to_string())).into_iter().collect();
    }
    match tokio::task::spawn_blocking(move || question.ask()).await {
        Ok(failures) => failures,
        Err(panicked) => vec![ConnectFailure { setting: None, failure: Failure::from(panicked) }],
    }
}

fn at(setting: &'static str, cause: Cause, text: String) -> ConnectFailure {
    ConnectFailure { setting: Some(setting), failure: Failure::transient(text).caused_by(cause) }
}

impl Question {
    fn ask(&self) -> Vec<ConnectFailure> {
        let Ok(mut config) = self.security.protect(client_config(&self.brokers)) else { return Vec::new() };
        let group = self.reads.as_ref().map_or("weir", |reads| &reads.group);
        config.set("group.id", group).set("enable.partition.eof", "true").set("enable.auto.commit", "false");
        let error = LastError::default();
        let consumer: BaseConsumer<LastError> = match config.create(error.clone()) {
            Ok(consumer) => consumer,
            Err(error) => return vec![at("brokers", Cause::Unreachable, error.to_string())],
        };
        let metadata = match self.first_answer(&consumer, &error) {
            Ok(metadata) => metadata,
            Err(failure) => return failure.into_iter().collect(),
        };
        let mut failures: Vec<ConnectFailure> =
            self.topics.iter().filter_map(|topic| self.topic(&consumer, topic)).collect();
        if let Some(reads) = &self.reads {
            failures.extend(reads.no_match(&metadata));
            if failures.is_empty() {
                failures.extend(reads.refused(&consumer, self.setting, &self.topics));
            }
        }
        failures
    }

    /// Waits for the answer of a broker.
    fn first_answer(
        &self,
        consumer: &BaseConsumer<LastError>,
        error: &LastError,
    ) -> Result<Metadata, Option<ConnectFailure>> {
        let begin = Instant::now();
        let mut last = None;
        loop {
            let answer = consumer.fetch_metadata(None, REQUEST_TIMEOUT / 4);
            // Serves the callbacks.
            let _nothing_is_read = consumer.poll(Duration::ZERO);
            last = error.take().or(last);
            let failed = match answer {
                Ok(metadata) => return Ok(metadata),
                Err(failed) => failed,
            };
            if let Some((code, reason)) = &last
                && Refusal::of(*code, reason).is_some()
            {
                return Err(None);
            }
            let known =
                last.as_ref().and_then(|(code, reason)| Some((unreachable_cause(*code, reason)?, reason)));
            let is_clear = matches!(known, Some((Cause::Refused | Cause::NoSuchHost, _)));
            if begin.elapsed() >= ANSWER_LIMIT || is_clear && begin.elapsed() >= REQUEST_TIMEOUT {
                let brokers = self.brokers.join(", ");
                let (cause, reason) = known.map_or_else(
                    || (Cause::TimedOut, failed.to_string()),
                    |(cause, reason)| (cause, reason.clone()),
                );
                return Err(Some(at("brokers", cause, format!("no broker of {brokers} answers: {reason}"))));
            }
        }
    }

    /// Returns why a topic can't be used.
    fn topic(&self, consumer: &BaseConsumer<LastError>, topic: &str) -> Option<ConnectFailure> {
        let setting = self.setting;
        let asked = consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT);
        let code = match &asked {
            Ok(metadata) => metadata.topics().first()?.error().map(RDKafkaErrorCode::from),
            Err(error) => error.rdkafka_error_code(),
        };
        let (cause, text) = match code {
            None => {
                let metadata = asked.ok()?;
                let missing = self.reads.as_ref()?.missing_partition(&metadata)?;
                let text = format!("topic {topic} has no partition {missing}");
                return Some(at("partitions", Cause::Failed, text));
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                (Cause::Failed, format!("topic {topic} does not exist"))
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                (Cause::NotAuthorised, format!("the brokers don't let this client use topic {topic}"))
            }
            Some(code) => (Cause::Unreachable, format!("topic {topic}: {code}")),
        };
        Some(at(setting, cause, text))
    }
}

impl Reads {
    fn no_match(&self, metadata: &Metadata) -> Option<ConnectFailure> {
        let pattern = self.pattern.as_ref()?;
        let names = metadata.topics().iter().map(|topic| topic.name());
        let is_match = names.filter(|name| !name.starts_with("__")).any(|name| pattern.is_match(name));
        let none = "no topic that this client may see matches the pattern".to_owned();
        (!is_match).then(|| at("topic_pattern", Cause::Failed, none))
    }

    fn missing_partition(&self, metadata: &Metadata) -> Option<i32> {
        let partitions = metadata.topics().first()?.partitions();
        let is_there = |number: &i32| partitions.iter().any(|partition| partition.id() == *number);
        self.partitions.iter().find(|number| !is_there(number)).copied()
    }

    /// Reads at the end of the topics, and asks for the group's offsets, to see whether that is allowed.
    fn refused(
        &self,
        consumer: &BaseConsumer<LastError>,
        setting: &'static str,
        topics: &[String],
    ) -> Vec<ConnectFailure> {
        let mut failures = Vec::new();
        let mut wanted = TopicPartitionList::new();
        for topic in topics {
            let number = self.partitions.first().copied().unwrap_or(0);
            let _only_for_offsets = wanted.add_partition_offset(topic, number, Offset::End);
        }
        let group = &self.group;
        let asked = consumer.committed_offsets(wanted.clone(), REQUEST_TIMEOUT);
        if asked.is_err_and(|error| {
            error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
        }) {
            let text = format!("the brokers don't let this client use the group {group}");
            failures.push(at("group", Cause::NotAuthorised, text));
        }
        if topics.is_empty() || consumer.assign(&wanted).is_err() {
            return failures;
        }
        let (begin, mut read) = (Instant::now(), 0);
        while begin.elapsed() < READ_LIMIT && read < topics.len() {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Err(KafkaError::PartitionEOF(_))) => read += 1,
                Some(Err(error))
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) =>
                {
                    let text = "the brokers don't let this client read one of the topics".to_owned();
                    failures.push(at(setting, Cause::NotAuthorised, text));
                    break;
                }
                _ => {}
            }
        }
        failures
    }
}
