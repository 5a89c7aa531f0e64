//! The proofs of a program: for each path from a source to a sink, whether it may lose or repeat
//! events, and which order it keeps.

use weir_grammar::Span;
use weir_plan::Delivery;

use crate::analysis::resources::Resources;
use crate::diagnostics::UnkeptReason;
use crate::names::scopes::ComponentIndex;

/// What was derived for each flow of a program, in the order of the text.
#[derive(Debug, Clone, Default)]
pub struct Proofs {
    /// The flows.
    pub flows: Vec<FlowProof>,
    /// The connections that leave the machine, and the sensitive columns that sinks may have.
    pub security: SecurityProof,
    /// The most memory and disk space that the program takes.
    pub resources: Resources,
}

/// The connections that leave the machine, and the sensitive columns that sinks may have.
#[derive(Debug, Clone, Default)]
pub struct SecurityProof {
    /// The sinks that may have sensitive columns.
    pub allowed: Vec<AllowedLeak>,
    /// The connections that leave the machine.
    pub links: Vec<LinkProof>,
}

/// A sink that gets sensitive columns because the program says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedLeak {
    /// The sink.
    pub sink: ComponentIndex,
    /// The columns.
    pub columns: Vec<String>,
    /// The setting that allows it, with its value.
    pub by: String,
}

/// The connections of a component that leave the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkProof {
    /// The component.
    pub component: ComponentIndex,
    /// The addresses that are not on this machine.
    pub addresses: Vec<String>,
    /// Whether the component listens there; otherwise it connects.
    pub listens: bool,
    /// How the connections are protected, in words.
    pub protection: String,
    /// Whether nobody is asked who they are.
    pub open: bool,
}

/// What was derived for a flow.
#[derive(Debug, Clone)]
pub struct FlowProof {
    /// The index of the flow in the graph.
    pub flow: usize,
    /// The paths that use an edge of the flow.
    pub paths: Vec<PathProof>,
    /// Whether `paths` has all of them; there is a bound for programs with very many.
    pub complete: bool,
    /// The strongest promise about loss and repeats that the flow could make.
    pub strongest: Delivery,
    /// Whether the flow's promise is kept.
    pub kept: bool,
}

/// What was derived for a path from a source to a sink, or to a step that ends it.
#[derive(Debug, Clone)]
pub struct PathProof {
    /// The components and steps that the events pass.
    pub hops: Vec<Hop>,
    /// The flows whose edges the path uses, in its order.
    pub flows: Vec<usize>,
    /// Whether the path leads over an optional branch, which promises nothing.
    pub is_optional: bool,
    /// Whether the path leads over the rejects of a flow.
    pub is_rejects: bool,
    /// Why the path may lose or repeat events.
    pub reasons: Vec<Reason>,
    /// The order that the path keeps.
    pub order: KeptOrder,
    /// Why the order is not stronger.
    pub disorder: Vec<Reason>,
}

impl PathProof {
    /// Returns the names of the components on the path: `logs -> buffer -> lake`.
    pub fn names(&self) -> String {
        let components = self.hops.iter().filter(|hop| matches!(hop.kind, HopKind::Component(_)));
        let names: Vec<&str> = components.map(|hop| hop.name.as_str()).collect();
        names.join(" -> ")
    }

    /// Returns the reasons for one effect with the promise of the flow that the path is shown for.
    pub fn because(&self, effect: Effect) -> impl Iterator<Item = &Reason> {
        self.reasons.iter().filter(move |reason| reason.effects.contains(&effect))
    }
}

/// A component or a step on a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// What it is.
    pub kind: HopKind,
    /// The name of a component, or the beginning of a step's text.
    pub name: String,
    /// Its part in the delivery, in words.
    pub says: String,
}

/// The kinds of hops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HopKind {
    /// A source, channel or sink, or the origin of a flow's rejected events.
    Component(ComponentIndex),
    /// A step, or a fork.
    Step,
}

/// The effects of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Events may be lost.
    Loses,
    /// Events may be repeated.
    Repeats,
    /// Events may arrive in another order.
    Reorders,
}

impl Effect {
    /// Returns the effect in a word: what a rule does to events.
    pub fn name(self) -> &'static str {
        match self {
            Effect::Loses => "loses",
            Effect::Repeats => "repeats",
            Effect::Reorders => "reorders",
        }
    }
}

/// A reason why a path may lose, repeat or reorder events.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// The rule.
    pub rule: Rule,
    /// The effects.
    pub effects: &'static [Effect],
    /// Whether the effects need the positions that components keep only where a flow promises that no event is repeated.
    pub with_positions: bool,
    /// The reason as diagnostics show it.
    pub shown: UnkeptReason,
}

impl Reason {
    /// Adds a remedy in words.
    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Reason {
        self.shown.remedy = Some(remedy.into());
        self
    }

    /// Says whether the effects need stored positions.
    pub(crate) fn with_positions(mut self, needed: bool) -> Reason {
        self.with_positions = needed;
        self
    }

    /// Adds the place in the library that says so.
    pub(crate) fn said_at(mut self, library: Span) -> Reason {
        self.shown.library = Some(library);
        self
    }
}

