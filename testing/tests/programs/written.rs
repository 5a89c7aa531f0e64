//! What sinks write of events, and the events that sources make of lines.

use crate::{failure_in, failure_of, passes};

const LAKE: &str = r#"
schema Visit { page: Text, took: Duration? }
source visits = files { paths: ["visits.json"] }
sink lake = files { path: "lake/{@timestamp:%Y-%m-%d}/{page}", format: json, zone: "Europe/Berlin" }
sink table = files { path: "table", format: csv { names: true } }
sink columns = files { path: "columns/{page}", format: parquet }
sink stream = kafka { brokers: ["localhost:9092"], topic: "visits-{page}", key: "{page}", format: json, headers: [@kind] }
flow main {
  visits -> parse json as Visit else drop -> set @kind = "k-{page}" -> copy {
    lake
    table
    columns
    stream
  }
}
"#;

#[test]
fn a_test_sees_directories_topics_keys_headers_and_texts() {
    let sends = r#"
  send visits [
    { body: "{{\"page\":\"a/b\"}}", @timestamp: "2026-06-30T22:30:00Z" },
    { body: "{{\"page\":\"c\"}}", @timestamp: "2026-06-30T21:30:00Z" }
  ]"#;
    passes(
        LAKE,
        &format!(
            r#"{sends}
  expect lake writes [
    {{ path: "lake/2026-07-01/a%2Fb", body: json {{ page: "a/b" }} }},
    {{ path: "lake/2026-06-30/c", body: "{{{{\"page\":\"c\"}}}}" }}
  ]
  expect table writes [{{ path: "table", body: "c," }}, {{ body: "a/b," }}]
  expect columns writes [{{ path: "columns/a%2Fb" }}, {{ path: "columns/c" }}]
  expect stream writes [
    {{ topic: "visits-c", key: "c", headers: {{ kind: "k-c" }}, body: json {{ page: "c" }} }},
    json {{ page: "a/b" }}
  ]
  expect stream writes []"#
        ),
    );
}

#[test]
fn another_directory_is_shown_beside_the_expected_one() {
    let failure = failure_of(
        LAKE,
        r#"  send visits [json { page: "/" }]
  expect lake writes [{ path: "lake/2026-01-02/x" }]"#,
    );
    insta::assert_snapshot!(failure);
}

#[test]
fn a_sink_that_writes_nothing_says_so() {
    let pipeline = "source a = generate {}\nsink b = null {}\nflow main { a -> b }\n";
    insta::assert_snapshot!(failure_of(pipeline, "  send a [\"x\"]\n  expect b writes [\"x\"]"));
}

const LOGS: &str = r#"
source app = files { paths: ["app.log"], multiline: continues { pattern: r"^\s" } }
sink out = files { path: "out" }
flow main { app -> out }
"#;

#[test]
fn lines_become_the_events_of_a_source() {
    passes(
        LOGS,
        r#"  send app lines ["ERROR x", "  at a", "  at b", "INFO y"]
  expect out ["ERROR x\n  at a\n  at b", "INFO y"]"#,
    );
}

#[test]
fn a_source_without_lines_says_so() {
    let pipeline = "source a = generate {}\nsink b = stdout {}\nflow main { a -> b }\n";
    insta::assert_snapshot!(failure_of(pipeline, "  send a lines [\"x\"]\n  expect b [\"x\"]"));
}

#[test]
fn a_throttle_holds_events_back_in_virtual_time() {
    let pipeline = r#"
source a = files { paths: ["a"] }
sink out = files { path: "out" }
flow main { a -> throttle 1/s -> set @at = now() -> out }
"#;
    passes(
        pipeline,
        r#"  send a ["1"]
  send a ["2"]
  send a ["3"]
  expect out [{ @at: "2026-01-01T00:00:00Z" }, { @at: "2026-01-01T00:00:00Z" }, { @at: "2026-01-01T00:00:01Z" }]"#,
    );
}

#[test]
fn a_test_that_never_ends_is_ended() {
    let text = format!(
        "{LOGS}\ntest \"the test\" {{\n  fail out 1000000000 times\n  send app [\"x\"]\n  advance 36500d\n  expect out [\"x\"]\n}}\n"
    );
    insta::assert_snapshot!(failure_in(&text));
}

#[test]
fn a_channel_that_the_compiler_adds_has_a_name() {
    passes(
        LOGS,
        r#"  fail app_to_out 2 times
  send app ["x"]
  expect out ["x"]
  expect metric app_to_out.delivered == 1"#,
    );
}
