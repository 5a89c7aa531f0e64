//! Events over HTTP, in the JSON of Flume, on connections that stay open.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::programs::Peer;
use super::server::Server;
use crate::Outcome;
use crate::latencies::Latencies;

/// The length of an event's body.
const BODY_BYTES: usize = 100;
/// The events of a large request.
const BATCH: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// The latencies of all answers in one run, and the time that the run took.
struct Answers {
    latencies: Latencies,
    took: Duration,
}

/// Sends requests of one event on 1, 16 and 64 connections, and prints how many were answered and after what time.
///
/// # Errors
/// When a request is not answered with 200.
pub(super) fn measure_single(peer: Peer, server: &Server, took: Duration) -> Outcome {
    for connections in [1, 16, 64] {
        run(server.address, connections, 1, took)?;
        let Answers { latencies, took } = run(server.address, connections, 1, took)?;
        let rate = latencies.count() as f64 / took.as_secs_f64();
        println!("  {:10} {connections:3} connections: {rate:8.0} requests/s, {latencies}", peer.name());
    }
    Ok(())
}

/// Sends requests of many events on one connection.
///
/// # Errors
/// When a request is not answered with 200.
pub(super) fn measure_batches(peer: Peer, server: &Server, took: Duration) -> Outcome {
    run(server.address, 1, BATCH, took)?;
    let Answers { latencies, took } = run(server.address, 1, BATCH, took)?;
    let rate = (latencies.count() * BATCH) as f64 / took.as_secs_f64();
    println!("  {:10} {BATCH} events a request: {rate:8.0} events/s, {latencies}", peer.name());
    Ok(())
}

/// Appends a block to a file and syncs it, again and again: what a durable event costs at least.
///
/// # Errors
/// When the file can't be written.
pub(super) fn measure_fdatasync(took: Duration) -> Outcome {
    let mut file = tempfile::tempfile()?;
    let (mut latencies, began) = (Latencies::default(), Instant::now());
    while began.elapsed() < took {
        let begin = Instant::now();
        append(&mut file)?;
        latencies.add(begin.elapsed());
    }
    println!("an append of {BODY_BYTES} bytes and its fdatasync: {latencies}");
    Ok(())
}

fn append(file: &mut File) -> std::io::Result<()> {
    file.write_all(&[b'x'; BODY_BYTES])?;
    file.sync_data()
}

fn run(
    address: SocketAddr,
    connections: usize,
    events: usize,
    took: Duration,
) -> Result<Answers, Box<dyn Error>> {
    let request = request(events);
    let began = Instant::now();
    let clients = std::thread::scope(|scope| {
        let client = || scope.spawn(|| send(address, &request, took));
        let clients: Vec<_> = (0..connections).map(|_number| client()).collect();
        clients.into_iter().map(|client| client.join()).collect::<Vec<_>>()
    });
    let took = began.elapsed();
    let mut latencies = Latencies::default();
    for client in clients {
        latencies
            .append(client.map_err(|_panic| "a client has panicked")?.map_err(|error| error.to_string())?);
    }
    Ok(Answers { latencies, took })
}

fn request(events: usize) -> Vec<u8> {
    let event = format!("{{\"headers\":{{}},\"body\":\"{}\"}}", "x".repeat(BODY_BYTES));
    let body = format!("[{}]", vec![event; events].join(","));
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Sends one request after the other.
fn send(address: SocketAddr, request: &[u8], took: Duration) -> std::io::Result<Latencies> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let (mut latencies, mut answer, began) = (Latencies::default(), Vec::new(), Instant::now());
    while began.elapsed() < took {
        let begin = Instant::now();
        socket.write_all(request)?;
        read_answer(&mut socket, &mut answer)?;
        latencies.add(begin.elapsed());
    }
    Ok(latencies)
}

/// Reads an answer to its end, with its body.
fn read_answer(socket: &mut TcpStream, answer: &mut Vec<u8>) -> std::io::Result<()> {
    answer.clear();
    let mut part = [0; 4_096];
    loop {
        let read = socket.read(&mut part)?;
        answer.extend_from_slice(&part[..read]);
        let Some(head) = memchr::memmem::find(answer, b"\r\n\r\n") else {
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            continue;
        };
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(std::io::Error::other(String::from_utf8_lossy(answer).into_owned()));
        }
        let lower = String::from_utf8_lossy(&answer[..head]).to_lowercase();
        let length: Option<usize> =
            lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let is_complete = match length {
            Some(length) => answer.len() >= head + 4 + length,
            None if lower.contains("transfer-encoding: chunked") => answer.ends_with(b"0\r\n\r\n"),
            None => true,
        };
        if is_complete {
            return Ok(());
        }
    }
}
