//! Takes a sample from a real source. The source runs alone, without a trace, and a sink of this module keeps the first events. It
//! delivers none, so that the source never learns that it could commit or delete something.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow_schema::Schema;
use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use weir_plan::{
    Component, Delivery as Promise, EventType, EventTypeId, Flow, LINEAGE, Leg, Order, Origin, PLAN_VERSION,
    Path, Plan, Route, Settings,
};
use weir_runtime::agent::{Agent, Ending, Report, Stop};
use weir_runtime::batch::Batch;
use weir_runtime::channel::{Limits, MemoryChannel, Taken};
use weir_runtime::metrics::Metrics;
use weir_runtime::sink::{Sink, SinkPort};
use weir_runtime::{Acknowledgement, ConnectFailure, Failure, MakeUntraced, SystemClock, Untraced};

use crate::program::{Staged, TestProgram};

/// The kind and the name of the channel and of the sink behind a source that gives a sample.
const END: &str = "sample";

/// The most bytes of a sample. The event that exceeds them is the last one.
const BYTES_MAX: u64 = 64 << 20;

/// The bounds of the channel: as large as the largest batch and the largest event of any source.
const LIMITS: Limits = Limits {
    capacity: 200_000,
    transaction_capacity: 100_000,
    byte_capacity: 128 << 20,
    keep_alive: Duration::from_secs(3),
};

/// A sample is complete when no further event has come for this time.
const QUIET: Duration = Duration::from_secs(2);

/// How long the threads of the source have to end after the sample is taken.
const END_WAIT: Duration = Duration::from_secs(2);

/// How much is wanted of a source.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The most events.
    pub events: usize,
    /// How long events are waited for.
    pub wait: Duration,
}

/// The first events of a source, as it gives them.
#[derive(Debug)]
pub struct Sample {
    pub(crate) batches: Vec<Batch>,
}

/// Why there is no sample.
#[derive(Debug, thiserror::Error)]
pub enum NoSample {
    /// The program has no such source, or sources of this kind give no sample.
    #[error("{0}")]
    Never(String),
    /// The source has failed, or no event came.
    #[error("{0}")]
    Failed(String),
}

/// Takes the first events of a source of a program. Takes as long as [`Wanted::wait`] says and some seconds more at most.
///
/// # Errors
/// When there is no such source, it can't be read without a trace, it fails, or no event came.
pub fn sample(program: &TestProgram<'_>, source: &str, wanted: Wanted) -> Result<Sample, NoSample> {
    let staged = program.staged_plan().ok_or_else(|| NoSample::Never("the program has errors".to_owned()))?;
    let component = planned_source(&staged, source).map_err(NoSample::Never)?;
    let make = match (staged.library)().untraced_of(&component.kind) {
        Some(Untraced::By(make)) => make,
        Some(Untraced::Never(reason)) => {
            return Err(NoSample::Never(format!("the source `{source}` gives no sample: {reason}")));
        }
        None => return Err(NoSample::Never(format!("the source `{source}` gives no sample"))),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| NoSample::Failed(format!("no runtime: {error}")))?;
    let taken = runtime.block_on(take(&staged, component, make, wanted));
    // A thread that waits for a server that does not answer is not waited for.
    runtime.shutdown_timeout(END_WAIT);
    taken.map_err(NoSample::Failed)
}

/// Returns a source that a flow uses.
///
/// # Errors
/// When there is none of this name, in words.
pub(crate) fn planned_source<'s>(staged: &'s Staged, name: &str) -> Result<&'s Component, String> {
    let sources = &staged.plan.sources;
    sources.iter().find(|source| source.name == name).ok_or_else(|| {
        let known: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        format!("the program has no source `{name}` in a flow; it has {}", known.join(", "))
    })
}

async fn take(
    staged: &Staged,
    source: &Component,
    make: MakeUntraced,
    wanted: Wanted,
) -> Result<Sample, String> {
    let taken = Arc::new(SampledEvents { wanted: wanted.events, ..SampledEvents::default() });
    let sink = taken.clone();
    let registry = (staged.library)()
        .source(source.kind.clone(), make)
        .channel(END, |_, _| Ok(Arc::new(MemoryChannel::new(LIMITS))))
        .sink(END, move |_, _| Ok(Box::new(SampleSink { taken: sink.clone(), held: Vec::new() })));
    let failed = |error: String| format!("the source `{}` gives no sample: {error}", source.name);
    let plan = plan_of(staged, source);
    let agent = Agent::build(&plan, &registry, Arc::new(SystemClock));
    let mut agent = agent.map_err(|error| failed(error.to_string()))?;
    let asked: Vec<String> = agent.probe().await.into_iter().map(|found| found.failure.to_string()).collect();
    if !asked.is_empty() {
        return Err(failed(asked.join("; ")));
    }
    let asked = agent.connect().await.into_iter().map(|(_, ConnectFailure { failure, .. })| failure);
    let asked: Vec<String> = asked.map(|failure| failure.to_string()).collect();
    if !asked.is_empty() {
        return Err(failed(asked.join("; ")));
    }
    let metrics = agent.metrics();
    let mut running = tokio::spawn(agent.run(Stop::default(), Duration::ZERO));
    let ended = taken.wait(&mut running, Instant::now() + wanted.wait).await;
    let sample = Sample { batches: mem::take(&mut taken.lock().batches) };
    let reasons = troubles(&metrics);
    // A stop would wait for events that are never delivered, and warn of them.
    running.abort();
    match ended {
        _ if !sample.batches.is_empty() => Ok(sample),
        Some(Ending::Failed { failure, .. } | Ending::NotStarted { failure, .. }) => {
            Err(failed(failure.to_string()))
        }
        _ if reasons.is_empty() => {
            Err(format!("no event came from the source `{}` within {:?}", source.name, wanted.wait))
        }
        _ => Err(failed(reasons.join("; "))),
    }
}

