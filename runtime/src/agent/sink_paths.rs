//! The paths from a channel to its sinks.

use std::sync::Arc;

use crate::channel::Demand;
use crate::routing::{CompiledLeg, CompiledRoute};
use crate::sink::FeedSteps;
use crate::steps::Step;

/// The path from a channel to a sink.
#[derive(Clone)]
pub(super) struct SinkPath {
    pub(super) steps: FeedSteps,
    pub(super) demand: Demand,
    /// The fork whose sinks share a reader: each event goes to one of these sinks.
    pub(super) shared: Option<Shared>,
}

/// The place of a sink in a `balance` or a `failover`.
#[derive(Clone)]
pub(super) struct Shared {
    /// The sinks of the fork, in the order of the text.
    pub(super) sinks: Arc<[Arc<str>]>,
    /// The index of this sink.
    pub(super) index: usize,
    /// Whether one sink takes all events while it works.
    pub(super) is_failover: bool,
}

impl Default for SinkPath {
    fn default() -> SinkPath {
        SinkPath { steps: FeedSteps::default(), demand: Demand::Required, shared: None }
    }
}

/// Calls `visit` with each sink that the leg leads to and the path to it. `path` leads to the leg. Of the paths that have
/// steps in common, one reports the events that these steps reject.
pub(super) fn for_each_sink(leg: &CompiledLeg, path: &SinkPath, visit: &mut dyn FnMut(&str, SinkPath)) {
    let mut path = path.clone();
    path.steps.extend(&leg.steps);
    let selector = match &leg.to {
        CompiledRoute::Select(selector, _) => Some(selector),
        _ => None,
    };
    for (index, aside) in leg.to.legs().enumerate() {
        if !aside.leads_to_a_sink() && aside.ways_to_reject() > 0 {
            path.steps.add_aside(aside, selector.map(|selector| (selector.clone(), index)));
        }
    }
    let reporting = leg.to.reporting_leg();
    let path_of = |index: usize| match reporting == Some(index) {
        true => path.clone(),
        false => SinkPath { steps: path.steps.unreported(), ..path.clone() },
    };
    match &leg.to {
        CompiledRoute::Channel(_) | CompiledRoute::End => {}
        CompiledRoute::Sink(name) => visit(name, path),
        CompiledRoute::Copy(branches) => {
            for (index, (branch, optional)) in branches.iter().enumerate() {
                let demand = if *optional { Demand::Optional } else { path.demand };
                for_each_sink(branch, &SinkPath { demand, ..path_of(index) }, visit);
            }
        }
        CompiledRoute::Select(selector, legs) => {
            for (index, leg) in legs.iter().enumerate() {
                let mut path = path_of(index);
                path.steps.push(Step::take(selector.name(), selector.clone(), index));
                for_each_sink(leg, &path, visit);
            }
        }
        CompiledRoute::Balance(legs) | CompiledRoute::Failover(legs, _) => {
            let is_failover = matches!(leg.to, CompiledRoute::Failover(..));
            let sinks = legs.iter().filter_map(|leg| match &leg.to {
                CompiledRoute::Sink(name) => Some(name.as_str().into()),
                _ => None,
            });
            let sinks: Arc<[Arc<str>]> = sinks.collect();
            for (index, leg) in legs.iter().enumerate() {
                let shared = Some(Shared { sinks: sinks.clone(), index, is_failover });
                for_each_sink(leg, &SinkPath { shared, ..path.clone() }, visit);
            }
        }
    }
}
