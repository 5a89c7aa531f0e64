//! Determines the columns of the events edge by edge, and builds the resolved graph from the parsed flows.

mod arrivals;
mod neighbours;
pub(crate) mod places;
mod sinks;
mod ways;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Flow, Path, Role, Step, StepKind};
use weir_plan::{ATTACHED_HEADERS, support};

use crate::analysis::expressions::UseId;
use crate::analysis::graph::{Component, Declared, Edge, Graph, Leg};
use crate::checker::Checker;
use crate::diagnostics::{NoRejectRoute, RejectsAgain, Unused};
use crate::expressions::Bindings;
use crate::flows::graph::destinations;
use crate::flows::{Destination as Written, Edge as WrittenEdge, Leg as WrittenLeg, REJECTS};
use crate::names::scopes::ComponentIndex;
use crate::signatures::{Named, Signature};
use crate::steps::{State, StepCheck};
use crate::types::columns::{Column, Columns, Origin};
use crate::types::ranges::IntRange;

pub(crate) use sinks::needs;

/// The record of the library that declares the columns of a rejected event.
const REJECT_RECORD: &str = "Reject";

/// Events that arrive at a component.
struct Coming {
    columns: Arc<Columns>,
    span: Span,
}

/// Determines the columns of the events at all places.
pub(crate) struct Typing<'a, 'c> {
    checker: &'a mut Checker<'c>,
    /// The components, followed by the channels that the compiler adds.
    components: Vec<Component>,
    arrivals: Vec<Vec<Coming>>,
    /// The components at which events with unknown columns arrive.
    poisoned: HashSet<ComponentIndex>,
    names: HashSet<String>,
    /// The spans of the steps that may reject events, by flow.
    rejecting: HashMap<usize, Vec<Span>>,
    /// The flows with a route for rejected events.
    with_rejects: HashSet<usize>,
    step_count: usize,
    /// Whether all edges are without errors.
    whole: bool,
}

/// The context of a leg.
#[derive(Clone, Copy)]
struct Position {
    /// The component that the edge begins at.
    from: ComponentIndex,
    flow: usize,
    /// Whether the compiler added a channel before the leg.
    held: bool,
}

impl<'a, 'c> Typing<'a, 'c> {
    pub(crate) fn new(
        checker: &'a mut Checker<'c>,
        components: Vec<Component>,
        poisoned: HashSet<ComponentIndex>,
    ) -> Typing<'a, 'c> {
        let with_rejects = components.iter().filter_map(|component| component.declared.rejects_of).collect();
        Typing {
            checker,
            with_rejects,
            arrivals: components.iter().map(|_| Vec::new()).collect(),
            poisoned,
            names: components.iter().map(|component| component.declared.name.to_string()).collect(),
            components,
            rejecting: HashMap::new(),
            step_count: 0,
            whole: true,
        }
    }

