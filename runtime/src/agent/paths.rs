//! Compiles the paths of a plan, and collects the parts of the plan that this version does not support.

use std::sync::Arc;

use weir_plan::{Delivery, Flow, Origin, Plan, Route, support};

use crate::environment::clock::Clock;
use crate::expressions::Unsupported;
use crate::registry::Registry;
use crate::routing::CompiledLeg;
use crate::steps::StepTools;

/// A path with compiled steps.
pub(super) struct CompiledPath {
    pub(super) from: Origin,
    pub(super) leg: CompiledLeg,
}

/// Returns the compiled paths, and a sentence for each unsupported part.
pub(super) fn compile(
    plan: &Plan,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
) -> (Vec<CompiledPath>, Vec<String>) {
    let functions = registry.functions.of_program(&plan.functions, clock);
    let tools =
        StepTools { functions: &functions, parsers: &registry.parsers, event_types: &plan.event_types };
    let (mut paths, mut problems) = (Vec::new(), Vec::new());
    for flow in &plan.flows {
        let mut unsupported = promises(flow);
        for path in &flow.paths {
            if let Some(leg) = CompiledLeg::compile(&path.leg, &tools, &mut unsupported) {
                paths.push(CompiledPath { from: path.from.clone(), leg });
            }
            if !leads_anywhere(&path.leg.to) {
                unsupported.push(Unsupported("a path that drops or rejects all events".to_owned()));
            }
            if flow.delivers == Delivery::ExactlyOnce && has_balance(&path.leg.to) {
                // After a crash an event may go to another leg, whose sink does not know its identity.
                unsupported.push(Unsupported(
                    "`-> balance` without `by` with the promise `exactly_once`".to_owned(),
                ));
            }
        }
        unsupported.dedup();
        let name = &flow.name;
        let sentences = unsupported
            .into_iter()
            .map(|Unsupported(what)| format!("flow {name}: this version can't carry out {what}"));
        problems.extend(sentences);
    }
    if !plan.agent.values.is_empty() {
        problems.push("agent: this version can't carry out the bounds of `agent { … }`".to_owned());
    }
    (paths, problems)
}

/// The promises of a flow that this version does not support.
fn promises(flow: &Flow) -> Vec<Unsupported> {
    support::unsupported_promises(flow.delivers, &flow.order).into_iter().map(Unsupported).collect()
}

/// Whether a route leads to a channel or a sink.
fn leads_anywhere(route: &Route) -> bool {
    matches!(route, Route::Channel(_) | Route::Sink(_))
        || route.legs().into_iter().any(|leg| leads_anywhere(&leg.to))
}

/// Whether legs of the route receive events in turn.
fn has_balance(route: &Route) -> bool {
    matches!(route, Route::Balance { by: None, .. })
        || route.legs().into_iter().any(|leg| has_balance(&leg.to))
}
