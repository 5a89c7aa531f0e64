//! Messages in datagrams.

use std::io;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weir_runtime::Meter;

use super::{Headers, Terms};
use crate::lines::Span;
use crate::listening::{ListenError, Piece};

/// No datagram is longer.
const DATAGRAM_BYTES: usize = 64 << 10;
/// Datagrams of one client that are at hand are taken together, up to about this much.
const PIECE_BYTES: usize = 256 << 10;

pub(super) async fn bind(address: &str, meter: &Meter) -> Result<UdpSocket, ListenError> {
    let socket = UdpSocket::bind(address).await;
    let socket = socket.map_err(|source| ListenError::Bind { address: address.to_string(), source })?;
    if let Ok(address) = socket.local_addr() {
        meter.note("listens on", address.to_string());
    }
    Ok(socket)
}

/// Receives until the source is stopped or has ended.
pub(super) async fn receive(
    socket: UdpSocket,
    terms: Arc<Terms>,
    pieces: mpsc::Sender<Piece<Headers>>,
    stop: CancellationToken,
) {
    let mut datagram = vec![0; DATAGRAM_BYTES];
    let mut next = None;
    loop {
        let (length, client) = match next.take() {
            Some(received) => received,
            None => tokio::select! {
                () = stop.cancelled() => return,
                received = socket.recv_from(&mut datagram) => match received {
                    Ok(received) => received,
                    Err(error) => {
                        // An answer to nobody, or no memory: others go on.
                        debug!(component = %terms.component, "receiving a datagram: {error}");
                        terms.meter.count("datagrams_failed", 1);
                        tokio::task::yield_now().await;
                        continue;
                    }
                },
            },
        };
        let (mut buffer, mut spans) = (Vec::new(), Vec::new());
        terms.add(&mut buffer, &mut spans, &datagram[..length]);
        // What is there already of the same client goes along.
        while buffer.len() < PIECE_BYTES && spans.len() < terms.events_max {
            match socket.try_recv_from(&mut datagram) {
                Ok((length, other)) if other.ip() == client.ip() => {
                    terms.add(&mut buffer, &mut spans, &datagram[..length]);
                }
                Ok(received) => {
                    next = Some(received);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_the_next_call_says_it_again) => break,
            }
        }
        if spans.is_empty() {
            continue;
        }
        let piece = terms.piece(buffer, spans, client.ip().to_canonical());
        if pieces.send(piece).await.is_err() {
            return;
        }
    }
}

impl Terms {
    /// Adds a datagram's message. Some end it as a line.
    fn add(&self, buffer: &mut Vec<u8>, spans: &mut Vec<Span>, datagram: &[u8]) {
        let message = trimmed(datagram);
        if message.len() > self.message_bytes_max {
            self.meter.count("long_messages", 1);
        }
        let message = &message[..message.len().min(self.message_bytes_max)];
        if message.is_empty() {
            return;
        }
        let begin = buffer.len();
        buffer.extend_from_slice(message);
        let behind = buffer.len() as u64;
        spans.push(Span { begin: begin as u32, length: message.len() as u32, behind });
    }
}

/// Without line ends and zeros at its end.
fn trimmed(datagram: &[u8]) -> &[u8] {
    let last = datagram.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0));
    &datagram[..last.map_or(0, |last| last + 1)]
}
