//! Receives messages on TCP connections.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::framing::{Frames, Messages};
use super::{HeaderReader, RunContext};
use crate::tools::deadline;
use crate::tools::listener::{Accepted, Activity, Chunk, Connection};

/// Receives the messages of a client until the connection is closed or the source is stopped.
pub(super) async fn serve(
    accepted: Accepted,
    context: Arc<RunContext>,
    chunks: mpsc::Sender<Chunk<HeaderReader>>,
    stop: CancellationToken,
) {
    let client = accepted.client;
    let secured = accepted.handshake_until(&stop, &context.component, &context.meter).await;
    let Some((connection, slot)) = secured else { return };
    let from = (client, slot.activity());
    if let Err(error) = read(connection, from, &context, &chunks, &stop).await {
        context.meter.count("connections_failed", 1);
        debug!(component = %context.component, "the connection of {client} has ended: {error}");
    }
}

async fn read(
    mut connection: Connection,
    (client, activity): (IpAddr, &Arc<Activity>),
    context: &Arc<RunContext>,
    chunks: &mpsc::Sender<Chunk<HeaderReader>>,
    stop: &CancellationToken,
) -> io::Result<()> {
    let mut frames = Frames::new(context.message_bytes_max);
    // The received bytes of the incomplete message.
    let mut kept = Vec::new();
    loop {
        let silent_until = context.idle.map(|idle| Instant::now() + idle);
        // A stop ends only the reading: the complete messages are sent to the gatherer before.
        let read = tokio::select! {
            () = stop.cancelled() => {
                context.report_unfinished(&kept, client);
                return Ok(());
            }
            () = activity.evicted() => {
                context.report_unfinished(&kept, client);
                return Ok(());
            }
            read = connection.read_onto(&mut kept, &context.buffers) => {
                read.inspect_err(|_broken| context.report_unfinished(&kept, client))?
            }
            () = deadline::reached(silent_until) => {
                context.meter.count("connections_idle", 1);
                context.report_unfinished(&kept, client);
                return Ok(());
            }
        };
        let ends = read == 0;
        if context.send_complete(&mut frames, &mut kept, ends, (client, activity), chunks).await.is_err()
            || ends
        {
            return Ok(());
        }
        activity.set_partial(frames.are_skipping() || !kept.is_empty());
    }
}

impl RunContext {
    /// Sends the complete messages in `kept` to the gatherer. The incomplete rest is copied only when a message was
    /// complete, so no byte is copied more than a few times.
    async fn send_complete(
        self: &Arc<RunContext>,
        frames: &mut Frames,
        kept: &mut Vec<u8>,
        ends: bool,
        (client, activity): (IpAddr, &Arc<Activity>),
        chunks: &mpsc::Sender<Chunk<HeaderReader>>,
    ) -> Result<(), SendError<Chunk<HeaderReader>>> {
        let mut messages = frames.messages(kept, ends, self.events_max);
        if messages.used == 0 {
            return Ok(());
        }
        // A client that waits for space in the channels is not quiet.
        let _sending = activity.begin_work();
        let mut rest = self.buffers.share(std::mem::take(kept));
        while messages.used > 0 {
            let Messages { spans, used, too_long } = messages;
            if too_long > 0 {
                self.meter.count("long_messages", too_long);
            }
            if !spans.is_empty() {
                chunks.send(self.chunk(rest.slice_with_length(0, used), spans, client)).await?;
            }
            rest = rest.slice(used);
            messages = frames.messages(&rest, ends, self.events_max);
        }
        *kept = rest.to_vec();
        Ok(())
    }

    /// Counts and logs an incomplete message that is given up.
    fn report_unfinished(&self, kept: &[u8], client: IpAddr) {
        if !kept.is_empty() {
            self.meter.count("unfinished_messages", 1);
            let bytes = kept.len();
            debug!(component = %self.component, "a message of {client} is given up after its first {bytes} bytes");
        }
    }
}
