//! A machine that several simulated things are part of, so that all of them stop at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A simulated machine. It counts what is done to its parts, and stops where it was planned to.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    steps: u64,
    planned: Option<(u64, Moment)>,
    /// A place where it stops when it comes there.
    aimed: Option<(String, Moment)>,
    down: bool,
    /// Where it stopped last.
    stopped_at: String,
    tolls: BTreeMap<String, Toll>,
    /// The steps that change something: their numbers and places.
    changing: Vec<(u64, String)>,
    /// A hash of all steps so far, in their order.
    trace: u64,
}

/// When a machine stops, seen from what is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// It has not begun.
    Before,
    /// It has begun, and its outcome is left to chance.
    Within,
    /// It has happened, and nobody has heard of it.
    After,
}

/// What has happened in one place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Toll {
    /// How often it was come to.
    pub steps: u64,
    /// How often the machine stopped there: before, within and after.
    pub stops: [u64; 3],
    /// Whether what is done there changes anything; where not, only `Before` makes sense.
    pub changes: bool,
}

/// How a step goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// As if nothing were.
    Goes,
    /// The machine stops with it.
    Stops(Moment),
    /// The machine has stopped before.
    Down,
}

impl Machine {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has it stop at the step that comes after so many others from now on. Where that changes nothing, it stops
    /// before it, or not at all if `moment` is another.
    pub fn stop_at(&self, skip: u64, moment: Moment) {
        let mut state = self.lock();
        state.planned = Some((state.steps + skip, moment));
    }

    /// Has it stop once, at the next step in this place that changes something, also after another start.
    pub fn stop_in(&self, place: &str, moment: Moment) {
        self.lock().aimed = Some((place.to_owned(), moment));
    }

    /// Stops it between two steps.
    pub fn stop(&self) {
        self.lock().down = true;
    }

    /// Whether it has stopped and was not started again.
    pub fn is_down(&self) -> bool {
        self.lock().down
    }

    /// Starts it again, with nothing planned. Its parts are started by whoever knows what they have kept.
    pub fn start(&self) {
        let mut state = self.lock();
        (state.down, state.planned) = (false, None);
    }

    /// How many steps there were.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// The numbers and places of the steps that change something, from the first.
    pub fn changing_steps(&self) -> Vec<(u64, String)> {
        self.lock().changing.clone()
    }

    /// Where it stopped last.
    pub fn stopped_at(&self) -> String {
        self.lock().stopped_at.clone()
    }

    /// What was done so far, by place.
    pub fn tolls(&self) -> BTreeMap<String, Toll> {
        self.lock().tolls.clone()
    }

    /// A number that is the same for two machines to which the same was done in the same order.
    pub fn trace(&self) -> u64 {
        self.lock().trace
    }

    /// Something is about to be done to a part.
    pub fn step(&self, part: &str, what: &str, object: &str, changes: bool) -> Step {
        let mut state = self.lock();
        if state.down {
            return Step::Down;
        }
        let place = format!("{part} {what} {object}").trim_end().to_owned();
        let number = state.steps;
        state.steps += 1;
        state.trace = place
            .bytes()
            .fold(state.trace, |trace, byte| (trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
        let toll = state.tolls.entry(place.clone()).or_default();
        toll.steps += 1;
        toll.changes |= changes;
        if changes {
            state.changing.push((number, place.clone()));
        }
        let moment = if let Some((_, moment)) = state.aimed.take_if(|(aimed, _)| changes && *aimed == place) {
            moment
        } else if let Some((_, moment)) = state.planned.take_if(|(planned, _)| *planned == number) {
            moment
        } else {
            return Step::Goes;
        };
        if !changes && moment != Moment::Before {
            return Step::Goes;
        }
        if let Some(toll) = state.tolls.get_mut(&place) {
            toll.stops[moment as usize] += 1;
        }
        state.down = true;
        state.stopped_at = format!("step {number}, {moment:?} {place}");
        Step::Stops(moment)
    }
}
