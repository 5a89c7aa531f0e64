//! Finds the parsed fields that nothing reads. Parsers do not decode them, and events do not have them.
//!
//! The search for read columns goes backwards: from sinks, through channels whose events do not outlast the agent, to the steps
//! `parse`. A durable channel reads all columns, so that the type of its events does not depend on what is behind it. So does
//! a component at which several paths arrive, since the events of all of them have one type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::{DataType, Schema};
use weir_plan::{
    Action, BODY, Component, EventType, EventTypeId, Expression, FieldFormat, HEADER_SIGIL, Leg, Operation,
    Origin, ParsedField, Path, Plan, Route, Step, Value,
};

/// Which components of a plan do not read all columns.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// The columns that these sinks read.
    pub(super) sinks: BTreeMap<String, BTreeSet<String>>,
    /// The channels that read only what is read behind them.
    pub(super) passing: BTreeSet<String>,
}

/// Columns: these, or all but these.
#[derive(Debug, Clone, PartialEq)]
struct Names {
    all: bool,
    but: BTreeSet<String>,
}

/// Marks the fields that nothing reads, and removes their columns from the event types.
pub(super) fn leave_out(plan: &mut Plan, readers: &Readers) {
    let mut flows = std::mem::take(&mut plan.flows);
    let mut arrivals = BTreeMap::new();
    flows.iter().flat_map(|flow| &flow.paths).for_each(|path| count(&path.leg, &mut arrivals));
    let mut behind: BTreeMap<String, Vec<Path>> = BTreeMap::new();
    for path in flows.iter().flat_map(|flow| &flow.paths) {
        if let Origin::Channel(name) = &path.from
            && readers.passing.contains(name)
        {
            behind.entry(name.clone()).or_default().push(path.clone());
        }
    }
    let read = Read { readers, arrivals, behind, with_body: with_body(plan) };
    let mut removal = Removal { read, plan, gone: BTreeMap::new() };
    // The paths of sources come first, so that it is known of each channel which columns its events do not have.
    let is_channel = |path: &Path| matches!(path.from, Origin::Channel(_));
    for from_channels in [false, true] {
        let paths = flows.iter_mut().flat_map(|flow| &mut flow.paths);
        paths.filter(|path| is_channel(path) == from_channels).for_each(|path| removal.path(path));
    }
    plan.flows = flows;
    renumber(plan);
}

/// Returns the names of the sources and channels whose events have a body.
fn with_body(plan: &Plan) -> BTreeSet<String> {
    let has_body = |component: &&Component| {
        let body = plan.event_type(component.event_type).schema.field_with_name(BODY);
        body.is_ok_and(|body| *body.data_type() == DataType::BinaryView)
    };
    let with_body = plan.sources.iter().chain(&plan.channels).filter(has_body);
    with_body.map(|component| component.name.clone()).collect()
}

/// Returns whether a step of a leg, or of a leg behind it, is a `parse`.
fn parses(leg: &Leg) -> bool {
    leg.steps.iter().any(|step| matches!(step.action, Action::Parse { .. }))
        || leg.to.legs().into_iter().any(parses)
}

/// Counts the paths that arrive at each component.
fn count(leg: &Leg, arrivals: &mut BTreeMap<String, usize>) {
    match &leg.to {
        Route::Channel(name) | Route::Sink(name) => *arrivals.entry(name.clone()).or_default() += 1,
        other => other.legs().into_iter().for_each(|leg| count(leg, arrivals)),
    }
}

impl Names {
    fn all() -> Names {
        Names { all: true, but: BTreeSet::new() }
    }

    fn of(names: impl IntoIterator<Item = String>) -> Names {
        Names { all: false, but: names.into_iter().collect() }
    }

    fn has(&self, name: &str) -> bool {
        self.but.contains(name) != self.all
    }

    fn add(&mut self, name: &str) {
        match self.all {
            true => drop(self.but.remove(name)),
            false => drop(self.but.insert(name.to_owned())),
        }
    }

    fn remove(&mut self, name: &str) {
        match self.all {
            true => drop(self.but.insert(name.to_owned())),
            false => drop(self.but.remove(name)),
        }
    }

    fn add_all(&mut self, other: &Names) {
        match (self.all, other.all) {
            (_, false) => other.but.iter().for_each(|name| self.add(name)),
            (true, true) => self.but.retain(|name| other.but.contains(name)),
            (false, true) => {
                let but = other.but.difference(&self.but).cloned().collect();
                *self = Names { all: true, but };
            }
        }
    }

    fn add_columns(&mut self, expression: &Expression) {
        if let Operation::Column(name) = &expression.operation {
            self.add(name);
        }
        expression.operation.parts().into_iter().for_each(|part| self.add_columns(part));
    }
}

