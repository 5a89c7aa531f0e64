//! The graph: components, flows and the paths that events take.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use std::time::Duration;

use crate::{EventType, EventTypeId, Expression, Function, Settings, Value};

/// The version of the plan's format that this crate reads and writes.
pub const PLAN_VERSION: u32 = 2;

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
    /// The functions of the program that its expressions use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<Function>,
    /// The flows, in the order of the text.
    pub flows: Vec<Flow>,
    /// What the whole agent may use, as the program's `agent { … }` says; empty without.
    #[serde(default)]
    pub agent: Settings,
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
    /// In which order it promises to deliver them.
    #[serde(default, skip_serializing_if = "Order::is_none")]
    pub order: Order,
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

/// The order that a flow promises.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// None.
    #[default]
    None,
    /// That of each partition of its sources.
    Partition,
    /// That of all events that have the same value in this column.
    By(String),
    /// That of all events.
    Total,
}

impl Order {
    /// Whether no order is promised.
    pub fn is_none(&self) -> bool {
        *self == Order::None
    }
}

/// The way of events from one component onward, up to the next channels or sinks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// Where the events come from.
    pub from: Origin,
    /// The steps that they pass, and where they go.
    #[serde(rename = "segment")]
    pub leg: Leg,
}

/// Where a path begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// At the source of this name.
    Source(String),
    /// At the channel of this name.
    Channel(String),
    /// With the events that the steps of this flow reject.
    Rejects(String),
}

/// A part of a path: steps in their order, and where the events go after them. JSON calls it a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leg {
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
    /// Each event to the first case whose condition is true for it.
    Match(Vec<Case>),
    /// Each event to one of several ways.
    Balance {
        /// What keeps events together: those of one value go one way. Without, ways take turns.
        by: Option<Expression>,
        /// The ways.
        #[serde(rename = "segments")]
        legs: Vec<Leg>,
    },
    /// Every event to the first of several ways that works.
    Failover(Vec<Leg>),
}

/// One case of a `match`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// What is asked; none fits every event.
    pub condition: Option<Expression>,
    /// The case's own steps and destination.
    #[serde(rename = "segment")]
    pub leg: Leg,
}

/// One branch of a `copy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Whether this branch may fail without failing the event.
    pub optional: bool,
    /// The branch's own steps and destination.
    #[serde(rename = "segment")]
    pub leg: Leg,
}

/// One step on a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The step's first words as the user wrote them, its name in metrics and reports.
    pub label: String,
    /// What it does.
    pub action: Action,
    /// What happens to an event for which it fails; none if it can't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// The type of the events that leave it.
    pub event_type: EventTypeId,
}

/// What happens to an event for which a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It goes to the flow's rejects.
    Reject,
    /// It is delivered by being dropped, and counted.
    Drop,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Keeps the events for which the expression is true; the others are delivered by being
    /// dropped, and counted.
    Keep(Expression),
    /// Drops the events for which the expression is true.
    Drop(Expression),
    /// Rejects the events for which the condition is true.
    Reject {
        /// What is asked.
        condition: Expression,
        /// Why, in the program's words.
        reason: Option<String>,
    },
    /// Rejects the events that break one of the rules.
    Check {
        /// The rules' name as a whole.
        quality: String,
        /// The rules in their order.
        rules: Vec<Rule>,
    },
    /// Gives a column a value; it may be a new column.
    Set {
        /// The column.
        column: String,
        /// Its value.
        value: Expression,
    },
    /// Takes a column away.
    Unset(String),
    /// Gives a column another name.
    Rename {
        /// The old name.
        from: String,
        /// The new one.
        to: String,
    },
    /// Takes away all fields but these; headers stay.
    Select(Vec<String>),
    /// Reads the body into fields, and takes the body away.
    Parse {
        /// The parser of the library.
        parser: String,
        /// Its settings.
        settings: Settings,
        /// The fields that it gives.
        fields: Vec<ParsedField>,
        /// Whether further fields in the body are a failure.
        strict: bool,
    },
    /// Computes a value for the steps after it.
    Let {
        /// Its number.
        local: u32,
        /// The value.
        value: Expression,
    },
    /// Lets no more through than this rate, an [`Value::EventRate`] or a [`Value::ByteRate`].
    Throttle(Value),
    /// Keeps this share of the events, chosen by their origins.
    Sample(f64),
    /// Drops events whose value came before within this time.
    Dedupe {
        /// The value.
        by: Expression,
        /// How long a value is remembered.
        within: Duration,
    },
}

/// One rule of a `quality`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name in metrics and rejected events.
    pub name: String,
    /// What must hold.
    pub condition: Expression,
    /// Why, in the program's words.
    pub reason: Option<String>,
}

/// A field that a parser gives; its type is that of its column after the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParsedField {
    /// The name, in the body and of the column.
    pub name: String,
    /// How its value is written in the body.
    #[serde(default, skip_serializing_if = "FieldFormat::is_plain")]
    pub format: FieldFormat,
}

/// How a field's value is written in a body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldFormat {
    /// As its type is written by default: a time in RFC 3339, a duration as in `5s`.
    #[default]
    Plain,
    /// A duration, as a number that counts this long.
    Unit(Duration),
    /// A time, by a `strptime` pattern that the checker has validated.
    Pattern(String),
}

impl FieldFormat {
    fn is_plain(&self) -> bool {
        *self == FieldFormat::Plain
    }
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
    /// The plan contradicts itself.
    #[error("the plan has faults: {}", .0.join("; "))]
    Faults(Vec<String>),
}

impl Plan {
    /// Reads a plan from its JSON text.
    ///
    /// # Errors
    /// When the text is not a plan, a plan of another version than [`PLAN_VERSION`], or one with
    /// [faults](Plan::faults).
    pub fn from_json(text: &str) -> Result<Plan, PlanError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_str(text)?;
        if version != PLAN_VERSION {
            return Err(PlanError::Version { found: version });
        }
        let plan: Plan = serde_json::from_str(text)?;
        match plan.faults() {
            faults if faults.is_empty() => Ok(plan),
            faults => Err(PlanError::Faults(faults)),
        }
    }

    /// The event type with this index.
    ///
    /// # Panics
    /// When the index is of another plan, or the plan has [faults](Plan::faults).
    pub fn event_type(&self, id: EventTypeId) -> &EventType {
        &self.event_types[id.0 as usize]
    }
}
