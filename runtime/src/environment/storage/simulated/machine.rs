//! A machine that several simulated parts belong to, so that all of them stop at the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A simulated machine. It counts the calls to its parts (its steps) and stops at a planned one.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    steps: u64,
    planned: Option<(u64, Moment)>,
    /// The site at which the machine stops next.
    planned_site: Option<(String, Moment)>,
    down: bool,
    /// The step at which the machine stopped last.
    stopped_at: String,
    counts: BTreeMap<String, StepCounts>,
    /// The numbers and sites of the steps that change a part.
    changing: Vec<(u64, String)>,
    /// A hash of the sites of all steps so far, in their order.
    trace: u64,
}

/// The moment of a step at which the machine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// Before the step has taken effect.
    Before,
    /// During the step; whether it takes effect is random.
    Within,
    /// After the step has taken effect, before its caller gets the result.
    After,
}

/// The number of steps and stops at one site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepCounts {
    /// The number of steps.
    pub steps: u64,
    /// The number of stops before, within and after a step.
    pub stops: [u64; 3],
    /// Whether the steps change a part. If not, the machine stops only before them.
    pub changes: bool,
}

/// How a step ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// Normally.
    Proceeds,
    /// The machine stops at this step.
    Stops(Moment),
    /// The machine had stopped before this step.
    Down,
}

impl Machine {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plans a stop after `skip` more steps. At a step that changes nothing, the machine stops if `moment` is
    /// `Before`, and otherwise not at all.
    pub fn stop_at(&self, skip: u64, moment: Moment) {
        let mut state = self.lock();
        state.planned = Some((state.steps + skip, moment));
    }

    /// Plans one stop, at the next step at `site` that changes a part. The plan outlasts a restart.
    pub fn stop_at_site(&self, site: &str, moment: Moment) {
        self.lock().planned_site = Some((site.to_owned(), moment));
    }

    /// Stops the machine between two steps.
    pub fn stop(&self) {
        self.lock().down = true;
    }

    /// Returns whether the machine has stopped and was not started again.
    pub fn is_down(&self) -> bool {
        self.lock().down
    }

    /// Starts the machine again, with no stop after a number of steps. The caller starts its parts.
    pub fn start(&self) {
        let mut state = self.lock();
        (state.down, state.planned) = (false, None);
    }

    /// Returns the number of steps so far.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Returns the numbers and sites of all steps so far that change a part.
    pub fn changing_steps(&self) -> Vec<(u64, String)> {
        self.lock().changing.clone()
    }

    /// Returns the step at which the machine stopped last.
    pub fn stopped_at(&self) -> String {
        self.lock().stopped_at.clone()
    }

    /// Returns the number of steps and stops so far, by site.
    pub fn step_counts(&self) -> BTreeMap<String, StepCounts> {
        self.lock().counts.clone()
    }

    /// Returns a hash that is equal for two machines with the same steps in the same order.
    pub fn trace(&self) -> u64 {
        self.lock().trace
    }

    /// Counts a call to a part and returns how it ends. The call's site is `part`, `what` and `object` together.
    pub fn step(&self, part: &str, what: &str, object: &str, changes: bool) -> StepOutcome {
        let mut state = self.lock();
        if state.down {
            return StepOutcome::Down;
        }
        let site = format!("{part} {what} {object}").trim_end().to_owned();
        let number = state.steps;
        state.steps += 1;
        state.trace = site
            .bytes()
            .fold(state.trace, |trace, byte| (trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
        let counts_here = state.counts.entry(site.clone()).or_default();
        counts_here.steps += 1;
        counts_here.changes |= changes;
        if changes {
            state.changing.push((number, site.clone()));
        }
        let moment = if let Some((_, moment)) =
            state.planned_site.take_if(|(planned_site, _)| changes && *planned_site == site)
        {
            moment
        } else if let Some((_, moment)) = state.planned.take_if(|(planned, _)| *planned == number) {
            moment
        } else {
            return StepOutcome::Proceeds;
        };
        if !changes && moment != Moment::Before {
            return StepOutcome::Proceeds;
        }
        if let Some(counts_here) = state.counts.get_mut(&site) {
            counts_here.stops[moment as usize] += 1;
        }
        state.down = true;
        state.stopped_at = format!("step {number}, {moment:?} {site}");
        StepOutcome::Stops(moment)
    }
}
