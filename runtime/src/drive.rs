//! Where what would hold up a task is done.

use tokio::task::{JoinError, JoinHandle, spawn_blocking, yield_now};

/// Where disks are waited for, and what computes for long computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drive {
    /// On threads of their own, since a disk takes its time.
    Threads,
    /// In the tasks that ask, in one thread: for a disk that is simulated.
    Inline,
}

impl Drive {
    /// Does this, and waits for it.
    ///
    /// # Errors
    /// When it has panicked.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self {
            Drive::Threads => spawn_blocking(work).await,
            Drive::Inline => {
                let done = work();
                // Others have their turns before it is known, as they have while a thread works.
                yield_now().await;
                Ok(done)
            }
        }
    }

    /// Begins this, beside whoever asks.
    pub fn begin<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        match self {
            Drive::Threads => spawn_blocking(work),
            Drive::Inline => tokio::spawn(async move { work() }),
        }
    }
}
