//! Messages in datagrams.
//!
//! The kernel drops datagrams that find no room in the socket's buffer. So a receiver takes what is there first, many
//! datagrams with one call, and hands it on while nothing comes or enough has been gathered.

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

use super::{Headers, Terms};
use crate::tools::lines::Span;
use crate::tools::listener::{ListenError, Piece};

/// The longest datagram that there is.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Room for the line's end that some put behind a message.
const LINE_END_BYTES: usize = 4;
/// So many datagrams are received with one call.
const DATAGRAMS_MAX: usize = 64;
/// What is gathered is handed on before it has more bytes than this and one call's.
const GATHERED_BYTES_MAX: usize = 256 << 10;
/// What one datagram takes up of the socket's buffer at least.
const KERNEL_BYTES_MIN: usize = 512;
/// The wait when the system is short of something.
const OUTAGE: Duration = Duration::from_millis(100);
/// How often it is said that datagrams were dropped.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The room that sockets ask the kernel for.
pub(super) struct Room<'a> {
    component: &'a str,
    meter: &'a Meter,
    bytes: usize,
}

impl<'a> Room<'a> {
    pub(super) fn new(component: &'a str, meter: &'a Meter, bytes: usize) -> Room<'a> {
        Room { component, meter, bytes }
    }

    /// Makes a socket's buffer as large as is wanted and allowed, and has its drops counted. Says how large it is.
    fn furnish(&self, socket: &UdpSocket) -> io::Result<usize> {
        // Beyond the system's bound it takes a privilege.
        if setsockopt(socket, RcvBufForce, &self.bytes).is_err() {
            setsockopt(socket, RcvBuf, &self.bytes)?;
        }
        setsockopt(socket, RxqOvfl, &1)?;
        // The kernel doubles what is asked for, for what it needs itself.
        Ok(getsockopt(socket, RcvBuf)? / 2)
    }

    fn say(&self, given: usize) {
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

/// Binds an address with so many sockets, among which the kernel shares the senders out.
pub(super) async fn bind(
    address: &str,
    receivers: usize,
    room: &Room<'_>,
) -> Result<Vec<UdpSocket>, ListenError> {
    let failed = |source| ListenError::Bind { address: address.to_string(), source };
    let mut first = Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    for found in lookup_host(address).await.map_err(failed)? {
        first = bound(found, receivers > 1, room);
        if first.is_ok() {
            break;
        }
    }
    let first = first.map_err(failed)?;
    // With the port that was chosen, if that was left open.
    let place = first.0.local_addr().map_err(failed)?;
    let mut sockets = vec![first];
    while sockets.len() < receivers {
        sockets.push(bound(place, true, room).map_err(failed)?);
    }
    room.meter.finish_discovery();
    room.meter.note("listens on", place.to_string());
    room.say(sockets.iter().map(|(_, given)| *given).min().unwrap_or(0));
    Ok(sockets.into_iter().map(|(socket, _)| socket).collect())
}

fn bound(address: SocketAddr, shared: bool, room: &Room<'_>) -> io::Result<(UdpSocket, usize)> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let descriptor = socket(family, SockType::Datagram, flags, None)?;
    if shared {
        setsockopt(&descriptor, ReusePort, &true)?;
    }
    nix::sys::socket::bind(descriptor.as_raw_fd(), &SockaddrStorage::from(address))?;
    let socket = UdpSocket::from_std(descriptor.into())?;
    let given = room.furnish(&socket)?;
    Ok((socket, given))
}

/// Receives the datagrams of one socket.
pub(super) struct Receiver {
    socket: UdpSocket,
    /// How much the socket was to hold.
    buffer_bytes: usize,
    terms: Arc<Terms>,
    slots: Slots,
    gathered: Gathered,
    drops: Drops,
}

/// Where datagrams are received, each in a slot of its own.
struct Slots {
    memory: Vec<u8>,
    slot_bytes: usize,
}

/// Messages that wait to be handed on, in the order in which they came.
#[derive(Default)]
struct Gathered {
    buffer: Vec<u8>,
    messages: Vec<(IpAddr, Span)>,
}

/// What the kernel has dropped.
#[derive(Default)]
struct Drops {
    /// Since the socket is there, as the kernel counts.
    through: u32,
    /// What no warning was of.
    unsaid: u64,
    said: Option<Instant>,
}

impl Receiver {
    pub(super) fn new(socket: UdpSocket, buffer_bytes: usize, terms: Arc<Terms>) -> Receiver {
        // Longer ones are cut off, so more than that need not be received.
        let slot_bytes = terms.message_bytes_max.min(DATAGRAM_BYTES_MAX) + LINE_END_BYTES;
        let slots = Slots { memory: vec![0; DATAGRAMS_MAX * slot_bytes], slot_bytes };
        Receiver {
            socket,
            buffer_bytes,
            terms,
            slots,
            gathered: Gathered::default(),
            drops: Drops::default(),
        }
    }

    /// Receives until the source is stopped or has ended.
    ///
    /// # Errors
    /// When the socket does not work any more. What is short for a while is waited for.
    pub(super) async fn receive(
        mut self,
        pieces: mpsc::Sender<Piece<Headers>>,
        stop: CancellationToken,
    ) -> io::Result<()> {
        loop {
            let has_room = self.gathered.buffer.len() < GATHERED_BYTES_MAX
                && self.gathered.messages.len() < self.terms.events_max;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                readable = self.socket.readable(), if has_room => {
                    readable?;
                    self.take_some().await?;
                }
                room = pieces.reserve(), if !self.gathered.messages.is_empty() => {
                    let Ok(room) = room else { return Ok(()) };
                    let mut ready = self.gathered.take(&self.terms);
                    if let Some(first) = ready.pop_front() {
                        room.send(first);
                    }
                    for piece in ready {
                        if pieces.send(piece).await.is_err() {
                            return Ok(());
                        }
                    }
                }
            }
        }
        // What the kernel has would be lost with the socket. There may come more all the time, so no more is taken
        // than it could hold.
        let mut left = self.buffer_bytes / KERNEL_BYTES_MIN;
        loop {
            for piece in self.gathered.take(&self.terms) {
                if pieces.send(piece).await.is_err() {
                    return Ok(());
                }
            }
            match self.take_now() {
                Ok(count) if count < left => left -= count,
                Ok(_) | Err(_) => break,
            }
        }
        for piece in self.gathered.take(&self.terms) {
            if pieces.send(piece).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Takes what is there, one call's. Waits when the system is short of something.
    async fn take_some(&mut self) -> io::Result<()> {
        match self.take_now() {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) if is_outage(&error) => {
                debug!(component = %self.terms.component, "receiving datagrams: {error}");
                self.terms.meter.count("receive_errors", 1);
                sleep(OUTAGE).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Takes what one call brings, and says how many datagrams that were.
    fn take_now(&mut self) -> io::Result<usize> {
        let Receiver { socket, slots, gathered, terms, drops, .. } = self;
        let most = terms.events_max.saturating_sub(gathered.messages.len());
        let mut dropped = None;
        let received = socket.try_io(Interest::READABLE, || {
            slots.receive(socket, most, |client, datagram, longer, so_far| {
                terms.add(gathered, client, datagram, longer);
                dropped = so_far.or(dropped);
            })
        });
        if let Some(through) = dropped {
            drops.note(through, terms);
        }
        received
    }
}

impl Slots {
    /// Receives what is there, at most so many, and hands on for each datagram: who sent it, as much of it as has room, whether it is
    /// longer than that, and how many the kernel has dropped so far.
    fn receive(
        &mut self,
        socket: &UdpSocket,
        most: usize,
        mut take: impl FnMut(IpAddr, &[u8], bool, Option<u32>),
    ) -> io::Result<usize> {
        // Made anew for each call, since the kernel writes into them how much of their room it has used.
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(DATAGRAMS_MAX, Some(cmsg_space!(u32)));
        let slots = self.memory.chunks_exact_mut(self.slot_bytes).take(most);
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
    let four = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    let address = four.or_else(|| Some(IpAddr::V6(address.as_sockaddr_in6()?.ip())))?;
    Some(address.to_canonical())
}

/// How many datagrams the kernel had dropped when it took this one.
fn dropped(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<u32> {
    message.cmsgs().ok()?.find_map(|told| match told {
        ControlMessageOwned::RxqOvfl(through) => Some(through),
        _ => None,
    })
}

impl Drops {
    fn note(&mut self, through: u32, terms: &Terms) {
        // The kernel's number begins again after four thousand million.
        let dropped = u64::from(through.wrapping_sub(mem::replace(&mut self.through, through)));
        if dropped == 0 {
            return;
        }
        terms.meter.count("datagrams_dropped", dropped);
        self.unsaid += dropped;
        if self.said.is_some_and(|said| said.elapsed() < WARNING_INTERVAL) {
            return;
        }
        self.said = Some(Instant::now());
        let unsaid = mem::take(&mut self.unsaid);
        warn!(
            component = %terms.component,
            "the system has dropped {unsaid} datagrams, which came faster than they were taken: a larger \
             `receive_buffer` bears longer bursts, and more `receivers` take from many senders at once"
        );
    }
}

impl Gathered {
    /// What has been gathered, in pieces of one client each.
    fn take(&mut self, terms: &Arc<Terms>) -> VecDeque<Piece<Headers>> {
        let mut messages = mem::take(&mut self.messages);
        let mut buffer = mem::take(&mut self.buffer);
        let several = messages.windows(2).any(|pair| pair[0].0 != pair[1].0);
        if several {
            // Each client's messages lie together, in their order, so that a piece keeps nothing of another.
            messages.sort_by_key(|(client, _)| *client);
            let mut sorted = terms.buffers.take(buffer.len());
            for (_, span) in &messages {
                sorted.extend_from_slice(&buffer[span.begin as usize..][..span.length as usize]);
            }
            terms.buffers.give_back(mem::replace(&mut buffer, sorted));
        }
        let mut rest = terms.buffers.share(buffer);
        let mut pieces = VecDeque::new();
        let (mut spans, mut end) = (Vec::new(), 0_u32);
        for (place, (client, Span { length, .. })) in messages.iter().enumerate() {
            spans.push(Span { begin: end, length: *length, behind: u64::from(end + length) });
            end += length;
            let ends = messages.get(place + 1).is_none_or(|(next, _)| next != client);
            if ends || end as usize >= GATHERED_BYTES_MAX {
                let buffer = rest.slice_with_length(0, end as usize);
                pieces.push_back(terms.piece(buffer, mem::take(&mut spans), *client));
                rest = rest.slice(end as usize);
                end = 0;
            }
        }
        pieces
    }
}

impl Terms {
    /// Adds a datagram's message. Some end it as a line.
    fn add(&self, gathered: &mut Gathered, client: IpAddr, datagram: &[u8], longer: bool) {
        let message = trimmed(datagram);
        if longer || message.len() > self.message_bytes_max {
            self.meter.count("long_messages", 1);
        }
        let message = &message[..message.len().min(self.message_bytes_max)];
        if message.is_empty() {
            return;
        }
        let Gathered { buffer, messages } = gathered;
        if buffer.capacity() == 0 {
            *buffer = self.buffers.take(GATHERED_BYTES_MAX + DATAGRAM_BYTES_MAX);
        }
        let begin = buffer.len();
        buffer.extend_from_slice(message);
        let behind = buffer.len() as u64;
        messages.push((client, Span { begin: begin as u32, length: message.len() as u32, behind }));
    }
}

/// Without line ends and zeros at its end.
fn trimmed(datagram: &[u8]) -> &[u8] {
    let last = datagram.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0));
    &datagram[..last.map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests;
