//! Standard error, written by a thread of its own: whoever logs never waits for whoever reads the log.

use std::io::{self, ErrorKind, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

/// So much may wait to be written; what is logged beyond is left out and counted.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// The wait before more is written to a terminal or a pipe that is full and does not make its writer wait.
const FULL_WAIT: Duration = Duration::from_millis(20);

/// Lines that wait for their thread.
pub(super) struct Output {
    state: Mutex<State>,
    /// Told when there is something to write, and when it was written.
    changed: Condvar,
}

struct State {
    /// There is a thread that writes; without, whoever logs writes.
    has_thread: bool,
    waiting: Vec<u8>,
    /// The thread has taken bytes that are not yet written.
    writing: bool,
    /// Lines that were left out since the last that was written.
    left_out: u64,
}

impl Output {
    pub(super) const fn new() -> Output {
        let state = State { has_thread: false, waiting: Vec::new(), writing: false, left_out: 0 };
        Output { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a thread write to this from now on.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(super) fn start(&'static self, to: impl Write + Send + 'static) -> io::Result<()> {
        std::thread::Builder::new().name("weir-stderr".to_owned()).spawn(move || self.write_all(to))?;
        self.state().has_thread = true;
        Ok(())
    }

    /// Adds whole lines to what waits, and says whether there was room.
    pub(super) fn push(&self, lines: &[&[u8]]) -> bool {
        let mut state = self.state();
        if !state.has_thread {
            drop(state);
            let _nobody_reads_it = io::stderr().write_all(&lines.concat());
            return true;
        }
        let bytes: usize = lines.iter().map(|line| line.len()).sum();
        let fits = state.waiting.len() + bytes <= WAITING_BYTES_MAX;
        if fits {
            lines.iter().for_each(|line| state.waiting.extend_from_slice(line));
        } else {
            state.left_out += 1;
        }
        drop(state);
        self.changed.notify_all();
        fits
    }

    /// Waits until everything is written, for at most so long.
    pub(super) fn flush(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let mut state = self.state();
        while state.has_thread && (state.writing || !state.waiting.is_empty()) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes what waits, again and again.
    fn write_all(&self, mut to: impl Write) {
        let mut bytes = Vec::new();
        loop {
            let left_out = self.take(&mut bytes);
            write_whole(&mut to, &bytes);
            if left_out > 0 {
                warn!("{left_out} lines of the log were left out: standard error took them too slowly");
            }
        }
    }

    /// Waits for bytes, and for the lines that were left out behind them.
    fn take(&self, bytes: &mut Vec<u8>) -> u64 {
        bytes.clear();
        let mut state = self.state();
        state.writing = false;
        self.changed.notify_all();
        while state.waiting.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(bytes, &mut state.waiting);
        state.writing = true;
        std::mem::take(&mut state.left_out)
    }
}

/// Writes all of it. When nobody reads it any more, or the terminal is gone, events go on.
fn write_whole(to: &mut impl Write, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(written) if written > 0 => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(FULL_WAIT),
            Ok(_) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A pipe that takes a piece when its reader asks for one.
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
    fn a_reader_that_stands_still_holds_nobody_up_and_misses_what_is_too_much() {
        let (output, reader) = output();
        let line = vec![b'x'; 1 << 10];
        let kept = (0..4 << 10).filter(|_| output.push(&[&line])).count();
        // The lines that fit, and those that the thread has taken meanwhile.
        assert!((1 << 10..=2 << 10).contains(&kept), "{kept}");
        output.flush(Duration::ZERO);
        let mut read = 0;
        while read < kept << 10 {
            read += reader.recv().unwrap().len();
        }
        assert_eq!(read, kept << 10);
        assert_eq!(output.state().left_out, 0, "the thread has said what was left out");
    }

    #[test]
    fn a_reader_that_has_gone_holds_nobody_up() {
        let (output, reader) = output();
        drop(reader);
        for _ in 0..10 {
            assert!(output.push(&[b"line\n"]));
            output.flush(Duration::from_secs(60));
        }
    }

    #[test]
    fn a_flush_waits_until_all_is_written() {
        let (output, reader) = output();
        assert!(output.push(&[b"one\n", b"two\n"]));
        let reading = std::thread::spawn(move || reader.recv().unwrap());
        output.flush(Duration::from_secs(60));
        assert_eq!(reading.join().unwrap(), b"one\ntwo\n");
    }
}
