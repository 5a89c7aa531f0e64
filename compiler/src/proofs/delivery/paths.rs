//! The paths of a program from its sources to its sinks, each a sequence of ways.

use std::collections::BTreeSet;

use weir_grammar::tree::Role;
use weir_plan::Order;

use super::order::{Breaks, Meetings, OrderState};
use super::program::Program;
use super::reasons::{not_promised, of_component, reason, stored_behind};
use super::ways::{self, Passed, Way};
use crate::analysis::graph::Component;
use crate::analysis::proofs::{Effect, Hop, HopKind, KeptOrder, PathProof, Reason, Rule};
use crate::names::scopes::ComponentIndex;
use crate::signatures::classes::Class;

/// The most paths that are derived from one source.
const PATHS_MAX: usize = 5_000;

/// A path from a source to a sink, or to a step that ends it.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) source: ComponentIndex,
    /// The indices of its ways.
    pub(super) ways: Vec<usize>,
}

/// All ways and paths of a program.
pub(super) struct Paths<'p> {
    pub(super) program: &'p Program<'p>,
    pub(super) ways: Vec<Way>,
    pub(super) all: Vec<Path>,
    /// The sources that have more paths than are derived, each with the components that its events may reach.
    pub(super) cut: Vec<(ComponentIndex, BTreeSet<ComponentIndex>)>,
    meetings: Meetings,
}

