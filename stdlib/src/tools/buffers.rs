//! A pool of buffers that sources read into and sinks write from.
//!
//! Recently used memory is in the processor's cache and has its pages; fresh memory has neither, and costs as much as
//! the copy into it. A buffer returns to the pool when the last event in it is dropped, so that a buffer that an event
//! refers to is never written to.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arrow_buffer::Buffer;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::sleep;

/// The smallest buffer that the pool keeps. For smaller ones the allocator is as good.
const KEPT_BYTES_MIN: usize = 32 << 10;
/// The largest buffer that the pool keeps. The bodies of a batch and the output of an encoding job take a little more
/// than a mebibyte.
const KEPT_BYTES_MAX: usize = 2 << 20;
/// The most bytes of all idle buffers.
const IDLE_BYTES_MAX: usize = 8 << 20;
/// Buffers that were not needed for this long are freed.
const IDLE: Duration = Duration::from_secs(1);

/// The buffers of a source or a sink. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Buffers {
    pool: Arc<Pool>,
}

#[derive(Default)]
struct Pool {
    idle: Mutex<Idle>,
    /// Notified when a buffer becomes idle while the task that frees buffers sleeps.
    filled: Notify,
}

/// The idle buffers. The last one is taken first, so the buffers in front are not needed.
#[derive(Default)]
struct Idle {
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The number of buffers in front that were not needed since the last check.
    surplus: usize,
    /// Whether the task that frees buffers checks them.
    watched: bool,
}

impl Buffers {
    /// Takes an empty buffer with room for this many bytes.
    pub(crate) fn take(&self, bytes: usize) -> Vec<u8> {
        let mut buffer = self.take_as_it_is(bytes);
        buffer.clear();
        buffer
    }

    /// Takes a buffer to be overwritten: with this many bytes of old content if it was used before, else empty with
    /// room for exactly this many bytes. So no buffer is filled with zeros first.
    pub(crate) fn take_filled(&self, bytes: usize) -> Vec<u8> {
        let mut buffer = self.take_as_it_is(bytes);
        if !buffer.is_empty() {
            buffer.resize(bytes, 0);
        }
        buffer
    }

    fn take_as_it_is(&self, bytes: usize) -> Vec<u8> {
        let found = if is_kept(bytes) { self.pool.lock().take(bytes) } else { None };
        found.unwrap_or_else(|| Vec::with_capacity(bytes))
    }

    /// Returns a buffer to the pool.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        self.pool.give_back(buffer);
    }

    /// Makes room for about this many more bytes, at least for half of them.
    pub(crate) fn make_room(&self, buffer: &mut Vec<u8>, bytes: usize) {
        if buffer.capacity() - buffer.len() >= bytes / 2 {
            return;
        }
        if buffer.len() > bytes / 2 {
            // A long line grows by doubling, so that it is not copied with each read.
            buffer.reserve(bytes);
            return;
        }
        let mut larger = self.take(bytes);
        larger.extend_from_slice(buffer);
        self.give_back(std::mem::replace(buffer, larger));
    }

    /// Copies the content out of a buffer of the pool that is less than half full, and returns the buffer to the pool.
    pub(crate) fn fit(&self, buffer: &mut Vec<u8>) {
        if is_kept(buffer.capacity()) && 2 * buffer.len() < buffer.capacity() {
            let little = buffer.as_slice().to_vec();
            self.give_back(std::mem::replace(buffer, little));
        }
    }

    /// Converts a buffer into bytes that events refer to. The buffer returns to the pool when the last reference is
    /// dropped.
    pub(crate) fn share(&self, mut buffer: Vec<u8>) -> Buffer {
        self.fit(&mut buffer);
        if is_kept(buffer.capacity()) {
            return Buffer::from(self.lend(buffer));
        }
        if 2 * buffer.len() < buffer.capacity() {
            buffer.shrink_to_fit();
        }
        Buffer::from_vec(buffer)
    }

    /// Does the same for bytes that are dropped soon, so that a buffer with little content is not copied.
    pub(crate) fn lend(&self, buffer: Vec<u8>) -> Bytes {
        match is_kept(buffer.capacity()) {
            true => Bytes::from_owner(Lent { buffer, home: Arc::downgrade(&self.pool) }),
            false => Bytes::from(buffer),
        }
    }

    /// Runs `work`, and frees buffers that are not needed meanwhile.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = self.free_surplus() => match never {},
        }
    }

    /// Frees buffers that are not needed, for as long as it is polled. Sleeps while no buffer is idle.
    async fn free_surplus(&self) -> Infallible {
        loop {
            sleep(IDLE).await;
            let surplus = self.pool.lock().take_surplus();
            if surplus.is_none() {
                self.pool.filled.notified().await;
            }
        }
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, buffer: Vec<u8>) {
        if !is_kept(buffer.capacity()) {
            return;
        }
        // Freed after the lock is released.
        let mut gone = Vec::new();
        let mut idle = self.lock();
        let begins = idle.put(buffer, &mut gone);
        drop(idle);
        if begins {
            self.filled.notify_one();
        }
    }
}

