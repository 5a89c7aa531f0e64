//! The places of the steps and branches of a plan in the text of its program.

use weir_grammar::Span;

use crate::analysis::Analysis;
use crate::analysis::graph::{Destination, Leg};

/// The places of the steps and routes of one path of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathPlaces {
    /// The place of each step: the steps of a leg, then those of the legs behind it, in their order. A step of an
    /// interceptor has its place in the interceptor.
    pub steps: Vec<Span>,
    /// For each `match` and `balance by`, the beginning of each of its branches.
    pub routes: Vec<Vec<Span>>,
}

/// Returns the places of the paths of each flow, in the order of the plan that [`lower`](super::lower) makes.
pub fn places(analysis: &Analysis) -> Vec<Vec<PathPlaces>> {
    let graph = &analysis.graph;
    let mut flows = vec![Vec::new(); graph.flows.len()];
    for edge in &graph.edges {
        let (mut own, mut behind) = (PathPlaces::default(), Vec::new());
        collect(&edge.leg, &mut own, &mut behind);
        if let Some(paths) = flows.get_mut(edge.flow) {
            paths.push(own);
            paths.append(&mut behind);
        }
    }
    flows
}

/// Adds the places of a leg to those of its path, and those behind channels that the compiler added to `behind`.
fn collect(leg: &Leg, to: &mut PathPlaces, behind: &mut Vec<PathPlaces>) {
    to.steps.extend(leg.steps.iter().map(|step| step.span));
    let chooses = match &leg.to {
        Destination::Match(_) => true,
        Destination::Balance { by, .. } => by.is_some(),
        _ => false,
    };
    let is_held = match &leg.to {
        Destination::Balance { channel, .. } | Destination::Failover { channel, .. } => channel.is_some(),
        Destination::Component(arrival) => arrival.channel.is_some(),
        _ => false,
    };
    let legs = leg.to.legs();
    let mut within = |to: &mut PathPlaces| {
        if chooses {
            to.routes.push(legs.iter().filter_map(|leg| beginning(leg)).collect());
        }
        legs.iter().for_each(|leg| collect(leg, to, behind));
    };
    if is_held {
        let mut own = PathPlaces::default();
        within(&mut own);
        behind.push(own);
    } else {
        within(to);
    }
}

/// Returns the place of the first step or component of a leg.
fn beginning(leg: &Leg) -> Option<Span> {
    match leg.steps.first() {
        Some(step) => Some(step.span),
        None => leg.arrivals().first().map(|arrival| arrival.span),
    }
}
