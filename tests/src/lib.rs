//! The rig of the end-to-end tests: real servers, the real binary, and accounts of what arrived.
//!
//! A test makes a [`Scene`], asks for the servers ([`Servers::shared`], or [`Servers::alone`] when it stops one of
//! them), makes [`access_log`] lines, lets [`Weir`] move them, reads back what arrived with the servers' own clients
//! and holds it against what was sent ([`Account`]). The rig waits for events ([`wait_until`]), never for a time.
//!
//! Everything here panics with what happened and where the logs are: in a test, that is its failure. The rig knows
//! Weir as its user does: by its command line, its log and what it leaves behind.

mod access_log;
mod account;
mod hdfs;
mod kafka;
mod moment;
mod readers;
mod scene;
mod servers;
mod stored;
mod waiting;
mod weir;

pub use access_log::access_log;
pub use account::Account;
pub use hdfs::{Hdfs, StoredFile};
pub use kafka::{Kafka, Progress};
pub use moment::{Moment, Traces};
pub use readers::read_by_others;
pub use scene::{Scene, repository, say};
pub use servers::{Outage, Servers, Session};
pub use stored::{lines_of, visible_files};
pub use waiting::wait_until;
pub use weir::{Ending, Mark, Weir};
