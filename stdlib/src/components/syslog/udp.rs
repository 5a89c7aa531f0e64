//! Receives messages in datagrams.
//!
//! The kernel drops datagrams that don't fit into the socket's buffer. So a receiver first takes all datagrams that
//! have arrived, many with one call, and sends messages to the gatherer while none arrive or enough are pending.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use nix::cmsg_space;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, ReusePort, RxqOvfl};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockFlag, SockType, SockaddrStorage,
    getsockopt, recvmmsg, setsockopt, socket,
};
use tokio::io::Interest;
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use weir_runtime::{Meter, is_outage};

use super::{HeaderReader, RunContext};
use crate::tools::lines::Span;
use crate::tools::listener::{Chunk, ListenError};

/// The longest possible datagram.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Space for the line end that some clients append to a message.
const LINE_END_BYTES: usize = 4;
/// The most datagrams that one call receives.
const DATAGRAMS_MAX: usize = 64;
/// No more datagrams are received while the pending messages have this many bytes.
const PENDING_BYTES_MAX: usize = 256 << 10;
/// The least bytes that a datagram occupies in the socket's buffer.
const KERNEL_BYTES_MIN: usize = 512;
/// The wait after an error that passes by itself, such as a lack of memory.
const OUTAGE_WAIT: Duration = Duration::from_millis(100);
/// The shortest time between two warnings of dropped datagrams.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The receive buffer that each socket requests from the kernel.
pub(super) struct ReceiveBuffer<'a> {
    component: &'a str,
    meter: &'a Meter,
    bytes: usize,
}

impl<'a> ReceiveBuffer<'a> {
    pub(super) fn new(component: &'a str, meter: &'a Meter, bytes: usize) -> ReceiveBuffer<'a> {
        ReceiveBuffer { component, meter, bytes }
    }

    /// Sets a socket's receive buffer to the requested size, or to the largest that is allowed, and lets the kernel
    /// count dropped datagrams. Returns the size of the buffer in bytes.
    fn set_up(&self, socket: &UdpSocket) -> io::Result<usize> {
        // A size beyond the system's limit needs a privilege.
        if setsockopt(socket, RcvBufForce, &self.bytes).is_err() {
            setsockopt(socket, RcvBuf, &self.bytes)?;
        }
        setsockopt(socket, RxqOvfl, &1)?;
        // The kernel doubles the requested size, to have space for its own data.
        Ok(getsockopt(socket, RcvBuf)? / 2)
    }

    fn report(&self, given: usize) {
        let kibibytes = |bytes: usize| bytes >> 10;
        self.meter.note("receive buffer", format!("{} KiB", kibibytes(given)));
        if given < self.bytes {
            let (given, wanted) = (kibibytes(given), kibibytes(self.bytes));
            warn!(
                component = %self.component,
                "the system gives {given} KiB of the `receive_buffer` of {wanted} KiB, so bursts are dropped earlier: \
                 raise its bound with `sysctl -w net.core.rmem_max={}`", self.bytes
            );
        }
    }
}

/// Binds this many sockets to one address. The kernel distributes the senders among the sockets.
pub(super) async fn bind(
    address: &str,
    receivers: usize,
    receive_buffer: &ReceiveBuffer<'_>,
) -> Result<Vec<UdpSocket>, ListenError> {
    let failed = |source| ListenError::Bind { address: address.to_string(), source };
    let mut first = Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    for found in lookup_host(address).await.map_err(failed)? {
        first = open_socket(found, receivers > 1, receive_buffer);
        if first.is_ok() {
            break;
        }
    }
    let first = first.map_err(failed)?;
    // With port 0, this is the port that the system has chosen.
    let bound_to = first.0.local_addr().map_err(failed)?;
    let mut sockets = vec![first];
    while sockets.len() < receivers {
        sockets.push(open_socket(bound_to, true, receive_buffer).map_err(failed)?);
    }
    receive_buffer.meter.finish_discovery();
    receive_buffer.meter.note("listens on", bound_to.to_string());
    receive_buffer.report(sockets.iter().map(|(_, given)| *given).min().unwrap_or(0));
    Ok(sockets.into_iter().map(|(socket, _)| socket).collect())
}

fn open_socket(
    address: SocketAddr,
    shared: bool,
    receive_buffer: &ReceiveBuffer<'_>,
) -> io::Result<(UdpSocket, usize)> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let descriptor = socket(family, SockType::Datagram, flags, None)?;
    if shared {
        setsockopt(&descriptor, ReusePort, &true)?;
    }
    nix::sys::socket::bind(descriptor.as_raw_fd(), &SockaddrStorage::from(address))?;
    let socket = UdpSocket::from_std(descriptor.into())?;
    let given = receive_buffer.set_up(&socket)?;
    Ok((socket, given))
}

