//! The resolved graph: components, flows, and the ways of the events between them.

use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::Role;
use weir_plan::{Action, Delivery, Expression, OnFailure, Order};

use crate::analysis::expressions::UseId;
use crate::analysis::settings::Settings;
use crate::names::scopes::ComponentIndex;
use crate::signatures::Signature;
use crate::types::columns::Columns;

/// Components and the ways of the events between them.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// The components in the order of the files and their text, then the places of rejected events, then the channels
    /// that the compiler has added.
    pub components: Vec<Component>,
    /// The flows of the program, in the order of the text.
    pub flows: Vec<Flow>,
    /// The ways of the events from each source or channel onward, in the order of the text.
    pub edges: Vec<Edge>,
}

/// The name, role and place of a component.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The component's name, with that of the file that it is imported from.
    pub name: Arc<str>,
    /// What the component is to the graph.
    pub role: Role,
    /// The place of the name. For a channel that the compiler has added, the place of its path.
    pub span: Span,
    /// Whether it is the program's own, not one of an imported file.
    pub own: bool,
    /// The flow whose rejected events come from it, if it is no component at all.
    pub rejects_of: Option<usize>,
}

/// A source, channel or sink.
#[derive(Debug, Clone)]
pub struct Component {
    /// The name, role and place.
    pub declared: Declared,
    /// What the library says of its kind. None if the kind is unknown, which has been reported, and for the place of
    /// rejected events.
    pub(crate) signature: Option<Arc<Signature>>,
    /// The settings.
    pub settings: Settings,
    /// Whether the compiler has added it: the channel of a path that names none.
    pub implicit: bool,
    /// The events that come out of a source or a channel, or into a sink. None if no flow leads through the component,
    /// or if nothing is known of the events.
    pub events: Option<Arc<Columns>>,
}

impl Component {
    /// A component of which only the name is known.
    pub(crate) fn without_settings(declared: Declared) -> Component {
        Component { declared, signature: None, settings: Settings::default(), implicit: false, events: None }
    }

    /// The name of the component's kind in the library; none if it is unknown.
    pub fn kind(&self) -> Option<&str> {
        self.signature.as_ref().map(|signature| &*signature.name.text)
    }
}

/// A flow and its promise.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The flow's name.
    pub name: Arc<str>,
    /// The place of the name.
    pub span: Span,
    /// Whether there are chains that could not be read.
    pub broken: bool,
    /// What the flow promises; none if that is unknown, which has been reported.
    pub promised: Option<Promised>,
}

/// A promise and where it is made.
#[derive(Debug, Clone)]
pub struct Promised {
    /// The promise about loss and repeats.
    pub delivery: Delivery,
    /// The promise about order.
    pub order: Order,
    /// The place of the promise about loss and repeats, or that of the flow's name.
    pub span: Span,
    /// The column that the events are ordered by, with its place.
    pub by: Option<(String, Span)>,
}

/// The way of events from a source or a channel to the next channels or sinks.
#[derive(Debug, Clone)]
pub struct Edge {
    /// The flow that it belongs to.
    pub flow: usize,
    /// The component that the events come from.
    pub from: ComponentIndex,
    /// Where the flow names that component.
    pub from_span: Span,
    /// The steps, and where they lead.
    pub leg: Leg,
}

/// Steps and where they lead.
#[derive(Debug, Clone)]
pub struct Leg {
    /// The steps that could be checked, those of interceptors at their place.
    pub steps: Vec<Step>,
    /// Where the events go behind the steps.
    pub to: Destination,
    /// Whether all steps and all ways behind them are known.
    pub whole: bool,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// The step's place; that of an interceptor's step lies in the interceptor.
    pub span: Span,
    /// The use of the interceptor that the step belongs to.
    pub used: UseId,
    /// What the step does, as the plan says it.
    pub(crate) action: Action,
    /// What happens to an event for which the step fails; none if it can't.
    pub(crate) on_failure: Option<OnFailure>,
    /// The events that leave the step.
    pub after: Arc<Columns>,
}

/// Where a leg leads.
#[derive(Debug, Clone)]
pub enum Destination {
    /// To a channel or a sink.
    Component(Arrival),
    /// To several places; whether each is optional.
    Copy(Vec<(bool, Leg)>),
    /// To the first place whose condition holds.
    Match(Vec<Case>),
    /// To one of several places, by the value of an expression or in turn.
    Balance {
        /// The value; none for ways that take turns, and where it is wrong.
        by: Option<Expression>,
        /// The ways.
        legs: Vec<Leg>,
        /// The channel that the compiler has put in front of sinks.
        channel: Option<ComponentIndex>,
    },
    /// To the first place that works.
    Failover {
        /// The ways.
        legs: Vec<Leg>,
        /// The channel that the compiler has put in front of the sinks.
        channel: Option<ComponentIndex>,
    },
    /// To a place that is unknown because of something that has been reported.
    Unknown,
}

/// Events that come into a channel or a sink.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The component.
    pub to: ComponentIndex,
    /// Where the flow names the component.
    pub span: Span,
    /// The channel that the compiler has put in front of the component.
    pub channel: Option<ComponentIndex>,
    /// Whether the events wait in a channel that stands in front of several ways.
    pub held: bool,
    /// The events; none if nothing is known of them.
    pub events: Option<Arc<Columns>>,
}

/// One case of a `match`.
#[derive(Debug, Clone)]
pub struct Case {
    /// The condition; none for the case that takes the rest, and where it is wrong.
    pub condition: Option<Expression>,
    /// The case's steps, and where they lead.
    pub leg: Leg,
}

impl Leg {
    /// The arrivals of this leg, in the order of the text.
    pub fn arrivals(&self) -> Vec<&Arrival> {
        self.arrivals_if(true)
    }

    /// The same without the optional branches.
    pub fn required_arrivals(&self) -> Vec<&Arrival> {
        self.arrivals_if(false)
    }

    fn arrivals_if(&self, optional: bool) -> Vec<&Arrival> {
        match &self.to {
            Destination::Component(arrival) => vec![arrival],
            Destination::Copy(branches) => {
                let branches = branches.iter().filter(|(is_optional, _)| optional || !is_optional);
                branches.flat_map(|(_, leg)| leg.arrivals_if(optional)).collect()
            }
            Destination::Match(cases) => {
                cases.iter().flat_map(|case| case.leg.arrivals_if(optional)).collect()
            }
            Destination::Balance { legs, .. } | Destination::Failover { legs, .. } => {
                legs.iter().flat_map(|leg| leg.arrivals_if(optional)).collect()
            }
            Destination::Unknown => Vec::new(),
        }
    }
}
