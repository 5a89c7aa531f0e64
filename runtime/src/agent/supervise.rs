//! Supervision: a component that fails is run again after a wait, while its neighbours go on.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::backoff::Backoff;
use super::{BuiltChannel, BuiltSink, BuiltSource, recovery, targets_of};
use crate::channel::Channel;
use crate::failure::Failure;
use crate::observability::meter::{Meter, Phase};
use crate::routing::Target;
use crate::sink::{Retry, Sink, SinkPort};
use crate::source::{Source, SourcePort, SourceWiring};

/// The writers of all channels: the sources that still put into each, and the sinks whose steps still reject events into it.
/// A channel without writers is closed.
pub(super) struct ChannelWriters {
    channels: BTreeMap<Arc<str>, Writers>,
}

/// The number of components that still put into one channel.
#[derive(Clone)]
struct Writers {
    channel: Arc<dyn Channel>,
    count: Arc<AtomicUsize>,
}

/// Keeps the channels of one component open. Dropping it closes the channels that no other component writes.
pub(super) struct WriterGuard(Vec<Writers>);

impl ChannelWriters {
    pub(super) fn new(
        sources: &[BuiltSource],
        sinks: &[BuiltSink],
        channels: &BTreeMap<String, BuiltChannel>,
    ) -> ChannelWriters {
        let channels = channels.iter().map(|(name, built)| {
            let sources = sources.iter().filter(|source| writes(&targets_of(&source.legs), name));
            let sinks = sinks.iter().filter(|sink| writes(&sink.port.reject_targets(), name));
            let count = sources.count() + sinks.count();
            if count == 0 {
                // Nothing puts into the channel: the agent only drains it.
                built.channel.close();
            }
            let writers =
                Writers { channel: built.channel.clone(), count: Arc::new(AtomicUsize::new(count)) };
            (name.as_str().into(), writers)
        });
        ChannelWriters { channels: channels.collect() }
    }

    /// Returns the guard of the component that puts into these channels. Must be called once for each component.
    pub(super) fn guard(&self, targets: &[&Target]) -> WriterGuard {
        let written = self.channels.iter().filter(|(name, _)| writes(targets, name));
        WriterGuard(written.map(|(_, writers)| writers.clone()).collect())
    }
}

fn writes(targets: &[&Target], channel: &str) -> bool {
    targets.iter().any(|target| &*target.name == channel)
}

impl Drop for WriterGuard {
    fn drop(&mut self) {
        for Writers { channel, count } in &self.0 {
            if count.fetch_sub(1, Ordering::AcqRel) == 1 {
                channel.close();
            }
        }
    }
}

/// The task of a source.
pub(super) struct SourceTask {
    pub(super) wiring: SourceWiring,
    pub(super) source: Box<dyn Source>,
    pub(super) stop: CancellationToken,
}

