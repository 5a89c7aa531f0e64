//! The condition of a component: its phase, and its last error.

use std::time::SystemTime;

use serde::Serialize;
use tokio::time::Instant;

/// The phase of a component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The component is built, or is being opened.
    #[default]
    Starting,
    /// The component runs.
    Running,
    /// The component has failed, and is run again after a wait.
    BackingOff,
    /// The component has ended in order.
    Ended,
    /// The component has failed for good.
    Failed,
}

impl Phase {
    /// All phases.
    pub const ALL: [Phase; 5] =
        [Phase::Starting, Phase::Running, Phase::BackingOff, Phase::Ended, Phase::Failed];

    /// The name of the phase in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::BackingOff => "backing_off",
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
    /// The phase.
    pub phase: Phase,
    /// The last error; none if the component never failed.
    pub last_error: Option<LastError>,
    /// The time of the next run; none unless the component is backing off.
    pub next_try: Option<Instant>,
}

impl Condition {
    pub(super) fn enter(&mut self, phase: Phase) {
        // A failure for good is never taken back.
        if self.phase != Phase::Failed {
            self.phase = phase;
            self.next_try = None;
        }
    }

    pub(super) fn fail(&mut self, message: String, next_try: Option<Instant>) {
        self.phase = if next_try.is_some() { Phase::BackingOff } else { Phase::Failed };
        self.last_error = Some(LastError { message, at: SystemTime::now() });
        self.next_try = next_try;
    }
}
