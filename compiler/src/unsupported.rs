//! Warns about the parts of a program that this version checks and does not carry out.

use std::collections::{BTreeMap, BTreeSet};

use weir_grammar::Span;
use weir_grammar::tree::Role;
use weir_plan::circles::places_in_circles;
use weir_plan::{Delivery, support};

use crate::analysis::Analysis;
use crate::analysis::expressions::UseId;
use crate::analysis::graph::{Component, Destination, Edge, Graph, Leg, Step};
use crate::analysis::proofs::{FlowProof, Reason, Rule};
use crate::diagnostics::{Diagnostic, NotCarriedOut};
use crate::flows::graph::role_name;

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
        self.proofs.flows.iter().for_each(|proof| search.flow(proof));
        search.circles();
        for edge in &self.graph.edges {
            search.leg(&edge.leg);
            let is_dead = edge.leg.arrivals().is_empty() && is_behind_channel(&self.graph, edge);
            if let (true, Some(step)) = (is_dead, last_step(&edge.leg)) {
                search.add(step.span, support::DEAD_PATH);
            }
        }
        self.notes.unsupported_forks.iter().for_each(|(span, what)| search.add(*span, what));
        self.notes.fork_expressions.iter().for_each(|span| search.expressions(*span, UseId::NONE));
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
            self.add(declared.span, format!("the {role} `{kind}`"));
        }
    }

    /// Adds what the runtime refuses although no promise rules it out: decisions in flows that may lose events, and in
    /// optional branches.
    fn flow(&mut self, proof: &FlowProof) {
        let flow = self.analysis.graph.flows.get(proof.flow);
        let Some(promised) = flow.and_then(|flow| flow.promised.as_ref()) else { return };
        for reason in proof.paths.iter().flat_map(|path| &path.reasons) {
            if is_refused(reason, promised.delivery) {
                self.add(reason.shown.place, refused_part(reason.rule));
            }
        }
    }

    /// Adds the steps behind channels that reject events into the same channels.
    fn circles(&mut self) {
        let analysis = self.analysis;
        for edge in &analysis.graph.edges {
            if self.circles.contains(&edge.from)
                && let Some(step) = first_step(&edge.leg, &Step::rejects)
            {
                let what = "rejects that come back to the channel behind which they are rejected";
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
        let entry = self.analysis.modules.first().map(|module| module.file);
        self.analysis.notes.use_list.place(entry, span, used)
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

/// Returns the channels that take the events of a leg, and the channels in front of its sinks.
fn channels<'g>(graph: &'g Graph, leg: &'g Leg) -> impl Iterator<Item = usize> + 'g {
    let role = |index: usize| graph.components[index].declared.role;
    leg.arrivals().into_iter().filter_map(move |arrival| match role(arrival.to) {
        Role::Channel => Some(arrival.to),
        Role::Source | Role::Sink => arrival.channel,
    })
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

/// Returns the first step of a leg, or of the branches behind it, for which the predicate is true.
fn first_step<'l>(leg: &'l Leg, is: &dyn Fn(&Step) -> bool) -> Option<&'l Step> {
    let own = leg.steps.iter().find(|step| is(step));
    own.or_else(|| leg.to.legs().into_iter().find_map(|leg| first_step(leg, is)))
}

/// Returns the last step of a leg, or of the first branch behind it.
fn last_step(leg: &Leg) -> Option<&Step> {
    let first = leg.to.legs().into_iter().next();
    first.and_then(last_step).or_else(|| leg.steps.last())
}

/// Returns whether the runtime refuses a flow with this promise for the reason.
fn is_refused(reason: &Reason, promised: Delivery) -> bool {
    match reason.rule {
        Rule::DecisionBehindChannel | Rule::RejectedElement => true,
        Rule::DecisionBeforeChannel | Rule::HeaderVaries | Rule::TableVaries => {
            promised != Delivery::BestEffort && (promised.never_repeats() || !reason.with_positions)
        }
        Rule::Balance
        | Rule::Failover
        | Rule::ExplodeBehindChannel
        | Rule::ExplodeBeforeVolatile
        | Rule::CopiesOfOnePosition
        | Rule::VolatileRejects
        | Rule::StepVaries => promised.never_repeats(),
        _ => false,
    }
}

/// Returns the part of a program that a rule is about, in words.
fn refused_part(rule: Rule) -> String {
    match rule {
        Rule::DecisionBehindChannel | Rule::DecisionBeforeChannel => {
            format!("a `match`, a `balance by` or a step that rejects, {}", support::VARYING_DECISION)
        }
        Rule::HeaderVaries => {
            format!("a `match`, a `balance by` or a step that rejects, {}", support::VARYING_HEADER)
        }
        Rule::TableVaries => {
            format!("a `match`, a `balance by` or a step that rejects, {}", support::VARYING_TABLE)
        }
        Rule::Balance => support::LOOSE_BALANCE.to_owned(),
        Rule::Failover => support::LOOSE_FAILOVER.to_owned(),
        Rule::ExplodeBehindChannel => support::EXPLODED_BEHIND_A_CHANNEL.to_owned(),
        Rule::ExplodeBeforeVolatile => support::EXPLODED_INTO_A_VOLATILE_CHANNEL.to_owned(),
        Rule::CopiesOfOnePosition => support::COPIED_TO_ONE_SINK.to_owned(),
        Rule::RejectedElement => support::REJECTED_ELEMENT.to_owned(),
        _ => "a step that may decide differently after a restart, with steps that reject behind a channel"
            .to_owned(),
    }
}
