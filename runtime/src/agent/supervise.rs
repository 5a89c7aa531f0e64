//! Supervision: a component that fails is run again after a while; its neighbours go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{BuiltChannel, BuiltSource};
use crate::channel::Channel;
use crate::failure::Failure;
use crate::observability::meter::{Meter, Phase};
use crate::routing::Leg;
use crate::sink::{Retry, Sink, SinkPort};
use crate::source::{Connection, Source, SourcePort};

/// Closes channels when nobody is left who puts into them.
pub(super) struct Gates {
    gates: BTreeMap<Arc<str>, Gate>,
}

#[derive(Clone)]
struct Gate {
    channel: Arc<dyn Channel>,
    writers: Arc<AtomicUsize>,
}

/// One source's part in keeping its channels open. Dropping it gives that up.
pub(super) struct Open(Vec<Gate>);

impl Gates {
    pub(super) fn new(sources: &[BuiltSource], channels: &BTreeMap<String, BuiltChannel>) -> Gates {
        let gates: BTreeMap<Arc<str>, Gate> = channels
            .iter()
            .map(|(name, built)| {
                let writers = sources.iter().filter(|source| writes(&source.legs, name)).count();
                if writers == 0 {
                    // Nobody puts into it: the agent only drains.
                    built.channel.close();
                }
                let gate =
                    Gate { channel: built.channel.clone(), writers: Arc::new(AtomicUsize::new(writers)) };
                (name.as_str().into(), gate)
            })
            .collect();
        Gates { gates }
    }

    /// The part of the source that has these legs. To be asked for once a source.
    pub(super) fn of(&self, legs: &[Leg]) -> Open {
        Open(self.gates.iter().filter(|(name, _)| writes(legs, name)).map(|(_, gate)| gate.clone()).collect())
    }
}

fn writes(legs: &[Leg], channel: &str) -> bool {
    legs.iter().flat_map(Leg::targets).any(|target| &*target.name == channel)
}

impl Drop for Open {
    fn drop(&mut self) {
        for Gate { channel, writers } in &self.0 {
            if writers.fetch_sub(1, Ordering::AcqRel) == 1 {
                channel.close();
            }
        }
    }
}

/// The waits of one component: they grow while it fails, and begin again when it gets on.
pub(super) struct Waits {
    retry: Retry,
    backoff: ExponentialBackoff,
    delivered: u64,
    failures: u64,
}

impl Waits {
    pub(super) fn new(retry: Retry) -> Waits {
        let builder = ExponentialBuilder::default().with_min_delay(retry.first).with_max_delay(retry.max);
        let backoff = builder.with_jitter().without_max_times().build();
        Waits { retry, backoff, delivered: 0, failures: 0 }
    }

    /// How long to wait after one more failure; none if it was the last that is put up with.
    pub(super) fn next(&mut self, meter: &Meter) -> Option<Duration> {
        let delivered = meter.delivered.read().events;
        if delivered > self.delivered {
            *self = Waits { delivered, ..Waits::new(self.retry) };
        }
        self.failures += 1;
        if self.retry.limit.is_some_and(|limit| self.failures >= limit) {
            return None;
        }
        // The jitter is added to the wait, so that it is bounded here once more.
        Some(self.backoff.next().unwrap_or(self.retry.max).min(self.retry.max))
    }
}

/// A source and what its task needs.
pub(super) struct SourceTask {
    pub(super) connection: Connection,
    pub(super) source: Box<dyn Source>,
    pub(super) stop: CancellationToken,
}

