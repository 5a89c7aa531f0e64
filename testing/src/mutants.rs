//! Changes a step of a program in a small way, and asks whether a test notices.

use std::sync::Arc;

use arrow_schema::DataType;
use weir_compiler::analysis::program_tests::{ProgramTest, TestContent};
use weir_compiler::places;
use weir_grammar::Span;
use weir_plan::{
    Action, EventTypeId, Expression, Leg, OnFailure, Operation, Origin, Plan, Route, Step, Value,
};

use crate::program::{Staged, TestProgram};
use crate::run::{Injected, RunSettings, run_staged};

/// A change of one step or one branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// The place of the step; for a branch, its beginning.
    pub span: Span,
    /// What is changed, in words that follow "no test notices that".
    pub change: String,
    at: At,
    kind: Kind,
}

/// The place of a change in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    flow: usize,
    path: usize,
    /// The number of the step, or of the route, in the path.
    number: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The step is left out.
    Removed,
    /// The step acts on the opposite condition.
    Negated,
    /// The step drops events for which it fails, instead of rejecting them.
    Dropping,
    /// The step sets another value.
    OtherValue,
    /// The comparison of this number in the step's expressions is another one.
    Compared(usize),
    /// The case of this index of a `match` takes the opposite events.
    Case(usize),
}

/// Returns all changes of the steps in the files of a program.
pub fn mutants(program: &TestProgram<'_>) -> Vec<Mutant> {
    let Some(staged) = program.staged_plan() else { return Vec::new() };
    let analysis = &staged.analysis;
    let own: Vec<_> = analysis.program_files().filter_map(|name| analysis.file_named(name)).collect();
    let text = |span: Span| shortened(analysis.files.text(span));
    let mut found = Vec::new();
    for (flow, (planned, flow_places)) in staged.plan.flows.iter().zip(places(analysis)).enumerate() {
        for (path, (planned, places)) in planned.paths.iter().zip(flow_places).enumerate() {
            let mut steps = Vec::new();
            collect_steps(&planned.leg, event_type_of(&staged.plan, &planned.from), &mut steps);
            for (number, ((step, before), span)) in steps.into_iter().zip(&places.steps).enumerate() {
                let changes = changes_of(step, before);
                found.extend(changes.into_iter().map(|(kind, what)| {
                    let change = format!("`{}` {what}", text(*span));
                    Mutant { span: *span, change, at: At { flow, path, number }, kind }
                }));
            }
            let mut routes = Vec::new();
            collect_routes(&planned.leg, &mut routes);
            for (number, (cases, branches)) in routes.into_iter().zip(&places.routes).enumerate() {
                for (case, span) in (0..cases).zip(branches) {
                    let change =
                        format!("the case that leads to `{}` takes the opposite events", text(*span));
                    let kind = Kind::Case(case);
                    found.push(Mutant { span: *span, change, at: At { flow, path, number }, kind });
                }
            }
        }
    }
    found.retain(|mutant| own.contains(&mutant.span.file));
    found
}

/// Returns whether a test of the program fails with this change.
pub fn is_noticed(program: &TestProgram<'_>, mutant: &Mutant, settings: RunSettings) -> bool {
    let Some(staged) = program.staged_plan() else { return false };
    let mut plan = (*staged.plan).clone();
    change(&mut plan, mutant);
    let staged = Staged { plan: Arc::new(plan), ..staged };
    let with_program =
        |test: &&ProgramTest| matches!(test.content, TestContent::Program(_)) && test.params.is_empty();
    program.tests().iter().filter(with_program).any(|test| {
        let ran = run_staged(&staged, test, settings, &Injected::default());
        ran.map_or(true, |ran| ran.failure.is_some())
    })
}

fn event_type_of(plan: &Plan, origin: &Origin) -> Option<EventTypeId> {
    let (Origin::Source(name) | Origin::Channel(name)) = origin else { return None };
    let mut components = plan.sources.iter().chain(&plan.channels);
    components.find(|component| component.name == *name).map(|component| component.event_type)
}

/// Collects the steps of a leg and of the legs behind it, each with the type of the events before it.
fn collect_steps<'p>(
    leg: &'p Leg,
    before: Option<EventTypeId>,
    steps: &mut Vec<(&'p Step, Option<EventTypeId>)>,
) {
    let mut before = before;
    for step in &leg.steps {
        steps.push((step, before));
        before = Some(step.event_type);
    }
    leg.to.legs().into_iter().for_each(|leg| collect_steps(leg, before, steps));
}

/// Collects the number of cases with a condition of each route that chooses a branch.
fn collect_routes(leg: &Leg, routes: &mut Vec<usize>) {
    match &leg.to {
        Route::Match(cases) => {
            routes.push(cases.iter().filter(|case| case.condition.is_some()).count());
        }
        Route::Balance { by: Some(_), .. } => routes.push(0),
        _ => {}
    }
    leg.to.legs().into_iter().for_each(|leg| collect_routes(leg, routes));
}

