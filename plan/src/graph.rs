//! The graph: components, flows and the paths that events take.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{EventType, EventTypeId, Expression, Function, Operation, Settings, Value, WorstCase};

/// The version of the plan's format that this crate reads and writes.
pub const PLAN_VERSION: u32 = 4;

/// A compiled program.
///
/// Every name in a path is the name of a component in `sources`, `channels` or
/// `sinks`; every [`EventTypeId`] is an index into `event_types`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The [`PLAN_VERSION`] of the compiler.
    pub version: u32,
    /// The program's name: the name of its file without `.flow`.
    pub program: String,
    /// The sources, in the order of the text.
    pub sources: Vec<Component>,
    /// The channels, implicit ones last.
    pub channels: Vec<Component>,
    /// The sinks.
    pub sinks: Vec<Component>,
    /// The event types, without duplicates; the rest of the plan refers to them by index.
    pub event_types: Vec<EventType>,
    /// The functions of the program that its expressions use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<Function>,
    /// The flows, in the order of the text.
    pub flows: Vec<Flow>,
    /// The settings of the program's `agent { … }`; empty without it.
    #[serde(default)]
    pub agent: Settings,
    /// The most memory and disk space that the program takes. Plans that were compiled before may lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_case: Option<WorstCase>,
}

/// One source, channel or sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// The name in the program, in metrics, logs and errors.
    pub name: String,
    /// The kind: the name of a component of the library, such as `kafka` in `source clicks = kafka { … }`.
    pub kind: String,
    /// Every setting of the component's signature, with defaults filled in.
    pub settings: Settings,
    /// The type of the events that a source emits, a channel stores or a sink receives.
    pub event_type: EventTypeId,
    /// Whether the compiler has added the component: the small memory channel of a path without a channel.
    #[serde(default)]
    pub implicit: bool,
    /// The settings whose values the compiler computed from other settings, each with these settings:
    /// `batch` from `buffer.transaction_capacity`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub derived: BTreeMap<String, String>,
}

/// A flow with its promises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// The flow's name.
    pub name: String,
    /// The promised delivery.
    pub delivers: Delivery,
    /// The promised order.
    #[serde(default, skip_serializing_if = "Order::is_none")]
    pub order: Order,
    /// The paths: from each source to its channels, and from each channel to its sinks.
    pub paths: Vec<Path>,
}

/// The delivery guarantee that a flow promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Events may be lost or repeated.
    BestEffort,
    /// Events may be lost, but not repeated.
    AtMostOnce,
    /// Events may be repeated, but not lost.
    AtLeastOnce,
    /// Every event arrives exactly once.
    ExactlyOnce,
}

impl Delivery {
    /// Returns whether no event is lost.
    pub fn never_loses(self) -> bool {
        matches!(self, Delivery::AtLeastOnce | Delivery::ExactlyOnce)
    }

    /// Returns whether no event is repeated, so that components store positions with their data.
    pub fn never_repeats(self) -> bool {
        matches!(self, Delivery::AtMostOnce | Delivery::ExactlyOnce)
    }
}

/// The order that a flow promises.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// No order.
    #[default]
    None,
    /// The order of the events of each partition of the sources.
    Partition,
    /// The order of events with equal values in this column.
    By(String),
    /// The order of all events.
    Total,
}

impl Order {
    /// Returns whether no order is promised.
    pub fn is_none(&self) -> bool {
        *self == Order::None
    }
}

/// The path of events from one component to the next channels or sinks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// The origin of the events.
    pub from: Origin,
    /// The steps and the destination.
    #[serde(rename = "segment")]
    pub leg: Leg,
}

/// The origin of a path's events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The source of this name.
    Source(String),
    /// The channel of this name.
    Channel(String),
    /// The events that the steps of this flow reject.
    Rejects(String),
}

/// A part of a path: steps in their order, and where the events go after them. JSON calls it a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    /// The steps, applied to each batch in this order.
    pub steps: Vec<Step>,
    /// The destination of the remaining events.
    pub to: Route,
}

impl Leg {
    /// Returns whether a step of the leg, or of a leg behind it, rejects events.
    pub fn rejects(&self) -> bool {
        self.steps.iter().any(Step::rejects) || self.to.legs().into_iter().any(Leg::rejects)
    }

