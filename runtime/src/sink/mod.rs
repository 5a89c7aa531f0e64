//! Sinks: components that take events out, and acknowledge events that have arrived.

mod delivery_settle;
mod failover;
mod feed_steps;
mod port;
mod rejecter;
mod rejecting;

use std::time::Duration;

use async_trait::async_trait;

use crate::channel::{Acceptance, Recovered};
use crate::failure::{ConnectFailure, Failure};
use crate::source::Handover;

pub(crate) use failover::FailoverGroup;
pub(crate) use feed_steps::{FeedSteps, StepsOfReader};
pub(crate) use port::Feed;
pub use port::{Delivery, SinkPort};
pub use rejecter::Rejecter;
pub(crate) use rejecting::{FeedRejects, RejectedRows};

/// A component that takes events out.
#[async_trait]
pub trait Sink: Send {
    /// Takes events and delivers them, until the port has no more.
    ///
    /// After [`Taken::End`](crate::channel::Taken) no further events come: the sink commits the events that it holds
    /// (closes its files, flushes its producer), acknowledges them and returns.
    /// [`Taken::Pressure`](crate::channel::Taken) asks a sink that holds events for long to commit some of them now.
    /// Events that are not acknowledged when the sink returns or fails are redelivered.
    ///
    /// The agent drops the future when it has to stop at once.
    ///
    /// # Errors
    /// When the sink can't go on. After a wait it is run again, and its events are redelivered.
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure>;

    /// Checks the secrets, certificates, directories and other systems that the sink needs, without changing them.
    /// Called before any component runs. Returns all failures; a permanent failure prevents the start.
    async fn probe(&mut self) -> Vec<Failure> {
        Vec::new()
    }

    /// Asks the servers that the sink needs whether they are there, let it in, and have what its settings name. Changes nothing.
    /// Takes a few seconds at most. Returns all failures.
    async fn connect(&mut self) -> Vec<ConnectFailure> {
        Vec::new()
    }

    /// Returns where the sink writes, for the log: `writes to /lake/{@host}`. Empty if there is nothing to say.
    fn describe(&self) -> String {
        String::new()
    }

    /// Whether the sink supports `exactly_once`: it stores the identities of events atomically with its data, and skips
    /// events that it has stored.
    fn keeps_exactly_once(&self) -> bool {
        false
    }

    /// Takes over the commits of a source, whose partitions have these names behind the channel after `prefix`. From then on the
    /// sink commits the source's positions together with its data, and leaves out events of partitions that the source has lost.
    ///
    /// # Errors
    /// Why the sink can't commit them, in words that follow `it`: the source then does not support `exactly_once`.
    fn take_over(&mut self, _handover: &Handover, _prefix: &str) -> Result<(), String> {
        Err("commits no positions of its sources".to_owned())
    }

    /// Recovers the state that an earlier run has left, if a flow through the sink promises `exactly_once`. Called
    /// once, before any source starts. Returns the settled positions that the sink took from [`SinkPort::settled`]
    /// and stored with its data; a source whose channel does not know positions goes on after them.
    ///
    /// # Errors
    /// When the sink can't recover; the agent does not start then.
    async fn recover(&mut self) -> Result<Recovered, Failure> {
        Ok(Recovered::default())
    }

    /// Goes on although the sink's ledger ([`Recovered::ledger_loss`]) or one of its channels has lost a part of its state,
    /// or the channel is another one. Called after [`Sink::recover`], if an operator has accepted that events may be stored
    /// twice. The sink records that at once, so that it is accepted once.
    ///
    /// # Errors
    /// When the sink can't record it; the agent does not start then.
    async fn accept_loss(&mut self, _acceptance: &Acceptance) -> Result<(), Failure> {
        Ok(())
    }

    /// The waits before the sink is run again after failures.
    fn retry(&self) -> Retry {
        Retry::default()
    }
}

/// The settings of the waits between attempts of a component that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The wait after the first failure. It doubles with each further failure, with jitter.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
    /// After this number of failures without a delivery in between, the failure is permanent; none if never.
    pub limit: Option<u64>,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { first: Duration::from_millis(100), max: Duration::from_secs(10), limit: None }
    }
}
