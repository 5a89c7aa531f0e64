//! Which columns hold sensitive values before a step declares them: a body that is parsed into a schema with a sensitive field
//! is sensitive itself, from its source on and on all ways.

use std::collections::BTreeMap;

use weir_grammar::Span;
use weir_grammar::tree::Role;
use weir_plan::{Action, BODY};

use super::Input;
use super::reading::{Place, revealed, sensitive_within};
use crate::analysis::graph::{Destination, Leg, Step};

/// The declaration by which a column holds a sensitive value.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    /// The name of the field in its schema, and its place.
    pub(super) field: String,
    pub(super) span: Span,
    /// The step that reads the field out of the column.
    pub(super) parsed: Span,
}

/// The columns and locals at one place that hold sensitive values.
pub(super) type Held = BTreeMap<Place, Declared>;

/// Returns for each component what the columns hold that leave it.
pub(super) fn find(input: &Input<'_>) -> Vec<Held> {
    let graph = input.graph;
    let mut found: Vec<Held> = graph.components.iter().map(|_| Held::new()).collect();
    // What sources put into a channel is read behind it, so channels come first.
    for role in [Role::Channel, Role::Source] {
        for edge in graph.edges.iter().filter(|edge| graph.components[edge.from].declared.role == role) {
            let held = before(&edge.leg, input, &found);
            for (place, declared) in held {
                found[edge.from].entry(place).or_insert(declared);
            }
        }
    }
    found
}

/// Returns what the columns hold before a leg.
fn before(leg: &Leg, input: &Input<'_>, found: &[Held]) -> Held {
    let mut held = match &leg.to {
        Destination::Component(arrival) => found[arrival.to].clone(),
        other => {
            let mut all = Held::new();
            for (place, declared) in other.legs().into_iter().flat_map(|leg| before(leg, input, found)) {
                all.entry(place).or_insert(declared);
            }
            all
        }
    };
    leg.steps.iter().rev().for_each(|step| undo(step, &mut held, input));
    held
}

/// Changes what the columns hold behind a step to what they hold before it.
fn undo(step: &Step, held: &mut Held, input: &Input<'_>) {
    match &step.action {
        Action::Parse { fields, .. } => {
            let mut of_body = None;
            for field in fields {
                let later = held.remove(&Place::column(&field.name));
                of_body = of_body.or(later);
            }
            let read = fields.iter().find_map(|field| {
                let after = step.after.columns.get(field.name.as_str())?;
                let within = sensitive_within(&after.value_type);
                let (field, span) = match after.sensitive {
                    true => (field.name.clone(), after.declared),
                    false => within.map(|(name, span)| (name.to_string(), span))?,
                };
                let parsed = input.place(step);
                Some(Declared { field, span, parsed })
            });
            if let Some(declared) = read.or(of_body) {
                held.insert(Place::column(BODY), declared);
            }
        }
        Action::Set { column: name, value } => passed_on(Place::column(name), value, held, input),
        Action::Let { local, value } => passed_on(Place::Local(*local), value, held, input),
        Action::Unset(name) => drop(held.remove(&Place::column(name))),
        Action::Rename { from, to } => {
            if let Some(declared) = held.remove(&Place::column(to)) {
                held.insert(Place::column(from), declared);
            }
        }
        Action::Flatten { column: name, fields } => {
            for field in fields {
                if let Some(declared) = held.remove(&Place::column(&Action::flattened(name, field))) {
                    held.insert(Place::column(name), declared);
                }
            }
        }
        _ => {}
    }
}

/// What a place holds came from everything that its value shows.
fn passed_on(place: Place, value: &weir_plan::Expression, held: &mut Held, input: &Input<'_>) {
    let Some(declared) = held.remove(&place) else { return };
    for read in revealed(value, input.library) {
        held.entry(read.place).or_insert_with(|| declared.clone());
    }
}
