//! The agent, which runs a plan in one process.
//!
//! It builds all components before it starts any, supervises them, drains the channels when it is told to stop, and
//! reports the counts of each component at the end.

mod backoff;
mod build;
mod exactly_once;
mod handover;
mod paths;
mod portions;
mod probe;
mod recovery;
mod rejects;
mod renamed;
mod report;
mod required;
mod sink_paths;
mod starting;
mod supervise;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use thiserror::Error;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use weir_plan::Plan;

use crate::channel::Channel;
use crate::environment::clock::Clock;
use crate::environment::memory::MemoryBudget;
use crate::environment::workers::Workers;
use crate::failure::Failure;
use crate::observability::meter::Meter;
use crate::observability::metrics::{Metrics, Stage};
use crate::registry::Registry;
use crate::routing::{Leg, Portion, Target};
use crate::sink::{Sink, SinkPort};
use crate::source::{Progress, ShutdownNotice, Source, SourceWiring};

pub use crate::observability::role::Role;
pub use probe::Problem;
pub use report::{ComponentReport, Report, bytes_text, grouped};
use starting::{NotStarted, open_all};
use supervise::{ChannelWriters, SinkTask, SourceTask};
use tasks::{TaskOwner, Tasks};

/// How long the other components may go on committing after one has failed for good.
const DRAIN_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// A plan, built and ready to run.
pub struct Agent {
    metrics: Metrics,
    sources: Vec<BuiltSource>,
    channels: BTreeMap<String, BuiltChannel>,
    sinks: Vec<BuiltSink>,
    workers: Workers,
    /// The memory that the agent may use.
    memory: MemoryBudget,
    /// The sources that are known to be new ([`Agent::with_new_sources`]).
    new_sources: BTreeSet<String>,
}

struct BuiltSource {
    name: Arc<str>,
    kind: String,
    source: Box<dyn Source>,
    legs: Arc<[Leg]>,
    meter: Arc<Meter>,
    /// The progress of all runs, if a flow promises `exactly_once`.
    progress: Option<Arc<Progress>>,
    /// Whether a step of the program needs the identities of events.
    numbers_events: bool,
}

struct BuiltChannel {
    kind: String,
    /// The type of the channel's events.
    schema: SchemaRef,
    channel: Arc<dyn Channel>,
    meter: Arc<Meter>,
    /// Whether the agent goes on without the channel.
    optional: bool,
    /// The most that a put into the channel has.
    portion: Portion,
}

struct BuiltSink {
    name: Arc<str>,
    kind: String,
    sink: Box<dyn Sink>,
    port: SinkPort,
    /// The names of the channels that the sink reads, for messages.
    channels: String,
    /// Each channel that the sink reads, with the name of the sink's reader there.
    readers: Vec<(String, String)>,
    /// The channels in which the sink's reader is required.
    required_channels: BTreeSet<String>,
    /// Whether a flow into the sink promises `exactly_once`.
    exactly_once: bool,
    meter: Arc<Meter>,
    /// Whether the agent goes on without the sink.
    optional: bool,
}

/// Why an agent could not be built.
#[derive(Debug, Error)]
#[error("{}", list(problems))]
pub struct StartError {
    /// The problems, each with its component.
    pub problems: Vec<String>,
}

fn list(problems: &[String]) -> String {
    problems.join("\n")
}

/// The signals that stop an agent.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Sources stop reading, sinks take the remaining events, close open files and commit them.
    pub drain: CancellationToken,
    /// All components stop at once; uncommitted events are redelivered by the next run.
    pub now: CancellationToken,
}

/// How an agent ended.
#[derive(Debug)]
pub enum Ending {
    /// The sources ended or the agent was stopped, and all events were delivered.
    Complete,
    /// The agent was stopped, or exceeded the drain limit, before all events were delivered.
    Incomplete,
    /// A channel could not be opened, or a sink could not recover, so no source or sink was started.
    NotStarted {
        /// The component's name.
        component: Arc<str>,
        /// Why.
        failure: Failure,
    },
    /// A component failed for good.
    Failed {
        /// The component's name.
        component: Arc<str>,
        /// Why.
        failure: Failure,
    },
}

impl Agent {
    /// Builds every component of a plan, without starting any and without touching files, networks or other systems,
    /// which [`Agent::probe`] checks.
    ///
    /// # Errors
    /// When this version does not support a part of the plan, or a component refuses its settings. All problems are
    /// reported at once.
    pub fn build(plan: &Plan, registry: &Registry, clock: Arc<dyn Clock>) -> Result<Agent, StartError> {
        build::build(plan, registry, clock)
    }

