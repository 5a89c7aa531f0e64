//! Lines over TCP: the next one is sent when the one before was answered with `OK`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::programs::Peer;
use super::server::Server;
use crate::Outcome;
use crate::latencies::Latencies;

const LINE_BYTES: usize = 100;

/// Sends one line after the other, and prints how many were answered and after what time.
///
/// # Errors
/// When a line is not answered with `OK`.
pub(super) fn measure(peer: Peer, server: &Server, took: Duration) -> Outcome {
    let socket = TcpStream::connect(server.address)?;
    socket.set_nodelay(true)?;
    let mut answers = BufReader::new(socket.try_clone()?);
    let mut line = vec![b'x'; LINE_BYTES - 1];
    line.push(b'\n');
    let mut send = |latencies: &mut Latencies| -> Outcome {
        let (mut socket, mut answer, began) = (&socket, String::new(), Instant::now());
        while began.elapsed() < took {
            let begin = Instant::now();
            socket.write_all(&line)?;
            answer.clear();
            answers.read_line(&mut answer)?;
            if answer.trim_end() != "OK" {
                return Err(format!("a line was answered with `{answer}`").into());
            }
            latencies.add(begin.elapsed());
        }
        Ok(())
    };
    send(&mut Latencies::default())?;
    let (mut latencies, began) = (Latencies::default(), Instant::now());
    send(&mut latencies)?;
    let rate = latencies.count() as f64 / began.elapsed().as_secs_f64();
    println!("  {:10} {rate:8.0} lines/s, {latencies}", peer.name());
    Ok(())
}
