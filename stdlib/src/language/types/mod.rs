//! Types of `types.flow` that several components read.

use std::time::Duration;

use serde::Deserialize;
use weir_runtime::channel;
use weir_runtime::sink::Retry;

/// Events that a sink may be given although the checker would refuse them. Only the checker uses the setting; sinks
/// read it because a setting that no type reads is refused.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Allowed {
    Sensitive,
}

/// How a sink retries after a failure.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct RetrySettings {
    first: Duration,
    max: Duration,
    limit: Option<u64>,
}

impl From<RetrySettings> for Retry {
    fn from(settings: RetrySettings) -> Retry {
        let RetrySettings { first, max, limit } = settings;
        Retry { first, max, limit }
    }
}

/// What a put does when the channel is full.
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
