//! What must not get lost and not come twice: the events that arrive without faults, compared with those that came.

use std::collections::{BTreeMap, BTreeSet};

use weir_plan::{Leg, Origin, Plan, Route};

use crate::passed::{Passed, passed_from};
use crate::scene::source_number;

#[cfg(test)]
mod tests;

/// What each sink has received: the numbers of the events that were sent.
pub(crate) type Arrivals = BTreeMap<String, Vec<Option<i64>>>;

/// The ends of a plan's flows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends {
    /// The sinks of which one takes an event, where a `balance` or a `failover` chooses: each with the first of them.
    group: BTreeMap<String, String>,
    /// The sources, by their numbers in the plan, and the sinks to which required paths lead from them.
    paths: BTreeMap<(usize, String), Passed>,
}

/// An event that is missing or came too often.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Broken {
    /// The sink, or the first of the sinks of which one takes the event.
    pub(crate) sink: String,
    /// The number of the event that was sent.
    pub(crate) lineage: i64,
    /// How often it should have come.
    pub(crate) wanted: usize,
    /// How often it came.
    pub(crate) came: usize,
}

impl Ends {
    pub(crate) fn of(plan: &Plan) -> Ends {
        let mut ends = Ends::default();
        for flow in &plan.flows {
            for path in &flow.paths {
                join(plan, &path.leg, &mut ends.group);
            }
        }
        for (number, source) in plan.sources.iter().enumerate() {
            let sinks = passed_from(plan, source).into_iter();
            ends.paths.extend(sinks.map(|(sink, passed)| ((number, sink), passed)));
        }
        ends
    }

    fn group_of<'e>(&'e self, sink: &'e str) -> &'e str {
        let mut sink = sink;
        while let Some(next) = self.group.get(sink).filter(|next| *next != sink) {
            sink = next;
        }
        sink
    }

    /// Counts how often each event came to each group of sinks that a required path leads to.
    fn counts(&self, arrivals: &Arrivals) -> BTreeMap<(String, i64), usize> {
        let mut counts = BTreeMap::new();
        for (sink, events) in arrivals {
            let is_required =
                |lineage: &&i64| self.paths.contains_key(&(source_number(**lineage), sink.clone()));
            for lineage in events.iter().flatten().filter(is_required) {
                *counts.entry((self.group_of(sink).to_owned(), *lineage)).or_default() += 1;
            }
        }
        counts
    }

    /// Returns the events that are missing.
    pub(crate) fn lost(&self, reference: &Arrivals, found: &Arrivals) -> Vec<Broken> {
        let found = self.counts(found);
        let wanted = self.counts(reference);
        let counted = wanted.into_iter().map(|((sink, lineage), wanted)| {
            let came = found.get(&(sink.clone(), lineage)).copied().unwrap_or_default();
            Broken { sink, lineage, wanted, came }
        });
        counted.filter(|broken| broken.came < broken.wanted).collect()
    }

    /// Returns the events that came too often.
    pub(crate) fn repeated(&self, reference: &Arrivals, found: &Arrivals) -> Vec<Broken> {
        let wanted = self.counts(reference);
        let counted = self.counts(found).into_iter().map(|((sink, lineage), came)| {
            let wanted = wanted.get(&(sink.clone(), lineage)).copied().unwrap_or_default();
            Broken { sink, lineage, wanted, came }
        });
        counted.filter(|broken| broken.came > broken.wanted).collect()
    }

    /// Returns whether the flows from the source of an event to its sink promise that it is not lost, and that it is not repeated.
    /// An event that comes in one run and not in another, such as one that `keep if random() < 0.5` drops, is not lost.
    pub(crate) fn promised(&self, broken: &Broken) -> [bool; 2] {
        let source = source_number(broken.lineage);
        let of_source = self.paths.iter().filter(|((number, _), _)| *number == source);
        let mut to_sink = of_source.filter(|((_, sink), _)| self.group_of(sink) == broken.sink).peekable();
        // All sinks that may take the event have to be promised.
        let is_promised = to_sink.peek().is_some();
        to_sink.fold([is_promised; 2], |[kept, once], (_, passed)| {
            [kept && passed.never_loses && !passed.is_chosen, once && passed.never_repeats]
        })
    }
}

/// Joins the sinks behind each `balance` and `failover` of a leg.
fn join(plan: &Plan, leg: &Leg, group: &mut BTreeMap<String, String>) {
    if let Route::Balance { legs, .. } | Route::Failover(legs) = &leg.to {
        let mut members = BTreeSet::new();
        legs.iter().for_each(|leg| sinks(plan, leg, &mut BTreeSet::new(), &mut members));
        if let Some(first) = members.first().cloned() {
            members.into_iter().for_each(|member| drop(group.insert(member, first.clone())));
        }
    }
    leg.to.legs().into_iter().for_each(|leg| join(plan, leg, group));
}

/// Collects the sinks that a leg leads to, through channels too.
fn sinks(plan: &Plan, leg: &Leg, seen: &mut BTreeSet<String>, found: &mut BTreeSet<String>) {
    match &leg.to {
        Route::Sink(name) => drop(found.insert(name.clone())),
        Route::Channel(name) => {
            if !seen.insert(name.clone()) {
                return;
            }
            let paths = plan.flows.iter().flat_map(|flow| &flow.paths);
            let behind = paths.filter(|path| matches!(&path.from, Origin::Channel(from) if from == name));
            behind.for_each(|path| sinks(plan, &path.leg, seen, found));
        }
        route => route.legs().into_iter().for_each(|leg| sinks(plan, leg, seen, found)),
    }
}
