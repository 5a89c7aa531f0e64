//! The errors that stop a Kafka sink.

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::ArrowError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;
use weir_runtime::{Failure, ReasonKind};

use crate::components::kafka::native::TransactionError;
use crate::components::kafka::positions::PositionsError;
use crate::components::kafka::protected::CreateError;
use crate::components::kafka::refusal::Refusal;
use crate::components::kafka::security::{Security, SecurityError};
use crate::components::kafka::tokens::Token;
use crate::tools::template::TemplateError;

/// Why a sink can't continue. Events that were not acknowledged stay in the channel.
#[derive(Debug, Error)]
pub(super) enum SinkError {
    /// librdkafka rejects the settings.
    #[error("sink {component}: the Kafka client can't be made")]
    Client {
        component: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// The brokers don't let the client in, or a certificate is not valid.
    #[error("sink {component}: no connection to the brokers; the events stay in the channel")]
    Security {
        component: String,
        #[source]
        source: SecurityError,
    },
    /// The thread of the client could not be started.
    #[error("sink {component}: the thread of its Kafka client can't be started")]
    Thread {
        component: String,
        #[source]
        source: std::io::Error,
    },
    /// A template does not fit the events.
    #[error("sink {component}: its {setting} can't be written")]
    Template {
        component: String,
        setting: &'static str,
        #[source]
        source: TemplateError,
    },
    /// The events don't have the columns of the plan.
    #[error("sink {component}: the events can't be written")]
    Events {
        component: String,
        #[source]
        source: ArrowError,
    },
    /// The settings name a header that the events do not have.
    #[error("sink {component}: `headers` names {header}, which the events do not have")]
    NoHeader { component: String, header: String },
    /// The format can't represent an event.
    #[error(
        "sink {component}: an event can't be written in its format: {reason}; the event stays in the channel"
    )]
    Unwritable { component: String, reason: String },
    /// A record is larger than the topic or the client allows.
    #[error(
        "sink {component}: a record of {bytes} bytes is too large for topic {topic}: the topic takes what its max.message.bytes \
         says, this sink at most {limit} bytes, its buffer; the event stays in the channel"
    )]
    TooLarge { component: String, topic: String, bytes: usize, limit: u64 },
    /// The broker has refused a batch of several records, each of which may be small enough.
    #[error(
        "sink {component}: topic {topic} does not take a batch of up to {bytes} bytes: the next ones are smaller"
    )]
    BatchTooLarge { component: String, topic: String, bytes: usize },
    /// The broker does not authorize the sink.
    #[error(
        "sink {component}: the broker refuses to write to topic {topic}: {code}; the events stay in the channel"
    )]
    Refused { component: String, topic: String, code: RDKafkaErrorCode },
    /// The rendered text is not a valid name of a topic.
    #[error("sink {component}: `{topic}` can't be the name of a topic; the events stay in the channel")]
    NoTopicName { component: String, topic: String },
    /// The topic does not exist, and the broker does not create it.
    #[error("sink {component}: topic {topic} does not exist and the broker does not make it")]
    NoTopic { component: String, topic: String },
    /// The broker rejects a record for good.
    #[error(
        "sink {component}: topic {topic} does not take a record of {bytes} bytes: {code}; the event stays in the channel"
    )]
    RecordRefused { component: String, topic: String, bytes: usize, code: RDKafkaErrorCode },
    /// A record was not written in time.
    #[error("sink {component}: topic {topic} took no record within {timeout:?}")]
    TimedOut { component: String, topic: String, timeout: Duration },
    /// The settings contradict each other or the flow's promise.
    #[error("sink {component}: {what}")]
    Settings { component: String, what: String },
    /// Another agent has begun to write with the transactional id.
    #[error(
        "sink {component}: another agent writes with the transactional id `{id}` now; nothing is lost: the events stay in the \
         channel. Stop one of the two, or give each agent a `transactional_id` of its own"
    )]
    TakenOver { component: String, id: String },
    /// The broker does not let the producer go on.
    #[error(
        "sink {component}: the broker has ended the transactions of `{id}`, since another agent uses it or one has taken too long"
    )]
    Fenced { component: String, id: String },
    /// The broker does not authorize the transactional id.
    #[error(
        "sink {component}: the broker refuses transactions with the transactional id `{id}`: {code}; the events stay in the channel"
    )]
    IdRefused { component: String, id: String, code: RDKafkaErrorCode },
    /// A transaction failed.
    #[error(
        "sink {component}: {action} a transaction of `{id}` failed; the events stay in the channel and are tried again"
    )]
    Transaction {
        component: String,
        id: String,
        action: &'static str,
        #[source]
        source: TransactionError,
    },
    /// The topic with the positions can't be used.
    #[error("sink {component}: `positions`")]
    Positions {
        component: String,
        #[source]
        source: PositionsError,
    },
    /// The offsets of a source's group could not be looked up.
    #[error(
        "sink {component}: can't look up which offsets of its source are committed; the events stay in the channel"
    )]
    Offsets {
        component: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// The events have no identities.
    #[error("sink {component}: the events don't say where they come from, which `exactly_once` needs")]
    Unidentified { component: String },
    /// Another error of the producer.
    #[error(
        "sink {component}: writing to topic {topic} failed; the events stay in the channel and are tried again"
    )]
    Failed {
        component: String,
        topic: String,
        #[source]
        source: Box<KafkaError>,
    },
}

