//! The agent: one process that runs a plan.
//!
//! It builds all components before it starts any, supervises each, drains when it is told to
//! stop, and says at the end what passed through.

mod build;
mod exactly_once;
mod paths;
mod probe;
mod report;
mod required;
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
use crate::environment::workers::Workers;
use crate::failure::Failure;
use crate::observability::meter::Meter;
use crate::observability::metrics::{Metrics, Stage};
use crate::registry::Registry;
use crate::routing::{Leg, Target};
use crate::sink::{Sink, SinkPort};
use crate::source::{Connection, Farewell, Progress, Source};

pub use probe::Problem;
pub use report::{ComponentReport, Report, Role, bytes_text, grouped};
use starting::{NotStarted, open_all};
use supervise::{Gates, SinkTask, SourceTask};
use tasks::{Member, Tasks};

/// How long the others may go on committing once a component has failed for good.
const DRAIN_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// A plan, built and ready to run.
pub struct Agent {
    metrics: Metrics,
    sources: Vec<BuiltSource>,
    channels: BTreeMap<String, BuiltChannel>,
    sinks: Vec<BuiltSink>,
    workers: Workers,
}

struct BuiltSource {
    name: Arc<str>,
    kind: String,
    source: Box<dyn Source>,
    legs: Arc<[Leg]>,
    meter: Arc<Meter>,
    /// There when a flow promises `exactly_once`.
    progress: Option<Arc<Progress>>,
}

struct BuiltChannel {
    kind: String,
    /// The type of its events.
    schema: SchemaRef,
    channel: Arc<dyn Channel>,
    meter: Arc<Meter>,
    /// Whether the agent goes on without it.
    optional: bool,
}

struct BuiltSink {
    name: Arc<str>,
    kind: String,
    sink: Box<dyn Sink>,
    port: SinkPort,
    /// The channels that it reads.
    channels: String,
    /// Each channel that it reads, with the name by which that knows it.
    readers: Vec<(String, String)>,
    /// Those that wait for it.
    required_channels: BTreeSet<String>,
    /// Whether a flow promises `exactly_once` to it.
    exactly_once: bool,
    meter: Arc<Meter>,
    /// Whether the agent goes on without it.
    optional: bool,
}

/// Why an agent did not start. Nothing of it runs then.
#[derive(Debug, Error)]
#[error("{}", list(problems))]
pub struct StartError {
    /// What is wrong, each with the component that it is about.
    pub problems: Vec<String>,
}

fn list(problems: &[String]) -> String {
    problems.join("\n")
}

/// The ways in which an agent is told to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Sources stop, channels empty into sinks, open files are closed and committed.
    pub drain: CancellationToken,
    /// Everything stops as it stands; what was not committed comes again.
    pub now: CancellationToken,
}

/// How an agent ended.
#[derive(Debug)]
pub enum Ending {
    /// Its sources ended, or it was told to stop, and all that it had taken was delivered.
    Complete,
    /// It was stopped, or ran out of time, before all was delivered.
    Incomplete,
    /// A channel could not be opened, or a sink not recover, so nothing was started.
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
    /// Builds every component of a plan, without starting any and without touching the outside; [`Agent::probe`]
    /// does that.
    ///
    /// # Errors
    /// When the plan asks for what this version can't carry out, or a component refuses its
    /// settings. All that is wrong is reported at once.
    pub fn build(plan: &Plan, registry: &Registry, clock: Arc<dyn Clock>) -> Result<Agent, StartError> {
        build::build(plan, registry, clock)
    }

    /// The same agent with workers for what computes. Without, its tasks do that themselves.
    pub fn with_workers(self, workers: Workers) -> Agent {
        Agent { workers, ..self }
    }

    /// The same agent without its sources: what its channels hold goes to the sinks, and that is all.
    pub fn drain_only(self) -> Agent {
        Agent { sources: Vec::new(), ..self }
    }

    /// The meters of all components by name, to be read while the agent runs.
    pub fn meters(&self) -> BTreeMap<Arc<str>, Arc<Meter>> {
        let sources = self.sources.iter().map(|source| (source.name.clone(), source.meter.clone()));
        let channels =
            self.channels.iter().map(|(name, channel)| (name.as_str().into(), channel.meter.clone()));
        let sinks = self.sinks.iter().map(|sink| (sink.name.clone(), sink.meter.clone()));
        sources.chain(channels).chain(sinks).collect()
    }

