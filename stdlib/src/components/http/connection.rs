//! One connection: it serves requests until the client closes it, it is evicted, or the source is stopped.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;
use tracing::debug;

use super::request::{Service, answer};
use crate::tools::listener::{Accepted, EVICTION_GRACE, STOP_GRACE};

/// How long a client may take to send the head of a request, and wait between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Serves a client until it closes the connection or the source is stopped. At a stop, a request whose head was
/// received is still answered; a connection without a request is closed within [`STOP_GRACE`].
pub(super) async fn serve(accepted: Accepted, service: Arc<Service>, component: Arc<str>) {
    let (client, stop) = (accepted.client, service.stop.clone());
    let secured = accepted.handshake_until(&stop, &component, &service.meter).await;
    let Some((connection, slot)) = secured else { return };
    let slot = Arc::new(slot);
    let activity = slot.activity();
    let answers = service_fn(|request| answer(service.clone(), client, slot.clone(), request));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(connection), answers));
    let served = tokio::select! {
        served = &mut serving => served,
        () = activity.evicted() => {
            serving.as_mut().graceful_shutdown();
            // A client that has sent a part of a body gets an answer.
            let finished = async { if activity.has_request() { serving.await } else { Ok(()) } };
            timeout(EVICTION_GRACE, finished).await.unwrap_or(Ok(()))
        }
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                served = &mut serving => served,
                () = service.after_stop(STOP_GRACE) => match activity.has_request() {
                    true => serving.await,
                    false => return,
                },
            }
        }
    };
    if let Err(error) = served {
        service.meter.count("connections_failed", 1);
        debug!(component = %component, "the connection of {client} has ended: {error}");
    }
}
