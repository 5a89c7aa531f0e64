//! Waiting for events.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// The time between the first two looks at a condition; each further one is longer by half, up to the last.
const POLL_FIRST: Duration = Duration::from_millis(20);
const POLL_LAST: Duration = Duration::from_millis(500);

/// Looks again and again until `look` finds something, and returns it.
///
/// The patience decides how long a failing test hangs, never whether a working one passes; so it is generous.
///
/// # Panics
///
/// When the patience is over, with `what` was awaited.
pub fn wait_until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    let mut pause = POLL_FIRST;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < patience, "not within {} s: {what}", patience.as_secs());
        sleep(pause);
        pause = (pause * 3 / 2).min(POLL_LAST);
    }
}
