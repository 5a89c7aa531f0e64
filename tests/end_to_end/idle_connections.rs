//! Many clients that connect and send nothing.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use weir_tests::{Scene, Weir, lines_of, visible_files, wait_until};

const CONNECTIONS: usize = 10_000;
/// The memory limit for an idle connection, including the runtime's data for its socket.
const BYTES_EACH: u64 = 8 << 10;
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn ten_thousand_idle_connections_use_little_memory_and_delay_nobody() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "ten_thousand_idle_connections");
    let free = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = free.local_addr().expect("it has an address");
    drop(free);
    let settings = [("bind", address.to_string()), ("to", scene.path("out"))];
    let mut weir = Weir::run(&scene, "tests/end_to_end/flows/lines_over_tcp.flow", &settings);
    let mut first = weir.await_event("it listens", PATIENCE, |_| TcpStream::connect(address).ok());
    let out = scene.folder().join("out");
    let arrived = || if out.exists() { lines_of(&visible_files(&out)) } else { Vec::new() };

    first.write_all(b"before the crowd\n").expect("it is connected");
    wait_until("the first line has arrived", PATIENCE, || (arrived().len() == 1).then_some(()));
    let before = weir.resident_bytes();
    let crowd: Vec<TcpStream> =
        (1..CONNECTIONS).map(|_| TcpStream::connect(address).expect("it takes more connections")).collect();
    let mut last = TcpStream::connect(address).expect("it takes more connections");
    last.write_all(b"behind the crowd\n").expect("it is connected");
    wait_until("the last line has arrived", PATIENCE, || (arrived().len() == 2).then_some(()));
    let grown = weir.resident_bytes().saturating_sub(before);
    assert!(grown < CONNECTIONS as u64 * BYTES_EACH, "{grown} bytes for {CONNECTIONS} idle connections");
    first.write_all(b"still there\n").expect("it is connected");
    wait_until("the first client is heard again", PATIENCE, || (arrived().len() == 3).then_some(()));
    drop(crowd);
    weir.terminate().assert_success();
    assert_eq!(arrived().len(), 3);
}
