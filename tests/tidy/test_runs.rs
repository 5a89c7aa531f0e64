//! Checks that `tests/run`, which starts the tests in two groups, leaves none out.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use weir_tests::repository;

/// Returns the names of all integration tests of the workspace.
fn integration_tests() -> BTreeSet<String> {
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = metadata.current_dir(repository()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let targets = packages.iter().flat_map(|package| package["targets"].as_array().expect("targets"));
    let tests = targets.filter(|target| target["kind"][0] == "test");
    tests.map(|target| target["name"].as_str().expect("a name").to_owned()).collect()
}

/// Returns the names behind `--test` in a script.
fn started(script: &str) -> BTreeSet<String> {
    let is_between = |letter: char| letter.is_whitespace() || matches!(letter, '(' | ')');
    let words: Vec<&str> = script.split(is_between).filter(|word| !word.is_empty()).collect();
    let named = words.windows(2).filter(|pair| pair[0] == "--test");
    named.map(|pair| pair[1].to_owned()).collect()
}

#[test]
fn all_integration_tests_are_started() {
    let script = std::fs::read_to_string(repository().join("tests/run")).expect("the script is readable");
    assert_eq!(started(&script), integration_tests());
}
