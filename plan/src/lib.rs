//! The plan: what the compiler hands to the runtime.
//!
//! A plan is plain data. Names are resolved, defaults filled in, units normalised, expressions
//! typed and edges explicit, so that the runtime decides nothing that the checker has not seen.
//! It is versioned, so that a plan compiled today is either run or refused by tomorrow's agent,
//! never misread.
//!
//! This crate must not know how a plan came about (the language, spans, diagnostics) nor how it
//! is run (batches, transactions, components).

mod display;
mod event;
mod expression;
mod graph;
mod settings;
mod value;

pub use event::{BODY, EventType, EventTypeId, HEADER_SIGIL};
pub use expression::{Comparison, Expression, Operation};
pub use graph::{
    Action, Branch, Component, Delivery, Flow, Origin, PLAN_VERSION, Path, Plan, PlanError, Route, Segment,
    Step,
};
pub use settings::{Settings, SettingsError};
pub use value::{Hole, HoleFormat, SecretReference, Template, TemplatePart, Value};
