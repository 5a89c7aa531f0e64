//! Waiting for a condition.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// The first pause between two checks. Each further pause is longer by half, up to `PAUSE_MAX`.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Calls `check` repeatedly until it returns a value, and returns the value.
///
/// The limit only decides how long a failing test hangs, so it should be generous.
///
/// # Panics
///
/// When the limit is over; the message contains `condition`.
pub fn wait_until<T>(condition: &str, limit: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    let mut pause = PAUSE_FIRST;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(begin.elapsed() < limit, "not within {} s: {condition}", limit.as_secs());
        sleep(pause);
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}
