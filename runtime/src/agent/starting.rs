//! The start of an agent: before anything runs it opens its channels and has its sinks recover. During an outage, such
//! as a full disk, it waits and tries again, as it does later.

use std::sync::Arc;

use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use super::Stop;
use super::supervise::Waits;
use crate::failure::Failure;
use crate::meter::{Meter, Phase};
use crate::metrics::{Measured, Metrics};
use crate::sink::Retry;

/// Why nothing was started.
pub(super) enum NotStarted {
    /// A channel can't be opened, or a sink not recover.
    Failed { component: Arc<str>, failure: Failure },
    /// The agent was told to stop while it waited for an outage to end.
    Stopped,
}

/// Whoever tries something that a start needs, as often as an outage keeps it from succeeding.
pub(super) struct Patience<'start> {
    component: Arc<str>,
    meter: Arc<Meter>,
    stop: &'start Stop,
    waits: Waits,
}

impl<'start> Patience<'start> {
    pub(super) fn new(component: &Arc<str>, meter: &Arc<Meter>, stop: &'start Stop) -> Patience<'start> {
        let (component, meter) = (component.clone(), meter.clone());
        Patience { component, meter, stop, waits: Waits::new(Retry::default()) }
    }

    /// Waits for the time of the next attempt.
    ///
    /// # Errors
    /// When the last attempt met no outage, or the agent is to stop.
    pub(super) async fn after(&mut self, failure: Failure) -> Result<(), NotStarted> {
        let component = &self.component;
        let wait = if failure.keeps_from_starting() { None } else { self.waits.next(&self.meter) };
        let Some(wait) = wait else {
            return Err(NotStarted::Failed { component: component.clone(), failure });
        };
        warn!(%component, "{failure}; nothing is started before that, next try in {wait:.1?}");
        self.meter.failed(failure.to_string(), Some(Instant::now() + wait));
        tokio::select! {
            () = sleep(wait) => Ok(()),
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
        if *optional {
            if let Err(failure) = channel.open().await {
                meter.failed(failure.to_string(), None);
                error!(component = %name, "{failure}; it is optional, the others start without it");
                channel.close();
                continue;
            }
        } else {
            let mut patience = Patience::new(name, meter, stop);
            while let Err(failure) = channel.open().await {
                patience.after(failure).await?;
            }
        }
        // What was there before counts from now: nobody knows how old it is.
        meter.age.put(channel.fill().events, Instant::now());
        meter.enter(Phase::Running);
    }
    Ok(())
}