    /// Returns the expressions of the steps and of the route, and those of the legs behind it.
    pub fn expressions(&self) -> Vec<&Expression> {
        let own = self.steps.iter().flat_map(|step| step.action.expressions());
        let behind = self.to.legs().into_iter().flat_map(Leg::expressions);
        own.chain(self.to.conditions()).chain(behind).collect()
    }
}

/// The destination of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// The channel of this name.
    Channel(String),
    /// The sink of this name.
    Sink(String),
    /// None: the last step drops or rejects all events.
    End,
    /// Every branch, as one unit.
    Copy(Vec<Branch>),
    /// For each event, the first case whose condition is true.
    Match(Vec<Case>),
    /// For each event, one of several legs.
    Balance {
        /// The key: events with equal keys go to the same leg. Without a key, legs are chosen round robin.
        by: Option<Expression>,
        /// The legs.
        #[serde(rename = "segments")]
        legs: Vec<Leg>,
    },
    /// For every event, the first of several legs that works.
    Failover(Vec<Leg>),
}

impl Route {
    /// Returns the legs behind the route, in the order of the text: none if the route ends at a component or at all.
    pub fn legs(&self) -> Vec<&Leg> {
        self.legs_if(true)
    }

    /// Returns these legs without the optional branches of a `copy`.
    pub fn required_legs(&self) -> Vec<&Leg> {
        self.legs_if(false)
    }

    /// Returns the conditions of a `match` and the key of a `balance by`, which choose a leg for each event.
    pub fn conditions(&self) -> Vec<&Expression> {
        match self {
            Route::Match(cases) => cases.iter().filter_map(|case| case.condition.as_ref()).collect(),
            Route::Balance { by, .. } => by.iter().collect(),
            _ => Vec::new(),
        }
    }

    fn legs_if(&self, optional: bool) -> Vec<&Leg> {
        match self {
            Route::Channel(_) | Route::Sink(_) | Route::End => Vec::new(),
            Route::Copy(branches) => {
                let branches = branches.iter().filter(|branch| optional || !branch.optional);
                branches.map(|branch| &branch.leg).collect()
            }
            Route::Match(cases) => cases.iter().map(|case| &case.leg).collect(),
            Route::Balance { legs, .. } | Route::Failover(legs) => legs.iter().collect(),
        }
    }
}

/// One case of a `match`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The condition; `None` matches every event.
    pub condition: Option<Expression>,
    /// The case's own steps and destination.
    #[serde(rename = "segment")]
    pub leg: Leg,
}

/// One branch of a `copy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Whether a failure of the branch does not fail the event.
    pub optional: bool,
    /// The branch's own steps and destination.
    #[serde(rename = "segment")]
    pub leg: Leg,
}

/// One step on a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The beginning of the step's source text, as its name in metrics and reports.
    pub label: String,
    /// The action.
    pub action: Action,
    /// The handling of an event for which the step fails; `None` if it can't fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// The type of the events after the step.
    pub event_type: EventTypeId,
}

impl Step {
    /// Returns whether the step rejects events.
    pub fn rejects(&self) -> bool {
        self.on_failure == Some(OnFailure::Reject)
            || matches!(self.action, Action::Reject { .. } | Action::Check { .. })
    }
}

/// The handling of an event for which a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The event goes to the flow's rejects.
    Reject,
    /// The event is dropped and counted; it counts as delivered.
    Drop,
}

/// The action of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Keeps the events for which the expression is true; the others are dropped and counted, and count as
    /// delivered.
    Keep(Expression),
    /// Drops the events for which the expression is true.
    Drop(Expression),
    /// Rejects the events for which the condition is true.
    Reject {
        /// The condition.
        condition: Expression,
        /// The reason in the program.
        reason: Option<String>,
    },
    /// Rejects the events that break one of the rules.
    Check {
        /// The name of the quality that contains the rules.
        quality: String,
        /// The rules, in order.
        rules: Vec<Rule>,
    },
    /// Sets the value of a column, which may be new.
    Set {
        /// The column.
        column: String,
        /// The value.
        value: Expression,
    },
    /// Removes a column.
    Unset(String),
    /// Renames a column.
    Rename {
        /// The old name.
        from: String,
        /// The new name.
        to: String,
    },
    /// Removes all fields except these; headers stay.
    Select(Vec<String>),
    /// Parses the body into fields, and removes the body.
    Parse {
        /// The parser of the library.
        parser: String,
        /// The parser's settings.
        settings: Settings,
        /// The fields, in the order of the schema.
        fields: Vec<ParsedField>,
        /// Whether further fields in the body fail the step.
        strict: bool,
    },
    /// Computes a value for the following steps.
    Let {
        /// The number of the local.
        local: u32,
        /// The value.
        value: Expression,
    },
    /// Makes an event of each element of a list, which the column then has. An event without elements is dropped.
    Explode(String),
    /// Replaces a record by its fields, which become columns `column_field`.
    Flatten {
        /// The column with the record.
        column: String,
        /// The names of the fields.
        fields: Vec<String>,
    },
    /// Limits events to this rate, a [`Value::EventRate`] or a [`Value::ByteRate`].
    Throttle(Value),
    /// Keeps this fraction of the events, chosen by their identities.
    Sample(f64),
    /// Drops an event if an event with the same value has passed within this time.
    Dedupe {
        /// The value.
        by: Expression,
        /// The time for which a value is remembered.
        within: Duration,
    },
}

