//! Warns about the parts of a program that this version checks and does not carry out.

use std::collections::{BTreeMap, BTreeSet};

use weir_grammar::Span;
use weir_grammar::tree::{ItemKind, Role};
use weir_plan::circles::places_in_circles;
use weir_plan::varying::{Decision, Varying, may_differ_after_restart};
use weir_plan::{Action, Delivery, Value, support};

use crate::analysis::Analysis;
use crate::analysis::expressions::UseId;
use crate::analysis::graph::{Component, Destination, Edge, Flow, Graph, Leg, Promised, Step};
use crate::analysis::settings::{Origin, Settings};
use crate::diagnostics::{Diagnostic, NotCarriedOut};
use crate::flows::graph::role_name;
use crate::signatures::PROGRAM_NAME;

impl Analysis {
    /// Returns a warning for each part of the program that this version does not carry out, in the order of the text.
    /// A program with errors has none: the errors come first.
    pub fn not_carried_out(&self) -> Vec<Diagnostic> {
        if self.has_errors() {
            return Vec::new();
        }
        let noted = self.notes.unsupported.iter();
        let noted = noted.map(|(span, used, what)| ((*used, *span), what.as_str())).collect();
        let circles = reject_circles(&self.graph);
        let mut search = Search { analysis: self, noted, circles, found: BTreeSet::new() };
        self.graph.components.iter().for_each(|component| search.component(component));
        for (index, flow) in self.graph.flows.iter().enumerate() {
            search.flow(index, flow);
        }
        for edge in &self.graph.edges {
            search.leg(&edge.leg);
            let is_dead = edge.leg.arrivals().is_empty() && is_behind_channel(&self.graph, edge);
            if let (true, Some(step)) = (is_dead, last_step(&edge.leg)) {
                search.add(step.span, support::DEAD_PATH);
            }
        }
        self.notes.unsupported_forks.iter().for_each(|(span, what)| search.add(*span, what));
        self.notes.fork_expressions.iter().for_each(|span| search.expressions(*span, UseId::NONE));
        search.agent();
        let found = search.found.into_iter();
        found.map(|(span, what)| NotCarriedOut { what, span }.into()).collect()
    }
}

/// The state of a search.
struct Search<'a> {
    analysis: &'a Analysis,
    /// The unsupported operations, by the use and the place of their expressions.
    noted: BTreeMap<(UseId, Span), &'a str>,
    /// The channels behind which events are rejected that come back to them.
    circles: BTreeSet<usize>,
    found: BTreeSet<(Span, String)>,
}

