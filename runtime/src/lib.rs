//! The runtime: carries out a plan on a batched, transactional transfer core.
//!
//! Events move as columns ([`batch`]), from [`source`]s through [`channel`]s to [`sink`]s, and
//! nothing but transactions moves them. An acknowledgement goes the other way: a source learns
//! that its positions are done when the channels behind have them safe.
//!
//! This crate must not know the language (it is handed a plan), nor any component of the
//! library (it is handed a registry): no Kafka, no HDFS, no `.flow` text.

#[macro_use]
mod losses;

pub mod agent;
pub mod batch;
mod chance;
pub mod channel;
mod clock;
mod descriptors;
mod drive;
pub mod expressions;
mod failure;
mod meter;
pub mod metrics;
mod registry;
mod routing;
mod said;
pub mod sink;
pub mod source;
mod steps;
pub mod storage;
mod workers;

pub use chance::{Chance, number_from_environment};
pub use clock::{Clock, SystemClock};
pub use descriptors::{Descriptor, DescriptorCounts, Descriptors, Purpose, TooFewDescriptors};
pub use drive::Drive;
pub use failure::{Failure, Remedy, SYSTEM_ERRORS, SystemError, is_disk_failure, is_outage, remedy};
#[doc(hidden)]
#[cfg(weir_bug)]
pub use losses::is_put_back;
pub use meter::{
    BUCKET_BOUNDS_SECONDS, Condition, Count, Gauge, LastError, Latencies, Latency, Meter, Phase, Reading,
};
pub use registry::{Context, Make, MakeChannel, MakeSink, MakeSource, Registry};
pub use routing::Acknowledgement;
pub use said::{Said, Unsaid};
pub use workers::{Lane, WorkerPanicked, Workers};
