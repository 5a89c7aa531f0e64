//! Waiting for what is due at some time, or not at all.

use tokio::time::{Instant, sleep_until};

/// Waits until that time; for ever without.
pub(crate) async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
