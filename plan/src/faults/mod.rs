//! The faults of plans. The compiler makes plans without any; a plan that was changed or written by hand may have
//! some. Behind [`Plan::from_json`] nobody has to look for them again.

mod constants;
mod expressions;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use arrow_schema::{DataType, Field, Schema, TimeUnit};

use crate::{Component, EventTypeId, Order, Origin, Plan, Value};
use expressions::Signature;
use steps::Walk;

impl Plan {
    /// The faults of the plan itself: names of nothing, event types that are not there, expressions over
    /// columns that their events do not have, bounds that mean nothing. Each names its place in the plan's JSON
    /// text, and the component or flow that it is about. Nothing, for a plan of the compiler.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Faults::default();
        let program = Place::new("program", "the program");
        faults.name(&program, &self.program);
        for (index, event_type) in self.event_types.iter().enumerate() {
            let place = Place::new(format!("event_types[{index}]"), format!("event type {index}"));
            columns(&place, event_type.schema.fields().iter().map(|field| &**field), &mut faults);
        }
        components(self, &mut faults);
        if !faults.is_empty() {
            // Paths refer to event types by their places, which have to be there first.
            return faults.found;
        }
        let functions = expressions::functions(&self.functions, &mut faults);
        flows(self, &functions, &mut faults);
        faults.found
    }
}

/// A place in the plan: where it stands in the JSON text, and what it is called.
#[derive(Debug, Clone)]
struct Place {
    path: String,
    what: String,
}

impl Place {
    fn new(path: impl Into<String>, what: impl Into<String>) -> Place {
        Place { path: path.into(), what: what.into() }
    }

    /// A part of it, which is called by what it is a part of.
    fn part(&self, path: impl fmt::Display) -> Place {
        Place { path: format!("{}.{path}", self.path), what: self.what.clone() }
    }

    /// A part with a name of its own.
    fn named(&self, path: impl fmt::Display, what: impl fmt::Display) -> Place {
        Place { path: format!("{}.{path}", self.path), what: format!("{}, {what}", self.what) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { path, what } = self;
        write!(f, "{what} ({path})")
    }
}

/// The faults that were found.
#[derive(Debug, Default)]
struct Faults {
    found: Vec<String>,
}

/// More are not said: who has one plan with so many mends them by making another plan.
const FAULTS_MAX: usize = 20;

impl Faults {
    fn add(&mut self, place: &Place, fault: impl fmt::Display) {
        if self.found.len() < FAULTS_MAX {
            self.found.push(format!("{place}: {fault}"));
        }
    }

    fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// A name that stands in metrics, logs and the names of files.
    fn name(&mut self, place: &Place, name: &str) {
        match name {
            "" => self.add(place, "it has no name"),
            name if name.chars().any(char::is_control) => {
                self.add(place, format!("its name {name:?} has a control character"));
            }
            _ => {}
        }
    }
}

/// Columns, or the fields of a record.
fn columns<'a>(place: &Place, fields: impl Iterator<Item = &'a Field>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for field in fields {
        let name = field.name();
        if name.is_empty() {
            faults.add(place, "a column has no name");
        }
        if !seen.insert(name) {
            faults.add(place, format!("two columns are called {name}"));
        }
        data_type(place, field.data_type(), faults);
    }
}

/// The types that the language has, and no others of Arrow's.
fn data_type(place: &Place, found: &DataType, faults: &mut Faults) {
    match found {
        DataType::Null
        | DataType::Boolean
        | DataType::Int64
        | DataType::Float64
        | DataType::Utf8View
        | DataType::BinaryView
        | DataType::UInt64
        | DataType::Duration(TimeUnit::Microsecond)
        | DataType::FixedSizeBinary(16) => {}
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if **zone == *"UTC" => {}
        DataType::Decimal128(precision @ 1..=38, scale) if *scale >= 0 && *scale as u8 <= *precision => {}
        DataType::List(item) => data_type(place, item.data_type(), faults),
        DataType::Struct(fields) => columns(place, fields.iter().map(|field| &**field), faults),
        DataType::Map(entries, false) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 && *fields[0].data_type() == DataType::Utf8View => {
                data_type(place, fields[1].data_type(), faults);
            }
            other => faults.add(place, format!("a map of {other} is no type of events")),
        },
        other => faults.add(place, format!("{other} is no type of events")),
    }
}

