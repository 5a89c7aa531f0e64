//! The metrics of an agent: the measures of all components at one moment.
//!
//! Reading metrics slows no event down, since components count in their meters anyway.

mod prometheus;
mod readiness;
mod server;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use crate::channel::{Channel, Fill};
use crate::environment::descriptors::{DescriptorCounts, Descriptors};
use crate::failure::{Cause, Failure};
use crate::observability::meter::{
    LatencySnapshot, Meter, PartitionGauges, Phase, Reading, RejectedBySteps, RuleReading, StepReading,
    Trouble,
};
use crate::observability::role::Role;

pub use readiness::{Readiness, TROUBLE_LIMIT};
pub use server::Server;

/// A component with its meter.
pub(crate) struct MeasuredComponent {
    pub(crate) role: Role,
    pub(crate) name: Arc<str>,
    pub(crate) kind: String,
    pub(crate) flows: Vec<String>,
    pub(crate) meter: Arc<Meter>,
    /// Whether the agent goes on without the component.
    pub(crate) optional: bool,
    /// The channel, if the component is one.
    pub(crate) channel: Option<Arc<dyn Channel>>,
}

/// The stage of an agent's run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Channels are being opened, and sinks recover.
    Starting,
    /// Sources and sinks run.
    Running,
    /// The agent drains its channels, or has ended.
    Stopping,
}

/// Reads the measures of an agent before, during and after its run. Clones read the same agent.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    program: Arc<str>,
    components: Vec<MeasuredComponent>,
    stage: AtomicU8,
    begun: Instant,
    started_at: SystemTime,
    /// The duration of the run, once it is over.
    took: Mutex<Option<Duration>>,
}

/// All measures at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// The program's name.
    pub program: Arc<str>,
    /// The stage of the run.
    pub stage: Stage,
    /// The version of Weir.
    pub version: &'static str,
    /// When the agent was started, in seconds since 1970.
    pub started_at_seconds: f64,
    /// How long the agent has run.
    pub uptime_seconds: f64,
    /// The file descriptors of the process.
    pub descriptors: DescriptorCounts,
    /// The components: sources, channels, then sinks.
    pub components: Vec<ComponentSnapshot>,
}

/// The measures of one component.
#[derive(Debug, Clone, Serialize)]
pub struct ComponentSnapshot {
    /// The component's role.
    pub role: Role,
    /// The component's name.
    pub name: Arc<str>,
    /// The component's kind in the library.
    pub kind: String,
    /// The flows through the component.
    pub flows: Vec<String>,
    /// Whether the agent goes on without the component.
    pub optional: bool,
    /// The component's phase.
    pub phase: Phase,
    /// The number of restarts after failures.
    pub restarts: u64,
    /// The last error; none if the component never failed.
    pub last_error: Option<ErrorSnapshot>,
    /// The troubles that are open.
    pub troubles: Vec<TroubleSnapshot>,
    /// The number of troubles that were opened, by their causes.
    pub troubles_opened: BTreeMap<Cause, u64>,
    /// How long until the component is run again; none unless it waits after a failure.
    pub next_try_seconds: Option<f64>,
    /// Events that came in: read by a source, put into a channel, taken by a sink.
    pub received: Reading,
    /// Events that came out of the steps, once for each leg; 0 for a channel.
    pub processed: Reading,
    /// Events that are delivered: acknowledged to a source, removed from a channel, committed by a sink.
    pub delivered: Reading,
    /// Events that the steps dropped on purpose.
    pub dropped: Reading,
    /// The same events, by the first words of the step.
    pub dropped_by_step: BTreeMap<String, Reading>,
    /// Events that the steps rejected.
    pub rejected: Reading,
    /// The same events, by the first words of the step and the kind of the reason.
    pub rejected_by_step: RejectedBySteps,
    /// The steps of the component's path, in its order.
    pub steps: Vec<StepReading>,
    /// The rules of qualities that the steps have applied.
    pub quality: Vec<RuleReading>,
    /// The fill of a channel; none for other components.
    pub channel: Option<ChannelSnapshot>,
    /// How long a source's puts waited for space.
    pub put: LatencySnapshot,
    /// How long a sink waited for its next events.
    pub take: LatencySnapshot,
    /// The time from a source's put until its channels had stored the events safely, or from a sink's take until the
    /// events were committed.
    pub commit: LatencySnapshot,
    /// The component's own counters.
    pub counters: BTreeMap<&'static str, u64>,
    /// The component's own gauges.
    pub gauges: BTreeMap<&'static str, u64>,
    /// The component's own gauges with a value for each partition.
    pub partition_gauges: PartitionGauges,
    /// The component's notes.
    pub notes: BTreeMap<&'static str, String>,
}