/// Receives the datagrams of one socket.
pub(super) struct Receiver {
    socket: UdpSocket,
    /// The requested size of the socket's receive buffer.
    buffer_bytes: usize,
    context: Arc<RunContext>,
    slots: Slots,
    pending: PendingMessages,
    drops: Drops,
}

/// The memory into which datagrams are received, with a slot for each datagram of a call.
struct Slots {
    memory: Vec<u8>,
    slot_bytes: usize,
}

/// The received messages that were not yet sent to the gatherer, in the order of their arrival.
#[derive(Default)]
struct PendingMessages {
    buffer: Vec<u8>,
    messages: Vec<(IpAddr, Span)>,
}

/// The number of datagrams that the kernel has dropped.
#[derive(Default)]
struct Drops {
    /// The kernel's count, since the socket was made.
    total: u32,
    /// The number of drops since the last warning.
    unreported: u64,
    reported_at: Option<Instant>,
}

impl Receiver {
    pub(super) fn new(socket: UdpSocket, buffer_bytes: usize, context: Arc<RunContext>) -> Receiver {
        // Longer messages are truncated, so no more bytes need to be received.
        let slot_bytes = context.message_bytes_max.min(DATAGRAM_BYTES_MAX) + LINE_END_BYTES;
        let slots = Slots { memory: vec![0; DATAGRAMS_MAX * slot_bytes], slot_bytes };
        Receiver {
            socket,
            buffer_bytes,
            context,
            slots,
            pending: PendingMessages::default(),
            drops: Drops::default(),
        }
    }

