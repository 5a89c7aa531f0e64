use std::path::PathBuf;

use weir_compiler::{Library, Options, analyse};

use super::*;
use crate::TestProgram;

/// Returns what the flows of a program promise about an event of the source with this number at a sink.
fn promised(text: &str, source: i64, sink: &str) -> [bool; 2] {
    let library =
        Library::parse(weir_stdlib::library_sources().iter().copied()).expect("the library is right");
    let options = Options::default();
    let analysis = analyse(&("a.flow", text), "a.flow", &library, &options);
    assert!(!analysis.has_errors(), "{:?}", analysis.diagnostics);
    let again =
        |_: &BTreeMap<String, weir_plan::Value>| analyse(&("a.flow", text), "a.flow", &library, &options);
    let program = TestProgram::new(analysis, PathBuf::new(), weir_stdlib::registry, again);
    let ends = program.staged_plan().expect("it can be lowered").ends;
    ends.promised(&Broken { sink: sink.to_owned(), lineage: source << 40, wanted: 1, came: 0 })
}

const SHARED: &str = r#"
source first = files { paths: ["a"] }
source second = files { paths: ["b"] }
channel left = file { path: "left" }
channel right = file { path: "right" }
sink out = files { path: "out" }
flow once delivers exactly_once { first -> left -> out }
flow often delivers at_least_once { second -> right -> out }
"#;

#[test]
fn the_events_of_each_source_have_the_promise_of_their_flow() {
    assert_eq!(promised(SHARED, 0, "out"), [true, true]);
    assert_eq!(promised(SHARED, 1, "out"), [true, false]);
    assert_eq!(promised(SHARED, 2, "out"), [false, false]);
}

#[test]
fn losses_behind_steps_that_vary_are_not_known() {
    let keeps_loss = |steps: &str, sink: &str| {
        let text = format!(
            r#"
source lines = files {{ paths: ["a"] }}
channel buffer = file {{ path: "buffer" }}
sink out = files {{ path: "out" }}
sink all = files {{ path: "all" }}
flow main {{
  lines -> set @number = random() -> copy {{
    all
    {steps} -> buffer
  }}
  buffer -> out
}}
"#
        );
        promised(&text, 0, sink)[0]
    };
    for steps in ["keep if random() < 0.5", "drop if @number < 0.5", "dedupe by body within 1min"] {
        assert!(!keeps_loss(steps, "out"), "{steps}");
        assert!(keeps_loss(steps, "all"), "{steps}");
    }
    for steps in ["keep if body != \"\"", "set @number = 1.0 -> keep if @number < 0.5"] {
        assert!(keeps_loss(steps, "out"), "{steps}");
    }
}
