//! The resolved graph: components, flows, and the edges along which events move.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Path, Role};
use weir_plan::{Action, Delivery, Expression, OnFailure, Order};

use crate::analysis::expressions::UseId;
use crate::analysis::settings::Settings;
use crate::names::scopes::ComponentIndex;
use crate::signatures::Signature;
use crate::types::columns::Columns;

/// The components of a program and the edges between them.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// The components in the order of the files and their text, then one pseudo-component for each flow whose rejected
    /// events are used, then the channels that the compiler added.
    pub components: Vec<Component>,
    /// The flows of the program, in source order.
    pub flows: Vec<Flow>,
    /// The edges that leave the sources and channels, in source order.
    pub edges: Vec<Edge>,
}

/// The name, role and span of a component.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The component's name. If its file is imported under an alias, the name has the alias as prefix: `alias.name`.
    pub name: Arc<str>,
    /// The component's role: source, channel or sink.
    pub role: Role,
    /// The span of the name. For a channel that the compiler added, the span of its path.
    pub span: Span,
    /// Whether the entry file declares the component, not an imported file.
    pub own: bool,
    /// The index of a flow, if this is not a component but the origin of the flow's rejected events.
    pub rejects_of: Option<usize>,
}

/// A source, channel or sink.
#[derive(Debug, Clone)]
pub struct Component {
    /// The component's name, role and span.
    pub declared: Declared,
    /// The signature of the component's kind in the library. `None` for the origin of rejected events, and for an
    /// unknown kind, which has been reported.
    pub(crate) signature: Option<Arc<Signature>>,
    /// The component's settings.
    pub settings: Settings,
    /// The qualities that a sink checks on each arrow into it: its setting `quality`.
    pub(crate) qualities: Vec<Path>,
    /// The events that are expected of a source: its setting `expect`.
    pub expected: Option<Expected>,
    /// Whether the compiler added the component: the channel of a path that names no channel.
    pub implicit: bool,
    /// The columns of the events that leave a source or a channel, or that arrive at a sink. `None` if no flow uses the
    /// component, or if the columns are unknown.
    pub events: Option<Arc<Columns>>,
    /// The columns that a sink reads; `None` if it reads all.
    pub(crate) reads: Option<BTreeSet<String>>,
}

/// The events that are expected of a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// The events in a second.
    pub rate: f64,
    /// The bytes of an event.
    pub size: u64,
    /// The place of the setting.
    pub place: Span,
}

impl Component {
    /// Returns a component without a signature, settings and events.
    pub(crate) fn without_settings(declared: Declared) -> Component {
        let (settings, qualities) = (Settings::default(), Vec::new());
        Component {
            declared,
            signature: None,
            settings,
            qualities,
            expected: None,
            implicit: false,
            events: None,
            reads: None,
        }
    }

    /// Returns the name of the component's kind in the library; `None` if the kind is unknown.
    pub fn kind(&self) -> Option<&str> {
        self.signature.as_ref().map(|signature| &*signature.name.text)
    }

    /// Returns the delivery class of the component's kind, as its signature states it.
    pub fn class(&self) -> Option<&'static str> {
        self.signature.as_ref().map(|signature| signature.class.name())
    }
}

/// A flow and its promise.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The flow's name.
    pub name: Arc<str>,
    /// The span of the name.
    pub span: Span,
    /// Whether the flow has chains that could not be parsed.
    pub broken: bool,
    /// The flow's promise; `None` if the promise is invalid, which has been reported.
    pub promised: Option<Promised>,
}

/// A flow's promise and its span.
#[derive(Debug, Clone)]
pub struct Promised {
    /// The delivery guarantee: whether events may be lost or repeated.
    pub delivery: Delivery,
    /// The ordering guarantee.
    pub order: Order,
    /// The span of the delivery guarantee; if the flow states none, the span of the flow's name.
    pub span: Span,
    /// The span of the ordering guarantee; `None` if the flow states none.
    pub order_span: Option<Span>,
    /// The column that the events are ordered by, with its span.
    pub by: Option<(String, Span)>,
}

/// The connection from a source or a channel to the next channels or sinks.
#[derive(Debug, Clone)]
pub struct Edge {
    /// The index of the flow that the edge belongs to.
    pub flow: usize,
    /// The component that the edge begins at.
    pub from: ComponentIndex,
    /// The span of the component's name in the flow.
    pub from_span: Span,
    /// The steps and the destination of the edge.
    pub leg: Leg,
}

/// Steps and their destination.
#[derive(Debug, Clone)]
pub struct Leg {
    /// The steps without errors. An interceptor is replaced by its steps.
    pub steps: Vec<Step>,
    /// The destination of the events after the steps.
    pub to: Destination,
    /// Whether all steps and all destinations are known.
    pub whole: bool,
}

/// One step of a flow.
#[derive(Debug, Clone)]
pub struct Step {
    /// The step's span. The span of an interceptor's step is in the interceptor.
    pub span: Span,
    /// The use of the interceptor that the step belongs to; [`UseId::NONE`] outside of interceptors.
    pub used: UseId,
    /// The step's action, as the plan states it.
    pub(crate) action: Action,
    /// The handling of an event for which the step fails; `None` if the step cannot fail.
    pub(crate) on_failure: Option<OnFailure>,
    /// The columns of the events that leave the step.
    pub after: Arc<Columns>,
}

impl Step {
    /// Returns whether the step rejects events.
    pub(crate) fn rejects(&self) -> bool {
        self.on_failure == Some(OnFailure::Reject)
            || matches!(self.action, Action::Reject { .. } | Action::Check { .. })
    }
}

