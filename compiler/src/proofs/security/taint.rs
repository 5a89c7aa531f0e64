//! The ways of sensitive values: from where they are declared, through steps, channels and rejects, to sinks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_schema::DataType;
use weir_grammar::Span;
use weir_grammar::tree::Role;
use weir_plan::{Action, BODY, Expression};

use super::Input;
use super::held::{self, Held};
use super::reading::{Place, revealed, sensitive_within};
use crate::analysis::graph::{Arrival, Destination, Leg, Step};
use crate::names::scopes::ComponentIndex;
use crate::types::columns::Columns;

/// One stage of the way of a value, and the way before it.
#[derive(Debug)]
pub(super) struct Hop {
    span: Span,
    says: String,
    before: Option<Way>,
}

/// The way of a sensitive value.
pub(super) type Way = Arc<Hop>;

/// Returns a way with a further hop.
fn further(before: Option<&Way>, span: Span, says: impl Into<String>) -> Way {
    Arc::new(Hop { span, says: says.into(), before: before.cloned() })
}

/// Returns the hops of a way, the first one first.
pub(super) fn hops(way: &Way) -> Vec<(Span, String)> {
    let mut all = Vec::new();
    let mut next = Some(way);
    while let Some(hop) = next {
        all.push((hop.span, hop.says.clone()));
        next = hop.before.as_ref();
    }
    all.reverse();
    all
}

/// A sensitive value in a column.
#[derive(Debug, Clone)]
pub(super) struct Sensitive {
    pub(super) way: Way,
    /// Whether the types of the columns say so, too. They know nothing of what a later step declares.
    declared: bool,
}

/// The sensitive columns and locals at one place.
pub(super) type Tainted = BTreeMap<Place, Sensitive>;

/// The arrival of events at a sink, with their sensitive columns.
pub(super) struct Arrived<'a> {
    pub(super) arrival: &'a Arrival,
    pub(super) tainted: Tainted,
}

/// Follows the events of all edges.
pub(super) struct Follow<'a> {
    input: &'a Input<'a>,
    /// What is sensitive in the events that leave a source or a channel.
    leaving: Vec<Tainted>,
    /// The arrivals at sinks of the last round.
    pub(super) arrived: Vec<Arrived<'a>>,
    /// The origins of rejected events by their flows.
    rejects: HashMap<usize, ComponentIndex>,
    changed: bool,
}

/// The edge that is followed.
struct Course {
    flow: usize,
    /// What is sensitive in the body of a rejected event.
    body: Option<Sensitive>,
    from_rejects: bool,
}

