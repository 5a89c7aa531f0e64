//! Results as JSON, as JUnit's XML and as TAP 14.

use serde::Serialize;

use super::{BrokenProgram, ProgramResults};
use crate::outcome::{Difference, Failure, TestResult};

/// The title of the result of a program with errors.
const COMPILES: &str = "the program has no errors";

#[derive(Serialize)]
#[serde(untagged)]
enum JsonResult<'r> {
    Test(JsonTest<'r>),
    Broken(JsonBroken<'r>),
}

#[derive(Serialize)]
struct JsonBroken<'r> {
    file: &'r str,
    title: &'r str,
    passed: bool,
    error: JsonError<'r>,
}

#[derive(Serialize)]
struct JsonError<'r> {
    message: &'r str,
    details: &'r str,
}

#[derive(Serialize)]
struct JsonTest<'r> {
    file: &'r str,
    title: &'r str,
    line: usize,
    seed: u64,
    passed: bool,
    milliseconds: f64,
    advanced_milliseconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<JsonFailure<'r>>,
    repeat: &'r str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    trace: &'r [String],
}

#[derive(Serialize)]
struct JsonFailure<'r> {
    message: &'r str,
    labels: Vec<JsonLabel<'r>>,
    events: Vec<JsonCompared<'r>>,
    notes: &'r [String],
}

#[derive(Serialize)]
struct JsonLabel<'r> {
    file: &'r str,
    line: usize,
    column: usize,
    text: &'r str,
}

#[derive(Serialize)]
struct JsonCompared<'r> {
    difference: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<&'r [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    came: Option<&'r str>,
}

/// Returns all results as one JSON array, with an object for each test and for each program with errors.
pub fn json(programs: &[ProgramResults<'_>], broken: &[BrokenProgram]) -> String {
    let tests = programs
        .iter()
        .flat_map(|program| {
            with_commands(program).map(move |(result, repeat)| json_test(program, result, repeat))
        })
        .map(JsonResult::Test);
    let broken = broken.iter().map(|BrokenProgram { name, message, details }| {
        let error = JsonError { message, details };
        JsonResult::Broken(JsonBroken { file: name, title: COMPILES, passed: false, error })
    });
    let results: Vec<JsonResult<'_>> = tests.chain(broken).collect();
    // Texts and numbers always have a JSON form.
    serde_json::to_string_pretty(&results).unwrap_or_default() + "\n"
}

fn json_test<'r>(program: &ProgramResults<'r>, result: &'r TestResult, repeat: &'r str) -> JsonTest<'r> {
    let failure = result.failure.as_ref().map(|failure| JsonFailure {
        message: &failure.message,
        labels: labels(program, failure),
        events: failure.comparison.iter().map(compared).collect(),
        notes: &failure.notes,
    });
    JsonTest {
        file: program.name,
        title: &result.title,
        line: program.files.positions(result.span).0.line,
        seed: result.seed,
        passed: result.failure.is_none(),
        milliseconds: result.took.as_secs_f64() * 1_000.0,
        advanced_milliseconds: u64::try_from(result.advanced.as_millis()).unwrap_or(u64::MAX),
        failure,
        repeat,
        trace: &result.trace,
    }
}

fn labels<'r>(program: &ProgramResults<'r>, failure: &'r Failure) -> Vec<JsonLabel<'r>> {
    let label = |(span, text): &'r (weir_grammar::Span, String)| {
        let begin = program.files.positions(*span).0;
        JsonLabel { file: program.files.name(*span), line: begin.line, column: begin.column, text }
    };
    failure.labels.iter().map(label).collect()
}

fn compared(line: &crate::outcome::Compared) -> JsonCompared<'_> {
    let (difference, columns) = match &line.difference {
        Difference::Same => ("same", None),
        Difference::In(columns) => ("differs", Some(columns.as_slice())),
        Difference::Missing => ("missing", None),
        Difference::Unexpected => ("unexpected", None),
    };
    let expected = Some(line.expected.text.as_str()).filter(|text| !text.is_empty());
    let came = Some(line.found.text.as_str()).filter(|text| !text.is_empty());
    JsonCompared { difference, columns, expected, came }
}

