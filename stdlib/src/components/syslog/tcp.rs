//! Messages over connections.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::framing::{Frames, Messages};
use super::{Headers, Terms};
use crate::tools::due::until;
use crate::tools::listener::{Arrival, Connection, Guest, Piece};

/// Reads a client's messages until it or the source ends.
pub(super) async fn serve(
    arrival: Arrival,
    terms: Arc<Terms>,
    pieces: mpsc::Sender<Piece<Headers>>,
    stop: CancellationToken,
) {
    let client = arrival.client;
    let protected = arrival.protect_until(&stop, &terms.component, &terms.meter).await;
    let Some((connection, place)) = protected else { return };
    let from = (client, place.guest());
    if let Err(error) = read(connection, from, &terms, &pieces, &stop).await {
        terms.meter.count("connections_failed", 1);
        debug!(component = %terms.component, "the connection of {client} has ended: {error}");
    }
}

async fn read(
    mut connection: Connection,
    (client, guest): (IpAddr, &Arc<Guest>),
    terms: &Arc<Terms>,
    pieces: &mpsc::Sender<Piece<Headers>>,
    stop: &CancellationToken,
) -> io::Result<()> {
    let mut frames = Frames::new(terms.message_bytes_max);
    // What has come and is in no message yet.
    let mut kept = Vec::new();
    loop {
        let silent_until = terms.idle.map(|idle| Instant::now() + idle);
        // A stop ends the reading alone: what was read is handed on.
        let read = tokio::select! {
            () = stop.cancelled() => {
                terms.unfinished(&kept, client);
                return Ok(());
            }
            () = guest.has_to_leave() => {
                terms.unfinished(&kept, client);
                return Ok(());
            }
            read = connection.read_onto(&mut kept, &terms.buffers) => {
                read.inspect_err(|_broken| terms.unfinished(&kept, client))?
            }
            () = until(silent_until) => {
                terms.meter.count("connections_idle", 1);
                terms.unfinished(&kept, client);
                return Ok(());
            }
        };
        let ends = read == 0;
        if terms.hand_on(&mut frames, &mut kept, ends, (client, guest), pieces).await.is_err() || ends {
            return Ok(());
        }
        guest.has_begun(frames.are_skipping() || !kept.is_empty());
    }
}

impl Terms {
    /// Hands on the messages that are complete. What is left is copied once for each time that one is, so all in all
    /// no byte is copied more than a few times.
    async fn hand_on(
        self: &Arc<Terms>,
        frames: &mut Frames,
        kept: &mut Vec<u8>,
        ends: bool,
        (client, guest): (IpAddr, &Arc<Guest>),
        pieces: &mpsc::Sender<Piece<Headers>>,
    ) -> Result<(), SendError<Piece<Headers>>> {
        let mut messages = frames.messages(kept, ends, self.events_max);
        if messages.used == 0 {
            return Ok(());
        }
        // A client that waits for room in the channels is not quiet.
        let _sending = guest.begin();
        let mut rest = self.buffers.share(std::mem::take(kept));
        while messages.used > 0 {
            let Messages { spans, used, too_long } = messages;
            if too_long > 0 {
                self.meter.count("long_messages", too_long);
            }
            if !spans.is_empty() {
                pieces.send(self.piece(rest.slice_with_length(0, used), spans, client)).await?;
            }
            rest = rest.slice(used);
            messages = frames.messages(&rest, ends, self.events_max);
        }
        *kept = rest.to_vec();
        Ok(())
    }

    /// Says that a message is given up of which only the beginning has come.
    fn unfinished(&self, kept: &[u8], client: IpAddr) {
        if !kept.is_empty() {
            self.meter.count("unfinished_messages", 1);
            let bytes = kept.len();
            debug!(component = %self.component, "a message of {client} is given up after its first {bytes} bytes");
        }
    }
}
