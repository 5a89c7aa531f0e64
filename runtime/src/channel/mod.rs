//! Channels: bounded buffers of events between sources and sinks, with transactions.
//!
//! An event's batch goes through these states:
//!
//! ```text
//! Reserved ──commit──► Visible ──take──► Leased ──acknowledge──► Acknowledged ─► Reclaimed
//!     │                   ▲                 │
//!     └─drop─► (gone)     └────roll back────┘
//! ```
//!
//! A *put* transaction begins with a reservation, the only point of back-pressure. It ends with its
//! commit; dropping the reservation rolls it back. A *take* transaction leases a batch. Acknowledging
//! the lease commits it; dropping the lease rolls it back.

pub mod encoding;
pub mod file;
mod hooked;
mod in_flight;
mod incarnation;
mod memory;
mod origins;
mod recorded;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::batch::{Batch, Partition};
use crate::failure::{ConnectFailure, Failure};
use crate::observability::meter::Reading;
use crate::routing::Acknowledgement;

pub use file::{Compression, FileChannel, FileChannelOptions};
pub use hooked::HookedChannel;
pub use incarnation::{Acceptance, Incarnation, LedgerLoss, Reached, Recovered};
pub use memory::MemoryChannel;
pub use recorded::RecordedPositions;

/// The bounds of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most events that the channel holds, leased ones included.
    pub capacity: usize,
    /// The most events in one put or take transaction.
    pub transaction_capacity: usize,
    /// The most bytes that the channel holds, as [`Batch::charged_bytes`] counts them.
    pub byte_capacity: u64,
    /// How long a put waits for space before it is rolled back and tried again.
    pub keep_alive: Duration,
}

/// What happens to a put when the channel is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The put waits, which slows its source down. Nothing is lost.
    #[default]
    Wait,
    /// The put replaces the oldest events that no reader has leased.
    DropOldest,
    /// The put is dropped.
    DropNewest,
}

/// A number of events with their size: of a channel, of a reader's leases or of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fill {
    /// Number of events.
    pub events: usize,
    /// Their bytes, as [`Batch::charged_bytes`] counts them.
    pub bytes: u64,
}

impl Fill {
    /// Returns the size of one batch.
    pub fn of(batch: &Batch) -> Fill {
        Fill { events: batch.rows(), bytes: batch.charged_bytes() }
    }

    pub(crate) fn add(&mut self, other: Fill) {
        self.events += other.events;
        self.bytes += other.bytes;
    }

    pub(crate) fn subtract(&mut self, other: Fill) {
        self.events -= other.events;
        self.bytes -= other.bytes;
    }
}

/// A reservation that can never succeed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ReserveError {
    /// The channel accepts no more events: the agent stops.
    #[error("the channel is closed")]
    Closed,
    /// The transaction is larger than the channel.
    #[error("{requested} {unit} can never fit into a channel that holds {limit}")]
    TooLarge {
        /// The size that was asked for.
        requested: u64,
        /// The limit.
        limit: u64,
        /// The unit of both: events or bytes.
        unit: &'static str,
    },
}

/// A put that a durable channel refuses, because positions would be missing in the channel.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommitError {
    /// The positions before the batch were never put.
    #[error(
        "positions {stored} to {after} of {partition} were never put: what follows them is refused, so that nothing is skipped"
    )]
    Gap {
        /// The partition.
        partition: String,
        /// The last position of the partition that the channel has.
        stored: u64,
        /// The position after which the batch begins.
        after: u64,
    },
}

/// The owner of the positions of a put: a source with one of its paths into the channel, and a run of this source.
/// Each run decides where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub(crate) name: Arc<str>,
    pub(crate) run: u64,
}

impl Scope {
    /// The name, which is the same in each run. It has no space.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the scopes of a new run, in the order of the names.
    pub fn of_a_run(names: impl IntoIterator<Item = Arc<str>>) -> Vec<Scope> {
        static RUNS: AtomicU64 = AtomicU64::new(1);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        names.into_iter().map(|name| Scope { name, run }).collect()
    }
}

/// Whether a channel has to keep events for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// The channel keeps every event until this reader has acknowledged it.
    Required,
    /// The channel keeps events until their space is needed. The reader then misses them, which is counted.
    Optional,
}

