//! The test harness of the end-to-end tests: real servers, the real binary, and comparisons of sent and arrived lines.
//!
//! A test creates a [`Scene`], asks for the servers ([`Servers::shared`], or [`Servers::exclusive`] if it stops one of
//! them), generates [`access_log`] lines, moves them with [`Weir`], reads the arrived lines with the servers' own clients,
//! and compares them with the sent lines ([`Account`]). The harness waits for events ([`wait_until`]), never for a time.
//!
//! On an error, every function panics with a message that names the logs, which fails the test. The harness uses Weir as a
//! user does: its command line, its log and its files.

mod access_log;
mod account;
mod addresses;
mod cluster;
mod crash_point;
mod feed;
mod forwarder;
mod hdfs;
mod kafka;
mod metrics_server;
mod readers;
mod scene;
mod servers;
mod stored;
mod waiting;
mod weir;

pub use access_log::access_log;
pub use account::Account;
pub use addresses::free_address;
pub use cluster::Cluster;
pub use crash_point::{CrashPoint, PipelineFiles};
pub use feed::{FedRecord, Feed};
pub use forwarder::{Forwarder, Network};
pub use hdfs::{Hdfs, OpenFile, StoredFile};
pub use kafka::{CommittedRecords, Kafka, Progress};
pub use metrics_server::ask_agent;
pub use readers::{parse_independently, read_independently};
pub use scene::{Scene, print_line, repository};
pub use servers::{Outage, Server, Servers, Session, Stall};
pub use stored::{lines_of, visible_files};
pub use waiting::wait_until;
pub use weir::{Ending, LogPosition, Weir};