impl Search<'_> {
    fn add(&mut self, span: Span, what: impl Into<String>) {
        self.found.insert((span, what.into()));
    }

    fn component(&mut self, component: &Component) {
        let (declared, Some(kind)) = (&component.declared, component.kind()) else { return };
        if component.events.is_none() || component.implicit {
            return;
        }
        let role = role_name(declared.role);
        if !support::has_kind(role, kind) {
            return self.add(declared.span, format!("the {role} `{kind}`"));
        }
        let settings = support::PARTIAL_SETTINGS.iter();
        for partial in settings.filter(|setting| setting.role == role && setting.kind == kind) {
            let Some(setting) = component.settings.get(partial.name) else { continue };
            let Some(value) = setting.value.as_ref().filter(|value| !partial.allows(value)) else { continue };
            let span = match setting.origin {
                Origin::Written(span) => span,
                _ => declared.span,
            };
            let what = match value {
                Value::Variant { name, .. } => format!("`{}: {name}` of the {role} `{kind}`", partial.name),
                _ => format!("`{}` of the {role} `{kind}`", partial.name),
            };
            self.add(span, what);
        }
    }

    fn flow(&mut self, index: usize, flow: &Flow) {
        let Some(promised) = &flow.promised else { return };
        for what in support::unsupported_promises(promised.delivery, &promised.order) {
            self.add(promised.span, what);
        }
        let exactly_once = promised.delivery == Delivery::ExactlyOnce;
        self.rejects(index, exactly_once);
        self.varying(index, promised);
        self.exploding(index, exactly_once);
        if !exactly_once {
            return;
        }
        let graph = &self.analysis.graph;
        for edge in graph.edges.iter().filter(|edge| edge.flow == index) {
            if let Some((word, what)) = loose_fork(&edge.leg) {
                self.add(word, what);
            }
            let arrivals = edge.leg.arrivals().into_iter().map(|arrival| arrival.to);
            for component in std::iter::once(edge.from).chain(arrivals) {
                let component = &graph.components[component];
                let role = role_name(component.declared.role);
                let (keeps, Some(kind)) = (
                    match component.declared.role {
                        Role::Source => support::EXACTLY_ONCE_SOURCES,
                        Role::Sink => support::EXACTLY_ONCE_SINKS,
                        Role::Channel => continue,
                    },
                    component.kind(),
                ) else {
                    continue;
                };
                if !keeps.contains(&kind) {
                    self.add(promised.span, format!("the promise `exactly_once` with the {role} `{kind}`"));
                }
            }
        }
    }

    /// Adds the decisions of a flow that may send an event another way when they are made again.
    fn varying(&mut self, flow: usize, promised: &Promised) {
        let graph = &self.analysis.graph;
        let of_flow = || graph.edges.iter().filter(move |edge| edge.flow == flow);
        let mut channels = of_flow().flat_map(|edge| channels(graph, &edge.leg));
        let is_durable = channels.any(|channel| is_durable(graph, channel));
        let exactly_once = promised.delivery == Delivery::ExactlyOnce;
        let arriving = if exactly_once { arriving(graph) } else { BTreeMap::new() };
        for edge in of_flow() {
            let is_behind = is_behind_channel(graph, edge);
            let is_free = promised.delivery == Delivery::BestEffort || !is_durable && !exactly_once;
            if !is_behind && is_free {
                continue;
            }
            let found = varying_decision(&edge.leg, Varying::begin(is_behind));
            let found = found.map(|decision| (decision, support::VARYING_DECISION)).or_else(|| {
                let begun = begin(graph, edge, &arriving);
                let decision = varying_decision(&edge.leg, begun).filter(|_| exactly_once)?;
                Some((decision, support::VARYING_HEADER))
            });
            match found {
                Some((Some(step), why)) => {
                    self.add(self.place(step.span, step.used), format!("a step that rejects, {why}"));
                }
                Some((None, why)) => self.add(edge.from_span, format!("a `match` or `balance by`, {why}")),
                None => {}
            }
        }
    }

    /// Adds the steps `explode` whose events have no identity of their own where they need one.
    fn exploding(&mut self, flow: usize, exactly_once: bool) {
        let graph = &self.analysis.graph;
        for edge in graph.edges.iter().filter(|edge| edge.flow == flow) {
            let explodes = |step: &Step| matches!(step.action, Action::Explode(_));
            let Some(step) = first_step(&edge.leg, &explodes) else { continue };
            let place = self.place(step.span, step.used);
            let is_behind = is_behind_channel(graph, edge);
            if is_behind && let Some(step) = rejecting_after_exploding(&edge.leg, false) {
                self.add(self.place(step.span, step.used), support::REJECTED_ELEMENT);
            }
            if exactly_once && is_behind {
                self.add(place, support::EXPLODED_BEHIND_A_CHANNEL);
            } else if exactly_once
                && channels(graph, &edge.leg).any(|channel| volatile_kind(graph, channel).is_some())
            {
                self.add(place, support::EXPLODED_INTO_A_VOLATILE_CHANNEL);
            }
        }
    }

    /// Adds the steps behind channels that reject events into channels which can't take them, and with the promise
    /// `exactly_once` the steps that must not vary.
    fn rejects(&mut self, flow: usize, exactly_once: bool) {
        let graph = &self.analysis.graph;
        let volatile =
            reject_channels(graph, flow).into_iter().find_map(|channel| volatile_kind(graph, channel));
        for edge in graph.edges.iter().filter(|edge| edge.flow == flow) {
            let rejecting = first_step(&edge.leg, &Step::rejects);
            let Some(step) = rejecting.filter(|_| is_behind_channel(graph, edge)) else { continue };
            let place = self.place(step.span, step.used);
            if self.circles.contains(&edge.from) {
                self.add(place, "rejects that come back to the channel behind which they are rejected");
            }
            if let Some(kind) = volatile.filter(|_| exactly_once) {
                self.add(
                    place,
                    format!(
                        "rejects behind a channel into the channel `{kind}` with the promise `exactly_once`"
                    ),
                );
            }
            let varying = first_step(&edge.leg, &|step| may_differ_after_restart(&step.action));
            if let Some(step) = varying.filter(|_| exactly_once) {
                let what = "a step that may decide differently after a restart, behind a channel and with steps that \
                            reject, with the promise `exactly_once`";
                self.add(self.place(step.span, step.used), what);
            }
        }
    }

    fn leg(&mut self, leg: &Leg) {
        if let Destination::Failover { legs, .. } = &leg.to {
            let is_channel = |to: usize| self.analysis.graph.components[to].declared.role == Role::Channel;
            let before_channels = legs.iter().filter(|leg| leg.arrivals().iter().all(|at| is_channel(at.to)));
            let steps = before_channels.flat_map(|leg| &leg.steps);
            for step in steps.filter(|step| support::is_binding(&step.action, step.on_failure)) {
                self.add(self.place(step.span, step.used), support::BINDING_STEP);
            }
        }
        leg.steps.iter().for_each(|step| self.step(step));
        leg.to.legs().into_iter().for_each(|leg| self.leg(leg));
    }

    fn step(&mut self, step: &Step) {
        let Some(what) = support::unsupported_step(&step.action) else {
            return self.expressions(step.span, step.used);
        };
        self.add(self.place(step.span, step.used), what);
    }

    /// Adds the unsupported operations of the expressions in a place.
    fn expressions(&mut self, within: Span, used: UseId) {
        let first = (used, Span { end: within.start, ..within });
        let last = (used, Span { start: within.end, end: within.end, ..within });
        let noted: Vec<(Span, &str)> =
            self.noted.range(first..=last).map(|((_, span), what)| (*span, *what)).collect();
        for (span, what) in noted {
            self.add(self.place(span, used), what);
        }
    }

    /// Returns the place of a part of the program; for a part of the library, the place where the program uses it.
    fn place(&self, span: Span, used: UseId) -> Span {
        let (mut span, mut used) = (span, used);
        // The files of the library come before those of the program.
        let entry = self.analysis.modules.first().map(|module| module.file);
        while entry.is_some_and(|entry| span.file < entry)
            && let Some(outer) = self.analysis.notes.use_list.get(used)
        {
            (span, used) = (outer.at, outer.within);
        }
        span
    }

    fn agent(&mut self) {
        let has_bounds = |agent: &Settings| {
            agent.iter().any(|setting| {
                setting.name != PROGRAM_NAME
                    && setting.value.as_ref().is_some_and(|value| *value != Value::Null)
            })
        };
        if !self.analysis.agent.as_ref().is_some_and(has_bounds) {
            return;
        }
        let items = self.analysis.modules.first().into_iter().flat_map(|module| &module.tree.items);
        let agents = items.filter(|item| matches!(item.kind, ItemKind::Agent(_)));
        let places: Vec<Span> = agents.map(|item| item.span).collect();
        for span in places {
            self.add(Span { end: span.start + "agent".len() as u32, ..span }, "the bounds of `agent { … }`");
        }
    }
}

