//! Runs with faults keep the promises of right pipelines, and show promises that are not kept.

use std::collections::BTreeMap;
use std::path::PathBuf;

use weir_compiler::{Options, analyse};
use weir_plan::Value;
use weir_testing::{Mutations, Part, RunSettings, TestProgram, run_test, run_with_faults};

use crate::{VISITS, library, passes};

fn with_program<T>(text: &str, act: impl FnOnce(&TestProgram<'_>) -> T) -> T {
    let library = library();
    let analysis = analyse(&("a.flow", text), "a.flow", &library, &Options::default());
    assert!(!analysis.has_errors(), "{:?}", analysis.diagnostics);
    let again = |constants: &BTreeMap<String, Value>| {
        let options = Options { constants: constants.clone(), ..Options::default() };
        analyse(&("a.flow", text), "a.flow", &library, &options)
    };
    act(&TestProgram::new(analysis, PathBuf::new(), weir_stdlib::registry, again))
}

const SENDS: &str = r#"
test "t" {
  send visits [json { page: "/a" }, "x", json { page: "/b" }]
  advance 1min
  send visits [json { page: "/c" }, json { page: "/health" }]
  expect out [{ page: "/a" }, { page: "/b" }, { page: "/c" }]
}
"#;

#[test]
fn promises_hold_through_faults() {
    for promise in ["flow main {", "flow main delivers exactly_once {"] {
        let text = VISITS.replace("flow main {", promise) + SENDS;
        with_program(&text, |program| {
            let failure = run_with_faults(program, &program.tests()[0], RunSettings::default(), 200);
            assert_eq!(failure, None, "{promise}");
        });
    }
}

#[test]
fn events_that_steps_choose_by_random_numbers_and_time_are_not_lost() {
    for step in ["keep if random() < 0.5", "drop if now() > @timestamp"] {
        let text = VISITS.replace("keep if page != \"/health\"", step) + SENDS;
        with_program(&text, |program| {
            let failure = run_with_faults(program, &program.tests()[0], RunSettings::default(), 50);
            assert_eq!(failure, None, "{step}");
        });
    }
}

#[test]
fn faults_and_crashes_of_a_test_lose_nothing() {
    passes(
        VISITS,
        r#"  fail visits 2 times
  send visits [json { page: "/a" }, "x"]
  fail buffer disk_full
  fail buffer 2 times
  fail out 3 times
  crash
  send visits [json { page: "/b" }]
  crash
  expect no loss
  expect no duplicates
  expect order"#,
    );
}

#[test]
fn coverage_says_what_was_not_reached() {
    let text =
        VISITS.to_owned() + "\ntest \"t\" {\n  send visits [json { page: \"/a\" }]\n  expect out [{}]\n}\n";
    with_program(&text, |program| {
        let mut coverage = program.coverage();
        coverage.add(&run_test(program, &program.tests()[0], RunSettings::default()).reached);
        assert_eq!(coverage.count(Part::Step), (2, 2));
        assert_eq!(coverage.count(Part::Rejection), (0, 1));
        let lcov = coverage.lcov(&program.analysis.files);
        assert!(lcov.contains("SF:a.flow\nBRDA:9,0,0,0\nBRF:1\nBRH:0\nDA:9,1\n"), "{lcov}");
    });
}

#[test]
fn a_change_that_no_test_notices_is_found() {
    let changes = |tests: &str| {
        with_program(&(VISITS.to_owned() + tests), |program| {
            let mutations = Mutations::of(program);
            let unnoticed = mutations.mutants().iter();
            let unnoticed =
                unnoticed.filter(|mutant| !mutations.is_noticed(mutant, RunSettings::default())).cloned();
            unnoticed.map(|mutant| mutant.change).collect::<Vec<_>>()
        })
    };
    assert_eq!(changes(SENDS), ["`parse json as Visit else reject` drops events instead of rejecting them"]);
    let thorough = SENDS.replace("  expect out", "  expect rejects [{ body: \"x\" }]\n  expect out");
    assert_eq!(changes(&thorough), Vec::<String>::new());
}

#[test]
fn tests_with_params_and_tests_of_steps_and_functions_notice_changes() {
    let program = r#"
param least: Int = 500
source lines = files { paths: ["lines"] }
sink out = files { path: "out" }
fn is_error(status: Int) -> Bool { status >= 500 }
interceptor only(least: Int) { keep if length(body) >= least }
flow main { lines -> only(least) -> keep if is_error(length(body)) -> out }
"#;
    let unnoticed = |tests: &str| {
        with_program(&format!("{program}\n{tests}"), |program| {
            let mutations = Mutations::of(program);
            let found = mutations.mutants().iter();
            let found = found.filter(|mutant| !mutations.is_noticed(mutant, RunSettings::default()));
            found.map(|mutant| mutant.change.clone()).collect::<Vec<_>>()
        })
    };
    let of_interceptor = r#"
test "long enough" of only(2) {
  for each { in: "ab", out: "ab"
    in: "a", out: [] }
}
"#;
    let of_function = r#"
test "errors" of is_error {
  for each { in: 500, out: true
    in: 499, out: false }
}
"#;
    insta::assert_debug_snapshot!(unnoticed(""));
    insta::assert_debug_snapshot!(unnoticed(of_interceptor));
    insta::assert_debug_snapshot!(unnoticed(&(of_interceptor.to_owned() + of_function)));
    let with = "test \"w\" with least: 1 {\n send lines [\"a\"]\n expect out []\n}\n";
    insta::assert_debug_snapshot!(unnoticed(&(of_interceptor.to_owned() + of_function + with)));
}
