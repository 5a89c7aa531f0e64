//! The metrics and the log of a `failover`: its active branch, and each switch with its cause.

use std::sync::Arc;

use tracing::{info, warn};

use super::meter::Meter;

/// A branch of a `failover`: its component, as metrics and messages name it.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pub(crate) component: Arc<str>,
    pub(crate) meter: Arc<Meter>,
}

/// Why another branch became active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause<'a> {
    /// The active branch failed for this reason.
    Failed(&'a str),
    /// The new branch comes first in the text, and works again.
    WorksAgain,
}

impl Branch {
    /// Shows in the metrics whether the branch takes the events.
    pub(crate) fn show(&self, is_active: bool) {
        self.meter.gauge("failover_active").set(u64::from(is_active));
    }

    /// Counts and logs that this branch takes the events which `before` took.
    pub(crate) fn take_over(&self, before: &Branch, cause: Cause<'_>) {
        before.show(false);
        self.show(true);
        let (component, other) = (&self.component, &before.component);
        match cause {
            Cause::Failed(failure) => {
                warn!(%component, "takes over the events from {other}: {failure}");
                self.meter.count("failover_takeovers", 1);
                self.meter.note("took over from", format!("{other}, last because: {failure}"));
            }
            Cause::WorksAgain => {
                info!(%component, "works again, and takes the events back from {other}");
                self.meter.count("failover_returns", 1);
            }
        }
    }
}
