//! The puts of a channel: what waits together is written together, as one transaction if a flow promises `exactly_once`.
//!
//! ```text
//! put ─► queue ─► group ─► records (─► positions ─► commit) ─► acknowledge
//!                   ▲                    │ any error
//!                   └── another producer ◄┘
//! ```
//!
//! Without the promise, records are written by an idempotent producer without transactions: an agent that dies within a
//! transaction would block all readers until the brokers end the transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, Producer};
use rdkafka::statistics::Statistics;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};
use weir_runtime::Meter;
use weir_runtime::batch::Partition;

use super::error::{ChannelError, is_refusal};
use super::sending::{Progress, Submitted, await_reports, group_of, refused, send_positions, send_puts};
use super::topic::{REQUEST_TIMEOUT, Topic, check_identity, failure};
use crate::components::kafka::connection::Connection;
use crate::components::kafka::native::{TransactionError, commit_transaction};
use crate::components::kafka::positions::{self, Positions, PositionsError};
use crate::components::kafka::protected::ProtectedConfig;
use crate::components::kafka::refusal::Refusal;
use crate::components::kafka::security::Security;
use crate::components::kafka::tokens::Renewal;
use crate::components::kafka::transaction_calls::{self, SLICE};
use crate::tools::arrived::{Arrived, Settled};

/// How long the beginning or the end of a transaction may take.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(30);

/// How long the end of a failed transaction is waited for.
const ABORT_LIMIT: Duration = Duration::from_secs(2);

/// The time between two looks for a token that has been renewed, and for the end of an outage.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The first and the longest wait after a failed attempt.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(100);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// The puts that are not written yet, as others see them.
#[derive(Debug, Default)]
pub(super) struct Unwritten(AtomicU64);

impl Unwritten {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    fn remove(&self, puts: usize) {
        self.0.fetch_sub(puts as u64, Ordering::AcqRel);
    }

    /// Whether everything that was put is written.
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

/// The transactions in which puts are written.
pub(super) struct Transactions {
    /// The transactional id.
    pub(super) id: String,
    /// The topic of the positions.
    pub(super) positions: String,
    /// The random name of this run of the agent.
    pub(super) writer: String,
    /// Whether this run has taken the transactional id.
    pub(super) taken: bool,
}

/// The callbacks that librdkafka calls on the polling thread.
pub(super) struct Callbacks {
    connection: Arc<Connection>,
    /// Whether the client has reported an error.
    disturbed: Arc<AtomicBool>,
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.connection.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        self.disturbed.store(true, Ordering::Release);
        self.connection.error(code, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.connection.look_for_silent(&statistics);
    }
}

/// A producer without an open transaction.
struct Ready {
    producer: FutureProducer<Callbacks>,
    renewal: Renewal,
    disturbed: Arc<AtomicBool>,
    /// What was written before; none without transactions.
    positions: Option<Positions>,
}

/// Writes the puts of a channel.
pub(super) struct Writer {
    pub(super) component: Arc<str>,
    pub(super) meter: Arc<Meter>,
    pub(super) connection: Arc<Connection>,
    pub(super) topic: Arc<Topic>,
    /// The settings of the producer, without those of security.
    pub(super) config: ClientConfig,
    /// The settings of a client of the topic of positions, without those of security.
    pub(super) plain: ClientConfig,
    pub(super) security: Security,
    pub(super) brokers: Vec<String>,
    pub(super) transactions: Option<Transactions>,
    pub(super) unwritten: Arc<Unwritten>,
    /// The partition of the last record.
    pub(super) partition: i32,
    pub(super) ready: Option<ReadyProducer>,
}

/// A producer that waits for its first puts.
pub(super) struct ReadyProducer(Ready);

impl ReadyProducer {
    /// The positions that the channel has: for each scope, those of its partitions.
    pub(super) fn stored(&self) -> BTreeMap<String, BTreeMap<Partition, u64>> {
        let mut stored: BTreeMap<String, BTreeMap<Partition, u64>> = BTreeMap::new();
        for (name, through) in self.0.positions.iter().flat_map(|positions| positions.known.settled()) {
            if let Some((scope, partition)) = name.name().split_once(' ') {
                stored.entry(scope.to_owned()).or_default().insert(Partition::new(partition), through);
            }
        }
        stored
    }
}

/// The name under which a channel keeps the positions of a partition of a scope. Scopes have no space in their names.
pub(super) fn position_name(scope: &str, partition: &Partition) -> Partition {
    Partition::new(format!("{scope} {}", partition.name()))
}

impl Writer {
    /// Writes puts until there will be no more.
    ///
    /// # Errors
    /// When no other attempt can succeed.
    pub(super) async fn run(
        mut self,
        mut queue: mpsc::UnboundedReceiver<Submitted>,
    ) -> Result<(), ChannelError> {
        loop {
            let received = match timeout(LOOK_INTERVAL, queue.recv()).await {
                Ok(received) => received,
                Err(_idle) => {
                    self.look_after_idle().await;
                    continue;
                }
            };
            let Some(first) = received else { return Ok(()) };
            let group = group_of(first, &mut queue);
            self.write(&group).await?;
            let count = group.len();
            for Submitted { acknowledgement, space, .. } in group {
                drop(space);
                acknowledgement.done();
            }
            self.unwritten.remove(count);
        }
    }

