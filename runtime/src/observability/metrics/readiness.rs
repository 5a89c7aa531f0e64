//! Whether an agent is ready and healthy, with the reasons.

use std::time::Duration;

use tokio::time::Instant;

use super::{MeasuredComponent, Metrics, Stage};
use crate::observability::meter::{Condition, Phase, Trouble};

/// How long a component may be in trouble before the agent counts as not ready, unless the user says otherwise.
pub const TROUBLE_LIMIT: Duration = Duration::from_secs(5);

/// Whether an agent is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Why it is not ready; none if it is.
    pub reasons: Vec<String>,
    /// Troubles that don't make it unready: short ones, inputs that are set aside, and those of components that the agent
    /// works without.
    pub remarks: Vec<String>,
}

impl Metrics {
    /// Returns whether the agent is ready. It is when all required channels are open, and all required sources and sinks
    /// run or have ended in order, and none is held up by a trouble for longer than the limit.
    pub fn readiness(&self, trouble_limit: Duration) -> Readiness {
        let (mut reasons, mut remarks) = (Vec::new(), Vec::new());
        if self.stage() == Stage::Stopping {
            reasons.push("the agent is stopping".to_owned());
        }
        let now = Instant::now();
        for measured in &self.inner.components {
            let condition = measured.meter.condition();
            let is_required = measured.is_required();
            let MeasuredComponent { role, name, .. } = measured;
            if is_required && let Some(verdict) = verdict(&condition) {
                reasons.push(format!("{role} {name} {verdict}"));
            }
            for trouble in condition.troubles().values() {
                let lasts = now.saturating_duration_since(trouble.began);
                let line = format!("{role} {name} {}", trouble_text(trouble, now));
                match is_required && trouble.cause.blocks() && lasts >= trouble_limit {
                    true => reasons.push(line),
                    false => remarks.push(line),
                }
            }
        }
        Readiness { reasons, remarks }
    }

    /// Returns the required components that have failed for good, none if the agent is healthy.
    pub fn unhealthy(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        for MeasuredComponent { role, name, meter, .. } in self.inner.required() {
            let condition = meter.condition();
            if condition.phase() == Phase::Failed {
                let error = condition.last_error.map_or_else(String::new, |error| error.message);
                reasons.push(format!("{role} {name} has failed for good: {error}"));
            }
        }
        reasons
    }

    /// Returns the open troubles of all components, a line each.
    pub fn troubles(&self) -> Vec<String> {
        let now = Instant::now();
        let of = |measured: &MeasuredComponent| {
            let (role, name) = (measured.role, measured.name.clone());
            let condition = measured.meter.condition();
            let open = condition.troubles().values();
            open.map(|trouble| format!("{role} {name} {}", trouble_text(trouble, now))).collect::<Vec<_>>()
        };
        self.inner.components.iter().flat_map(of).collect()
    }
}

/// The reason why a component is not ready regardless of its troubles: it has not started, or has failed for good.
fn verdict(condition: &Condition) -> Option<String> {
    let error =
        condition.last_error.as_ref().map_or_else(String::new, |error| format!(": {}", error.message));
    match condition.phase() {
        Phase::Failed => Some(format!("has failed for good{error}")),
        _ if !condition.has_started() => Some(format!("has not started{error}")),
        Phase::Starting | Phase::Running | Phase::Degraded | Phase::Ended => None,
    }
}

fn trouble_text(trouble: &Trouble, now: Instant) -> String {
    let Trouble { cause, message, began, .. } = trouble;
    let seconds = now.saturating_duration_since(*began).as_secs();
    format!("is in trouble for {seconds} s ({cause}): {message}")
}
