//! The order of events on a path: what the source gives, and what channels, forks and sinks leave of it.

use std::collections::{BTreeMap, BTreeSet};

use weir_grammar::tree::OrderClause;
use weir_plan::{Order, TemplatePart, Value};

use super::reasons::reason;
use super::steps::OrderChange;
use crate::analysis::graph::Component;
use crate::analysis::proofs::{Effect, KeptOrder, Reason, Rule};
use crate::analysis::settings::Values;
use crate::signatures::classes::Class;
use crate::values::requirements::applies;

const REORDERS: &[Effect] = &[Effect::Reorders];

/// The order at a place of a path.
#[derive(Debug, Clone)]
pub(super) struct OrderState {
    /// Whether all events of the source are in order.
    total: bool,
    /// Whether the events of each partition of the source are in order.
    partition: bool,
    /// The columns of which events with equal values are in order.
    keys: BTreeSet<String>,
    /// Whether the source gives each event once, whatever fails.
    once: bool,
    /// What has made the order weaker.
    lost: Vec<Reason>,
}

impl OrderState {
    /// Returns the order of the events that a source gives.
    pub(super) fn of_source(source: &Component) -> OrderState {
        let class = source.signature.as_ref().map(|signature| signature.class);
        let mut state = OrderState {
            total: false,
            partition: true,
            keys: BTreeSet::new(),
            once: class == Some(Class::FireAndForget),
            lost: Vec::new(),
        };
        let name = &source.declared.name;
        for clause in clauses(source) {
            match (&*clause.name.text, clause.by) {
                (column, true) => drop(state.keys.insert(column.to_owned())),
                ("totally", false) => state.total = true,
                _ => state.nothing(
                    reason(
                        Rule::Clause,
                        REORDERS,
                        source.declared.span,
                        format!("`{name}` gives no order"),
                        clause.because.text.as_str(),
                    )
                    .said_at(clause.because.span),
                ),
            }
        }
        if !state.total && state.partition {
            let what = format!("`{name}` gives the order of each of its partitions alone");
            let why = "no order holds between events of two partitions";
            let found = reason(Rule::PartitionsOfSource, REORDERS, source.declared.span, what, why);
            state.lost.push(found);
        }
        state
    }

    /// Returns a state that keeps just the promised order, with the present name of the column that it goes by.
    fn promised(promised: &Order, column: &str, once: bool) -> OrderState {
        OrderState {
            total: *promised == Order::Total,
            partition: *promised == Order::Partition,
            keys: matches!(promised, Order::By(_)).then(|| column.to_owned()).into_iter().collect(),
            once,
            lost: Vec::new(),
        }
    }

    /// Applies the effect of a step or a fork.
    pub(super) fn change(&mut self, change: &OrderChange) {
        match change {
            OrderChange::Replaces(columns, reason) => {
                for column in columns.iter().filter(|_| !self.total) {
                    if self.keys.remove(column) {
                        self.lost.push(reason.clone());
                    }
                }
            }
            OrderChange::Renames(from, to) => match self.keys.remove(from) {
                true => drop(self.keys.insert(to.clone())),
                false => drop(self.keys.remove(to)),
            },
            OrderChange::SpreadsBy(columns, reason) => self.spread(columns.as_ref(), reason.clone()),
            OrderChange::Nothing(reason) => self.nothing(reason.clone()),
        }
    }

    /// Applies the clauses of a channel or a sink.
    pub(super) fn pass(&mut self, component: &Component) {
        let name = &component.declared.name;
        for clause in clauses(component) {
            let because = |rule, what: String| {
                reason(rule, REORDERS, component.declared.span, what, clause.because.text.as_str())
                    .said_at(clause.because.span)
            };
            match (&*clause.name.text, clause.by) {
                ("once", false) if self.once => continue,
                ("once", false) => {
                    let what = format!("`{name}` keeps no order of events that come again");
                    self.nothing(because(Rule::Clause, what));
                    continue;
                }
                (_, false) => {
                    self.nothing(because(Rule::Clause, format!("`{name}` keeps no order")));
                    continue;
                }
                (_, true) => {}
            }
            let Some(Value::Template(key)) = component.settings.value(&clause.name.text) else { continue };
            let holes = key.parts.iter().filter_map(|part| match part {
                TemplatePart::Hole(hole) => Some(hole.column.to_string()),
                TemplatePart::Text(_) => None,
            });
            let columns: BTreeSet<String> = holes.collect();
            // A key that is the same for all events keeps them together.
            if !columns.is_empty() {
                let what = format!("`{name}.{}` spreads events by {key}", clause.name.text);
                self.spread(Some(&columns), because(Rule::OtherKey, what));
            }
        }
    }

