//! Channels: where events wait between sources and sinks, and the transactions on them.
//!
//! An event's batch goes through these states:
//!
//! ```text
//! Reserved ──commit──► Visible ──take──► Leased ──acknowledge──► Acknowledged ─► Reclaimed
//!     │                   ▲                 │
//!     └─drop─► (gone)     └────roll back────┘
//! ```
//!
//! A *put* transaction begins with a reservation, the only point of back-pressure, and ends
//! with its commit, or is rolled back by dropping it. A *take* transaction leases a batch; it
//! is committed by acknowledging the lease and rolled back by dropping it.

pub mod file;
mod hand;
mod hooked;
mod incarnation;
mod memory;
mod origins;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::batch::{Batch, Partition};
use crate::failure::Failure;
use crate::observability::meter::Reading;
use crate::routing::Acknowledgement;

pub use file::{Compression, FileChannel, FileChannelOptions};
pub use hooked::Hooked;
pub use incarnation::{Forgotten, Incarnation, Reached, Recovered};
pub use memory::MemoryChannel;

/// The bounds of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most events that the channel holds, leased ones included.
    pub capacity: usize,
    /// The most events in one put or take transaction.
    pub transaction_capacity: usize,
    /// The most bytes that the channel holds, as [`Batch::charged_bytes`] counts them.
    pub byte_capacity: u64,
    /// How long a put waits for room before it is rolled back and tried again.
    pub keep_alive: Duration,
}

/// What a put does that finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// It waits, and slows its source down. Nothing is lost.
    #[default]
    Wait,
    /// It takes the room of the oldest events that no reader has in its hands.
    DropOldest,
    /// It is left out.
    DropNewest,
}

/// How much a channel, or a reader's leases, hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fill {
    /// In events.
    pub events: usize,
    /// In bytes, as [`Batch::charged_bytes`] counts them.
    pub bytes: u64,
}

impl Fill {
    /// What one batch adds.
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

/// A put that can never succeed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ReserveError {
    /// The channel takes no more events: the agent stops.
    #[error("the channel is closed")]
    Closed,
    /// The transaction is larger than the channel.
    #[error("{requested} {unit} can never fit into a channel that holds {limit}")]
    TooLarge {
        /// What was asked for.
        requested: u64,
        /// The bound that it exceeds.
        limit: u64,
        /// Events or bytes.
        unit: &'static str,
    },
}

/// A put that a durable channel refuses, since it would leave a hole.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommitError {
    /// Positions in between were never put.
    #[error(
        "positions {stored} to {after} of {partition} were never put: what follows them is refused, so that nothing is skipped"
    )]
    Gap {
        /// The partition.
        partition: String,
        /// Through which the channel has it.
        stored: u64,
        /// Behind which the batch begins.
        after: u64,
    },
}

/// Whose positions a put is about: a source, and which of its ways into the channel; and which run
/// of the source, since each begins where it decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub(crate) name: Arc<str>,
    pub(crate) run: u64,
}

impl Scope {
    /// The scopes of a new run, in the order of the names.
    pub fn of_a_run(names: impl IntoIterator<Item = Arc<str>>) -> Vec<Scope> {
        static RUNS: AtomicU64 = AtomicU64::new(1);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        names.into_iter().map(|name| Scope { name, run }).collect()
    }
}

/// What a reader may ask of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Every event stays until this reader has acknowledged it.
    Required,
    /// Events stay while nobody needs their room; then the reader misses them, which is counted.
    Optional,
}

/// A channel, as the core sees it.
#[async_trait]
pub trait Channel: Send + Sync {
    /// The bounds of one transaction, and of the channel.
    fn limits(&self) -> Limits;

    /// Tries what the channel needs outside, and takes and leaves nothing: called before it is opened. Gives
    /// back all that is wrong. What is permanent keeps the agent from starting.
    async fn probe(&self) -> Vec<Failure> {
        Vec::new()
    }

