//! The output and the exit status of `weir test` and `weir try`.

// Panics are test failures.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const PROGRAM: &str = r#"source lines = files { paths: ["a.log"] }
sink out = files { path: "out" }
flow main { lines -> keep if body != bytes("skip") -> out }

test "right" {
  send lines ["a", "skip"]
  expect out ["a"]
}
"#;

const WRONG: &str = "\ntest \"wrong\" {\n  send lines from \"sent.log\"\n  expect out from \"came.log\"\n}\n";

/// Runs `weir` in a folder, and returns its status, its output and its errors.
fn weir_in(folder: &Path, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.current_dir(folder).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read its input may have ended before it is written.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let ended = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (ended.status.code().unwrap(), text(ended.stdout), text(ended.stderr))
}

fn folder_with(program: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.flow"), program).unwrap();
    folder
}

#[test]
fn the_exit_status_shows_failures_and_misuse() {
    let right = folder_with(PROGRAM);
    let (status, output, error) = weir_in(right.path(), &["test"], "");
    assert_eq!((status, error.as_str()), (0, ""), "{output}");
    assert!(output.starts_with("a.flow: 1 test has passed\n"), "{output}");
    assert_eq!(weir_in(right.path(), &["test", "--filter", "no such"], "").0, 2);
    assert_eq!(weir_in(right.path(), &["test", "nowhere.flow"], "").0, 2);
    assert_eq!(weir_in(right.path(), &["test", "--format", "long"], "").0, 2);
    assert_eq!(weir_in(right.path(), &["test", "-"], PROGRAM).0, 0);
    assert_eq!(weir_in(right.path(), &["test", "--faults", "5", "--coverage", "--mutants"], "").0, 0);
    let broken = folder_with("source a = b {}\n");
    let (status, output, error) = weir_in(broken.path(), &["test"], "");
    let summary = "a.flow: no test has run, since the program has errors\n1 program has errors\n";
    assert_eq!((status, output.as_str()), (1, summary));
    assert!(error.contains("error[E02"), "{error}");
    assert_eq!(weir_in(folder_with("let a = 1\n").path(), &["test"], "").0, 2);
}

#[test]
fn files_of_expected_events_are_written_and_compared() {
    let folder = folder_with(&(PROGRAM.to_owned() + WRONG));
    fs::write(folder.path().join("sent.log"), "b\nc\n").unwrap();
    let (status, output, _) = weir_in(folder.path(), &["test"], "");
    assert_eq!(status, 1);
    assert!(output.contains("there is no file came.log"), "{output}");
    let (status, output, _) = weir_in(folder.path(), &["test", "--bless"], "");
    assert_eq!(status, 0, "{output}");
    assert!(output.contains("wrote came.log"), "{output}");
    assert_eq!(fs::read_to_string(folder.path().join("came.log")).unwrap(), "b\nc\n");
    assert_eq!(weir_in(folder.path(), &["test"], "").0, 0);
    fs::write(folder.path().join("came.log"), "b\nd\n").unwrap();
    for (format, words) in [
        ("human", "`body` is \"c\""),
        ("json", "\"passed\": false"),
        ("junit", "<failure message=\"what came to `out` differs from what is expected\">"),
        ("tap", "not ok 2 - a.flow: wrong"),
    ] {
        let (status, output, _) = weir_in(folder.path(), &["test", "--format", format], "");
        assert_eq!(status, 1);
        assert!(output.contains(words), "{output}");
    }
}

#[test]
fn a_program_with_errors_is_among_the_results() {
    let folder = folder_with(PROGRAM);
    fs::write(folder.path().join("broken.flow"), "source a = b {}\n").unwrap();
    let error = "<testcase classname=\"broken.flow\" name=\"the program has no errors\" file=\"broken.flow\" time=\"0.000\">\n      <error message=\"";
    for (format, words) in [
        ("human", "1 test has passed, 1 program has errors, "),
        (
            "json",
            "\"file\": \"broken.flow\",\n    \"title\": \"the program has no errors\",\n    \"passed\": false",
        ),
        ("junit", error),
        ("tap", "1..2\nok 1 - a.flow: right\nnot ok 2 - broken.flow: the program has no errors\n"),
    ] {
        let (status, output, errors) = weir_in(folder.path(), &["test", "--format", format], "");
        assert_eq!(status, 1);
        assert!(output.contains(words), "{output}");
        assert!(errors.contains("error[E02"), "{errors}");
    }
}