/// Returns the channels that a flow's rejected events go to.
fn reject_channels(graph: &Graph, flow: usize) -> BTreeSet<usize> {
    let from_rejects = graph
        .edges
        .iter()
        .filter(|edge| edge.flow == flow && graph.components[edge.from].declared.rejects_of.is_some());
    from_rejects.flat_map(|edge| channels(graph, &edge.leg)).collect()
}

/// Returns what may differ at the beginning of an edge when events come again, by what arrives at each channel.
fn begin(graph: &Graph, edge: &Edge, arriving: &BTreeMap<usize, BTreeSet<String>>) -> Varying {
    let from = &graph.components[edge.from];
    let begun = Varying::begin(is_behind_channel(graph, edge));
    match from.declared.role {
        Role::Source => begun.with_columns(from.kind().into_iter().flat_map(support::varying_headers)),
        // A durable channel keeps the events as they were read first.
        _ if is_durable(graph, edge.from) => begun,
        _ => begun.with_columns(arriving.get(&edge.from).into_iter().flatten().cloned()),
    }
}

/// Returns the columns that may differ when the same events arrive again, for each channel.
fn arriving(graph: &Graph) -> BTreeMap<usize, BTreeSet<String>> {
    fn arrive(leg: &Leg, before: &Varying, arriving: &mut BTreeMap<usize, BTreeSet<String>>) {
        let behind = before.clone().behind(leg.steps.iter().map(|step| &step.action));
        if let Destination::Component(arrival) = &leg.to {
            arriving.entry(arrival.to).or_default().extend(behind.columns());
        }
        leg.to.legs().into_iter().for_each(|leg| arrive(leg, &behind, arriving));
    }
    let mut all = BTreeMap::new();
    loop {
        let before = all.clone();
        for edge in &graph.edges {
            arrive(&edge.leg, &begin(graph, edge, &before), &mut all);
        }
        if all == before {
            return all;
        }
    }
}