    /// Makes the channel ready, once, before anything is put or taken and after its readers were
    /// added. A durable channel brings back what it holds.
    ///
    /// # Errors
    /// When it can't be used; the agent does not start then.
    async fn open(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Waits until the channel can't go on, which stops the agent. A volatile one always can.
    async fn failed(&self) -> Failure {
        std::future::pending().await
    }

    /// Ends the channel when nothing is put or taken any more: what it knows is written down.
    ///
    /// # Errors
    /// When the channel has failed.
    async fn shut(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether what is put outlasts the agent.
    fn is_durable(&self) -> bool {
        false
    }

    /// Whether the channel knows which positions it was given, and takes none twice: a durable one,
    /// and one that has been told to remember. It is also told of positions that no event came
    /// from, by empty batches.
    fn knows_positions(&self) -> bool {
        self.is_durable()
    }

    /// Has a volatile channel remember the positions of a scope while the agent runs. What lies
    /// behind it has everything up to `stored` already. The partitions of its events get `prefix`
    /// before their names. A durable channel remembers by itself.
    fn remember(&self, _scope: &str, _prefix: &str, _stored: BTreeMap<Partition, u64>) {}

    /// The positions of this scope that the channel has; `None` if it does not know.
    fn stored(&self, _scope: &str) -> Option<BTreeMap<Partition, u64>> {
        None
    }

    /// What the numbers that an open durable channel gives its events are positions of.
    fn partition(&self) -> Option<Partition> {
        None
    }

    /// Where on this machine the channel keeps its events, as an absolute path; none if it keeps them in memory.
    fn place(&self) -> Option<String> {
        None
    }

    /// Under which incarnation the channel gave its events their numbers last; none if it gives none, or has
    /// not given any. It changes with the first put of a run, and is on disk when it is said.
    fn incarnation(&self) -> Option<Incarnation> {
        None
    }

    /// Whether the channel has, or had, this incarnation; `None` if it has none, or does not remember all.
    fn knows(&self, _incarnation: Incarnation) -> Option<bool> {
        None
    }

    /// For each reader of a volatile channel whose sink keeps a memory, how far that is
    /// ([`Recovered::mark`]): it remembers what [`Channel::hold_against`] and [`Reader::keep_mark`] have told
    /// it, for sources that outlast it.
    fn marks(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    /// Compares what a sink has recovered with what the channel knows, before anything is put or taken.
    /// `reader` is the name by which the sink reads the channel. Of partitions of other channels, `recovered`
    /// has only those of channels that the sink does not read any more.
    ///
    /// # Errors
    /// When one of both knows less than it should: it was cut, damaged, deleted or put back from a
    /// backup. To go on would lose or repeat events without a word.
    fn hold_against(&self, _reader: &str, _recovered: &Recovered) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether a repair of the channel has accepted what this sink has forgotten, in the state that it recovered.
    fn accepts(&self, _reader: &str, _recovered: &Recovered) -> bool {
        false
    }

    /// Begins a put transaction: waits until there is room for this much. Requests are served
    /// in the order in which they came. Dropping the future gives up the place in the queue.
    ///
    /// # Errors
    /// When the channel is closed, or the request exceeds its bounds.
    async fn reserve(&self, room: Fill) -> Result<Box<dyn PutTransaction>, ReserveError>;

    /// Begins a put transaction if there is room now.
    fn try_reserve(&self, room: Fill) -> Option<Box<dyn PutTransaction>>;

    /// What a put does that finds no room.
    fn overflow(&self) -> Overflow {
        Overflow::Wait
    }

    /// Begins a put transaction, with the room of older events if need be: they are acknowledged, and
    /// nobody gets them. Says how much was dropped. None if what readers have in their hands leaves no
    /// room.
    fn displace(&self, room: Fill) -> (Option<Box<dyn PutTransaction>>, Reading) {
        (self.try_reserve(room), Reading::default())
    }

    /// Adds a reader with a cursor of its own, which sees every event put from now on. A durable
    /// channel knows it by its name, and goes on with it where it was; one that is new begins with
    /// the oldest event there. Readers of one name share a cursor: each event goes to one of them.
    fn reader(&self, name: &str, demand: Demand) -> Box<dyn Reader>;

    /// Takes no more puts; readers get what is there, then `None`.
    fn close(&self);

    /// How much the channel holds now, leased events included.
    fn fill(&self) -> Fill;

    /// The most that it holds.
    fn bounds(&self) -> Fill {
        let Limits { capacity, byte_capacity, .. } = self.limits();
        Fill { events: capacity, bytes: byte_capacity }
    }

    /// Whether there are events that a required reader has not taken, or has given back.
    fn has_waiting(&self) -> bool;
}

/// Room reserved in a channel. Dropping it rolls the transaction back.
pub trait PutTransaction: Send {
    /// Puts the batch, which is no larger than the reservation, and commits.
    ///
    /// The channel does its share of the acknowledgement when the batch is safe: a durable
    /// channel when it is on disk, a volatile one when all its readers have committed it. A durable
    /// channel knows the batch by its origins, and takes none twice.
    ///
    /// # Errors
    /// When a durable channel lacks what lies before the batch. The acknowledgement then fails.
    fn commit(
        self: Box<Self>,
        scope: &Scope,
        batch: Batch,
        acknowledgement: Acknowledgement,
    ) -> Result<(), CommitError>;
}

/// What a take brings.
#[derive(Debug)]
pub enum Taken<Events> {
    /// Events.
    Events(Events),
    /// What this reader holds and has not acknowledged stands in the way: it is half of what
    /// the channel can hold, or a put waits for room and there is nothing left to take. Said
    /// once, and again only after something was acknowledged or rolled back.
    Pressure,
    /// The channel is closed and nothing is left to take.
    End,
}

/// A reader of a channel, with its cursor.
#[async_trait]
pub trait Reader: Send {
    /// Leases the next batch, in the order of the puts; what was rolled back comes first.
    ///
    /// Dropping the future leases nothing.
    async fn take(&mut self) -> Taken<Lease>;

    /// What is leased and not yet acknowledged.
    fn held(&self) -> Fill;

    /// For each partition of the identities of a durable channel's events: the position through
    /// which all are acknowledged for good, and never given out again, whatever ends the agent.
    fn settled(&self) -> BTreeMap<Partition, u64> {
        BTreeMap::new()
    }

    /// The partition of the identities of a durable channel's events, and the incarnation under which
    /// it numbers them now.
    fn incarnation(&self) -> Option<(Partition, Incarnation)> {
        None
    }

    /// Has a durable channel remember, with its next acknowledgements, how far the memory of the sink
    /// behind this reader is ([`Recovered::mark`]).
    fn keep_mark(&mut self, _mark: u64) {}

    /// How many events an optional reader has missed since this was last asked.
    fn take_skipped(&mut self) -> usize;
}

/// A leased batch, and the duty to acknowledge it.
#[derive(Debug)]
pub struct Lease {
    /// The events.
    pub batch: Batch,
    /// Done when they have arrived; dropping it rolls the lease back.
    pub acknowledgement: Acknowledgement,
}
