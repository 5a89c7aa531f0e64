//! What steps and sinks make of the order of events that come again.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_grammar::Span;
use weir_plan::varying::{Varying, may_differ_after_restart};
use weir_plan::{Action, TemplatePart, Value};

use super::{Passed, REORDERS, Trail, Walk};
use crate::analysis::graph::Step;
use crate::analysis::proofs::{Reason, Rule};
use crate::names::scopes::ComponentIndex;
use crate::proofs::delivery::reasons::reason;
use crate::proofs::delivery::steps::OrderChange;

/// Returns whether a step takes some events out.
fn is_choice(step: &Step) -> bool {
    let takes_out = matches!(
        step.action,
        Action::Keep(_)
            | Action::Drop(_)
            | Action::Reject { .. }
            | Action::Check { .. }
            | Action::Dedupe { .. }
    );
    takes_out || step.on_failure.is_some()
}

impl Walk<'_, '_> {
    pub(super) fn column_change(&self, step: &Step, place: Span) -> Option<OrderChange> {
        let columns: Arc<[String]> = match &step.action {
            Action::Set { column, .. } | Action::Explode(column) => Arc::new([column.clone()]),
            Action::Parse { fields, .. } => fields.iter().map(|field| field.name.clone()).collect(),
            Action::Rename { from, to } => return Some(OrderChange::Renames(from.clone(), to.clone())),
            _ => return None,
        };
        let what = format!("`{}` gives events other values", self.text(step.span));
        let why = "events with equal values may have had different ones before";
        Some(OrderChange::Replaces(columns, reason(Rule::ColumnChanged, REORDERS, place, what, why)))
    }

    /// Returns the effect on the order behind a channel if events are rejected into a channel that is not durable.
    pub(super) fn returns_late(&self, place: Span, what: String, trail: &Trail) -> Option<OrderChange> {
        let channel = self.volatile_rejects.filter(|_| trail.is_behind)?;
        let name = &self.program.component(channel).declared.name;
        let why = "when the sink fails, its events come again only when the rejected ones have arrived, and newer events go first";
        let what = format!("{what} rejects events into `{name}`, which is not durable");
        Some(OrderChange::Nothing(
            reason(Rule::VolatileRejects, REORDERS, place, what, why)
                .with_remedy("let `rejects` lead into a durable channel"),
        ))
    }

    /// Returns the effect on the order if a step drops or rejects an event at one time, and not when it comes again. A durable
    /// channel takes no event again that was dropped before it.
    pub(super) fn passes_late(&self, step: &Step, place: Span, trail: &Trail) -> Option<OrderChange> {
        if self.knows_positions {
            return None;
        }
        let chooses = |varying: &Varying| varying.clone().chooses(&step.action, step.on_failure);
        let (varies, varies_when_reread) =
            (chooses(&trail.differing.varying), chooses(&trail.differing.reread));
        let rule = match varies || is_choice(step) && may_differ_after_restart(&step.action) {
            true => Rule::StepVaries,
            false if varies_when_reread => Rule::HeaderVaries,
            false => return None,
        };
        let what = format!("`{}` may have another result when an event comes again", self.text(step.span));
        let why = "an event that it took out may pass then, behind newer events";
        Some(OrderChange::Nothing(reason(rule, REORDERS, place, what, why)))
    }

    /// Returns the effect on the order if a sink chooses the place of an event by a column that may have another value when the
    /// event comes again: then it comes into a place that has newer events already.
    pub(super) fn sorts_by_varying(&self, sink: ComponentIndex, trail: &Trail) -> Option<OrderChange> {
        let component = self.program.component(sink);
        let varying: BTreeSet<String> =
            trail.differing.varying.columns().chain(trail.differing.reread.columns()).collect();
        let templates = component.settings.iter().filter_map(|setting| match &setting.value {
            Some(Value::Template(template)) => Some((&setting.name, template)),
            _ => None,
        });
        let mut holes = templates.flat_map(|(setting, template)| {
            let holes = template.parts.iter().filter_map(|part| match part {
                TemplatePart::Hole(hole) => Some(hole.column.split('.').next().unwrap_or_default()),
                TemplatePart::Text(_) => None,
            });
            holes.map(move |column| (setting, column))
        });
        let (setting, column) = holes.find(|(_, column)| varying.contains(*column))?;
        let what = format!("`{}.{setting}` goes by `{column}`", component.declared.name);
        let why = format!(
            "`{column}` may be another one when an event comes again, so that it comes behind newer events"
        );
        let found = reason(Rule::HeaderVaries, REORDERS, component.declared.span, what, why);
        Some(OrderChange::Nothing(
            found.with_remedy("lead the events through a durable channel, which keeps the header"),
        ))
    }

    /// Adds the effect on the order if an `explode` gives several events one position that components store.
    pub(super) fn shares_position(&self, found: &Reason, trail: &mut Trail) {
        if self.stores_positions {
            let why = "an element that was taken for known may pass when its event comes again, behind newer events";
            let Reason { rule, shown, .. } = found;
            let change = reason(*rule, REORDERS, shown.place, shown.what.clone(), why);
            trail.passed.push(Passed::Change(OrderChange::Nothing(change)));
        }
    }
}
