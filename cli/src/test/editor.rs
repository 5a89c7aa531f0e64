//! A test that an editor runs.

use std::collections::BTreeMap;

use weir_compiler::{Analysis, SourceFiles, analyse};
use weir_lsp::RequestedTest;
use weir_plan::Value;
use weir_testing::report::{duration_text, failure_text};
use weir_testing::{RunSettings, TestProgram, run_test};

/// The texts of a program's files, as the editor has them.
struct Texts<'t>(&'t BTreeMap<String, String>);

impl SourceFiles for Texts<'_> {
    fn read(&self, name: &str) -> Result<String, String> {
        self.0.get(name).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

/// Runs a test, and returns its result in words.
pub(crate) fn for_editor(requested: &RequestedTest<'_>) -> String {
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
    let result = run_test(&program, test, RunSettings { trace: true, ..RunSettings::default() });
    let mut text = match &result.failure {
        None => format!("{title}: ok ({})\n", duration_text(result.took)),
        Some(failure) => failure_text(failure, &program.analysis.files, "the lens of the test", false),
    };
    text.push('\n');
    text.extend(result.trace.iter().map(|line| format!("{line}\n")));
    text
}
