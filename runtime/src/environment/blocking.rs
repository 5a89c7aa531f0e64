//! Runs blocking calls and long computations where they block no other task.

use tokio::task::{JoinError, JoinHandle, spawn_blocking, yield_now};

/// Runs blocking work: disk calls and long computations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockingExecutor {
    /// On tokio's pool of threads for blocking calls.
    Threads,
    /// In the calling task, on its thread: for a simulated disk, which never blocks.
    Inline,
}

impl BlockingExecutor {
    /// Runs `work` and waits for its result.
    ///
    /// # Errors
    /// When `work` has panicked.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            BlockingExecutor::Threads => spawn_blocking(work).await,
            BlockingExecutor::Inline => {
                let done = work();
                // Other tasks run before the result is known, as they do while a thread works.
                yield_now().await;
                Ok(done)
            }
        }
    }

    /// Starts `work` without waiting for it.
    pub fn spawn<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        match self {
            BlockingExecutor::Threads => spawn_blocking(work),
            BlockingExecutor::Inline => tokio::spawn(async move {
                let done = work();
                // Other tasks go on before the result is known.
                for _step in 0..fastrand::u8(..4) {
                    yield_now().await;
                }
                done
            }),
        }
    }
}
