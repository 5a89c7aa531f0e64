//! Messages over connections.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::framing::{Frames, Messages};
use super::{Headers, Terms};
use crate::listening::{Arrival, Piece, until};

/// Reads a client's messages until it or the source ends.
pub(super) async fn serve(
    arrival: Arrival,
    terms: Arc<Terms>,
    pieces: mpsc::Sender<Piece<Headers>>,
    stop: CancellationToken,
) {
    let client = arrival.client;
    tokio::select! {
        () = stop.cancelled() => {}
        served = read(arrival, &terms, &pieces) => if let Err(error) = served {
            terms.meter.count("connections_failed", 1);
            debug!(component = %terms.component, "the connection of {client} has ended: {error}");
        }
    }
}

async fn read(arrival: Arrival, terms: &Terms, pieces: &mpsc::Sender<Piece<Headers>>) -> io::Result<()> {
    let client = arrival.client;
    let (mut connection, _place) = arrival.protect().await?;
    let mut frames = Frames::new(terms.message_bytes_max);
    loop {
        let silent_until = terms.idle.map(|idle| Instant::now() + idle);
        let read = tokio::select! {
            read = connection.read_onto(&mut frames.kept) => read?,
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