impl Idle {
    fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        // Not much larger, so that it will not be too empty and be copied.
        let fits = |idle: &Vec<u8>| (bytes..=bytes + bytes / 2).contains(&idle.capacity());
        let place = self.buffers.iter().rposition(fits)?;
        let buffer = self.buffers.remove(place)?;
        self.bytes -= buffer.capacity();
        self.surplus = self.surplus.min(place);
        Some(buffer)
    }

    /// Adds a buffer. Returns whether the task that frees buffers has to wake up.
    fn put(&mut self, buffer: Vec<u8>, gone: &mut Vec<Vec<u8>>) -> bool {
        self.bytes += buffer.capacity();
        self.buffers.push_back(buffer);
        while self.bytes > IDLE_BYTES_MAX
            && let Some(first) = self.buffers.pop_front()
        {
            self.bytes -= first.capacity();
            self.surplus = self.surplus.saturating_sub(1);
            gone.push(first);
        }
        !std::mem::replace(&mut self.watched, true)
    }

    /// Takes the buffers that were not needed since the last check; none if the pool was empty, and need not be
    /// checked.
    fn take_surplus(&mut self) -> Option<Vec<Vec<u8>>> {
        if self.buffers.is_empty() && self.surplus == 0 {
            self.watched = false;
            return None;
        }
        let surplus: Vec<Vec<u8>> = self.buffers.drain(..self.surplus).collect();
        self.bytes -= surplus.iter().map(Vec::capacity).sum::<usize>();
        self.surplus = self.buffers.len();
        Some(surplus)
    }
}

/// Whether the pool keeps a buffer of this capacity.
fn is_kept(bytes: usize) -> bool {
    (KEPT_BYTES_MIN..=KEPT_BYTES_MAX).contains(&bytes)
}

