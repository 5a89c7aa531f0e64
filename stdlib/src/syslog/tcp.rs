//! Messages over connections.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::framing::{Frames, Messages};
use super::{Headers, Terms};
use crate::due::until;
use crate::listening::{Arrival, Connection, Piece};

/// Reads a client's messages until it or the source ends.
pub(super) async fn serve(
    arrival: Arrival,
    terms: Arc<Terms>,
    pieces: mpsc::Sender<Piece<Headers>>,
    stop: CancellationToken,
) {
    let client = arrival.client;
    let protected = arrival.protect_until(&stop, &terms.component, &terms.meter).await;
    let Some((connection, _place)) = protected else { return };
    if let Err(error) = read(connection, client, &terms, &pieces, &stop).await {
        terms.meter.count("connections_failed", 1);
        debug!(component = %terms.component, "the connection of {client} has ended: {error}");
    }
}

async fn read(
    mut connection: Connection,
    client: IpAddr,
    terms: &Terms,
    pieces: &mpsc::Sender<Piece<Headers>>,
    stop: &CancellationToken,
) -> io::Result<()> {
    let mut frames = Frames::new(terms.message_bytes_max);
    loop {
        let silent_until = terms.idle.map(|idle| Instant::now() + idle);
        // A stop ends the reading alone: what was read is handed on.
        let read = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            read = connection.read_onto(&mut frames.kept, &terms.buffers) => read?,
            () = until(silent_until) => {
                terms.meter.count("connections_idle", 1);
                return Ok(());
            }
        };
        let ends = read == 0;
        loop {
            let Messages { buffer, spans, too_long } = frames.messages(ends, terms.events_max);
            if too_long > 0 {
                terms.meter.count("long_messages", too_long);
            }
            if buffer.is_empty() {
                break;
            }
            if !spans.is_empty() && pieces.send(terms.piece(buffer, spans, client)).await.is_err() {
                return Ok(());
            }
        }
        if ends {
            return Ok(());
        }
    }
}
