//! The channel in memory; the core brings it, this gives it its settings.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use weir_plan::Settings;
use weir_runtime::channel::{Channel, Limits, MemoryChannel};
use weir_runtime::{Context, Failure};

use crate::language::types::Overflow;

#[derive(Deserialize)]
struct MemorySettings {
    capacity: usize,
    transaction_capacity: usize,
    byte_capacity: u64,
    keep_alive: Duration,
    overflow: Overflow,
}

/// Bounds that no channel can keep.
#[derive(Debug, Error)]
#[error(
    "a channel of {capacity} events and {byte_capacity} bytes can't take transactions of {transaction_capacity} events"
)]
struct Bounds {
    capacity: usize,
    transaction_capacity: usize,
    byte_capacity: u64,
}

/// Makes a memory channel.
pub(crate) fn make(settings: &Settings, _context: Context) -> Result<Arc<dyn Channel>, Failure> {
    let MemorySettings { capacity, transaction_capacity, byte_capacity, keep_alive, overflow } =
        settings.read().map_err(Failure::permanent)?;
    // The checker has compared them, unless the plan was written by hand.
    if transaction_capacity == 0 || transaction_capacity > capacity || byte_capacity == 0 {
        return Err(Failure::permanent(Bounds { capacity, transaction_capacity, byte_capacity }));
    }
    let limits = Limits { capacity, transaction_capacity, byte_capacity, keep_alive };
    Ok(Arc::new(MemoryChannel::new(limits).with_overflow(overflow.into())))
}
