//! Messages of syslog (RFC 3164) over TCP, until their texts are in the output.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::programs::Peer;
use super::server::Server;
use crate::Outcome;

/// A message with its line end; its text has 100 bytes.
const HEAD: &str = "<134>Nov 30 12:00:00 web-01 app[123]: ";
const TEXT_BYTES: usize = 100;
/// The messages of one write.
const BLOCK: u64 = 1_000;
/// How long the output may pause.
const PATIENCE: Duration = Duration::from_secs(60);
/// The interval of looks at the output.
const LOOK: Duration = Duration::from_millis(10);

/// Sends messages as fast as they are taken, and prints how many a second came out.
///
/// # Errors
/// When they do not come out.
pub(super) fn measure(peer: Peer, server: &Server, messages: u64) -> Outcome {
    let messages = messages.next_multiple_of(5 * BLOCK);
    let mut output = Output { server, read: HashMap::new(), lines: 0 };
    run(&mut output, messages / 5)?;
    let began = Instant::now();
    run(&mut output, messages)?;
    let rate = messages as f64 / began.elapsed().as_secs_f64();
    println!("  {:10} {rate:8.0} messages/s", peer.name());
    Ok(())
}

fn run(output: &mut Output<'_>, messages: u64) -> Outcome {
    let until = output.lines + messages;
    let address = output.server.address;
    let client = std::thread::spawn(move || -> std::io::Result<()> {
        let mut socket = TcpStream::connect(address)?;
        let block = format!("{HEAD}{}\n", "x".repeat(TEXT_BYTES)).repeat(BLOCK as usize).into_bytes();
        for _block in 0..messages / BLOCK {
            socket.write_all(&block)?;
        }
        Ok(())
    });
    let mut last = Instant::now();
    while output.lines < until {
        std::thread::sleep(LOOK);
        if output.count()? > 0 {
            last = Instant::now();
        }
        if last.elapsed() > PATIENCE {
            return Err(format!("{} of {until} messages came out", output.lines).into());
        }
    }
    Ok(client.join().map_err(|_panic| "the client has panicked")??)
}

/// The output of a program, as far as it was read.
struct Output<'s> {
    server: &'s Server,
    read: HashMap<PathBuf, File>,
    lines: u64,
}

impl Output<'_> {
    /// Counts the lines that were written since the last call.
    fn count(&mut self) -> Result<u64, Box<dyn Error>> {
        let before = self.lines;
        for path in self.server.outputs()? {
            let file = match self.read.get_mut(&path) {
                Some(file) => file,
                None => self.read.entry(path.clone()).or_insert(File::open(&path)?),
            };
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            self.lines += memchr::memchr_iter(b'\n', &text).count() as u64;
        }
        Ok(self.lines - before)
    }
}
