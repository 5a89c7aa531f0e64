//! The Kafka sink: each event becomes a record, and is acknowledged when the broker has said that
//! the record is written.
//!
//! Several batches are on their way at once; librdkafka's queue, bounded by `buffer`, is what
//! slows the sink down. Records of one partition keep their order, also over retries.

mod error;
mod records;
mod shipping;

use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use serde::Deserialize;
use tokio::time::sleep;
use weir_plan::{Settings, Template};
use weir_runtime::channel::Taken;
use weir_runtime::sink::{Delivery, Sink, SinkPort};
use weir_runtime::{Context, Failure};

use super::connection::{Connection, Security, client_config, milliseconds};
use crate::language::types::Allowed;
use crate::tools::template::Renderer;
use error::{Naming, SinkError};
use records::{Records, Unfit};
use shipping::{Loaded, Reports, Shipping};

/// Records that are handed to librdkafka before other tasks have their turn.
const ROWS_IN_A_TURN: usize = 512;

/// How long to wait for room in librdkafka's queue, at first and at most.
const ROOM_PAUSE_MIN: Duration = Duration::from_millis(1);
const ROOM_PAUSE_MAX: Duration = Duration::from_millis(50);

/// What each record takes of `buffer` at least: librdkafka counts only keys and bodies, but keeps
/// more for each of them.
const RECORD_BYTES: u64 = 256;

/// How long a broker itself may take for a request.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// The largest record that librdkafka can be set to take.
const RECORD_BYTES_MAX: u64 = 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Acks {
    None,
    Leader,
    All,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Partitioner {
    Murmur2,
    Crc32,
}

/// The one of the formats that this version writes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Raw,
}

#[derive(Debug, Deserialize)]
struct KafkaSinkSettings {
    brokers: Vec<String>,
    topic: Template,
    key: Option<Template>,
    partitioner: Partitioner,
    format: Format,
    acks: Acks,
    compress: Compression,
    linger: Duration,
    timeout: Duration,
    buffer: u64,
    security: Security,
    allow: Option<Allowed>,
}

impl KafkaSinkSettings {
    fn client_config(&self) -> ClientConfig {
        let mut config = client_config(&self.brokers, self.security);
        let acks = match self.acks {
            Acks::None => "0",
            Acks::Leader => "1",
            Acks::All => "all",
        };
        let compression = match self.compress {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        };
        let partitioner = match self.partitioner {
            // As Kafka's own producers spread keys, so that both write a key to one partition.
            Partitioner::Murmur2 => "murmur2_random",
            Partitioner::Crc32 => "consistent_random",
        };
        let idempotent = self.acks == Acks::All;
        config
            .set("acks", acks)
            .set("enable.idempotence", idempotent.to_string())
            .set("compression.type", compression)
            .set("linger.ms", milliseconds(self.linger))
            .set("delivery.timeout.ms", milliseconds(self.timeout))
            .set("request.timeout.ms", milliseconds(self.timeout.min(REQUEST_TIMEOUT_MAX)))
            .set("queue.buffering.max.kbytes", (self.buffer / 1024).to_string())
            .set("queue.buffering.max.messages", (self.buffer / RECORD_BYTES).to_string())
            .set("message.max.bytes", self.record_bytes_max().to_string())
            .set("partitioner", partitioner);
        if !idempotent {
            // Without idempotence a retry may overtake the request behind it.
            config.set("max.in.flight.requests.per.connection", "1");
        }
        config
    }

    fn record_bytes_max(&self) -> u64 {
        self.buffer.min(RECORD_BYTES_MAX)
    }
}

/// Writes events to topics.
struct KafkaSink {
    context: Context,
    settings: KafkaSinkSettings,
    topic: Renderer,
    key: Option<Renderer>,
}

/// Makes a Kafka sink.
///
/// # Errors
/// When the settings are not those of this version.
pub fn make_sink(settings: &Settings, context: Context) -> Result<Box<dyn Sink>, Failure> {
    let settings: KafkaSinkSettings = settings.read().map_err(Failure::permanent)?;
    let KafkaSinkSettings { format: Format::Raw, allow: None | Some(Allowed::Sensitive), .. } = settings;
    let component = context.component.to_string();
    let renderer = |setting, template: &Template| {
        let misfit = |source| SinkError::Template { component: component.clone(), setting, source };
        Renderer::new(template, "UTC").map_err(misfit).map_err(SinkError::into_failure)
    };
    let topic = renderer("topic", &settings.topic)?;
    let key = settings.key.as_ref().map(|key| renderer("key", key)).transpose()?;
    Ok(Box::new(KafkaSink { context, settings, topic, key }))
}

impl KafkaSink {
    fn start(&self) -> Result<Shipping, SinkError> {
        let KafkaSinkSettings { brokers, timeout, .. } = &self.settings;
        let meanwhile = "the events stay in the channel";
        let connection = Connection::new("sink", &self.context.component, brokers, meanwhile);
        let naming = Naming {
            component: self.context.component.to_string(),
            timeout: *timeout,
            limit: self.settings.record_bytes_max(),
        };
        Shipping::start(&self.settings.client_config(), Reports::new(connection, naming))
    }

    /// Sends what comes until nothing more does and everything has arrived.
    async fn ship(&self, port: &mut SinkPort, shipping: &Shipping) -> Result<(), Failure> {
        let reports = shipping.reports();
        loop {
            let taken = tokio::select! {
                biased;
                error = reports.failure() => return Err(error.into_failure()),
                taken = port.take() => taken?,
            };
            match taken {
                Taken::Events(delivery) => {
                    self.send(delivery, shipping).await.map_err(SinkError::into_failure)?;
                }
                // Nothing is held back: what was taken is on its way.
                Taken::Pressure => {}
                Taken::End => return reports.settled().await.map_err(SinkError::into_failure),
            }
        }
    }

    /// Hands a batch to the producer. It is acknowledged when all its records are reported.
    async fn send(&self, delivery: Delivery, shipping: &Shipping) -> Result<(), SinkError> {
        let Delivery { batch, acknowledgement } = delivery;
        let shipment = shipping.reports().begin(acknowledgement);
        let mut records =
            Records::bind(&self.topic, self.key.as_ref(), &batch).map_err(|unfit| self.unfit(unfit))?;
        let (mut row, mut pause) = (0, ROOM_PAUSE_MIN);
        while row < batch.rows() {
            let turn = row..batch.rows().min(row + ROWS_IN_A_TURN);
            match shipping.load(&mut records, turn, &shipment)? {
                Loaded::Through(next) => {
                    row = next;
                    tokio::task::yield_now().await;
                }
                Loaded::Full(next) => {
                    pause = if next > row { ROOM_PAUSE_MIN } else { (pause * 2).min(ROOM_PAUSE_MAX) };
                    row = next;
                    tokio::select! {
                        biased;
                        error = shipping.reports().failure() => return Err(error),
                        () = sleep(pause) => {}
                    }
                }
            }
        }
        shipment.loaded();
        Ok(())
    }

    fn unfit(&self, unfit: Unfit) -> SinkError {
        let component = self.context.component.to_string();
        match unfit {
            Unfit::Topic(source) => SinkError::Template { component, setting: "topic", source },
            Unfit::Key(source) => SinkError::Template { component, setting: "key", source },
            Unfit::NoBody => SinkError::NoBody { component },
        }
    }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        let shipping = self.start().map_err(SinkError::into_failure)?;
        let shipped = self.ship(port, &shipping).await;
        shipping.end().await;
        shipped
    }
}