    /// Types all edges: the edges of sources first, so that the columns that arrive at channels are known. The returned
    /// graph has no flows yet.
    pub(crate) fn graph(mut self, edges: &[WrittenEdge<'_>], flows: &[&Flow]) -> Graph {
        let mut resolved: Vec<Option<Edge>> = edges.iter().map(|_| None).collect();
        let mut emitted: HashMap<ComponentIndex, Option<Arc<Columns>>> = HashMap::new();
        for role in [Role::Source, Role::Channel] {
            for (edge, resolved) in edges.iter().zip(&mut resolved) {
                let WrittenEdge { flow, from, from_span, leg } = edge;
                if self.components[*from].declared.role != role {
                    continue;
                }
                let columns = match emitted.get(from) {
                    Some(columns) => columns.clone(),
                    None => self.leaving(*from),
                };
                emitted.insert(*from, columns.clone());
                self.components[*from].events.clone_from(&columns);
                self.checker.notes.events.at(*from_span, UseId::NONE).after = columns.clone();
                let state = columns.map(|columns| State { columns, bindings: Bindings::default() });
                let position = Position { from: *from, flow: *flow, held: false };
                let leg = self.leg(leg, state, position);
                self.whole &= leg.whole;
                *resolved = Some(Edge { flow: *flow, from: *from, from_span: *from_span, leg });
            }
        }
        self.reject_routes(edges, flows);
        for index in 0..self.components.len() {
            match self.components[index].declared.role {
                Role::Sink if !self.arrivals[index].is_empty() => {
                    self.components[index].events = self.sink(index);
                }
                Role::Sink => {}
                _ => self.holes_without_events(index),
            }
        }
        let edges: Vec<Edge> = resolved.into_iter().flatten().collect();
        self.derive_from_neighbours(&edges);
        Graph { components: self.components, flows: Vec::new(), edges }
    }

    /// Returns the columns of the events that leave a source or a channel.
    fn leaving(&mut self, index: ComponentIndex) -> Option<Arc<Columns>> {
        let Component { declared, signature, .. } = &self.components[index];
        match (declared.rejects_of, declared.role) {
            (Some(_), _) => Some(Arc::new(self.rejected(declared))),
            (None, Role::Source) => signature.as_ref().map(|signature| Arc::new(emits(signature, declared))),
            _ => self.merged(index),
        }
    }

    /// Returns the columns of rejected events.
    fn rejected(&self, declared: &Declared) -> Columns {
        let origin = Origin { name: declared.name.clone(), span: declared.span };
        let settings = match self.checker.library.types.get(REJECT_RECORD) {
            Some(Named::Record(group)) => group.settings.as_slice(),
            _ => &[],
        };
        let columns = settings.iter().map(|setting| {
            let column = Column {
                value_type: setting.value_type.clone(),
                optional: setting.optional,
                sensitive: false,
                origin: origin.clone(),
                declared: setting.name.span,
                named: Arc::new([setting.name.span]),
                lacking: None,
                attached: false,
                range: IntRange::ALL,
            };
            (setting.name.text.as_ref().into(), column)
        });
        Columns::of(columns.collect(), vec![origin.clone()])
    }

    /// Reports flows that reject events without a route for them, and routes of flows that reject no events.
    fn reject_routes(&mut self, edges: &[WrittenEdge<'_>], flows: &[&Flow]) {
        let mut routes = HashMap::new();
        let mut with_rejecting_sinks = HashSet::new();
        for edge in edges {
            let from_rejects = self.components[edge.from].declared.rejects_of.is_some();
            let mut kinds = destinations(&edge.leg).into_iter().filter_map(|(to, _)| {
                let component = &self.components[to];
                component.kind().filter(|_| component.declared.role == Role::Sink)
            });
            if !from_rejects && kinds.any(|kind| support::REJECTING_SINKS.contains(&kind)) {
                with_rejecting_sinks.insert(edge.flow);
            }
            if let Some(flow) = self.components[edge.from].declared.rejects_of {
                routes.entry(flow).or_insert(edge);
            }
        }
        for (index, flow) in flows.iter().enumerate() {
            let mut places = self.rejecting.remove(&index).unwrap_or_default();
            places.sort_unstable();
            places.dedup();
            match (routes.get(&index), places.split_first()) {
                (None, Some((span, others))) if !flow.broken => {
                    let (flow, flow_span, others) =
                        (flow.name.text.to_string(), flow.name.span, others.to_vec());
                    self.checker.report(NoRejectRoute { flow, span: *span, others, flow_span });
                }
                (Some(_), None) if with_rejecting_sinks.contains(&index) => {}
                (Some(route), None) if self.whole && !flow.broken => {
                    let (what, name) = ("route", REJECTS.to_owned());
                    self.checker.report(Unused { what, name, span: route.from_span });
                }
                _ => {}
            }
        }
    }

    /// Checks steps and their destination.
    fn leg(&mut self, written: &WrittenLeg<'_>, mut state: Option<State>, position: Position) -> Leg {
        let mut steps = Vec::new();
        let mut whole = state.is_some();
        let mut rejecting = Vec::new();
        // A quality of a sink is a step `check` at the end of each arrow into the sink.
        let qualities = match &written.to {
            Written::Component(to, _) => self.components[*to].qualities.clone(),
            _ => Vec::new(),
        };
        if let Some(state) = &mut state {
            let mut check = StepCheck {
                checker: self.checker,
                rejecting: &mut rejecting,
                count: &mut self.step_count,
                used_at: None,
                can_reject: self.with_rejects.contains(&position.flow)
                    && self.components[position.from].declared.rejects_of.is_none(),
            };
            for step in &written.steps {
                whole &= check.step(step, state, &mut steps).is_some();
            }
            for quality in &qualities {
                let (span, kind) = (quality.span(), StepKind::Check(quality.clone()));
                whole &= check.step(&Step { span, kind, handler: None }, state, &mut steps).is_some();
            }
            if let Written::End(end) = &written.to {
                check.end_of_chain(end.rejects, end.because, end.span, state, &mut steps);
            }
        } else {
            // The columns of the events at these steps are unknown.
            let events = &mut self.checker.notes.events;
            written.steps.iter().for_each(|step| events.at(step.span, UseId::NONE).before = None);
        }
        self.note_rejecting(rejecting, &qualities, position);
        let (to, known) = self.destination(&written.to, state, position);
        Leg { steps, to, whole: whole && known }
    }

    fn note_rejecting(&mut self, places: Vec<Span>, qualities: &[Path], position: Position) {
        let declared = &self.components[position.from].declared;
        if declared.rejects_of.is_some() {
            for span in places {
                let of_sink = qualities.iter().any(|quality| quality.span() == span);
                self.checker.report(RejectsAgain { span, route: declared.span, of_sink });
            }
        } else {
            self.rejecting.entry(position.flow).or_default().extend(places);
        }
    }
}

fn emits(signature: &Signature, declared: &Declared) -> Columns {
    let origin = Origin { name: declared.name.clone(), span: declared.span };
    let columns = signature.emits.iter().map(|column| {
        let read = Column {
            value_type: column.value_type.clone(),
            optional: column.optional,
            sensitive: false,
            origin: origin.clone(),
            declared: column.span,
            named: Arc::new([column.span]),
            lacking: None,
            attached: &*column.name == ATTACHED_HEADERS,
            range: IntRange::ALL,
        };
        (column.name.clone(), read)
    });
    Columns::of(columns.collect(), vec![origin.clone()])
}
