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
mod drawing;
mod event;
mod expression;
mod faults;
mod graph;
mod settings;
mod value;

pub use display::type_name;
pub use event::{ATTACHED_HEADERS, BODY, EventType, EventTypeId, HEADER_SIGIL, SENSITIVE};
pub use expression::{Arithmetic, Comparison, Expression, Function, MatchArm, Operation, Pattern};
pub use graph::{
    Action, Branch, Case, Component, Delivery, FieldFormat, Flow, Leg, OnFailure, Order, Origin,
    PLAN_VERSION, ParsedField, Path, Plan, PlanError, Route, Rule, Step,
};
pub use settings::{NotCarriedOut, Settings, SettingsError};
pub use value::{Hole, HoleFormat, SecretReference, Template, TemplatePart, Value};