/// The rules of the derivation. `docs/proofs.md` describes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The delivery class of a component.
    Class,
    /// A clause of a signature about settings.
    Clause,
    /// A source whose events have no positions that last.
    NoPositions,
    /// A flow on the path does not promise that no event is repeated, so that positions are not stored.
    NotPromised,
    /// A decision behind a channel that may differ when it is made again.
    DecisionBehindChannel,
    /// A decision before a channel that may differ when the source reads the event again.
    DecisionBeforeChannel,
    /// A decision by a header that may differ when a source reads the event again.
    HeaderVaries,
    /// A decision by a lookup table, whose file may change before a restart.
    TableVaries,
    /// A `balance` without `by`.
    Balance,
    /// A `failover`.
    Failover,
    /// An `explode` behind a channel.
    ExplodeBehindChannel,
    /// An `explode` before a volatile channel.
    ExplodeBeforeVolatile,
    /// Several branches of a `copy` behind a channel that lead to one sink.
    CopiesOfOnePosition,
    /// A step that rejects elements of an `explode` behind a channel.
    RejectedElement,
    /// Rejects behind a channel into a volatile channel.
    VolatileRejects,
    /// Steps behind a channel that reject, with a step that may have another result after a restart.
    StepVaries,
    /// More paths than are derived.
    TooManyPaths,
    /// A source that gives no order of all its events.
    PartitionsOfSource,
    /// Several sources of one sink.
    SeveralSources,
    /// Several paths from a source to a sink.
    SeveralPaths,
    /// A step that changes the column of an order.
    ColumnChanged,
    /// A `balance by` or the key of a sink, which spreads events by other columns.
    OtherKey,
}

impl Rule {
    /// All rules, in the order of the documentation.
    pub const ALL: [Rule; 22] = [
        Rule::Class,
        Rule::Clause,
        Rule::NoPositions,
        Rule::NotPromised,
        Rule::DecisionBehindChannel,
        Rule::DecisionBeforeChannel,
        Rule::HeaderVaries,
        Rule::TableVaries,
        Rule::Balance,
        Rule::Failover,
        Rule::ExplodeBehindChannel,
        Rule::ExplodeBeforeVolatile,
        Rule::CopiesOfOnePosition,
        Rule::RejectedElement,
        Rule::VolatileRejects,
        Rule::StepVaries,
        Rule::TooManyPaths,
        Rule::PartitionsOfSource,
        Rule::SeveralSources,
        Rule::SeveralPaths,
        Rule::ColumnChanged,
        Rule::OtherKey,
    ];

    /// Returns the name of the rule, as `weir check --proofs` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Class => "class",
            Rule::Clause => "clause",
            Rule::NoPositions => "no_positions",
            Rule::NotPromised => "not_promised",
            Rule::DecisionBehindChannel => "decision_behind_channel",
            Rule::DecisionBeforeChannel => "decision_before_channel",
            Rule::HeaderVaries => "header_varies",
            Rule::TableVaries => "table_varies",
            Rule::Balance => "balance",
            Rule::Failover => "failover",
            Rule::ExplodeBehindChannel => "explode_behind_channel",
            Rule::ExplodeBeforeVolatile => "explode_before_volatile",
            Rule::CopiesOfOnePosition => "copies_of_one_position",
            Rule::RejectedElement => "rejected_element",
            Rule::VolatileRejects => "volatile_rejects",
            Rule::StepVaries => "step_varies",
            Rule::TooManyPaths => "too_many_paths",
            Rule::PartitionsOfSource => "partitions_of_source",
            Rule::SeveralSources => "several_sources",
            Rule::SeveralPaths => "several_paths",
            Rule::ColumnChanged => "column_changed",
            Rule::OtherKey => "other_key",
        }
    }

    /// Returns the effects that the rule may have on events.
    pub fn effects(self) -> &'static [Effect] {
        match self {
            Rule::Class | Rule::NotPromised => &[Effect::Loses, Effect::Repeats],
            Rule::NoPositions => &[Effect::Repeats],
            Rule::CopiesOfOnePosition | Rule::RejectedElement => &[Effect::Loses],
            Rule::VolatileRejects => &[Effect::Repeats, Effect::Reorders],
            Rule::Clause
            | Rule::DecisionBehindChannel
            | Rule::DecisionBeforeChannel
            | Rule::HeaderVaries
            | Rule::TableVaries
            | Rule::Balance
            | Rule::Failover
            | Rule::ExplodeBehindChannel
            | Rule::ExplodeBeforeVolatile
            | Rule::StepVaries
            | Rule::TooManyPaths => &[Effect::Loses, Effect::Repeats, Effect::Reorders],
            Rule::PartitionsOfSource
            | Rule::SeveralSources
            | Rule::SeveralPaths
            | Rule::ColumnChanged
            | Rule::OtherKey => &[Effect::Reorders],
        }
    }
}

/// The order that a path keeps, of the first arrivals of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptOrder {
    /// The order of all events.
    Total,
    /// The order of the events of each partition of the source, and of events with equal values in these columns.
    Partition(Vec<String>),
    /// The order of events with equal values in one of these columns.
    By(Vec<String>),
    /// None.
    None,
}

impl KeptOrder {
    /// Returns the promise that the order keeps; `None` if it keeps none.
    pub fn promise(&self) -> Option<String> {
        match self {
            KeptOrder::Total => Some("ordered totally".to_owned()),
            KeptOrder::Partition(_) => Some("ordered".to_owned()),
            KeptOrder::By(columns) => columns.first().map(|column| format!("ordered by {column}")),
            KeptOrder::None => None,
        }
    }
}
