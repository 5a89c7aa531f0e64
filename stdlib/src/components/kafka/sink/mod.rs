//! The Kafka sink: each event becomes a record, and is acknowledged when the broker reports that the record is
//! written, or in flows that promise `exactly_once` when its transaction is committed ([`exactly_once`]).
//!
//! Several batches are in flight at once. The sink waits only when librdkafka's queue, bounded by `buffer`, is full.
//! Records of one partition keep their order, also over retries.

mod brokers;
mod error;
mod exactly_once;
mod preview;
mod producer;
mod records;
mod settings;
mod transactions;
mod upstreams;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use tokio::time::sleep;
use tracing::info;
use weir_plan::{Settings, Template, TemplatePart};
use weir_runtime::channel::{Acceptance, Recovered, Taken};
use weir_runtime::sink::{Delivery, Retry, Sink, SinkPort};
use weir_runtime::source::Handover;
use weir_runtime::{ConnectFailure, Context, Failure};

use super::asking::{Question, ask};
use super::connection::{Connection, milliseconds, set_transaction_timeout};
use super::positions::topic_of;
use super::registry::RegistryError;
use super::security::SecurityError;
use crate::formats::messages::{Contents, MessageFormatting, Unwritable};
use crate::language::types::Allowed;
use crate::tools::template::Renderer;
use brokers::{Brokers, Librdkafka};
use error::{ErrorContext, SinkError};
use exactly_once::Transactions;
pub(crate) use preview::writes;
use producer::{DeliveryReports, Enqueued, PendingBatch, ProducerHandle, Refused};
use records::{RecordError, RecordHeaders, Records};
use settings::{KafkaSinkSettings, TRANSACTION_TIMEOUT_MAX, TransactionSettings};
use upstreams::Upstreams;

/// The most records that are enqueued before the task yields to other tasks.
const ROWS_PER_YIELD: usize = 512;

/// The first and the longest wait for space in librdkafka's queue.
const QUEUE_FULL_PAUSE_MIN: Duration = Duration::from_millis(1);
const QUEUE_FULL_PAUSE_MAX: Duration = Duration::from_millis(50);

/// The most bytes of a batch of several records at first, as librdkafka counts them. Brokers take a little more by default.
const BATCH_BYTES_MAX: usize = 1_000_000;

/// When a broker refuses a batch, the next ones have only this part of its size.
const BATCH_DIVISOR: usize = 8;

/// The longest time that a transaction with offsets of groups may take before the broker ends it: whoever takes over the
/// partitions of an agent that was killed waits for its end.
const GROUP_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Writes events to topics.
struct KafkaSink {
    context: Context,
    settings: KafkaSinkSettings,
    brokers: Arc<dyn Brokers>,
    client: ClientConfig,
    topic: Renderer,
    /// Whether the topic differs between events.
    topic_has_holes: bool,
    key: Option<Renderer>,
    headers: RecordHeaders,
    formatting: MessageFormatting,
    /// Whether the formatting lacks the number that the schema registry gives.
    is_unnumbered: bool,
    /// In flows that promise `exactly_once`.
    transactions: Option<Transactions>,
    /// The sources whose offsets are committed in the transactions.
    upstreams: Upstreams,
    /// The most bytes of a batch of several records. It becomes smaller when a topic does not take such batches.
    batch_bytes_max: usize,
}

/// Makes a Kafka sink.
///
/// # Errors
/// When the settings are invalid, or this version does not implement them.
pub fn make_sink(settings: &Settings, context: Context) -> Result<Box<dyn Sink>, Failure> {
    Ok(Box::new(make_sink_on(Arc::new(Librdkafka), settings, context)?))
}

