//! Runs one test: its acts in their order, on a new scene, in one thread and in virtual time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Builder;
use weir_compiler::ALONE_NAMES;
use weir_compiler::analysis::program_tests::{
    ProgramTest, StepTest, TestAct, TestActKind, TestContent, TestEvent, TestEvents, TestRow,
};
use weir_grammar::Span;
use weir_plan::BODY;
use weir_runtime::storage::Moment;
use weir_runtime::{Clock, SystemClock};

use crate::comparing::compare;
use crate::coverage::{ReachedPlaces, broken_rules, places_of};
use crate::driver::Driver;
use crate::endpoints::received;
use crate::limits::Limits;
use crate::outcome::{Failure, TestResult};
use crate::program::{Staged, TestProgram};
use crate::promises::Arrivals;
use crate::sampling::Sample;
use crate::scene::{BEGIN, Scene, SentEvent};
use crate::stage::{fill_disk, populate, registry};
use crate::watching::Watcher;
use crate::{checks, sending, trace, written};

/// How a test is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunSettings<'s> {
    /// All that is random follows from the seed.
    pub seed: u64,
    /// Whether the way of each event is recorded.
    pub trace: bool,
    /// Whether files of expected events are written.
    pub bless: bool,
    /// Whether the time of day is that of the machine; otherwise it begins with 2026.
    pub real_time: bool,
    /// When the run is ended early.
    pub limits: Limits<'s>,
}

/// The faults of a run, besides those of the test itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Injected {
    /// Stops of the machine: each a number of calls after the start of an agent, the last one first.
    pub(crate) stops: Vec<(u64, Moment)>,
    /// One call of the sinks in this many fails.
    pub(crate) failing_one_in: Option<u64>,
}

/// What became of a run.
pub(crate) struct Ran {
    pub(crate) failure: Option<Failure>,
    pub(crate) scene: Arc<Scene>,
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) arrivals: Arrivals,
    pub(crate) advanced: std::time::Duration,
    /// The calls that the machine counted.
    pub(crate) calls: u64,
    blessed: Vec<String>,
}

/// Runs a test once.
pub fn run_test(program: &TestProgram<'_>, test: &ProgramTest, settings: RunSettings<'_>) -> TestResult {
    let begun = Instant::now();
    let mut result = TestResult::new(&test.title, test.span, settings.seed);
    match ran(program, test, settings) {
        Err(failure) => result.failure = Some(failure),
        Ok((ran, reached)) => {
            result.advanced = ran.advanced;
            result.reached = reached;
            result.digest = digest(&ran);
            result.trace = if settings.trace { trace::shown(&ran) } else { Vec::new() };
            result.blessed = ran.blessed;
            result.failure = ran.failure;
        }
    }
    result.took = begun.elapsed();
    result
}

/// Runs a test, and returns what became of it and what it has reached.
fn ran(
    program: &TestProgram<'_>,
    test: &ProgramTest,
    settings: RunSettings<'_>,
) -> Result<(Ran, ReachedPlaces), Failure> {
    let cannot = |message| Failure::at(test.span, message, "this test can't run");
    let (test, staged) = program.staged(test).map_err(cannot)?;
    if let Some(failure) = checks::impossible(&staged, &test) {
        return Err(failure);
    }
    let ran = run_staged(&staged, &test, settings, &Injected::default()).map_err(cannot)?;
    let mut reached = places_of(&staged.analysis, &test, &ran.watcher.reached());
    reached.extend(broken_rules(&staged, &ran.scene.broken_rules()));
    Ok((ran, reached))
}

/// Returns a number that is equal for two runs in which the same happened.
fn digest(ran: &Ran) -> u64 {
    let mut hasher = DefaultHasher::new();
    ran.arrivals.hash(&mut hasher);
    (ran.advanced, ran.calls, ran.scene.machine.trace()).hash(&mut hasher);
    ran.failure.as_ref().map(|failure| &failure.message).hash(&mut hasher);
    hasher.finish()
}

