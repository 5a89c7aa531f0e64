//! The coverage of `weir test`.

use weir_compiler::Files;
use weir_testing::{Coverage, Part, TestResult};

use super::{Arguments, Named, TestFormat};
use crate::program::{print, print_error};

/// Writes what the tests have not reached, and the file of LCOV, if the arguments ask for them.
///
/// # Errors
/// When the file can't be written.
pub(super) fn write(
    programs: &[Named<'_>],
    results: &[Vec<TestResult>],
    arguments: &Arguments,
) -> Result<(), String> {
    if !arguments.coverage && arguments.lcov.is_none() {
        return Ok(());
    }
    let (mut text, mut lcov) = (String::new(), String::new());
    for (Named { path, program }, results) in programs.iter().zip(results) {
        let files = &program.analysis.files;
        let mut coverage = program.coverage();
        results.iter().for_each(|result| coverage.add(&result.reached));
        lcov.push_str(&coverage.lcov(files));
        let counts = [Part::Step, Part::Branch, Part::Rejection, Part::Rule].map(|part| {
            let (reached, all) = coverage.count(part);
            let plural = if part == Part::Branch { "branches" } else { &format!("{}s", part.in_words()) };
            (all > 0).then(|| format!("{reached} of {all} {plural}"))
        });
        let counts: Vec<String> = counts.into_iter().flatten().collect();
        if counts.is_empty() {
            continue;
        }
        text.push_str(&format!("{path}: tests have reached {}\n", counts.join(", ")));
        text.push_str(&missed_lines(&coverage, files));
    }
    if arguments.coverage {
        // The formats for machines are documents of their own.
        if arguments.format == TestFormat::Human { print(&text) } else { print_error(&text) }
    }
    if let Some(file) = &arguments.lcov {
        std::fs::write(file, lcov).map_err(|error| format!("can't write {}: {error}", file.display()))?;
    }
    Ok(())
}

/// Returns what has not happened at a part that no test has reached.
pub(super) fn not_reached(part: Part) -> &'static str {
    match part {
        Part::Step => "no event came to this step",
        Part::Branch => "no event took this branch",
        Part::Rejection => "no event was rejected here",
        Part::Rule => "no event broke this rule",
    }
}

/// Returns the parts of a program that no test has reached, one on each line.
pub(super) fn missed_lines(coverage: &Coverage, files: &Files) -> String {
    let mut text = String::new();
    for (span, part) in coverage.missed() {
        let (begin, _) = files.positions(span);
        let line = files.text(span).lines().next().unwrap_or_default();
        let what = not_reached(part);
        text.push_str(&format!("  {}:{}:{}: {what}: {line}\n", files.name(span), begin.line, begin.column));
    }
    text
}
