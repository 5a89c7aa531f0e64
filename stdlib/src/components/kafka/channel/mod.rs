//! The Kafka channel: events in a topic, which many agents fill and empty.
//!
//! A put is one record of the topic: columns stay columns, and a record with many events costs the broker and both ends little
//! for each. Puts go to all partitions in turn. Each reader has a consumer group, whose offsets are its acknowledgements; agents
//! with the same channel share the partitions of the group.
//!
//! | module | content |
//! | --- | --- |
//! | `topic` | the topic: made, checked, known by its identity |
//! | `puts`, `writer`, `sending` | puts, in transactions if a flow promises `exactly_once` |
//! | `beginning` | where the groups of readers begin |
//! | `offsets` | which records are delivered: plain data |
//! | `assignment`, `identity`, `taker`, `taking` | the thread that takes records for a reader and commits offsets |
//! | `lag` | the metric of the lag |
//! | `connect` | `weir check --connect` |
//! | `reader` | what was taken, until it is delivered |
//! | `error` | why a channel can't be opened or go on |

mod assignment;
mod beginning;
mod connect;
mod error;
mod identity;
mod lag;
mod offsets;
mod puts;
mod reader;
mod sending;
mod settings;
mod taker;
mod taking;
mod topic;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::BaseConsumer;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};
use weir_plan::Settings;
use weir_runtime::batch::Partition;
use weir_runtime::channel::encoding::Encoder;
use weir_runtime::channel::{
    Channel, Demand, Fill, Limits, MemoryChannel, PutTransaction, Reader, RecordedPositions, Recovered,
    ReserveError,
};
use weir_runtime::{ConnectFailure, Context, Failure};

use super::asking::{Question, ask};
use super::connection::Connection;
use super::tokens::Renewal;
use assignment::Callbacks;
use connect::connect;
use error::ChannelError;
use identity::offset_of;
use puts::{KafkaPut, Puts, Shared};
use reader::{Cursor, KafkaReader};
use settings::KafkaChannelSettings;
use taker::{Arrival, Taker};
use taking::Taking;
use topic::Topic;
use writer::{Transactions, Writer};

/// The most records in the queue between the polling thread and a reader.
const QUEUED_RECORDS_MAX: usize = 2;

/// The first and the longest wait before a thread that has failed takes again.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(200);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long it takes at most, beyond the session timeout, until each group has an offset in each partition.
const BEGIN_LIMIT: Duration = Duration::from_secs(10);

/// How long the last commit and leaving the group may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A channel in a topic.
pub(super) struct KafkaChannel {
    context: Context,
    settings: KafkaChannelSettings,
    shared: Arc<Shared>,
    cursors: Mutex<BTreeMap<String, Arc<Cursor>>>,
    running: Mutex<Running>,
}

/// The tasks and threads of an open channel.
#[derive(Default)]
struct Running {
    tasks: Vec<JoinHandle<()>>,
    /// Each ends with its thread.
    threads: Vec<oneshot::Receiver<()>>,
}

/// Makes a Kafka channel. Nothing is connected before it is opened.
///
/// # Errors
/// When the settings are invalid, or the events have a column that can't be written.
pub(crate) fn make_channel(settings: &Settings, context: Context) -> Result<Arc<dyn Channel>, Failure> {
    let settings: KafkaChannelSettings = settings.read().map_err(Failure::permanent)?;
    settings.check(&context).map_err(Failure::permanent)?;
    let encoder = Encoder::new(&context.schema);
    let encoder =
        encoder.map_err(|column| Failure::permanent(format!("it can't hold the column {column}")))?;
    let meanwhile = "sources wait, and the events stay in the topic";
    let connection =
        Connection::new("channel", &context.component, &settings.brokers, meanwhile, &context.meter);
    let shared = Arc::new(Shared {
        encoder,
        connection: Arc::new(connection),
        space: Arc::new(Semaphore::new(
            usize::try_from(settings.buffer).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS),
        )),
        put_bytes_max: settings.put_size,
        puts: Mutex::default(),
        unwritten: Arc::default(),
        lags: Arc::default(),
        topic: Arc::default(),
        ends: OnceLock::new(),
        failure: Mutex::default(),
        failed: Notify::new(),
    });
    Ok(Arc::new(KafkaChannel {
        context,
        settings,
        shared,
        cursors: Mutex::default(),
        running: Mutex::default(),
    }))
}

