//! The Kafka source: a member of a consumer group, polled by a separate thread, that commits the offsets of delivered
//! records.
//!
//! ```text
//! librdkafka ─► polling thread ─► batches ─► outlet ─► channels ─► sinks
//!      ▲              ▲                                               │
//!      └── commits ───┴──────────────── deliveries ◄──────────────────┘
//! ```

mod batch_builder;
mod channels;
mod error;
mod headers;
mod member;
mod poller;
mod positions;
mod selection;
mod start;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use weir_plan::Settings;
use weir_runtime::batch::Batch;
use weir_runtime::source::{Deliveries, Handover, Outlet, PutError, Source, SourcePort};
use weir_runtime::{ConnectFailure, Context, Failure};

use super::asking::ask;
use super::connection::{STATISTICS_INTERVAL, client_config, milliseconds, set_member};
use super::native::RecordQueue;
use super::protected::CreateError;
use super::security::Security;
use super::shared_group::SharedGroup;
use super::tokens::Renewal;
use batch_builder::BatchBuilder;
use channels::Channels;
use error::SourceError;
use member::{Committer, Member};
use poller::Poller;
use positions::GoesOn;
pub(super) use selection::Partitions;
use selection::Selection;
use start::Start;
pub(super) use start::name_different_topics;

/// The most batches in the queue between the polling thread and the source's task.
const QUEUED_BATCHES_MAX: usize = 2;

/// How long the last commit and leaving the group may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Deserialize)]
struct KafkaSourceSettings {
    brokers: Vec<String>,
    topics: Vec<String>,
    topic_pattern: Option<String>,
    group: String,
    partitions: Partitions,
    member: Option<String>,
    start: Start,
    batch: usize,
    linger: Duration,
    session_timeout: Duration,
    protocol: GroupProtocol,
    prefetch: u64,
    security: Security,
    /// Whether the source leaves no trace: it joins no group, and commits nothing.
    #[serde(skip)]
    untraced: bool,
}

/// The enum `GroupProtocol` of the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum GroupProtocol {
    Classic,
    Consumer,
}

/// The settings of the client that brokers decide with the protocol `consumer`.
const DECIDED_BY_BROKERS: [&str; 3] =
    ["partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"];

impl KafkaSourceSettings {
    fn client_config(&self) -> ClientConfig {
        let mut config = client_config(&self.brokers);
        set_member(&mut config, &self.group, self.session_timeout);
        if let Some(member) = &self.member {
            config.set("group.instance.id", member);
        }
        if self.protocol == GroupProtocol::Consumer {
            for setting in DECIDED_BY_BROKERS {
                config.remove(setting);
            }
            config.set("group.protocol", "consumer");
        }
        config
            .set("statistics.interval.ms", milliseconds(STATISTICS_INTERVAL))
            .set("queued.max.messages.kbytes", (self.prefetch / 1024).to_string());
        config
    }
}

/// Reads topics as a member of a consumer group.
struct KafkaSource {
    context: Context,
    settings: KafkaSourceSettings,
    selection: Selection,
    /// What the sink behind shares that commits the offsets: with `exactly_once`, if the group assigns the partitions.
    shared: Option<Arc<SharedGroup>>,
}

/// Makes a Kafka source.
///
/// # Errors
/// When the settings are invalid, or the schema has a column that records don't have.
pub fn make_source(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    make(settings.read().map_err(Failure::permanent)?, context)
}

/// Makes a Kafka source that leaves no trace. It reads the partitions without the group, so that no member loses one, begins as if the
/// group had committed nothing, and commits nothing itself. It uses the group's name all the same: a name of its own might not be
/// allowed.
///
/// # Errors
/// When the settings are invalid, or the schema has a column that records don't have.
pub(crate) fn make_untraced_source(
    settings: &Settings,
    context: Context,
) -> Result<Box<dyn Source>, Failure> {
    let mut settings: KafkaSourceSettings = settings.read().map_err(Failure::permanent)?;
    settings.untraced = true;
    settings.member = None;
    settings.protocol = GroupProtocol::Classic;
    if matches!(settings.partitions, Partitions::Group) {
        settings.partitions = Partitions::All;
    }
    // From the end, nobody knows when a record comes.
    if settings.start == Start::Newest {
        settings.start = Start::Oldest;
    }
    make(settings, context)
}

