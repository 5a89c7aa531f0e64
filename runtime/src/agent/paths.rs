//! Compiles the paths of a plan, and collects the parts of the plan that this version does not support.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use weir_plan::{Origin, Plan, Route, support};

use super::rejects::version_of;
use crate::environment::clock::Clock;
use crate::expressions::{CompileError, SharedExpressions};
use crate::registry::Registry;
use crate::routing::CompiledLeg;
use crate::steps::{Observing, StepTools};

/// A path with compiled steps.
pub(super) struct CompiledPath {
    /// The flow of the path.
    pub(super) flow: String,
    pub(super) from: Origin,
    pub(super) leg: CompiledLeg,
    /// Differs between paths that may reject different events.
    pub(super) version: u64,
}

/// Returns the compiled paths, and a sentence for each unsupported part.
pub(super) fn compile(
    plan: &Plan,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
) -> (Vec<CompiledPath>, Vec<String>) {
    let functions = registry.functions.of_program(&plan.functions, clock);
    let tools = StepTools {
        functions: &functions,
        shared: &SharedExpressions::none(),
        parsers: &registry.parsers,
        event_types: &plan.event_types,
        as_json: registry.events_as_json,
        observing: None,
    };
    let (mut paths, mut problems) = (Vec::new(), Vec::new());
    for (flow_index, flow) in plan.flows.iter().enumerate() {
        let mut errors = Vec::new();
        for (path_index, path) in flow.paths.iter().enumerate() {
            let observer = registry.observer.clone();
            let observing = observer.map(|observer| Observing::new(observer, flow_index, path_index));
            let tools = StepTools { observing: observing.as_ref(), ..tools };
            let schema = schema_at(plan, &path.from);
            if let Some(leg) = CompiledLeg::compile(&path.leg, schema, &tools, &mut errors) {
                let (flow, version) = (flow.name.clone(), version_of(path));
                paths.push(CompiledPath { flow, from: path.from.clone(), leg, version });
            }
            if matches!(path.from, Origin::Channel(_)) && !leads_anywhere(&path.leg.to) {
                errors.push(CompileError::Unsupported(support::DEAD_PATH.to_owned()));
            }
            if flow.delivers.never_repeats() && !registry.trusts_plans {
                // After a crash an event may go to another leg, whose sink does not know its identity.
                let loose = loose_fork(&path.leg.to).map(|what| CompileError::Unsupported(what.to_owned()));
                errors.extend(loose);
            }
        }
        errors.retain(|error| *error != CompileError::Reported);
        errors.dedup();
        let name = &flow.name;
        let sentences = errors.into_iter().map(|error| format!("flow {name}: {error}"));
        problems.extend(sentences);
    }
    (paths, problems)
}

/// The type of the events at the beginning of a path; none for rejected events, whose body no step keeps.
fn schema_at<'p>(plan: &'p Plan, from: &Origin) -> Option<&'p SchemaRef> {
    let (components, name) = match from {
        Origin::Source(name) => (&plan.sources, name),
        Origin::Channel(name) => (&plan.channels, name),
        Origin::Rejects(_) => return None,
    };
    let component = components.iter().find(|component| component.name == *name)?;
    Some(&plan.event_type(component.event_type).schema)
}

/// Whether a route leads to a channel or a sink.
fn leads_anywhere(route: &Route) -> bool {
    matches!(route, Route::Channel(_) | Route::Sink(_))
        || route.legs().into_iter().any(|leg| leads_anywhere(&leg.to))
}

/// Returns a fork of the route that may send an event another way when it comes again.
fn loose_fork(route: &Route) -> Option<&'static str> {
    match route {
        Route::Balance { by: None, .. } => Some(support::LOOSE_BALANCE),
        Route::Failover(_) => Some(support::LOOSE_FAILOVER),
        route => route.legs().into_iter().find_map(|leg| loose_fork(&leg.to)),
    }
}
