//! What a program takes of the machine: values that only one component may have, and the worst case of memory and of disk
//! space.

mod budget;
mod derive;
mod exclusive;
mod rates;
mod rolls;
mod stream;
mod surroundings;

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::graph::Graph;
use crate::analysis::resources::{ComponentResources, Resources};
use crate::analysis::settings::{Settings, Values};
use crate::diagnostics::Diagnostic;
use crate::names::scopes::ComponentIndex;
use crate::signatures::{AGENT_RECORD, Library, Named};
use derive::{Deriving, amounts};
use surroundings::Surroundings;

pub(crate) use exclusive::check as exclusive;

/// Derives the most memory and disk space that a program takes, from the `uses` clauses of signatures, and reports what goes
/// beyond `agent { … }`.
pub(crate) fn check(
    graph: &Graph,
    library: &Library,
    agent: Option<&Settings>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Resources {
    let deriving = Deriving { graph, surroundings: Surroundings::of(graph) };
    let mut resources = Resources { complete: true, ..Resources::default() };
    let none = BTreeMap::new();
    if let Some(Named::Record(group)) = library.types.get(AGENT_RECORD) {
        let values: &dyn Values = agent.map_or(&none, |agent| agent);
        resources.process = amounts(&group.amounts, values, None);
    }
    let used: BTreeSet<ComponentIndex> =
        (0..graph.flows.len()).flat_map(|flow| components_of(graph, flow)).collect();
    for index in used {
        let component = &graph.components[index];
        match component.side() {
            Some(side) => {
                let amounts = deriving.component(index, &side, side.values);
                resources.components.push(ComponentResources { component: index, amounts });
            }
            None => resources.complete = false,
        }
    }
    resources.rates = rates::check(graph, diagnostics);
    rolls::never_reached(graph, diagnostics);
    if let Some(agent) = agent {
        budget::check(&deriving, &resources, agent, diagnostics);
    }
    resources
}

/// Returns the components of each flow: those at the ends of its edges, each once.
pub(crate) fn components_of(graph: &Graph, flow: usize) -> Vec<ComponentIndex> {
    let mut components = Vec::new();
    for edge in graph.edges.iter().filter(|edge| edge.flow == flow) {
        components.push(edge.from);
        components.extend(edge.leg.components());
    }
    components.sort_unstable();
    components.dedup();
    components.retain(|component| graph.components[*component].declared.rejects_of.is_none());
    components
}
