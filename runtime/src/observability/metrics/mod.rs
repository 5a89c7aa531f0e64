//! What an agent shows of itself while it runs: all measures of all components, at one moment.
//!
//! Nothing here is on the way of an event: who asks reads what the components count anyway.

mod prometheus;
mod server;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use crate::agent::Role;
use crate::channel::{Channel, Fill};
use crate::environment::descriptors::{DescriptorCounts, Descriptors};
use crate::failure::Failure;
use crate::observability::meter::{Latencies, Meter, Phase, Reading};

pub use server::Server;

/// A component, and where its numbers are.
pub(crate) struct Measured {
    pub(crate) role: Role,
    pub(crate) name: Arc<str>,
    pub(crate) kind: String,
    pub(crate) flows: Vec<String>,
    pub(crate) meter: Arc<Meter>,
    /// Whether the agent goes on without it.
    pub(crate) optional: bool,
    /// A channel itself.
    pub(crate) channel: Option<Arc<dyn Channel>>,
}

/// What the whole agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Channels are being opened.
    Starting,
    /// It runs.
    Running,
    /// It drains, or has ended.
    Stopping,
}

/// Reads the measures of an agent, before, while and after it runs. Clones read the same agent.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    program: Arc<str>,
    components: Vec<Measured>,
    stage: AtomicU8,
    begun: Instant,
    started_at: SystemTime,
    /// Once the run is over: how long it took.
    took: Mutex<Option<Duration>>,
}

/// All measures at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// The program's name.
    pub program: Arc<str>,
    /// What the agent is doing.
    pub stage: Stage,
    /// Which version of Weir runs it.
    pub version: &'static str,
    /// When it was started, in seconds since 1970.
    pub started_at_seconds: f64,
    /// How long it has run.
    pub uptime_seconds: f64,
    /// The file descriptors of the process.
    pub descriptors: DescriptorCounts,
    /// Its components: sources, channels, sinks.
    pub components: Vec<ComponentSnapshot>,
}

/// The measures of one component.
#[derive(Debug, Clone, Serialize)]
pub struct ComponentSnapshot {
    /// What it is for.
    pub role: Role,
    /// Its name.
    pub name: Arc<str>,
    /// Which of the library's components it is.
    pub kind: String,
    /// The flows that it is part of.
    pub flows: Vec<String>,
    /// Whether the agent goes on without it.
    pub optional: bool,
    /// What it is doing.
    pub phase: Phase,
    /// How often it was started again.
    pub restarts: u64,
    /// What went wrong last.
    pub last_error: Option<ErrorSnapshot>,
    /// How long until it is tried again.
    pub next_try_seconds: Option<f64>,
    /// What came in: read by a source, put into a channel, taken by a sink.
    pub received: Reading,
    /// What came out of its steps, once for each way that it went; a channel has none.
    pub processed: Reading,
    /// What is done: acknowledged to a source, taken out of a channel for good, committed by a sink.
    pub delivered: Reading,
    /// What its steps dropped on purpose.
    pub dropped: Reading,
    /// The same, by the first words of the step.
    pub dropped_by_step: BTreeMap<String, Reading>,
    /// How full a channel is.
    pub channel: Option<ChannelSnapshot>,
    /// How long a source's puts waited for room.
    pub put: Latencies,
    /// How long a sink waited for its next events.
    pub take: Latencies,
    /// How long events were under way: from a source's put until its channels had them safe, or
    /// from a sink's take until they were committed.
    pub commit: Latencies,
    /// What only the component itself counts.
    pub counters: BTreeMap<&'static str, u64>,
    /// What of it goes up and down.
    pub gauges: BTreeMap<&'static str, u64>,
    /// What it says about itself.
    pub notes: BTreeMap<&'static str, String>,
}

/// What went wrong, and when.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorSnapshot {
    /// What.
    pub message: String,
    /// When, in seconds since 1970.
    pub at_seconds: f64,
}

/// How full a channel is.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelSnapshot {
    /// What it holds, leased events included.
    pub events: u64,
    /// In bytes, as it counts them against its bound.
    pub bytes: u64,
    /// The most events that it holds.
    pub events_max: u64,
    /// The most bytes that it holds.
    pub bytes_max: u64,
    /// How old its oldest event is; events from before the start count from the start.
    pub oldest_seconds: Option<f64>,
}