/// An error and its time.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorSnapshot {
    /// The message.
    pub message: String,
    /// The time, in seconds since 1970.
    pub at_seconds: f64,
}

/// An open trouble.
#[derive(Debug, Clone, Serialize)]
pub struct TroubleSnapshot {
    /// The subject of the trouble, such as `brokers`.
    pub subject: String,
    /// The kind of the trouble.
    pub cause: Cause,
    /// The message of the last report.
    pub message: String,
    /// When it began, in seconds since 1970.
    pub since_seconds: f64,
    /// How long it has lasted.
    pub seconds: f64,
}

/// The fill of a channel.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelSnapshot {
    /// The events that it holds, leased events included.
    pub events: u64,
    /// The bytes of these events, as the channel counts them against its bound.
    pub bytes: u64,
    /// The most events that it holds.
    pub events_max: u64,
    /// The most bytes that it holds.
    pub bytes_max: u64,
    /// The age of the oldest event; the age of events from earlier runs is measured from the start.
    pub oldest_seconds: Option<f64>,
}

impl Metrics {
    pub(crate) fn new(program: Arc<str>, components: Vec<MeasuredComponent>) -> Metrics {
        let inner = Inner {
            program,
            components,
            stage: AtomicU8::new(0),
            begun: Instant::now(),
            started_at: SystemTime::now(),
            took: Mutex::default(),
        };
        Metrics { inner: Arc::new(inner) }
    }

    pub(crate) fn enter(&self, stage: Stage) {
        let stage = match stage {
            Stage::Starting => 0,
            Stage::Running => 1,
            Stage::Stopping => 2,
        };
        // A stop is never taken back.
        self.inner.stage.fetch_max(stage, Ordering::Relaxed);
    }

    /// Records that a component has failed for good, in case its own task has not.
    pub(crate) fn note_failure(&self, component: &str, failure: &Failure) {
        let named = self.inner.components.iter().find(|measured| &*measured.name == component);
        if let Some(MeasuredComponent { meter, .. }) = named {
            meter.failed(failure.to_string(), None);
        }
    }

    /// Records the end of the run.
    pub(crate) fn end(&self) {
        self.enter(Stage::Stopping);
        self.took().get_or_insert(self.inner.begun.elapsed());
    }