impl SourceTask {
    /// Runs the source until it has ended, or is to stop, or fails for good.
    pub(super) async fn run(mut self, open: Open) -> Result<(), Failure> {
        let mut open = Some(open);
        let mut waits = Waits::new(Retry::default());
        loop {
            self.connection.meter.begin_run();
            let (result, closed) = self.run_once(&mut open).await;
            let Err(failure) = result else {
                self.connection.meter.enter(Phase::Ended);
                return Ok(());
            };
            if closed {
                let name = &self.connection.component;
                warn!(component = %name, "{failure}; it had ended, its last events may come again at the next start");
                self.connection.meter.enter(Phase::Ended);
                return Ok(());
            }
            if failure.is_permanent() {
                self.connection.meter.failed(failure.to_string(), None);
                return Err(failure);
            }
            let Some(wait) = waits.next(&self.connection.meter) else { return Err(failure) };
            warn!(
                component = %self.connection.component,
                "{failure}; it begins again behind what was delivered, next try in {wait:.1?}"
            );
            self.connection.meter.failed(failure.to_string(), Some(Instant::now() + wait));
            tokio::select! {
                () = sleep(wait) => {}
                () = self.stop.cancelled() => return Ok(()),
            }
        }
    }

    /// One run, and whether the source had closed its outlet: then its channels are let go.
    async fn run_once(&mut self, open: &mut Option<Open>) -> (Result<(), Failure>, bool) {
        let (port, closed) = SourcePort::new(&self.connection, self.stop.clone());
        let mut run = self.source.run(port);
        let result = tokio::select! {
            result = &mut run => result,
            () = closed.cancelled() => {
                open.take();
                run.await
            }
        };
        (result, closed.is_cancelled())
    }
}

/// A sink and what its task needs.
pub(super) struct SinkTask {
    pub(super) name: Arc<str>,
    pub(super) sink: Box<dyn Sink>,
    pub(super) meter: Arc<Meter>,
    /// The channels that it reads, for messages.
    pub(super) channels: String,
    /// Whether the agent goes on, and ends, without it.
    pub(super) optional: bool,
}

/// A sink that ended while it still held events.
#[derive(Debug, Error)]
#[error("ended with {events} events that it has not delivered")]
struct Unfinished {
    events: usize,
}

impl SinkTask {
    /// Runs the sink until its channels have ended, or it fails for good.
    pub(super) async fn run(mut self, mut port: SinkPort, stop: CancellationToken) -> Result<(), Failure> {
        let mut waits = Waits::new(self.sink.retry());
        loop {
            port.reset();
            self.meter.enter(Phase::Running);
            let result = self.sink.run(&mut port).await;
            let events = port.held().events;
            let failure = match result {
                Ok(()) if events == 0 => {
                    self.meter.enter(Phase::Ended);
                    return Ok(());
                }
                Ok(()) => Failure::from(Unfinished { events }),
                Err(failure) => failure,
            };
            if failure.is_permanent() {
                self.meter.failed(failure.to_string(), None);
                return Err(failure);
            }
            let Some(wait) = waits.next(&self.meter) else { return Err(failure) };
            let SinkTask { name, channels, .. } = &self;
            warn!(
                component = %name,
                "{failure}; its events stay in {channels} and are given out again, next try in {wait:.1?}"
            );
            self.meter.failed(failure.to_string(), Some(Instant::now() + wait));
            tokio::select! {
                () = sleep(wait) => {}
                // No stop waits for one that is optional and fails.
                () = stop.cancelled(), if self.optional => return Err(failure),
            }
            if !stop.is_cancelled() {
                info!(component = %self.name, "trying again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_the_last_failure_is_final() {
        let seconds = Duration::from_secs;
        let retry = Retry { first: seconds(1), max: seconds(4), limit: Some(5) };
        let (mut waits, meter) = (Waits::new(retry), Meter::default());
        let given: Vec<Option<Duration>> = (0..5).map(|_| waits.next(&meter)).collect();
        assert!(
            given[..4].iter().flatten().all(|wait| (seconds(1)..=seconds(4)).contains(wait)),
            "{given:?}"
        );
        assert_eq!(given[3], Some(seconds(4)));
        assert_eq!(given[4], None);
        // What gets on begins anew.
        meter.delivered.add(1, 1);
        assert!(waits.next(&meter).is_some_and(|wait| wait < seconds(2)));
    }
}
