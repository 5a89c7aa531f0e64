//! The settings of the Kafka sink, and those of librdkafka's producer.

use std::time::Duration;

use rdkafka::ClientConfig;
use serde::Deserialize;
use weir_plan::Template;

use crate::components::kafka::connection::{
    STATISTICS_INTERVAL, client_config, milliseconds, set_transaction_timeout,
};
use crate::components::kafka::security::Security;
use crate::formats::codec::{Codec, KAFKA_BATCHES, UnsupportedCodec};
use crate::formats::messages::MessageFormat;
use crate::language::types::{Allowed, RetrySettings};

/// The least bytes that a record takes of `buffer`. librdkafka counts only keys and bodies, but needs more memory.
const RECORD_BYTES: u64 = 256;

/// The longest time that a broker may take for one request.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// The largest value of librdkafka's `message.max.bytes`.
const RECORD_BYTES_MAX: u64 = 1_000_000_000;

/// The longest time that a transaction may take before the broker ends it, which is also Kafka's default.
pub(super) const TRANSACTION_TIMEOUT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Delivers {
    ExactlyOnce,
    Idempotent,
    AtLeastOnce,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct TransactionSettings {
    pub(super) events: usize,
    pub(super) age: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Acks {
    None,
    Leader,
    All,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Partitioner {
    Murmur2,
    Crc32,
}

#[derive(Debug, Deserialize)]
pub(super) struct KafkaSinkSettings {
    pub(super) brokers: Vec<String>,
    pub(super) topic: Template,
    pub(super) key: Option<Template>,
    pub(super) partitioner: Partitioner,
    pub(super) format: MessageFormat,
    pub(super) headers: Vec<String>,
    pub(super) acks: Acks,
    pub(super) delivery: Option<Delivers>,
    pub(super) transaction: TransactionSettings,
    pub(super) transactional_id: Option<String>,
    pub(super) positions: Option<String>,
    pub(super) compress: Codec,
    pub(super) linger: Duration,
    pub(super) timeout: Duration,
    pub(super) buffer: u64,
    pub(super) security: Security,
    pub(super) retry: Option<RetrySettings>,
    pub(super) allow: Option<Allowed>,
}

impl KafkaSinkSettings {
    /// With a transactional id, the producer has transactions.
    ///
    /// # Errors
    /// When Kafka does not have the codec.
    pub(super) fn client_config(
        &self,
        transactional_id: Option<&str>,
    ) -> Result<ClientConfig, UnsupportedCodec> {
        let mut config = client_config(&self.brokers);
        let acks = match self.acks {
            Acks::None => "0",
            Acks::Leader => "1",
            Acks::All => "all",
        };
        let partitioner = match self.partitioner {
            // Kafka's own producers use this function, so they write a key to the same partition.
            Partitioner::Murmur2 => "murmur2_random",
            Partitioner::Crc32 => "consistent_random",
        };
        let idempotent = self.acks == Acks::All && self.delivery != Some(Delivers::AtLeastOnce);
        config
            .set("acks", acks)
            .set("enable.idempotence", idempotent.to_string())
            .set("compression.type", KAFKA_BATCHES.of(self.compress)?)
            .set("linger.ms", milliseconds(self.linger))
            .set("delivery.timeout.ms", milliseconds(self.timeout))
            .set("request.timeout.ms", milliseconds(self.timeout.min(REQUEST_TIMEOUT_MAX)))
            .set("queue.buffering.max.kbytes", (self.buffer / 1024).to_string())
            .set("queue.buffering.max.messages", (self.buffer / RECORD_BYTES).to_string())
            .set("message.max.bytes", self.record_bytes_max().to_string())
            .set("partitioner", partitioner)
            .set("statistics.interval.ms", milliseconds(STATISTICS_INTERVAL));
        if !idempotent {
            // Without idempotence, a later request may be written before the retry of an earlier one.
            config.set("max.in.flight.requests.per.connection", "1");
        }
        if let Some(id) = transactional_id {
            let timeout = self.timeout.min(TRANSACTION_TIMEOUT_MAX);
            config.set("transactional.id", id).set("delivery.timeout.ms", milliseconds(timeout));
            set_transaction_timeout(&mut config, timeout);
        }
        Ok(config)
    }

    /// Returns the contradiction between the settings and whether a flow promises `exactly_once`, if there is one.
    pub(super) fn contradiction(&self, exactly_once: bool) -> Option<&'static str> {
        match (exactly_once, self.delivery) {
            (false, Some(Delivers::ExactlyOnce)) => {
                Some("`delivery: exactly_once` needs a flow that `delivers exactly_once`")
            }
            (true, Some(Delivers::Idempotent | Delivers::AtLeastOnce)) => {
                Some("its flow delivers exactly_once, and `delivery` says less")
            }
            (true, _) if self.acks != Acks::All => Some("transactions need `acks: all`"),
            (_, Some(Delivers::Idempotent)) if self.acks != Acks::All => {
                Some("`delivery: idempotent` needs `acks: all`")
            }
            _ => None,
        }
    }

    pub(super) fn record_bytes_max(&self) -> u64 {
        self.buffer.min(RECORD_BYTES_MAX)
    }
}
