//! Checks the promises of flows against the delivery classes of their components.

use weir_grammar::Span;
use weir_grammar::tree::Role;
use weir_plan::{Action, Delivery};

use crate::analysis::graph::{Edge, Graph, Leg, Promised};
use crate::diagnostics::{Diagnostic, UnkeptPromise};
use crate::expressions::no_such_column;
use crate::flows::components::SetShortfall;
use crate::names::scopes::ComponentIndex;
use crate::proofs::amounts::hands_on;
use crate::signatures::Library;
use crate::signatures::classes::{Class, rules_out};
use crate::values::requirements::is_met_with_sink;

/// Checks the promise of each flow against the components of the flow, and its ordering column against the events.
pub(crate) fn check(graph: &Graph, library: &Library, diagnostics: &mut Vec<Diagnostic>) {
    for (index, flow) in graph.flows.iter().enumerate() {
        let Some(promised) = &flow.promised else { continue };
        let edges = graph.edges.iter().filter(|edge| edge.flow == index);
        let on_way: Vec<ComponentIndex> = edges.flat_map(on_way).collect();
        let hops = on_way.iter().filter_map(|index| {
            let component = &graph.components[*index];
            let signature = component.signature.as_ref()?;
            let mut shortfalls = component.shortfalls(library);
            shortfalls.retain(|shortfall| !is_made_up_for(shortfall, *index, graph, library));
            Some(Hop {
                name: &component.declared.name,
                declared: component.declared.span,
                class: signature.class,
                class_span: signature.class_span,
                shortfalls,
            })
        });
        keep(promised, hops, diagnostics);
        order_known(promised, &on_way, graph, diagnostics);
    }
}

/// Iterates over the components that the events of an edge pass, without optional branches.
fn on_way(edge: &Edge) -> impl Iterator<Item = ComponentIndex> {
    let arrivals = edge.leg.required_arrivals().into_iter();
    std::iter::once(edge.from).chain(arrivals.map(|arrival| arrival.to))
}

/// Whether the only sink behind a source commits the source's positions, which makes up for a shortfall of the source. The events
/// come to the sink through one volatile channel, so that nothing has acknowledged them before, in their order, and past no step that
/// remembers events which another agent may read.
fn is_made_up_for(
    shortfall: &SetShortfall<'_>,
    source: ComponentIndex,
    graph: &Graph,
    library: &Library,
) -> bool {
    let Some(condition) = &shortfall.clause.unless else { return false };
    let Some((first, arrival)) = only_way(graph, source) else { return false };
    let component = |index: ComponentIndex| &graph.components[index];
    let class = |index| component(index).signature.as_ref().map(|signature| signature.class);
    let (ways, sink) = match component(arrival).declared.role {
        // The compiler adds the default channel.
        Role::Sink if hands_on(library) => (vec![first], arrival),
        Role::Channel if class(arrival) == Some(Class::Volatile) => match only_way(graph, arrival) {
            Some((second, sink)) => (vec![first, second], sink),
            None => return false,
        },
        _ => return false,
    };
    let rejects = |flow: usize| graph.components.iter().any(|one| one.declared.rejects_of == Some(flow));
    if ways.iter().any(|edge| rejects(edge.flow) || remembers(&edge.leg)) {
        return false;
    }
    match (component(source).side(), component(sink).side()) {
        (Some(own), Some(of_sink)) if class(sink) == Some(Class::Transactional) => {
            is_met_with_sink(condition, &own, &of_sink)
        }
        _ => false,
    }
}

/// Whether a step of the leg, or of a leg behind it, remembers events.
fn remembers(leg: &Leg) -> bool {
    leg.steps.iter().any(|step| matches!(step.action, Action::Dedupe { .. }))
        || leg.to.legs().into_iter().any(remembers)
}

/// Returns the only edge that leaves a component, and the only component to which it leads.
fn only_way(graph: &Graph, from: ComponentIndex) -> Option<(&Edge, ComponentIndex)> {
    let mut edges = graph.edges.iter().filter(|edge| edge.from == from);
    let (edge, None) = (edges.next()?, edges.next()) else { return None };
    match edge.leg.arrivals()[..] {
        [arrival] => Some((edge, arrival.to)),
        _ => None,
    }
}

/// A component of a flow.
struct Hop<'h> {
    name: &'h str,
    declared: Span,
    class: Class,
    class_span: Span,
    /// The losses and repeats that the settings allow and the delivery class alone does not.
    shortfalls: Vec<SetShortfall<'h>>,
}

impl SetShortfall<'_> {
    fn breaks(&self, delivery: Delivery) -> bool {
        let [no_loss, no_repeat] = rules_out(delivery);
        if self.clause.loses { no_loss } else { no_repeat }
    }
}

impl Hop<'_> {
    /// Returns the reason why the component cannot keep a promise; `None` if it can.
    fn shortfall(&self, promised: &Promised) -> Option<UnkeptPromise> {
        let set = self.shortfalls.iter().find(|shortfall| shortfall.breaks(promised.delivery));
        let (what, why, library_span, loses) = match set {
            Some(SetShortfall { clause, set_to, place, .. }) => {
                let what = set_to.map_or(self.class.name().to_owned(), |name| format!("set to `{name}`"));
                (what, clause.because.text.clone(), *place, clause.loses)
            }
            None => {
                let why = self.class.breaks(promised.delivery)?;
                let loses = self.class.loses().is_some();
                (self.class.name().to_owned(), why.to_owned(), self.class_span, loses)
            }
        };
        Some(UnkeptPromise {
            promise: promised.delivery.to_string(),
            promise_span: promised.span,
            component: self.name.to_owned(),
            what,
            settings: set.map(|set| set.settings.clone()).unwrap_or_default(),
            why,
            loses,
            declared: self.declared,
            library_span,
        })
    }
}

/// Checks a promise against the components of the flow, and reports the first component that cannot keep it.
fn keep<'h>(promised: &Promised, hops: impl IntoIterator<Item = Hop<'h>>, diagnostics: &mut Vec<Diagnostic>) {
    let hops: Vec<Hop<'h>> = hops.into_iter().collect();
    // If no component sends events again and no durable channel stores them, no event arrives twice.
    let never_again = hops.iter().all(|hop| match hop.class {
        Class::Replayable | Class::Acknowledging | Class::Durable | Class::BestEffort => false,
        Class::FireAndForget | Class::Volatile | Class::Transactional | Class::Idempotent | Class::Plain => {
            hop.shortfalls.iter().all(|shortfall| shortfall.clause.loses)
        }
    });
    if promised.delivery == Delivery::AtMostOnce && never_again {
        return;
    }
    diagnostics.extend(hops.iter().find_map(|hop| hop.shortfall(promised)).map(Diagnostic::from));
}

/// Checks that the events of a flow have the column that the flow orders them by.
fn order_known(
    promised: &Promised,
    on_way: &[ComponentIndex],
    graph: &Graph,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some((by, span)) = promised.by.clone() else { return };
    let known: Option<Vec<_>> = on_way.iter().map(|index| graph.components[*index].events.clone()).collect();
    if let Some(known) = known
        && let Some(first) = known.first()
        && !known.iter().any(|columns| !columns.lacks(&by))
    {
        diagnostics.push(no_such_column(by, span, first).into());
    }
}
