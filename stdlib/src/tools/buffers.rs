//! Buffers that sources read into and sinks write from, used again and again.
//!
//! Memory that was used a moment ago is in the processor's cache and has its pages; fresh memory has neither, and
//! costs as much as the copy into it. A buffer comes back by itself when the last event in it is gone, and is
//! nobody's until it is taken again: what is still referred to is never written to.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arrow_buffer::Buffer;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::sleep;

/// The smallest buffer that is kept: the allocator is as good for others.
const KEPT_BYTES_MIN: usize = 32 << 10;
/// The largest buffer that is kept: a batch's bodies, or a turn's output, with a little more than a mebibyte.
const KEPT_BYTES_MAX: usize = 2 << 20;
/// What lies idle has so many bytes at most.
const IDLE_BYTES_MAX: usize = 8 << 20;
/// What was not needed for this long is given back.
const IDLE: Duration = Duration::from_secs(1);

/// The buffers of a source or a sink. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Buffers {
    pool: Arc<Pool>,
}

#[derive(Default)]
struct Pool {
    idle: Mutex<Idle>,
    /// There is something idle that nobody watches.
    filled: Notify,
}

/// What nobody uses. What came back last is taken first, so the ones in front are those not needed.
#[derive(Default)]
struct Idle {
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
    /// So many were not needed since this was last looked at.
    surplus: usize,
    watched: bool,
}

impl Buffers {
    /// An empty buffer with room for so many bytes.
    pub(crate) fn take(&self, bytes: usize) -> Vec<u8> {
        let mut buffer = self.take_as_it_is(bytes);
        buffer.clear();
        buffer
    }

    /// A buffer to be written over: so many bytes of anything if it was used before, else empty with room for
    /// exactly as many. So nothing is filled with zeros first.
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

    /// Takes back a buffer in which nothing is wanted any more.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        self.pool.give_back(buffer);
    }

    /// Makes room for about so many bytes more, for half as many at least.
    pub(crate) fn make_room(&self, buffer: &mut Vec<u8>, bytes: usize) {
        if buffer.capacity() - buffer.len() >= bytes / 2 {
            return;
        }
        if buffer.len() > bytes / 2 {
            // A long line grows as a vector does, so that it is not copied with each read.
            buffer.reserve(bytes);
            return;
        }
        let mut larger = self.take(bytes);
        larger.extend_from_slice(buffer);
        self.give_back(std::mem::replace(buffer, larger));
    }

    /// Copies what is in a buffer of the pool if it is so little that it would keep more than twice its bytes.
    pub(crate) fn fit(&self, buffer: &mut Vec<u8>) {
        if is_kept(buffer.capacity()) && 2 * buffer.len() < buffer.capacity() {
            let little = buffer.as_slice().to_vec();
            self.give_back(std::mem::replace(buffer, little));
        }
    }

    /// The bytes for events to refer to; the buffer comes back when none does any more.
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

    /// The same for bytes that are soon done with, however few they are.
    pub(crate) fn lend(&self, buffer: Vec<u8>) -> Bytes {
        match is_kept(buffer.capacity()) {
            true => Bytes::from_owner(Lent { buffer, home: Arc::downgrade(&self.pool) }),
            false => Bytes::from(buffer),
        }
    }

    /// Runs this, and gives back what is not needed meanwhile.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = self.keep_few() => match never {},
        }
    }

    /// Gives back what is not needed, for as long as it is polled. It sleeps while nothing lies idle.
    async fn keep_few(&self) -> Infallible {
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
        // What has to go is freed when the lock is.
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
        // Not much more, so that it is not copied for holding too little.
        let fits = |idle: &Vec<u8>| (bytes..=bytes + bytes / 2).contains(&idle.capacity());
        let place = self.buffers.iter().rposition(fits)?;
        let buffer = self.buffers.remove(place)?;
        self.bytes -= buffer.capacity();
        self.surplus = self.surplus.min(place);
        Some(buffer)
    }

    /// Whether somebody has to begin to watch.
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

    /// What was not needed since the last time; nothing if nothing is left to be watched.
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

/// Whether a buffer of this size is worth keeping.
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
    fn a_buffer_comes_back_when_nobody_refers_to_it_and_not_before() {
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
    fn buffers_are_found_by_their_size_and_filled_ones_have_it() {
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
        assert_eq!(buffers.idle_bytes(), 0, "others are not kept");
    }

    #[test]
    fn what_lies_idle_is_bounded() {
        let buffers = Buffers::default();
        let all: Vec<Buffer> = (0..200).map(|_| buffers.share(full(&buffers, 0))).collect();
        assert_eq!(buffers.idle_bytes(), 0);
        drop(all);
        assert_eq!(buffers.idle_bytes(), IDLE_BYTES_MAX);
    }

    #[test]
    fn a_little_in_a_large_buffer_is_copied_out() {
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
    async fn what_is_not_needed_is_given_back_and_what_is_stays() {
        let buffers = Buffers::default();
        let mut keeping = pin!(buffers.keep_few());
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
            // One is used all the time, which keeps one of them.
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
