//! Derives what a component takes, from the `uses` clauses of its signature and the steps behind it.

use weir_grammar::tree::{Amount, AmountKind, Expression};
use weir_plan::{Action, BATCH_BYTES, DEDUPE_VALUE_BYTES, DEDUPE_VALUES_MAX, Value};

use super::surroundings::Surroundings;
use crate::analysis::graph::{Graph, Leg, Step};
use crate::analysis::resources::{Amounts, Part};
use crate::analysis::settings::Values;
use crate::names::scopes::ComponentIndex;
use crate::proofs::amounts::Changed;
use crate::values::requirements::{Side, applies, collect_names, operand_value};

/// A graph, with what is known of the events at each component.
pub(super) struct Deriving<'g> {
    pub(super) graph: &'g Graph,
    pub(super) surroundings: Surroundings,
}

impl Deriving<'_> {
    /// Returns the amounts of a component with these values of its settings.
    pub(super) fn component(&self, index: ComponentIndex, side: &Side<'_>, values: &dyn Values) -> Amounts {
        let around = self.surroundings.around(index, values);
        let mut amounts = amounts(&side.group.amounts, &around, Some(side));
        amounts.memory.extend(steps(self.graph, index, &self.surroundings));
        amounts
    }
}

/// Returns the amounts of the clauses that apply.
pub(super) fn amounts(clauses: &[Amount], values: &dyn Values, side: Option<&Side<'_>>) -> Amounts {
    let parts = |kind: AmountKind| {
        let counts = |clause: &&Amount| clause.kind == kind && applies(clause.condition.as_ref(), values);
        let parts = clauses.iter().filter(counts).filter_map(|clause| {
            let Value::Size(bytes) = *operand_value(&clause.most, values)? else { return None };
            let (because, said_at) = (clause.because.text.clone(), clause.because.span);
            let setting = side.and_then(|side| decisive(&clause.most, values, side));
            Some(Part { bytes, because, said_at, setting })
        });
        parts.collect()
    };
    Amounts { memory: parts(AmountKind::Memory), disk: parts(AmountKind::Disk) }
}

/// Returns the setting of an amount that reduces it most if it is halved, as `buffer.byte_capacity`.
fn decisive(most: &Expression, values: &dyn Values, side: &Side<'_>) -> Option<String> {
    let mut names = Vec::new();
    collect_names(most, &mut names);
    let halved = |name: &String| {
        let value = match values.value(name)? {
            Value::Size(size) => Value::Size(size / 2),
            Value::Int(number) => Value::Int(number / 2),
            _ => return None,
        };
        let changed = Changed { values, name, value: &value };
        match *operand_value(most, &changed)? {
            Value::Size(bytes) => Some(bytes),
            _ => None,
        }
    };
    let own = names.iter().filter(|name| side.setting(name).is_some());
    let (_, name) = own.filter_map(|name| Some((halved(name)?, name))).min()?;
    Some(format!("{}.{name}", side.name))
}

/// Returns what the steps take behind a source or a channel: the batch that they make of one, and what they remember.
fn steps(graph: &Graph, from: ComponentIndex, surroundings: &Surroundings) -> Vec<Part> {
    let mut parts = Vec::new();
    for edge in graph.edges.iter().filter(|edge| edge.from == from) {
        let mut found = Vec::new();
        of_leg(&edge.leg, &mut found);
        if let Some(first) = found.first() {
            let bytes = surroundings.puts(from).saturating_add(BATCH_BYTES).saturating_mul(2);
            let because = "steps make a batch of another one".to_owned();
            parts.push(Part { bytes, because, said_at: first.span, setting: None });
        }
        let remembering = found.iter().filter(|step| matches!(step.action, Action::Dedupe { .. }));
        parts.extend(remembering.map(|step| Part {
            bytes: (DEDUPE_VALUES_MAX * DEDUPE_VALUE_BYTES) as u64,
            because: "`dedupe` remembers values".to_owned(),
            said_at: step.span,
            setting: None,
        }));
    }
    parts
}

/// Collects the steps of a leg and of those behind its forks.
fn of_leg<'g>(leg: &'g Leg, found: &mut Vec<&'g Step>) {
    found.extend(&leg.steps);
    leg.to.legs().into_iter().for_each(|leg| of_leg(leg, found));
}