    /// Gives the producer the next token, if there is one, and looks for the end of an outage.
    async fn look_after_idle(&mut self) {
        if self.ready.is_none() && self.connection.has_to_ask() {
            // Without a producer, nobody would find the end of the outage before the next put.
            self.ready = self.open().await.ok();
        }
        if let Some(ReadyProducer(Ready { producer, renewal, .. })) = &mut self.ready {
            renewal.renew(producer.client());
            tick(&self.connection, producer).await;
            if let Some(refusal) = self.connection.take_refusal() {
                // librdkafka would show the same password or token again and again.
                let refused = self.security.error(&self.brokers, refusal, renewal.shown());
                debug!(component = &*self.component, "an idle producer is given up: {refused}");
                self.discard().await;
            }
        }
    }

    /// Writes puts, and tries again while that may succeed.
    async fn write(&mut self, group: &[Submitted]) -> Result<(), ChannelError> {
        let (mut progress, mut wait, mut failed) = (Progress::default(), RETRY_WAIT_MIN, false);
        loop {
            let error = match self.write_once(group, &mut progress).await {
                Ok(()) => break,
                Err(error) if !error.is_transient() => return Err(error),
                Err(error) => error,
            };
            failed = true;
            let cause = error.cause();
            let text = weir_runtime::Failure::transient(error).to_string();
            let subject = self.topic.name.clone();
            if let Some(reminder) = self.meter.report_trouble(&subject, cause, text.clone()) {
                warn!(
                    component = &*self.component,
                    "channel {}: {text}; nothing is lost, the put is tried again in {wait:.1?}{reminder}",
                    self.component
                );
            }
            self.discard().await;
            sleep(wait).await;
            wait = (wait * 2).min(RETRY_WAIT_MAX);
        }
        self.connection.answered();
        if failed && let Some(after) = self.meter.resolve_trouble(&self.topic.name) {
            let seconds = after.as_secs();
            info!(
                component = &*self.component,
                "channel {}: puts are written again, after {seconds} s", self.component
            );
        }
        Ok(())
    }

    /// Writes the puts once that are not written yet.
    async fn write_once(&mut self, group: &[Submitted], progress: &mut Progress) -> Result<(), ChannelError> {
        if self.ready.is_none() {
            self.ready = Some(self.open().await?);
        }
        let Some(ReadyProducer(Ready { producer, renewal, disturbed, positions })) = &mut self.ready else {
            return Ok(());
        };
        let transactions = self.transactions.as_ref();
        let attempt = Attempt { producer, topic: &self.topic, transactions, partition: &mut self.partition };
        // After an outage, the brokers want a token that is still valid.
        let has_committed = tokio::select! {
            biased;
            refusal = look_after(renewal, &self.connection, producer) => {
                let shown = renewal.shown();
                return Err(self.security.error(&self.brokers, refusal, shown).into());
            }
            written = attempt.write(positions.as_mut(), group, progress) => written?,
        };
        if has_committed && disturbed.swap(false, Ordering::AcqRel) {
            // An answer that comes late must not end the next transaction.
            self.discard().await;
        }
        Ok(())
    }

