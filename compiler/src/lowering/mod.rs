//! Edges to paths: the type of the events at each of them, and the plan that comes of it.

mod arrivals;
mod sinks;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Expression, Role};
use weir_plan::{Branch, Case, Component, EventTypeId, Leg as PlannedLeg, Origin as From, Path, Route};

use crate::checker::Checker;
use crate::diagnostics::{NoRejectRoute, RejectsAgain, Unused};
use crate::expressions::{Bindings, Typer};
use crate::flows::components::CheckedComponent;
use crate::flows::{Declared, Destination, Edge, Leg, REJECTS};
use crate::names::scopes::ComponentIndex;
use crate::signatures::{Named, Signature};
use crate::steps::{EventTypes, State, StepLowering, narrow};
use crate::types::columns::{Column, Columns, Origin};

/// The record of the library that says what a rejected event looks like.
const REJECT_RECORD: &str = "Reject";

/// Events that come into a component.
struct Arrival {
    columns: Arc<Columns>,
    span: Span,
}

/// Types and lowers the edges.
pub(crate) struct Lowering<'a, 'c> {
    checker: &'a mut Checker<'c>,
    components: &'a [CheckedComponent<'c>],
    event_types: EventTypes,
    arrivals: Vec<Vec<Arrival>>,
    /// The components into which events come whose type is not known.
    poisoned: HashSet<ComponentIndex>,
    implicit: Vec<Component>,
    /// The paths that begin at channels that were added while an edge was lowered.
    added: Vec<Path>,
    names: HashSet<String>,
    /// The places of the steps that reject, by flow.
    rejecting: HashMap<usize, Vec<Span>>,
    step_count: usize,
    /// Whether the steps of all edges could be read.
    whole: bool,
}

/// What lowering gives.
pub(crate) struct Lowered {
    /// The event type of each component that has one.
    pub(crate) component_types: Vec<Option<EventTypeId>>,
    /// The columns of the events that come out of each source and into each channel and sink.
    pub(crate) columns: Vec<Option<Arc<Columns>>>,
    pub(crate) event_types: EventTypes,
    /// The channels that paths without one were given.
    pub(crate) implicit: Vec<Component>,
    /// The paths of each edge, in the order of the edges.
    pub(crate) paths: Vec<Vec<Path>>,
}

