//! Two agents that share a group carry records from one topic into another, while the network between them and the broker fails in
//! every way that networks do.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use weir_tests::{Forwarder, Network, Scene, Servers, Weir, ask_agent, free_address, print_line, wait_until};

use crate::pipe::Pipe;

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// The records in a second.
const RATE: usize = 2_000;
/// How long the network is slow, and how long it is fine between failures.
const SOME_TIME: Duration = Duration::from_secs(1);

const FLOW: &str = "tests/end_to_end/flows/shared_group.flow";

/// An agent, and the address of its `/ready`.
struct Agent {
    _scene: Scene,
    metrics: SocketAddr,
    run: Weir,
}

impl Agent {
    fn start(pipe: &Pipe, brokers: &str, agent: &str) -> Agent {
        let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), &format!("{}-{agent}", pipe.name));
        let mut settings = pipe.settings();
        settings.retain(|(name, _)| *name != "brokers");
        settings.extend([("brokers", format!("[\"{brokers}\"]")), ("agent", agent.to_owned())]);
        let metrics = free_address();
        let options = ["--metrics", &metrics.to_string(), "--ready-limit", "2s"];
        let run = Weir::run_by(&scene, &[], FLOW, &settings, &options);
        Agent { _scene: scene, metrics, run }
    }

    /// Waits until `/ready` names a trouble with one of these causes. Returns its line, with the time that this took.
    fn await_trouble(&self, causes: &[&str]) -> String {
        let begin = Instant::now();
        let line = wait_until(&format!("/ready names a trouble: {causes:?}"), PATIENCE, || {
            let (status, ready) = ask_agent(self.metrics, "/ready")?;
            let mut lines = ready.lines().map(str::to_owned);
            lines.find(|line| status == 503 && causes.iter().any(|cause| line.contains(cause)))
        });
        format!("{:.1?}: {line}", begin.elapsed())
    }

    fn await_ready(&self) -> Duration {
        let begin = Instant::now();
        wait_until("/ready answers 200", PATIENCE, || {
            ask_agent(self.metrics, "/ready").filter(|(status, _)| *status == 200)
        });
        begin.elapsed()
    }
}

/// A failure of the network: its name, the causes of the trouble that it is, and what brings it about.
type Failure<'n> = (&'n str, &'n [&'n str], &'n dyn Fn());

#[test]
fn a_network_that_fails_neither_loses_nor_repeats_a_record() {
    let session = Servers::shared();
    let setting = |key| session.setting(key).parse().expect("it is an address");
    let (address, behind): (SocketAddr, SocketAddr) = (setting("KAFKA_PROXIED"), setting("KAFKA_BEHIND"));
    let network = Forwarder::between(address, behind);
    let pipe = Pipe::new("network", &session);
    let feed = pipe.kafka.feed(&pipe.from, RATE);
    let agents = ["a", "b"].map(|agent| Agent::start(&pipe, &address.to_string(), agent));
    let told = |what: &str, line: &str| print_line(pipe.name, format!("{what}: {line}"));
    agents.iter().for_each(|agent| told("begins", &format!("ready after {:.1?}", agent.await_ready())));
    let failures: [Failure<'_>; 3] = [
        ("stalled", &["(timed out)"], &|| network.become_like(Network::Stalled)),
        ("down", &["(refused)", "(unreachable)"], &|| network.become_like(Network::Down)),
        // The connections of the clients stay open, and nobody has the other ends.
        ("forgotten", &["(timed out)"], &|| network.forget()),
    ];
    for (what, causes, fail) in failures {
        sleep(SOME_TIME);
        fail();
        agents.iter().for_each(|agent| told(what, &agent.await_trouble(causes)));
        network.become_like(Network::Fine);
        agents.iter().for_each(|agent| told(what, &format!("ready after {:.1?}", agent.await_ready())));
    }
    network.become_like(Network::Slow);
    sleep(SOME_TIME);
    network.cut();
    sleep(SOME_TIME);
    network.become_like(Network::Fine);
    let sent = feed.end();
    pipe.finish(agents.into_iter().map(|agent| agent.run).collect(), &sent);
}
