//! From Kafka into HDFS during outages of the servers.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use weir_tests::{
    LogPosition, Scene, Server, Servers, Weir, ask_agent, free_address, print_line, wait_until,
};

use crate::transfer::{SMALL_FILES, Transfer};

const LINES: usize = 200_000;

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn an_outage_of_the_datanode_loses_nothing() {
    let session = Servers::exclusive();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "an_outage_of_the_datanode_loses_nothing");
    let mut transfer = Transfer::new(&scene, &session);
    transfer.send(LINES / 2);
    let metrics = free_address();
    let mut weir = transfer.run_with(SMALL_FILES, &["--metrics", &metrics.to_string()]);
    transfer.await_committed(&mut weir, LINES / 10);
    let position = weir.log_end();
    let outage = session.kill(Server::DataNode);
    transfer.send(LINES / 2);
    print_line(scene.name(), await_complaint(&mut weir, position, "lake"));
    await_trouble(&scene, metrics, "sink lake", &["(unreachable)", "(refused)", "(timed out)"]);
    outage.end();
    await_ready(&scene, metrics);
    transfer.finish(weir).assert_nothing_lost(scene.name());
}

#[test]
fn an_outage_of_the_broker_of_ten_seconds_loses_nothing() {
    let session = Servers::exclusive();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "an_outage_of_the_broker_loses_nothing");
    let mut transfer = Transfer::new(&scene, &session);
    transfer.send(LINES);
    let metrics = free_address();
    let mut weir = transfer.run_with(SMALL_FILES, &["--metrics", &metrics.to_string()]);
    transfer.await_committed(&mut weir, LINES / 10);
    let position = weir.log_end();
    let outage = session.stop(Server::Broker);
    let begin = Instant::now();
    print_line(scene.name(), await_complaint(&mut weir, position, "clicks"));
    await_trouble(&scene, metrics, "source clicks", &["(refused)", "(unreachable)"]);
    sleep(Duration::from_secs(10).saturating_sub(begin.elapsed()));
    outage.end();
    await_ready(&scene, metrics);
    transfer.finish(weir).assert_nothing_lost(scene.name());
}

/// Waits until `/ready` says that a component is in trouble with one of these causes, and prints how long that took.
fn await_trouble(scene: &Scene, metrics: SocketAddr, component: &str, causes: &[&str]) {
    let begin = Instant::now();
    let line = wait_until(&format!("/ready names {component}"), PATIENCE, || {
        let (status, ready) = ask_agent(metrics, "/ready")?;
        let mut lines = ready.lines().map(str::to_owned);
        lines.find(|line| {
            status == 503 && line.starts_with(component) && causes.iter().any(|cause| line.contains(cause))
        })
    });
    print_line(scene.name(), format!("after {:.1?}: {line}", begin.elapsed()));
}

/// Waits until `/ready` answers 200, and prints how long that took.
fn await_ready(scene: &Scene, metrics: SocketAddr) {
    let begin = Instant::now();
    wait_until("/ready answers 200", PATIENCE, || {
        ask_agent(metrics, "/ready").filter(|(status, _)| *status == 200)
    });
    print_line(scene.name(), format!("ready {:.1?} after the end of the outage", begin.elapsed()));
}

/// Waits for a warning or an error about a component.
fn await_complaint(weir: &mut Weir, position: LogPosition, component: &str) -> String {
    let event = format!("a warning or an error about {component}");
    weir.await_line(&event, position, |line| {
        (line.contains("WARN") || line.contains("ERROR")) && line.contains(component)
    })
}