fn make(settings: KafkaSourceSettings, context: Context) -> Result<Box<dyn Source>, Failure> {
    let selection = Selection::new(&settings).map_err(Failure::permanent)?;
    let is_shared = context.exactly_once && matches!(settings.partitions, Partitions::Group);
    let shared = is_shared.then(|| Arc::new(SharedGroup::new(&settings.group, &settings.brokers)));
    let source = KafkaSource { context, settings, selection, shared };
    source.batch_builder().map_err(SourceError::into_failure)?;
    Ok(Box::new(source))
}

impl KafkaSource {
    fn batch_builder(&self) -> Result<BatchBuilder, SourceError> {
        let KafkaSourceSettings { batch, linger, .. } = self.settings;
        BatchBuilder::new(self.context.schema.clone(), batch, linger)
            .map_err(|column| SourceError::Column { component: self.context.component.to_string(), column })
    }

    /// Joins the group, and starts the polling thread.
    fn join(
        &self,
        channels: Channels,
        goes_on: GoesOn,
        identities: bool,
    ) -> Result<(PollingThread, mpsc::Receiver<Batch>), SourceError> {
        let component = self.context.component.to_string();
        let committer =
            self.shared.as_ref().map(|group| Committer { group: group.clone(), run: group.begin_run() });
        let member = Member::new(&self.context, &self.settings, channels, goes_on, committer);
        let batch_builder = self.batch_builder()?.with_identities(identities);
        let insecure = |source| SourceError::Security { component: component.clone(), source };
        let no_client = |error| match error {
            CreateError::Client(error) => {
                SourceError::Client { component: component.clone(), source: Box::new(error) }
            }
            CreateError::Token(error) => insecure(error.into()),
        };
        let KafkaSourceSettings { security, .. } = &self.settings;
        let config = security.protect(self.settings.client_config()).map_err(insecure)?;
        let consumer: BaseConsumer<Member> = config.create(member).map_err(no_client)?;
        let member = consumer.context().clone();
        let (sender, batches) = mpsc::channel(QUEUED_BATCHES_MAX);
        let (end_sender, ended) = oneshot::channel();
        let records = RecordQueue::new(consumer).expect("a consumer with a group has a queue");
        let renewal = Renewal::new(security.tokens());
        let mut poller = Poller::new(records, renewal, self.selection.clone(), batch_builder, sender);
        let spawned = thread::Builder::new().name(format!("kafka {component}")).spawn(move || {
            let result = poller.run();
            // A failure is reported at once, and success after the member has left the group.
            match result {
                Ok(()) => {
                    drop(poller);
                    let _nobody_waits = end_sender.send(Ok(()));
                }
                Err(error) => {
                    let _nobody_waits = end_sender.send(Err(error));
                }
            }
        });
        let thread =
            spawned.map_err(|source| SourceError::Thread { component: component.clone(), source })?;
        Ok((PollingThread { component, member, thread: thread.thread().clone(), ended }, batches))
    }
}

/// A handle of the polling thread. Dropping it ends the thread.
struct PollingThread {
    component: String,
    member: Arc<Member>,
    thread: thread::Thread,
    ended: oneshot::Receiver<Result<(), SourceError>>,
}

impl PollingThread {
    /// Waits until the thread has ended.
    async fn ended(&mut self) -> Result<(), SourceError> {
        let gone = |_| SourceError::ThreadEnded { component: self.component.clone() };
        (&mut self.ended).await.map_err(gone)?
    }

    /// Ends the thread, which commits the offsets of delivered records and leaves the group.
    async fn end(mut self) -> Result<(), SourceError> {
        self.member.end();
        self.thread.unpark();
        match timeout(LEAVE_TIMEOUT, self.ended()).await {
            Ok(ended) => ended,
            Err(_elapsed) => {
                warn!(
                    component = %self.component,
                    "source {}: the broker did not answer the last commit within {LEAVE_TIMEOUT:?}: \
                     records after the last confirmed commit are read again at the next start",
                    self.component
                );
                Ok(())
            }
        }
    }
}