/// The columns that are read at each place of a plan.
struct Read<'p> {
    readers: &'p Readers,
    arrivals: BTreeMap<String, usize>,
    /// The paths behind the channels that read only what is read behind them, with their fields as they were written.
    behind: BTreeMap<String, Vec<Path>>,
    /// The sources and channels whose events have a body, which is kept for rejected events.
    with_body: BTreeSet<String>,
}

impl Read<'_> {
    fn has_body(&self, from: &Origin) -> bool {
        matches!(from, Origin::Source(name) | Origin::Channel(name) if self.with_body.contains(name))
    }

    /// Returns the columns that a route reads, and everything behind it.
    fn by_route(&self, route: &Route, has_body: bool) -> Names {
        match route {
            Route::Sink(name) | Route::Channel(name) if self.arrivals.get(name) != Some(&1) => Names::all(),
            Route::Sink(name) => match self.readers.sinks.get(name) {
                Some(columns) => Names::of(columns.iter().cloned()),
                None => Names::all(),
            },
            Route::Channel(name) if !self.readers.passing.contains(name) => Names::all(),
            Route::Channel(name) => {
                let mut read = Names::of([]);
                for path in self.behind.get(name).into_iter().flatten() {
                    read.add_all(&self.by_leg(&path.leg, self.has_body(&path.from)));
                }
                read
            }
            _ => {
                let mut read = Names::of([]);
                route.legs().into_iter().for_each(|leg| read.add_all(&self.by_leg(leg, has_body)));
                route.conditions().into_iter().for_each(|condition| read.add_columns(condition));
                read
            }
        }
    }

    fn by_leg(&self, leg: &Leg, has_body: bool) -> Names {
        let mut read = self.by_route(&leg.to, has_body);
        leg.steps.iter().rev().for_each(|step| before(step, &mut read, has_body));
        read
    }

    /// Returns the columns that are read behind each step of a leg.
    fn behind_steps(&self, leg: &Leg, has_body: bool) -> Vec<Names> {
        let mut read = self.by_route(&leg.to, has_body);
        let mut behind = Vec::with_capacity(leg.steps.len());
        for step in leg.steps.iter().rev() {
            behind.push(read.clone());
            before(step, &mut read, has_body);
        }
        behind.reverse();
        behind
    }
}

/// Turns the columns that are read behind a step into the columns that are read before it. A rejected event has the body as
/// it came in; if the events came in without a body, it has all columns.
fn before(step: &Step, read: &mut Names, has_body: bool) {
    match &step.action {
        Action::Keep(condition) | Action::Drop(condition) | Action::Reject { condition, .. } => {
            read.add_columns(condition);
        }
        Action::Check { rules, .. } => rules.iter().for_each(|rule| read.add_columns(&rule.condition)),
        Action::Set { column, value } => {
            read.remove(column);
            read.add_columns(value);
        }
        Action::Let { value, .. } => read.add_columns(value),
        Action::Unset(column) | Action::Explode(column) | Action::Flatten { column, .. } => read.add(column),
        Action::Rename { from, to } => {
            read.remove(to);
            read.add(from);
        }
        Action::Select(columns) => *read = Names::of(columns.iter().cloned()),
        Action::Parse { fields, .. } => {
            fields.iter().for_each(|field| read.remove(&field.name));
            read.add(BODY);
        }
        Action::Throttle(Value::ByteRate(_)) => read.add(BODY),
        Action::Throttle(_) | Action::Sample(_) => {}
        Action::Dedupe { by, .. } => read.add_columns(by),
    }
    match (step.rejects(), has_body) {
        (true, true) => read.add(BODY),
        (true, false) => *read = Names::all(),
        (false, _) => {}
    }
}

/// Removes columns from the event types of a plan.
struct Removal<'p> {
    read: Read<'p>,
    plan: &'p mut Plan,
    /// The columns that the events of a channel do not have.
    gone: BTreeMap<String, BTreeSet<String>>,
}

