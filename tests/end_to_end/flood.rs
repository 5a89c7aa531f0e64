//! Peers that flood one flow of an agent: the other flows go on, and the agent uses little memory and answers `/health`.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use weir_tests::{Scene, Weir, free_address, lines_of, visible_files, wait_until};

const FLOW: &str = "tests/end_to_end/flows/flood.flow";
/// Starts the agent with the usual limit of descriptors, which must be enough for every flood.
const DESCRIPTORS: &str = "ulimit -n 1024 && exec \"$@\"";
const IDLE: usize = 1_020;
const HALF: usize = 200;
/// The number of peers that send a part of a request or message and then nothing: more than the agent has descriptors for.
const SILENT: usize = 840;
/// The time limit for serving a new peer. Silent peers are closed for new ones after one second; a busy machine gets more
/// time. The limit is still below the time that silent peers have otherwise: 30 seconds for a body, no limit for a message.
const SERVE_LIMIT: Duration = Duration::from_secs(20);
const REFUSED: usize = 20_000;
const MEMORY_MAX: u64 = 128 << 20;
/// The maximum size of the log in bytes.
const LOG_MAX: u64 = 128 << 10;
const PATIENCE: Duration = Duration::from_secs(60);
/// The time limit of an answer of `/health`; one of several tries has to keep it.
const HEALTH_LIMIT: Duration = Duration::from_secs(1);
const HEALTH_TRIES: usize = 5;

struct Flood {
    scene: Scene,
    weir: Weir,
    web: SocketAddr,
    tcp: SocketAddr,
    syslog_tcp: SocketAddr,
    syslog_udp: SocketAddr,
    metrics: SocketAddr,
    /// The number of lines that the agent has answered with 200.
    sent: usize,
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Reads the status of an answer; `None` if no answer comes.
fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head).ok()?.split(' ').nth(1)?.parse().ok()
}

