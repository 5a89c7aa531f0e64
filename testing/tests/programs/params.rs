//! The values that `with` gives to params.

use weir_testing::RunSettings;
use weir_testing::report::failure_text;

use crate::results_of;

const PROGRAM: &str = r#"
param kinds: [Text] = ["click"]
param only: Text?
param topic: Text = "a"
source visits = files { paths: ["visits"] }
sink out = files { path: "out" }
param pattern: Regex = r"."
param route: Template = "a"
let other = "orders" + "-eu"
flow main { visits -> set @topic = topic -> keep if utf8_lossy(body) in kinds -> keep if utf8_lossy(body) == (only ?? utf8_lossy(body)) -> keep if utf8_lossy(body) matches pattern -> out }
"#;

/// Checks that a test with these params receives the events.
fn receives(params: &str, sent: &str, expected: &str) {
    let text = format!(
        "{PROGRAM}\ntest \"the test\" with {params} {{\n  send visits {sent}\n  expect out {expected}\n}}\n"
    );
    let (analysis, results) = results_of(&text, RunSettings::default());
    let [result] = &results[..] else { panic!("one test") };
    let failure = result.failure.as_ref();
    let failure = failure.map(|failure| failure_text(failure, &analysis.files, "weir test a.flow", false));
    assert_eq!(failure, None, "{params}");
}

#[test]
fn a_value_may_have_several_lines() {
    let sent = r#"["order", "click"]"#;
    let expected = r#"[{ body: "order", @topic: "orders" }]"#;
    receives(r#"topic: "orders", kinds: ["order", "offer"]"#, sent, expected);
    let broken = "topic: \"orders\", kinds: [\n  // What is sold.\n  \"order\",\n  \"offer\",\n]";
    receives(broken, sent, expected);
}

#[test]
fn a_list_may_have_one_item() {
    receives(r#"kinds: ["order"]"#, r#"["order", "click"]"#, r#"["order"]"#);
}

#[test]
fn null_is_no_text() {
    receives("only: null", r#"["click"]"#, r#"["click"]"#);
    receives(r#"only: "order""#, r#"["click"]"#, "[]");
    receives(r#"kinds: ["null"], only: "null""#, r#"["null"]"#, r#"["null"]"#);
}

#[test]
fn a_value_may_be_named_or_computed() {
    receives("topic: other", r#"["click"]"#, r#"[{ body: "click", @topic: "orders-eu" }]"#);
    receives(r#"topic: other + "!""#, r#"["click"]"#, r#"[{ body: "click", @topic: "orders-eu!" }]"#);
    receives("kinds: [other]", r#"["click", "orders-eu"]"#, r#"["orders-eu"]"#);
}

#[test]
fn a_pattern_is_what_its_quotes_contain() {
    receives(r#"pattern: r"^o.*r$", kinds: ["order", "offer", "ok"]"#, r#"["order", "ok"]"#, r#"["order"]"#);
    receives(r#"pattern: "^\\w+$", kinds: ["a b", "ab"]"#, r#"["a b", "ab"]"#, r#"["ab"]"#);
}
