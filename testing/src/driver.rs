//! Drives the agent of a test in virtual time: starts it, lets it work until it is idle, lets time pass, kills it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};
use weir_plan::Plan;
use weir_runtime::Registry;
use weir_runtime::agent::{Agent, Ending, Report, Stop};
use weir_runtime::metrics::{Metrics, Snapshot};

use crate::limits::{Limits, PARTS_OF_ADVANCE};
use crate::scene::{Scene, VirtualClock};

/// An agent is idle when this many turns of its tasks have moved nothing.
const IDLE_TURNS: u32 = 64;
/// Events that move nothing for this time don't move any more.
const QUIET: Duration = Duration::from_secs(60);
/// The longest time in which events may be delivered after an act.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How long an agent takes to drain when a test ends.
const DRAIN: Duration = Duration::from_secs(30);
/// How often an agent that fails is started again.
const STARTS_MAX: u32 = 20;
/// How long the supervisor of an agent waits before it starts it again.
const RESTART_WAIT: Duration = Duration::from_secs(1);

/// Runs the agents of one test.
pub(crate) struct Driver<'s> {
    plan: Arc<Plan>,
    registry: Registry,
    scene: Arc<Scene>,
    running: Option<Running>,
    /// How often an agent was started because the one before had failed.
    failed: u32,
    /// Calls of the machine until it stops, one number for each start of an agent.
    stops: Vec<(u64, weir_runtime::storage::Moment)>,
    limits: Limits<'s>,
}

struct Running {
    agent: JoinHandle<(Report, Ending)>,
    metrics: Metrics,
}

impl<'s> Driver<'s> {
    pub(crate) fn new(plan: Arc<Plan>, registry: Registry, scene: Arc<Scene>) -> Driver<'s> {
        let (stops, limits) = (Vec::new(), Limits::default());
        Driver { plan, registry, scene, running: None, failed: 0, stops, limits }
    }

    /// Plans stops of the machine: each is a number of calls after the start of an agent, the last one first.
    pub(crate) fn with_stops(self, stops: Vec<(u64, weir_runtime::storage::Moment)>) -> Driver<'s> {
        Driver { stops, ..self }
    }

    /// Ends the run early.
    pub(crate) fn within(self, limits: Limits<'s>) -> Driver<'s> {
        Driver { limits, ..self }
    }

    /// Starts the agent, if it does not run.
    ///
    /// # Errors
    /// When the agent can't be built, in words.
    pub(crate) async fn start(&mut self) -> Result<(), String> {
        if self.running.is_some() {
            return Ok(());
        }
        let clock = Arc::new(VirtualClock(self.scene.clone()));
        let agent = Agent::build(&self.plan, &self.registry, clock).map_err(|error| error.to_string())?;
        if let Some((calls, moment)) = self.stops.pop() {
            self.scene.machine.stop_at(calls, moment);
        }
        let metrics = agent.metrics();
        self.running = Some(Running { agent: tokio::spawn(agent.run(Stop::default(), DRAIN)), metrics });
        Ok(())
    }

    /// The measures of the agent that runs.
    pub(crate) fn measures(&self) -> Option<Snapshot> {
        self.running.as_ref().map(|running| running.metrics.read())
    }

    /// Lets the agent work until nothing moves, without letting time pass.
    ///
    /// # Errors
    /// When the agent can't be built, in words.
    pub(crate) async fn work(&mut self) -> Result<(), String> {
        self.start().await?;
        let (mut activity, mut idle) = (self.scene.activity(), 0);
        while idle < IDLE_TURNS {
            self.limits.check(self.scene.activity())?;
            yield_now().await;
            if self.scene.machine.is_down() {
                let power_is_lost = self.scene.random_below(2) == 0;
                self.kill(power_is_lost).await;
                self.start().await?;
            }
            if self.running.as_ref().is_some_and(|running| running.agent.is_finished()) {
                self.restart().await?;
            }
            let now = self.scene.activity();
            idle = if now == activity { idle + 1 } else { 0 };
            activity = now;
        }
        Ok(())
    }

    /// Lets the agent work until all events are delivered, or nothing moves for a minute. Time passes only while events wait
    /// for it.
    ///
    /// # Errors
    /// When the agent can't be built, in words.
    pub(crate) async fn settle(&mut self) -> Result<(), String> {
        let scene = self.scene.clone();
        let begun = Instant::now();
        let mut activity = 0;
        loop {
            let changed = scene.changed.notified();
            self.work().await?;
            let now = scene.activity();
            if self.waiting() == 0 || begun.elapsed() > PATIENCE {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep(QUIET) => {
                    if now == activity {
                        return Ok(());
                    }
                }
            }
            activity = now;
        }
    }

    /// Lets time pass. What was sent before is taken first.
    ///
    /// # Errors
    /// When the agent can't be built, in words.
    pub(crate) async fn advance(&mut self, time: Duration) -> Result<(), String> {
        self.work().await?;
        let end = Instant::now() + time;
        let part = (time / PARTS_OF_ADVANCE).max(Duration::from_millis(1));
        loop {
            self.limits.check(self.scene.activity())?;
            let changed = self.scene.clone();
            let changed = changed.changed.notified();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.work().await;
            }
            tokio::select! {
                biased;
                () = changed => self.work().await?,
                () = sleep(left.min(part)) => {}
            }
        }
    }

    /// The number of events that are not delivered, or wait in a required channel.
    pub(crate) fn waiting(&self) -> u64 {
        let channels = self.measures().map_or(0, |measures| {
            let required = measures.components.iter().filter(|component| !component.optional);
            required.filter_map(|component| component.channel.as_ref()).map(|channel| channel.events).sum()
        });
        self.scene.undelivered() + channels
    }

    /// Kills the agent, and starts it again.
    ///
    /// # Errors
    /// When the agent can't be built, in words.
    pub(crate) async fn crash(&mut self) -> Result<(), String> {
        self.work().await?;
        self.kill(false).await;
        self.start().await?;
        self.work().await
    }

    /// Ends the agent's process, so that nothing of it runs any more.
    pub(crate) async fn kill(&mut self, power_is_lost: bool) {
        self.note_rules();
        let Some(running) = self.running.take() else { return };
        self.scene.machine.stop();
        running.agent.abort();
        let _aborted = running.agent.await;
        // The tasks of its components end when they are polled next.
        for _ in 0..IDLE_TURNS {
            yield_now().await;
        }
        self.scene.end_process(power_is_lost);
        self.scene.machine.start();
    }

    /// Notes the rules that events have broken, before the agent that has counted them is gone.
    fn note_rules(&self) {
        let components = self.measures().into_iter().flat_map(|measures| measures.components);
        for rule in components.flat_map(|component| component.quality).filter(|rule| rule.broken > 0) {
            self.scene.rule_is_broken(&rule.quality, &rule.rule);
        }
    }

    /// Starts an agent again that has ended, as a supervisor of services does.
    async fn restart(&mut self) -> Result<(), String> {
        self.note_rules();
        let Some(running) = self.running.take() else { return Ok(()) };
        match running.agent.await {
            Ok((_, Ending::Failed { component, failure } | Ending::NotStarted { component, failure })) => {
                self.scene.note(format!("the agent ended and was started again: {component}: {failure}"));
            }
            Ok(_) => {}
            Err(error) => return Err(format!("the agent has a defect: {error}")),
        }
        self.failed += 1;
        if self.failed > STARTS_MAX {
            return Err(format!("the agent ended {STARTS_MAX} times: {}", self.scene.notes().join("; ")));
        }
        self.scene.end_process(false);
        sleep(RESTART_WAIT).await;
        self.start().await
    }
}
