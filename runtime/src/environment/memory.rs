//! The memory that an agent may use: a budget from which its parts draw their worst cases before anything starts, and a guard
//! that holds the process below it while it runs.
//!
//! The worst cases come from the compiler. The guard is for what they leave out, such as steps that make events many times
//! larger: while the process comes close to its limit, sources put slowly, and at the limit they put nothing until sinks have
//! delivered events.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// How often the guard looks at the memory of the process.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a put waits at most while memory is short.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// There is enough memory.
const ENOUGH: u8 = 0;
/// More than fifteen sixteenths of the limit are in use: puts wait for a second each.
const SHORT: u8 = 1;
/// The limit is reached: puts wait.
const NONE: u8 = 2;

/// The memory that an agent may use. Clones share it. Without a limit, nothing waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryBudget(Option<Arc<Limited>>);

#[derive(Debug)]
struct Limited {
    limit_bytes: u64,
    /// The bytes that parts have drawn.
    drawn_bytes: AtomicU64,
    state: AtomicU8,
    changed: Notify,
}

/// A part does not fit into the budget any more.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{part} may take {bytes} bytes of memory, but only {left} of the {limit} that `agent {{ memory }}` allows are left"
)]
pub(crate) struct BudgetExceeded {
    part: String,
    bytes: u64,
    left: u64,
    limit: u64,
}

impl MemoryBudget {
    /// Makes a budget of so many bytes.
    pub(crate) fn limited(limit_bytes: u64) -> MemoryBudget {
        let limited = Limited {
            limit_bytes,
            drawn_bytes: AtomicU64::new(0),
            state: AtomicU8::new(ENOUGH),
            changed: Notify::new(),
        };
        MemoryBudget(Some(Arc::new(limited)))
    }

    /// Draws the worst case of a part from the budget.
    ///
    /// # Errors
    /// When less is left.
    pub(crate) fn draw(&self, part: &str, bytes: u64) -> Result<(), BudgetExceeded> {
        let Some(limited) = &self.0 else { return Ok(()) };
        let limit = limited.limit_bytes;
        let drawn = limited.drawn_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |drawn| {
            drawn.checked_add(bytes).filter(|drawn| *drawn <= limit)
        });
        let exceeded = |drawn: u64| BudgetExceeded {
            part: part.to_owned(),
            bytes,
            left: limit - drawn.min(limit),
            limit,
        };
        drawn.map(drop).map_err(exceeded)
    }

    /// Waits until there is memory for a further batch. Returns at once while there is enough.
    pub(crate) async fn room(&self) {
        let Some(limited) = &self.0 else { return };
        loop {
            let changed = limited.changed.notified();
            match limited.state.load(Ordering::Relaxed) {
                ENOUGH => return,
                SHORT => {
                    if timeout(SHORT_WAIT, changed).await.is_err() {
                        return;
                    }
                }
                _ => changed.await,
            }
        }
    }

    /// Looks at the memory of the process for ever.
    pub(crate) async fn guard(self) -> Infallible {
        if let Some(limited) = &self.0 {
            while let Some(resident) = resident_bytes() {
                limited.note(resident);
                sleep(LOOK_EVERY).await;
            }
            warn!("the memory of the process can't be read, so nothing holds it below `agent {{ memory }}`");
            limited.note(0);
        }
        pending().await
    }
}

impl Limited {
    /// Notes how much memory is resident, and wakes puts if the state changes.
    fn note(&self, resident_bytes: u64) {
        let limit = self.limit_bytes;
        let state = match resident_bytes {
            bytes if bytes >= limit => NONE,
            bytes if bytes >= limit - limit / 16 => SHORT,
            _ => ENOUGH,
        };
        let before = self.state.swap(state, Ordering::Relaxed);
        match (before, state) {
            (before, state) if before == state => return,
            (ENOUGH, _) => warn!(
                "{resident_bytes} bytes of memory are in use, of {limit} that `agent {{ memory }}` allows: sources wait"
            ),
            (_, ENOUGH) => info!("{resident_bytes} bytes of memory are in use: sources go on"),
            _ => {}
        }
        self.changed.notify_waiters();
    }
}

/// Returns the resident memory of this process in bytes; `None` if the system does not tell (proc_pid_status(5), `VmRSS`).
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_draw_until_the_budget_is_used_up() {
        let budget = MemoryBudget::limited(100);
        assert_eq!(budget.draw("a", 60), Ok(()));
        let refused = budget.clone().draw("b", 41).unwrap_err().to_string();
        assert!(refused.starts_with("b may take 41 bytes of memory, but only 40 of the 100"), "{refused}");
        assert_eq!(budget.draw("b", 40), Ok(()));
        assert!(MemoryBudget::default().draw("c", u64::MAX).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn puts_wait_while_memory_is_short() {
        let budget = MemoryBudget::limited(1_600);
        let limited = budget.0.clone().unwrap();
        let begun = tokio::time::Instant::now();
        budget.room().await;
        limited.note(1_499);
        budget.room().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        limited.note(1_500);
        budget.room().await;
        assert_eq!(begun.elapsed(), SHORT_WAIT);
        limited.note(1_600);
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.room().await }
        });
        sleep(Duration::from_secs(3_600)).await;
        assert!(!waiting.is_finished());
        limited.note(1_400);
        waiting.await.unwrap();
    }

    #[test]
    fn the_memory_of_this_process_is_known() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