impl<'a> Follow<'a> {
    /// Follows all events to the sinks.
    pub(super) fn all(input: &'a Input<'a>) -> Follow<'a> {
        let components = &input.graph.components;
        let rejects = components.iter().enumerate();
        let rejects = rejects.filter_map(|(index, one)| Some((one.declared.rejects_of?, index)));
        let held = held::find(input);
        let leaving = components.iter().zip(&held);
        let leaving = leaving.map(|(component, held)| match component.declared.role {
            Role::Source if component.declared.rejects_of.is_none() => first(held),
            _ => Tainted::new(),
        });
        let mut follow = Follow {
            input,
            leaving: leaving.collect(),
            arrived: Vec::new(),
            rejects: rejects.collect(),
            changed: true,
        };
        // Each round carries what is sensitive over one more channel or route of rejects.
        let mut rounds = components.len() + 1;
        while follow.changed && rounds > 0 {
            (follow.changed, rounds) = (false, rounds - 1);
            follow.arrived.clear();
            for edge in &input.graph.edges {
                let Some(columns) = components[edge.from].events.clone() else { continue };
                let mut tainted = follow.leaving[edge.from].clone();
                declared(&columns, &mut tainted);
                let body = rejected_body(&columns, &tainted);
                let from_rejects = components[edge.from].declared.rejects_of.is_some();
                let course = Course { flow: edge.flow, body, from_rejects };
                follow.leg(&edge.leg, columns, tainted, &course);
            }
        }
        follow
    }

    fn leg(&mut self, leg: &'a Leg, mut columns: Arc<Columns>, mut tainted: Tainted, course: &Course) {
        for step in &leg.steps {
            if step.rejects() && !course.from_rejects {
                let span = self.input.place(step);
                self.reject(course.flow, course.body.as_ref(), span);
            }
            self.step(step, &columns, &mut tainted);
            columns = step.after.clone();
        }
        match &leg.to {
            Destination::Component(arrival) => self.arrive(arrival, tainted, course),
            other => {
                for leg in other.legs() {
                    self.leg(leg, columns.clone(), tainted.clone(), course);
                }
            }
        }
    }

    fn arrive(&mut self, arrival: &'a Arrival, mut tainted: Tainted, course: &Course) {
        let component = &self.input.graph.components[arrival.to];
        let is_column = |place: &Place| matches!(place, Place::Column(_));
        tainted.retain(|place, _| is_column(place));
        if component.declared.role == Role::Channel {
            for (place, sensitive) in tainted {
                let says = format!("goes through `{}`", component.declared.name);
                let way = further(Some(&sensitive.way), arrival.span, says);
                self.leave(arrival.to, place, Sensitive { way, ..sensitive });
            }
            return;
        }
        if component.rejects_itself() && !course.from_rejects {
            let body = tainted.get(&Place::column(BODY)).or_else(|| tainted.values().next()).cloned();
            self.reject(course.flow, body.as_ref(), arrival.span);
        }
        self.arrived.push(Arrived { arrival, tainted });
    }

    /// Notes that a rejected event keeps the body as it came.
    fn reject(&mut self, flow: usize, body: Option<&Sensitive>, span: Span) {
        let (Some(body), Some(&rejects)) = (body, self.rejects.get(&flow)) else { return };
        let way = further(Some(&body.way), span, "what is rejected here keeps the body as it came");
        self.leave(rejects, Place::column(BODY), Sensitive { way, declared: false });
    }

    fn leave(&mut self, from: ComponentIndex, place: Place, sensitive: Sensitive) {
        if let std::collections::btree_map::Entry::Vacant(entry) = self.leaving[from].entry(place) {
            entry.insert(sensitive);
            self.changed = true;
        }
    }

    /// Changes the sensitive columns before a step to those behind it.
    fn step(&self, step: &Step, before: &Columns, tainted: &mut Tainted) {
        let span = self.input.place(step);
        match &step.action {
            Action::Parse { fields, .. } => {
                let names = fields.iter().map(|field| field.name.as_str());
                self.parsed(names, step, span, tainted);
            }
            Action::Set { column: name, value } => {
                let value = self.value(value, before, tainted);
                let says = format!("goes into `{name}`");
                let known = step.after.columns.get(name.as_str()).is_some_and(|column| column.sensitive);
                let new = kept(value, known)
                    .map(|value| Sensitive { way: further(Some(&value.way), span, says), ..value });
                put(tainted, Place::column(name), new);
            }
            Action::Let { local, value } => {
                let new = self.value(value, before, tainted);
                put(tainted, Place::Local(*local), new);
            }
            Action::Rename { from, to } => {
                let renamed = tainted.remove(&Place::column(from)).map(|sensitive| Sensitive {
                    way: further(Some(&sensitive.way), span, format!("renamed to `{to}`")),
                    ..sensitive
                });
                put(tainted, Place::column(to), renamed);
            }
            Action::Flatten { column: name, fields } => {
                let whole = tainted.remove(&Place::column(name));
                for field in fields {
                    let part = Action::flattened(name, field);
                    put(tainted, Place::column(&part), whole.clone());
                }
            }
            _ => {}
        }
        // What the step has removed is gone.
        tainted.retain(|place, _| match place {
            Place::Column(name) => step.after.columns.contains_key(name),
            Place::Local(_) => true,
        });
        declared(&step.after, tainted);
    }

    /// Notes the fields that a parser has made of the body.
    fn parsed<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        step: &Step,
        span: Span,
        tainted: &mut Tainted,
    ) {
        let body = tainted.remove(&Place::column(BODY));
        for name in names {
            let Some(found) = step.after.columns.get(name) else { continue };
            let of_schema = !step.span.contains(found.declared)
                && self.input.entry.is_some_and(|entry| found.declared.file >= entry);
            let read = format!("`{name}` is read from the body");
            let new = match &body {
                Some(body) if body.declared || (!of_schema && !found.sensitive) => {
                    Some(Sensitive { way: further(Some(&body.way), span, read), ..body.clone() })
                }
                _ if found.sensitive => {
                    let way = further(None, found.declared, format!("`{name}` is declared `sensitive`"));
                    Some(Sensitive { way: further(Some(&way), span, read), declared: true })
                }
                _ => None,
            };
            put(tainted, Place::column(name), new);
        }
    }

    /// Returns the first sensitive value that shows through an expression. What is sensitive within a record stays so by the
    /// record's type.
    fn value(&self, value: &Expression, before: &Columns, tainted: &Tainted) -> Option<Sensitive> {
        revealed(value, self.input.library).into_iter().find_map(|read| {
            if let Some(sensitive) = tainted.get(&read.place) {
                return Some(sensitive.clone());
            }
            let Place::Column(root) = &read.place else { return None };
            let found = before.part(read.path.as_deref().unwrap_or(root))?;
            let within = match found.sensitive {
                true => (read.path.as_deref().unwrap_or(root).into(), found.declared),
                false if !is_record(&value.data_type) => sensitive_within(&found.value_type)?,
                false => return None,
            };
            let way = further(None, within.1, format!("`{}` is declared `sensitive`", within.0));
            Some(Sensitive { way, declared: found.sensitive })
        })
    }
}

