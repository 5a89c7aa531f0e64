//! Lines over TCP on the loopback interface.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::pipeline::{Until, compile, run};
use crate::rounds::{Run, pairs};

const PROGRAM: &str = "
param bind: Address

source lines = tcp_lines { bind: bind }

channel buffer = memory { capacity: 100_000, byte_capacity: 256MiB }

sink nowhere = null {}

flow main delivers best_effort { lines -> buffer -> nowhere }
";

/// The length of a line, including its end.
const LINE_BYTES: usize = 512;
const PATIENCE: Duration = Duration::from_secs(10);

/// One client sends lines as fast as they are read. The loop reads the same socket into one buffer
/// and counts line ends.
///
/// # Errors
/// When a run fails, or the counts differ.
pub(crate) fn measure(rounds: usize, events: u64) -> Outcome {
    println!("tcp_lines -> memory -> null: {events} lines of {LINE_BYTES} bytes over one connection");
    pairs(rounds, "newline counter", || weir(events), || bare(events))
}

fn weir(events: u64) -> Result<Run, Box<dyn Error>> {
    // A free port; if another process takes it before the run, the run fails.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let plan = compile(PROGRAM, &[("bind", &address.to_string())])?;
    let client = send(address, events);
    let (run, _) = run(&plan, "nowhere", events, Until::Delivered)?;
    client.join().map_err(|_panic| "the client has panicked")??;
    Ok(run)
}

fn bare(events: u64) -> Result<Run, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = send(listener.local_addr()?, events);
    let began = Instant::now();
    let (mut socket, _) = listener.accept()?;
    let mut buffer = vec![0; 1 << 20];
    let (mut lines, mut bytes) = (0, 0);
    loop {
        let read = socket.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
        bytes += read as u64;
    }
    let took = began.elapsed();
    client.join().map_err(|_panic| "the client has panicked")??;
    if lines != events {
        return Err(format!("{lines} of {events} lines").into());
    }
    Ok(Run { events, bytes: bytes - events, took })
}

/// Starts a client that connects as soon as the port is open, sends its lines and closes.
fn send(address: SocketAddr, events: u64) -> JoinHandle<std::io::Result<()>> {
    std::thread::spawn(move || {
        let began = Instant::now();
        let mut socket = loop {
            match TcpStream::connect(address) {
                Ok(socket) => break socket,
                Err(error) if began.elapsed() > PATIENCE => return Err(error),
                Err(_nobody_yet) => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let mut line = vec![b'x'; LINE_BYTES - 1];
        line.push(b'\n');
        let block = line.repeat(2_048);
        let mut left = events;
        while left > 0 {
            let lines = left.min(2_048);
            socket.write_all(&block[..lines as usize * LINE_BYTES])?;
            left -= lines;
        }
        Ok(())
    })
}
