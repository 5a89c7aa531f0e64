//! Changes a step or a function of a program in a small way, and asks whether a test notices.

use std::sync::Arc;

use arrow_schema::DataType;
use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_compiler::analysis::program_tests::{ProgramTest, TestContent};
use weir_compiler::analysis::{Definition, DefinitionKind};
use weir_compiler::{PathPlaces, places};
use weir_grammar::Span;
use weir_plan::{
    Action, EventTypeId, Expression, Function, Leg, OnFailure, Operation, Origin, Plan, Route, Step, Value,
};

use crate::program::{Staged, TestProgram};
use crate::run::{Injected, RunSettings, run_staged};

/// A change of one step, one branch or one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// The place of the step or the name of the function; for a branch, its beginning.
    pub span: Span,
    /// What is changed, in words that follow "no test notices that".
    pub change: String,
    at: At,
    kind: Kind,
}

/// The place of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The step, or the route, of this number in a path of the program's plan.
    Path { flow: usize, path: usize, number: usize },
    /// A step of an interceptor that only tests use.
    Alone,
    /// The function of this index in the plan.
    Function(usize),
}

/// The changes of a program, and its tests, prepared to run with them.
pub struct Mutations {
    tests: Vec<Prepared>,
    mutants: Vec<Mutant>,
}

/// A test with what its runs share.
struct Prepared {
    test: ProgramTest,
    staged: Staged,
    places: Vec<Vec<PathPlaces>>,
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

impl Mutations {
    /// Finds all changes of the steps and functions in the files of a program. Tests that can't run with their params are left out.
    pub fn of(program: &TestProgram<'_>) -> Mutations {
        let prepared = program.tests().iter().filter_map(|test| {
            let (test, staged) = program.staged(test).ok()?;
            let places = match test.content {
                TestContent::Program(_) => places(&staged.analysis),
                TestContent::Alone(_) => Vec::new(),
            };
            Some(Prepared { test, staged, places })
        });
        let tests: Vec<Prepared> = prepared.collect();
        let mut mutants = program.staged_plan().map_or_else(Vec::new, |staged| of_program(&staged));
        for Prepared { test, staged, .. } in &tests {
            if let TestContent::Alone(steps) = &test.content {
                let found = of_steps(staged, &steps.places());
                let new = found.into_iter().filter(|found| {
                    mutants.iter().all(|known: &Mutant| (known.span, known.kind) != (found.span, found.kind))
                });
                mutants.extend(new.collect::<Vec<_>>());
            }
        }
        let analysis = &program.analysis;
        let own: Vec<_> = analysis.program_files().filter_map(|name| analysis.file_named(name)).collect();
        mutants.retain(|mutant| own.contains(&mutant.span.file));
        mutants.sort_by_key(|mutant| (mutant.span.file, mutant.span.start));
        Mutations { tests, mutants }
    }

    /// The changes, in the order of the text.
    pub fn mutants(&self) -> &[Mutant] {
        &self.mutants
    }

