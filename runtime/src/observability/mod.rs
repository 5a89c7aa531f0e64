//! Observability: the meters in which components count, the metrics of an agent, and the limit of repeated log
//! messages.

pub(crate) mod failover;
pub(crate) mod log_limit;
pub(crate) mod meter;
pub mod metrics;
pub(crate) mod role;
