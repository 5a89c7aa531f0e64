//! The errors of a Kafka channel.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;
use weir_runtime::channel::encoding::DecodeError;
use weir_runtime::{Cause, Failure};

use crate::components::kafka::connection::is_unanswered;
use crate::components::kafka::native::{TopicId, TransactionError};
use crate::components::kafka::positions::PositionsError;
use crate::components::kafka::protected::CreateError;
use crate::components::kafka::security::SecurityError;

/// Why a channel can't be opened or go on.
#[derive(Debug, Error)]
pub(super) enum ChannelError {
    /// librdkafka rejects the settings.
    #[error("the Kafka client can't be made")]
    Client(#[source] Box<KafkaError>),
    /// The brokers don't let the client in, or a certificate is not valid.
    #[error("no connection to the brokers")]
    Security(#[from] SecurityError),
    /// A thread could not be started.
    #[error("the thread of its Kafka client can't be started")]
    Thread(#[source] std::io::Error),
    /// A broker has failed to answer.
    #[error("topic {topic}: {action} failed")]
    Kafka {
        action: &'static str,
        topic: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// The topic does not exist.
    #[error(
        "topic {topic} does not exist: make it with the partitions that its agents shall share, or let the channel make it with \
         `create: {{ partitions: 12 }}`"
    )]
    NoTopic { topic: String },
    /// The brokers don't make the topic.
    #[error("topic {topic} does not exist, and the brokers don't make it: {code}")]
    NotMade { topic: String, code: RDKafkaErrorCode },
    /// The topic loses events.
    #[error(
        "topic {topic} has cleanup.policy={policy}, by which the brokers would delete events that are not delivered: a channel \
         needs cleanup.policy=delete"
    )]
    Compacted { topic: String, policy: String },
    /// The topic takes too small records.
    #[error(
        "topic {topic} takes records of at most {limit} bytes (max.message.bytes), and a put with `put_size` {put_size} may take \
         {needed}: raise max.message.bytes of the topic, or lower `put_size`"
    )]
    TooSmall { topic: String, limit: u64, put_size: u64, needed: u64 },
    /// The settings name a partition that the topic does not have.
    #[error("topic {topic} has no partition {partition}, which `only` names")]
    NoPartition { topic: String, partition: i32 },
    /// The topic was deleted and made again.
    #[error(
        "topic {topic} was deleted and made again while the agent used it: it is another topic now ({now}, before {before}). The \
         events that it held are gone; start the agent again to go on with the new topic"
    )]
    MadeAgain { topic: String, before: TopicId, now: TopicId },
    /// Another agent has begun to write with the transactional id.
    #[error(
        "another agent puts with the transactional id `{id}` now. Stop one of the two, or give each agent a `transactional_id` \
         of its own"
    )]
    TakenOver { id: String },
    /// A transaction failed.
    #[error("topic {topic}: {action} a transaction of `{id}` failed")]
    Transaction {
        topic: String,
        id: String,
        action: &'static str,
        #[source]
        source: TransactionError,
    },
    /// The broker does not take a put.
    #[error("topic {topic} does not take a record of {bytes} bytes: {code}")]
    Refused { topic: String, bytes: usize, code: RDKafkaErrorCode },
    /// The topic with the positions can't be used.
    #[error("`positions`")]
    Positions(#[from] PositionsError),
    /// The broker does not let the group read.
    #[error("the brokers don't let the group {group} read topic {topic}: {code}")]
    NotReadable { topic: String, group: String, code: RDKafkaErrorCode },
    /// The topic no longer has events that were not delivered.
    #[error(
        "topic {topic}, partition {partition}: the group {group} goes on at the record {offset}, and the topic begins at {low} and \
         ends at {high}: its retention has deleted events that were not delivered, or it was made again. To go on without them, set \
         the group's offset to one that the topic has (kafka-consumer-groups.sh --reset-offsets)"
    )]
    Gone { topic: String, group: String, partition: i32, offset: i64, low: i64, high: i64 },
    /// A record is none of a channel's.
    #[error(
        "topic {topic}, partition {partition}: the record at the offset {offset} can't be read: {source}"
    )]
    Undecodable { topic: String, partition: i32, offset: i64, source: DecodeError },
    /// The events of a record have another type.
    #[error(
        "topic {topic}, partition {partition}: the events of the record at the offset {offset} have another type than this program \
         gives the channel: {what}"
    )]
    Misfit { topic: String, partition: i32, offset: i64, what: String },
    /// A record is larger than what the channel may hold.
    #[error(
        "topic {topic}, partition {partition}: the record at the offset {offset} has {events} events of {bytes} bytes, more than \
         `capacity` or `byte_capacity` of this agent's channel"
    )]
    TooLarge { topic: String, partition: i32, offset: i64, events: usize, bytes: u64 },
    /// A sink has events that the topic lacks.
    #[error(
        "topic {topic}, partition {partition}: the sink has events of the record {reached}, and the topic ends at {end}: the brokers \
         have lost records. New ones would be taken for those that the sink has"
    )]
    Shorter { topic: String, partition: i32, reached: u64, end: u64 },
}

impl From<CreateError> for ChannelError {
    fn from(error: CreateError) -> ChannelError {
        match error {
            CreateError::Client(error) => ChannelError::Client(Box::new(error)),
            CreateError::Token(error) => ChannelError::Security(error.into()),
        }
    }
}

impl ChannelError {
    /// Whether another attempt may succeed.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            ChannelError::Kafka { .. }
            | ChannelError::Thread(_)
            | ChannelError::Security(_)
            | ChannelError::Transaction { .. } => true,
            ChannelError::Positions(error) => error.is_transient(),
            _ => false,
        }
    }

    /// The cause that the trouble of a repeated attempt has.
    pub(super) fn cause(&self) -> Cause {
        self.known_cause().unwrap_or(Cause::Failed)
    }

    fn known_cause(&self) -> Option<Cause> {
        match self {
            ChannelError::Security(error) => Some(error.cause()),
            ChannelError::Kafka { source, .. } if is_unanswered(source) => Some(Cause::TimedOut),
            _ => None,
        }
    }

    pub(super) fn into_failure(self) -> Failure {
        match (self.is_transient(), self.known_cause()) {
            (true, Some(cause)) => Failure::transient(self).caused_by(cause),
            (true, None) => Failure::transient(self),
            (false, _) => Failure::permanent(self),
        }
    }
}

/// Whether a code says that a client may not do something, or something is wrong for good.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::InvalidTransactionTimeout
            | RDKafkaErrorCode::InvalidReplicationFactor
            | RDKafkaErrorCode::PolicyViolation
            | RDKafkaErrorCode::InvalidTopic
    )
}
