//! The condition of a component: its phase, its open troubles, and its last error.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use tokio::time::Instant;

use super::trouble::{Trouble, Troubles};

/// The phase of a component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The component is built, or is being opened.
    #[default]
    Starting,
    /// The component runs.
    Running,
    /// The component runs, or is run again after a wait, and is in trouble.
    Degraded,
    /// The component has ended in order.
    Ended,
    /// The component has failed for good.
    Failed,
}

impl Phase {
    /// All phases.
    pub const ALL: [Phase; 5] =
        [Phase::Starting, Phase::Running, Phase::Degraded, Phase::Ended, Phase::Failed];

    /// The name of the phase in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Degraded => "degraded",
            Phase::Ended => "ended",
            Phase::Failed => "failed",
        }
    }
}

/// The last error of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// The message.
    pub message: String,
    /// The time of the error.
    pub at: SystemTime,
}

/// The condition of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// The phase without regard to troubles, so never [`Phase::Degraded`].
    entered: Phase,
    /// The last error; none if the component never failed.
    pub last_error: Option<LastError>,
    /// The time of the next run; none unless the component waits for it after a failure.
    pub next_try: Option<Instant>,
    pub(super) troubles: Troubles,
}

impl Condition {
    /// The phase.
    pub fn phase(&self) -> Phase {
        let is_active = matches!(self.entered, Phase::Starting | Phase::Running);
        let is_blocked = self.next_try.is_some() || !self.troubles.open().is_empty();
        if is_active && is_blocked { Phase::Degraded } else { self.entered }
    }

    /// Whether the component waits for its start, or for its next run after a failure.
    pub(crate) fn waits_to_run(&self) -> bool {
        self.entered == Phase::Starting || self.next_try.is_some()
    }

    /// Whether the component has run, or was opened.
    pub(crate) fn has_started(&self) -> bool {
        self.entered != Phase::Starting
    }

    /// The open troubles by their subjects.
    pub fn troubles(&self) -> &BTreeMap<String, Trouble> {
        self.troubles.open()
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        // A failure for good is never taken back.
        if self.entered != Phase::Failed {
            self.entered = phase;
            self.next_try = None;
        }
    }

    pub(super) fn fail(&mut self, message: String, next_try: Option<Instant>) {
        if next_try.is_none() {
            self.entered = Phase::Failed;
        }
        self.last_error = Some(LastError { message, at: SystemTime::now() });
        self.next_try = next_try;
    }
}
