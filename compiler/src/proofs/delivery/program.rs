//! What the derivation asks about a whole program: which channels are durable, which flows store positions, and which
//! columns may differ when events come again.

use std::collections::{BTreeMap, BTreeSet};

use weir_grammar::tree::Role;
use weir_grammar::{FileId, Span};
use weir_plan::support;
use weir_plan::varying::Varying;

use crate::analysis::expressions::{UseId, UseList};
use crate::analysis::graph::{Component, Destination, Edge, Graph, Leg};
use crate::files::sources::Files;
use crate::names::scopes::ComponentIndex;
use crate::signatures::Library;
use crate::signatures::classes::Class;

/// A resolved program.
pub(super) struct Program<'p> {
    pub(super) graph: &'p Graph,
    pub(super) library: &'p Library,
    pub(super) files: &'p Files,
    /// The uses of interceptors.
    uses: &'p UseList,
    /// The first file of the program.
    entry: Option<FileId>,
    /// The columns that may differ when the same events arrive again.
    arriving: Arriving,
    /// The columns that may differ when the same events arrive again and the files of lookup tables stay the same.
    arriving_without_tables: Arriving,
}

/// Columns that may differ when the same events arrive again, for each channel.
type Arriving = BTreeMap<ComponentIndex, BTreeSet<String>>;

impl<'p> Program<'p> {
    pub(super) fn new(
        graph: &'p Graph,
        library: &'p Library,
        files: &'p Files,
        uses: &'p UseList,
        entry: Option<FileId>,
    ) -> Program<'p> {
        let (arriving, arriving_without_tables) = (Arriving::new(), Arriving::new());
        let mut program = Program { graph, library, files, uses, entry, arriving, arriving_without_tables };
        program.arriving = program.arriving(&|varying| varying.with_tables());
        program.arriving_without_tables = program.arriving(&|varying| varying);
        program
    }

    /// Returns the place of a step; for a step of the library's interceptors, the place where the program uses it.
    pub(super) fn place(&self, span: Span, used: UseId) -> Span {
        self.uses.place(self.entry, span, used)
    }

    pub(super) fn component(&self, index: ComponentIndex) -> &'p Component {
        &self.graph.components[index]
    }

    pub(super) fn role(&self, index: ComponentIndex) -> Role {
        self.component(index).declared.role
    }

    pub(super) fn class(&self, index: ComponentIndex) -> Option<Class> {
        self.component(index).signature.as_ref().map(|signature| signature.class)
    }

    pub(super) fn is_durable(&self, channel: ComponentIndex) -> bool {
        self.class(channel) == Some(Class::Durable)
    }

    /// Returns whether a flow promises that no event is repeated, so that its components store positions.
    pub(super) fn stores_positions(&self, flow: usize) -> bool {
        let promised = self.graph.flows.get(flow).and_then(|flow| flow.promised.as_ref());
        promised.is_some_and(|promised| promised.delivery.never_repeats())
    }

    /// Returns whether the edge begins at a channel.
    pub(super) fn is_behind_channel(&self, edge: &Edge) -> bool {
        self.role(edge.from) == Role::Channel
    }

    /// Returns the channels that take the events of a leg, and those that the compiler added before its sinks.
    pub(super) fn channels(&self, leg: &Leg) -> BTreeSet<ComponentIndex> {
        leg.components().into_iter().filter(|index| self.role(*index) == Role::Channel).collect()
    }

    /// Returns the channels that the rejected events of a flow go to.
    pub(super) fn reject_channels(&self, flow: usize) -> BTreeSet<ComponentIndex> {
        let is_origin = |edge: &&Edge| self.component(edge.from).declared.rejects_of == Some(flow);
        self.graph.edges.iter().filter(is_origin).flat_map(|edge| self.channels(&edge.leg)).collect()
    }

    /// Returns the origin of the rejected events of a flow; `None` if nothing leads on from there.
    pub(super) fn rejects(&self, flow: usize) -> Option<ComponentIndex> {
        let of_flow = |component: &Component| component.declared.rejects_of == Some(flow);
        self.graph.components.iter().position(of_flow)
    }

    /// Returns what may differ at the beginning of an edge when events come again.
    pub(super) fn begin(&self, edge: &Edge) -> Varying {
        self.begin_with(edge, &self.arriving).with_tables()
    }

    /// Returns what may differ at the beginning of an edge when events come again and all lookup tables are the same.
    pub(super) fn begin_without_tables(&self, edge: &Edge) -> Varying {
        self.begin_with(edge, &self.arriving_without_tables)
    }

    fn begin_with(&self, edge: &Edge, arriving: &Arriving) -> Varying {
        let from = self.component(edge.from);
        let begun = Varying::begin(self.is_behind_channel(edge));
        match from.declared.role {
            Role::Source => begun.with_columns(from.kind().into_iter().flat_map(support::varying_headers)),
            // A durable channel keeps the events as they were read first.
            _ if self.is_durable(edge.from) => begun,
            _ => begun.with_columns(arriving.get(&edge.from).into_iter().flatten().cloned()),
        }
    }

    fn arriving(&self, begin: &dyn Fn(Varying) -> Varying) -> Arriving {
        fn arrive(leg: &Leg, before: &Varying, arriving: &mut Arriving) {
            let behind = before.clone().behind(leg.steps.iter().map(|step| &step.action));
            if let Destination::Component(arrival) = &leg.to {
                arriving.entry(arrival.to).or_default().extend(behind.columns());
            }
            leg.to.legs().into_iter().for_each(|leg| arrive(leg, &behind, arriving));
        }
        let mut all = Arriving::new();
        loop {
            let before = all.clone();
            for edge in &self.graph.edges {
                arrive(&edge.leg, &begin(self.begin_with(edge, &before)), &mut all);
            }
            if all == before {
                return all;
            }
        }
    }
}
