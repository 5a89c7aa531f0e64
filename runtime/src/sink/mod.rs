//! Sinks: what takes events out, and how they say that events have arrived.

mod port;

use std::time::Duration;

use async_trait::async_trait;

use crate::channel::Recovered;
use crate::failure::Failure;

pub(crate) use port::Feed;
pub use port::{Delivery, SinkPort};

/// A component that events go to.
#[async_trait]
pub trait Sink: Send {
    /// Takes events and delivers them, until the port has no more.
    ///
    /// [`Taken::End`](crate::channel::Taken) says that nothing more will come: the sink then
    /// commits what it holds (closes its files, flushes its producer), acknowledges it and
    /// returns. [`Taken::Pressure`](crate::channel::Taken) asks a sink that holds events for
    /// long to commit some of them now. What it has taken and not acknowledged when it returns
    /// or fails is given out again.
    ///
    /// The future is dropped when the agent has to stop at once.
    ///
    /// # Errors
    /// When the sink can't go on. It is run again after a while, and gets its events again.
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure>;

    /// Tries what the sink needs outside, such as secrets, certificates and directories, and takes and leaves
    /// nothing: called before anything runs. Gives back all that is wrong. What is permanent keeps the agent
    /// from starting.
    async fn probe(&mut self) -> Vec<Failure> {
        Vec::new()
    }

    /// Whether the sink keeps its part of `exactly_once`: it stores with its data which events they are,
    /// as one act, and takes none of them twice.
    fn keeps_exactly_once(&self) -> bool {
        false
    }

    /// Puts in order what an earlier run has left, where a flow through the sink promises
    /// `exactly_once`: called once, before any source starts. The settled positions that it gives back
    /// are those that it was told by [`SinkPort::settled`] and has stored with its data; sources that
    /// their channel can't tell go on behind them.
    ///
    /// # Errors
    /// When that is not possible; nothing is started then.
    async fn recover(&mut self) -> Result<Recovered, Failure> {
        Ok(Recovered::default())
    }

    /// Goes on although [`Recovered::forgotten`] says that its memory was further once: called after
    /// [`Sink::recover`], where somebody has accepted that what was forgotten may be stored twice.
    ///
    /// # Errors
    /// When it can't be noted; nothing is started then.
    async fn accept_forgotten(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// How long it waits before it is run again after a failure.
    fn retry(&self) -> Retry {
        Retry::default()
    }
}

/// The waits between attempts of a component that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The wait after the first failure; it doubles with each further one, with jitter.
    pub first: Duration,
    /// No wait is longer.
    pub max: Duration,
    /// The failure of this number, in a row without anything delivered between, is permanent.
    pub limit: Option<u64>,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { first: Duration::from_millis(100), max: Duration::from_secs(10), limit: None }
    }
}