/// Returns the changes of one step.
fn changes_of(step: &Step, before: Option<EventTypeId>) -> Vec<(Kind, String)> {
    let mut changes = Vec::new();
    let keeps_type = before == Some(step.event_type) && !matches!(step.action, Action::Let { .. });
    if keeps_type && !matches!(step.action, Action::Parse { .. }) {
        changes.push((Kind::Removed, "is left out".to_owned()));
    }
    match &step.action {
        Action::Keep(_) | Action::Drop(_) | Action::Reject { .. } if !step.action.takes_all() => {
            changes.push((Kind::Negated, "acts on the opposite events".to_owned()));
        }
        Action::Set { value, .. } if other_value(value).is_some() => {
            changes.push((Kind::OtherValue, "sets another value".to_owned()));
        }
        _ => {}
    }
    if step.on_failure == Some(OnFailure::Reject) {
        changes.push((Kind::Dropping, "drops events instead of rejecting them".to_owned()));
    }
    let mut document = serde_json::to_value(&step.action).unwrap_or_default();
    let mut count = 0;
    comparisons(&mut document, &mut |_| count += 1);
    let compares = (0..count).map(|number| {
        let which = if count == 1 { String::new() } else { format!(" number {}", number + 1) };
        (Kind::Compared(number), format!("has another comparison{which}"))
    });
    changes.extend(compares);
    changes
}

/// Returns another value of the type of an expression, if there is a simple one.
fn other_value(value: &Expression) -> Option<Expression> {
    let operation = match value.data_type {
        DataType::Utf8View | DataType::BinaryView => {
            Operation::Literal(Value::Text("another value".to_owned()))
        }
        DataType::Int64 => Operation::Literal(Value::Int(-77)),
        DataType::Float64 => Operation::Literal(Value::Float(-77.5)),
        DataType::Boolean => Operation::Not(Box::new(value.clone())),
        _ => return None,
    };
    Some(Expression { operation, ..value.clone() })
}

/// Calls `act` with the name of each comparison in the JSON of a step.
fn comparisons(document: &mut serde_json::Value, act: &mut dyn FnMut(&mut String)) {
    match document {
        serde_json::Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if name == "compare"
                    && let Some(serde_json::Value::String(comparison)) = member.get_mut(0)
                {
                    act(comparison);
                }
                comparisons(member, act);
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| comparisons(item, act)),
        _ => {}
    }
}

/// Returns the comparison that differs least.
fn neighbour(comparison: &str) -> &'static str {
    match comparison {
        "equal" => "not_equal",
        "not_equal" => "equal",
        "less" => "less_or_equal",
        "less_or_equal" => "less",
        "greater" => "greater_or_equal",
        _ => "greater",
    }
}

/// Makes the change in a plan.
fn change(plan: &mut Plan, mutant: &Mutant) {
    let At { flow, path, number } = mutant.at;
    let path = plan.flows.get_mut(flow).and_then(|flow| flow.paths.get_mut(path));
    let Some(path) = path else { return };
    let mut left = number;
    match mutant.kind {
        Kind::Case(case) => change_case(&mut path.leg, &mut left, case),
        kind => change_step(&mut path.leg, &mut left, kind),
    };
}

/// Changes the step of this number; returns whether it was found.
fn change_step(leg: &mut Leg, left: &mut usize, kind: Kind) -> bool {
    if *left < leg.steps.len() {
        if kind == Kind::Removed {
            leg.steps.remove(*left);
            return true;
        }
        let step = &mut leg.steps[*left];
        match (kind, &mut step.action) {
            (
                Kind::Negated,
                Action::Keep(condition) | Action::Drop(condition) | Action::Reject { condition, .. },
            ) => {
                negate(condition);
            }
            (Kind::OtherValue, Action::Set { value, .. }) => {
                if let Some(other) = other_value(value) {
                    *value = other;
                }
            }
            (Kind::Dropping, _) => step.on_failure = Some(OnFailure::Drop),
            (Kind::Compared(number), action) => {
                let mut document = serde_json::to_value(&*action).unwrap_or_default();
                let mut count = 0;
                comparisons(&mut document, &mut |comparison| {
                    if count == number {
                        *comparison = neighbour(comparison).to_owned();
                    }
                    count += 1;
                });
                if let Ok(changed) = serde_json::from_value(document) {
                    *action = changed;
                }
            }
            _ => {}
        }
        return true;
    }
    *left -= leg.steps.len();
    legs_mut(&mut leg.to).into_iter().any(|leg| change_step(leg, left, kind))
}

/// Negates the condition of a case of the route of this number; returns whether it was found.
fn change_case(leg: &mut Leg, left: &mut usize, case: usize) -> bool {
    if matches!(leg.to, Route::Match(_) | Route::Balance { by: Some(_), .. }) {
        if *left == 0 {
            if let Route::Match(cases) = &mut leg.to
                && let Some(condition) = cases.get_mut(case).and_then(|case| case.condition.as_mut())
            {
                negate(condition);
            }
            return true;
        }
        *left -= 1;
    }
    legs_mut(&mut leg.to).into_iter().any(|leg| change_case(leg, left, case))
}

fn negate(condition: &mut Expression) {
    let inner = Box::new(condition.clone());
    condition.operation = Operation::Not(inner);
}

fn legs_mut(route: &mut Route) -> Vec<&mut Leg> {
    match route {
        Route::Channel(_) | Route::Sink(_) | Route::End => Vec::new(),
        Route::Copy(branches) => branches.iter_mut().map(|branch| &mut branch.leg).collect(),
        Route::Match(cases) => cases.iter_mut().map(|case| &mut case.leg).collect(),
        Route::Balance { legs, .. } | Route::Failover(legs) => legs.iter_mut().collect(),
    }
}

/// Returns the first line of a text, shortened.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
