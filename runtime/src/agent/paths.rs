//! The paths of a plan, ready to run; or all that the plan asks for and this version does not carry out.

use weir_plan::{Delivery, Flow, Order, Origin, Plan, Route};

use crate::expressions::{Functions, NotCarriedOut};
use crate::routing::Compiled;

/// A path whose steps are ready to run.
pub(super) struct CompiledPath {
    pub(super) from: Origin,
    pub(super) leg: Compiled,
}

/// The paths that can be carried out, and what can't, one sentence each.
pub(super) fn compile(plan: &Plan, functions: &Functions) -> (Vec<CompiledPath>, Vec<String>) {
    let (mut paths, mut problems) = (Vec::new(), Vec::new());
    for flow in &plan.flows {
        let mut missing = promises(flow);
        for path in &flow.paths {
            if let Some(leg) = Compiled::of(&path.leg, functions, &mut missing) {
                paths.push(CompiledPath { from: path.from.clone(), leg });
            }
            if flow.delivers == Delivery::ExactlyOnce && shares_out(&path.leg.to) {
                // After a crash an event may go another way, whose end does not know it.
                missing.push(NotCarriedOut("`-> balance` with the promise `exactly_once`".to_owned()));
            }
        }
        missing.dedup();
        let name = &flow.name;
        let sentences = missing
            .into_iter()
            .map(|NotCarriedOut(what)| format!("flow {name}: this version can't carry out {what}"));
        problems.extend(sentences);
    }
    if !plan.agent.values.is_empty() {
        problems.push("agent: this version can't carry out the bounds of `agent { … }`".to_owned());
    }
    (paths, problems)
}

/// The promises of a flow that are not carried out.
fn promises(flow: &Flow) -> Vec<NotCarriedOut> {
    let mut missing = Vec::new();
    if flow.delivers == Delivery::AtMostOnce {
        missing.push(NotCarriedOut(format!("the promise `{}`", flow.delivers)));
    }
    if flow.order != Order::None {
        missing.push(NotCarriedOut(format!("the promise `{}`", flow.order)));
    }
    missing
}

fn shares_out(route: &Route) -> bool {
    match route {
        Route::Balance { .. } => true,
        Route::Copy(branches) => branches.iter().any(|branch| shares_out(&branch.leg.to)),
        _ => false,
    }
}
