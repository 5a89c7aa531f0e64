//! Brokers that want tokens (SASL OAUTHBEARER): a source, a channel and a sink with the tokens of a file, and `weir check --connect`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process;
use std::thread::sleep;
use std::time::{Duration, Instant};

use weir_tests::{CommittedRecords, Scene, Servers, Session, Weir, ask_agent, free_address, wait_until};

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(120);
const RECORDS: usize = 1_000;
/// How long the tokens are valid that are renewed. An agent reads their file every ten seconds.
const LIFETIME: Duration = Duration::from_secs(15);

/// A program whose components all show the token of a file.
fn program(brokers: &str, name: &str, token: &Path) -> String {
    let token = token.display();
    let common = format!(
        "brokers: [\"{brokers}\"], security: oauth_token {{ token: secret file(\"{token}\"), encrypted: false }}"
    );
    format!(
        "source in = kafka {{ {common}, topics: [\"{name}\"], group: \"{name}\", session_timeout: 6s }}\n\
         channel between = kafka {{ {common}, topic: \"{name}-between\", group: \"{name}-between\", create: {{ partitions: 2 }} }}\n\
         sink out = kafka {{ {common}, topic: \"{name}-out\" }}\n\
         flow main {{ in -> between -> out }}\n"
    )
}

#[test]
fn records_pass_brokers_that_want_tokens() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "records_pass_brokers_that_want_tokens");
    let (kafka, name) = (session.kafka(), format!("tokens-{}", process::id()));
    let out = format!("{name}-out");
    kafka.create_topic(&name, 2);
    kafka.create_topic(&out, 2);
    let lines: Vec<String> = (0..RECORDS).map(|number| format!("record {number}")).collect();
    kafka.produce(&name, &lines);
    let (flow, token) = (scene.folder().join("tokens.flow"), scene.folder().join("token"));
    fs::write(&flow, program(&session.setting("KAFKA_OAUTH"), &name, &token)).expect("the disk has space");
    let check = || {
        let words = ["check", "--connect", "--format", "short"].map(OsStr::new);
        Weir::tool_with_status(words.into_iter().chain([flow.as_os_str()]))
    };
    fs::write(&token, session.token(-5)).expect("the disk has space");
    let (status, said) = check();
    assert!(!status.success(), "{said}");
    for (line, component) in (1..4).zip(["source `in`", "channel `between`", "sink `out`"]) {
        let is_told = |text: &&str| {
            text.contains(&format!(":{line}:")) && text.contains(component) && text.contains("has expired at")
        };
        assert!(said.lines().any(|text| is_told(&text)), "{component}: {said}");
    }
    fs::write(&token, session.token(600)).expect("the disk has space");
    let (status, said) = check();
    assert!(status.success(), "{said}");
    let mut weir = Weir::run(&scene, &scene.path("tokens.flow"), &[]);
    let mut arrived = kafka.committed_records(&out);
    weir.await_event("all records", PATIENCE, |_| (arrived.read() >= RECORDS).then_some(()));
    weir.terminate().assert_success();
}

/// Gives the agent another token, which is valid for so long.
fn renew(session: &Session, token: &Path, lifetime: Duration) {
    let next = token.with_extension("next");
    let text = session.token(i64::try_from(lifetime.as_secs()).expect("it is short"));
    fs::write(&next, text).expect("the disk has space");
    fs::rename(&next, token).expect("the folder is there");
}

/// Whether each of these records has arrived, once or more.
fn has_all(arrived: &mut CommittedRecords, expected: &BTreeSet<Vec<u8>>) -> Option<()> {
    arrived.read();
    let found: BTreeSet<&Vec<u8>> = arrived.partitions().flat_map(|(_, bodies)| bodies).collect();
    expected.iter().all(|record| found.contains(record)).then_some(())
}

#[test]
fn agents_go_on_with_the_next_tokens_and_wait_while_there_is_none() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "agents_go_on_with_the_next_tokens");
    let (kafka, name) = (session.kafka(), format!("renewed-tokens-{}", process::id()));
    let out = format!("{name}-out");
    kafka.create_topic(&name, 2);
    kafka.create_topic(&out, 2);
    let (flow, token) = (scene.folder().join("tokens.flow"), scene.folder().join("token"));
    fs::write(&flow, program(&session.setting("KAFKA_OAUTH"), &name, &token)).expect("the disk has space");
    renew(&session, &token, LIFETIME);
    let (metrics, first) = (free_address(), Instant::now());
    let options = ["--metrics", &metrics.to_string(), "--ready-limit", "2s"];
    let mut weir = Weir::run_by(&scene, &[], &scene.path("tokens.flow"), &[], &options);
    let mut arrived = kafka.committed_records(&out);
    let mut expected = BTreeSet::new();
    // Until records have passed after the first token has expired.
    loop {
        let is_renewed = first.elapsed() > LIFETIME;
        let lines: Vec<String> = (0..10).map(|line| format!("record {}", expected.len() + line)).collect();
        kafka.produce(&name, &lines);
        expected.extend(lines.into_iter().map(String::into_bytes));
        weir.await_event("all records", PATIENCE, |_| has_all(&mut arrived, &expected));
        if is_renewed {
            break;
        }
        renew(&session, &token, LIFETIME);
        sleep(Duration::from_secs(1));
    }
    // The last token expires, which is waited out.
    for component in ["source in", "channel between", "sink out"] {
        wait_until(&format!("{component} is not authorised"), PATIENCE, || {
            let (status, ready) = ask_agent(metrics, "/ready")?;
            let mut lines = ready.lines();
            let is_told = |line: &str| line.contains(component) && line.contains("(not authorised)");
            (status == 503 && lines.any(is_told)).then_some(())
        });
    }
    kafka.produce(&name, &["the last one".to_owned()]);
    expected.insert(b"the last one".to_vec());
    renew(&session, &token, Duration::from_secs(600));
    weir.await_event("all records", PATIENCE, |_| has_all(&mut arrived, &expected));
    wait_until("/ready answers 200", PATIENCE, || {
        ask_agent(metrics, "/ready").filter(|(status, _)| *status == 200)
    });
    weir.terminate().assert_success();
}
