//! The start of an agent: before anything runs it opens its channels and has its sinks recover. During an outage, such
//! as a full disk, it waits and tries again, as it does later.

use std::sync::Arc;

use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use super::Stop;
use super::supervise::Waits;
use crate::failure::Failure;
use crate::observability::meter::{Meter, Phase};
use crate::observability::metrics::{Measured, Metrics};
use crate::sink::Retry;

/// Why nothing was started.
pub(super) enum NotStarted {
    /// A channel can't be opened, or a sink not recover.
    Failed { component: Arc<str>, failure: Failure },
    /// The agent was told to stop while it waited for an outage to end.
    Stopped,
}

/// What a start tries for a component, as often as an outage keeps it from succeeding. The attempts themselves are
/// the caller's: a closure for them that borrows could not be sent to another thread.
pub(super) struct Attempts<'start> {
    component: Arc<str>,
    meter: Arc<Meter>,
    /// Whether the others start without it.
    optional: bool,
    stop: &'start Stop,
    waits: Waits,
}

/// What follows an attempt that has failed.
pub(super) enum Then {
    Again,
    /// It is optional, and left out.
    Without,
}

impl<'start> Attempts<'start> {
    pub(super) fn new(component: &Arc<str>, meter: &Arc<Meter>, optional: bool, stop: &'start Stop) -> Self {
        let (component, meter) = (component.clone(), meter.clone());
        Attempts { component, meter, optional, stop, waits: Waits::new(Retry::default()) }
    }

    /// Says that an attempt has failed, and waits for the time of the next one.
    ///
    /// # Errors
    /// When the attempt met no outage, or the agent is to stop.
    pub(super) async fn after(&mut self, failure: Failure) -> Result<Then, NotStarted> {
        let component = &self.component;
        if self.optional {
            self.meter.failed(failure.to_string(), None);
            error!(%component, "{failure}; it is optional, the others start without it");
            return Ok(Then::Without);
        }
        let wait = if failure.keeps_from_starting() { None } else { self.waits.next(&self.meter) };
        let Some(wait) = wait else {
            return Err(NotStarted::Failed { component: component.clone(), failure });
        };
        warn!(%component, "{failure}; nothing is started before that, next try in {wait:.1?}");
        self.meter.failed(failure.to_string(), Some(Instant::now() + wait));
        tokio::select! {
            () = sleep(wait) => Ok(Then::Again),
            () = self.stop.drain.cancelled() => Err(NotStarted::Stopped),
            () = self.stop.now.cancelled() => Err(NotStarted::Stopped),
        }
    }
}

/// Opens the channels, or says which one can't be. One that is optional is closed instead: what is put into it
/// is left out and counted.
pub(super) async fn open_all(metrics: &Metrics, stop: &Stop) -> Result<(), NotStarted> {
    for Measured { name, meter, channel, optional, .. } in metrics.components() {
        let Some(channel) = channel else { continue };
        let mut attempts = Attempts::new(name, meter, *optional, stop);
        let is_open = loop {
            let Err(failure) = channel.open().await else { break true };
            if let Then::Without = attempts.after(failure).await? {
                break false;
            }
        };
        if !is_open {
            channel.close();
            continue;
        }
        // What was there before counts from now: nobody knows how old it is.
        meter.age.put(channel.fill().events, Instant::now());
        meter.enter(Phase::Running);
    }
    Ok(())
}