/// The same with these brokers.
fn make_sink_on(
    brokers: Arc<dyn Brokers>,
    settings: &Settings,
    context: Context,
) -> Result<KafkaSink, Failure> {
    let settings: KafkaSinkSettings = settings.read().map_err(Failure::permanent)?;
    let KafkaSinkSettings { allow: None | Some(Allowed::Sensitive), .. } = settings;
    let formatting =
        MessageFormatting::new(settings.format.clone(), &context.schema).map_err(Failure::permanent)?;
    let is_unnumbered = settings.format.registry().is_some();
    let component = context.component.to_string();
    if let Some(what) = settings.contradiction(context.exactly_once) {
        return Err(SinkError::Settings { component, what: what.to_owned() }.into_failure());
    }
    let transactions = transactions(&settings, &context)?;
    let id = transactions.as_ref().map(|transactions| transactions.id.as_str());
    let client = settings.client_config(id).map_err(Failure::permanent)?;
    let renderer = |setting, template: &Template| {
        let invalid = |source| SinkError::Template { component: component.clone(), setting, source };
        Renderer::new(template, "UTC").map_err(invalid).map_err(SinkError::into_failure)
    };
    let topic = renderer("topic", &settings.topic)?;
    let key = settings.key.as_ref().map(|key| renderer("key", key)).transpose()?;
    let topic_has_holes = settings.topic.parts.iter().any(|part| matches!(part, TemplatePart::Hole(_)));
    let headers = RecordHeaders::new(&settings.headers, &context.schema)
        .map_err(|header| SinkError::NoHeader { component: component.clone(), header })
        .map_err(SinkError::into_failure)?;
    Ok(KafkaSink {
        context,
        settings,
        brokers,
        client,
        topic,
        topic_has_holes,
        key,
        headers,
        formatting,
        is_unnumbered,
        transactions,
        upstreams: Upstreams::default(),
        batch_bytes_max: BATCH_BYTES_MAX,
    })
}

/// Makes the transactions of a sink whose flow promises `exactly_once`.
fn transactions(settings: &KafkaSinkSettings, context: &Context) -> Result<Option<Transactions>, Failure> {
    if !context.exactly_once {
        return Ok(None);
    }
    let Context { program, component, .. } = context;
    let id = settings.transactional_id.clone().unwrap_or_else(|| format!("{program}.{component}"));
    let TransactionSettings { events, age } = settings.transaction;
    let positions = settings.positions.clone().unwrap_or_else(|| topic_of(&id));
    let made = Transactions::new(id, positions, events.max(1), age);
    made.map(Some).map_err(|error| Failure::transient(format!("no random numbers: {error}")))
}

impl KafkaSink {
    /// Returns the time after which the brokers end a transaction.
    fn transaction_timeout(&self) -> Duration {
        let longest = match self.upstreams.is_empty() {
            true => TRANSACTION_TIMEOUT_MAX,
            false => GROUP_TRANSACTION_TIMEOUT,
        };
        self.settings.timeout.min(longest)
    }

    /// Makes the error of connections that can't be protected.
    fn insecure(&self, source: SecurityError) -> SinkError {
        SinkError::Security { component: self.context.component.to_string(), source }
    }

    /// Makes a producer, whose token is renewed if the brokers want one.
    async fn start(&self) -> Result<ProducerHandle, SinkError> {
        let KafkaSinkSettings { brokers, timeout, security, .. } = &self.settings;
        let Context { component, meter, .. } = &self.context;
        security.prepare("sink", component, meter).await.map_err(|source| self.insecure(source))?;
        let meanwhile = "the events stay in the channel";
        let connection =
            Connection::new("sink", &self.context.component, brokers, meanwhile, &self.context.meter);
        let context = ErrorContext {
            component: self.context.component.to_string(),
            timeout: *timeout,
            limit: self.settings.record_bytes_max(),
            brokers: brokers.clone(),
            security: security.clone(),
        };
        let protected = security.protect(self.client.clone());
        let mut client = protected.map_err(|source| self.insecure(source))?;
        client.set("batch.size", self.batch_bytes_max.to_string());
        if self.batch_bytes_max <= 1 {
            client.set("batch.num.messages", "1");
        }
        if !self.upstreams.is_empty() {
            set_transaction_timeout(&mut client, self.transaction_timeout());
            client.set("delivery.timeout.ms", milliseconds(self.transaction_timeout()));
        }
        let in_transactions = self.context.exactly_once;
        let reports = DeliveryReports::new(connection, context, self.batch_bytes_max, in_transactions);
        self.brokers.start(&client, reports)
    }

