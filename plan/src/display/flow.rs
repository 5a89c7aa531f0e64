//! Renders flows as text: their paths, and the type of the events at every edge.
//!
//! At origins and destinations, the complete type is shown. After a step, only its changes are
//! shown: `+` for new columns, `-` for removed columns, `~` for columns of another type.

use super::action::{Detail, step_lines, wrapped};
use super::expression::Shown;
use super::{LINE_MAX, column_text, column_type};
use crate::event::fields_by_name;
use crate::{Component, EventTypeId, Expression, Flow, Leg, Order, Origin, Path, Plan, Route, Step};

/// The indentation of a type relative to its step.
const TYPE_INDENT: usize = 4;

/// Renders a flow with its paths, their steps, and the type of the events at each edge.
pub(super) fn flow_text(plan: &Plan, flow: &Flow, detail: Detail) -> String {
    let order = if flow.order == Order::None { String::new() } else { format!(", {}", flow.order) };
    let text = format!("flow {} delivers {}{order}\n", flow.name, flow.delivers);
    let mut printer = Printer { plan, detail, types: true, text };
    for (at, Path { from, leg }) in flow.paths.iter().enumerate() {
        if at > 0 {
            printer.text.push('\n');
        }
        let known = printer.leaving(from, leg);
        printer.line(2, from.name());
        let edge = Edge { known, in_full: known.is_some() };
        printer.in_full(known, 2 + TYPE_INDENT);
        printer.stages(4, leg, edge);
    }
    printer.text
}

/// Renders the steps, forks and destinations of a path, without its origin and without types.
pub(super) fn stages_text(plan: &Plan, leg: &Leg) -> String {
    let mut printer = Printer { plan, detail: Detail::Whole, types: false, text: String::new() };
    printer.stages(0, leg, Edge { known: None, in_full: false });
    printer.text
}

/// The type of the events at an edge, and whether it was shown completely.
#[derive(Clone, Copy)]
struct Edge {
    known: Option<EventTypeId>,
    in_full: bool,
}

struct Printer<'p> {
    plan: &'p Plan,
    detail: Detail,
    /// Whether the types of events are shown.
    types: bool,
    text: String,
}