    /// Returns the same agent with workers that apply steps. Without workers, the tasks of components apply them.
    pub fn with_workers(self, workers: Workers) -> Agent {
        Agent { workers, ..self }
    }

    /// Returns the same agent without its sources, which only delivers the events in its channels.
    pub fn drain_only(self) -> Agent {
        Agent { sources: Vec::new(), ..self }
    }

    /// The meters of all components by name, for reading while the agent runs.
    pub fn meters(&self) -> BTreeMap<Arc<str>, Arc<Meter>> {
        let sources = self.sources.iter().map(|source| (source.name.clone(), source.meter.clone()));
        let channels =
            self.channels.iter().map(|(name, channel)| (name.as_str().into(), channel.meter.clone()));
        let sinks = self.sinks.iter().map(|sink| (sink.name.clone(), sink.meter.clone()));
        sources.chain(channels).chain(sinks).collect()
    }

    /// The metrics of all components, for reading at any time, also after the agent has ended.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Runs until every source has ended, or, after a stop, until the channels are drained, for `drain_limit` at most.
    /// No component runs if a channel can't be opened.
    pub async fn run(mut self, stop: Stop, drain_limit: Duration) -> (Report, Ending) {
        let metrics = self.metrics.clone();
        let channels = self.channels();
        if let Err(why) = self.prepare(&stop).await {
            let ending = match why {
                // Channels may hold undelivered events of an earlier run.
                NotStarted::Stopped => Ending::Incomplete,
                NotStarted::Failed { component, failure } => {
                    error!(%component, "{failure}; nothing was started");
                    metrics.note_failure(&component, &failure);
                    Ending::NotStarted { component, failure }
                }
            };
            metrics.end();
            return (Report::of(&metrics), ending);
        }
        self.log_components();
        metrics.enter(Stage::Running);
        let mut watches = watch_all(&channels);
        let notice = ShutdownNotice::new();
        let guard = self.memory.clone();
        let mut tasks = self.spawn(&stop, &notice);
        let mut ending = tokio::select! {
            biased;
            never = guard.guard() => match never {},
            ending = supervise_all(&mut tasks, &mut watches, &stop, drain_limit, &metrics) => ending,
        };
        notice.send(&stop.drain).await;
        tasks.shutdown().await;
        for (owner, channel) in channels {
            // A failed channel ends its sinks, whose tasks may end before the channel's watch reports the failure.
            if let Err(failure) = channel.shut().await
                && !put_back!("failed_channel_taken_for_drained")
                && watches.remove(&owner.component)
                && let Some(failure) = note_end(&metrics, &owner, failure)
                && !matches!(ending, Ending::Failed { .. })
            {
                ending = Ending::Failed { component: owner.component, failure };
            }
        }
        watches.shutdown().await;
        metrics.end();
        (Report::of(&metrics), ending)
    }

    /// Logs what each source reads and where each sink writes.
    fn log_components(&self) {
        let sources = self.sources.iter().map(|built| (&built.name, built.source.describe()));
        let sinks = self.sinks.iter().map(|built| (&built.name, built.sink.describe()));
        for (component, text) in sources.chain(sinks).filter(|(_, text)| !text.is_empty()) {
            info!(%component, "{text}");
        }
    }

    async fn prepare(&mut self, stop: &Stop) -> Result<(), NotStarted> {
        open_all(&self.metrics, stop).await?;
        self.refuse_renamed_sources()?;
        self.recover(stop).await
    }

    fn channels(&self) -> Vec<NamedChannel> {
        let channels = self.channels.iter();
        let named = channels.map(|(name, built)| {
            (TaskOwner { component: name.as_str().into(), optional: built.optional }, built.channel.clone())
        });
        named.collect()
    }

    /// Starts a task for each sink and source, the sinks first.
    fn spawn(self, stop: &Stop, notice: &ShutdownNotice) -> Tasks {
        let mut tasks = Tasks::default();
        let writers = ChannelWriters::new(&self.sources, &self.sinks, &self.channels);
        for mut built in self.sinks {
            built.port.set_workers(&self.workers);
            let BuiltSink { name, sink, meter, channels, optional, .. } = built;
            let owner = TaskOwner { component: name.clone(), optional };
            let task = SinkTask { name, sink, meter, channels, optional };
            let guard = writers.guard(&built.port.reject_targets());
            tasks.spawn(owner, task.run(built.port, guard, stop.drain.clone()));
        }
        for built in self.sources {
            let guard = writers.guard(&targets_of(&built.legs));
            let owner = TaskOwner { component: built.name.clone(), optional: false };
            let meter = built.meter;
            let required = |target: &&Target| !target.optional;
            let mut targets = built.legs.iter().flat_map(Leg::targets).filter(required);
            let durable = targets.all(|target| target.knows_positions && target.channel.is_durable());
            let wiring = SourceWiring {
                component: built.name,
                wants_identities: built.progress.is_some(),
                numbers_events: built.numbers_events,
                progress: built.progress.or_else(|| durable.then(|| Progress::through_runs(meter.clone()))),
                legs: built.legs,
                meter,
                workers: self.workers.clone(),
                memory: self.memory.clone(),
                shutdown: notice.subscribe(),
            };
            let task = SourceTask { wiring, source: built.source, stop: stop.drain.clone() };
            tasks.spawn(owner, task.run(guard));
        }
        tasks
    }
}

