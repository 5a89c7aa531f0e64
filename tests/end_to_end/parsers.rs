//! Files with lines of JSON and CSV, parsed by Weir and by Python's own modules.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use weir_tests::{Scene, Weir, parse_independently, read_independently, repository, visible_files};

const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a program that parses one file of the corpus, and returns the rows of its output, which another reader reads.
fn rows(scene: &Scene, corpus: &str, program: &str, format: &str) -> Vec<Value> {
    fs::create_dir(scene.folder().join("input")).expect("the scene is empty");
    let input = scene.folder().join("input/lines.log");
    fs::copy(repository().join("tests/parsers").join(corpus), &input).expect("the corpus is there");
    let flow = scene.path("parse.flow");
    let program =
        program.replace("INPUT", &scene.path("input/*.log")).replace("OUTPUT", &scene.path("output"));
    fs::write(&flow, program).expect("the scene is there");
    let mut weir = Weir::run(scene, &flow, &[]);
    let done = scene.folder().join("input/lines.log.done");
    weir.await_event("all is delivered", PATIENCE, |_| done.exists().then_some(()));
    weir.terminate().assert_success();
    let files = visible_files(&scene.folder().join("output"));
    files.iter().flat_map(|file| read_independently(format, file)).collect()
}

/// The case of JSONTestSuite that begins with a byte order mark.
const MARKED: i64 = 1;

/// The cases of JSONTestSuite, each as a member `v` of an object: Weir takes what Python takes, with the same values.
#[test]
fn json_is_read_as_python_reads_it() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "json_is_read_as_python_reads_it");
    let program = r#"
        schema Case { id: Int, v: Json }
        source lines = files { paths: ["INPUT"], poll: 100ms, mode: complete { after: rename {} } }
        sink out = files { path: "OUTPUT", format: parquet {}, roll: { age: 1s } }
        flow main { lines -> parse json as Case else drop -> out }
    "#;
    let rows = rows(&scene, "json.txt", program, "parquet");
    let by_python = parse_independently("json", &repository().join("tests/parsers/json.txt"));
    let id = |value: &Value| value["id"].as_f64().map(|id| id as i64);
    let expected = by_python.iter().filter(|value| value.get("v").is_some());
    let expected: BTreeMap<i64, &Value> =
        expected.filter_map(|value| Some((id(value)?, &value["v"]))).collect();
    assert!(expected.len() > 80 && by_python.len() > expected.len() + 120, "{} cases", by_python.len());
    let mut texts: BTreeMap<i64, &str> =
        rows.iter().filter_map(|row| Some((id(row)?, row["v"].as_str()?))).collect();
    // Python takes no byte order mark before a document.
    assert!(texts.remove(&MARKED).is_some() && !expected.contains_key(&MARKED));
    assert_eq!(texts.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert_eq!(texts.len() + 1, rows.len());
    for (id, text) in texts {
        let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{id}: {text}: {error}"));
        // Python reads a number without an exponent as an integer of any length, and serde_json rounds the last digit.
        let is_near = match (value.as_f64(), expected[&id].as_f64()) {
            (Some(one), Some(other)) => (one - other).abs() <= one.abs() * 1e-12,
            _ => false,
        };
        let is_equal = value == *expected[&id] || is_near;
        assert!(is_equal, "{id}: {text} is not {}", expected[&id]);
    }
}

#[test]
fn csv_is_read_as_python_reads_it() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "csv_is_read_as_python_reads_it");
    let program = r#"
        schema Row { a: Text, b: Text, c: Text }
        source lines = files { paths: ["INPUT"], poll: 100ms, mode: complete { after: rename {} } }
        sink out = files { path: "OUTPUT", format: json, roll: { age: 1s } }
        flow main { lines -> parse csv as Row else drop -> out }
    "#;
    let rows = rows(&scene, "csv.txt", program, "json");
    let by_python = parse_independently("csv", &repository().join("tests/parsers/csv.txt"));
    let expected: Vec<&Value> = by_python.iter().filter(|value| value.get(2).is_some()).collect();
    assert!(expected.len() > 10 && by_python.len() > expected.len(), "{by_python:?}");
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(expected) {
        for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
            assert_eq!(row[name], expected[number], "{expected}");
        }
    }
}

/// Fields that nothing reads are not decoded, so that a wrong value in them does not matter; with `strict` it does.
#[test]
fn only_fields_that_something_reads_can_be_wrong() {
    for (name, strict, expected) in [("lenient", "", vec!["two", "four"]), ("strict", "strict", vec!["four"])]
    {
        let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), &format!("only_read_fields_{name}"));
        let program = format!(
            r#"
            schema Row {{ a: Int, b: Text, c: Int in 0..=9 }}
            source lines = files {{ paths: ["INPUT"], poll: 100ms, mode: complete {{ after: rename {{}} }} }}
            sink out = files {{ path: "OUTPUT", format: text, roll: {{ age: 1s }} }}
            flow main {{ lines -> parse csv as Row {strict} else drop -> set body = bytes(b) -> out }}
            "#
        );
        let rows = rows(&scene, "unread.txt", &program, "text");
        let bodies: Vec<&str> = rows.iter().filter_map(|row| row["body"].as_str()).collect();
        assert_eq!(bodies, expected, "{name}");
    }
}
