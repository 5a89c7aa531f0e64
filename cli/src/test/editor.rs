//! A test that an editor runs.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use weir_compiler::{Analysis, SourceFiles, analyse};
use weir_lsp::RequestedTest;
use weir_plan::Value;
use weir_testing::report::{duration_text, failure_text};
use weir_testing::{Limits, RunSettings, TestProgram, TestResult, run_test};

use super::coverage::missed_lines;

/// The texts of a program's files, as the editor has them.
struct Texts<'t>(&'t BTreeMap<String, String>);

impl SourceFiles for Texts<'_> {
    fn read(&self, name: &str) -> Result<String, String> {
        self.0.get(name).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

/// The longest time that a test takes in an editor.
const TIME_MAX: Duration = Duration::from_secs(60);

/// Runs a test, and returns its result in words, with the parts of the program that it has not reached. It ends when `cancelled` is
/// set.
pub(crate) fn for_editor(requested: &RequestedTest, cancelled: &AtomicBool) -> String {
    let RequestedTest { entry, texts, title, library, options } = requested;
    let analysed = |params: &BTreeMap<String, Value>| -> Analysis {
        let mut options = options.clone();
        options.constants.extend(params.clone());
        analyse(&Texts(texts), entry, library, &options)
    };
    let analysis = analysed(&BTreeMap::new());
    if analysis.has_errors() || !analysis.not_carried_out().is_empty() {
        return format!("{entry} has errors, or parts that this version can't carry out\n");
    }
    let program = TestProgram::new(analysis, super::folder_of(entry), weir_stdlib::registry, analysed);
    let Some(test) = program.tests().iter().find(|test| test.title == *title) else {
        return format!("there is no test {title:?}\n");
    };
    let limits = Limits { until: Some(Instant::now() + TIME_MAX), cancelled: Some(cancelled) };
    let result = run_test(&program, test, RunSettings { trace: true, limits, ..RunSettings::default() });
    let mut text = match &result.failure {
        None => format!("{title}: ok ({})\n", duration_text(result.took)),
        Some(failure) => failure_text(failure, &program.analysis.files, "the lens of the test", false),
    };
    text.push('\n');
    text.extend(result.trace.iter().map(|line| format!("{line}\n")));
    let missed = missed(&program, &result);
    if !missed.is_empty() {
        text.push_str(&format!("\nthis test has not reached\n{missed}"));
    }
    text
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
