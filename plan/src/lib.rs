//! The plan: the compiler's output and the runtime's input.
//!
//! A plan is plain data. Names are resolved, defaults filled in, units normalised, expressions
//! typed and edges explicit, so that the compiler has checked everything that the runtime does.
//! A plan has a version, so that a newer agent either runs it or refuses it, but never misreads it.
//!
//! This crate must not depend on the language (spans, diagnostics) nor on the
//! runtime (batches, transactions, components).

pub mod circles;
mod decimal;
mod display;
mod drawing;
mod event;
mod expression;
mod faults;
mod graph;
pub mod grok;
mod readers;
mod settings;
pub mod support;
mod time;
mod value;
pub mod varying;
mod worst_case;

pub use decimal::{DECIMAL_DIGITS_MAX, Decimal, DecimalType, NoDecimal};
pub use display::type_name;
pub use event::{ATTACHED, ATTACHED_HEADERS, BODY, EventType, EventTypeId, HEADER_SIGIL, LINEAGE, SENSITIVE};
pub use expression::{
    Arithmetic, Comparison, Expression, FilledPart, Function, MatchArm, Operation, Pattern, Table,
    TableFormat,
};
pub use graph::{
    Action, Branch, Case, Component, DEDUPE_VALUE_BYTES, DEDUPE_VALUES_MAX, Delivery, FieldFormat, Flow, Leg,
    OnFailure, Order, Origin, PLAN_VERSION, ParsedField, Path, Plan, PlanError, Route, Rule, Step,
};
pub use readers::{reader_name, readers_of, shared_reader};
pub use settings::{NotCarriedOut, Settings, SettingsError};
pub use time::{TIME_MAX, microseconds_of, read_time, shown_in, time_text};
pub use value::{Hole, HoleFormat, SecretReference, Template, TemplatePart, Value};
pub use worst_case::{BATCH_BYTES, Bytes, WorstCase};
