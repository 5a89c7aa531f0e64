//! Reads standard input in a separate thread. The thread may wait for input for ever without delaying the agent's end.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use weir_runtime::is_outage;

/// The wait after an error that passes by itself, such as a lack of memory.
const OUTAGE_WAIT: Duration = Duration::from_millis(100);
/// The most bytes of one read.
const READ_BYTES: usize = 64 << 10;
/// The most reads that wait to be taken by the source.
const READS_MAX: usize = 4;

/// Standard input without a buffer: bytes in a buffer would be lost for other processes that share the input.
pub(super) struct StandardInput;

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let input = io::stdin();
        loop {
            match rustix::io::read(&input, &mut *buffer) {
                // Another process that shares the input may have made it non-blocking.
                Err(Errno::AGAIN) => wait_for(&input)?,
                Err(Errno::INTR) => {}
                read => return Ok(read?),
            }
        }
    }
}

fn wait_for(input: &impl AsFd) -> io::Result<()> {
    match poll(&mut [PollFd::new(input, PollFlags::IN)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Starts a thread that reads until the input ends or fails, or the receiver is closed.
///
/// # Errors
/// When the system can't start a thread.
pub(super) fn read_in_a_thread(input: Box<dyn Read + Send>) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (sender, receiver) = channel(READS_MAX);
    std::thread::Builder::new().name("weir-stdin".to_owned()).spawn(move || read_all(input, &sender))?;
    Ok(receiver)
}

fn read_all(mut input: Box<dyn Read + Send>, sender: &Sender<io::Result<Vec<u8>>>) {
    let mut buffer = vec![0; READ_BYTES];
    // Bytes that are read after the source has stopped would be lost.
    while !sender.is_closed() {
        let read = match input.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => Ok(buffer[..read].to_vec()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if is_outage(&error) => {
                std::thread::sleep(OUTAGE_WAIT);
                continue;
            }
            Err(error) => Err(error),
        };
        let failed = read.is_err();
        if sender.blocking_send(read).is_err() || failed {
            return;
        }
    }
}
