//! The trouble of a component that has failed and is run again, from its first failure until it works again.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;

use crate::failure::Failure;
use crate::observability::meter::{Meter, Reminder};

/// The subject of the trouble.
const RUN: &str = "run";

/// How long a component has to run without a failure or another trouble until it counts as working, unless it delivers
/// events before.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// How often a component that runs again is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Notes a failure after which the component is run again. Returns the end of the log message if it is to be logged.
pub(super) fn failed(meter: &Meter, failure: &Failure, next_try: Instant) -> Option<Reminder> {
    let message = failure.to_string();
    meter.failed(message.clone(), Some(next_try));
    meter.report_trouble(RUN, failure.cause(), message)
}

/// Notes that the component works.
pub(super) fn works(component: &str, meter: &Meter) {
    if let Some(lasted) = meter.resolve_trouble(RUN) {
        info!(component, "works again, after {} s", lasted.as_secs());
    }
}

/// Waits until a component that runs again works, and notes it. Never ends, so that it can run beside the component.
pub(super) async fn watch(component: &str, meter: &Meter) -> Infallible {
    let (began, delivered) = (Instant::now(), meter.delivered.read().events);
    while meter.condition().troubles().contains_key(RUN) {
        sleep(LOOK_EVERY).await;
        let is_stable = began.elapsed() >= STABLE_AFTER && !meter.is_blocked_besides(RUN);
        if is_stable || meter.delivered.read().events > delivered {
            works(component, meter);
        }
    }
    pending().await
}
