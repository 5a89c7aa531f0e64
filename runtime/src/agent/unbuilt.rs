//! What a plan may ask for and this version does not carry out: all of it is named before the start.

use weir_plan::{Action, Delivery, Expression, Operation, Order, Path, Plan, Route, Segment};

/// The parts of a plan that can't be carried out, one sentence each.
pub(super) fn unbuilt(plan: &Plan) -> Vec<String> {
    let mut problems = Vec::new();
    for flow in &plan.flows {
        let mut missing = Vec::new();
        if flow.delivers == Delivery::AtMostOnce {
            missing.push(format!("the promise `{}`", flow.delivers));
        }
        if flow.order != Order::None {
            missing.push(format!("the promise `{}`", flow.order));
        }
        for Path { segment, .. } in &flow.paths {
            in_segment(segment, &mut missing);
            if flow.delivers == Delivery::ExactlyOnce && shares_out(&segment.to) {
                // After a crash an event may go another way, whose end does not know it.
                missing.push("`-> balance` with the promise `exactly_once`".to_owned());
            }
        }
        missing.dedup();
        let name = &flow.name;
        problems.extend(
            missing.into_iter().map(|what| format!("flow {name}: this version can't carry out {what}")),
        );
    }
    if !plan.agent.values.is_empty() {
        problems.push("agent: this version can't carry out the bounds of `agent { … }`".to_owned());
    }
    problems
}

fn shares_out(route: &Route) -> bool {
    match route {
        Route::Balance { .. } => true,
        Route::Copy(branches) => branches.iter().any(|branch| shares_out(&branch.segment.to)),
        _ => false,
    }
}

fn in_segment(segment: &Segment, missing: &mut Vec<String>) {
    for step in &segment.steps {
        let carried_out = match &step.action {
            Action::Keep(condition) => step.on_failure.is_none() && is_kernel(condition),
            _ => false,
        };
        if !carried_out {
            missing.push(format!("the step `{}`", step.label));
        }
    }
    match &segment.to {
        Route::Channel(_) | Route::Sink(_) => {}
        Route::Copy(branches) => branches.iter().for_each(|branch| in_segment(&branch.segment, missing)),
        Route::Match(cases) => {
            missing.push("`-> match`".to_owned());
            cases.iter().for_each(|case| in_segment(&case.segment, missing));
        }
        Route::Balance { by, segments } => {
            if by.is_some() {
                missing.push("`-> balance by`".to_owned());
            }
            let ends = |segment: &Segment| matches!(segment.to, Route::Channel(_) | Route::Sink(_));
            if !segments.iter().all(ends) {
                missing.push("a `-> balance` whose ways part again".to_owned());
            }
            segments.iter().for_each(|segment| in_segment(segment, missing));
        }
        Route::Failover(segments) => {
            missing.push("`-> failover`".to_owned());
            segments.iter().for_each(|segment| in_segment(segment, missing));
        }
    }
}

/// Whether there is a kernel for each operation of a condition.
fn is_kernel(expression: &Expression) -> bool {
    match &expression.operation {
        Operation::Literal(_) | Operation::Column(_) => true,
        Operation::Not(operand) | Operation::IsNull(operand) => is_kernel(operand),
        Operation::And(left, right) | Operation::Or(left, right) | Operation::Compare(_, left, right) => {
            is_kernel(left) && is_kernel(right)
        }
        _ => false,
    }
}