    /// Returns whether a test of the program fails with this change.
    pub fn is_noticed(&self, mutant: &Mutant, settings: RunSettings<'_>) -> bool {
        self.tests.iter().any(|prepared| {
            let Some(plan) = prepared.changed(mutant) else { return false };
            let staged = Staged { plan: Arc::new(plan), ..prepared.staged.clone() };
            let ran = run_staged(&staged, &prepared.test, settings, &Injected::default());
            ran.map_or(true, |ran| ran.failure.is_some())
        })
    }
}

impl Prepared {
    /// Returns the plan of the test with this change; none if it does not have the place.
    fn changed(&self, mutant: &Mutant) -> Option<Plan> {
        let mut plan = (*self.staged.plan).clone();
        let alone = match &self.test.content {
            TestContent::Alone(steps) => Some(steps.places()),
            TestContent::Program(_) => None,
        };
        match (mutant.at, alone) {
            (At::Function(index), _) => change_function(plan.functions.get_mut(index)?, mutant.kind),
            (At::Path { .. } | At::Alone, Some(places)) => {
                let leg = &mut plan.flows.first_mut()?.paths.first_mut()?.leg;
                let numbers = (0..places.len()).rev().filter(|number| places[*number] == mutant.span);
                let changed = numbers.filter(|number| change_step(leg, &mut number.clone(), mutant.kind));
                (changed.count() > 0).then_some(())?;
            }
            (At::Path { flow, path, number }, None) => {
                // With other params, the plan may have other steps.
                let places = self.places.get(flow)?.get(path)?;
                let is_there = match mutant.kind {
                    Kind::Case(case) => places.routes.get(number)?.get(case) == Some(&mutant.span),
                    _ => places.steps.get(number) == Some(&mutant.span),
                };
                let leg = &mut plan.flows.get_mut(flow)?.paths.get_mut(path)?.leg;
                let mut left = number;
                match mutant.kind {
                    Kind::Case(case) => change_case(leg, &mut left, case),
                    kind => change_step(leg, &mut left, kind),
                };
                is_there.then_some(())?;
            }
            (At::Alone, None) => return None,
        }
        Some(plan)
    }
}

/// Returns all changes of the steps and functions of a plan.
fn of_program(staged: &Staged) -> Vec<Mutant> {
    let analysis = &staged.analysis;
    let text = |span: Span| shortened(analysis.files.text(span));
    let mut found = of_functions(staged);
    for (flow, (planned, flow_places)) in staged.plan.flows.iter().zip(places(analysis)).enumerate() {
        for (path, (planned, places)) in planned.paths.iter().zip(flow_places).enumerate() {
            let mut steps = Vec::new();
            collect_steps(&planned.leg, event_type_of(&staged.plan, &planned.from), &mut steps);
            for (number, ((step, before), span)) in steps.into_iter().zip(&places.steps).enumerate() {
                let at = At::Path { flow, path, number };
                found.extend(of_step(staged, step, before, *span, at));
            }
            let mut routes = Vec::new();
            collect_routes(&planned.leg, &mut routes);
            for (number, (cases, branches)) in routes.into_iter().zip(&places.routes).enumerate() {
                for (case, span) in (0..cases).zip(branches) {
                    let change =
                        format!("the case that leads to `{}` takes the opposite events", text(*span));
                    let (kind, at) = (Kind::Case(case), At::Path { flow, path, number });
                    found.push(Mutant { span: *span, change, at, kind });
                }
            }
        }
    }
    found
}

/// Returns the changes of the steps of an interceptor that is tested alone.
fn of_steps(staged: &Staged, places: &[Span]) -> Vec<Mutant> {
    let Some(path) = staged.plan.flows.first().and_then(|flow| flow.paths.first()) else { return Vec::new() };
    let mut steps = Vec::new();
    collect_steps(&path.leg, event_type_of(&staged.plan, &path.from), &mut steps);
    let steps = steps.into_iter().zip(places);
    steps.flat_map(|((step, before), span)| of_step(staged, step, before, *span, At::Alone)).collect()
}

fn of_step(staged: &Staged, step: &Step, before: Option<EventTypeId>, span: Span, at: At) -> Vec<Mutant> {
    let text = shortened(staged.analysis.files.text(span));
    let mutant = |(kind, what)| Mutant { span, change: format!("`{text}` {what}"), at, kind };
    changes_of(step, before).into_iter().map(mutant).collect()
}

/// Returns the changes of the program's functions.
fn of_functions(staged: &Staged) -> Vec<Mutant> {
    let functions = &staged.plan.functions;
    let is_function = |found: &&Definition| found.kind == DefinitionKind::Function;
    let defined: Vec<_> = staged.analysis.definitions().filter(is_function).collect();
    let are_same = defined.len() == functions.len()
        && defined.iter().zip(functions).all(|(found, function)| *found.name == *function.name);
    if !are_same {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, (defined, function)) in defined.into_iter().zip(functions).enumerate() {
        let mut changes = compared_in(function);
        if other_value(&function.result).is_some() {
            changes.push((Kind::OtherValue, "gives another value".to_owned()));
        }
        found.extend(changes.into_iter().map(|(kind, what)| {
            let change = format!("the function `{}` {what}", function.name);
            Mutant { span: defined.span, change, at: At::Function(index), kind }
        }));
    }
    found
}

/// Changes a function.
fn change_function(function: &mut Function, kind: Kind) {
    match kind {
        Kind::OtherValue => {
            if let Some(other) = other_value(&function.result) {
                function.result = other;
            }
        }
        Kind::Compared(number) => {
            if let Some(changed) = with_neighbour(function, number) {
                *function = changed;
            }
        }
        _ => {}
    }
}

/// Returns the change of a comparison of this number, with its words.
fn compared(number: usize, count: usize) -> (Kind, String) {
    let which = if count == 1 { String::new() } else { format!(" number {}", number + 1) };
    (Kind::Compared(number), format!("has another comparison{which}"))
}

/// Returns a part of a plan in which the comparison of this number is another one.
fn with_neighbour<T: Serialize + DeserializeOwned>(part: &T, number: usize) -> Option<T> {
    let mut document = serde_json::to_value(part).ok()?;
    let mut count = 0;
    comparisons(&mut document, &mut |comparison| {
        if count == number {
            *comparison = neighbour(comparison).to_owned();
        }
        count += 1;
    });
    serde_json::from_value(document).ok()
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
    changes.extend(compared_in(&step.action));
    changes
}

/// Returns the changes of the comparisons in a part of a plan.
fn compared_in(part: &impl Serialize) -> Vec<(Kind, String)> {
    let mut document = serde_json::to_value(part).unwrap_or_default();
    let mut count = 0;
    comparisons(&mut document, &mut |_| count += 1);
    (0..count).map(|number| compared(number, count)).collect()
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
                if let Some(changed) = with_neighbour(&*action, number) {
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
