//! The roles of components, by which metrics and reports group them.

use serde::Serialize;

/// The role of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Brings events in.
    Source,
    /// Holds events between sources and sinks.
    Channel,
    /// Takes events out.
    Sink,
}