impl KafkaChannel {
    fn cursors(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Cursor>>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns why no broker can be reached; none if one can.
    async fn unreachable(&self) -> Option<Failure> {
        let KafkaChannelSettings { brokers, security, .. } = self.settings.clone();
        let asked = Question { brokers, security, setting: "brokers", topics: Vec::new(), reads: None };
        ask(asked).await.into_iter().map(|found| found.failure).next()
    }

    /// Finds the topic and makes a producer, then starts the tasks.
    async fn open_now(&self) -> Result<(), ChannelError> {
        let KafkaChannelSettings { topic, create, put_size, .. } = &self.settings;
        let Context { component, meter, .. } = &self.context;
        self.settings.security.prepare("channel", component, meter).await?;
        let config = self.settings.protected_config()?;
        let sizes = [*put_size, self.shared.encoder.bytes_max(*put_size)];
        let found = topic::find(&config, topic, *create, sizes, &self.context.component).await?;
        let found = Arc::new(found);
        let cursors: Vec<Arc<Cursor>> = self.cursors().values().cloned().collect();
        for cursor in &cursors {
            let group = cursor.taking.group.clone();
            let config = self.settings.consumer_config(&group, found.record_bytes_max)?;
            let limit = self.settings.session_timeout + BEGIN_LIMIT;
            beginning::begin(config, found.clone(), group, limit).await?;
        }
        let mut writer = self.writer(found.clone())?;
        let ready = writer.open().await?;
        let mut positions = None;
        if self.context.exactly_once {
            let ends = topic::ends(config, &found).await?;
            self.shared.ends.set(ends).ok();
            let mut recorded = RecordedPositions::default();
            for (scope, stored) in ready.stored() {
                recorded.remember(&scope, "", stored);
            }
            positions = Some(recorded);
        }
        writer.ready = Some(ready);
        self.shared.topic.set(found.clone()).ok();
        let (queue, queued) = mpsc::unbounded_channel();
        *self.shared.puts() = Puts { positions, queue: Some(queue) };
        let shared = self.shared.clone();
        self.running().tasks.push(tokio::spawn(async move {
            if let Err(error) = writer.run(queued).await {
                shared.fail(error);
            }
        }));
        cursors.into_iter().try_for_each(|cursor| self.start(cursor, &found))
    }

    fn writer(&self, topic: Arc<Topic>) -> Result<Writer, ChannelError> {
        let Shared { connection, unwritten, .. } = &*self.shared;
        let transactions = match self.context.exactly_once {
            true => {
                let (id, positions) = self.settings.transactional_names(&self.context);
                let random = getrandom::u64()
                    .map_err(|error| ChannelError::Thread(std::io::Error::other(error.to_string())))?;
                Some(Transactions { id, positions, writer: format!("{random:016x}"), taken: false })
            }
            false => None,
        };
        let id = transactions.as_ref().map(|transactions| &*transactions.id);
        Ok(Writer {
            component: self.context.component.clone(),
            meter: self.context.meter.clone(),
            connection: connection.clone(),
            config: self.settings.producer_config(id, topic.record_bytes_max),
            plain: super::connection::client_config(&self.settings.brokers),
            security: self.settings.security.clone(),
            brokers: self.settings.brokers.clone(),
            transactions,
            unwritten: unwritten.clone(),
            partition: 0,
            ready: None,
            topic,
        })
    }

    /// Starts the thread that takes records for a reader, and the task that puts them into its memory.
    fn start(&self, cursor: Arc<Cursor>, topic: &Arc<Topic>) -> Result<(), ChannelError> {
        let (sender, arrivals) = mpsc::channel(QUEUED_RECORDS_MAX);
        let (end_sender, ended) = oneshot::channel();
        let (settings, topic, shared) = (self.settings.clone(), topic.clone(), self.shared.clone());
        let taking = cursor.taking.clone();
        let name = format!("kafka {}", self.context.component);
        let (of_thread, to) = (shared.clone(), topic.clone());
        thread::Builder::new()
            .name(name)
            .spawn(move || {
                take_until_ended(&settings, &to, &taking, sender, &of_thread);
                let _nobody_waits = end_sender.send(());
            })
            .map_err(ChannelError::Thread)?;
        let schema = self.context.schema.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = cursor.fill(&topic, &schema, arrivals).await {
                shared.fail(error);
            }
        });
        let mut running = self.running();
        running.tasks.push(task);
        running.threads.push(ended);
        Ok(())
    }
}

