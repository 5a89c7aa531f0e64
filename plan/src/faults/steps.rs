//! Checks paths: each step fits the events before it, and each path leads to existing components.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema};

use super::constants::is_rate;
use super::expressions::{Columns, Scope, Signature};
use super::{ComponentTypes, Faults, Place, event_type_of, is_same};
use crate::event::fields_by_name;
use crate::{Action, Leg, Origin, ParsedField, Plan, Route, Step};

/// A walk along a path, from its origin to all its destinations.
pub(super) struct Walk<'a> {
    pub(super) plan: &'a Plan,
    pub(super) component_types: &'a ComponentTypes<'a>,
    pub(super) functions: &'a [Option<Signature>],
    pub(super) faults: &'a mut Faults,
    pub(super) from: &'a Origin,
}

impl<'a> Walk<'a> {
    /// Checks a leg. `schema` is the type of the events before it, if it is known; `locals` are the types of earlier locals.
    pub(super) fn leg(
        &mut self,
        place: &Place,
        leg: &'a Leg,
        mut schema: Option<&'a Schema>,
        mut locals: Vec<Option<DataType>>,
    ) {
        for (index, step) in leg.steps.iter().enumerate() {
            let place = place.named(format!("steps[{index}]"), format!("step `{}`", step.label));
            if !event_type_of(&place, step.event_type, self.plan.event_types.len(), self.faults) {
                return;
            }
            let after = &*self.plan.event_types[step.event_type.0 as usize].schema;
            locals = self.step(&place, step, schema, after, locals);
            schema = Some(after);
        }
        let place = place.part("to");
        let legs: Vec<(String, &Leg)> = match &leg.to {
            Route::Channel(name) => return self.end(&place, "channel", name, schema),
            Route::Sink(name) => return self.end(&place, "sink", name, schema),
            Route::End => {
                if !leg.steps.last().is_some_and(|step| step.action.takes_all()) {
                    self.faults
                        .add(&place, "a path ends, and its last step does not drop or reject all events");
                }
                return;
            }
            Route::Copy(branches) => {
                let part = |(index, branch)| (format!("copy[{index}].segment"), branch);
                branches.iter().map(|branch| &branch.leg).enumerate().map(part).collect()
            }
            Route::Match(cases) => {
                for (index, case) in cases.iter().enumerate() {
                    if let Some(condition) = &case.condition {
                        let place = place.part(format!("match[{index}].condition"));
                        let mut scope = self.scope(schema, locals.clone());
                        scope.condition(&place, condition, self.faults);
                    }
                }
                let part = |(index, case)| (format!("match[{index}].segment"), case);
                cases.iter().map(|case| &case.leg).enumerate().map(part).collect()
            }
            Route::Balance { by, legs } => {
                if let Some(by) = by {
                    let mut scope = self.scope(schema, locals.clone());
                    scope.check(&place.part("balance.by"), by, self.faults);
                }
                let part = |(index, leg)| (format!("balance.segments[{index}]"), leg);
                legs.iter().enumerate().map(part).collect()
            }
            Route::Failover(legs) => {
                let part = |(index, leg)| (format!("failover[{index}]"), leg);
                legs.iter().enumerate().map(part).collect()
            }
        };
        if legs.is_empty() {
            self.faults.add(&place, "a path leads nowhere");
        }
        for (part, leg) in legs {
            self.leg(&place.part(part), leg, schema, locals.clone());
        }
    }