/// A buffer that events refer to.
struct Lent {
    buffer: Vec<u8>,
    home: Weak<Pool>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.give_back(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use tokio::time::advance;

    use super::*;

    const BYTES: usize = 64 << 10;

    impl Buffers {
        fn idle_bytes(&self) -> usize {
            let idle = self.pool.lock();
            let bytes = idle.buffers.iter().map(Vec::capacity).sum();
            assert_eq!(bytes, idle.bytes);
            bytes
        }
    }

    fn full(buffers: &Buffers, byte: u8) -> Vec<u8> {
        let mut buffer = buffers.take(BYTES);
        buffer.resize(BYTES, byte);
        buffer
    }

    #[test]
    fn a_buffer_returns_to_the_pool_with_its_last_reference() {
        let buffers = Buffers::default();
        let written = full(&buffers, 1);
        let memory = written.as_ptr();
        let whole = buffers.share(written);
        let part = whole.slice_with_length(10, 20);
        drop(whole);
        let other = full(&buffers, 2);
        assert_ne!(other.as_ptr(), memory, "a part of it is still referred to");
        assert_eq!(part.as_slice(), [1; 20]);
        drop(part);
        let again = buffers.take(BYTES);
        assert!(again.is_empty() && again.as_ptr() == memory, "it is taken again");
    }

    #[test]
    fn a_taken_buffer_has_about_the_requested_size() {
        let buffers = Buffers::default();
        buffers.give_back(full(&buffers, 7));
        assert_eq!(buffers.take(2 * BYTES).capacity(), 2 * BYTES);
        assert_eq!(buffers.take(BYTES / 2).capacity(), BYTES / 2, "twice as much would be held for nothing");
        assert_eq!(buffers.take_filled(BYTES - 3), [7; BYTES - 3]);
        assert_eq!(buffers.idle_bytes(), 0);
        let fresh = buffers.take_filled(BYTES - 3);
        assert_eq!((fresh.len(), fresh.capacity()), (0, BYTES - 3));
        let large = buffers.take(KEPT_BYTES_MAX + 1);
        assert!(large.capacity() > KEPT_BYTES_MAX);
        buffers.give_back(large);
        buffers.give_back(Vec::new());
        assert_eq!(buffers.idle_bytes(), 0, "buffers of other sizes are not kept");
    }

    #[test]
    fn idle_buffers_are_bounded() {
        let buffers = Buffers::default();
        let all: Vec<Buffer> = (0..200).map(|_| buffers.share(full(&buffers, 0))).collect();
        assert_eq!(buffers.idle_bytes(), 0);
        drop(all);
        assert_eq!(buffers.idle_bytes(), IDLE_BYTES_MAX);
    }

    #[test]
    fn little_content_is_copied_out_of_a_large_buffer() {
        let buffers = Buffers::default();
        let mut buffer = full(&buffers, 3);
        buffer.truncate(100);
        let shared = buffers.share(buffer);
        assert_eq!((shared.as_slice(), buffers.idle_bytes()), ([3; 100].as_slice(), BYTES));
        let mut kept = b"begun".to_vec();
        buffers.make_room(&mut kept, BYTES);
        assert_eq!((kept.as_slice(), kept.capacity(), buffers.idle_bytes()), (b"begun".as_slice(), BYTES, 0));
        buffers.fit(&mut kept);
        assert_eq!((kept.as_slice(), buffers.idle_bytes()), (b"begun".as_slice(), BYTES));
        assert!(kept.capacity() < BYTES);
    }

    #[test]
    fn a_long_line_grows_without_being_copied_at_each_read() {
        let buffers = Buffers::default();
        let (mut line, mut moved) = (Vec::new(), 0);
        for _read in 0..1_000 {
            let memory = line.as_ptr();
            buffers.make_room(&mut line, BYTES);
            moved += usize::from(line.as_ptr() != memory);
            line.resize(line.len() + BYTES / 2, b'x');
            buffers.fit(&mut line);
        }
        assert!(moved < 30, "moved {moved} times");
        assert!(line.capacity() <= 3 * line.len());
    }

    #[test]
    fn events_may_outlive_their_source() {
        let buffers = Buffers::default();
        let shared = buffers.share(full(&buffers, 9));
        drop(buffers);
        assert_eq!(shared.as_slice(), [9; BYTES]);
    }

    #[tokio::test(start_paused = true)]
    async fn unneeded_buffers_are_freed_and_needed_ones_stay() {
        let buffers = Buffers::default();
        let mut keeping = pin!(buffers.free_surplus());
        let mut second = async || {
            advance(IDLE).await;
            poll_fn(|context| {
                assert!(keeping.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
        };
        second().await;
        drop([full(&buffers, 1), full(&buffers, 2)].map(|buffer| buffers.share(buffer)));
        for _ in 0..5 {
            second().await;
            // One buffer is needed all the time, so one of the two stays.
            drop(buffers.share(full(&buffers, 3)));
        }
        assert_eq!(buffers.idle_bytes(), BYTES);
        second().await;
        second().await;
        assert_eq!(buffers.idle_bytes(), 0);
        second().await;
        assert!(!buffers.pool.lock().watched, "it sleeps");
        drop(buffers.share(full(&buffers, 4)));
        for _ in 0..3 {
            second().await;
        }
        assert_eq!(buffers.idle_bytes(), 0, "and wakes up");
    }
}