/// The failures of the source that last.
fn troubles(metrics: &Metrics) -> Vec<String> {
    let components = metrics.read().components.into_iter();
    let reasons = components.flat_map(|component| {
        let troubles = component.troubles.into_iter().map(|trouble| trouble.message);
        troubles.chain(component.last_error.map(|error| error.message)).collect::<Vec<_>>()
    });
    let mut reasons: Vec<String> = reasons.collect();
    reasons.dedup();
    reasons
}

/// Returns the plan of an agent that has this source alone. It promises nothing, since nothing is delivered.
fn plan_of(staged: &Staged, source: &Component) -> Plan {
    let schema = &staged.plan.event_type(source.event_type).schema;
    let fields: Vec<_> = schema.fields().iter().filter(|field| field.name() != LINEAGE).cloned().collect();
    let event_type = EventTypeId(0);
    let end = || Component {
        name: END.to_owned(),
        kind: END.to_owned(),
        settings: Settings::default(),
        event_type,
        implicit: true,
        derived: Default::default(),
    };
    let leg = |to| Leg { steps: Vec::new(), to };
    let (channel, sink) = (Component { name: format!("{END}s"), ..end() }, end());
    let paths = vec![
        Path { from: Origin::Source(source.name.clone()), leg: leg(Route::Channel(channel.name.clone())) },
        Path { from: Origin::Channel(channel.name.clone()), leg: leg(Route::Sink(sink.name.clone())) },
    ];
    Plan {
        version: PLAN_VERSION,
        program: staged.plan.program.clone(),
        sources: vec![Component { event_type, ..source.clone() }],
        channels: vec![channel],
        sinks: vec![sink],
        event_types: vec![EventType::new(Schema::new(fields))],
        functions: Vec::new(),
        flows: vec![Flow { name: END.to_owned(), delivers: Promise::BestEffort, order: Order::None, paths }],
        agent: Settings::default(),
        worst_case: None,
    }
}

/// The events that have come so far.
#[derive(Default)]
struct SampledEvents {
    wanted: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    batches: Vec<Batch>,
    events: usize,
    bytes: u64,
}

impl SampledEvents {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self) -> bool {
        let state = self.lock();
        state.events >= self.wanted || state.bytes >= BYTES_MAX
    }

    /// Adds the events of a batch that are still wanted.
    fn add(&self, batch: &Batch) {
        let mut state = self.lock();
        let rows = batch.rows().min(self.wanted - state.events);
        let mut fitting = rows;
        if state.bytes + batch.payload_bytes() > BYTES_MAX {
            let bytes_of = |row: usize| batch.slice(row, 1).payload_bytes();
            let mut bytes = state.bytes;
            let fits = |row: &usize| {
                let fits = bytes < BYTES_MAX;
                bytes += bytes_of(*row);
                fits
            };
            fitting = (0..rows).take_while(fits).count();
        }
        let batch = batch.slice(0, fitting);
        state.events += fitting;
        state.bytes += batch.payload_bytes();
        state.batches.push(batch);
        self.changed.notify_one();
    }

    /// Waits until the sample is complete. Returns how the agent has ended, if it has.
    async fn wait(&self, agent: &mut JoinHandle<(Report, Ending)>, latest: Instant) -> Option<Ending> {
        let mut end = latest;
        while !self.is_full() {
            tokio::select! {
                biased;
                came = timeout_at(end, self.changed.notified()) => match came {
                    Ok(()) => end = latest.min(Instant::now() + QUIET),
                    Err(_elapsed) => return None,
                },
                ended = &mut *agent => return Some(ended.map_or(Ending::Incomplete, |(_, ending)| ending)),
            }
        }
        None
    }
}

/// A sink that keeps the first events, and delivers none.
struct SampleSink {
    taken: Arc<SampledEvents>,
    /// What would tell the channel that events are delivered, or that they have to come again.
    held: Vec<Acknowledgement>,
}

#[async_trait]
impl Sink for SampleSink {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        while !self.taken.is_full() {
            match port.take().await? {
                Taken::Events(delivery) => {
                    self.held.push(delivery.acknowledgement);
                    self.taken.add(&delivery.batch);
                }
                Taken::Pressure => {}
                Taken::End => break,
            }
        }
        // An end would let the source's last events count as given up.
        std::future::pending().await
    }
}
