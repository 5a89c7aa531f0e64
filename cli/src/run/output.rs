//! Writes standard error on its own thread, so that logging never waits for the reader of the log.

use std::io::{self, ErrorKind, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

/// The most bytes that wait to be written; further lines are dropped and counted.
const QUEUED_BYTES_MAX: usize = 1 << 20;
/// The pause before the next write to a full non-blocking terminal or pipe.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// A bounded queue of lines, and the thread that writes them.
pub(super) struct Output {
    state: Mutex<State>,
    /// Notified when bytes are queued, and when they are written.
    changed: Condvar,
}

struct State {
    /// Whether the thread runs. Without it, the caller of `push` writes.
    has_thread: bool,
    queued: Vec<u8>,
    /// Whether the thread has taken bytes and not yet written all of them.
    writing: bool,
    /// The number of lines that were dropped since the last written line.
    dropped: u64,
}

impl Output {
    pub(super) const fn new() -> Output {
        let state = State { has_thread: false, queued: Vec::new(), writing: false, dropped: 0 };
        Output { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread, which writes to `to` from now on.
    ///
    /// # Errors
    /// When the system can't create a thread.
    pub(super) fn start(&'static self, to: impl Write + Send + 'static) -> io::Result<()> {
        std::thread::Builder::new().name("weir-stderr".to_owned()).spawn(move || self.write_all(to))?;
        self.state().has_thread = true;
        Ok(())
    }

    /// Queues complete lines. Returns whether they fit; otherwise they are dropped.
    pub(super) fn push(&self, lines: &[&[u8]]) -> bool {
        let mut state = self.state();
        if !state.has_thread {
            drop(state);
            let _closed = io::stderr().write_all(&lines.concat());
            return true;
        }
        let bytes: usize = lines.iter().map(|line| line.len()).sum();
        let fits = state.queued.len() + bytes <= QUEUED_BYTES_MAX;
        if fits {
            lines.iter().for_each(|line| state.queued.extend_from_slice(line));
        } else {
            state.dropped += 1;
        }
        drop(state);
        self.changed.notify_all();
        fits
    }

    /// Waits until all queued lines are written, but at most for the limit.
    pub(super) fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut state = self.state();
        while state.has_thread && (state.writing || !state.queued.is_empty()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes queued lines forever: the body of the thread.
    fn write_all(&self, mut to: impl Write) {
        let mut bytes = Vec::new();
        loop {
            let dropped = self.take(&mut bytes);
            write_all_bytes(&mut to, &bytes);
            if dropped > 0 {
                warn!("{dropped} lines of the log were dropped: standard error took them too slowly");
            }
        }
    }

    /// Waits for queued bytes and moves them to `bytes`. Returns the number of lines that were dropped after them.
    fn take(&self, bytes: &mut Vec<u8>) -> u64 {
        bytes.clear();
        let mut state = self.state();
        state.writing = false;
        self.changed.notify_all();
        while state.queued.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(bytes, &mut state.queued);
        state.writing = true;
        std::mem::take(&mut state.dropped)
    }
}

/// Writes all bytes. If the reader or the terminal is gone, the bytes are dropped, so that the pipeline goes on.
fn write_all_bytes(to: &mut impl Write, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(written) if written > 0 => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(FULL_PAUSE),
            Ok(_) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A pipe without a buffer: a write waits until the reader receives it.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_gone| ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output() -> (&'static Output, Receiver<Vec<u8>>) {
        let output = Box::leak(Box::new(Output::new()));
        let (sender, receiver) = sync_channel(0);
        output.start(Pipe(sender)).unwrap();
        (output, receiver)
    }

    #[test]
    fn a_slow_reader_delays_no_writer_and_misses_the_lines_beyond_the_limit() {
        let (output, reader) = output();
        let line = vec![b'x'; 1 << 10];
        let kept = (0..4 << 10).filter(|_| output.push(&[&line])).count();
        // The lines that fit into the queue, and the lines that the thread has taken meanwhile.
        assert!((1 << 10..=2 << 10).contains(&kept), "{kept}");
        output.flush(Duration::ZERO);
        let mut read = 0;
        while read < kept << 10 {
            read += reader.recv().unwrap().len();
        }
        assert_eq!(read, kept << 10);
        assert_eq!(output.state().dropped, 0, "the thread has logged the number of dropped lines");
    }

    #[test]
    fn a_closed_reader_delays_no_writer() {
        let (output, reader) = output();
        drop(reader);
        for _ in 0..10 {
            assert!(output.push(&[b"line\n"]));
            output.flush(Duration::from_secs(60));
        }
    }

    #[test]
    fn a_flush_waits_until_all_lines_are_written() {
        let (output, reader) = output();
        assert!(output.push(&[b"one\n", b"two\n"]));
        let reading = std::thread::spawn(move || reader.recv().unwrap());
        output.flush(Duration::from_secs(60));
        assert_eq!(reading.join().unwrap(), b"one\ntwo\n");
    }
}