impl Printer<'_> {
    fn line(&mut self, indent: usize, text: &str) {
        self.text.push_str(&format!("{:indent$}{text}\n", ""));
    }

    /// Returns the type of the events that leave an origin. The plan has the type of rejected events only at the
    /// destination.
    fn leaving(&self, from: &Origin, leg: &Leg) -> Option<EventTypeId> {
        let named = |components: &[Component], name: &str| {
            components.iter().find(|component| component.name == name).map(|component| component.event_type)
        };
        match (from, &leg.to) {
            (Origin::Source(name), _) => named(&self.plan.sources, name),
            (Origin::Channel(name), _) => named(&self.plan.channels, name),
            (Origin::Rejects(_), _) if !leg.steps.is_empty() => None,
            (Origin::Rejects(_), Route::Channel(name)) => named(&self.plan.channels, name),
            (Origin::Rejects(_), Route::Sink(name)) => named(&self.plan.sinks, name),
            (Origin::Rejects(_), _) => None,
        }
    }

    /// Renders all steps and the destination, each on a line that begins with an arrow.
    fn stages(&mut self, indent: usize, leg: &Leg, mut edge: Edge) {
        for step in &leg.steps {
            edge = self.step(indent, "-> ", step, edge);
        }
        self.route(indent, "-> ", &leg.to, edge);
    }

    fn step(&mut self, indent: usize, head: &str, step: &Step, before: Edge) -> Edge {
        let width = indent + head.chars().count();
        let lines = step_lines(step, &self.plan.functions, self.detail, width);
        for (at, line) in lines.iter().enumerate() {
            if at == 0 { self.line(indent, &format!("{head}{line}")) } else { self.line(width, line) }
        }
        if before.known == Some(step.event_type) {
            return before;
        }
        self.change(before.known, step.event_type, indent + TYPE_INDENT);
        Edge { known: Some(step.event_type), in_full: before.known.is_none() }
    }

    fn route(&mut self, indent: usize, head: &str, route: &Route, edge: Edge) {
        match route {
            Route::Channel(name) | Route::Sink(name) => {
                self.line(indent, &format!("{head}{name}"));
                if !edge.in_full {
                    self.in_full(edge.known, indent + TYPE_INDENT);
                }
            }
            // The last step says where the events go.
            Route::End => {}
            Route::Copy(branches) => {
                self.line(indent, &format!("{head}copy {{"));
                for branch in branches {
                    let optional = if branch.optional { "optional " } else { "" };
                    self.leg(indent + 2, optional, &branch.leg, edge);
                }
                self.line(indent, "}");
            }
            Route::Match(cases) => {
                self.line(indent, &format!("{head}match {{"));
                for case in cases {
                    self.case(indent + 2, case.condition.as_ref(), &case.leg, edge);
                }
                self.line(indent, "}");
            }
            Route::Balance { by, legs } => {
                let shown = |by| Shown { expression: by, functions: &self.plan.functions };
                let by = by.as_ref().map_or(String::new(), |by| format!("by {} ", shown(by)));
                self.line(indent, &format!("{head}balance {by}{{"));
                self.legs(indent, legs, edge);
            }
            Route::Failover(legs) => {
                self.line(indent, &format!("{head}failover {{"));
                self.legs(indent, legs, edge);
            }
        }
    }

    fn legs(&mut self, indent: usize, legs: &[Leg], edge: Edge) {
        for leg in legs {
            self.leg(indent + 2, "", leg, edge);
        }
        self.line(indent, "}");
    }

    /// Renders a leg, which begins with its first step or its destination.
    fn leg(&mut self, indent: usize, head: &str, leg: &Leg, mut edge: Edge) {
        let Some((first, rest)) = leg.steps.split_first() else {
            return self.route(indent, head, &leg.to, edge);
        };
        edge = self.step(indent, head, first, edge);
        for step in rest {
            edge = self.step(indent + 2, "-> ", step, edge);
        }
        self.route(indent + 2, "-> ", &leg.to, edge);
    }

    fn case(&mut self, indent: usize, condition: Option<&Expression>, leg: &Leg, edge: Edge) {
        let shown = |expression| Shown { expression, functions: &self.plan.functions };
        let mut lines = condition.map_or_else(|| vec!["_".to_owned()], |asked| shown(asked).lines(indent));
        if leg.steps.is_empty()
            && let Some(last) = lines.pop()
        {
            lines.iter().for_each(|line| self.line(indent, line));
            return self.route(indent, &format!("{last} -> "), &leg.to, edge);
        }
        lines.iter().for_each(|line| self.line(indent, line));
        self.stages(indent + 2, leg, edge);
    }

    /// Renders all columns of a type.
    fn in_full(&mut self, known: Option<EventTypeId>, indent: usize) {
        let Some(event_type) = known.filter(|_| self.types).map(|id| self.plan.event_type(id)) else {
            return;
        };
        let columns: Vec<String> =
            event_type.schema.fields().iter().map(|field| column_text(field)).collect();
        self.columns(indent, "{ ", &columns, " }");
    }

    /// Renders the differences between two types.
    fn change(&mut self, before: Option<EventTypeId>, after: EventTypeId, indent: usize) {
        let Some(before) = before else { return self.in_full(Some(after), indent) };
        let (before, after) = (&self.plan.event_type(before).schema, &self.plan.event_type(after).schema);
        let (old_fields, new_fields) = (fields_by_name(before), fields_by_name(after));
        let new = after.fields().iter().filter(|field| !old_fields.contains_key(field.name().as_str()));
        let new: Vec<String> = new.map(|field| column_text(field)).collect();
        let gone = before.fields().iter().filter(|field| !new_fields.contains_key(field.name().as_str()));
        let gone: Vec<String> = gone.map(|field| field.name().clone()).collect();
        let other = after.fields().iter().filter_map(|field| {
            let was = column_type(old_fields.get(field.name().as_str())?);
            (was != column_type(field)).then(|| format!("{}, was {was}", column_text(field)))
        });
        let other: Vec<String> = other.collect();
        self.columns(indent, "+ ", &new, "");
        for column in other {
            self.columns(indent, "~ ", &[column], "");
        }
        self.columns(indent, "- ", &gone, "");
    }

    fn columns(&mut self, indent: usize, head: &str, columns: &[String], tail: &str) {
        if columns.is_empty() && tail.is_empty() {
            return;
        }
        let mut lines = wrapped(columns, LINE_MAX.saturating_sub(indent + head.len() + tail.len()));
        if let Some(last) = lines.last_mut() {
            last.push_str(tail);
        }
        for (at, line) in lines.iter().enumerate() {
            let head = if at == 0 { head } else { "  " };
            self.line(indent, &format!("{head}{line}"));
        }
    }
}
