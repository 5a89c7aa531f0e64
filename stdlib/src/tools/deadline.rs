//! Waits for an optional deadline.

use tokio::time::{Instant, sleep_until};

/// Waits until the deadline; for ever if there is none.
pub(crate) async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