    /// Asks the schema registry for the number of the schema, once.
    async fn number_schema(&mut self) -> Result<(), Failure> {
        let format = &self.settings.format;
        let Some((registry, schema)) = format.registry().zip(self.formatting.avro_schema()) else {
            return Ok(());
        };
        if self.is_unnumbered {
            let number = registry.number(schema).await.map_err(RegistryError::into_failure)?;
            info!(component = &*self.context.component, number, "the schema registry knows the schema");
            let numbered = MessageFormatting::new(format.clone().numbered(number), &self.context.schema);
            self.formatting = numbered.map_err(Failure::permanent)?;
            self.is_unnumbered = false;
        }
        Ok(())
    }

    /// Sends events until the channel ends, then waits until all records are written.
    async fn send_all(&mut self, port: &mut SinkPort, producer: &ProducerHandle) -> Result<(), Failure> {
        let reports = producer.reports();
        loop {
            let taken = tokio::select! {
                biased;
                error = reports.failure() => return Err(unrejected(error, self.context.exactly_once)),
                refused = reports.refused() => {
                    self.reject_refused(refused).await?;
                    continue;
                }
                taken = port.take() => taken?,
            };
            match taken {
                Taken::Events(delivery) => {
                    let all = 0..delivery.batch.rows() as u32;
                    self.send(delivery, std::slice::from_ref(&all), producer).await?;
                }
                // The sink holds no events back: all records are with the producer already.
                Taken::Pressure => {}
                Taken::End => return self.settle(reports).await,
            }
        }
    }

    /// Waits until all records are written, or their events rejected.
    async fn settle(&self, reports: &DeliveryReports) -> Result<(), Failure> {
        loop {
            let refused = tokio::select! {
                biased;
                settled = reports.settled() => return settled.map_err(|error| unrejected(error, false)),
                refused = reports.refused() => refused,
            };
            self.reject_refused(refused).await?;
        }
    }

    /// Rejects an event whose record the broker has refused for good.
    async fn reject_refused(&self, Refused { pending, row, error }: Refused) -> Result<(), Failure> {
        self.reject(row, error, &pending).await?;
        pending.rejected();
        Ok(())
    }

    /// Rejects the event of a record that can never be written. Every other error is a failure.
    async fn reject(&self, row: usize, error: SinkError, pending: &PendingBatch) -> Result<(), Failure> {
        // A topic without holes that has no valid name is no fault of an event.
        let is_own = self.topic_has_holes || !matches!(error, SinkError::NoTopicName { .. });
        let Some((kind, reason)) = error.reason_to_reject().filter(|_| is_own) else {
            return Err(error.into_failure());
        };
        match pending.share_of_rejected().filter(|_| pending.rejecter.has_route()) {
            Some(share) => pending.rejecter.reject(row, share, kind, &reason).await,
            None => Err(unrejected(error, self.context.exactly_once)),
        }
    }

    /// Passes rows of a batch to the producer. The batch is acknowledged when all their records are reported.
    async fn send(
        &mut self,
        delivery: Delivery,
        chosen: &[Range<u32>],
        producer: &ProducerHandle,
    ) -> Result<(), Failure> {
        let batch = delivery.batch.clone();
        let pending = producer.reports().track(delivery);
        let mut records = Records::bind(&self.topic, self.key.as_ref(), &self.headers, &batch)
            .map_err(|error| self.sink_error(error).into_failure())?;
        let rows_at_once = self.formatting.rows_at_once(&batch);
        for range in chosen {
            let (begin, end) = (range.start as usize, range.end as usize);
            for first in (begin..end).step_by(rows_at_once) {
                let rows = first..end.min(first + rows_at_once);
                let contents = self.formatting.encode(&batch, rows.clone());
                let contents =
                    contents.map_err(|error| self.sink_error(RecordError::Events(error)).into_failure())?;
                for Unwritable { row, reason } in &contents.unwritable {
                    let component = self.context.component.to_string();
                    let error = SinkError::Unwritable { component, reason: reason.clone() };
                    self.reject(*row, error, &pending).await?;
                }
                self.send_rows(&mut records, &contents, rows, &pending, producer).await?;
            }
        }
        pending.all_enqueued();
        Ok(())
    }