fn components(plan: &Plan, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    let Plan { sources, channels, sinks, event_types, .. } = plan;
    for (role, components) in [("source", sources), ("channel", channels), ("sink", sinks)] {
        for (index, Component { name, kind, settings, event_type, .. }) in components.iter().enumerate() {
            let place = Place::new(format!("{role}s[{index}]"), format!("{role} {name}"));
            faults.name(&place, name);
            if kind.is_empty() {
                faults.add(&place, "it has no kind");
            }
            if !seen.insert(name) {
                faults.add(&place, "another component has the name as well");
            }
            for (name, value) in &settings.values {
                setting(&place.part(format!("settings.{name}")), value, faults);
            }
            event_type_of(&place, *event_type, event_types.len(), faults);
        }
    }
}

/// No setting of the library lasts longer, and clocks can't add much more.
const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// A value that no component can work with, whatever it means there.
fn setting(place: &Place, value: &Value, faults: &mut Faults) {
    match value {
        Value::Duration(duration) if *duration > DURATION_MAX => {
            faults.add(place, format!("{duration:?} is longer than a hundred years"));
        }
        Value::Float(number) | Value::EventRate(number) | Value::ByteRate(number) if !number.is_finite() => {
            faults.add(place, format!("{number} is no number"));
        }
        Value::List(values) => values.iter().for_each(|value| setting(place, value, faults)),
        Value::Record(values) | Value::Variant { settings: values, .. } => {
            values.iter().for_each(|(name, value)| setting(&place.part(name), value, faults));
        }
        _ => {}
    }
}

fn event_type_of(place: &Place, id: EventTypeId, types: usize, faults: &mut Faults) -> bool {
    let is_there = (id.0 as usize) < types;
    if !is_there {
        faults.add(place, format!("there is no event type {}, the plan has {types}", id.0));
    }
    is_there
}

/// The components by their names, with the types of their events.
struct Ends<'plan> {
    sources: BTreeMap<&'plan str, &'plan Schema>,
    channels: BTreeMap<&'plan str, &'plan Schema>,
    sinks: BTreeMap<&'plan str, &'plan Schema>,
}

fn flows(plan: &Plan, functions: &[Signature], faults: &mut Faults) {
    let Plan { sources, channels, sinks, .. } = plan;
    let ends = Ends {
        sources: by_name(plan, sources),
        channels: by_name(plan, channels),
        sinks: by_name(plan, sinks),
    };
    let mut seen = BTreeSet::new();
    for (index, flow) in plan.flows.iter().enumerate() {
        let flow_place = Place::new(format!("flows[{index}]"), format!("flow {}", flow.name));
        faults.name(&flow_place, &flow.name);
        if !seen.insert(&flow.name) {
            faults.add(&flow_place, "another flow has the name as well");
        }
        if let Order::By(column) = &flow.order
            && column.is_empty()
        {
            faults.add(&flow_place.part("order"), "it orders by a column without a name");
        }
        for (index, path) in flow.paths.iter().enumerate() {
            let place = flow_place.part(format!("paths[{index}]"));
            let mut walk = Walk { plan, ends: &ends, functions, faults, from: &path.from };
            match begin(plan, &ends, &path.from) {
                Ok(schema) => walk.leg(&place.part("segment"), &path.leg, schema, Vec::new()),
                Err(fault) => walk.faults.add(&place.part("from"), fault),
            }
        }
    }
}

fn by_name<'plan>(plan: &'plan Plan, components: &'plan [Component]) -> BTreeMap<&'plan str, &'plan Schema> {
    let of = |component: &'plan Component| &*plan.event_type(component.event_type).schema;
    components.iter().map(|component| (component.name.as_str(), of(component))).collect()
}

/// The type of the events that a path begins with, if it is known: what is rejected has the type of the step.
fn begin<'a>(plan: &Plan, ends: &Ends<'a>, from: &Origin) -> Result<Option<&'a Schema>, String> {
    let (role, name, found) = match from {
        Origin::Source(name) => ("source", name, ends.sources.get(name.as_str()).map(|schema| Some(*schema))),
        Origin::Channel(name) => {
            ("channel", name, ends.channels.get(name.as_str()).map(|schema| Some(*schema)))
        }
        Origin::Rejects(name) => {
            let is_there = plan.flows.iter().any(|flow| flow.name == *name);
            ("flow", name, is_there.then_some(None))
        }
    };
    found.ok_or_else(|| format!("a path begins at the {role} {name}, which is not there"))
}

/// Whether two types are the same, whatever their metadata says.
fn is_same(left: &DataType, right: &DataType) -> bool {
    left.equals_datatype(right)
}

#[cfg(test)]
mod tests;
