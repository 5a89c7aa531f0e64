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

mod memory;

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::acknowledgement::Acknowledgement;
use crate::batch::Batch;

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
    /// The channel's bounds.
    fn limits(&self) -> Limits;

    /// Begins a put transaction: waits until there is room for this much. Requests are served
    /// in the order in which they came. Dropping the future gives up the place in the queue.
    ///
    /// # Errors
    /// When the channel is closed, or the request exceeds its bounds.
    async fn reserve(&self, room: Fill) -> Result<Box<dyn PutTransaction>, ReserveError>;

    /// Begins a put transaction if there is room now.
    fn try_reserve(&self, room: Fill) -> Option<Box<dyn PutTransaction>>;

    /// Adds a reader with a cursor of its own, which sees every event put from now on.
    fn reader(&self, demand: Demand) -> Box<dyn Reader>;

    /// Takes no more puts; readers get what is there, then `None`.
    fn close(&self);

    /// How much the channel holds now, leased events included.
    fn fill(&self) -> Fill;
}

/// Room reserved in a channel. Dropping it rolls the transaction back.
pub trait PutTransaction: Send {
    /// Puts the batch, which is no larger than the reservation, and commits.
    ///
    /// The channel does its share of the acknowledgement when the batch is safe: a durable
    /// channel when it is on disk, a volatile one when all its readers have committed it.
    fn commit(self: Box<Self>, batch: Batch, acknowledgement: Acknowledgement);
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