/// Runs a test on a stage.
///
/// # Errors
/// When the test can't run, in words.
pub(crate) fn run_staged(
    staged: &Staged,
    test: &ProgramTest,
    settings: RunSettings<'_>,
    injected: &Injected,
) -> Result<Ran, String> {
    let references = references(staged, test, settings)?;
    in_virtual_time(settings.seed, async {
        let mut run = Run::new(staged, settings, injected);
        run.references = references;
        let failure = match &test.content {
            TestContent::Program(acts) => run.acts(acts).await?,
            TestContent::Alone(steps) => run.rows(steps).await?,
        };
        Ok(run.end(failure).await)
    })
}

/// Runs the acts of a test without faults and expectations, and returns what had arrived at each act that asks for it.
fn references(
    staged: &Staged,
    test: &ProgramTest,
    settings: RunSettings<'_>,
) -> Result<BTreeMap<usize, Arrivals>, String> {
    let TestContent::Program(acts) = &test.content else { return Ok(BTreeMap::new()) };
    let asks = |act: &TestAct| matches!(act.kind, TestActKind::NoLoss | TestActKind::NoDuplicates);
    if !acts.iter().any(asks) {
        return Ok(BTreeMap::new());
    }
    let settings = RunSettings { trace: false, bless: false, ..settings };
    in_virtual_time(settings.seed, async {
        let mut run = Run::new(staged, settings, &Injected::default());
        let mut references = BTreeMap::new();
        for (index, act) in acts.iter().enumerate() {
            if asks(act) {
                run.driver.settle().await?;
                references.insert(index, run.scene.arrivals());
            } else {
                run.act_without_faults(act).await?;
            }
        }
        run.driver.kill(false).await;
        Ok(references)
    })
}

/// Runs a test without its faults and expectations, and returns all that had arrived in the end.
///
/// # Errors
/// When the test can't run, in words.
pub(crate) fn run_without_faults(
    staged: &Staged,
    acts: &[TestAct],
    settings: RunSettings<'_>,
    injected: &Injected,
) -> Result<Ran, String> {
    in_virtual_time(settings.seed, async {
        let mut run = Run::new(staged, settings, injected);
        for act in acts {
            run.act_without_faults(act).await?;
        }
        run.driver.settle().await?;
        // Sinks that failed at random go on, so that what is delayed arrives.
        run.scene.fail_at_random(None);
        run.driver.settle().await?;
        Ok(run.end(None).await)
    })
}

/// Runs a future in one thread, in virtual time.
pub(crate) fn in_virtual_time<T>(
    seed: u64,
    future: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    // The jitter of waits is drawn from the generator of the thread.
    fastrand::seed(seed);
    runtime.block_on(future)
}

/// Runs a future in one thread, in the time of the machine.
pub(crate) fn in_real_time<T>(future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(future)
}

/// A run of a test.
pub(crate) struct Run<'s> {
    pub(crate) staged: &'s Staged,
    settings: RunSettings<'s>,
    pub(crate) scene: Arc<Scene>,
    watcher: Arc<Watcher>,
    pub(crate) driver: Driver<'s>,
    pub(crate) references: BTreeMap<usize, Arrivals>,
    blessed: Vec<String>,
}

