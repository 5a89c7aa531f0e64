//! The channel `memory`: makes the runtime's memory channel from its settings.

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

/// The capacities of a channel contradict each other.
#[derive(Debug, Error)]
#[error(
    "a channel of {capacity} events and {byte_capacity} bytes can't take transactions of {transaction_capacity} events"
)]
struct CapacityError {
    capacity: usize,
    transaction_capacity: usize,
    byte_capacity: u64,
}

/// Makes a memory channel.
pub(crate) fn make(settings: &Settings, _context: Context) -> Result<Arc<dyn Channel>, Failure> {
    let MemorySettings { capacity, transaction_capacity, byte_capacity, keep_alive, overflow } =
        settings.read().map_err(Failure::permanent)?;
    // The compiler has checked this, unless the plan was written by hand.
    if transaction_capacity == 0 || transaction_capacity > capacity || byte_capacity == 0 {
        return Err(Failure::permanent(CapacityError { capacity, transaction_capacity, byte_capacity }));
    }
    let limits = Limits { capacity, transaction_capacity, byte_capacity, keep_alive };
    Ok(Arc::new(MemoryChannel::new(limits).with_overflow(overflow.into())))
}