/// Returns the channels that take the events of a leg, and the channels in front of its sinks.
fn channels<'g>(graph: &'g Graph, leg: &'g Leg) -> impl Iterator<Item = usize> + 'g {
    let role = |index: usize| graph.components[index].declared.role;
    leg.arrivals().into_iter().filter_map(move |arrival| match role(arrival.to) {
        Role::Channel => Some(arrival.to),
        Role::Source | Role::Sink => arrival.channel,
    })
}

fn is_durable(graph: &Graph, channel: usize) -> bool {
    graph.components[channel].kind().is_some_and(|kind| support::DURABLE_CHANNELS.contains(&kind))
}

/// Returns the kind of a channel whose events do not outlast the agent.
fn volatile_kind(graph: &Graph, channel: usize) -> Option<&str> {
    graph.components[channel].kind().filter(|_| !is_durable(graph, channel))
}

fn is_behind_channel(graph: &Graph, edge: &Edge) -> bool {
    graph.components[edge.from].declared.role == Role::Channel
}

/// Returns the channels behind which events are rejected that come back to them, also over other flows.
fn reject_circles(graph: &Graph) -> BTreeSet<usize> {
    let mut arrows: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let rejecting =
        |edge: &&Edge| is_behind_channel(graph, edge) && first_step(&edge.leg, &Step::rejects).is_some();
    for edge in graph.edges.iter().filter(rejecting) {
        arrows.entry(edge.from).or_default().extend(reject_channels(graph, edge.flow));
    }
    places_in_circles(&arrows).into_iter().collect()
}

/// Returns a fork that may send an event another way when it comes again.
fn loose_fork(leg: &Leg) -> Option<(Span, &'static str)> {
    match &leg.to {
        Destination::Balance { by: None, word, .. } => Some((*word, support::LOOSE_BALANCE)),
        Destination::Failover { word, .. } => Some((*word, support::LOOSE_FAILOVER)),
        to => to.legs().into_iter().find_map(loose_fork),
    }
}

/// Returns the first step of a leg, or of the branches behind it, for which the predicate is true.
fn first_step<'l>(leg: &'l Leg, is: &dyn Fn(&Step) -> bool) -> Option<&'l Step> {
    let own = leg.steps.iter().find(|step| is(step));
    own.or_else(|| leg.to.legs().into_iter().find_map(|leg| first_step(leg, is)))
}

/// Returns the first step that rejects events which an `explode` has made.
fn rejecting_after_exploding(leg: &Leg, mut is_exploded: bool) -> Option<&Step> {
    for step in &leg.steps {
        if is_exploded && step.rejects() {
            return Some(step);
        }
        is_exploded |= matches!(step.action, Action::Explode(_));
    }
    leg.to.legs().into_iter().find_map(|leg| rejecting_after_exploding(leg, is_exploded))
}

/// Returns the last step of a leg, or of the first branch behind it.
fn last_step(leg: &Leg) -> Option<&Step> {
    let first = leg.to.legs().into_iter().next();
    first.and_then(last_step).or_else(|| leg.steps.last())
}

/// Returns a decision of a leg that may differ when it is made again: the step that rejects, or none for the fork at the
/// end.
fn varying_decision(leg: &Leg, mut before: Varying) -> Option<Option<&Step>> {
    let steps = leg.steps.iter().map(|step| (&step.action, step.on_failure));
    match before.decision(steps, leg.to.conditions()) {
        Some(Decision::Step(index)) => Some(leg.steps.get(index)),
        Some(Decision::Fork) => Some(None),
        None => leg.to.legs().into_iter().find_map(|leg| varying_decision(leg, before.clone())),
    }
}
