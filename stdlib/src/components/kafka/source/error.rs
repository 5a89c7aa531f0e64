//! What stops a Kafka source.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;
use weir_runtime::Failure;
use weir_runtime::batch::BatchError;

/// Why a source can't go on. Its offsets stay where they are: nothing is skipped.
#[derive(Debug, Error)]
pub(super) enum SourceError {
    /// librdkafka refuses the settings.
    #[error("source {component}: the Kafka client can't be made")]
    Client {
        component: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// There is no thread for the client.
    #[error("source {component}: the thread of its Kafka client can't be started")]
    Thread {
        component: String,
        #[source]
        source: std::io::Error,
    },
    /// The thread is gone without a word: a panic.
    #[error("source {component}: the thread of its Kafka client ended unexpectedly")]
    ThreadEnded { component: String },
    /// The broker does not have the offset where the group is.
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
    /// The same, when nothing could be found out about it.
    #[error(
        "source {component}: the broker no longer has an offset where group {group} goes on. Nothing was skipped: set the group's \
         offsets to say where it shall begin (kafka-consumer-groups --reset-offsets), or use another group"
    )]
    SomeOffsetGone { component: String, group: String },
    /// A channel behind is not the one that the group's records were delivered to.
    #[error(
        "source {component}: group {group} has committed offset {offset} of {topic}/{partition} when its records were in {channels}, \
         which does not know of that: the channel was deleted since, or put back from an older copy, so records before this offset \
         that no sink had yet are missing. Nothing was skipped: put the channel's directory back, or set the group's offset to say \
         where it shall go on (kafka-consumer-groups --reset-offsets, --to-current to accept the loss)"
    )]
    StrangeChannel {
        component: String,
        group: String,
        topic: String,
        partition: i32,
        offset: u64,
        channels: String,
    },
    /// A channel behind has not got what was delivered to it.
    #[error(
        "source {component}: group {group} has committed offset {offset} of {topic}/{partition}, but channel {channel} has stored its \
         records only up to offset {through}: the channel was put back from an older copy, or has lost its end. Nothing was skipped: \
         put the channel's directory back, or set the group's offset to say where it shall go on (kafka-consumer-groups --reset-offsets: \
         --to-offset {through} reads what is missing again, --to-current accepts the loss)"
    )]
    ChannelHasLess {
        component: String,
        group: String,
        topic: String,
        partition: i32,
        offset: u64,
        channel: String,
        through: u64,
    },
    /// The broker does not let it.
    #[error(
        "source {component}: the broker refuses group {group} or its topics: {code}; offsets stay where they are"
    )]
    Refused { component: String, group: String, code: RDKafkaErrorCode },
    /// Records can't be read: a broken checksum or compression.
    #[error("source {component}: a record can't be read: {code}; it is not skipped, offsets stay before it")]
    Unreadable { component: String, code: RDKafkaErrorCode },
    /// A partition's offsets went backwards within one assignment.
    #[error("source {component}: offset {offset} of {partition} came after {position}")]
    WentBack { component: String, partition: String, offset: i64, position: u64 },
    /// The offsets to begin with could not be looked up.
    #[error("source {component}: can't look up where group {group} shall begin; offsets stay where they are")]
    LookUp {
        component: String,
        group: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// The client has given up.
    #[error("source {component}: the Kafka client failed")]
    Fatal {
        component: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// The columns don't make a batch.
    #[error("source {component}: records don't fit the events of the plan")]
    Batch {
        component: String,
        #[source]
        source: BatchError,
    },
    /// A column of the event type that the source does not know.
    #[error("source {component}: it has nothing to put into column `{column}`")]
    Column { component: String, column: String },
}

impl SourceError {
    /// As the supervisor wants to know it: can another attempt help?
    pub(super) fn into_failure(self) -> Failure {
        match self {
            SourceError::Client { .. }
            | SourceError::OffsetGone { .. }
            | SourceError::SomeOffsetGone { .. }
            | SourceError::StrangeChannel { .. }
            | SourceError::ChannelHasLess { .. }
            | SourceError::Refused { .. }
            | SourceError::Unreadable { .. }
            | SourceError::Batch { .. }
            | SourceError::Column { .. } => Failure::permanent(self),
            SourceError::Thread { .. }
            | SourceError::ThreadEnded { .. }
            | SourceError::WentBack { .. }
            | SourceError::LookUp { .. }
            | SourceError::Fatal { .. } => Failure::transient(self),
        }
    }
}

/// Whether the broker says no and will go on saying so until somebody changes something.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::InconsistentGroupProtocol
            | RDKafkaErrorCode::InvalidGroupId
            | RDKafkaErrorCode::InvalidSessionTimeout
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::UnsupportedVersion
    )
}

/// Whether records could not be decoded.
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