    /// Passes the records of these rows to the producer. Waits while its queue is full.
    async fn send_rows(
        &self,
        records: &mut Records<'_>,
        contents: &Contents,
        all: Range<usize>,
        pending: &Arc<PendingBatch>,
        producer: &ProducerHandle,
    ) -> Result<(), Failure> {
        let (mut row, mut pause) = (all.start, QUEUE_FULL_PAUSE_MIN);
        while row < all.end {
            let rows = row..all.end.min(row + ROWS_PER_YIELD);
            match producer.enqueue(records, contents, rows, pending) {
                Enqueued::All(next) => {
                    row = next;
                    tokio::task::yield_now().await;
                }
                Enqueued::Full(next) => {
                    pause =
                        if next > row { QUEUE_FULL_PAUSE_MIN } else { (pause * 2).min(QUEUE_FULL_PAUSE_MAX) };
                    row = next;
                    tokio::select! {
                        biased;
                        error = producer.reports().failure() => return Err(unrejected(error, self.context.exactly_once)),
                        () = sleep(pause) => {}
                    }
                }
                Enqueued::Refused(refused, error) => {
                    self.reject(refused, error, pending).await?;
                    row = refused + 1;
                }
            }
        }
        Ok(())
    }

    /// Lets the next producer make smaller batches, since a broker has refused one.
    fn make_batches_smaller(&mut self) {
        self.batch_bytes_max = (self.batch_bytes_max / BATCH_DIVISOR).max(1);
    }

    fn sink_error(&self, error: RecordError) -> SinkError {
        let component = self.context.component.to_string();
        match error {
            RecordError::Topic(source) => SinkError::Template { component, setting: "topic", source },
            RecordError::Key(source) => SinkError::Template { component, setting: "key", source },
            RecordError::Events(source) => SinkError::Events { component, source },
        }
    }
}

/// Makes the failure of an error for which no event was rejected. Flows that promise `exactly_once` reject none here.
fn unrejected(error: SinkError, exactly_once: bool) -> Failure {
    match error.reason_to_reject() {
        Some(_) if exactly_once => Failure::permanent(format!(
            "{error}; in a flow that delivers exactly_once, this sink rejects no events: let a step reject it before"
        )),
        Some(_) => Failure::permanent(format!("{error}; a chain that begins with `rejects` would take it")),
        None => error.into_failure(),
    }
}

#[async_trait]
impl Sink for KafkaSink {
    fn describe(&self) -> String {
        let KafkaSinkSettings { brokers, topic, .. } = &self.settings;
        format!("writes to {} of {}", topic.to_string().trim_matches('"'), brokers.join(", "))
    }

    fn keeps_exactly_once(&self) -> bool {
        true
    }

    fn take_over(&mut self, handover: &Handover, prefix: &str) -> Result<(), String> {
        self.upstreams.take_over(handover, prefix, &self.settings.brokers)
    }

    async fn recover(&mut self) -> Result<Recovered, Failure> {
        self.recover_transactions().await
    }

    async fn accept_loss(&mut self, acceptance: &Acceptance) -> Result<(), Failure> {
        self.accept(acceptance).await
    }

    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        self.number_schema().await?;
        if self.context.exactly_once {
            return self.run_transactions(port).await;
        }
        let producer = self.start().await.map_err(SinkError::into_failure)?;
        let sent = self.send_all(port, &producer).await;
        if producer.reports().batch_was_refused() {
            self.make_batches_smaller();
        }
        producer.end().await;
        sent
    }

    async fn probe(&mut self) -> Vec<Failure> {
        self.settings.security.probe(&self.settings.brokers).await
    }

    async fn connect(&mut self) -> Vec<ConnectFailure> {
        let KafkaSinkSettings { brokers, security, topic, .. } = &self.settings;
        // A topic with holes is known only when there are events.
        let topics = match &topic.parts[..] {
            [TemplatePart::Text(name)] => vec![name.clone()],
            _ => Vec::new(),
        };
        let (brokers, security) = (brokers.clone(), security.clone());
        let mut failures = ask(Question { brokers, security, setting: "topic", topics, reads: None }).await;
        if let Some((registry, schema)) = self.settings.format.registry().zip(self.formatting.avro_schema())
            && let Err(error) = registry.look_up(schema).await
        {
            failures.push(ConnectFailure { setting: Some("format"), failure: error.into_failure() });
        }
        failures
    }

    fn retry(&self) -> Retry {
        self.settings.retry.map_or_else(Retry::default, Retry::from)
    }
}

#[cfg(test)]
mod histories;