impl<'s> Run<'s> {
    /// Makes the scene and the driver, in a paused runtime.
    pub(crate) fn new(staged: &'s Staged, settings: RunSettings<'s>, injected: &Injected) -> Run<'s> {
        let begin = if settings.real_time { SystemClock.now() } else { BEGIN };
        let scene = Arc::new(Scene::new(settings.seed).beginning_at(begin));
        populate(&scene, &staged.plan, &staged.classes);
        scene.fail_at_random(injected.failing_one_in);
        let watcher = Arc::new(Watcher::new(scene.clone(), settings.trace));
        let registry = registry((staged.library)(), &staged.plan, &staged.classes, &scene, watcher.clone());
        let driver = Driver::new(staged.plan.clone(), registry, scene.clone());
        let driver = driver.with_stops(injected.stops.clone()).within(settings.limits);
        Run { staged, settings, scene, watcher, driver, references: BTreeMap::new(), blessed: Vec::new() }
    }

    pub(crate) async fn end(mut self, failure: Option<Failure>) -> Ran {
        let advanced = self.scene.elapsed();
        let calls = self.scene.machine.steps();
        self.driver.kill(false).await;
        let arrivals = self.scene.arrivals();
        let Run { scene, watcher, blessed, .. } = self;
        Ran { failure, scene, watcher, arrivals, advanced, calls, blessed }
    }

    /// Does the acts until one fails.
    async fn acts(&mut self, acts: &[TestAct]) -> Result<Option<Failure>, String> {
        self.driver.start().await?;
        for (index, act) in acts.iter().enumerate() {
            let failure = match &act.kind {
                TestActKind::Fail { component, times } => {
                    let name = self.name(*component);
                    self.scene.fail(&name, *times);
                    None
                }
                TestActKind::DiskFull(component) => {
                    let name = self.name(*component);
                    fill_disk(&self.scene, &name);
                    None
                }
                TestActKind::Crash => {
                    self.driver.crash().await?;
                    None
                }
                TestActKind::Send { .. } | TestActKind::Advance(_) => {
                    self.act_without_faults(act).await?;
                    None
                }
                _ => self.expectation(index, act).await?,
            };
            if let Some(mut failure) = failure {
                failure.notes.extend(self.notes());
                return Ok(Some(failure));
            }
        }
        Ok(None)
    }

    /// Does an act that sends events or lets time pass; others do nothing.
    async fn act_without_faults(&mut self, act: &TestAct) -> Result<(), String> {
        match &act.kind {
            TestActKind::Send { source, events, as_lines } => {
                let events = match events {
                    TestEvents::Listed(events) => events.clone(),
                    TestEvents::File { name, span } => {
                        sending::sent_from(&self.staged.folder.join(name), *span)?
                    }
                };
                let name = self.name(*source);
                let events = match as_lines {
                    true => written::events_of_lines(self.staged, &name, act.span, &events)?,
                    false => events,
                };
                self.send(&name, &events)
            }
            TestActKind::Advance(time) => self.driver.advance(*time).await,
            _ => Ok(()),
        }
    }

    fn name(&self, component: usize) -> String {
        let component = self.staged.analysis.graph.components.get(component);
        component.map_or_else(String::new, |component| component.declared.name.to_string())
    }

    pub(crate) fn send(&self, name: &str, events: &[TestEvent]) -> Result<(), String> {
        let plan = &self.staged.plan;
        let Some(source) = plan.sources.iter().find(|source| source.name == name) else {
            return Err(format!("no flow uses the source `{name}`, so nothing can be sent to it"));
        };
        let schema = &plan.event_type(source.event_type).schema;
        let now = self.scene.now();
        self.scene.source(name, |state| {
            for event in events {
                let position = state.events.len() as u64;
                state.events.push(sending::sent(&event.content, source, schema, position, now));
            }
            if !events.is_empty() {
                state.ends.push(state.events.len() as u64);
            }
        });
        self.scene.moved();
        Ok(())
    }

    /// Sends the events of a sample as the source has given them.
    pub(crate) fn send_sample(&self, name: &str, sample: &Sample) {
        self.scene.source(name, |state| {
            for batch in &sample.batches {
                state.exact.insert(state.events.len() as u64, batch.clone());
                state.events.extend(received(batch).iter().map(SentEvent::of));
                state.ends.push(state.events.len() as u64);
            }
        });
        self.scene.moved();
    }

    async fn expectation(&mut self, index: usize, act: &TestAct) -> Result<Option<Failure>, String> {
        self.driver.settle().await?;
        match &act.kind {
            TestActKind::Expect { name, events, at } => {
                let is_rejects = self.staged.analysis.graph.components.get(*at);
                let is_rejects = is_rejects.is_some_and(|component| component.declared.rejects_of.is_some());
                self.expected(act.span, name, events, is_rejects)
            }
            TestActKind::Writes { name, events, .. } => {
                let batches = self.scene.sink(name, |sink| std::mem::take(&mut sink.unwritten));
                written::compared(self.staged, name, act.span, events, &batches)
            }
            TestActKind::NoLoss => Ok(checks::no_loss(self, index, act.span)),
            TestActKind::NoDuplicates => Ok(checks::no_duplicates(self, index, act.span)),
            TestActKind::Order => Ok(checks::order(self, act.span)),
            TestActKind::Metric { component, metric, comparison, value } => {
                let name = self.name(*component);
                Ok(checks::metric(self, act.span, (&name, metric), *comparison, *value))
            }
            _ => Ok(None),
        }
    }

    /// Compares the events that came since the last expectation there.
    fn expected(
        &mut self,
        at: Span,
        name: &str,
        events: &TestEvents,
        is_rejects: bool,
    ) -> Result<Option<Failure>, String> {
        let take = |sink: &mut crate::scene::SinkState| {
            let new = sink.received[sink.expected.min(sink.received.len())..].to_vec();
            sink.expected = sink.received.len();
            new
        };
        let found = match is_rejects {
            true => self.scene.rejects(take),
            false => self.scene.sink(name, take),
        };
        let sinks = &self.staged.plan.sinks;
        let sink = sinks.iter().find(|sink| sink.name == name);
        if sink.is_none() && !is_rejects {
            return Err(format!("no flow uses the sink `{name}`, so nothing can come to it"));
        }
        let schema = sink.map(|sink| &self.staged.plan.event_type(sink.event_type).schema);
        let has_body = !is_rejects && schema.is_some_and(|schema| schema.index_of(BODY).is_ok());
        let expected = match events {
            TestEvents::Listed(events) => events.clone(),
            TestEvents::File { name: file, span } => {
                let path = self.staged.folder.join(file);
                if self.settings.bless {
                    sending::bless(&self.staged.folder, file, &found, has_body)?;
                    self.blessed.push(path.display().to_string());
                    return Ok(None);
                }
                match sending::expected_from(&path, *span, has_body) {
                    Ok(events) => events,
                    Err(message) => {
                        let mut failure = Failure::at(*span, message, "the events that are expected");
                        failure
                            .notes
                            .push("`weir test --bless` writes the file from the events that came".to_owned());
                        return Ok(Some(failure));
                    }
                }
            }
        };
        Ok(compare(name, at, &expected, &found))
    }

    /// What may explain a failure: events that are not delivered, that were rejected, and agents that ended.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = self.scene.notes();
        let waiting = self.driver.waiting();
        if waiting > 0 {
            let are = if waiting == 1 { "1 event is" } else { &format!("{waiting} events are") };
            notes.push(format!(
                "{are} not delivered, although nothing has moved for a minute or an hour has passed"
            ));
        }
        let measures = self.driver.measures().filter(|_| waiting > 0);
        for component in measures.into_iter().flat_map(|measures| measures.components) {
            if let Some(error) = component.last_error {
                notes.push(format!("`{}` has failed: {}", component.name, error.message));
            }
        }
        notes.extend(checks::rejected(&self.scene));
        notes
    }

    /// Sends each row of a table, and compares what comes out.
    async fn rows(&mut self, test: &StepTest) -> Result<Option<Failure>, String> {
        self.driver.start().await?;
        for row in &test.rows {
            if let Some(failure) = self.row(row, test.is_function).await? {
                return Ok(Some(failure));
            }
        }
        Ok(None)
    }

    async fn row(&mut self, row: &TestRow, is_function: bool) -> Result<Option<Failure>, String> {
        let [source, out, _] = ALONE_NAMES;
        self.send(source, std::slice::from_ref(&row.given))?;
        self.driver.settle().await?;
        let found = self.scene.sink(out, |sink| std::mem::take(&mut sink.received));
        let rejected = self.scene.rejects(|sink| std::mem::take(&mut sink.received));
        let Some(mut failure) = compare(out, row.out_span, &row.out, &found) else { return Ok(None) };
        if is_function {
            let given = crate::comparing::expected_text(&row.given.content);
            failure.message = match found.is_empty() {
                true => format!("the function fails for {given}"),
                false => format!("the function gives another result for {given}"),
            };
        } else {
            failure.message = failure.message.replace("to `out`", "out");
        }
        failure.notes.extend(checks::reasons(&rejected));
        Ok(Some(failure))
    }
}
