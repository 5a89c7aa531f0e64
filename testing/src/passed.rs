//! What the events of a source pass on their required paths to the sinks: the promises of flows, and steps whose result differs
//! from run to run.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

use arrow_schema::DataType;
use weir_plan::varying::Varying;
use weir_plan::{Component, Flow, Leg, Origin, Plan, Route};

/// What events of one source have passed, over all paths to one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Whether each path has a flow that promises that no event is lost.
    pub(crate) never_loses: bool,
    /// Whether each path has a flow that promises that no event is repeated.
    pub(crate) never_repeats: bool,
    /// Whether a step or a fork has dropped, rejected or routed events by what differs from run to run.
    pub(crate) is_chosen: bool,
    /// The columns whose values differ from run to run.
    columns: BTreeSet<String>,
}

impl Passed {
    /// Adds what other paths to the same place have passed. Returns whether this has changed it.
    fn join(&mut self, other: &Passed) -> bool {
        let before = self.clone();
        self.never_loses &= other.never_loses;
        self.never_repeats &= other.never_repeats;
        self.is_chosen |= other.is_chosen;
        self.columns.extend(other.columns.iter().cloned());
        *self != before
    }
}

/// Returns the sinks to which required paths lead from a source, each with what the events have passed.
pub(crate) fn passed_from(plan: &Plan, source: &Component) -> BTreeMap<String, Passed> {
    // A header of a time that a test leaves out is the time of the run.
    let fields = plan.event_type(source.event_type).schema.fields().iter();
    let times = fields.filter(|field| matches!(field.data_type(), DataType::Timestamp(..)));
    let columns = times.map(|field| field.name().clone()).collect();
    let passed = Passed { never_loses: false, never_repeats: false, is_chosen: false, columns };
    let mut walk = Walk { plan, begins: BTreeMap::new(), queue: Vec::new(), sinks: BTreeMap::new() };
    walk.reach(&Origin::Source(source.name.clone()), &passed);
    while let Some((flow, path)) = walk.queue.pop() {
        let passed = walk.begins[&(flow, path)].clone();
        let varying = Varying::begin(true).with_columns(passed.columns.iter().cloned());
        let flow = &plan.flows[flow];
        walk.leg(flow, &flow.paths[path].leg, passed, varying);
    }
    walk.sinks
}

/// A walk over the paths of a plan, again over those of which more is known, until nothing changes.
struct Walk<'p> {
    plan: &'p Plan,
    /// What events have passed at the beginning of each path, by the indexes of its flow and in the flow.
    begins: BTreeMap<(usize, usize), Passed>,
    /// The paths that are to be walked.
    queue: Vec<(usize, usize)>,
    sinks: BTreeMap<String, Passed>,
}

impl<'p> Walk<'p> {
    /// Reaches the paths that begin at a place.
    fn reach(&mut self, origin: &Origin, passed: &Passed) {
        for (index, flow) in self.plan.flows.iter().enumerate() {
            let mut passed = passed.clone();
            passed.never_loses |= flow.delivers.never_loses();
            passed.never_repeats |= flow.delivers.never_repeats();
            let paths = flow.paths.iter().enumerate().filter(|(_, path)| path.from == *origin);
            for (path, _) in paths {
                if join(&mut self.begins, (index, path), &passed) {
                    self.queue.push((index, path));
                }
            }
        }
    }

    fn leg(&mut self, flow: &'p Flow, leg: &'p Leg, mut passed: Passed, mut varying: Varying) {
        for step in &leg.steps {
            passed.is_chosen |= varying.chooses(&step.action, step.on_failure);
            if step.rejects() {
                passed.columns = varying.columns().collect();
                self.reach(&Origin::Rejects(flow.name.clone()), &passed);
            }
        }
        passed.columns = varying.columns().collect();
        match &leg.to {
            Route::Sink(name) => drop(join(&mut self.sinks, name.clone(), &passed)),
            Route::Channel(name) => self.reach(&Origin::Channel(name.clone()), &passed),
            route => {
                // The sinks of a `balance` are compared as one.
                passed.is_chosen |=
                    matches!(route, Route::Match(_)) && varying.any_varies(route.conditions());
                for leg in route.required_legs() {
                    self.leg(flow, leg, passed.clone(), varying.clone());
                }
            }
        }
    }
}

/// Adds what events have passed at a place. Returns whether this has changed what is known of it.
fn join<K: Ord>(known: &mut BTreeMap<K, Passed>, place: K, passed: &Passed) -> bool {
    match known.entry(place) {
        Entry::Occupied(mut entry) => entry.get_mut().join(passed),
        Entry::Vacant(entry) => {
            entry.insert(passed.clone());
            true
        }
    }
}
