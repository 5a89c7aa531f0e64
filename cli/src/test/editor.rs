//! Tests that an editor runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use weir_compiler::{Analysis, SourceFiles, analyse};
use weir_lsp::{MissedPart, RanTests, RequestedTest};
use weir_plan::Value;
use weir_testing::report::{duration_text, failure_text};
use weir_testing::{Limits, RunSettings, TestProgram, TestResult, run_test};

use super::coverage::{missed_lines, not_reached};

/// The texts of a program's files, as the editor has them.
struct Texts<'t>(&'t BTreeMap<String, String>);

impl SourceFiles for Texts<'_> {
    fn read(&self, name: &str) -> Result<String, String> {
        self.0.get(name).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

/// The longest time that tests take in an editor.
const TIME_MAX: Duration = Duration::from_secs(60);

/// Runs a test, or all tests of a program, and returns the results in words, with the parts of the program that were not reached. Ends
/// when `cancelled` is set.
pub(crate) fn for_editor(requested: &RequestedTest, cancelled: &AtomicBool) -> RanTests {
    let RequestedTest { entry, texts, title, library, options } = requested;
    let analysed = |params: &BTreeMap<String, Value>| -> Analysis {
        let mut options = options.clone();
        options.constants.extend(params.clone());
        analyse(&Texts(texts), entry, library, &options)
    };
    let analysis = analysed(&BTreeMap::new());
    if analysis.has_errors() || !analysis.not_carried_out().is_empty() {
        return said(format!("{entry} has errors, or parts that this version can't carry out\n"));
    }
    let program = TestProgram::new(analysis, super::folder_of(entry), weir_stdlib::registry, analysed);
    let limits = Limits { until: Some(Instant::now() + TIME_MAX), cancelled: Some(cancelled) };
    let Some(title) = title else { return all_tests(&program, limits) };
    let Some(test) = program.tests().iter().find(|test| test.title == *title) else {
        return said(format!("there is no test {title:?}\n"));
    };
    let result = run_test(&program, test, RunSettings { trace: true, limits, ..RunSettings::default() });
    let mut text = result_text(&program, &result);
    text.push('\n');
    text.extend(result.trace.iter().map(|line| format!("{line}\n")));
    let missed = missed(&program, &result);
    if !missed.is_empty() {
        text.push_str(&format!("\nthis test has not reached\n{missed}"));
    }
    said(text)
}

fn said(text: String) -> RanTests {
    RanTests { text, missed: None }
}

/// Returns the result of a test in words.
fn result_text(program: &TestProgram<'_>, result: &TestResult) -> String {
    match &result.failure {
        None => format!("{}: ok ({})\n", result.title, duration_text(result.took)),
        Some(failure) => failure_text(failure, &program.analysis.files, "the lens of the test", false),
    }
}

/// Runs all tests. What they have not reached is known only if none was ended early.
fn all_tests(program: &TestProgram<'_>, limits: Limits<'_>) -> RanTests {
    let mut coverage = program.coverage();
    let mut text = String::new();
    for test in program.tests() {
        let result = run_test(program, test, RunSettings { limits, ..RunSettings::default() });
        text.push_str(&result_text(program, &result));
        coverage.add(&result.reached);
    }
    let is_late = limits.until.is_some_and(|until| Instant::now() >= until);
    let is_cancelled = limits.cancelled.is_some_and(|cancelled| cancelled.load(Ordering::Relaxed));
    if is_late || is_cancelled {
        return said(text);
    }
    let files = &program.analysis.files;
    let lines = missed_lines(&coverage, files);
    if !lines.is_empty() {
        text.push_str(&format!("\nthe tests have not reached\n{lines}"));
    }
    let missed = coverage.missed().into_iter().map(|(span, part)| MissedPart {
        file: files.name(span).to_owned(),
        bytes: span.start..span.end,
        what: not_reached(part),
    });
    RanTests { text, missed: Some(missed.collect()) }
}

/// Returns the parts of the program that a test has not reached, one on each line; none for a test of steps alone.
fn missed(program: &TestProgram<'_>, result: &TestResult) -> String {
    let mut coverage = program.coverage();
    coverage.add(&result.reached);
    if coverage.parts.values().all(|tests| *tests == 0) {
        return String::new();
    }
    missed_lines(&coverage, &program.analysis.files)
}