impl SinkError {
    /// Returns the reason to reject the event of the record, if the record can never be written whatever the broker's state is.
    /// The reason quotes no value of the event.
    pub(super) fn reason_to_reject(&self) -> Option<(ReasonKind, String)> {
        match self {
            SinkError::TooLarge { bytes, .. } => {
                Some((ReasonKind::TooLarge, format!("a record of {bytes} bytes is too large for the topic")))
            }
            SinkError::NoTopicName { .. } => {
                Some((ReasonKind::Unwritable, "the text can't be the name of a topic".to_owned()))
            }
            SinkError::Unwritable { reason, .. } => Some((ReasonKind::Unwritable, reason.clone())),
            _ => None,
        }
    }

    /// Classifies the error: a transient failure may pass with another attempt, a permanent one does not.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            SinkError::Client { .. }
            | SinkError::Template { .. }
            | SinkError::Events { .. }
            | SinkError::NoHeader { .. }
            | SinkError::Unwritable { .. }
            | SinkError::TooLarge { .. }
            | SinkError::Refused { .. }
            | SinkError::NoTopicName { .. }
            | SinkError::Settings { .. }
            | SinkError::TakenOver { .. }
            | SinkError::IdRefused { .. }
            | SinkError::Unidentified { .. }
            | SinkError::RecordRefused { .. } => Failure::permanent(self),
            SinkError::Positions { ref source, .. } if !source.is_transient() => Failure::permanent(self),
            SinkError::Thread { .. }
            | SinkError::BatchTooLarge { .. }
            | SinkError::NoTopic { .. }
            | SinkError::TimedOut { .. }
            | SinkError::Fenced { .. }
            | SinkError::Transaction { .. }
            | SinkError::Positions { .. }
            | SinkError::Offsets { .. }
            | SinkError::Failed { .. } => Failure::transient(self),
            SinkError::Security { ref source, .. } => {
                let cause = source.cause();
                Failure::transient(self).caused_by(cause)
            }
        }
    }
}

/// The parameters that the messages of a sink's errors need.
#[derive(Debug, Clone)]
pub(super) struct ErrorContext {
    pub(super) component: String,
    pub(super) timeout: Duration,
    /// The most bytes of one record.
    pub(super) limit: u64,
    pub(super) brokers: Vec<String>,
    pub(super) security: Security,
}

impl ErrorContext {
    /// Makes the error of a broker that does not let the client in.
    pub(super) fn refusal(&self, refusal: Refusal, shown: Option<Arc<Token>>) -> SinkError {
        let source = self.security.error(&self.brokers, refusal, shown);
        SinkError::Security { component: self.component.clone(), source }
    }

    /// Makes the error of a client that can't be made.
    pub(super) fn no_client(&self, error: CreateError) -> SinkError {
        let component = self.component.clone();
        match error {
            CreateError::Client(error) => SinkError::Client { component, source: Box::new(error) },
            CreateError::Token(error) => SinkError::Security { component, source: error.into() },
        }
    }

    /// Makes the error of a topic whose name brokers do not take.
    pub(super) fn no_topic_name(&self, topic: &str) -> SinkError {
        SinkError::NoTopicName { component: self.component.clone(), topic: topic.to_owned() }
    }

    /// Makes the error of a call for transactions.
    pub(super) fn transaction(&self, id: &str, action: &'static str, source: TransactionError) -> SinkError {
        let (component, id, code) = (self.component.clone(), id.to_owned(), source.code);
        match code {
            RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
            | RDKafkaErrorCode::UnknownProducerId
            | RDKafkaErrorCode::InvalidProducerIdMapping => SinkError::Fenced { component, id },
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::InvalidTransactionTimeout => SinkError::IdRefused { component, id, code },
            _ => SinkError::Transaction { component, id, action, source },
        }
    }

    /// Makes the error of a record of `bytes` bytes that could not be written.
    pub(super) fn record(&self, error: KafkaError, topic: &str, bytes: usize) -> SinkError {
        let (component, topic) = (self.component.clone(), topic.to_string());
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        match code {
            _ if matches!(error, KafkaError::Nul(_)) => SinkError::NoTopicName { component, topic },
            RDKafkaErrorCode::InvalidTopic | RDKafkaErrorCode::InvalidArgument => {
                SinkError::NoTopicName { component, topic }
            }
            RDKafkaErrorCode::MessageSizeTooLarge => {
                SinkError::TooLarge { component, topic, bytes, limit: self.limit }
            }
            RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                SinkError::Refused { component, topic, code }
            }
            RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition => {
                SinkError::NoTopic { component, topic }
            }
            RDKafkaErrorCode::InvalidTimestamp | RDKafkaErrorCode::InvalidRecord => {
                SinkError::RecordRefused { component, topic, bytes, code }
            }
            RDKafkaErrorCode::MessageTimedOut => {
                SinkError::TimedOut { component, topic, timeout: self.timeout }
            }
            _ => SinkError::Failed { component, topic, source: Box::new(error) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: RDKafkaErrorCode) -> Failure {
        let context = ErrorContext {
            component: "out".into(),
            timeout: Duration::from_secs(300),
            limit: 64 << 20,
            brokers: Vec::new(),
            security: Security::Plaintext,
        };
        context.record(KafkaError::MessageProduction(code), "logs", 70).into_failure()
    }

    #[test]
    fn a_record_that_is_too_large_is_a_permanent_failure_with_all_details() {
        let failure = failure(RDKafkaErrorCode::MessageSizeTooLarge);
        assert!(failure.is_permanent());
        let text = failure.to_string();
        for part in ["sink out", "topic logs", "70 bytes", "67108864", "max.message.bytes"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn errors_that_may_pass_are_transient() {
        for code in [
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::UnknownTopic,
            RDKafkaErrorCode::Fatal,
            RDKafkaErrorCode::NotEnoughReplicas,
        ] {
            assert!(!failure(code).is_permanent(), "{code}");
        }
    }
}