/// The channels that a source puts into, with repetition.
fn targets_of(legs: &[Leg]) -> Vec<&Target> {
    legs.iter().flat_map(Leg::targets).collect()
}

type NamedChannel = (TaskOwner, Arc<dyn Channel>);

/// Spawns a task for each channel, which ends when the channel fails.
fn watch_all(channels: &[NamedChannel]) -> Tasks {
    let mut watches = Tasks::default();
    for (owner, channel) in channels.iter().cloned() {
        watches.spawn(owner, async move {
            let failure = channel.failed().await;
            // The channel's sinks end, and events put into it are skipped.
            channel.close();
            Err(failure)
        });
    }
    watches
}

/// Waits until all tasks have ended, or until the time limit after a stop or a failure.
async fn supervise_all(
    tasks: &mut Tasks,
    watches: &mut Tasks,
    stop: &Stop,
    drain_limit: Duration,
    metrics: &Metrics,
) -> Ending {
    let mut deadline: Option<Instant> = None;
    let mut failed = None;
    loop {
        let expiry = deadline.unwrap_or_else(Instant::now);
        let (owner, result) = tokio::select! {
            biased;
            // A failed channel ends the agent, and is reported before the sinks that it ends.
            Some(ended) = watches.join_next() => ended,
            ended = tasks.join_next() => match ended {
                None => break,
                Some(ended) => ended,
            },
            () = stop.drain.cancelled(), if deadline.is_none() => {
                info!("stopping: sources read no more, channels drain for at most {drain_limit:?}");
                metrics.enter(Stage::Stopping);
                deadline = Some(Instant::now() + drain_limit);
                continue;
            }
            () = stop.now.cancelled() => {
                warn!("stopped at once: uncommitted events are delivered again after the next start");
                return match failed {
                    Some((component, failure)) => Ending::Failed { component, failure },
                    None => Ending::Incomplete,
                };
            }
            () = sleep_until(expiry), if deadline.is_some() => {
                if failed.is_none() {
                    log_unfinished(tasks);
                }
                break;
            }
        };
        if let Err(failure) = result
            && let Some(failure) = note_end(metrics, &owner, failure)
        {
            failed.get_or_insert((owner.component, failure));
            let latest = Instant::now() + DRAIN_AFTER_FAILURE;
            deadline = Some(deadline.map_or(latest, |before| before.min(latest)));
            stop.drain.cancel();
        }
        if tasks.only_optional_left() && !tasks.is_empty() {
            // All required components have ended. Optional ones may end in order, and are not run again.
            stop.drain.cancel();
        }
    }
    match failed {
        Some((component, failure)) => Ending::Failed { component, failure },
        None if tasks.only_optional_left() => Ending::Complete,
        None => Ending::Incomplete,
    }
}

/// Records and logs that a component has failed for good. Returns the failure if the component is required.
fn note_end(metrics: &Metrics, owner: &TaskOwner, failure: Failure) -> Option<Failure> {
    let component = &owner.component;
    metrics.note_failure(component, &failure);
    if owner.optional {
        error!(%component, "{failure}; it is optional, the others go on without it");
        return None;
    }
    match failure.is_data_loss() {
        true => error!(%component, "{failure}; the agent stops"),
        false => {
            error!(
                %component,
                "{failure}; the agent stops, uncommitted events are delivered again after the next start"
            );
        }
    }
    Some(failure)
}

/// Logs the components that have not ended within the limit.
fn log_unfinished(tasks: &Tasks) {
    let names = tasks.names();
    match tasks.only_optional_left() {
        true => {
            warn!(
                "not drained within the limit: {names}, which is optional and misses the events that it did not take"
            )
        }
        false => warn!(
            "not drained within the limit: {names}; uncommitted events are delivered again after the next start"
        ),
    }
}

#[cfg(test)]
mod tests;
