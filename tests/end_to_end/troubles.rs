//! Outages are visible: in `/ready`, the metrics, the log and the last words of a run.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use weir_tests::{Scene, Weir, ask_agent, free_address, wait_until};

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(60);

const FLOW: &str = "tests/end_to_end/flows/unreachable_ends.flow";

/// Runs the flow, and waits until `/ready` names the troubles of both ends with these causes.
fn observe(name: &str, brokers: &str, hdfs: &str, causes: [&str; 2]) {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), name);
    let settings = [("brokers", brokers.to_owned()), ("hdfs", format!("hdfs://{hdfs}"))];
    let metrics = free_address();
    let options = ["--metrics", &metrics.to_string(), "--drain", "0s"];
    let weir = Weir::run_by(&scene, &[], FLOW, &settings, &options);
    let [of_brokers, of_hdfs] = causes;
    let ready = wait_until("/ready names both troubles", PATIENCE, || {
        let (status, ready) = ask_agent(metrics, "/ready")?;
        let lines = || ready.lines().map(str::to_owned);
        let is_named = |component: &str, cause: &str| {
            lines().any(|line| {
                line.starts_with(component) && line.contains("in trouble") && line.contains(cause)
            })
        };
        let both = is_named("source clicks", of_brokers) && is_named("sink lake", of_hdfs);
        (status == 503 && both).then_some(ready)
    });
    assert!(ready.contains(brokers) && ready.contains(hdfs), "{ready}");
    let (_, text) = ask_agent(metrics, "/metrics").expect("the agent runs");
    for component in ["clicks", "lake"] {
        let degraded = text.lines().any(|line| {
            line.starts_with("weir_component_state")
                && line.contains(&format!("component=\"{component}\""))
                && line.ends_with("state=\"degraded\"} 1")
        });
        assert!(degraded, "{component}: {text}");
    }
    assert_eq!(ask_agent(metrics, "/health"), Some((200, "healthy\n".to_owned())));
    let ending = weir.terminate();
    assert_eq!(ending.status.code(), Some(3), "{}", ending.log);
    let last: Vec<&str> = ending.log.lines().rev().take(3).collect();
    for component in ["source clicks is in trouble", "sink lake is in trouble"] {
        assert!(last.iter().any(|line| line.contains(component)), "{}", ending.log);
    }
}

#[test]
fn ports_that_refuse_connections_are_named() {
    let (brokers, hdfs) = (free_address().to_string(), free_address().to_string());
    observe("ports_that_refuse_connections", &brokers, &hdfs, ["(refused)", "(refused)"]);
}

#[test]
fn names_without_an_address_are_named() {
    let name = "no-such-host.invalid:9092";
    observe("names_without_an_address", name, name, ["(no such host)", "(no such host)"]);
}

#[test]
fn ends_that_never_answer_are_named() {
    // The system accepts the connections, and nobody reads them.
    let silent: Vec<TcpListener> =
        (0..2).map(|_| TcpListener::bind("127.0.0.1:0").expect("there is a free port")).collect();
    let address = |at: usize| silent[at].local_addr().expect("it has an address").to_string();
    observe("ends_that_never_answer", &address(0), &address(1), ["(timed out)", "(timed out)"]);
}

#[test]
fn a_start_waits_for_a_taken_port_and_then_gives_up() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "a_taken_port");
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let bind = taken.local_addr().expect("it has an address").to_string();
    fs::write(
        scene.folder().join("taken.flow"),
        "param bind: Address\nsource lines = tcp_lines { bind: bind }\nsink out = stdout {}\nflow main delivers best_effort { lines -> out }\n",
    )
    .expect("the scene can be written");
    let flow = scene.path("taken.flow");
    let settings = [("bind", bind.clone())];
    let refused = Weir::run_by(&scene, &[], &flow, &settings, &["--start-timeout", "1s"]).finish();
    assert_eq!(refused.status.code(), Some(1), "{}", refused.log);
    assert!(refused.log.contains(&format!("weir: source lines: can't listen on {bind}")), "{}", refused.log);
    assert!(refused.log.contains("is not started"), "{}", refused.log);
    // It starts when the port is free in time.
    let mut weir = Weir::run_by(&scene, &[], &flow, &settings, &["--start-timeout", "10min"]);
    let begin = weir.log_end();
    let waiting = weir.await_line("the start waits", begin, |line| line.contains("the start waits"));
    assert!(waiting.contains("lines"), "{waiting}");
    drop(taken);
    weir.await_line("the agent starts", begin, |line| line.contains(&format!("listens on {bind}")));
    weir.terminate().assert_success();
}
