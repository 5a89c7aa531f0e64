//! How a component is: what it is doing, and what went wrong last.

use std::time::SystemTime;

use serde::Serialize;
use tokio::time::Instant;

/// What a component is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is built, or is being opened.
    #[default]
    Starting,
    /// It runs.
    Running,
    /// It has failed, and is tried again after a while.
    BackingOff,
    /// It has done all that there was to do.
    Ended,
    /// It has failed for good.
    Failed,
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 5] =
        [Phase::Starting, Phase::Running, Phase::BackingOff, Phase::Ended, Phase::Failed];

    /// In words, as in labels.
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

/// What went wrong last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// What.
    pub message: String,
    /// When.
    pub at: SystemTime,
}

/// How a component is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// What it is doing.
    pub phase: Phase,
    /// What went wrong last, if anything ever did.
    pub last_error: Option<LastError>,
    /// When it is tried again.
    pub next_try: Option<Instant>,
}

impl Condition {
    pub(super) fn enter(&mut self, phase: Phase) {
        // What has failed for good stays so.
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
