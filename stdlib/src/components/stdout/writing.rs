//! Writing in a thread of its own, which may wait for ever without keeping anything from ending.

use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::oneshot;

/// A thread that writes what it is given, one piece after the other.
pub(super) struct Writing {
    pieces: SyncSender<Piece>,
}

/// Bytes, and who is told that they are written, and gets their memory back.
struct Piece {
    bytes: Vec<u8>,
    written: oneshot::Sender<io::Result<Vec<u8>>>,
}

impl Writing {
    /// Begins a thread that writes to this.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(super) fn begin(to: impl AsFd + Send + 'static) -> io::Result<Writing> {
        let (pieces, given) = sync_channel(1);
        std::thread::Builder::new().name("weir-stdout".to_owned()).spawn(move || write_each(&to, &given))?;
        Ok(Writing { pieces })
    }

    /// Writes all of it, and gives its memory back. Dropping the future leaves the thread to its work.
    ///
    /// # Errors
    /// When that is not possible, or an earlier piece that nobody waits for any more is still being written.
    pub(super) async fn write(&self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let (written, told) = oneshot::channel();
        self.pieces.try_send(Piece { bytes, written }).map_err(|_busy| io::ErrorKind::WouldBlock)?;
        told.await.unwrap_or_else(|_gone| Err(io::Error::other("the thread that writes has ended")))
    }
}

fn write_each(to: &impl AsFd, pieces: &Receiver<Piece>) {
    while let Ok(Piece { bytes, written }) = pieces.recv() {
        let result = write_all(to, &bytes);
        // Whoever does not wait any more does not want to know.
        let _nobody_waits = written.send(result.map(|()| bytes));
    }
}

fn write_all(to: &impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            // Whoever shares it may have made it one that does not wait.
            Err(Errno::AGAIN) => wait_for(to)?,
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
