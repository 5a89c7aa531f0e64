//! One connection: its requests, and its end when the source is stopped.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;
use tracing::debug;

use super::request::{Service, answer};
use crate::tools::listener::{Arrival, LEAVE, STOP_GRACE};

/// How long a client may take for the head of a request, and be silent between two.
const HEAD: Duration = Duration::from_secs(30);
/// The most that the head of a request takes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Serves a client until it leaves or the source is stopped. A request whose head has come is still answered
/// then; a connection on which none has come is closed within [`STOP_GRACE`].
pub(super) async fn serve(arrival: Arrival, service: Arc<Service>, component: Arc<str>) {
    let (client, stop) = (arrival.client, service.stop.clone());
    let protected = arrival.protect_until(&stop, &component, &service.meter).await;
    let Some((connection, place)) = protected else { return };
    let place = Arc::new(place);
    let guest = place.guest();
    let answers = service_fn(|request| answer(service.clone(), client, place.clone(), request));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES_MAX);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(connection), answers));
    let served = tokio::select! {
        served = &mut serving => served,
        () = guest.has_to_leave() => {
            serving.as_mut().graceful_shutdown();
            // Whoever has sent a part of a body gets an answer.
            let answered = async { if guest.is_busy() { serving.await } else { Ok(()) } };
            timeout(LEAVE, answered).await.unwrap_or(Ok(()))
        }
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                served = &mut serving => served,
                () = service.stopped_for(STOP_GRACE) => match guest.is_busy() {
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
