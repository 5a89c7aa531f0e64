//! What happens to the body of a request that is refused.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

/// The most bytes of a refused body that are read and discarded.
const DISCARD_BYTES_MAX: usize = 64 << 20;
/// The longest time for which a refused body is read and discarded.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the rest of a refused body and discards it, within bounds. Many clients read the answer only after they have
/// sent the complete body, and would find the connection broken. Meanwhile the connection keeps its slot, and may be
/// evicted.
pub(super) fn discard(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(DISCARD_TIMEOUT, async move {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await
            && bytes <= DISCARD_BYTES_MAX
        {
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
    }));
}