    /// All measures of all components, to be read at any time, also when the agent is gone.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Runs until every source has ended, or until told to stop and drained for at most
    /// `drain_limit`. Nothing runs if one of the channels can't be opened.
    pub async fn run(mut self, stop: Stop, drain_limit: Duration) -> (Report, Ending) {
        let metrics = self.metrics.clone();
        let channels = self.channels();
        if let Err(why) = self.prepare(&stop).await {
            let ending = match why {
                // Events that channels hold from an earlier run are not delivered.
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
        metrics.enter(Stage::Running);
        let mut watches = watch_all(&channels);
        let farewell = Farewell::new();
        let mut tasks = self.spawn(&stop, &farewell);
        let mut ending = supervise_all(&mut tasks, &mut watches, &stop, drain_limit, &metrics).await;
        farewell.say(&stop.drain).await;
        tasks.shutdown().await;
        for (member, channel) in channels {
            // A channel that has failed ends its sinks, which may be heard of before its watch.
            if let Err(failure) = channel.shut().await
                && !put_back!("failed_channel_taken_for_drained")
                && watches.remove(&member.component)
                && let Some(failure) = note_end(&metrics, &member, failure)
                && !matches!(ending, Ending::Failed { .. })
            {
                ending = Ending::Failed { component: member.component, failure };
            }
        }
        watches.shutdown().await;
        metrics.end();
        (Report::of(&metrics), ending)
    }

    async fn prepare(&mut self, stop: &Stop) -> Result<(), NotStarted> {
        open_all(&self.metrics, stop).await?;
        self.recover(stop).await
    }

    fn channels(&self) -> Vec<NamedChannel> {
        let channels = self.channels.iter();
        let named = channels.map(|(name, built)| {
            (Member { component: name.as_str().into(), optional: built.optional }, built.channel.clone())
        });
        named.collect()
    }

    /// Starts a task for each sink and source, the sinks first.
    fn spawn(self, stop: &Stop, farewell: &Farewell) -> Tasks {
        let mut tasks = Tasks::default();
        let gates = Gates::new(&self.sources, &self.channels);
        for mut built in self.sinks {
            built.port.employ(&self.workers);
            let BuiltSink { name, sink, meter, channels, optional, .. } = built;
            let member = Member { component: name.clone(), optional };
            let task = SinkTask { name, sink, meter, channels, optional };
            tasks.spawn(member, task.run(built.port, stop.drain.clone()));
        }
        for built in self.sources {
            let gate = gates.of(&built.legs);
            let member = Member { component: built.name.clone(), optional: false };
            let meter = built.meter;
            let required = |target: &&Target| !target.optional;
            let mut targets = built.legs.iter().flat_map(Leg::targets).filter(required);
            let durable = targets.all(|target| target.channel.is_durable());
            let connection = Connection {
                component: built.name,
                wants_identities: built.progress.is_some(),
                progress: built.progress.or_else(|| durable.then(|| Progress::through_runs(meter.clone()))),
                legs: built.legs,
                meter,
                workers: self.workers.clone(),
                invitation: farewell.invitation(),
            };
            let task = SourceTask { connection, source: built.source, stop: stop.drain.clone() };
            tasks.spawn(member, task.run(gate));
        }
        tasks
    }
}

type NamedChannel = (Member, Arc<dyn Channel>);

/// A task for each channel that ends when the channel can't go on.
fn watch_all(channels: &[NamedChannel]) -> Tasks {
    let mut watches = Tasks::default();
    for (member, channel) in channels.iter().cloned() {
        watches.spawn(member, async move {
            let failure = channel.failed().await;
            // Its sinks end, and what is put into it is left out.
            channel.close();
            Err(failure)
        });
    }
    watches
}

/// Waits for the tasks, within the limits that a stop sets.
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
        let (member, result) = tokio::select! {
            biased;
            // What ends the agent is heard of first.
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
                warn!("stopped at once: what was not committed comes again");
                return match failed {
                    Some((component, failure)) => Ending::Failed { component, failure },
                    None => Ending::Incomplete,
                };
            }
            () = sleep_until(expiry), if deadline.is_some() => {
                if failed.is_none() {
                    say_what_is_left(tasks);
                }
                break;
            }
        };
        if let Err(failure) = result
            && let Some(failure) = note_end(metrics, &member, failure)
        {
            failed.get_or_insert((member.component, failure));
            let latest = Instant::now() + DRAIN_AFTER_FAILURE;
            deadline = Some(deadline.map_or(latest, |before| before.min(latest)));
            stop.drain.cancel();
        }
        if tasks.are_optional() && !tasks.is_empty() {
            // All that had to be done is done; they may end in order, and no longer be tried again.
            stop.drain.cancel();
        }
    }
    match failed {
        Some((component, failure)) => Ending::Failed { component, failure },
        None if tasks.are_optional() => Ending::Complete,
        None => Ending::Incomplete,
    }
}

/// Notes and says that a component has failed for good. Gives the failure back if the agent can't do without it.
fn note_end(metrics: &Metrics, member: &Member, failure: Failure) -> Option<Failure> {
    let component = &member.component;
    metrics.note_failure(component, &failure);
    if member.optional {
        error!(%component, "{failure}; it is optional, the others go on without it");
        return None;
    }
    match failure.loses() {
        true => error!(%component, "{failure}; the agent stops"),
        false => error!(%component, "{failure}; the agent stops, what was not committed comes again"),
    }
    Some(failure)
}

/// Names what has not ended within the limit.
fn say_what_is_left(tasks: &Tasks) {
    let names = tasks.names();
    match tasks.are_optional() {
        true => {
            warn!("not drained within the limit: {names}, which may fail: it misses what it did not take")
        }
        false => warn!("not drained within the limit: {names}; what was not committed comes again"),
    }
}

#[cfg(test)]
mod tests;
