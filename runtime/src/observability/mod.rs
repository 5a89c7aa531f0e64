//! What an agent tells those who operate it: what each component counts, the metrics made of it, and how often a
//! message is logged.

pub(crate) mod log_limit;
pub(crate) mod meter;
pub mod metrics;