    /// Makes a producer, and reads what was written before.
    ///
    /// # Errors
    /// When the brokers don't answer, or the agent can't go on.
    pub(super) async fn open(&mut self) -> Result<ReadyProducer, ChannelError> {
        let disturbed = Arc::new(AtomicBool::new(false));
        let callbacks = Callbacks { connection: self.connection.clone(), disturbed: disturbed.clone() };
        self.connection.begin_client();
        self.security.prepare_once().await?;
        let config = self.security.protect(self.config.clone())?;
        let plain = self.security.protect(self.plain.clone())?;
        let producer: FutureProducer<Callbacks> = config.create(callbacks)?;
        let (asked, topic) = (producer.clone(), self.topic.clone());
        let checked =
            tokio::task::spawn_blocking(move || check_identity(asked.client(), &topic, REQUEST_TIMEOUT))
                .await;
        checked.unwrap_or(Ok(()))?;
        let positions = match &mut self.transactions {
            Some(transactions) => {
                Some(take_over(&producer, transactions, plain, &self.topic.name, &self.component).await?)
            }
            None => None,
        };
        disturbed.store(false, Ordering::Release);
        let renewal = Renewal::new(self.security.tokens());
        Ok(ReadyProducer(Ready { producer, renewal, disturbed, positions }))
    }

