//! Types of `types.flow` that components without anything else in common read.

use serde::Deserialize;
use weir_runtime::channel;

/// What a sink may be given although the checker would refuse it: the checker's concern alone, which
/// sinks read so that they need not refuse it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Allowed {
    Sensitive,
}

/// What a put does that finds its channel full.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Overflow {
    Wait,
    DropOldest,
    DropNewest,
}

impl From<Overflow> for channel::Overflow {
    fn from(overflow: Overflow) -> channel::Overflow {
        match overflow {
            Overflow::Wait => channel::Overflow::Wait,
            Overflow::DropOldest => channel::Overflow::DropOldest,
            Overflow::DropNewest => channel::Overflow::DropNewest,
        }
    }
}