impl<'p> Paths<'p> {
    pub(super) fn of(program: &'p Program<'p>) -> Paths<'p> {
        let edges = &program.graph.edges;
        let ways: Vec<Way> = (0..edges.len()).flat_map(|edge| ways::of_edge(program, edge)).collect();
        let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); program.graph.components.len()];
        for (index, way) in ways.iter().enumerate() {
            leaving[edges[way.edge].from].push(index);
        }
        let mut paths =
            Paths { program, ways, all: Vec::new(), cut: Vec::new(), meetings: Meetings::default() };
        for (source, component) in program.graph.components.iter().enumerate() {
            if component.declared.role == Role::Source && component.declared.rejects_of.is_none() {
                paths.follow(source, &leaving);
            }
        }
        for (source, reached) in &paths.cut {
            // Several paths may lead to each sink, also where none was derived.
            for sink in reached.iter().filter(|index| program.role(**index) == Role::Sink) {
                paths.meetings.add(*source, *sink);
                paths.meetings.add(*source, *sink);
            }
        }
        for path in 0..paths.all.len() {
            // Events of an optional branch come between those of the required ones.
            if let Some(sink) = paths.sink(path).filter(|_| !paths.is_rejects(path)) {
                paths.meetings.add(paths.all[path].source, sink);
            }
        }
        paths
    }

    /// Adds the paths of a source, each way of a fork in the order of the text.
    fn follow(&mut self, source: ComponentIndex, leaving: &[Vec<usize>]) {
        let mut open: Vec<Vec<usize>> = leaving[source].iter().rev().map(|way| vec![*way]).collect();
        let mut found = 0;
        while let Some(so_far) = open.pop() {
            let last = so_far.last().and_then(|way| self.ways[*way].to);
            let next: &[usize] = last.map_or(&[], |to| &leaving[to]);
            // Rejected events may come back to a channel that they have passed.
            let passed = |way: usize| {
                let from = self.program.graph.edges[self.ways[way].edge].from;
                let begins =
                    |earlier: &usize| self.program.graph.edges[self.ways[*earlier].edge].from == from;
                so_far.iter().any(begins)
            };
            let next: Vec<usize> = next.iter().copied().filter(|way| !passed(*way)).collect();
            if next.is_empty() {
                if found == PATHS_MAX {
                    self.cut.push((source, self.reached(source, leaving)));
                    return;
                }
                found += 1;
                self.all.push(Path { source, ways: so_far });
                continue;
            }
            for way in next.into_iter().rev() {
                open.push(so_far.iter().copied().chain([way]).collect());
            }
        }
    }

    /// Returns the components that events of a source may reach, the source included.
    fn reached(&self, source: ComponentIndex, leaving: &[Vec<usize>]) -> BTreeSet<ComponentIndex> {
        let (mut reached, mut open) = (BTreeSet::from([source]), vec![source]);
        while let Some(from) = open.pop() {
            let next = leaving[from].iter().filter_map(|way| self.ways[*way].to);
            open.extend(next.filter(|to| reached.insert(*to)));
        }
        reached
    }

    /// Returns a source of whose paths over a flow not all were derived.
    pub(super) fn cut_in(&self, flow: usize) -> Option<ComponentIndex> {
        let edges = self.program.graph.edges.iter().filter(|edge| edge.flow == flow);
        let begins: BTreeSet<ComponentIndex> = edges.map(|edge| edge.from).collect();
        let cut = self.cut.iter().find(|(_, reached)| !reached.is_disjoint(&begins));
        cut.map(|(source, _)| *source)
    }

    /// Returns the last component of a path.
    pub(super) fn end(&self, path: usize) -> Option<ComponentIndex> {
        self.all[path].ways.last().and_then(|way| self.ways[*way].to)
    }

    fn sink(&self, path: usize) -> Option<ComponentIndex> {
        self.end(path).filter(|end| self.program.role(*end) == Role::Sink)
    }

    /// Returns the sink of a path that a promise about order covers: no optional branch, no rejected events.
    fn required_sink(&self, path: usize) -> Option<ComponentIndex> {
        let sink = self.sink(path)?;
        (!self.is_optional(path) && !self.is_rejects(path)).then_some(sink)
    }

    pub(super) fn is_optional(&self, path: usize) -> bool {
        self.all[path].ways.iter().any(|way| self.ways[*way].is_optional)
    }

    pub(super) fn is_rejects(&self, path: usize) -> bool {
        let ends = self.all[path].ways.iter().filter_map(|way| self.ways[*way].to);
        let mut ends = ends.map(|to| self.program.component(to));
        ends.any(|component| component.declared.rejects_of.is_some())
    }

    /// Returns the flows whose edges a path uses.
    pub(super) fn flows(&self, path: usize) -> impl Iterator<Item = usize> {
        self.all[path].ways.iter().map(|way| self.program.graph.edges[self.ways[*way].edge].flow)
    }

    /// Derives what a path keeps.
    pub(super) fn prove(&self, path: usize) -> PathProof {
        let Path { source, ways } = &self.all[path];
        let source = *source;
        let stores_positions = self.flows(path).all(|flow| self.program.stores_positions(flow));
        let mut proof = Derivation {
            paths: self,
            hops: Vec::new(),
            reasons: Vec::new(),
            order: OrderState::of_source(self.program.component(source)),
            stores_positions,
        };
        proof.component(source);
        for way in ways {
            let way = &self.ways[*way];
            for passed in &way.passed {
                match passed {
                    Passed::Step(hop) => proof.hops.push(hop.clone()),
                    Passed::Change(change) => proof.order.change(change),
                    Passed::Channel(channel) => proof.component(*channel),
                }
            }
            proof.reasons.extend(way.reasons.iter().cloned());
            if let Some(to) = way.to {
                proof.component(to);
            }
        }
        let Derivation { hops, mut reasons, mut order, .. } = proof;
        reasons.extend(self.not_promised(path));
        self.meet(path, source, &mut order);
        let (mut order, mut disorder) = order.end();
        if self.is_rejects(path) {
            // The steps of a flow reject one after the other, so that their events mix.
            (order, disorder) = (KeptOrder::None, Vec::new());
        }
        let mut flows: Vec<usize> = self.flows(path).collect();
        flows.dedup();
        let (is_optional, is_rejects) = (self.is_optional(path), self.is_rejects(path));
        PathProof { hops, flows, is_optional, is_rejects, reasons, order, disorder }
    }

    /// Returns everything on a path that breaks a promise about order.
    pub(super) fn order_breaks(&self, path: usize, promised: &Order) -> Vec<Reason> {
        let Path { source, ways } = &self.all[path];
        let mut breaks = Breaks::begin(promised, self.program.component(*source));
        for way in ways.iter().map(|way| &self.ways[*way]) {
            for passed in &way.passed {
                match passed {
                    Passed::Step(_) => {}
                    Passed::Change(change) => breaks.change(change),
                    Passed::Channel(channel) => breaks.pass(self.program.component(*channel)),
                }
            }
            if let Some(to) = way.to {
                breaks.pass(self.program.component(to));
            }
        }
        breaks.end(|order| self.meet(path, *source, order))
    }

    /// Returns a reason for each flow of a path that stores no positions.
    fn not_promised(&self, path: usize) -> Vec<Reason> {
        let mut flows: Vec<usize> =
            self.flows(path).filter(|flow| !self.program.stores_positions(*flow)).collect();
        flows.dedup();
        let named = flows.into_iter().flat_map(|flow| {
            let flow = &self.program.graph.flows[flow];
            let promised = flow.promised.as_ref();
            promised.into_iter().flat_map(|promised| {
                let is_stated = promised.span != flow.span;
                let repeats = not_promised(&flow.name, promised.delivery, (promised.span, is_stated));
                let loses = stored_behind(&flow.name, promised.delivery, promised.span);
                [repeats, loses]
            })
        });
        named.collect()
    }

    /// Considers the other paths to the same sink.
    fn meet(&self, path: usize, source: ComponentIndex, order: &mut OrderState) {
        let Some(sink) = self.required_sink(path) else { return };
        let (from, to) = (&self.program.component(source).declared, &self.program.component(sink).declared);
        if self.meetings.has_several_paths(source, sink) {
            order.nothing(reason(
                Rule::SeveralPaths,
                &[Effect::Reorders],
                to.span,
                format!("several paths lead from `{}` to `{}`", from.name, to.name),
                "events of one path may overtake those of another",
            ));
        }
        if let Some(other) = self.meetings.other_source(source, sink) {
            let declared = |index: usize| &self.program.component(index).declared;
            let (first, second) = (declared(source.min(other)), declared(source.max(other)));
            order.merge(reason(
                Rule::SeveralSources,
                &[Effect::Reorders],
                second.span,
                format!("`{}` gets the events of `{}` and of `{}`", to.name, first.name, second.name),
                "no order holds between events of two sources",
            ));
        }
    }
}