impl Drop for PollingThread {
    fn drop(&mut self) {
        self.member.end();
        self.thread.unpark();
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn describe(&self) -> String {
        let KafkaSourceSettings { brokers, topics, topic_pattern, group, .. } = &self.settings;
        let pattern = topic_pattern.iter().map(|pattern| format!("topics that match {pattern}"));
        let topics: Vec<String> = topics.iter().cloned().chain(pattern).collect();
        format!("reads {} of {} as the group {group}", topics.join(", "), brokers.join(", "))
    }

    fn keeps_exactly_once(&self) -> bool {
        !matches!(self.settings.partitions, Partitions::Group)
    }

    fn exactly_once_lacks(&self) -> Option<&'static str> {
        (!self.keeps_exactly_once()).then_some(
            "`partitions: all` or `only` is missing: the partitions of a group may move to another member, which reads again \
             what is on its way here. A sink `kafka` on the same brokers behind a channel in memory commits the offsets with its \
             records; a channel `kafka` with partitions of its own stores the events where the next agent finds them",
        )
    }

    fn hands_over(&self) -> Option<Handover> {
        self.shared.clone().map(|shared| -> Handover { shared })
    }

    async fn probe(&mut self) -> Vec<Failure> {
        self.settings.security.probe(&self.settings.brokers).await
    }

    async fn connect(&mut self) -> Vec<ConnectFailure> {
        ask(self.selection.question(&self.settings)).await
    }

    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let channels = Channels::new(port.downstream().clone(), &crate::tools::listener::host());
        // Without partitions of its own, only the group knows where the source goes on.
        let goes_on = match self.context.exactly_once && self.shared.is_none() {
            true => GoesOn::after(&port.given, &port.delivered),
            false => GoesOn::default(),
        };
        let Context { component, meter, .. } = &self.context;
        let prepared = self.settings.security.prepare("source", component, meter).await;
        let insecure = |source| SourceError::Security { component: component.to_string(), source };
        prepared.map_err(|source| insecure(source).into_failure())?;
        let joined = self.join(channels, goes_on, port.wants_identities());
        let (mut polling, batches) = joined.map_err(SourceError::into_failure)?;
        let SourcePort { outlet, deliveries, stop, .. } = port;
        let member = polling.member.clone();
        let thread = polling.thread.clone();
        let work = async {
            tokio::try_join!(
                put_all(outlet, batches, &thread, &stop, self.shared.as_deref()),
                follow(deliveries, &member)
            )
        };
        tokio::select! {
            worked = work => { worked?; }
            ended = polling.ended() => return ended.map_err(SourceError::into_failure),
        }
        polling.end().await.map_err(SourceError::into_failure)
    }
}

/// Puts batches until the source is stopped, and closes the outlet. A batch that waits for space in a channel at that
/// time is given up, and read again at the next start.
async fn put_all(
    mut outlet: Outlet,
    mut batches: mpsc::Receiver<Batch>,
    thread: &thread::Thread,
    stop: &CancellationToken,
    shared: Option<&SharedGroup>,
) -> Result<(), Failure> {
    loop {
        let batch = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            batch = batches.recv() => batch,
        };
        // The thread has failed, which `PollingThread::ended` reports. The outlet stays open for the next run.
        let Some(batch) = batch else { return std::future::pending().await };
        thread.unpark();
        if let Some(shared) = shared {
            shared.forget(|over| outlet.forget(over));
        }
        tokio::select! {
            put = outlet.put(batch) => put.map_err(PutError::into_failure)?,
            () = stop.cancelled() => break,
        }
    }
    outlet.close();
    Ok(())
}

/// Passes deliveries to the member until the outlet is closed and all records are delivered.
async fn follow(mut deliveries: Deliveries, member: &Member) -> Result<(), Failure> {
    while let Some(delivered) = deliveries.next().await {
        member.delivered(&delivered);
    }
    Ok(())
}