/// Returns whether values of a type are records, or lists or maps of them.
fn is_record(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(_) => true,
        DataType::List(item) => is_record(item.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(parts) => parts.iter().any(|part| is_record(part.data_type())),
            _ => false,
        },
        _ => false,
    }
}

/// Returns the value unless the types of the columns know it, and say that it is not sensitive any more.
fn kept(value: Option<Sensitive>, known: bool) -> Option<Sensitive> {
    value.filter(|value| known || !value.declared)
}

fn put(tainted: &mut Tainted, place: Place, sensitive: Option<Sensitive>) {
    match sensitive {
        Some(sensitive) => drop(tainted.insert(place, sensitive)),
        None => drop(tainted.remove(&place)),
    }
}

/// Returns what is sensitive in the body of an event that is rejected: in its body as it came, or else in any of its fields, of
/// which the body is made.
fn rejected_body(columns: &Columns, tainted: &Tainted) -> Option<Sensitive> {
    if columns.columns.contains_key(BODY) {
        return tainted.get(&Place::column(BODY)).cloned();
    }
    let within = || {
        let found = columns.columns.values().find_map(|column| sensitive_within(&column.value_type));
        let way =
            found.map(|(field, span)| further(None, span, format!("`{field}` is declared `sensitive`")));
        way.map(|way| Sensitive { way, declared: false })
    };
    tainted.values().next().cloned().or_else(within)
}

/// Adds the columns that are sensitive by their types and have no way yet.
fn declared(columns: &Columns, tainted: &mut Tainted) {
    for (name, found) in columns.columns.iter().filter(|(_, found)| found.sensitive) {
        tainted.entry(Place::column(name)).or_insert_with(|| {
            let way = further(None, found.declared, format!("`{name}` is sensitive"));
            Sensitive { way, declared: true }
        });
    }
}

/// Returns what is sensitive in the events of a source, since a later step declares it.
fn first(held: &Held) -> Tainted {
    let columns = held.iter().filter(|(place, _)| matches!(place, Place::Column(_)));
    let columns = columns.map(|(place, by)| {
        let way = further(None, by.span, format!("`{}` is declared `sensitive`", by.field));
        let way = further(Some(&way), by.parsed, "so the body that it is read from is sensitive");
        (place.clone(), Sensitive { way, declared: false })
    });
    columns.collect()
}