impl SourceTask {
    /// Runs the source until it ends, is stopped, or fails for good.
    pub(super) async fn run(mut self, guard: WriterGuard) -> Result<(), Failure> {
        let mut guard = Some(guard);
        let mut backoff = Backoff::new(Retry::default());
        loop {
            self.wiring.meter.begin_run();
            let (result, closed) = self.run_once(&mut guard).await;
            let Err(failure) = result else {
                recovery::works(&self.wiring.component, &self.wiring.meter);
                self.wiring.meter.enter(Phase::Ended);
                return Ok(());
            };
            if closed {
                let name = &self.wiring.component;
                warn!(
                    component = %name,
                    "{failure}; it had ended, its last events may be delivered again after the next start"
                );
                self.wiring.meter.enter(Phase::Ended);
                return Ok(());
            }
            if failure.is_permanent() {
                self.wiring.meter.failed(failure.to_string(), None);
                return Err(failure);
            }
            let Some(wait) = backoff.next(&self.wiring.meter) else { return Err(failure) };
            if let Some(reminder) = recovery::failed(&self.wiring.meter, &failure, Instant::now() + wait) {
                warn!(
                    component = %self.wiring.component,
                    "{failure}; it goes on after the delivered positions, next try in {wait:.1?}{reminder}"
                );
            }
            tokio::select! {
                biased;
                () = sleep(wait) => {}
                () = self.stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Runs the source once. Returns its result, and whether it closed its outlet, which drops the guard.
    async fn run_once(&mut self, guard: &mut Option<WriterGuard>) -> (Result<(), Failure>, bool) {
        let (port, closed) = SourcePort::new(&self.wiring, self.stop.clone());
        let mut run = self.source.run(port);
        let mut watch = pin!(recovery::watch(&self.wiring.component, &self.wiring.meter));
        let result = tokio::select! {
            biased;
            result = &mut run => result,
            () = closed.cancelled() => {
                guard.take();
                run.await
            }
            never = &mut watch => match never {},
        };
        (result, closed.is_cancelled())
    }
}

/// The task of a sink.
pub(super) struct SinkTask {
    pub(super) name: Arc<str>,
    pub(super) sink: Box<dyn Sink>,
    pub(super) meter: Arc<Meter>,
    /// The names of the channels that the sink reads, for messages.
    pub(super) channels: String,
    /// Whether the agent goes on and ends without the sink.
    pub(super) optional: bool,
}

/// A sink that ended while it still held events.
#[derive(Debug, Error)]
#[error("ended with {events} events that it has not delivered")]
struct Unfinished {
    events: usize,
}

/// A sink that ended before its rejected events had arrived, which are in their channel again.
#[derive(Debug, Error)]
#[error("the events that its steps rejected did not arrive")]
struct RejectsLost;

impl SinkTask {
    /// Runs the sink until its channels have ended, or it fails for good.
    ///
    /// The guard keeps the channels open that take the events which the sink's steps reject.
    pub(super) async fn run(
        mut self,
        mut port: SinkPort,
        guard: WriterGuard,
        stop: CancellationToken,
    ) -> Result<(), Failure> {
        port.set_guard(Box::new(guard));
        let mut backoff = Backoff::new(self.sink.retry());
        loop {
            port.reset();
            self.meter.enter(Phase::Running);
            let mut watch = pin!(recovery::watch(&self.name, &self.meter));
            let mut result = tokio::select! {
                biased;
                result = self.sink.run(&mut port) => result,
                never = &mut watch => match never {},
            };
            if result.is_ok() {
                // No further events come. The last rejected events may arrive only when their channels are closed.
                port.release_guard();
                for unsettled in port.unsettled() {
                    if !unsettled.settled().await {
                        result = Err(Failure::from(RejectsLost));
                    }
                }
            }
            let events = port.held().events;
            let failure = match result {
                Ok(()) if events == 0 => {
                    recovery::works(&self.name, &self.meter);
                    self.meter.enter(Phase::Ended);
                    return Ok(());
                }
                Ok(()) => Failure::from(Unfinished { events }),
                Err(failure) => failure,
            };
            let next = if failure.is_permanent() { None } else { backoff.next(&self.meter) };
            let Some(wait) = next else { return self.give_up(failure, &port) };
            port.fail(&failure);
            let SinkTask { name, channels, .. } = &self;
            if let Some(reminder) = recovery::failed(&self.meter, &failure, Instant::now() + wait) {
                warn!(
                    component = %name,
                    "{failure}; its events stay in {channels} and are redelivered, next try in {wait:.1?}{reminder}"
                );
            }
            tokio::select! {
                biased;
                () = sleep(wait) => {}
                // A stop does not wait for an optional sink that fails.
                () = stop.cancelled(), if self.optional => return Err(failure),
                () = port.replaced() => {
                    self.meter.enter(Phase::Ended);
                    return Ok(());
                }
            }
        }
    }

    /// Ends the sink for good. That is no failure of the agent if other sinks of a `failover` take all its events.
    fn give_up(&self, failure: Failure, port: &SinkPort) -> Result<(), Failure> {
        self.meter.failed(failure.to_string(), None);
        let ends_the_agent = failure.is_data_loss() || !port.has_substitutes();
        if !ends_the_agent {
            error!(component = %self.name, "{failure}; the other sinks of its `failover` go on without it");
        }
        port.leave(&failure);
        if ends_the_agent { Err(failure) } else { Ok(()) }
    }
}