impl Metrics {
    pub(crate) fn new(program: Arc<str>, components: Vec<Measured>) -> Metrics {
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

    /// A component can't go on, which its own task may not have noted.
    pub(crate) fn note_failure(&self, component: &str, failure: &Failure) {
        let named = self.inner.components.iter().find(|measured| &*measured.name == component);
        if let Some(Measured { meter, .. }) = named {
            meter.failed(failure.to_string(), None);
        }
    }

    /// The run is over.
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

    pub(crate) fn components(&self) -> &[Measured] {
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

    /// What keeps the agent from being ready: that all channels are open, and that all sources and
    /// sinks run or have ended in order, those that may fail left aside. Nothing, when it is ready.
    pub fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.stage() == Stage::Stopping {
            reasons.push("the agent is stopping".to_owned());
        }
        for Measured { role, name, meter, .. } in self.inner.required() {
            let condition = meter.condition();
            let error = condition.last_error.map_or_else(String::new, |error| format!(": {}", error.message));
            match condition.phase {
                Phase::Running | Phase::Ended => {}
                Phase::Starting => reasons.push(format!("{role} {name} has not started")),
                Phase::BackingOff => {
                    reasons.push(format!("{role} {name} is tried again after a failure{error}"))
                }
                Phase::Failed => reasons.push(format!("{role} {name} has failed for good{error}")),
            }
        }
        reasons
    }

    /// What has failed for good, and may not. Nothing, while the agent is healthy.
    pub fn unhealthy(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        for Measured { role, name, meter, .. } in self.inner.required() {
            let condition = meter.condition();
            if condition.phase == Phase::Failed {
                let error = condition.last_error.map_or_else(String::new, |error| error.message);
                reasons.push(format!("{role} {name} has failed for good: {error}"));
            }
        }
        reasons
    }

    /// Waits until nothing has moved for so long, and nothing could: each source has had its first look, no component has
    /// failed and waits for its next try or holds something back, and no channel holds an event that a sink has not taken. What sinks
    /// hold (in open files, say) they have: a drain commits it. What is optional keeps nothing waiting.
    pub async fn idle(&self, quiet: Duration) {
        loop {
            let now = Instant::now();
            let moved = self.inner.components.iter().map(|measured| measured.meter.last_moved()).max();
            // What a first look has found is moved behind it.
            let looked = self.inner.required().filter_map(|measured| measured.meter.looked()).max();
            let since = moved.max(looked).unwrap_or(now).max(self.inner.begun);
            let due = since + quiet;
            if due > now {
                sleep_until(due).await;
                continue;
            }
            if !self.inner.required().any(Measured::is_busy) {
                return;
            }
            sleep_until(now + quiet).await;
        }
    }
}

impl Inner {
    /// The components that the agent can't go on without.
    fn required(&self) -> impl Iterator<Item = &Measured> {
        self.components.iter().filter(|measured| !measured.optional)
    }
}

impl Measured {
    /// Whether something is still to come although nothing moves.
    fn is_busy(&self) -> bool {
        let waits = match self.meter.condition().phase {
            Phase::Starting | Phase::BackingOff => true,
            Phase::Running => self.role == Role::Source && self.meter.looked().is_none(),
            Phase::Ended | Phase::Failed => false,
        };
        waits || self.meter.holds_back() || self.channel.as_ref().is_some_and(|channel| channel.has_unread())
    }

    fn read(&self, now: Instant) -> ComponentSnapshot {
        let Measured { role, name, kind, flows, meter, optional, channel } = self;
        let condition = meter.condition();
        let next_try = condition.next_try.map(|at| at.saturating_duration_since(now).as_secs_f64());
        ComponentSnapshot {
            role: *role,
            name: name.clone(),
            kind: kind.clone(),
            flows: flows.clone(),
            optional: *optional,
            phase: condition.phase,
            restarts: meter.restarts(),
            last_error: condition
                .last_error
                .map(|error| ErrorSnapshot { message: error.message, at_seconds: seconds_of(error.at) }),
            next_try_seconds: next_try,
            received: meter.received.read(),
            processed: meter.processed.read(),
            delivered: meter.delivered.read(),
            dropped: meter.dropped(),
            dropped_by_step: meter.dropped_by_step(),
            channel: channel.as_ref().map(|channel| channel_snapshot(&**channel, meter, now)),
            put: meter.put.read(),
            take: meter.take.read(),
            commit: meter.commit.read(),
            counters: meter.counters(),
            gauges: meter.gauges(),
            notes: meter.notes(),
        }
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