/// Returns whether a read has timed out: the connection is neither closed nor reset.
fn timed_out(read: &io::Result<usize>) -> bool {
    matches!(read, Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
}

impl Flood {
    fn start(name: &str) -> Flood {
        // This process has the other end of each connection.
        let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let most = rustix::process::Rlimit { current: limits.maximum, ..limits };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, most).expect("the limit can be raised");
        let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), name);
        fs::create_dir(scene.folder().join("in")).expect("the scene is empty");
        let [web, tcp, syslog_tcp, syslog_udp, metrics] = std::array::from_fn(|_| free_address());
        let settings = [
            ("web", web.to_string()),
            ("tcp", tcp.to_string()),
            ("syslog_tcp", syslog_tcp.to_string()),
            ("syslog_udp", syslog_udp.to_string()),
            ("folder", scene.folder().display().to_string()),
        ];
        let options = ["--metrics", &metrics.to_string()];
        let mut weir = Weir::run_by(&scene, &["sh", "-c", DESCRIPTORS, "sh"], FLOW, &settings, &options);
        weir.await_event("it listens", PATIENCE, |_| {
            [web, tcp, syslog_tcp, metrics].iter().all(|address| connect(*address).is_ok()).then_some(())
        });
        Flood { scene, weir, web, tcp, syslog_tcp, syslog_udp, metrics, sent: 0 }
    }

    fn out(&self, flow: &str) -> PathBuf {
        self.scene.folder().join("out").join(flow)
    }

    fn has(&self, flow: &str, line: &str) -> bool {
        let out = self.out(flow);
        out.exists() && lines_of(&visible_files(&out)).iter().any(|found| found.ends_with(line.as_bytes()))
    }

    /// Asserts that the other flows deliver, that `/health` answers, and that memory and log stay small.
    fn assert_unaffected(&mut self, flood: &str) {
        let line = format!("a line during {flood}");
        let path = self.scene.folder().join("in/followed.log");
        let mut log = OpenOptions::new().create(true).append(true).open(path).expect("the folder is there");
        log.write_all(format!("{line}\n").as_bytes()).expect("the disk has room");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("there is a free port");
        let message = format!("<13>1 2026-01-01T00:00:00Z here test - - - {line}");
        let times: Vec<Duration> = (0..HEALTH_TRIES).map(|_| self.health(flood)).collect();
        assert!(times.iter().any(|time| *time < HEALTH_LIMIT), "during {flood}: /health takes {times:?}");
        let arrived = |flood: &Flood, flow: &str| flood.has(flow, &line);
        wait_until(&format!("a followed line arrives during {flood}"), PATIENCE, || {
            arrived(self, "logs").then_some(())
        });
        wait_until(&format!("a datagram arrives during {flood}"), PATIENCE, || {
            // Sends again, since a datagram may be lost.
            socket.send_to(message.as_bytes(), self.syslog_udp).expect("this machine takes datagrams");
            arrived(self, "datagrams").then_some(())
        });
        let peak = self.weir.peak_bytes();
        assert!(peak < MEMORY_MAX, "during {flood}: {} MiB", peak >> 20);
        let log = fs::metadata(self.scene.folder().join("weir-1.log")).expect("it has a log").len();
        assert!(log < LOG_MAX, "during {flood}: a log of {log} bytes");
    }

    fn health(&self, flood: &str) -> Duration {
        let begin = Instant::now();
        let mut stream = connect(self.metrics).unwrap_or_else(|error| panic!("during {flood}: {error}"));
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .expect("it listens");
        assert_eq!(status(&mut stream), Some(200), "during {flood}: /health");
        begin.elapsed()
    }

    /// Sends a request of one line repeatedly until the answer is 200.
    fn post(&mut self, flood: &str) {
        let line = format!("a request during {flood}\n");
        wait_until(&format!("a request is answered during {flood}"), PATIENCE, || {
            let mut stream = connect(self.web).ok()?;
            let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", line.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(line.as_bytes())).ok()?;
            (status(&mut stream)? == 200).then_some(())
        });
        self.sent += 1;
    }

    fn idle_connections(&mut self) {
        let flood = "idle connections";
        let crowd: Vec<TcpStream> = (0..IDLE).map_while(|_| connect(self.web).ok()).collect();
        self.assert_unaffected(flood);
        drop(crowd);
        self.post(flood);
    }

    fn half_requests(&mut self) {
        let flood = "half requests";
        let half = |address: SocketAddr, text: &str| {
            let mut stream = connect(address).ok()?;
            stream.write_all(text.as_bytes()).ok()?;
            Some(stream)
        };
        let body = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf";
        let mut crowd: Vec<TcpStream> = (0..HALF).filter_map(|_| half(self.web, body)).collect();
        crowd.extend((0..HALF).filter_map(|_| half(self.web, "POST / HTTP/1.1\r\nHost:")));
        crowd.extend((0..HALF).filter_map(|_| half(self.metrics, "")));
        self.assert_unaffected(flood);
        drop(crowd);
        self.post(flood);
    }

    fn half_bodies(&mut self) {
        let flood = "half bodies";
        let crowd = self.crowd(self.web, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf");
        let line = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 19\r\n\r\nbeside half bodies\n";
        wait_until("a request is answered beside half bodies", SERVE_LIMIT, || {
            let mut stream = connect(self.web).ok()?;
            stream.set_read_timeout(Some(SERVE_LIMIT)).ok()?;
            stream.write_all(line).ok()?;
            (status(&mut stream)? == 200).then_some(())
        });
        self.sent += 1;
        self.assert_unaffected(flood);
        drop(crowd);
        self.post(flood);
    }

    fn half_messages(&mut self) {
        for (flow, address) in [("messages", self.syslog_tcp), ("lines", self.tcp)] {
            let crowd = self.crowd(address, b"<13>a part of a message");
            wait_until(&format!("{flow} arrive beside half ones"), SERVE_LIMIT, || {
                if let Ok(mut stream) = connect(address) {
                    // The agent may close the connection while all other connections are not quiet yet.
                    let _: io::Result<()> = stream.write_all(b"<13>beside half ones\n");
                }
                self.has(flow, "beside half ones").then_some(())
            });
            self.assert_unaffected("half messages");
            drop(crowd);
        }
    }

    /// Connects many peers that send `part` and then nothing.
    fn crowd(&self, address: SocketAddr, part: &[u8]) -> Vec<TcpStream> {
        let peer = |_| {
            let mut stream = connect(address).ok()?;
            stream.write_all(part).ok()?;
            Some(stream)
        };
        (0..SILENT).filter_map(peer).collect()
    }

    fn trickles(&mut self) {
        let flood = "trickles";
        let peers: Vec<_> = [self.syslog_tcp, self.syslog_tcp, self.tcp, self.tcp]
            .map(|address| {
                thread::spawn(move || {
                    let mut stream = connect(address).expect("it listens");
                    stream.set_nodelay(true).expect("it is a socket");
                    (0..20_000).try_for_each(|_| stream.write_all(b"x")).expect("it reads on");
                    stream.write_all(b" the end of a trickle\n").expect("it reads on");
                })
            })
            .into_iter()
            .collect();
        self.assert_unaffected(flood);
        peers.into_iter().for_each(|peer| peer.join().expect("the peer comes to its end"));
        for flow in ["messages", "lines"] {
            wait_until("trickled lines arrive", PATIENCE, || {
                self.has(flow, " the end of a trickle").then_some(())
            });
        }
    }

    fn refused_connections(&mut self) {
        let flood = "refused connections";
        let held: Vec<TcpStream> = (0..50).filter_map(|_| connect(self.tcp).ok()).collect();
        let all_came = AtomicBool::new(false);
        let refused: usize = thread::scope(|scope| {
            // These connections stay open, since their peers go on sending.
            scope.spawn(|| {
                while !all_came.load(Ordering::Relaxed) {
                    for mut peer in &held {
                        let _: io::Result<()> = peer.write_all(b"still here\n");
                    }
                    thread::sleep(Duration::from_millis(50));
                }
            });
            let peers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut refused = 0;
                        for _ in 0..REFUSED / 4 {
                            let Ok(mut stream) = connect(self.tcp) else { continue };
                            let end = stream.read(&mut [0; 1]);
                            assert!(!timed_out(&end), "a connection beyond the limit is closed");
                            refused += 1;
                        }
                        refused
                    })
                })
                .collect();
            let ends = peers.into_iter().map(thread::ScopedJoinHandle::join);
            let refused: Vec<thread::Result<usize>> = ends.collect();
            all_came.store(true, Ordering::Relaxed);
            refused.into_iter().map(|refused| refused.expect("the peer comes to its end")).sum()
        });
        assert!(refused > REFUSED / 2, "only {refused} connections were refused");
        self.assert_unaffected(flood);
        drop(held);
    }

    fn large_event(&mut self) {
        let flood = "a large event";
        let mut stream = connect(self.web).expect("it listens");
        let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("it listens");
        // The agent may answer and close before it has read the complete request.
        let _: io::Result<()> = stream.write_all(&vec![b'x'; 8 << 20]);
        assert!(matches!(status(&mut stream), Some(413) | None), "a large event is refused");
        self.assert_unaffected(flood);
        self.post(flood);
    }

    fn many_headers(&mut self) {
        let flood = "many headers";
        let names: String = (0..95).map(|name| format!("h{name:03}-{}: v\r\n", "n".repeat(600))).collect();
        let body = "a\n".repeat(4_096);
        let request =
            format!("POST / HTTP/1.1\r\nHost: x\r\n{names}Content-Length: {}\r\n\r\n{body}", body.len());
        for _ in 0..4 {
            let mut stream = connect(self.web).expect("it listens");
            stream.write_all(request.as_bytes()).expect("it listens");
            if status(&mut stream) == Some(200) {
                self.sent += 4_096;
            }
        }
        self.assert_unaffected(flood);
        self.post(flood);
    }
}

#[test]
fn a_flood_of_one_flow_leaves_the_others_alone() {
    let mut flood = Flood::start("a_flood_of_one_flow_leaves_the_others_alone");
    flood.assert_unaffected("no flood");
    flood.idle_connections();
    flood.half_requests();
    flood.half_bodies();
    flood.half_messages();
    flood.trickles();
    flood.refused_connections();
    flood.large_event();
    flood.many_headers();
    let Flood { scene, weir, sent, .. } = flood;
    weir.terminate().assert_success();
    let arrived = lines_of(&visible_files(&scene.folder().join("out/requests"))).len();
    assert!(arrived >= sent, "{arrived} lines of {sent} that were answered with 200");
}
