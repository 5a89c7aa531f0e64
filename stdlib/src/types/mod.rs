//! Types of `types.flow` that components without anything else in common read.

use serde::Deserialize;

/// What a sink may be given although the checker would refuse it: the checker's concern alone, which
/// sinks read so that they need not refuse it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Allowed {
    Sensitive,
}
