//! The settings of the channel, and librdkafka's settings that follow from them.

use std::time::Duration;

use rdkafka::ClientConfig;
use serde::Deserialize;
use thiserror::Error;
use weir_runtime::Context;

use super::error::ChannelError;
use super::topic::Create;
use crate::components::kafka::connection::{
    STATISTICS_INTERVAL, client_config, milliseconds, set_member, set_transaction_timeout,
};
use crate::components::kafka::positions::topic_of;
use crate::components::kafka::protected::ProtectedConfig;
use crate::components::kafka::security::Security;
use crate::components::kafka::source::Partitions;
use crate::formats::codec::{Codec, KAFKA_BATCHES};

/// How long the producer tries to write a record, and a transaction may last, before the brokers end it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes of a batch of several records.
const BATCH_BYTES_MAX: u64 = 1_000_000;

/// The most bytes that a fetch asks for, by default, with room for what the answer has around the records.
const FETCH_BYTES_MAX: u64 = 51 << 20;

/// The default of librdkafka for the most bytes of an answer.
const ANSWER_BYTES_MIN: u64 = 100_000_000;

/// The most bytes that are fetched in advance for one reader, in KiB.
const PREFETCH_KIB: &str = "16384";

#[derive(Debug, Clone, Deserialize)]
pub(super) struct KafkaChannelSettings {
    pub(super) brokers: Vec<String>,
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) partitions: Partitions,
    pub(super) create: Option<Create>,
    pub(super) transaction_capacity: usize,
    pub(super) put_size: u64,
    pub(super) buffer: u64,
    pub(super) capacity: usize,
    pub(super) byte_capacity: u64,
    pub(super) keep_alive: Duration,
    compress: Codec,
    pub(super) session_timeout: Duration,
    transactional_id: Option<String>,
    positions: Option<String>,
    pub(super) security: Security,
}

/// Why the settings can't be used.
#[derive(Debug, Error)]
pub(super) enum SettingsError {
    /// The capacities contradict each other.
    #[error("`transaction_capacity`, `put_size` or `capacity` is zero, or larger than what has to hold it")]
    Capacities,
    /// Kafka does not have the codec.
    #[error("`compress`: Kafka has no such codec")]
    Codec,
    /// A number is negative or too large.
    #[error("`only` names the partition {0}: numbers are from 0 to 2147483647")]
    Partition(i64),
    /// A promise that readers of a group can't keep.
    #[error(
        "a flow promises `exactly_once`, and the partitions of a group may move to another agent, whose sinks do not know which \
         events have arrived: `partitions: all` or `only` is missing"
    )]
    Moving,
}

/// The most bytes of an answer of a broker: those that a fetch asks for, and a record that goes beyond them.
fn answer_bytes_max(record_bytes_max: u64) -> u64 {
    record_bytes_max.saturating_add(FETCH_BYTES_MAX).clamp(ANSWER_BYTES_MIN, i32::MAX as u64)
}

impl KafkaChannelSettings {
    /// Checks what the compiler has checked, for plans that were written by hand.
    pub(super) fn check(&self, context: &Context) -> Result<(), SettingsError> {
        let Self { transaction_capacity, capacity, put_size, buffer, byte_capacity, .. } = *self;
        if transaction_capacity == 0
            || transaction_capacity > capacity
            || put_size == 0
            || put_size > buffer
            || byte_capacity == 0
        {
            return Err(SettingsError::Capacities);
        }
        KAFKA_BATCHES.of(self.compress).map_err(|_| SettingsError::Codec)?;
        match &self.partitions {
            Partitions::Only { numbers } => {
                let wrong =
                    numbers.iter().find(|number| !i32::try_from(**number).is_ok_and(|number| number >= 0));
                wrong.map_or(Ok(()), |number| Err(SettingsError::Partition(*number)))
            }
            Partitions::Group if context.exactly_once => Err(SettingsError::Moving),
            _ => Ok(()),
        }
    }

    /// The settings of any client, with those of security.
    pub(super) fn protected_config(&self) -> Result<ProtectedConfig, ChannelError> {
        Ok(self.security.protect(client_config(&self.brokers))?)
    }

    /// The transactional id, and the topic of its positions.
    pub(super) fn transactional_names(&self, context: &Context) -> (String, String) {
        let Context { program, component, .. } = context;
        let id = self.transactional_id.clone().unwrap_or_else(|| format!("{program}.{component}"));
        let positions = self.positions.clone().unwrap_or_else(|| topic_of(&id));
        (id, positions)
    }

    /// The settings of the producer, without those of security. With a transactional id, it has transactions.
    pub(super) fn producer_config(
        &self,
        transactional_id: Option<&str>,
        record_bytes_max: u64,
    ) -> ClientConfig {
        let mut config = client_config(&self.brokers);
        let write = milliseconds(WRITE_TIMEOUT);
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", KAFKA_BATCHES.of(self.compress).unwrap_or("none"))
            .set("linger.ms", "0")
            .set("statistics.interval.ms", milliseconds(STATISTICS_INTERVAL))
            .set("delivery.timeout.ms", &write)
            .set("request.timeout.ms", &write)
            // The records of a group of puts, which the buffer bounds, and the positions.
            .set("queue.buffering.max.kbytes", (2 * self.buffer / 1024 + 16 * 1024).to_string())
            .set("message.max.bytes", record_bytes_max.clamp(1_000, 1_000_000_000).to_string())
            .set("batch.size", BATCH_BYTES_MAX.min(record_bytes_max).max(1).to_string());
        if let Some(id) = transactional_id {
            config.set("transactional.id", id);
            set_transaction_timeout(&mut config, WRITE_TIMEOUT);
        }
        config
    }

    /// The settings of the consumer of a reader's group.
    pub(super) fn consumer_config(
        &self,
        group: &str,
        record_bytes_max: u64,
    ) -> Result<ProtectedConfig, ChannelError> {
        let mut config = self.protected_config()?;
        set_member(&mut config, group, self.session_timeout);
        config
            .set("enable.partition.eof", "true")
            .set("statistics.interval.ms", milliseconds(STATISTICS_INTERVAL))
            .set("receive.message.max.bytes", answer_bytes_max(record_bytes_max).to_string())
            .set("queued.max.messages.kbytes", PREFETCH_KIB);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_room_for_the_largest_record() {
        assert_eq!(answer_bytes_max(1 << 20), ANSWER_BYTES_MIN);
        assert_eq!(answer_bytes_max(80 << 20), 131 << 20);
        assert_eq!(answer_bytes_max(u64::MAX), i32::MAX as u64);
    }
}
