//! Calls of librdkafka for transactions, which block: they run on threads of their own, and are repeated while they may go on.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use tokio::time::sleep;

use super::native::TransactionError;

/// The longest time that one call blocks. A call that takes longer is repeated, and goes on where it was.
pub(super) const SLICE: Duration = Duration::from_secs(1);

/// The wait before a call is repeated that has failed before its time.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Makes a call until it succeeds, or until there is no call any more.
///
/// # Errors
/// The error of a call that may not be repeated, or of the first one that ends after `limit`.
pub(super) async fn repeat<Call>(
    limit: Duration,
    mut next: impl FnMut() -> Option<Call>,
) -> Result<(), TransactionError>
where
    Call: FnOnce() -> Result<(), TransactionError> + Send + 'static,
{
    let begin = Instant::now();
    while let Some(call) = next() {
        let called = Instant::now();
        let error = match tokio::task::spawn_blocking(call).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_panicked) => TransactionError {
                code: RDKafkaErrorCode::Unknown,
                reason: "the call has panicked".to_owned(),
                is_retriable: false,
            },
        };
        if !error.is_retriable || begin.elapsed() >= limit {
            return Err(error);
        }
        if called.elapsed() < SLICE {
            sleep(RETRY_PAUSE).await;
        }
    }
    Ok(())
}