/// Takes records for a reader, and begins again after failures that may pass.
fn take_until_ended(
    settings: &KafkaChannelSettings,
    topic: &Arc<Topic>,
    taking: &Arc<Taking>,
    queue: mpsc::Sender<Arrival>,
    shared: &Shared,
) {
    // None when everything is passed on.
    let (mut queue, mut wait) = (Some(queue), RETRY_WAIT_MIN);
    let component = &*taking.component;
    while !taking.is_ending() {
        let ends = shared.ends.get().cloned().unwrap_or_default();
        let callbacks = Callbacks { taking: taking.clone(), topic: topic.clone(), ends };
        let started = std::time::Instant::now();
        taking.connection.begin_client();
        let taker = settings.consumer_config(&taking.group, topic.record_bytes_max).and_then(|config| {
            let consumer: BaseConsumer<Callbacks> = config.create(callbacks)?;
            let renewal = Renewal::new(settings.security.tokens());
            Taker::new(consumer, renewal, settings.clone())
        });
        let error = match taker {
            Ok(mut taker) => match taker.run(&mut queue) {
                Ok(()) => return,
                Err(error) => error,
            },
            Err(error) => error,
        };
        if !error.is_transient() {
            shared.fail(error);
            return;
        }
        if started.elapsed() > RETRY_WAIT_MAX {
            wait = RETRY_WAIT_MIN;
        }
        let (cause, text) = (error.cause(), Failure::transient(error).to_string());
        if let Some(reminder) = taking.report_trouble(cause, text.clone()) {
            warn!(component, "channel {component}: {text}; it takes again in {wait:.1?}{reminder}");
        }
        thread::sleep(wait);
        wait = (wait * 2).min(RETRY_WAIT_MAX);
    }
}

impl Drop for KafkaChannel {
    fn drop(&mut self) {
        self.cursors().values().for_each(|cursor| cursor.taking.end());
        self.running().tasks.drain(..).for_each(|task| task.abort());
    }
}

#[async_trait]
impl Channel for KafkaChannel {
    fn limits(&self) -> Limits {
        let KafkaChannelSettings { capacity, transaction_capacity, keep_alive, .. } = self.settings;
        Limits { capacity, transaction_capacity, byte_capacity: self.shared.put_bytes_max, keep_alive }
    }

    async fn probe(&self) -> Vec<Failure> {
        self.settings.security.probe(&self.settings.brokers).await
    }

    async fn connect(&self) -> Vec<ConnectFailure> {
        let group = self.cursors().values().next().map(|cursor| cursor.taking.group.clone());
        connect(&self.settings, &self.context, group).await
    }

    async fn open(&self) -> Result<(), Failure> {
        if let Err(error) = self.open_now().await {
            return Err(match &error {
                ChannelError::Kafka { .. } => {
                    self.unreachable().await.unwrap_or_else(|| error.into_failure())
                }
                _ => error.into_failure(),
            });
        }
        let KafkaChannelSettings { topic, group, .. } = &self.settings;
        let component = &*self.context.component;
        info!(component, "holds events in topic {topic}, which agents share as the groups {group}.SINK");
        Ok(())
    }

    async fn failed(&self) -> Failure {
        loop {
            let failed = self.shared.failed.notified();
            if let Some(failure) = self.shared.failed_with() {
                return failure;
            }
            failed.await;
        }
    }

