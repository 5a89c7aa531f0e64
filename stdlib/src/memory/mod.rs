//! The channel in memory; the core brings it, this gives it its settings.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use weir_plan::Settings;
use weir_runtime::channel::{Channel, Limits, MemoryChannel};
use weir_runtime::{Context, Failure};

#[derive(Deserialize)]
struct MemorySettings {
    capacity: usize,
    transaction_capacity: usize,
    byte_capacity: u64,
    keep_alive: Duration,
}

/// Makes a memory channel.
pub(crate) fn make(settings: &Settings, _context: Context) -> Result<Arc<dyn Channel>, Failure> {
    let MemorySettings { capacity, transaction_capacity, byte_capacity, keep_alive } =
        settings.read().map_err(Failure::permanent)?;
    Ok(Arc::new(MemoryChannel::new(Limits { capacity, transaction_capacity, byte_capacity, keep_alive })))
}