/// The most values that a `dedupe` remembers.
pub const DEDUPE_VALUES_MAX: usize = 1 << 20;
/// The bytes of memory that each of them takes, of whatever type it is.
pub const DEDUPE_VALUE_BYTES: usize = 50;

impl Action {
    /// Returns the name of the column of a field after [`Action::Flatten`].
    pub fn flattened(column: &str, field: &str) -> String {
        format!("{column}_{field}")
    }

    /// Returns the expressions that the action computes.
    pub fn expressions(&self) -> Vec<&Expression> {
        match self {
            Action::Keep(one)
            | Action::Drop(one)
            | Action::Reject { condition: one, .. }
            | Action::Set { value: one, .. }
            | Action::Let { value: one, .. }
            | Action::Dedupe { by: one, .. } => vec![one],
            Action::Check { rules, .. } => rules.iter().map(|rule| &rule.condition).collect(),
            Action::Unset(_)
            | Action::Rename { .. }
            | Action::Select(_)
            | Action::Parse { .. }
            | Action::Explode(_)
            | Action::Flatten { .. }
            | Action::Throttle(_)
            | Action::Sample(_) => Vec::new(),
        }
    }

    /// Returns whether the action drops or rejects every event.
    pub fn takes_all(&self) -> bool {
        let (Action::Drop(condition) | Action::Reject { condition, .. }) = self else { return false };
        condition.operation == Operation::Literal(Value::Bool(true))
    }
}

/// One rule of a `quality`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The name in metrics and rejected events.
    pub name: String,
    /// The condition that each event must satisfy.
    pub condition: Expression,
    /// The reason in the program.
    pub reason: Option<String>,
}

/// A field that a parser knows. Its type is the type of its column after the step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ParsedField {
    /// The name of the field in the body and of the column.
    pub name: String,
    /// The format of the value in the body; for a list or a map, that of its items.
    #[serde(default, skip_serializing_if = "FieldFormat::is_plain")]
    pub format: FieldFormat,
    /// The parts of the record that the field is, or that its items are. Parts with the default format are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<ParsedField>,
    /// Whether nothing reads the field: it is not decoded, and the events after the step do not have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
}

/// The format of a field's value in a body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldFormat {
    /// The default format of the type: RFC 3339 for a time, `5s` for a duration.
    #[default]
    Plain,
    /// An integer from the first to the second; any other makes the body unreadable.
    Within(i64, i64),
    /// A duration as a number of this unit.
    Unit(Duration),
    /// A time with a `strptime` pattern, which the checker has validated.
    Pattern(String),
    /// Any JSON value, of which the field has the text.
    Json,
}

impl FieldFormat {
    fn is_plain(&self) -> bool {
        *self == FieldFormat::Plain
    }
}

/// Why a plan was refused.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The text is not a plan.
    #[error("not a plan: {0}")]
    Syntax(#[from] serde_json::Error),
    /// Another version of the compiler has made the plan.
    #[error("the plan has version {found}; this weir runs version {PLAN_VERSION}: compile it again")]
    Version {
        /// The plan's version.
        found: u32,
    },
    /// The plan is inconsistent.
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

    /// Returns the event type with this index.
    ///
    /// # Panics
    /// When the index is of another plan, or the plan has [faults](Plan::faults).
    pub fn event_type(&self, id: EventTypeId) -> &EventType {
        &self.event_types[id.0 as usize]
    }
}
