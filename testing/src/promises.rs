//! What must not get lost and not come twice: the events that arrive without faults, compared with those that came.

use std::collections::{BTreeMap, BTreeSet};

use weir_plan::{Delivery, Leg, Origin, Plan, Route};

/// What each sink has received: the numbers of the events that were sent.
pub(crate) type Arrivals = BTreeMap<String, Vec<Option<i64>>>;

/// The ends of a plan's flows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends {
    /// The sinks of which one takes an event, where a `balance` or a `failover` chooses: each with the first of them.
    group: BTreeMap<String, String>,
    /// The sinks that a required path leads to, each with the strongest promise of a flow that leads to it.
    promises: BTreeMap<String, Delivery>,
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
            let mut seen = BTreeSet::new();
            let begins = flow.paths.iter().filter(|path| !matches!(path.from, Origin::Channel(_)));
            for path in begins {
                let mut required = BTreeSet::new();
                sinks(plan, &path.leg, false, &mut seen, &mut required);
                for sink in required {
                    let promise = ends.promises.entry(sink).or_insert(Delivery::BestEffort);
                    if strength(flow.delivers) > strength(*promise) {
                        *promise = flow.delivers;
                    }
                }
            }
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
        for (sink, events) in arrivals.iter().filter(|(sink, _)| self.promises.contains_key(*sink)) {
            for lineage in events.iter().flatten() {
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

    /// Returns whether the flows into a sink, or a group of sinks, promise that nothing is lost, and that nothing is repeated.
    pub(crate) fn promised(&self, sink: &str) -> [bool; 2] {
        let of_group = self.promises.iter().filter(|(other, _)| self.group_of(other) == sink);
        // The weakest promise of the sinks that may take an event.
        match of_group.map(|(_, promise)| *promise).min_by_key(|promise| strength(*promise)) {
            Some(Delivery::ExactlyOnce) => [true, true],
            Some(Delivery::AtLeastOnce) => [true, false],
            Some(Delivery::AtMostOnce) => [false, true],
            Some(Delivery::BestEffort) | None => [false, false],
        }
    }
}

fn strength(promise: Delivery) -> u8 {
    match promise {
        Delivery::BestEffort => 0,
        Delivery::AtMostOnce => 1,
        Delivery::AtLeastOnce => 2,
        Delivery::ExactlyOnce => 3,
    }
}

/// Joins the sinks behind each `balance` and `failover` of a leg.
fn join(plan: &Plan, leg: &Leg, group: &mut BTreeMap<String, String>) {
    if let Route::Balance { legs, .. } | Route::Failover(legs) = &leg.to {
        let mut members = BTreeSet::new();
        legs.iter().for_each(|leg| sinks(plan, leg, true, &mut BTreeSet::new(), &mut members));
        if let Some(first) = members.first().cloned() {
            members.into_iter().for_each(|member| drop(group.insert(member, first.clone())));
        }
    }
    leg.to.legs().into_iter().for_each(|leg| join(plan, leg, group));
}

/// Collects the sinks that a leg leads to, through channels too; `optional` says whether optional branches count.
fn sinks(plan: &Plan, leg: &Leg, optional: bool, seen: &mut BTreeSet<String>, found: &mut BTreeSet<String>) {
    match &leg.to {
        Route::Sink(name) => drop(found.insert(name.clone())),
        Route::Channel(name) => {
            if !seen.insert(name.clone()) {
                return;
            }
            let paths = plan.flows.iter().flat_map(|flow| &flow.paths);
            let behind = paths.filter(|path| matches!(&path.from, Origin::Channel(from) if from == name));
            behind.for_each(|path| sinks(plan, &path.leg, optional, seen, found));
        }
        route => {
            let legs = if optional { route.legs() } else { route.required_legs() };
            legs.into_iter().for_each(|leg| sinks(plan, leg, optional, seen, found));
        }
    }
}
