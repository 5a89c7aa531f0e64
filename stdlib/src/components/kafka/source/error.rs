//! The errors that stop a Kafka source.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;
use weir_runtime::batch::BatchError;
use weir_runtime::{Cause, Failure};

use crate::components::kafka::connection::is_unanswered;
use crate::components::kafka::native::TopicId;
use crate::components::kafka::security::SecurityError;

/// Why a source can't continue. Its committed offsets don't change, so no record is skipped.
#[derive(Debug, Error)]
pub(super) enum SourceError {
    /// librdkafka rejects the settings.
    #[error("source {component}: the Kafka client can't be made")]
    Client {
        component: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// The thread of the client could not be started.
    #[error("source {component}: the thread of its Kafka client can't be started")]
    Thread {
        component: String,
        #[source]
        source: std::io::Error,
    },
    /// The thread ended without a result, by a panic.
    #[error("source {component}: the thread of its Kafka client ended unexpectedly")]
    ThreadEnded { component: String },
    /// The broker no longer has the offset at which the group continues.
    #[error(
        "source {component}: the broker no longer has offset {position} of {topic}/{partition}, where group {group} goes on; \
         it has {low} up to {high}. Nothing was skipped: set the group's offset to say where it shall begin (kafka-consumer-groups \
         --reset-offsets), or use another group"
    )]
    OffsetGone {
        component: String,
        group: String,
        topic: String,
        partition: i32,
        position: u64,
        low: i64,
        high: i64,
    },
    /// The broker no longer has an offset, and it could not be found out which one.
    #[error(
        "source {component}: the broker no longer has an offset where group {group} goes on. Nothing was skipped: set the group's \
         offsets to say where it shall begin (kafka-consumer-groups --reset-offsets), or use another group"
    )]
    SomeOffsetGone { component: String, group: String },
    /// A channel does not know the incarnation to which the group's records were delivered.
    #[error(
        "source {component}: group {group} has committed offset {offset} of {topic}/{partition} after its records were stored in {channels}, \
         which does not know this: the channel was deleted since, or put back from an older copy, so records before this offset \
         that no sink had yet are missing. Nothing was skipped: put the channel's directory back, or set the group's offset to say \
         where it shall go on (kafka-consumer-groups --reset-offsets, --to-current to accept the loss)"
    )]
    UnknownIncarnation {
        component: String,
        group: String,
        topic: String,
        partition: i32,
        offset: u64,
        channels: String,
    },
    /// A channel has stored fewer records than the group has committed.
    #[error(
        "source {component}: group {group} has committed offset {offset} of {topic}/{partition}, but channel {channel} has stored its \
         records only up to offset {through}: the channel was put back from an older copy, or has lost its end. Nothing was skipped: \
         put the channel's directory back, or set the group's offset to say where it shall go on (kafka-consumer-groups --reset-offsets: \
         --to-offset {through} reads what is missing again, --to-current accepts the loss)"
    )]
    MissingRecords {
        component: String,
        group: String,
        topic: String,
        partition: i32,
        offset: u64,
        channel: String,
        through: u64,
    },
    /// The group has no commit of a partition that is known behind the source.
    #[error(
        "source {component}: what is behind it has records of {topic}/{partition} up to offset {known}, and group {group} has committed \
         no offset of it: the group's offsets have expired or were removed. Nothing was skipped: set the group's offset to say where it \
         shall go on (kafka-consumer-groups --reset-offsets: --to-offset {known} goes on after these records)"
    )]
    NoCommit { component: String, group: String, topic: String, partition: i32, known: u64 },
    /// A topic was deleted and made again while the source read it.
    #[error(
        "source {component}: topic {topic} was deleted and made again while it was read: it is another topic now ({now}, before {before}). \
         Records of the deleted topic that were not read are gone; the new one is read from its `start`"
    )]
    MadeAgain { component: String, topic: String, before: TopicId, now: TopicId },
    /// The broker does not authorize the source.
    #[error(
        "source {component}: the broker refuses group {group} or its topics: {code}; offsets stay where they are"
    )]
    Refused { component: String, group: String, code: RDKafkaErrorCode },
    /// A record can't be decoded, for example because of a wrong checksum.
    #[error("source {component}: a record can't be read: {code}; it is not skipped, offsets stay before it")]
    Unreadable { component: String, code: RDKafkaErrorCode },
    /// A partition can't be read at present.
    #[error("source {component}: a partition can't be read: {code}; undelivered records are read again")]
    Interrupted { component: String, code: RDKafkaErrorCode },
    /// A partition's offsets went backwards within one assignment.
    #[error("source {component}: offset {offset} of {partition} came after {position}")]
    WentBack { component: String, partition: String, offset: i64, position: u64 },
    /// The start offsets could not be looked up.
    #[error("source {component}: can't look up where group {group} shall begin; offsets stay where they are")]
    LookUp {
        component: String,
        group: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// The brokers don't let the client in, or a certificate is not valid.
    #[error("source {component}: no connection to the brokers; offsets stay where they are")]
    Security {
        component: String,
        #[source]
        source: SecurityError,
    },
    /// Another member has the same name.
    #[error(
        "source {component}: another member of group {group} has its name, `member`: give each agent of the group a name of its own; \
         offsets stay where they are"
    )]
    Fenced { component: String, group: String },
    /// A partition does not exist.
    #[error("source {component}: topic {topic} has {count} partitions, and `only` names number {number}")]
    NoPartition { component: String, topic: String, number: i64, count: usize },
    /// The client has a fatal error.
    #[error("source {component}: the Kafka client failed")]
    Fatal {
        component: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// The columns don't match the schema of the plan.
    #[error("source {component}: records don't fit the events of the plan")]
    Batch {
        component: String,
        #[source]
        source: BatchError,
    },
    /// The schema has a column that the source does not know.
    #[error("source {component}: it has nothing to put into column `{column}`")]
    Column { component: String, column: String },
}

impl SourceError {
    /// Classifies the error: a transient failure may pass with another attempt, a permanent one does not.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            SourceError::Client { .. }
            | SourceError::OffsetGone { .. }
            | SourceError::SomeOffsetGone { .. }
            | SourceError::UnknownIncarnation { .. }
            | SourceError::MissingRecords { .. }
            | SourceError::NoCommit { .. }
            | SourceError::Refused { .. }
            | SourceError::Unreadable { .. }
            | SourceError::Fenced { .. }
            | SourceError::NoPartition { .. }
            | SourceError::Batch { .. }
            | SourceError::Column { .. } => Failure::permanent(self),
            SourceError::LookUp { ref source, .. } if is_unanswered(source) => {
                Failure::transient(self).caused_by(Cause::TimedOut)
            }
            SourceError::Thread { .. }
            | SourceError::ThreadEnded { .. }
            | SourceError::Interrupted { .. }
            | SourceError::WentBack { .. }
            | SourceError::MadeAgain { .. }
            | SourceError::LookUp { .. }
            | SourceError::Fatal { .. } => Failure::transient(self),
            SourceError::Security { ref source, .. } => {
                let cause = source.cause();
                Failure::transient(self).caused_by(cause)
            }
        }
    }
}

/// Whether the broker refuses a request for good, until its configuration or the program is changed.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::InconsistentGroupProtocol
            | RDKafkaErrorCode::InvalidGroupId
            | RDKafkaErrorCode::InvalidSessionTimeout
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::UnsupportedVersion
    )
}

/// Whether this is the error of a record that can't be decoded.
pub(super) fn is_unreadable(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::NotImplemented
    )
}