    fn took(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        self.inner.took.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stage(&self) -> Stage {
        match self.inner.stage.load(Ordering::Relaxed) {
            0 => Stage::Starting,
            1 => Stage::Running,
            _ => Stage::Stopping,
        }
    }

    pub(crate) fn components(&self) -> &[MeasuredComponent] {
        &self.inner.components
    }

    /// Reads all measures.
    pub fn read(&self) -> Snapshot {
        let now = Instant::now();
        let took = self.took().unwrap_or_else(|| now.saturating_duration_since(self.inner.begun));
        Snapshot {
            program: self.inner.program.clone(),
            stage: self.stage(),
            version: env!("CARGO_PKG_VERSION"),
            started_at_seconds: seconds_of(self.inner.started_at),
            uptime_seconds: took.as_secs_f64(),
            descriptors: Descriptors::of_process().counts(),
            components: self.inner.components.iter().map(|measured| measured.read(now)).collect(),
        }
    }

    /// Waits until the agent is idle: no event has moved for `quiet`, each source has finished its discovery, no
    /// component is backing off or has buffered events, and sinks have taken all events from the channels. Events
    /// that sinks hold, such as in open files, do not count: a drain commits them. Optional components are ignored.
    pub async fn idle(&self, quiet: Duration) {
        loop {
            let now = Instant::now();
            let moved = self.inner.components.iter().map(|measured| measured.meter.last_moved()).max();
            // Events that a discovery has found move after it.
            let discovered = self.inner.required().filter_map(|measured| measured.meter.discovered()).max();
            let since = moved.max(discovered).unwrap_or(now).max(self.inner.begun);
            let due = since + quiet;
            if due > now {
                sleep_until(due).await;
                continue;
            }
            if !self.inner.required().any(MeasuredComponent::is_busy) {
                return;
            }
            sleep_until(now + quiet).await;
        }
    }
}

impl Inner {
    /// The components without which the agent does not work: the others are optional, or sinks whose events another sink of
    /// a `failover` takes.
    fn required(&self) -> impl Iterator<Item = &MeasuredComponent> {
        self.components.iter().filter(|measured| measured.is_required())
    }
}

impl MeasuredComponent {
    fn is_required(&self) -> bool {
        !self.optional && !self.meter.is_replaced()
    }

    /// Whether events may still move although none moves now.
    fn is_busy(&self) -> bool {
        let condition = self.meter.condition();
        let waits = match condition.phase() {
            _ if condition.waits_to_run() => true,
            Phase::Ended | Phase::Failed => false,
            _ => self.role == Role::Source && self.meter.discovered().is_none(),
        };
        waits
            || self.meter.has_buffered()
            || self.channel.as_ref().is_some_and(|channel| channel.has_unread())
    }

    fn read(&self, now: Instant) -> ComponentSnapshot {
        let MeasuredComponent { role, name, kind, flows, meter, optional, channel } = self;
        let condition = meter.condition();
        let next_try = condition.next_try.map(|at| at.saturating_duration_since(now).as_secs_f64());
        ComponentSnapshot {
            role: *role,
            name: name.clone(),
            kind: kind.clone(),
            flows: flows.clone(),
            optional: *optional,
            phase: condition.phase(),
            restarts: meter.restarts(),
            troubles: condition
                .troubles()
                .iter()
                .map(|(subject, trouble)| snapshot(subject, trouble, now))
                .collect(),
            troubles_opened: meter.troubles_opened(),
            last_error: condition
                .last_error
                .map(|error| ErrorSnapshot { message: error.message, at_seconds: seconds_of(error.at) }),
            next_try_seconds: next_try,
            received: meter.received.read(),
            processed: meter.processed.read(),
            delivered: meter.delivered.read(),
            dropped: meter.dropped(),
            dropped_by_step: meter.dropped_by_step(),
            rejected: meter.rejected(),
            rejected_by_step: meter.rejected_by_step(),
            steps: meter.steps(),
            quality: meter.rules(),
            channel: channel.as_ref().map(|channel| channel_snapshot(&**channel, meter, now)),
            put: meter.put.read(),
            take: meter.take.read(),
            commit: meter.commit.read(),
            counters: meter.counters(),
            gauges: meter.gauges(),
            partition_gauges: meter.partition_gauges(),
            notes: meter.notes(),
        }
    }
}

fn snapshot(subject: &str, trouble: &Trouble, now: Instant) -> TroubleSnapshot {
    TroubleSnapshot {
        subject: subject.to_owned(),
        cause: trouble.cause,
        message: trouble.message.clone(),
        since_seconds: seconds_of(trouble.since),
        seconds: now.saturating_duration_since(trouble.began).as_secs_f64(),
    }
}

fn channel_snapshot(channel: &dyn Channel, meter: &Meter, now: Instant) -> ChannelSnapshot {
    let Fill { events, bytes } = channel.fill();
    let most = channel.bounds();
    ChannelSnapshot {
        events: events as u64,
        bytes,
        events_max: most.events as u64,
        bytes_max: most.bytes,
        oldest_seconds: meter.age.oldest(events as u64, now).map(|age| age.as_secs_f64()),
    }
}

fn seconds_of(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests;
