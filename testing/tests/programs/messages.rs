//! What a failure says.

use weir_testing::RunSettings;
use weir_testing::report::failure_text;

use crate::{VISITS, failure_of, passes, results_of};

#[test]
fn an_event_that_differs_is_shown_beside_the_expected_one() {
    insta::assert_snapshot!(failure_of(
        VISITS,
        r#"  send visits [json { page: "/a", took: "5s" }, json { page: "/b" }]
  expect out [{ page: "/b", took: null }, { page: "/a", took: 6s }]"#
    ));
}

#[test]
fn events_that_are_missing_or_not_expected_are_listed() {
    insta::assert_snapshot!(failure_of(
        VISITS,
        r#"  send visits [json { page: "/a" }]
  expect out [{ page: "/a" }, { page: "/b" }]"#
    ));
    insta::assert_snapshot!(failure_of(
        VISITS,
        r#"  send visits [json { page: "/a" }, json { page: "/b" }]
  expect out [{ page: "/a" }]"#
    ));
    insta::assert_snapshot!(failure_of(VISITS, "  send visits [json { page: \"/a\" }]\n  expect out []"));
}

#[test]
fn a_rejected_event_explains_why_nothing_came() {
    insta::assert_snapshot!(failure_of(
        VISITS,
        r#"  send visits [json { pages: "/a" }]
  expect out [{ page: "/a" }]"#
    ));
}

#[test]
fn events_that_wait_are_said() {
    insta::assert_snapshot!(failure_of(
        VISITS,
        r#"  fail out 1_000_000 times
  send visits [json { page: "/a" }]
  expect out [{ page: "/a" }]"#
    ));
}

#[test]
fn lost_events_are_named() {
    let volatile = r#"
source lines = stdin {}
channel buffer = memory {}
sink out = files { path: "out" }
flow main delivers best_effort { lines -> buffer -> out }
"#;
    insta::assert_snapshot!(failure_of(
        volatile,
        "  send lines [\"a\", \"b\"]\n  fail out 3 times\n  crash\n  expect no loss"
    ));
}

#[test]
fn a_metric_and_a_file_are_compared() {
    insta::assert_snapshot!(failure_of(
        VISITS,
        "  send visits [json { page: \"/a\" }]\n  expect metric out.delivered > 1"
    ));
    insta::assert_snapshot!(failure_of(
        VISITS,
        "  send visits [json { page: \"/a\" }]\n  expect out from \"nowhere.jsonl\""
    ));
}

#[test]
fn a_metric_of_a_component_in_no_flow_is_refused() {
    let unused = VISITS.replace("flow main", "channel idle = memory {}\nflow main");
    for expected in ["== 0", "== 5"] {
        let failure = failure_of(&unused, &format!("  expect metric idle.delivered {expected}"));
        assert!(failure.starts_with("error: no flow uses `idle`\n"), "{failure}");
    }
}

#[test]
fn an_act_that_can_not_be_done_is_shown_at_its_place() {
    insta::assert_snapshot!(failure_of(VISITS, "  send visits from \"nowhere.jsonl\"\n  expect no loss"));
    let unused = VISITS.replace("flow main", "sink other = stdout {}\nsource lines = generate {}\nflow main");
    insta::assert_snapshot!(failure_of(&unused, "  expect other []"));
}

#[test]
fn the_order_of_events_in_a_list_does_not_matter() {
    passes(
        VISITS,
        r#"  send visits [json { page: "/a" }, json { page: "/b" }, json { page: "/health" }, "x"]
  expect out [{ page: "/b" }, {}]
  expect rejects [{ body: "x", source: "visits" }]
  expect dead [{ body: "x" }]
  expect order
  expect metric visits.dropped == 1
  expect metric visits.rejected == 1
  send visits [json { page: "/c" }]
  expect out [{ page: "/c" }]
  expect rejects []"#,
    );
}

#[test]
fn what_is_random_follows_from_the_seed() {
    let text = r#"
source lines = files { paths: ["a"] }
sink out = files { path: "out" }
flow main { lines -> set @id = uuid() -> set @number = random_int(0, 1_000_000_000) -> out }
test "random" {
  send lines ["a"]
  expect out [{ @number: -1, @id: "" }]
}
"#;
    let found = |seed| {
        let (_, results) = results_of(text, RunSettings { seed, ..RunSettings::default() });
        results[0].failure.as_ref().map(|failure| failure.comparison[0].found.text.clone())
    };
    assert_eq!(found(3), found(3));
    assert_ne!(found(3), found(4));
}

#[test]
fn time_passes_only_when_it_has_to() {
    let timed = r#"
source lines = files { paths: ["a"] }
channel buffer = memory {}
sink out = files { path: "out" }
flow main { lines -> set @at = now() -> buffer -> out }
"#;
    passes(
        timed,
        r#"  send lines ["a"]
  expect out [{ @at: "2026-01-01T00:00:00Z", @timestamp: "2026-01-01T00:00:00Z" }]
  advance 90min
  send lines ["b"]
  expect out [{ @at: "2026-01-01T01:30:00Z" }]"#,
    );
}

#[test]
fn a_table_names_the_row() {
    let text = r#"
fn class(status: Int) -> Text { if status >= 500 then "server" else "ok" }
test "classes" of class {
  for each {
    in: 200, out: "ok"
    in: 404, out: "client"
  }
}
test "only errors" of regex_filter(r"ERROR") {
  for each {
    in: "fine", out: "fine"
  }
}
"#;
    let (analysis, results) = results_of(text, RunSettings::default());
    for result in results {
        let failure = result.failure.expect("it fails");
        let text = failure_text(&failure, &analysis.files, "weir test a.flow", false);
        insta::assert_snapshot!(text);
    }
}

#[test]
fn the_trace_shows_what_each_step_changes() {
    let text = format!(
        "{}\ntest \"t\" {{\n  send visits [json {{ page: \"/a\" }}, \"x\", json {{ page: \"/health\" }}]\n  expect metric out.delivered == 1\n}}\n",
        VISITS.trim()
    );
    let (_, results) = results_of(&text, RunSettings { trace: true, ..RunSettings::default() });
    insta::assert_snapshot!(results[0].trace.join("\n"));
}

#[test]
fn the_trace_shows_events_of_flows_without_steps() {
    let text = "source lines = files { paths: [\"a\"] }\nsink out = files { path: \"out\" }\nflow main { lines -> out }\n\n\
                test \"t\" {\n  send lines [\"a\"]\n  expect out [{ body: \"a\" }]\n}\n";
    let (_, results) = results_of(text, RunSettings { trace: true, ..RunSettings::default() });
    assert_eq!(results[0].trace, ["\"a\" sent to `lines`", "  -> out"]);
}

/// A body may be a document where an event also has headers; its members are compared as those of a whole body.
#[test]
fn bodies_are_documents_beside_headers() {
    let pipeline = "source lines = files { paths: [\"a\"] }\nsink out = files { path: \"out\" }\nflow main { lines -> out }\n";
    let sent = "send lines [{ body: json { page: \"/\", status: 200 }, @file: \"/a\" }]\n";
    passes(pipeline, &format!("{sent}expect out [{{ body: json {{ status: 200 }}, @file: \"/a\" }}]"));
    let failure = failure_of(pipeline, &format!("{sent}expect out [{{ body: json {{ status: 201 }} }}]"));
    assert!(failure.contains("{ body: json { status: 201 } }"), "{failure}");
}