    /// Receives datagrams until the source is stopped or has ended.
    ///
    /// # Errors
    /// When the socket can't be used any more. Errors that pass by themselves are waited out.
    pub(super) async fn receive(
        mut self,
        chunks: mpsc::Sender<Chunk<HeaderReader>>,
        stop: CancellationToken,
    ) -> io::Result<()> {
        loop {
            let has_space = self.pending.buffer.len() < PENDING_BYTES_MAX
                && self.pending.messages.len() < self.context.events_max;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                readable = self.socket.readable(), if has_space => {
                    readable?;
                    self.receive_some().await?;
                }
                permit = chunks.reserve(), if !self.pending.messages.is_empty() => {
                    let Ok(permit) = permit else { return Ok(()) };
                    let mut ready = self.pending.take(&self.context);
                    if let Some(first) = ready.pop_front() {
                        permit.send(first);
                    }
                    for chunk in ready {
                        if chunks.send(chunk).await.is_err() {
                            return Ok(());
                        }
                    }
                }
            }
        }
        // The datagrams in the kernel's buffer would be lost with the socket. More may arrive meanwhile, so no more are
        // taken than the buffer can hold.
        let mut left = self.buffer_bytes / KERNEL_BYTES_MIN;
        loop {
            for chunk in self.pending.take(&self.context) {
                if chunks.send(chunk).await.is_err() {
                    return Ok(());
                }
            }
            match self.receive_now() {
                Ok(count) if count < left => left -= count,
                Ok(_) | Err(_) => break,
            }
        }
        for chunk in self.pending.take(&self.context) {
            if chunks.send(chunk).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Receives the datagrams of one call. Waits after an error that passes by itself.
    async fn receive_some(&mut self) -> io::Result<()> {
        match self.receive_now() {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) if is_outage(&error) => {
                debug!(component = %self.context.component, "receiving datagrams: {error}");
                self.context.meter.count("receive_errors", 1);
                sleep(OUTAGE_WAIT).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Receives the datagrams of one call into the pending messages, and returns their number.
    fn receive_now(&mut self) -> io::Result<usize> {
        let Receiver { socket, slots, pending, context, drops, .. } = self;
        let datagrams_max = context.events_max.saturating_sub(pending.messages.len());
        let mut dropped = None;
        let received = socket.try_io(Interest::READABLE, || {
            slots.receive(socket, datagrams_max, |client, datagram, truncated, dropped_so_far| {
                context.add(pending, client, datagram, truncated);
                dropped = dropped_so_far.or(dropped);
            })
        });
        if let Some(total) = dropped {
            drops.note(total, context);
        }
        received
    }
}

impl Slots {
    /// Receives at most `datagrams_max` datagrams that have arrived, and calls `take` with each datagram's sender, its
    /// bytes as far as they fit into a slot, whether they were truncated, and the kernel's count of drops.
    fn receive(
        &mut self,
        socket: &UdpSocket,
        datagrams_max: usize,
        mut take: impl FnMut(IpAddr, &[u8], bool, Option<u32>),
    ) -> io::Result<usize> {
        // The headers are made for each call, since the kernel overwrites their lengths.
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(DATAGRAMS_MAX, Some(cmsg_space!(u32)));
        let slots = self.memory.chunks_exact_mut(self.slot_bytes).take(datagrams_max);
        let mut slots: Vec<[IoSliceMut<'_>; 1]> = slots.map(|slot| [IoSliceMut::new(slot)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let received = recvmmsg(socket.as_raw_fd(), &mut headers, slots.iter_mut(), flags, None)?;
        let mut count = 0;
        for message in received {
            count += 1;
            let Some(client) = message.address.as_ref().and_then(address) else { continue };
            let datagram = message.iovs().next().unwrap_or_default();
            take(client, datagram, message.flags.contains(MsgFlags::MSG_TRUNC), dropped(&message));
        }
        Ok(count)
    }
}

fn address(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    let address = v4.or_else(|| Some(IpAddr::V6(address.as_sockaddr_in6()?.ip())))?;
    Some(address.to_canonical())
}

/// Returns the kernel's count of dropped datagrams at the time when it received this one.
fn dropped(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<u32> {
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::RxqOvfl(total) => Some(total),
        _ => None,
    })
}

impl Drops {
    fn note(&mut self, total: u32, context: &RunContext) {
        // The kernel's count wraps around at 2^32.
        let dropped = u64::from(total.wrapping_sub(mem::replace(&mut self.total, total)));
        if dropped == 0 {
            return;
        }
        context.meter.count("datagrams_dropped", dropped);
        self.unreported += dropped;
        if self.reported_at.is_some_and(|reported_at| reported_at.elapsed() < WARNING_INTERVAL) {
            return;
        }
        self.reported_at = Some(Instant::now());
        let unreported = mem::take(&mut self.unreported);
        warn!(
            component = %context.component,
            "the system has dropped {unreported} datagrams, which came faster than they were taken: a larger \
             `receive_buffer` bears longer bursts, and more `receivers` take from many senders at once"
        );
    }
}

impl PendingMessages {
    /// Takes the pending messages, in chunks of one client each.
    fn take(&mut self, context: &Arc<RunContext>) -> VecDeque<Chunk<HeaderReader>> {
        let mut messages = mem::take(&mut self.messages);
        let mut buffer = mem::take(&mut self.buffer);
        let several = messages.windows(2).any(|pair| pair[0].0 != pair[1].0);
        if several {
            // The messages of a client are copied together, in their order, so that a chunk keeps no other memory.
            messages.sort_by_key(|(client, _)| *client);
            let mut sorted = context.buffers.take(buffer.len());
            for (_, span) in &messages {
                sorted.extend_from_slice(&buffer[span.begin as usize..][..span.length as usize]);
            }
            context.buffers.give_back(mem::replace(&mut buffer, sorted));
        }
        let mut rest = context.buffers.share(buffer);
        let mut chunks = VecDeque::new();
        let (mut spans, mut end) = (Vec::new(), 0_u32);
        for (index, (client, Span { length, .. })) in messages.iter().enumerate() {
            spans.push(Span { begin: end, length: *length, behind: u64::from(end + length) });
            end += length;
            let ends = messages.get(index + 1).is_none_or(|(next, _)| next != client);
            if ends || end as usize >= PENDING_BYTES_MAX {
                let buffer = rest.slice_with_length(0, end as usize);
                chunks.push_back(context.chunk(buffer, mem::take(&mut spans), *client));
                rest = rest.slice(end as usize);
                end = 0;
            }
        }
        chunks
    }
}

impl RunContext {
    /// Adds a datagram's message to the pending ones, without a line end.
    fn add(&self, pending: &mut PendingMessages, client: IpAddr, datagram: &[u8], truncated: bool) {
        let message = trimmed(datagram);
        if truncated || message.len() > self.message_bytes_max {
            self.meter.count("long_messages", 1);
        }
        let message = &message[..message.len().min(self.message_bytes_max)];
        if message.is_empty() {
            return;
        }
        let PendingMessages { buffer, messages } = pending;
        if buffer.capacity() == 0 {
            *buffer = self.buffers.take(PENDING_BYTES_MAX + DATAGRAM_BYTES_MAX);
        }
        let begin = buffer.len();
        buffer.extend_from_slice(message);
        let behind = buffer.len() as u64;
        messages.push((client, Span { begin: begin as u32, length: message.len() as u32, behind }));
    }
}

/// Removes line ends and zeros from the end of a datagram.
fn trimmed(datagram: &[u8]) -> &[u8] {
    let last = datagram.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0));
    &datagram[..last.map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests;
