//! What happens to events at the steps of a test: the trace of each event, and what was reached.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use weir_runtime::batch::Batch;
use weir_runtime::{Observer, RoutePlace, StepPlace};

use crate::endpoints::{identity, received};
use crate::scene::{ReceivedEvent, Scene};

/// The most entries of a trace.
const ENTRIES_MAX: usize = 10_000;

/// One step of the way of one event.
#[derive(Debug, Clone)]
pub(crate) struct TraceEntry {
    /// The number of the event that was sent.
    pub(crate) lineage: i64,
    /// The step's first words.
    pub(crate) step: Arc<str>,
    /// The events after the step; none if it has dropped or rejected the event.
    pub(crate) after: Vec<ReceivedEvent>,
    /// Whether the step has rejected events of the batch.
    pub(crate) rejects: bool,
}

/// What the events of a test have reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The steps to which an event came: the indices of the flow, of the path in it and of the step in that.
    pub(crate) steps: BTreeSet<(usize, usize, usize)>,
    /// The steps that have rejected an event.
    pub(crate) rejecting: BTreeSet<(usize, usize, usize)>,
    /// The branches of `match` and `balance by` that an event took: also the index of the route in the path, and that of the
    /// branch.
    pub(crate) branches: BTreeSet<(usize, usize, usize, usize)>,
}

/// Watches the steps of one test.
pub(crate) struct Watcher {
    scene: Arc<Scene>,
    /// Whether the way of each event is recorded.
    traces: bool,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    trace: Vec<TraceEntry>,
    reached: Reached,
}

impl Watcher {
    pub(crate) fn new(scene: Arc<Scene>, traces: bool) -> Watcher {
        Watcher { scene, traces, watched: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the entries of the trace, in their order.
    pub(crate) fn trace(&self) -> Vec<TraceEntry> {
        self.lock().trace.clone()
    }

    /// Returns what was reached.
    pub(crate) fn reached(&self) -> Reached {
        self.lock().reached.clone()
    }
}

fn place_of(place: &StepPlace) -> (usize, usize, usize) {
    (place.flow, place.path, place.step)
}

impl Observer for Watcher {
    fn applied(&self, place: &StepPlace, before: &Batch, after: &Batch, rejected: usize) {
        let mut watched = self.lock();
        if !before.is_empty() {
            watched.reached.steps.insert(place_of(place));
        }
        if rejected > 0 {
            watched.reached.rejecting.insert(place_of(place));
        }
        if !self.traces || watched.trace.len() >= ENTRIES_MAX {
            return;
        }
        let after = received(after);
        let mut seen = BTreeSet::new();
        for event in received(before) {
            let Some(lineage) = event.lineage.filter(|lineage| seen.insert(*lineage)) else { continue };
            let after = after.iter().filter(|event| event.lineage == Some(lineage)).cloned().collect();
            let step = place.label.clone();
            watched.trace.push(TraceEntry { lineage, step, after, rejects: rejected > 0 });
        }
    }

    fn routed(&self, place: &RoutePlace, events: &[usize]) {
        let mut watched = self.lock();
        let taken = events.iter().enumerate().filter(|(_, events)| **events > 0);
        let taken = taken.map(|(branch, _)| (place.flow, place.path, place.route, branch));
        watched.reached.branches.extend(taken);
    }

    fn rejected(&self, events: &Batch) {
        for (row, event) in received(events).into_iter().enumerate() {
            // Row numbers are no identities.
            let known = events.identities().map(|identities| identity(identities, row));
            let known = known.filter(|(partition, _)| partition.to_string() != "rows");
            let step = event.value("step").map(ToString::to_string).unwrap_or_default();
            self.scene.reject(event, known, step);
        }
    }
}
