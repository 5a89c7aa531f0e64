//! The runtime, which runs a plan.
//!
//! Transactions move batches of events, stored as columns ([`batch`]), from [`source`]s through [`channel`]s to
//! [`sink`]s. Acknowledgements go the other way: a source learns that its positions are delivered when its channels
//! have stored the events safely.
//!
//! This crate knows neither the language nor the components of the library: the caller gives it a plan and a
//! registry.

#[macro_use]
mod losses;

pub mod agent;
pub mod batch;
pub mod channel;
mod environment;
pub mod expressions;
mod failure;
mod observability;
pub mod parsers;
mod previews;
mod registry;
mod routing;
pub mod sink;
pub mod source;
mod steps;

pub use environment::blocking::BlockingExecutor;
pub use environment::clock::{Clock, SystemClock};
pub use environment::descriptors::{Descriptor, DescriptorCounts, Descriptors, Purpose, TooFewDescriptors};
pub use environment::random::{SeededRandom, number_from_environment, seeds_from_environment};
pub use environment::storage;
pub use environment::workers::{QueueId, WorkerPanicked, Workers};
pub use failure::{
    Cause, ConnectFailure, Failure, Remedy, SYSTEM_ERRORS, SystemError, is_disk_failure, is_outage, remedy,
};
#[doc(hidden)]
#[cfg(weir_bug)]
pub use losses::is_put_back;
pub use observability::log_limit::{LogLimit, Suppressed};
pub use observability::meter::{
    BUCKET_BOUNDS_SECONDS, Condition, Count, Gauge, LastError, LatencyHistogram, LatencySnapshot, Meter,
    PartitionGauges, Phase, Reading, ReasonKind, RejectedBySteps, Reminder, RuleReading, StepReading,
    Trouble, TroubleReport,
};
pub use observability::metrics;
pub use previews::{EventsOfLines, Writes};
pub use registry::{Context, Make, MakeChannel, MakeSink, MakeSource, MakeUntraced, Registry, Untraced};
pub use routing::Acknowledgement;
pub use steps::{EventsAsJson, Observer, RoutePlace, StepPlace};