    async fn shut(&self) -> Result<(), Failure> {
        self.cursors().values().for_each(|cursor| cursor.taking.end());
        self.shared.puts().queue = None;
        let Running { tasks, threads } = std::mem::take(&mut *self.running());
        for ended in threads {
            if timeout(LEAVE_TIMEOUT, ended).await.is_err() {
                warn!(
                    component = &*self.context.component,
                    "channel {}: the brokers did not answer the last commit within {LEAVE_TIMEOUT:?}: some events are taken \
                     again at the next start",
                    self.context.component
                );
            }
        }
        // What is not written by now was not acknowledged.
        tasks.into_iter().for_each(|task| task.abort());
        match self.shared.failed_with() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn knows_positions(&self) -> bool {
        self.context.exactly_once
    }

    fn stored(&self, scope: &str) -> Option<BTreeMap<Partition, u64>> {
        let puts = self.shared.puts();
        let positions = puts.positions.as_ref()?;
        Some(positions.stored(scope).unwrap_or_default())
    }

    fn scopes(&self) -> BTreeSet<String> {
        let puts = self.shared.puts();
        puts.positions.iter().flat_map(RecordedPositions::scopes).map(str::to_owned).collect()
    }

    fn check_recovered(&self, _reader: &str, recovered: &Recovered) -> Result<(), Failure> {
        let (Some(topic), Some(ends)) = (self.shared.topic.get(), self.shared.ends.get()) else {
            return Ok(());
        };
        for (partition, reached) in &recovered.reached {
            let Some(number) = topic.partition_number(partition.name()) else { continue };
            let end = ends.get(&number).copied().unwrap_or(0);
            let offset = offset_of(reached.through);
            if reached.through > 0 && offset >= end {
                let topic = topic.name.clone();
                let shorter = ChannelError::Shorter { topic, partition: number, reached: offset, end };
                return Err(Failure::permanent(shorter));
            }
        }
        Ok(())
    }

    async fn reserve(&self, amount: Fill) -> Result<Box<dyn PutTransaction>, ReserveError> {
        let permits = self.shared.permits(amount, &self.limits())?;
        let space = self.shared.space.clone().acquire_many_owned(permits).await;
        let space = Some(space.map_err(|_| ReserveError::Closed)?);
        Ok(Box::new(KafkaPut { shared: self.shared.clone(), space }))
    }

    fn try_reserve(&self, amount: Fill) -> Option<Box<dyn PutTransaction>> {
        let permits = self.shared.permits(amount, &self.limits()).ok()?;
        let space = Some(self.shared.space.clone().try_acquire_many_owned(permits).ok()?);
        Some(Box::new(KafkaPut { shared: self.shared.clone(), space }))
    }

    fn reader(&self, name: &str, demand: Demand) -> Box<dyn Reader> {
        let mut cursors = self.cursors();
        let cursor = cursors.entry(name.to_owned()).or_insert_with(|| {
            let group = format!("{}.{name}", self.settings.group);
            let Shared { connection, unwritten, lags, .. } = &*self.shared;
            let Context { component, meter, .. } = self.context.clone();
            let connection = connection.of_client(&group);
            let taking = Taking::new(component, group, connection, meter, unwritten.clone(), lags.clone());
            let KafkaChannelSettings { capacity, byte_capacity, keep_alive, .. } = self.settings;
            let limits = Limits { capacity, transaction_capacity: capacity, byte_capacity, keep_alive };
            Arc::new(Cursor::new(Arc::new(taking), MemoryChannel::new(limits)))
        });
        let inner = cursor.memory.reader(name, demand);
        Box::new(KafkaReader { cursor: cursor.clone(), topic: self.shared.topic.clone(), inner })
    }

    fn close(&self) {
        self.shared.space.close();
        // Without a thread that takes, readers get what is in memory.
        let is_over = self.shared.failure().is_some() || self.shared.topic.get().is_none();
        for cursor in self.cursors().values() {
            cursor.taking.close();
            if is_over {
                cursor.memory.close();
            }
        }
    }

    /// The events in this agent's memory: how many the topic has is not known.
    fn fill(&self) -> Fill {
        let cursors = self.cursors();
        let fills = cursors.values().map(|cursor| cursor.memory.fill());
        fills.fold(Fill::default(), |all, one| Fill {
            events: all.events + one.events,
            bytes: all.bytes + one.bytes,
        })
    }

    fn bounds(&self) -> Fill {
        let readers = self.cursors().len();
        let KafkaChannelSettings { capacity, byte_capacity, .. } = self.settings;
        Fill { events: capacity * readers, bytes: byte_capacity * readers as u64 }
    }

    fn has_unread(&self) -> bool {
        self.cursors().values().any(|cursor| cursor.memory.has_unread())
    }
}