impl Removal<'_> {
    fn path(&mut self, path: &mut Path) {
        let gone = match &path.from {
            Origin::Channel(name) => self.gone.get(name).cloned().unwrap_or_default(),
            Origin::Source(_) | Origin::Rejects(_) => BTreeSet::new(),
        };
        let has_body = self.read.has_body(&path.from);
        self.leg(&mut path.leg, gone, has_body);
    }

    /// Removes columns behind the steps of a leg. `gone` are those that the events before it do not have.
    fn leg(&mut self, leg: &mut Leg, mut gone: BTreeSet<String>, has_body: bool) {
        if gone.is_empty() && !parses(leg) {
            return;
        }
        let read = self.read.behind_steps(leg, has_body);
        for (step, read) in leg.steps.iter_mut().zip(read) {
            match &mut step.action {
                Action::Parse { fields, strict, .. } => {
                    for field in fields {
                        field.unread = !*strict && !read.has(&field.name) && !is_checked(field);
                        match field.unread {
                            true => drop(gone.insert(field.name.clone())),
                            false => drop(gone.remove(&field.name)),
                        }
                    }
                }
                Action::Set { column, .. } | Action::Rename { to: column, .. } => drop(gone.remove(column)),
                Action::Select(_) => gone.clear(),
                _ => {}
            }
            step.event_type = self.without(step.event_type, &gone);
        }
        match &mut leg.to {
            Route::Channel(name) => {
                if let Some(index) = self.plan.channels.iter().position(|channel| channel.name == *name) {
                    let event_type = self.without(self.plan.channels[index].event_type, &gone);
                    self.plan.channels[index].event_type = event_type;
                }
                self.gone.insert(name.clone(), gone);
            }
            Route::Sink(name) => {
                if let Some(index) = self.plan.sinks.iter().position(|sink| sink.name == *name) {
                    let event_type = self.without(self.plan.sinks[index].event_type, &gone);
                    self.plan.sinks[index].event_type = event_type;
                }
            }
            Route::End => {}
            Route::Copy(branches) => {
                branches.iter_mut().for_each(|branch| self.leg(&mut branch.leg, gone.clone(), has_body));
            }
            Route::Match(cases) => {
                cases.iter_mut().for_each(|case| self.leg(&mut case.leg, gone.clone(), has_body));
            }
            Route::Balance { legs, .. } | Route::Failover(legs) => {
                legs.iter_mut().for_each(|leg| self.leg(leg, gone.clone(), has_body));
            }
        }
    }

    /// Returns the event type without these columns.
    fn without(&mut self, event_type: EventTypeId, gone: &BTreeSet<String>) -> EventTypeId {
        let schema = &self.plan.event_type(event_type).schema;
        if !schema.fields().iter().any(|field| gone.contains(field.name())) {
            return event_type;
        }
        let fields = schema.fields().iter().filter(|field| !gone.contains(field.name())).cloned();
        let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone());
        let known = self.plan.event_types.iter().position(|known| *known.schema == schema);
        let index = known.unwrap_or(self.plan.event_types.len());
        if known.is_none() {
            self.plan.event_types.push(EventType { schema: Arc::new(schema) });
        }
        EventTypeId(index as u32)
    }
}

/// Whether a field is decoded even if nothing reads it, since its values or those of its parts have a range. So is a header.
fn is_checked(field: &ParsedField) -> bool {
    fn has_range(field: &ParsedField) -> bool {
        matches!(field.format, FieldFormat::Within(..)) || field.parts.iter().any(has_range)
    }
    field.name.starts_with(HEADER_SIGIL) || has_range(field)
}

/// Removes event types that nothing has, and numbers the others from 0.
fn renumber(plan: &mut Plan) {
    fn of_leg(leg: &mut Leg, each: &mut impl FnMut(&mut EventTypeId)) {
        leg.steps.iter_mut().for_each(|step| each(&mut step.event_type));
        match &mut leg.to {
            Route::Channel(_) | Route::Sink(_) | Route::End => {}
            Route::Copy(branches) => branches.iter_mut().for_each(|branch| of_leg(&mut branch.leg, each)),
            Route::Match(cases) => cases.iter_mut().for_each(|case| of_leg(&mut case.leg, each)),
            Route::Balance { legs, .. } | Route::Failover(legs) => {
                legs.iter_mut().for_each(|leg| of_leg(leg, each))
            }
        }
    }
    fn of_plan(plan: &mut Plan, mut each: impl FnMut(&mut EventTypeId)) {
        let components = plan.sources.iter_mut().chain(&mut plan.channels).chain(&mut plan.sinks);
        components.for_each(|component| each(&mut component.event_type));
        plan.flows
            .iter_mut()
            .flat_map(|flow| &mut flow.paths)
            .for_each(|path| of_leg(&mut path.leg, &mut each));
    }
    let mut used = BTreeSet::new();
    of_plan(plan, |id| {
        used.insert(*id);
    });
    let numbers: BTreeMap<EventTypeId, u32> = used.iter().copied().zip(0..).collect();
    of_plan(plan, |id| id.0 = numbers[id]);
    let mut index = 0;
    plan.event_types.retain(|_| {
        index += 1;
        used.contains(&EventTypeId(index - 1))
    });
}
