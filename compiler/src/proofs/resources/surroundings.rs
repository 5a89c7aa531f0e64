//! What a clause `uses memory` may name beside the settings of its component: the events that come to the component.

use std::collections::BTreeMap;

use weir_plan::{Action, BATCH_BYTES, Value};

use crate::analysis::graph::{Edge, Graph, Leg};
use crate::analysis::settings::Values;
use crate::names::scopes::ComponentIndex;
use crate::proofs::amounts::most_put;

/// The number of columns of the events at a component, from its name in `uses` clauses.
const COLUMNS: &str = "columns";
/// The number of components that take events from a channel.
const READERS: &str = "readers";
/// The sources whose events come to a component.
const SOURCE: &str = "source";
/// The most bytes that these sources put at once.
const PUTS: &str = "puts";
/// The most bytes of one event; unknown if steps may enlarge events.
const EVENT: &str = "event";

/// The events that come to a component.
#[derive(Debug, Clone, Copy, Default)]
struct Events {
    /// The most bytes that a source puts at once.
    puts: u64,
    /// Whether a step may have made events larger.
    changed: bool,
    columns: usize,
    readers: usize,
}

/// The surroundings of all components of a graph.
pub(super) struct Surroundings(Vec<Events>);

impl Surroundings {
    /// Follows the edges of the graph from the sources on.
    pub(super) fn of(graph: &Graph) -> Surroundings {
        let puts = graph.components.iter().map(|component| {
            let puts = component.side().and_then(|side| most_put(&side));
            let columns = component.events.as_ref().map_or(0, |columns| columns.columns.len());
            Events { puts: puts.unwrap_or(BATCH_BYTES), columns, ..Events::default() }
        });
        let mut found = Surroundings(puts.collect());
        // A path has at most as many channels as there are components.
        for _ in 0..graph.components.len() {
            let before: Vec<(u64, bool)> =
                found.0.iter().map(|events| (events.puts, events.changed)).collect();
            graph.edges.iter().for_each(|edge| found.follow(edge));
            if found.0.iter().map(|events| (events.puts, events.changed)).eq(before) {
                break;
            }
        }
        for edge in &graph.edges {
            let columns = most_columns(&edge.leg);
            let from = &mut found.0[edge.from];
            from.columns = from.columns.max(columns);
            from.readers += edge.leg.arrivals().len();
        }
        found
    }

    fn follow(&mut self, edge: &Edge) {
        let from = self.0[edge.from];
        self.follow_leg(&edge.leg, from);
    }

    fn follow_leg(&mut self, leg: &Leg, from: Events) {
        let changes = leg.steps.iter().any(|step| may_enlarge(&step.action));
        let here = Events { changed: from.changed || changes, ..from };
        for behind in leg.to.legs() {
            self.follow_leg(behind, here);
        }
        for to in leg.ends() {
            let events = &mut self.0[to];
            events.puts = events.puts.max(here.puts);
            events.changed |= here.changed;
        }
    }

    /// Returns the values that the clauses of a component may name.
    pub(super) fn around<'v>(&self, component: ComponentIndex, values: &'v dyn Values) -> Around<'v> {
        let Events { puts, changed, columns, readers } = self.0[component];
        let mut source = BTreeMap::from([(PUTS.to_owned(), Value::Size(puts))]);
        if !changed {
            source.insert(EVENT.to_owned(), Value::Size(puts));
        }
        let count = |number: usize| Value::Int(i64::try_from(number.max(1)).unwrap_or(i64::MAX));
        Around { values, source: Value::Record(source), columns: count(columns), readers: count(readers) }
    }

    /// Returns the most bytes that sources put at once into a component.
    pub(super) fn puts(&self, component: ComponentIndex) -> u64 {
        self.0[component].puts
    }
}

/// Returns the most columns that events have in a leg.
fn most_columns(leg: &Leg) -> usize {
    let steps = leg.steps.iter().map(|step| step.after.columns.len());
    steps.chain(leg.to.legs().into_iter().map(most_columns)).max().unwrap_or(0)
}

/// Returns whether a step may make an event larger. Steps that leave out events or columns don't.
fn may_enlarge(action: &Action) -> bool {
    !matches!(
        action,
        Action::Keep(_)
            | Action::Drop(_)
            | Action::Unset(_)
            | Action::Rename { .. }
            | Action::Select(_)
            | Action::Reject { .. }
            | Action::Check { .. }
            | Action::Throttle(_)
            | Action::Sample(_)
            | Action::Dedupe { .. }
    )
}

/// The settings of a component with what is known of its events.
pub(super) struct Around<'v> {
    values: &'v dyn Values,
    source: Value,
    columns: Value,
    readers: Value,
}

impl Values for Around<'_> {
    fn value(&self, name: &str) -> Option<&Value> {
        match name {
            SOURCE => Some(&self.source),
            COLUMNS => Some(&self.columns),
            READERS => Some(&self.readers),
            name => self.values.value(name),
        }
    }
}
