//! The channel in memory; the core brings it, this gives it its settings.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use weir_plan::Settings;
use weir_runtime::channel::{Channel, Limits, MemoryChannel};
use weir_runtime::{Context, Failure};

use crate::types::Overflow;

#[derive(Deserialize)]
struct MemorySettings {
    capacity: usize,
    transaction_capacity: usize,
    byte_capacity: u64,
    keep_alive: Duration,
    overflow: Overflow,
}

/// Makes a memory channel.
pub(crate) fn make(settings: &Settings, _context: Context) -> Result<Arc<dyn Channel>, Failure> {
    let MemorySettings { capacity, transaction_capacity, byte_capacity, keep_alive, overflow } =
        settings.read().map_err(Failure::permanent)?;
    let limits = Limits { capacity, transaction_capacity, byte_capacity, keep_alive };
    Ok(Arc::new(MemoryChannel::new(limits).with_overflow(overflow.into())))
}