impl<'a, 'c> Lowering<'a, 'c> {
    pub(crate) fn new(
        checker: &'a mut Checker<'c>,
        components: &'a [CheckedComponent<'c>],
        poisoned: HashSet<ComponentIndex>,
    ) -> Lowering<'a, 'c> {
        Lowering {
            checker,
            components,
            event_types: EventTypes::default(),
            arrivals: components.iter().map(|_| Vec::new()).collect(),
            poisoned,
            implicit: Vec::new(),
            added: Vec::new(),
            names: components.iter().map(|component| component.declared.name.to_string()).collect(),
            rejecting: HashMap::new(),
            step_count: 0,
            whole: true,
        }
    }

    /// Lowers all edges: those of sources first, so that what comes into the channels is known.
    pub(crate) fn lower(mut self, edges: &[Edge<'_>], flows: &[&weir_grammar::tree::Flow]) -> Lowered {
        let mut component_types: Vec<Option<EventTypeId>> = vec![None; self.components.len()];
        let mut known: Vec<Option<Arc<Columns>>> = vec![None; self.components.len()];
        let mut paths: Vec<Vec<Path>> = edges.iter().map(|_| Vec::new()).collect();
        let mut emitted: HashMap<ComponentIndex, Option<Arc<Columns>>> = HashMap::new();
        for role in [Role::Source, Role::Channel] {
            for (edge, paths) in edges.iter().zip(&mut paths) {
                let component = &self.components[edge.from];
                if component.declared.role != role {
                    continue;
                }
                let columns = match emitted.get(&edge.from) {
                    Some(columns) => columns.clone(),
                    None => self.leaving(edge.from),
                };
                emitted.insert(edge.from, columns.clone());
                known[edge.from].clone_from(&columns);
                component_types[edge.from] = columns.as_ref().map(|columns| self.event_types.id(columns));
                let name = component.declared.name.to_string();
                let from = match (component.declared.rejects_of, role) {
                    (Some(flow), _) => From::Rejects(
                        flows.get(flow).map_or(String::new(), |flow| flow.name.text.to_string()),
                    ),
                    (None, Role::Source) => From::Source(name),
                    _ => From::Channel(name),
                };
                let state = columns.map(|columns| State { columns, bindings: Bindings::default() });
                match self.leg(&edge.leg, state, edge.from, edge.flow, false) {
                    Some(leg) => paths.push(Path { from, leg }),
                    None => self.whole = false,
                }
                paths.append(&mut self.added);
            }
        }
        self.reject_routes(edges, flows);
        for (index, component) in self.components.iter().enumerate() {
            match component.declared.role {
                Role::Sink if !self.arrivals[index].is_empty() => {
                    known[index] = self.sink(index, component);
                    component_types[index] =
                        known[index].as_ref().map(|columns| self.event_types.id(columns));
                }
                Role::Sink => {}
                _ => self.holes_without_events(component),
            }
        }
        let Lowering { event_types, implicit, .. } = self;
        Lowered { component_types, columns: known, event_types, implicit, paths }
    }

    /// The columns of the events that leave a source or a channel.
    fn leaving(&mut self, index: ComponentIndex) -> Option<Arc<Columns>> {
        let component = &self.components[index];
        match (component.declared.rejects_of, component.declared.role) {
            (Some(_), _) => Some(Arc::new(self.rejected(&component.declared))),
            (None, Role::Source) => {
                component.signature.map(|signature| Arc::new(emits(signature, &component.declared)))
            }
            _ => self.merged(index),
        }
    }

    /// What rejected events look like.
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
                lacking: None,
            };
            (setting.name.text.as_ref().into(), column)
        });
        Columns::of(columns.collect(), vec![origin.clone()])
    }

    /// Checks that what is rejected has a route, once.
    fn reject_routes(&mut self, edges: &[Edge<'_>], flows: &[&weir_grammar::tree::Flow]) {
        let mut routes = HashMap::new();
        for edge in edges {
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
                (Some(route), None) if self.whole && !flow.broken => {
                    let (what, name) = ("route", REJECTS.to_owned());
                    self.checker.report(Unused { what, name, span: route.from_span });
                }
                _ => {}
            }
        }
    }

    /// Lowers steps and where they lead. `held` is whether a channel of the path's own stands before.
    fn leg(
        &mut self,
        leg: &Leg<'_>,
        mut state: Option<State>,
        from: ComponentIndex,
        flow: usize,
        held: bool,
    ) -> Option<PlannedLeg> {
        let mut steps = Vec::new();
        let mut whole = state.is_some();
        let mut rejecting = Vec::new();
        if let Some(state) = &mut state {
            let mut lowering = StepLowering {
                checker: self.checker,
                event_types: &mut self.event_types,
                rejecting: &mut rejecting,
                count: &mut self.step_count,
                used_at: None,
            };
            for step in &leg.steps {
                whole &= lowering.step(step, state, &mut steps).is_some();
            }
        }
        self.note_rejecting(rejecting, from, flow);
        let to = self.destination(&leg.to, state, from, flow, held);
        to.filter(|_| whole).map(|to| PlannedLeg { steps, to })
    }

    fn note_rejecting(&mut self, places: Vec<Span>, from: ComponentIndex, flow: usize) {
        let declared = &self.components[from].declared;
        if declared.rejects_of.is_some() {
            for span in places {
                self.checker.report(RejectsAgain { span, route: declared.span });
            }
        } else {
            self.rejecting.entry(flow).or_default().extend(places);
        }
    }

    fn destination(
        &mut self,
        to: &Destination<'_>,
        state: Option<State>,
        from: ComponentIndex,
        flow: usize,
        held: bool,
    ) -> Option<Route> {
        match to {
            Destination::Broken => None,
            Destination::Component(index, span) => self.arrive(*index, *span, state, from, held),
            Destination::Copy(branches) => {
                let branches: Vec<Option<Branch>> = branches
                    .iter()
                    .map(|(optional, leg)| {
                        let leg = self.leg(leg, state.clone(), from, flow, held)?;
                        Some(Branch { optional: *optional, leg })
                    })
                    .collect();
                branches.into_iter().collect::<Option<Vec<Branch>>>().map(Route::Copy)
            }
            Destination::Match(cases) => self.cases(cases, state, from, flow, held),
            Destination::Balance { by, legs, span } => {
                let by = match (by, &state) {
                    // Events leave the values behind that were computed before a channel.
                    (Some(by), Some(state)) if self.needs_channel(legs, from, held) => {
                        let state = State { bindings: Bindings::default(), columns: state.columns.clone() };
                        Some(self.key(by, &state)?)
                    }
                    (Some(by), Some(state)) => Some(self.key(by, state)?),
                    _ => None,
                };
                self.ways(legs, ("balance", *span), state, from, flow, held, |legs| Route::Balance {
                    by,
                    legs,
                })
            }
            Destination::Failover { legs, span } => {
                self.ways(legs, ("failover", *span), state, from, flow, held, Route::Failover)
            }
        }
    }

    /// What keeps the events of a `balance` together.
    fn key(&mut self, by: &Expression, state: &State) -> Option<weir_plan::Expression> {
        let typed = Typer::new(self.checker, Some(&state.columns), &state.bindings).typed(by, None)?;
        self.checker.sure(typed).map(|typed| typed.planned)
    }

    /// The cases of a choice: in each, what the condition says is known, and that those before it failed.
    fn cases(
        &mut self,
        cases: &[(Option<&Expression>, Leg<'_>)],
        mut state: Option<State>,
        from: ComponentIndex,
        flow: usize,
        held: bool,
    ) -> Option<Route> {
        let mut lowered = Vec::new();
        let mut whole = true;
        for (condition, leg) in cases {
            let mut inside = state.clone();
            let mut planned = None;
            if let (Some(condition), Some(outside)) = (condition, &mut state) {
                let typed =
                    Typer::new(self.checker, Some(&outside.columns), &outside.bindings).condition(condition);
                match typed {
                    Some(typed) => {
                        if let Some(fails) = &typed.fails {
                            self.checker.unhandled(fails, None);
                            whole = false;
                        }
                        inside.iter_mut().for_each(|inside| narrow(inside, &typed.facts.if_true));
                        narrow(outside, &typed.facts.if_false);
                        planned = Some(typed.planned);
                    }
                    None => whole = false,
                }
            }
            match self.leg(leg, inside, from, flow, held) {
                Some(leg) => lowered.push(Case { condition: planned, leg }),
                None => whole = false,
            }
        }
        whole.then_some(Route::Match(lowered))
    }

    /// Ways of which each event takes one: all into channels, or all to sinks behind one channel.
    #[allow(clippy::too_many_arguments)] // What every destination is given, and how it ends.
    fn ways(
        &mut self,
        legs: &[Leg<'_>],
        (word, span): (&str, Span),
        state: Option<State>,
        from: ComponentIndex,
        flow: usize,
        held: bool,
        route: impl FnOnce(Vec<PlannedLeg>) -> Route,
    ) -> Option<Route> {
        self.of_one_kind(legs, word);
        let first = first_end(legs);
        let needs_channel = self.needs_channel(legs, from, held);
        let columns = state.as_ref().map(|state| state.columns.clone());
        let mut state = state;
        if let Some(state) = state.as_mut().filter(|_| needs_channel) {
            // Events leave the values behind that were computed before the channel.
            state.bindings = Bindings::default();
        }
        let mut lowered = Vec::new();
        let mut whole = true;
        for leg in legs {
            match self.leg(leg, state.clone(), from, flow, held || needs_channel) {
                Some(leg) => lowered.push(leg),
                None => whole = false,
            }
        }
        if !whole {
            return None;
        }
        let route = route(lowered);
        if !needs_channel {
            return Some(route);
        }
        let (index, _) = first?;
        let columns = columns?;
        let name = self.implicit_channel(from, index, span, &columns)?;
        let leg = PlannedLeg { steps: Vec::new(), to: route };
        self.added.push(Path { from: From::Channel(name.clone()), leg });
        Some(Route::Channel(name))
    }

    /// Whether a source's events must wait in a channel of the path's own until a sink takes them.
    fn needs_channel(&self, legs: &[Leg<'_>], from: ComponentIndex, held: bool) -> bool {
        let to_sinks =
            first_end(legs).is_some_and(|(index, _)| self.components[index].declared.role == Role::Sink);
        self.components[from].declared.role == Role::Source && to_sinks && !held
    }

    /// Reports ways of which some end at channels and others at sinks, and channels to fall back on.
    fn of_one_kind(&mut self, legs: &[Leg<'_>], word: &str) {
        let ends: Vec<_> = legs.iter().flat_map(crate::flows::graph::destinations).collect();
        let Some((first, _)) = ends.first() else { return };
        let wanted = if word == "failover" { Role::Sink } else { self.components[*first].declared.role };
        for (index, span) in ends {
            let declared = &self.components[index].declared;
            if declared.role == wanted {
                continue;
            }
            let rule = match word {
                "failover" => "`failover` tries sinks, one after the other".to_owned(),
                word => format!("`{word}` spreads over channels, or over sinks, not over both"),
            };
            let role = if declared.role == Role::Channel { "a channel" } else { "a sink" };
            let name = format!("{} `{}`", crate::spelling::role_in_words(declared.role), declared.name);
            self.checker.report(crate::diagnostics::Misplaced {
                name,
                role,
                rule,
                span,
                declared: Some(declared.span),
            });
            self.whole = false;
            return;
        }
    }
}

/// Where the first of several ways leads first.
fn first_end(legs: &[Leg<'_>]) -> Option<(ComponentIndex, Span)> {
    legs.first().and_then(|leg| crate::flows::graph::destinations(leg).first().copied())
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
            lacking: None,
        };
        (column.name.clone(), read)
    });
    Columns::of(columns.collect(), vec![origin.clone()])
}
