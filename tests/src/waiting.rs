//! Waiting for events.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Looks again and again until `look` finds something, and returns it.
///
/// The patience decides how long a failing test hangs, never whether a working one passes; so it is generous.
///
/// # Panics
///
/// When the patience is over, with `what` was awaited.
pub fn wait_until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < patience, "not within {} s: {what}", patience.as_secs());
        sleep(POLL);
    }
}