/// The derivation for one path.
struct Derivation<'d, 'p> {
    paths: &'d Paths<'p>,
    hops: Vec<Hop>,
    reasons: Vec<Reason>,
    order: OrderState,
    stores_positions: bool,
}

impl Derivation<'_, '_> {
    fn component(&mut self, index: ComponentIndex) {
        let component = self.paths.program.component(index);
        let role = component.declared.role;
        let says = says(component, self.stores_positions);
        let name = component.declared.name.to_string();
        self.hops.push(Hop { kind: HopKind::Component(index), name, says });
        self.reasons.extend(of_component(self.paths.program, index));
        if role != Role::Source {
            self.order.pass(component);
        }
    }
}

/// Returns the part of a component in the delivery, in words.
fn says(component: &Component, stores_positions: bool) -> String {
    if component.declared.rejects_of.is_some() {
        return "the events that steps of the flow reject".to_owned();
    }
    let Some(class) = component.signature.as_ref().map(|signature| signature.class) else {
        return "unknown".to_owned();
    };
    let does = match class {
        Class::Replayable => "is read again from the last delivered position",
        Class::Acknowledging => "its peer sends again what it got no answer for",
        Class::FireAndForget => "what it has sent is never sent again",
        Class::Durable => "keeps events until they are delivered, also over a crash",
        Class::Volatile => {
            "hands acknowledgements on: events count as delivered when the sinks behind have them"
        }
        Class::Transactional if stores_positions => {
            "stores data and positions together, and leaves out events that it has"
        }
        Class::Transactional => "could leave out events that it has, with `exactly_once` on the whole path",
        Class::Idempotent => "a repeated event overwrites itself",
        Class::Plain => "a repeated event is a duplicate",
        Class::BestEffort => "may lose and repeat events",
    };
    format!("{}: {does}", class.name())
}