    fn scope(&self, schema: Option<&'a Schema>, locals: Vec<Option<DataType>>) -> Scope<'a> {
        let columns = schema.map_or(Columns::Any, Columns::Of);
        Scope { columns, locals, functions: self.functions }
    }

    /// Checks a destination: the component exists, a path from this origin may lead to it, and it takes the events.
    fn end(&mut self, place: &Place, role: &str, name: &str, schema: Option<&Schema>) {
        let found =
            if role == "channel" { &self.component_types.channels } else { &self.component_types.sinks };
        let Some(wanted) = found.get(name) else {
            return self
                .faults
                .add(place, format!("a path leads to the {role} {name}, which does not exist"));
        };
        if role == "sink" && !matches!(self.from, Origin::Channel(_)) {
            self.faults.add(place, format!("a path leads to the sink {name} without a channel between"));
        }
        if let Some(fault) = schema.and_then(|schema| misfit(schema, wanted)) {
            self.faults.add(place, format!("{role} {name} does not take the events: {fault}"));
        }
    }

    /// Checks a step and the type of the events after it. Returns the types of the locals.
    fn step(
        &mut self,
        place: &Place,
        step: &'a Step,
        before: Option<&'a Schema>,
        after: &'a Schema,
        locals: Vec<Option<DataType>>,
    ) -> Vec<Option<DataType>> {
        let mut scope = self.scope(before, locals);
        let place = place.part("action");
        match &step.action {
            Action::Keep(condition) | Action::Drop(condition) | Action::Reject { condition, .. } => {
                scope.condition(&place, condition, self.faults);
            }
            Action::Check { rules, .. } => {
                for (index, rule) in rules.iter().enumerate() {
                    let place = place.named(format!("check.rules[{index}]"), format!("rule {}", rule.name));
                    scope.condition(&place, &rule.condition, self.faults);
                }
            }
            Action::Let { local, value } => {
                scope.check(&place, value, self.faults);
                if *local as usize != scope.locals.len() {
                    let next = scope.locals.len();
                    self.faults.add(
                        &place,
                        format!("it computes the local value {local}, but the next number is {next}"),
                    );
                }
                scope.locals.push(Some(value.data_type.clone()));
            }
            Action::Set { value, .. } => scope.check(&place, value, self.faults),
            Action::Dedupe { by, within } => {
                scope.check(&place, by, self.faults);
                if within.is_zero() {
                    self.faults.add(&place, "the time for which it remembers values is 0");
                }
            }
            Action::Throttle(rate) if !is_rate(rate) => {
                self.faults.add(&place, format!("{rate:?} is not a rate"));
            }
            Action::Sample(share) if !(0.0..=1.0).contains(share) => {
                self.faults.add(&place, format!("{share} is not a fraction from 0 to 1"));
            }
            Action::Parse { parser, .. } if parser.is_empty() => {
                self.faults.add(&place, "it has no parser");
            }
            _ => {}
        }
        if let Some(before) = before
            && let Err(fault) = result(&step.action, before, after)
        {
            self.faults.add(&place, fault);
        }
        scope.locals
    }
}

/// Says why a component with events of the type `wanted` can't take events of the type `found`. `wanted` may have further
/// optional columns.
fn misfit(found: &Schema, wanted: &Schema) -> Option<String> {
    let (taken, given) = (fields_by_name(wanted), fields_by_name(found));
    for field in found.fields() {
        match taken.get(field.name().as_str()) {
            Some(taken) if is_same(taken.data_type(), field.data_type()) => {}
            Some(taken) => {
                let (found, taken) =
                    (crate::type_name(field.data_type()), crate::type_name(taken.data_type()));
                return Some(format!("their column {} is {found}, not {taken}", field.name()));
            }
            None => return Some(format!("their column {} is unknown to it", field.name())),
        }
    }
    let lacking = |field: &&Arc<Field>| !field.is_nullable() && !given.contains_key(field.name().as_str());
    let lacking = wanted.fields().iter().find(lacking)?;
    Some(format!("they have no column {}", lacking.name()))
}

/// Checks that the type of the events after a step is the type that the step produces.
fn result(action: &Action, before: &Schema, after: &Schema) -> Result<(), String> {
    let has = |name: &str| before.field_with_name(name).is_ok();
    let unknown = |name: &str| Err(format!("there is no column {name} in the events here"));
    let fields = || before.fields().iter().cloned();
    let wanted: Fields = match action {
        Action::Set { column, value } => {
            let field = Field::new(column, value.data_type.clone(), value.nullable);
            fields().filter(|field| field.name() != column).chain([Arc::new(field)]).collect()
        }
        Action::Unset(name) if !has(name) => return unknown(name),
        Action::Unset(name) => fields().filter(|field| field.name() != name).collect(),
        Action::Explode(name) | Action::Flatten { column: name, .. } if !has(name) => return unknown(name),
        Action::Explode(name) => {
            let element = |field: Arc<Field>| match field.data_type() {
                DataType::List(item) if field.name() == name => {
                    let element = Field::new(name, item.data_type().clone(), item.is_nullable());
                    Ok(Arc::new(element.with_metadata(field.metadata().clone())))
                }
                _ if field.name() == name => Err(format!("the column {name} has no lists")),
                _ => Ok(field),
            };
            fields().map(element).collect::<Result<Fields, String>>()?
        }
        Action::Flatten { column, fields: names } => {
            let record = before.field_with_name(column).map_err(|error| error.to_string())?;
            let DataType::Struct(parts) = record.data_type() else {
                return Err(format!("the column {column} has no records"));
            };
            let part = |name: &String| match parts.find(name) {
                Some((_, part)) => {
                    Ok(Arc::new(part.as_ref().clone().with_name(Action::flattened(column, name))))
                }
                None => Err(format!("the records of the column {column} have no field {name}")),
            };
            let parts = names.iter().map(part).collect::<Result<Vec<_>, String>>()?;
            fields().filter(|field| field.name() != column).chain(parts).collect()
        }
        Action::Rename { from, .. } if !has(from) => return unknown(from),
        Action::Rename { from, to } => fields()
            .filter(|field| field.name() != to)
            .map(|field| match field.name() == from {
                true => Arc::new(field.as_ref().clone().with_name(to)),
                false => field,
            })
            .collect(),
        Action::Select(names) => match names.iter().find(|name| !has(name)) {
            Some(name) => return unknown(name),
            None => return columns_of_both(before, after),
        },
        Action::Parse { fields: parsed, .. } => {
            let has = |field: &ParsedField| after.field_with_name(&field.name).is_ok();
            return match parsed.iter().find(|field| has(field) == field.unread) {
                Some(ParsedField { name, unread: false, .. }) => {
                    Err(format!("the events after it have no column {name}"))
                }
                Some(ParsedField { name, unread: true, .. }) => {
                    Err(format!("the events after it have a column {name}, which it does not read"))
                }
                None => Ok(()),
            };
        }
        _ => before.fields().clone(),
    };
    let wanted = Schema::new(wanted);
    if wanted.fields().len() != after.fields().len() {
        let (found, wanted) = (after.fields().len(), wanted.fields().len());
        return Err(format!("the events after it have {found} columns, but it produces {wanted}"));
    }
    columns_of_both(&wanted, after)
}

/// Checks that the step produces each column of the events after it, with the same type.
fn columns_of_both(made: &Schema, after: &Schema) -> Result<(), String> {
    let made = fields_by_name(made);
    for field in after.fields() {
        let name = field.name();
        match made.get(name.as_str()) {
            Some(made) if is_same(made.data_type(), field.data_type()) => {}
            Some(made) => {
                let (made, found) = (crate::type_name(made.data_type()), crate::type_name(field.data_type()));
                return Err(format!(
                    "the events after it have a column {name} of {found}, but it produces {made}"
                ));
            }
            None => {
                return Err(format!("the events after it have a column {name}, which it does not produce"));
            }
        }
    }
    Ok(())
}
