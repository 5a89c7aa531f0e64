//! The validation of plans. Plans of the compiler have no faults, but a changed or hand-written plan may have
//! some. [`Plan::from_json`] refuses plans with faults, so that other code need not check them again.

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
    /// Returns the faults of the plan: unknown names, missing event types, expressions over missing
    /// columns, invalid limits. Each fault names its place in the plan's JSON text, and the component or flow.
    /// A plan of the compiler has no faults.
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
            // The checks of paths index the event types, so these must be valid first.
            return faults.found;
        }
        let functions = expressions::functions(&self.functions, &mut faults);
        flows(self, &functions, &mut faults);
        faults.found
    }
}

/// A place in the plan: its path in the JSON text, and a title.
#[derive(Debug, Clone)]
struct Place {
    path: String,
    title: String,
}

impl Place {
    fn new(path: impl Into<String>, title: impl Into<String>) -> Place {
        Place { path: path.into(), title: title.into() }
    }

    /// Returns the place of a part, with the same title.
    fn part(&self, path: impl fmt::Display) -> Place {
        Place { path: format!("{}.{path}", self.path), title: self.title.clone() }
    }

    /// Returns the place of a part, whose name is added to the title.
    fn named(&self, path: impl fmt::Display, name: impl fmt::Display) -> Place {
        Place { path: format!("{}.{path}", self.path), title: format!("{}, {name}", self.title) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { path, title } = self;
        write!(f, "{title} ({path})")
    }
}

/// The faults found so far.
#[derive(Debug, Default)]
struct Faults {
    found: Vec<String>,
}

/// The maximum number of reported faults. A plan with more faults has to be compiled again.
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

    /// Checks a name, which is used in metrics, logs and names of files.
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

/// Checks columns, or the fields of a record.
fn columns<'a>(place: &Place, fields: impl Iterator<Item = &'a Field>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for field in fields {
        let name = field.name();
        if name.is_empty() {
            faults.add(place, "a column has no name");
        }
        if !seen.insert(name) {
            faults.add(place, format!("two columns have the name {name}"));
        }
        data_type(place, field.data_type(), faults);
    }
}

/// Checks that an Arrow type is a type of the language.
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
            other => faults.add(place, format!("a map of {other} is not a type of the language")),
        },
        other => faults.add(place, format!("{other} is not a type of the language")),
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
                faults.add(&place, "another component has the same name");
            }
            for (name, value) in &settings.values {
                setting(&place.part(format!("settings.{name}")), value, faults);
            }
            event_type_of(&place, *event_type, event_types.len(), faults);
        }
    }
}

/// The maximum duration of a setting. All settings of the library are shorter, and clocks can't add much more.
const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// Reports values that are invalid for every component.
fn setting(place: &Place, value: &Value, faults: &mut Faults) {
    match value {
        Value::NegativeDuration(_) => faults.add(place, format!("{value} is below zero")),
        Value::Duration(duration) if *duration > DURATION_MAX => {
            faults.add(place, format!("{duration:?} is longer than a hundred years"));
        }
        Value::Float(number) | Value::EventRate(number) | Value::ByteRate(number) if !number.is_finite() => {
            faults.add(place, format!("{number} is not a finite number"));
        }
        Value::List(values) => values.iter().for_each(|value| setting(place, value, faults)),
        Value::Record(values) | Value::Variant { settings: values, .. } => {
            values.iter().for_each(|(name, value)| setting(&place.part(name), value, faults));
        }
        _ => {}
    }
}

fn event_type_of(place: &Place, id: EventTypeId, types: usize, faults: &mut Faults) -> bool {
    let exists = (id.0 as usize) < types;
    if !exists {
        faults.add(place, format!("there is no event type {}, the plan has {types}", id.0));
    }
    exists
}

/// The event types of the components, by name.
struct ComponentTypes<'plan> {
    sources: BTreeMap<&'plan str, &'plan Schema>,
    channels: BTreeMap<&'plan str, &'plan Schema>,
    sinks: BTreeMap<&'plan str, &'plan Schema>,
}

fn flows(plan: &Plan, functions: &[Option<Signature>], faults: &mut Faults) {
    let Plan { sources, channels, sinks, .. } = plan;
    let component_types = ComponentTypes {
        sources: by_name(plan, sources),
        channels: by_name(plan, channels),
        sinks: by_name(plan, sinks),
    };
    let mut seen = BTreeSet::new();
    for (index, flow) in plan.flows.iter().enumerate() {
        let flow_place = Place::new(format!("flows[{index}]"), format!("flow {}", flow.name));
        faults.name(&flow_place, &flow.name);
        if !seen.insert(&flow.name) {
            faults.add(&flow_place, "another flow has the same name");
        }
        if let Order::By(column) = &flow.order
            && column.is_empty()
        {
            faults.add(&flow_place.part("order"), "it orders by a column without a name");
        }
        if !flow.paths.iter().any(|path| path.from == Origin::Rejects(flow.name.clone()))
            && flow.paths.iter().any(|path| path.leg.rejects())
        {
            faults.add(&flow_place, "its steps reject events, and it has no path from `rejects`");
        }
        for (index, path) in flow.paths.iter().enumerate() {
            let place = flow_place.part(format!("paths[{index}]"));
            if matches!(path.from, Origin::Rejects(_)) && path.leg.rejects() {
                faults.add(&place, "a step rejects events that were rejected before");
            }
            let mut walk =
                Walk { plan, component_types: &component_types, functions, faults, from: &path.from };
            match event_type_at(plan, &component_types, &path.from) {
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

/// Returns the type of the events at an origin; `None` for rejected events, whose type depends on the step.
fn event_type_at<'a>(
    plan: &Plan,
    component_types: &ComponentTypes<'a>,
    from: &Origin,
) -> Result<Option<&'a Schema>, String> {
    let ComponentTypes { sources, channels, .. } = component_types;
    let (role, name, found) = match from {
        Origin::Source(name) => ("source", name, sources.get(name.as_str()).map(|schema| Some(*schema))),
        Origin::Channel(name) => ("channel", name, channels.get(name.as_str()).map(|schema| Some(*schema))),
        Origin::Rejects(name) => {
            let exists = plan.flows.iter().any(|flow| flow.name == *name);
            ("flow", name, exists.then_some(None))
        }
    };
    found.ok_or_else(|| format!("a path begins at the {role} {name}, which does not exist"))
}

/// Returns whether two types are equal, ignoring metadata.
fn is_same(left: &DataType, right: &DataType) -> bool {
    left.equals_datatype(right)
}

#[cfg(test)]
mod tests;
