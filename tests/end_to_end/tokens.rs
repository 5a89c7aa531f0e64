//! Brokers that want tokens (SASL OAUTHBEARER): a source, a channel and a sink with the tokens of a file, and `weir check --connect`.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process;
use std::time::Duration;

use weir_tests::{Scene, Servers, Weir};

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(120);
const RECORDS: usize = 1_000;

/// A program whose components all show the token of a file.
fn program(brokers: &str, name: &str, token: &Path) -> String {
    let token = token.display();
    let common = format!(
        "brokers: [\"{brokers}\"], security: oauth_token {{ token: secret file(\"{token}\"), encrypted: false }}"
    );
    format!(
        "source in = kafka {{ {common}, topics: [\"{name}\"], group: \"{name}\" }}\n\
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