    /// Events with equal values in these columns stay together, others may not.
    fn spread(&mut self, columns: Option<&BTreeSet<String>>, reason: Reason) {
        let kept: BTreeSet<String> = match columns {
            // A key that is the same for all events keeps them together.
            Some(columns) if columns.is_empty() => return,
            Some(columns) if columns.len() == 1 => {
                columns.iter().filter(|column| self.total || self.keys.contains(*column)).cloned().collect()
            }
            _ => BTreeSet::new(),
        };
        if self.total || self.partition || self.keys != kept {
            self.lost.push(reason);
        }
        (self.total, self.partition, self.keys) = (false, false, kept);
    }

    /// No order is left.
    pub(super) fn nothing(&mut self, reason: Reason) {
        if self.total || self.partition || !self.keys.is_empty() {
            self.lost.push(reason);
        }
        (self.total, self.partition) = (false, false);
        self.keys.clear();
    }

    /// Events of other sources come between those of this source.
    pub(super) fn merge(&mut self, reason: Reason) {
        if self.total || !self.keys.is_empty() {
            self.lost.push(reason);
        }
        self.partition |= self.total;
        self.total = false;
        self.keys.clear();
    }

    /// Returns the order that is left, and why it is not stronger.
    pub(super) fn end(self) -> (KeptOrder, Vec<Reason>) {
        let keys: Vec<String> = self.keys.into_iter().collect();
        let kept = match (self.total, self.partition, keys.is_empty()) {
            (true, ..) => KeptOrder::Total,
            (_, true, _) => KeptOrder::Partition(keys),
            (_, _, false) => KeptOrder::By(keys),
            (_, _, true) => KeptOrder::None,
        };
        (kept, self.lost)
    }
}

/// Finds everything on a path that breaks a promise about order, also behind the first place that breaks it.
pub(super) struct Breaks<'o> {
    promised: &'o Order,
    /// The present name of the column that the promise goes by.
    column: String,
    state: OrderState,
    found: Vec<Reason>,
}

impl<'o> Breaks<'o> {
    pub(super) fn begin(promised: &'o Order, source: &Component) -> Breaks<'o> {
        let column = match promised {
            Order::By(column) => column.clone(),
            _ => String::new(),
        };
        let mut breaks = Breaks { promised, column, state: OrderState::of_source(source), found: Vec::new() };
        breaks.note();
        breaks
    }

    /// Notes the reason if the promise does not hold any more, and goes on as if it did.
    fn note(&mut self) {
        let holds = match self.promised {
            Order::None => true,
            Order::Total => self.state.total,
            Order::Partition => self.state.total || self.state.partition,
            Order::By(_) => self.state.total || self.state.keys.contains(&self.column),
        };
        if !holds {
            self.found.extend(self.state.lost.pop());
            self.state = OrderState::promised(self.promised, &self.column, self.state.once);
        }
    }

    pub(super) fn change(&mut self, change: &OrderChange) {
        if let OrderChange::Renames(from, to) = change
            && *from == self.column
        {
            self.column.clone_from(to);
        }
        self.state.change(change);
        self.note();
    }

    pub(super) fn pass(&mut self, component: &Component) {
        self.state.pass(component);
        self.note();
    }

    pub(super) fn end(mut self, meet: impl FnOnce(&mut OrderState)) -> Vec<Reason> {
        meet(&mut self.state);
        self.note();
        self.found
    }
}

/// Returns the clauses about order that apply to a component.
fn clauses(component: &Component) -> Vec<&OrderClause> {
    let (Some(signature), Some(side)) = (&component.signature, component.side()) else { return Vec::new() };
    signature.orders.iter().filter(|clause| applies(clause.condition.as_ref(), side.values)).collect()
}

/// Counts how many paths lead from each source to each sink, and how many sources each sink has.
#[derive(Debug, Default)]
pub(super) struct Meetings {
    paths: BTreeMap<(usize, usize), usize>,
    sources: BTreeMap<usize, BTreeSet<usize>>,
}

impl Meetings {
    pub(super) fn add(&mut self, source: usize, sink: usize) {
        *self.paths.entry((source, sink)).or_default() += 1;
        self.sources.entry(sink).or_default().insert(source);
    }

    /// Returns whether several paths lead from the source to the sink.
    pub(super) fn has_several_paths(&self, source: usize, sink: usize) -> bool {
        self.paths.get(&(source, sink)).is_some_and(|paths| *paths > 1)
    }

    /// Returns another source of the sink.
    pub(super) fn other_source(&self, source: usize, sink: usize) -> Option<usize> {
        self.sources.get(&sink)?.iter().copied().find(|other| *other != source)
    }
}
