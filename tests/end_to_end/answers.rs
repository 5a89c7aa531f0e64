//! The answers to pending HTTP requests when the agent ends.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use weir_tests::{Ending, Scene, Weir, free_address};

const FLOW: &str = "tests/end_to_end/flows/answering.flow";
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent with a source `http` whose sink can't write.
struct Agent {
    scene: Scene,
    weir: Weir,
    web: SocketAddr,
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
    stream
}

/// Reads until the connection ends.
fn read_to_end(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is no failure.
    let _end = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).to_lowercase()
}

impl Agent {
    fn start(name: &str, options: &[&str]) -> Agent {
        let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), name);
        fs::create_dir(scene.folder().join("out")).expect("the folder is there");
        fs::write(scene.folder().join("out/a"), "in the way").expect("the folder is there");
        let web = free_address();
        let settings = [("web", web.to_string()), ("to", scene.path("out"))];
        let mut weir = Weir::run_by(&scene, &[], FLOW, &settings, options);
        weir.await_event("it listens", PATIENCE, |_| TcpStream::connect(web).is_ok().then_some(()));
        Agent { scene, weir, web }
    }

    fn send(&self, body: &[u8]) -> TcpStream {
        let mut stream = connect(self.web);
        let head = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).expect("it listens");
        stream
    }
}

/// Asserts that pending requests are answered with 503 when `end` ends the agent.
fn assert_pending_requests_are_answered(name: &str, options: &[&str], end: impl Fn(Weir) -> Ending) {
    let agent = Agent::start(name, options);
    let mut waiting: Vec<TcpStream> = (0..5).map(|_| agent.send(b"an event\n")).collect();
    let mut incomplete = connect(agent.web);
    incomplete
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        .expect("it listens");
    waiting.push(incomplete);
    let Agent { scene, mut weir, .. } = agent;
    let log = scene.folder().join("weir-1.log");
    weir.await_event("the sink has failed on events", PATIENCE, |_| {
        fs::read_to_string(&log).ok()?.contains("its events stay in buffer").then_some(())
    });
    let ending = end(weir);
    assert_eq!(ending.status.code(), Some(3), "{}", ending.log);
    for stream in waiting {
        let answer = read_to_end(stream);
        assert!(answer.starts_with("http/1.1 503") && answer.contains("retry-after: 1"), "{answer:?}");
    }
}

#[test]
fn pending_requests_are_answered_when_the_drain_limit_runs_out() {
    let name = "pending_requests_are_answered_when_the_drain_limit_runs_out";
    assert_pending_requests_are_answered(name, &["--drain", "1s"], Weir::terminate);
}

#[test]
fn pending_requests_are_answered_when_the_agent_stops_immediately() {
    let name = "pending_requests_are_answered_when_the_agent_stops_immediately";
    assert_pending_requests_are_answered(name, &["--drain", "60s"], |weir| {
        weir.signal_to_drain();
        weir.terminate()
    });
}
