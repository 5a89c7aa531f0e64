//! Sinks that commit the positions of the source before them, so that events of a partition that moves are not repeated.

use weir_grammar::tree::Role;
use weir_plan::Action;

use super::program::Program;
use crate::analysis::graph::{Edge, Leg};
use crate::flows::components::SetShortfall;
use crate::names::scopes::ComponentIndex;
use crate::proofs::amounts::hands_on;
use crate::signatures::classes::Class;
use crate::values::requirements::is_met_with_sink;

/// Whether the only sink behind a source commits the source's positions, which makes up for a shortfall of the source. The events
/// come to the sink through one volatile channel, so that nothing has acknowledged them before, in their order, and past no step that
/// remembers events which another agent may read.
pub(super) fn is_made_up_for(
    shortfall: &SetShortfall<'_>,
    source: ComponentIndex,
    program: &Program<'_>,
) -> bool {
    let Some(condition) = &shortfall.clause.unless else { return false };
    let Some((first, arrival)) = only_way(program, source) else { return false };
    let class = |index| program.component(index).signature.as_ref().map(|signature| signature.class);
    let (ways, sink) = match program.role(arrival) {
        // The compiler adds the default channel.
        Role::Sink if hands_on(program.library) => (vec![first], arrival),
        Role::Channel if class(arrival) == Some(Class::Volatile) => match only_way(program, arrival) {
            Some((second, sink)) => (vec![first, second], sink),
            None => return false,
        },
        _ => return false,
    };
    if ways.iter().any(|edge| program.rejects(edge.flow).is_some() || remembers(&edge.leg)) {
        return false;
    }
    match (program.component(source).side(), program.component(sink).side()) {
        (Some(own), Some(of_sink)) if class(sink) == Some(Class::Transactional) => {
            is_met_with_sink(condition, &own, &of_sink)
        }
        _ => false,
    }
}

/// Whether a step of the leg, or of a leg behind it, remembers events.
fn remembers(leg: &Leg) -> bool {
    leg.steps.iter().any(|step| matches!(step.action, Action::Dedupe { .. }))
        || leg.to.legs().into_iter().any(remembers)
}

/// Returns the only edge that leaves a component, and the only component to which it leads.
fn only_way<'p>(program: &Program<'p>, from: ComponentIndex) -> Option<(&'p Edge, ComponentIndex)> {
    let mut edges = program.graph.edges.iter().filter(|edge| edge.from == from);
    let (edge, None) = (edges.next()?, edges.next()) else { return None };
    match edge.leg.arrivals()[..] {
        [arrival] => Some((edge, arrival.to)),
        _ => None,
    }
}