#[test]
fn coverage_is_written_for_other_programs() {
    let folder = folder_with(PROGRAM);
    let (status, output, _) = weir_in(folder.path(), &["test", "--coverage", "--lcov", "coverage.info"], "");
    assert_eq!(status, 0);
    assert!(output.contains("a.flow: tests have reached 1 of 1 steps"), "{output}");
    let lcov = fs::read_to_string(folder.path().join("coverage.info")).unwrap();
    assert!(lcov.contains("SF:a.flow\n") && lcov.contains("DA:3,1\n"), "{lcov}");
}

#[test]
fn a_sample_is_shown_at_each_step() {
    let folder = folder_with(PROGRAM);
    let (status, output, error) = weir_in(folder.path(), &["try", "a.flow"], "a\nskip\r\n");
    assert_eq!((status, error.as_str()), (0, ""));
    let trace: Vec<&str> = output.lines().take(5).collect();
    let step = "keep if body != bytes(\"skip\")";
    let passed = format!("  {step}: passed");
    let dropped = format!("  {step}: dropped");
    assert_eq!(trace, ["\"a\" sent to `lines`", &passed, "  -> out", "\"skip\" sent to `lines`", &dropped]);
    assert!(!folder.path().join("out").exists(), "nothing is written");
    let (status, _, error) = weir_in(folder.path(), &["try", "a.flow", "--source", "line"], "a\n");
    assert_eq!(status, 2);
    assert!(error.contains("no source `line`"), "{error}");
    assert_eq!(weir_in(folder.path(), &["try", "-"], PROGRAM).0, 2);
}

/// A program that reads complete files, keeps positions, and deletes what is delivered.
const FILES: &str = r#"source lines = files {
  paths: ["in/*"]
  mode: complete { after: rename { suffix: ".done" } }
  positions: "positions"
}
source requests = http { bind: "127.0.0.1:1" }
source typed = stdin {}
source missing = files { paths: ["nowhere/*.log"] }
sink out = files { path: "out/{@file}" }
sink others = stdout { format: json }

flow main delivers best_effort {
  lines -> keep if body != bytes("skip") -> set @first = @offset == 0 -> out
  requests -> others
  typed -> others
  missing -> others
}
"#;

/// The names in a folder and its subfolders, in order.
fn names_in(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        names.push(entry.path().display().to_string());
        if entry.path().is_dir() {
            names.extend(names_in(&entry.path()));
        }
    }
    names.sort();
    names
}

#[test]
fn a_sample_of_a_source_leaves_no_trace() {
    let folder = folder_with(FILES);
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("in/a.log"), "a\nskip\nb\nc\n").unwrap();
    fs::write(folder.path().join("in/old.log.done"), "old\n").unwrap();
    let before = names_in(folder.path());
    let try_lines = ["try", "a.flow", "--source", "lines", "--sample"];
    let (status, output, error) = weir_in(folder.path(), &[&try_lines[..], &["3"]].concat(), "");
    assert_eq!((status, error.as_str()), (0, ""), "{output}");
    let shown = output.replace(&folder.path().canonicalize().unwrap().display().to_string(), "FOLDER");
    let varying = regex::Regex::new(r#" +\d+\.\d+ms|"[^"]*Z"|@host: "[^"]*""#).unwrap();
    let shown = varying.replace_all(&shown, " VARYING");
    insta::assert_snapshot!(shown);
    assert_eq!(names_in(folder.path()), before, "nothing is written, renamed or deleted");
    // There are fewer events than are wanted.
    let (status, output, _) = weir_in(folder.path(), &[&try_lines[..], &["1000"]].concat(), "");
    assert_eq!((status, output.matches(" sent to `lines`").count()), (0, 4), "{output}");
}

#[test]
fn a_source_without_a_sample_says_why() {
    let folder = folder_with(FILES);
    let of = |source: &str| {
        let (status, output, error) = weir_in(
            folder.path(),
            &["try", "a.flow", "--source", source, "--sample", "3", "--wait", "1"],
            "",
        );
        format!("status {status}\n{output}{error}")
    };
    let sources = ["requests", "typed", "missing", "nobody"];
    let said: String = sources.map(|source| format!("{source}: {}\n", of(source))).concat();
    let (status, output, error) = weir_in(folder.path(), &["try", "a.flow", "--sample", "3"], "");
    let said = format!("{said}without --source: status {status}\n{output}{error}");
    insta::assert_snapshot!(
        said.replace(&folder.path().canonicalize().unwrap().display().to_string(), "FOLDER")
    );
}
