//! The graph: components, flows and the paths that events take.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{EventType, EventTypeId, Expression, Settings};

/// The version of the plan's format that this crate reads and writes.
pub const PLAN_VERSION: u32 = 1;

/// A whole program, ready to be run.
///
/// Every name that a path mentions is the name of a component in `sources`, `channels` or
/// `sinks`; every [`EventTypeId`] is an index into `event_types`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`] of the compiler that made it.
    pub version: u32,
    /// The program's name: its file's name without `.flow`.
    pub program: String,
    /// Components that events come from, in the order of the text.
    pub sources: Vec<Component>,
    /// Components that hold events between sources and sinks, implicit ones last.
    pub channels: Vec<Component>,
    /// Components that events go to.
    pub sinks: Vec<Component>,
    /// The event types that the rest refers to by index, without repeats.
    pub event_types: Vec<EventType>,
    /// The flows, in the order of the text.
    pub flows: Vec<Flow>,
}

/// One source, channel or sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// The name the user gave it: its name in metrics, logs and errors.
    pub name: String,
    /// Which of the library's components it is, as in `source clicks = kafka { … }`.
    pub kind: String,
    /// Every setting of its signature, defaults filled in.
    pub settings: Settings,
    /// The type of the events that a source emits, a channel holds or a sink is given.
    pub event_type: EventTypeId,
    /// Whether the compiler put it there: the small memory channel of a path that names none.
    #[serde(default)]
    pub implicit: bool,
}

/// A flow and its promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// The flow's name.
    pub name: String,
    /// What it promises.
    pub delivers: Delivery,
    /// From each source to its channels, and from each channel to its sinks.
    pub paths: Vec<Path>,
}

/// What a flow promises about its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Events may be lost and may be repeated.
    BestEffort,
    /// Events may be lost, none is repeated.
    AtMostOnce,
    /// No event is lost, some may be repeated.
    AtLeastOnce,
    /// Every event arrives once.
    ExactlyOnce,
}

/// The way of events from one component onward, up to the next channels or sinks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// Where the events come from.
    pub from: Origin,
    /// What happens to them.
    pub segment: Segment,
}

/// Where a path begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// At the source of this name.
    Source(String),
    /// At the channel of this name.
    Channel(String),
}

/// Steps in their order, and where the events go after them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// The steps, applied to each batch in this order.
    pub steps: Vec<Step>,
    /// Where the events that remain go.
    pub to: Route,
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Into the channel of this name.
    Channel(String),
    /// To the sink of this name.
    Sink(String),
    /// To every branch, as one unit.
    Copy(Vec<Branch>),
}

/// One branch of a `copy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Whether this branch may fail without failing the event.
    pub optional: bool,
    /// The branch's own steps and destination.
    pub segment: Segment,
}

/// One step on a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The step's first words as the user wrote them, its name in metrics and reports.
    pub label: String,
    /// What it does.
    pub action: Action,
    /// The type of the events that leave it.
    pub event_type: EventTypeId,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Keeps the events for which the expression is true; the others are delivered by being
    /// dropped, and counted.
    Keep(Expression),
}

/// Why a plan was refused.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The text is no plan.
    #[error("not a plan: {0}")]
    Syntax(#[from] serde_json::Error),
    /// The plan was made by another version of the compiler.
    #[error("the plan has version {found}; this weir runs version {PLAN_VERSION}: compile it again")]
    Version {
        /// The version that the plan names.
        found: u32,
    },
}

impl Plan {
    /// Reads a plan from its JSON text.
    ///
    /// # Errors
    /// When the text is not a plan, or a plan of another version than [`PLAN_VERSION`].
    pub fn from_json(text: &str) -> Result<Plan, PlanError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_str(text)?;
        if version != PLAN_VERSION {
            return Err(PlanError::Version { found: version });
        }
        Ok(serde_json::from_str(text)?)
    }

    /// The event type with this index.
    ///
    /// # Panics
    /// When the index is of another plan.
    pub fn event_type(&self, id: EventTypeId) -> &EventType {
        &self.event_types[id.0 as usize]
    }
}
