//! The limits of a run: a test that never ends is ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The most calls of simulated sources, sinks and disks in one run. A usual test makes some hundreds.
const CALLS_MAX: u64 = 100_000;

/// Into how many parts an `advance` is divided, so that the limits are looked at while nothing moves.
pub(crate) const PARTS_OF_ADVANCE: u32 = 256;

/// When a run is ended early, besides the limit of calls, which every run has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits<'s> {
    /// The time of the machine at which the run is ended.
    pub until: Option<Instant>,
    /// Set by whoever has no more use for the result.
    pub cancelled: Option<&'s AtomicBool>,
}

impl Limits<'_> {
    /// Checks the limits after this many calls.
    ///
    /// # Errors
    /// When the run is to end, in words.
    pub(crate) fn check(&self, calls: u64) -> Result<(), String> {
        if calls > CALLS_MAX {
            return Err(format!(
                "the test was ended after {CALLS_MAX} calls of its sources, sinks and disks: it fails too often, or advances too \
                 long"
            ));
        }
        if self.cancelled.is_some_and(|cancelled| cancelled.load(Ordering::Relaxed)) {
            return Err("the test was cancelled".to_owned());
        }
        match self.until {
            Some(until) if Instant::now() > until => {
                Err("the test has taken too long, and was ended".to_owned())
            }
            _ => Ok(()),
        }
    }
}