    /// Gives up the producer, and what it has not committed.
    async fn discard(&mut self) {
        let Some(ReadyProducer(Ready { producer, .. })) = self.ready.take() else { return };
        let is_transactional = self.transactions.is_some();
        let ended = tokio::task::spawn_blocking(move || {
            if is_transactional {
                // If that fails, the next producer ends the transaction.
                let _ended_later = producer.abort_transaction(ABORT_LIMIT);
            }
            drop(producer);
        });
        let _panicked = ended.await;
    }
}

/// Gives the producer each next token, and looks for outages and their ends. Ends when a broker does not let it in.
async fn look_after(
    renewal: &mut Renewal,
    connection: &Arc<Connection>,
    producer: &FutureProducer<Callbacks>,
) -> Refusal {
    loop {
        renewal.renew(producer.client());
        tick(connection, producer).await;
        if let Some(refusal) = connection.take_refusal() {
            return refusal;
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// Warns of an outage that lasts, and probes the brokers to find its end.
async fn tick(connection: &Arc<Connection>, producer: &FutureProducer<Callbacks>) {
    if connection.has_to_ask() {
        let (connection, producer) = (connection.clone(), producer.clone());
        let probed = tokio::task::spawn_blocking(move || connection.tick(producer.client()));
        let _panicked = probed.await;
    }
}

/// An attempt to write puts.
struct Attempt<'w> {
    producer: &'w FutureProducer<Callbacks>,
    topic: &'w Topic,
    transactions: Option<&'w Transactions>,
    /// The partition of the last record.
    partition: &'w mut i32,
}

impl Attempt<'_> {
    /// Writes the puts that are not written yet. Returns whether it has committed a transaction.
    async fn write(
        self,
        positions: Option<&mut Positions>,
        group: &[Submitted],
        Progress { number, written }: &mut Progress,
    ) -> Result<bool, ChannelError> {
        let Attempt { producer, topic, transactions, partition } = self;
        let mut own = Vec::new();
        if let (Some(positions), Some(Transactions { id, writer, .. })) = (positions, transactions) {
            let number = *number.get_or_insert(positions.mark + 1);
            if positions.mark >= number {
                // The commit whose outcome was unknown has succeeded.
                return Ok(false);
            }
            let mut settled = Settled::new();
            for (partition, through) in group.iter().flat_map(|put| &put.positions) {
                let known = settled.entry(partition.clone()).or_default();
                *known = (*through).max(*known);
            }
            own = positions.advance(&Arrived::new(), &settled, &BTreeMap::new());
            positions.mark = number;
            own.push(Positions::writer_record(id, writer, number));
            let failed = |error| transaction_error(&topic.name, id, "beginning", error);
            producer.begin_transaction().map_err(TransactionError::from).map_err(failed)?;
        }
        let mut reports = Vec::with_capacity(group.len() + own.len());
        let unwritten = group.iter().enumerate().filter(|(put, _)| !written.contains(put));
        let records = unwritten.filter_map(|(put, submitted)| Some((put, submitted.record.as_deref()?)));
        let in_transaction = transactions.is_some();
        let mut sent = send_puts(producer, topic, partition, records, in_transaction, &mut reports).await;
        if let Some(Transactions { positions, .. }) = transactions {
            sent?;
            sent = send_positions(producer, positions, &own, &mut reports).await;
        }
        let reported = await_reports(reports, (!in_transaction).then_some(written)).await;
        sent?;
        reported.map_err(|(error, bytes)| refused(&topic.name, error, bytes))?;
        if let Some(Transactions { id, .. }) = transactions {
            commit(producer, &topic.name, id).await?;
        }
        Ok(in_transaction)
    }
}

/// Ends the transactions of earlier producers with the id, and reads what they have committed.
async fn take_over(
    producer: &FutureProducer<Callbacks>,
    transactions: &mut Transactions,
    config: ProtectedConfig,
    topic: &str,
    component: &str,
) -> Result<Positions, ChannelError> {
    let Transactions { id, positions, writer, taken } = transactions;
    if !*taken {
        positions::ensure_topic(&config, positions, component).await?;
    }
    call(producer, topic, id, "beginning", |producer| Ok(producer.init_transactions(SLICE)?)).await?;
    if !*taken {
        let failed = |error| transaction_error(topic, id, "beginning", error);
        producer.begin_transaction().map_err(TransactionError::from).map_err(failed)?;
        let mut reports = Vec::new();
        send_positions(producer, positions, &[Positions::writer_record(id, writer, 0)], &mut reports).await?;
        let reported = await_reports(reports, None).await;
        reported.map_err(|(source, _)| failure("writing positions", positions, source))?;
        commit(producer, topic, id).await?;
        *taken = true;
    }
    let (name, of) = (positions.clone(), id.clone());
    let read = tokio::task::spawn_blocking(move || positions::read(&config, &name, &of)).await;
    let read = read.unwrap_or_else(|_| Err(PositionsError::Open { topic: positions.clone() }))?;
    match read.writer.as_ref() == Some(writer) {
        true => Ok(read),
        false => Err(ChannelError::TakenOver { id: id.clone() }),
    }
}

async fn commit(producer: &FutureProducer<Callbacks>, topic: &str, id: &str) -> Result<(), ChannelError> {
    call(producer, topic, id, "committing", |producer| commit_transaction(producer.client(), SLICE)).await
}

/// Makes a call that blocks on a thread of its own, and repeats it while it may go on.
async fn call(
    producer: &FutureProducer<Callbacks>,
    topic: &str,
    id: &str,
    action: &'static str,
    call: fn(&FutureProducer<Callbacks>) -> Result<(), TransactionError>,
) -> Result<(), ChannelError> {
    let next = || {
        let on = producer.clone();
        Some(move || call(&on))
    };
    let called = transaction_calls::repeat(TRANSACTION_LIMIT, next).await;
    called.map_err(|error| transaction_error(topic, id, action, error))
}

fn transaction_error(topic: &str, id: &str, action: &'static str, source: TransactionError) -> ChannelError {
    let topic = topic.to_owned();
    match source.code {
        code if is_refusal(code) => ChannelError::Refused { topic, bytes: 0, code },
        _ => ChannelError::Transaction { topic, id: id.to_owned(), action, source },
    }
}
