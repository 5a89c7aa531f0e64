//! Programs with tests: what passes, what fails and in which words, and that the same seed gives the same.

mod documents;
mod faults;
mod messages;
mod params;
mod types;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weir_compiler::{Analysis, Library, Options, SourceFiles, analyse};
use weir_plan::Value;

use weir_testing::report::failure_text;
use weir_testing::{RunSettings, TestProgram, TestResult, run_test};

/// A pipeline from JSON to files, with rejects.
const VISITS: &str = r#"
schema Visit { page: Text, took: Duration? }
source visits = files { paths: ["visits.json"] }
channel buffer = file { path: "buffer" }
channel spare = memory {}
sink out = files { path: "out", format: json }
sink dead = files { path: "dead", format: json }
flow main {
  visits -> parse json as Visit else reject -> keep if page != "/health" -> buffer
  buffer -> out
  rejects -> spare
  spare -> dead
}
"#;

fn library() -> Library {
    Library::parse(weir_stdlib::library_sources().iter().copied()).expect("the library is right")
}

/// Files on the disk.
struct Disk;

impl SourceFiles for Disk {
    fn read(&self, name: &str) -> Result<String, String> {
        std::fs::read_to_string(name).map_err(|error| error.to_string())
    }
}

/// Runs all tests of a program in a text.
fn results_of(text: &str, settings: RunSettings<'_>) -> (Analysis, Vec<TestResult>) {
    let library = library();
    let analysis = analyse(&("a.flow", text), "a.flow", &library, &Options::default());
    assert!(!analysis.has_errors(), "{:?}", analysis.diagnostics);
    let again = |params: &BTreeMap<String, Value>| {
        let options = Options { constants: params.clone(), ..Options::default() };
        analyse(&("a.flow", text), "a.flow", &library, &options)
    };
    let program = TestProgram::new(analysis, PathBuf::new(), weir_stdlib::registry, again);
    let results = program.tests().iter().map(|test| run_test(&program, test, settings)).collect();
    let analysis = analyse(&("a.flow", text), "a.flow", &library, &Options::default());
    (analysis, results)
}

/// Runs the only test of a pipeline with these acts, and returns the text of its failure; empty if it passes.
fn failure_of(pipeline: &str, acts: &str) -> String {
    failure_in(&format!("{}\ntest \"the test\" {{\n{acts}\n}}\n", pipeline.trim()))
}

/// Runs the only test of a program, and returns the text of its failure; empty if it passes.
fn failure_in(text: &str) -> String {
    let (analysis, results) = results_of(text, RunSettings::default());
    let [result] = &results[..] else { panic!("one test") };
    let failure = result.failure.as_ref();
    failure
        .map_or_else(String::new, |failure| failure_text(failure, &analysis.files, "weir test a.flow", false))
}

/// Checks that the acts of a test pass.
fn passes(pipeline: &str, acts: &str) {
    let failure = failure_of(pipeline, acts);
    assert!(failure.is_empty(), "{failure}");
}

/// Every test of the examples and of the library's interceptors passes, and a run with the same seed does the same.
#[test]
fn the_tests_of_the_examples_pass_and_repeat() {
    // Lookup tables are relative to the working directory.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::set_current_dir(&root).expect("the root is there");
    let library = library();
    let mut count = 0;
    for folder in ["examples", "tests/programs"] {
        let entries = std::fs::read_dir(folder).expect("the folder is there");
        for path in entries.map(|entry| entry.expect("it can be read").path()) {
            if path.extension().is_none_or(|end| end != "flow") {
                continue;
            }
            let name = path.to_str().expect("a name in UTF-8");
            let options = |params: &BTreeMap<String, Value>| Options {
                constants: params.clone(),
                ..Options::default()
            };
            let analysis = analyse(&Disk, name, &library, &options(&BTreeMap::new()));
            assert!(!analysis.has_errors(), "{name}: {:?}", analysis.diagnostics);
            let again = |params: &BTreeMap<String, Value>| analyse(&Disk, name, &library, &options(params));
            let program = TestProgram::new(analysis, folder.into(), weir_stdlib::registry, again);
            assert!(!program.tests().is_empty(), "{name} has no test");
            for test in program.tests() {
                let run = || run_test(&program, test, RunSettings { seed: 7, ..RunSettings::default() });
                let (first, second) = (run(), run());
                assert_eq!(first.failure, None, "{name}: {}", test.title);
                assert_eq!(first.digest, second.digest, "{name}: {} differs from run to run", test.title);
                assert_eq!(first.advanced, second.advanced, "{name}: {}", test.title);
                count += 1;
            }
        }
    }
    assert!(count > 25, "{count} tests");
}