/// The destination of a leg.
#[derive(Debug, Clone)]
pub enum Destination {
    /// A channel or a sink.
    Component(Arrival),
    /// Every branch, for each event. The flag is true for an optional branch.
    Copy(Vec<(bool, Leg)>),
    /// The first case whose condition is true.
    Match(Vec<Case>),
    /// One of several branches, chosen by the value of an expression or round robin.
    Balance {
        /// The expression; `None` for round robin, and if the expression has errors.
        by: Option<Expression>,
        /// The branches.
        legs: Vec<Leg>,
        /// The channel that the compiler added before the sinks.
        channel: Option<ComponentIndex>,
        /// The place of the word `balance`.
        word: Span,
    },
    /// The first branch that works.
    Failover {
        /// The place of the word `failover`.
        word: Span,
        /// The branches.
        legs: Vec<Leg>,
        /// The channel that the compiler added before the sinks.
        channel: Option<ComponentIndex>,
    },
    /// None: the last step drops or rejects all events.
    End,
    /// An unknown destination, because of an error that has been reported.
    Unknown,
}

/// The arrival of events at a channel or a sink.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The channel or sink.
    pub to: ComponentIndex,
    /// The span of the component's name in the flow.
    pub span: Span,
    /// The channel that the compiler added before the component.
    pub channel: Option<ComponentIndex>,
    /// Whether the events wait in a channel that the compiler added before the branches of a `balance` or a `failover`.
    pub held: bool,
    /// The columns of the events; `None` if they are unknown.
    pub events: Option<Arc<Columns>>,
}

/// One case of a `match`.
#[derive(Debug, Clone)]
pub struct Case {
    /// The condition; `None` for the case that takes all remaining events, and if the condition has errors.
    pub condition: Option<Expression>,
    /// The case's steps and destination.
    pub leg: Leg,
}

impl Destination {
    /// Returns the legs behind the destination, in source order: none for a component, an end or an unknown destination.
    pub fn legs(&self) -> Vec<&Leg> {
        self.legs_if(true)
    }

    fn legs_if(&self, optional: bool) -> Vec<&Leg> {
        match self {
            Destination::Component(_) | Destination::End | Destination::Unknown => Vec::new(),
            Destination::Copy(branches) => {
                let branches = branches.iter().filter(|(is_optional, _)| optional || !is_optional);
                branches.map(|(_, leg)| leg).collect()
            }
            Destination::Match(cases) => cases.iter().map(|case| &case.leg).collect(),
            Destination::Balance { legs, .. } | Destination::Failover { legs, .. } => legs.iter().collect(),
        }
    }

    /// Returns the conditions of a `match` and the key of a `balance by`, which choose a leg for each event.
    pub(crate) fn conditions(&self) -> Vec<&Expression> {
        match self {
            Destination::Match(cases) => cases.iter().filter_map(|case| case.condition.as_ref()).collect(),
            Destination::Balance { by, .. } => by.iter().collect(),
            _ => Vec::new(),
        }
    }
}

impl Edge {
    /// Returns the sources and sinks of the edge, each with its neighbouring channel.
    pub(crate) fn neighbours(&self, components: &[Component]) -> Vec<(ComponentIndex, ComponentIndex)> {
        neighbours(components, self.from, &self.leg)
    }
}

fn neighbours(
    components: &[Component],
    from: ComponentIndex,
    leg: &Leg,
) -> Vec<(ComponentIndex, ComponentIndex)> {
    let role = |index: ComponentIndex| components[index].declared.role;
    let behind = leg.to.legs().into_iter();
    let mut found: Vec<_> = behind.flat_map(|leg| neighbours(components, from, leg)).collect();
    match &leg.to {
        Destination::Component(Arrival { events: None, .. })
        | Destination::Copy(_)
        | Destination::Match(_)
        | Destination::End
        | Destination::Unknown => {}
        Destination::Component(Arrival { to, channel, .. }) => match (role(from), role(*to), channel) {
            (_, Role::Channel, _) => found.push((from, *to)),
            (Role::Channel, ..) => found.push((*to, from)),
            (.., Some(channel)) => found.extend([(from, *channel), (*to, *channel)]),
            (.., None) => {}
        },
        Destination::Balance { legs, channel, .. } | Destination::Failover { legs, channel, .. } => {
            let first = legs.first().and_then(|leg| leg.arrivals().first().map(|first| first.to));
            if let (Some(channel), Some(first)) = (*channel, first) {
                found.extend([(from, channel), (first, channel)]);
            }
        }
    }
    found
}

impl Leg {
    /// Returns the channels and sinks that this leg leads to, with the channels that the compiler added between.
    pub fn components(&self) -> Vec<ComponentIndex> {
        let mut found = self.ends();
        found.extend(self.to.legs().into_iter().flat_map(Leg::components));
        found
    }

    /// Returns the channels and sinks that this leg leads to without the branches of its fork, with the channels that the
    /// compiler added between.
    pub(crate) fn ends(&self) -> Vec<ComponentIndex> {
        match &self.to {
            Destination::Component(arrival) => arrival.channel.into_iter().chain([arrival.to]).collect(),
            Destination::Balance { channel, .. } | Destination::Failover { channel, .. } => {
                channel.iter().copied().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns the arrivals of this leg, in source order.
    pub fn arrivals(&self) -> Vec<&Arrival> {
        self.arrivals_if(true)
    }

    /// Returns the arrivals of this leg, without the optional branches, in source order.
    pub fn required_arrivals(&self) -> Vec<&Arrival> {
        self.arrivals_if(false)
    }

    fn arrivals_if(&self, optional: bool) -> Vec<&Arrival> {
        match &self.to {
            Destination::Component(arrival) => vec![arrival],
            other => other.legs_if(optional).into_iter().flat_map(|leg| leg.arrivals_if(optional)).collect(),
        }
    }
}