/// A channel, as the core uses it.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Returns the limits of a transaction and of the channel.
    fn limits(&self) -> Limits;

    /// Checks, before the channel is opened, the resources that it needs outside the process. Changes and keeps
    /// nothing. Returns everything that is wrong; a permanent failure keeps the agent from starting.
    async fn probe(&self) -> Vec<Failure> {
        Vec::new()
    }

    /// Makes the channel ready. Called once, after its readers were added and before anything is put or taken. A
    /// durable channel recovers its events.
    ///
    /// # Errors
    /// When the channel can't be used; the agent does not start then.
    async fn open(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Waits for a failure after which the channel can't go on, which stops the agent. Never returns for a volatile
    /// channel.
    async fn failed(&self) -> Failure {
        std::future::pending().await
    }

    /// Shuts the channel down when nothing is put or taken any more. A durable channel writes its state.
    ///
    /// # Errors
    /// When the channel has failed.
    async fn shut(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Returns whether events outlast the agent once they are put.
    fn is_durable(&self) -> bool {
        false
    }

    /// Returns whether the channel records the positions of the events that are put, and stores no event twice.
    /// True for a durable channel, and for a volatile one after [`Channel::remember`]. Such a channel also gets the
    /// positions of dropped events, in empty batches.
    fn knows_positions(&self) -> bool {
        self.is_durable()
    }

    /// Makes a volatile channel record the positions of a scope while the agent runs. The reader's side already has
    /// everything up to `stored`. Behind the channel, the names of the scope's partitions begin with `prefix`. A
    /// durable channel records positions in any case.
    fn remember(&self, _scope: &str, _prefix: &str, _stored: BTreeMap<Partition, u64>) {}

    /// Returns the last positions of this scope that the channel has; `None` if it does not record them.
    fn stored(&self, _scope: &str) -> Option<BTreeMap<Partition, u64>> {
        None
    }

    /// Asks the servers that the channel needs whether they are there, let it in, and have what its settings name. Changes nothing.
    /// Takes a few seconds at most. Returns all failures.
    async fn connect(&self) -> Vec<ConnectFailure> {
        Vec::new()
    }

    /// Lets a volatile channel forget a partition of a scope, of which no further event is put.
    fn forget(&self, _scope: &str, _partition: &Partition) {}

    /// Returns the names of the scopes whose positions an open durable channel has.
    fn scopes(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }

    /// Returns the partition in which an open durable channel numbers its events.
    fn partition(&self) -> Option<Partition> {
        None
    }

    /// Returns the absolute path of the directory with the channel's events; `None` for a channel in memory.
    fn place(&self) -> Option<String> {
        None
    }

    /// Returns the incarnation in which the channel numbered its events last; `None` if it has numbered none. The first
    /// put of a run changes it. It is on disk before this method returns it.
    fn incarnation(&self) -> Option<Incarnation> {
        None
    }

    /// Returns whether the channel has, or had, an incarnation; `None` if it has none or does not remember all.
    fn knows_incarnation(&self, _incarnation: Incarnation) -> Option<bool> {
        None
    }

    /// Returns, for each reader of a volatile channel whose sink has a ledger, the ledger's mark
    /// ([`Recovered::mark`]), as [`Channel::check_recovered`] and [`Reader::keep_mark`] have set it. Sources that
    /// outlast the channel store the marks.
    fn marks(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    /// Compares the state that a sink has recovered with the state of the channel, before anything is put or taken.
    /// `reader` is the name by which the sink reads the channel. Of the partitions of other channels, `recovered`
    /// has only those of channels that the sink does not read any more.
    ///
    /// # Errors
    /// When the sink or the channel has lost a part of its state: it was cut, damaged, deleted or restored from a
    /// backup. To go on would lose or repeat events silently.
    fn check_recovered(&self, _reader: &str, _recovered: &Recovered) -> Result<(), Failure> {
        Ok(())
    }

    /// Returns the highest mark of this sink that the channel was ever told of, if a repair of the channel has accepted
    /// the differences between the channel and the sink in the recovered state.
    fn accepts_loss(&self, _reader: &str, _recovered: &Recovered) -> Option<u64> {
        None
    }

    /// Begins a put transaction: waits until there is space for `amount`. Requests are served in the order in which
    /// they came. Dropping the future cancels the request.
    ///
    /// # Errors
    /// When the channel is closed, or the request exceeds its limits.
    async fn reserve(&self, amount: Fill) -> Result<Box<dyn PutTransaction>, ReserveError>;

    /// Begins a put transaction if there is space for `amount` now.
    fn try_reserve(&self, amount: Fill) -> Option<Box<dyn PutTransaction>>;

    /// Returns what happens to a put when the channel is full.
    fn overflow(&self) -> Overflow {
        Overflow::Wait
    }

    /// Begins a put transaction and makes space for it if necessary: the oldest events are acknowledged and dropped.
    /// Returns the dropped events as well. The transaction is `None` if the leased events leave too little space.
    fn displace(&self, amount: Fill) -> (Option<Box<dyn PutTransaction>>, Reading) {
        (self.try_reserve(amount), Reading::default())
    }

    /// Adds a reader with its own cursor, which gets every event that is put from now on. A durable channel continues a
    /// reader of a known name at its last position; a new reader begins with the oldest event in the channel. Readers
    /// of one name share a cursor: each event goes to one of them.
    fn reader(&self, name: &str, demand: Demand) -> Box<dyn Reader>;

    /// Closes the channel for puts. Readers get the remaining events, then [`Taken::End`].
    fn close(&self);

    /// Returns the size of the events in the channel, leased ones included.
    fn fill(&self) -> Fill;

    /// Returns the most that the channel can hold.
    fn bounds(&self) -> Fill {
        let Limits { capacity, byte_capacity, .. } = self.limits();
        Fill { events: capacity, bytes: byte_capacity }
    }

    /// Returns whether a required reader has events that are not leased.
    fn has_unread(&self) -> bool;
}

/// Space reserved in a channel. Dropping it rolls the transaction back.
pub trait PutTransaction: Send {
    /// Puts the batch, which is no larger than the reservation, and commits.
    ///
    /// The channel completes its share of the acknowledgement when the batch is safe: a durable channel when the batch
    /// is on disk, a volatile one when all its readers have committed the batch. A durable channel recognizes the
    /// batch by its origins, and stores no event twice.
    ///
    /// # Errors
    /// When a durable channel lacks the positions before the batch. The acknowledgement then fails.
    fn commit(
        self: Box<Self>,
        scope: &Scope,
        batch: Batch,
        acknowledgement: Acknowledgement,
    ) -> Result<(), CommitError>;
}

/// The result of a take.
#[derive(Debug)]
pub enum Taken<Events> {
    /// Events.
    Events(Events),
    /// The leases of this reader prevent puts: they are half of the channel's capacity, or a put waits for space and
    /// the reader has nothing left to take. Reported once, and again only after a lease was acknowledged or rolled
    /// back.
    Pressure,
    /// The channel is closed, and the reader has nothing left to take.
    End,
}

/// A reader of a channel, with its cursor.
#[async_trait]
pub trait Reader: Send {
    /// Leases the next batch, in the order of the puts. A batch that was rolled back comes first.
    ///
    /// Dropping the future leases nothing.
    async fn take(&mut self) -> Taken<Lease>;

    /// Waits until [`Reader::take`] would return [`Taken::Pressure`], and reports it in its place. Leases nothing.
    ///
    /// Dropping the future reports nothing.
    async fn pressure(&mut self);

    /// Returns the size of the batches that are leased and not yet acknowledged.
    fn held(&self) -> Fill;

    /// Returns whether the channel has no more events, apart from batches that other sinks have leased and may give back.
    fn is_drained(&self) -> bool {
        false
    }

    /// Returns, for each partition of the identities of a durable channel's events, the position through which all
    /// events are durably acknowledged: they are never redelivered, however the agent ends.
    fn settled(&self) -> BTreeMap<Partition, u64> {
        BTreeMap::new()
    }

    /// Returns the partition of the identities of a durable channel's events, and the incarnation in which the channel
    /// numbers them now.
    fn incarnation(&self) -> Option<(Partition, Incarnation)> {
        None
    }

    /// Makes a durable channel store, with its next acknowledgements, the mark of the sink's ledger
    /// ([`Recovered::mark`]).
    fn keep_mark(&mut self, _mark: u64) {}

    /// Returns the number of events that an optional reader has missed since the last call.
    fn take_skipped(&mut self) -> usize;
}

/// A leased batch with its acknowledgement.
#[derive(Debug)]
pub struct Lease {
    /// The number of the batch in its channel: the same each time that the batch is leased.
    pub number: u64,
    /// The events.
    pub batch: Batch,
    /// To be completed when the events have arrived; dropping it rolls the lease back.
    pub acknowledgement: Acknowledgement,
}
