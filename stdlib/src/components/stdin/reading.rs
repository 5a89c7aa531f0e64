//! Reading in a thread of its own, which may wait for ever without keeping anything from ending.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use weir_runtime::is_outage;

/// The wait before input is read again that an outage kept from being read.
const OUTAGE_WAIT: Duration = Duration::from_millis(100);
/// How much is read at once.
const READ_BYTES: usize = 64 << 10;
/// So many readings may wait to be taken.
const READINGS_MAX: usize = 4;

/// Standard input, without a buffer in between, which would keep what nobody asks for any more.
pub(super) struct StandardInput;

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let input = io::stdin();
        loop {
            match rustix::io::read(&input, &mut *buffer) {
                // Whoever shares it may have made it one that does not wait.
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

/// Reads until the input ends or fails, or the receiver is closed.
///
/// # Errors
/// When the system has no thread for it.
pub(super) fn read_in_a_thread(input: Box<dyn Read + Send>) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (sender, receiver) = channel(READINGS_MAX);
    std::thread::Builder::new().name("weir-stdin".to_owned()).spawn(move || read_all(input, &sender))?;
    Ok(receiver)
}

fn read_all(mut input: Box<dyn Read + Send>, sender: &Sender<io::Result<Vec<u8>>>) {
    let mut buffer = vec![0; READ_BYTES];
    // What is read once nobody takes it any more would be lost.
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
