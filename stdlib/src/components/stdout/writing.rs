//! Writes standard output in a separate thread. The thread may wait for the reader for ever without delaying the
//! agent's end.

use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::oneshot;

/// A thread that performs writes one after the other.
pub(super) struct Writer {
    writes: SyncSender<Write>,
}

/// Bytes to write, and the sender that returns them, or an error, when they are written.
struct Write {
    bytes: Vec<u8>,
    written: oneshot::Sender<io::Result<Vec<u8>>>,
}

impl Writer {
    /// Starts a thread that writes to `output`.
    ///
    /// # Errors
    /// When the system can't start a thread.
    pub(super) fn start(output: impl AsFd + Send + 'static) -> io::Result<Writer> {
        let (writes, queue) = sync_channel(1);
        std::thread::Builder::new()
            .name("weir-stdout".to_owned())
            .spawn(move || write_each(&output, &queue))?;
        Ok(Writer { writes })
    }

    /// Writes all bytes, and returns their buffer. If the future is dropped, the thread still completes the write.
    ///
    /// # Errors
    /// When the bytes can't be written, or an earlier write whose future was dropped is not complete.
    pub(super) async fn write(&self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let (written, result) = oneshot::channel();
        self.writes.try_send(Write { bytes, written }).map_err(|_busy| io::ErrorKind::WouldBlock)?;
        result.await.unwrap_or_else(|_gone| Err(io::Error::other("the thread that writes has ended")))
    }
}

fn write_each(output: &impl AsFd, writes: &Receiver<Write>) {
    while let Ok(Write { bytes, written }) = writes.recv() {
        let result = write_all(output, &bytes);
        // The future that waits for the result may have been dropped.
        let _nobody_waits = written.send(result.map(|()| bytes));
    }
}

fn write_all(output: &impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(output, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            // Another process that shares the output may have made it non-blocking.
            Err(Errno::AGAIN) => wait_for(output)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn wait_for(output: &impl AsFd) -> io::Result<()> {
    match poll(&mut [PollFd::new(output, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