/// Returns all results as a JUnit report, a suite for each program. A program with errors has one test case with an error.
pub fn junit(programs: &[ProgramResults<'_>], broken: &[BrokenProgram]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for program in programs {
        let failed = program.results.iter().filter(|result| result.failure.is_some()).count();
        let took: f64 = program.results.iter().map(|result| result.took.as_secs_f64()).sum();
        let name = escaped(program.name);
        let tests = program.results.len();
        text.push_str(&format!(
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" time=\"{took:.3}\">\n"
        ));
        for (result, repeat) in with_commands(program) {
            let line = program.files.positions(result.span).0.line;
            let (title, took) = (escaped(&result.title), result.took.as_secs_f64());
            text.push_str(&format!(
                "    <testcase classname=\"{name}\" name=\"{title}\" file=\"{name}\" line=\"{line}\" time=\"{took:.3}\""
            ));
            match &result.failure {
                None => text.push_str("/>\n"),
                Some(failure) => {
                    let message = escaped(&failure.message);
                    let details = escaped(&super::failure_text(failure, program.files, repeat, false));
                    text.push_str(&format!(
                        ">\n      <failure message=\"{message}\">{details}</failure>\n    </testcase>\n"
                    ));
                }
            }
        }
        text.push_str("  </testsuite>\n");
    }
    broken.iter().for_each(|broken| text.push_str(&junit_error(broken)));
    text + "</testsuites>\n"
}

/// Returns the suite of a program with errors.
fn junit_error(broken: &BrokenProgram) -> String {
    let name = escaped(&broken.name);
    let (message, details) = (escaped(&broken.message), escaped(&broken.details));
    format!(
        "  <testsuite name=\"{name}\" tests=\"1\" failures=\"0\" errors=\"1\" time=\"0.000\">\n    \
         <testcase classname=\"{name}\" name=\"{COMPILES}\" file=\"{name}\" time=\"0.000\">\n      \
         <error message=\"{message}\">{details}</error>\n    </testcase>\n  </testsuite>\n"
    )
}

/// Returns the results of a program, each with the command that repeats it.
fn with_commands<'p>(program: &'p ProgramResults<'_>) -> impl Iterator<Item = (&'p TestResult, &'p str)> {
    program.results.iter().zip(program.repeat.iter().map(String::as_str))
}

/// Escapes a text for XML 1.0, which has no other control characters than tab and line end.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(letter),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Returns all results in the Test Anything Protocol, version 14. A program with errors is a test that has failed.
pub fn tap(programs: &[ProgramResults<'_>], broken: &[BrokenProgram]) -> String {
    let tests: usize = programs.iter().map(|program| program.results.len()).sum();
    let mut text = format!("TAP version 14\n1..{}\n", tests + broken.len());
    let all = programs
        .iter()
        .flat_map(|program| with_commands(program).map(move |(result, repeat)| (program, result, repeat)));
    for ((program, result, repeat), number) in all.zip(1..) {
        let failed = result
            .failure
            .as_ref()
            .map(|failure| (&*failure.message, super::failure_text(failure, program.files, repeat, false)));
        let failed = failed.as_ref().map(|(message, details)| (*message, &**details));
        text.push_str(&tap_result(number, program.name, &result.title, failed));
    }
    for (BrokenProgram { name, message, details }, number) in broken.iter().zip(tests + 1..) {
        text.push_str(&tap_result(number, name, COMPILES, Some((message, details))));
    }
    text
}

/// Returns the lines of one result; `failed` is the message and the details of a failure.
fn tap_result(number: usize, file: &str, title: &str, failed: Option<(&str, &str)>) -> String {
    let status = if failed.is_some() { "not ok" } else { "ok" };
    let description = format!("{file}: {title}");
    let description = description.replace('\\', "\\\\").replace('#', "\\#").replace('\n', " ");
    let mut text = format!("{status} {number} - {description}\n");
    if let Some((message, details)) = failed {
        let details: String = details.lines().map(|line| format!("    {line}\n")).collect();
        // A string of YAML, which JSON's strings are.
        let message = serde_json::Value::from(message);
        text.push_str(&format!("  ---\n  message: {message}\n  details: |2\n{details}  ...\n"));
    }
    text
}
