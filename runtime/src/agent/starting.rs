//! The start of an agent: before any component runs, the agent opens its channels and lets its sinks recover. During an
//! outage, such as a full disk, it waits and tries again, as it does while it runs.

use std::sync::Arc;

use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use super::backoff::Backoff;
use super::{Stop, recovery};
use crate::failure::Failure;
use crate::observability::meter::{Meter, Phase};
use crate::observability::metrics::{MeasuredComponent, Metrics};
use crate::sink::Retry;

/// Why the agent did not start.
pub(super) enum NotStarted {
    /// A channel can't be opened, or a sink can't recover.
    Failed { component: Arc<str>, failure: Failure },
    /// The agent was told to stop while it waited for an outage to end.
    Stopped,
}

/// The attempts to start a component, repeated during an outage. The caller makes each attempt, since a closure that
/// borrows the component could not be sent to another thread.
pub(super) struct Attempts<'start> {
    component: Arc<str>,
    meter: Arc<Meter>,
    /// Whether the agent starts without the component.
    optional: bool,
    stop: &'start Stop,
    backoff: Backoff,
}

/// The action after a failed attempt.
pub(super) enum AfterFailure {
    Retry,
    /// Start without the component, which is optional.
    Skip,
}

impl<'start> Attempts<'start> {
    pub(super) fn new(component: &Arc<str>, meter: &Arc<Meter>, optional: bool, stop: &'start Stop) -> Self {
        let (component, meter) = (component.clone(), meter.clone());
        Attempts { component, meter, optional, stop, backoff: Backoff::new(Retry::default()) }
    }

    /// Notes that an attempt has succeeded.
    pub(super) fn succeeded(&self) {
        recovery::works(&self.component, &self.meter);
    }

    /// Reports a failed attempt, and waits until the next one.
    ///
    /// # Errors
    /// When the failure is no outage, or the agent is told to stop.
    pub(super) async fn failed(&mut self, failure: Failure) -> Result<AfterFailure, NotStarted> {
        let component = &self.component;
        if self.optional {
            self.meter.failed(failure.to_string(), None);
            error!(%component, "{failure}; it is optional, the others start without it");
            return Ok(AfterFailure::Skip);
        }
        let wait = if failure.prevents_start() { None } else { self.backoff.next(&self.meter) };
        let Some(wait) = wait else {
            return Err(NotStarted::Failed { component: component.clone(), failure });
        };
        if let Some(reminder) = recovery::failed(&self.meter, &failure, Instant::now() + wait) {
            warn!(%component, "{failure}; nothing is started before that, next try in {wait:.1?}{reminder}");
        }
        tokio::select! {
            biased;
            () = sleep(wait) => Ok(AfterFailure::Retry),
            () = self.stop.drain.cancelled() => Err(NotStarted::Stopped),
            () = self.stop.now.cancelled() => Err(NotStarted::Stopped),
        }
    }
}

/// Opens the channels. An optional channel that can't be opened is closed instead; events put into it are skipped and
/// counted.
///
/// # Errors
/// When a required channel can't be opened, or the agent is told to stop.
pub(super) async fn open_all(metrics: &Metrics, stop: &Stop) -> Result<(), NotStarted> {
    for MeasuredComponent { name, meter, channel, optional, .. } in metrics.components() {
        let Some(channel) = channel else { continue };
        let mut attempts = Attempts::new(name, meter, *optional, stop);
        let is_open = loop {
            let Err(failure) = channel.open().await else {
                attempts.succeeded();
                break true;
            };
            if let AfterFailure::Skip = attempts.failed(failure).await? {
                break false;
            }
        };
        if !is_open {
            channel.close();
            continue;
        }
        // The age of events from earlier runs is unknown; it is measured from now on.
        meter.age.put(channel.fill().events, Instant::now());
        meter.enter(Phase::Running);
    }
    Ok(())
}
