//! The output of `weir test`.

use weir_testing::TestResult;
use weir_testing::report::{BrokenProgram, ProgramResults, duration_text, failure_text, json, junit, tap};

use super::{Arguments, Named, TestFormat};
use crate::program::print;

/// Writes the results to standard output.
pub(super) fn write(
    programs: &[Named<'_>],
    results: &[Vec<TestResult>],
    broken: &[BrokenProgram],
    arguments: &Arguments,
) {
    let all: Vec<ProgramResults<'_>> = programs
        .iter()
        .zip(results)
        .filter(|(_, results)| !results.is_empty())
        .map(|(Named { path, program }, results)| ProgramResults {
            name: path,
            files: &program.analysis.files,
            results,
            repeat: results.iter().map(|result| repeat(path, result, arguments)).collect(),
        })
        .collect();
    match arguments.format {
        TestFormat::Human => print(&human(&all, broken, arguments)),
        TestFormat::Json => print(&json(&all, broken)),
        TestFormat::Junit => print(&junit(&all, broken)),
        TestFormat::Tap => print(&tap(&all, broken)),
    }
}

fn human(programs: &[ProgramResults<'_>], broken: &[BrokenProgram], arguments: &Arguments) -> String {
    let mut text = String::new();
    for program in programs {
        let failed = program.results.iter().filter(|result| result.failure.is_some()).count();
        let count = program.results.len();
        let name = program.name;
        match failed {
            0 => text.push_str(&format!("{name}: {}\n", counted(count, "passed"))),
            _ => text.push_str(&format!("{name}: {failed} of {} failed\n", tests(count))),
        }
        for (result, repeat) in program.results.iter().zip(&program.repeat) {
            text.push_str(&shown(program, result, repeat, arguments));
        }
    }
    for BrokenProgram { name, .. } in broken {
        text.push_str(&format!("{name}: no test has run, since the program has errors\n"));
    }
    let errors = match broken.len() {
        0 => String::new(),
        1 => "1 program has errors".to_owned(),
        count => format!("{count} programs have errors"),
    };
    if programs.is_empty() {
        return text + &errors + "\n";
    }
    let errors = if broken.is_empty() { errors } else { format!(", {errors}") };
    let results = || programs.iter().flat_map(|program| program.results);
    let (count, failed) = (results().count(), results().filter(|result| result.failure.is_some()).count());
    let advanced = results().map(|result| result.advanced).sum();
    let advanced = format!("{} of virtual time", duration_text(advanced));
    match failed {
        0 => text.push_str(&format!("{}{errors}, {advanced}\n", counted(count, "passed"))),
        _ => text.push_str(&format!("{failed} of {} failed{errors}, {advanced}\n", tests(count))),
    }
    text
}

/// Returns the lines of one test; empty if it has passed and is not listed.
fn shown(program: &ProgramResults<'_>, result: &TestResult, repeat: &str, arguments: &Arguments) -> String {
    let status = if result.failure.is_some() { "FAILED" } else { "ok" };
    let times = match result.advanced.is_zero() {
        true => duration_text(result.took),
        false => {
            format!("{}, {} of virtual time", duration_text(result.took), duration_text(result.advanced))
        }
    };
    let is_listed = arguments.verbose || arguments.trace || result.failure.is_some();
    let mut text = String::new();
    if is_listed {
        text.push_str(&format!("  {status:6} {} ({times})\n", result.title));
    }
    for file in &result.blessed {
        text.push_str(&format!("         wrote {file}\n"));
    }
    for line in &result.trace {
        text.push_str(&format!("         {line}\n"));
    }
    if let Some(failure) = &result.failure {
        let colours = arguments.colours.on_standard_output();
        text.push('\n');
        text.push_str(&failure_text(failure, program.files, repeat, colours));
        text.push('\n');
    }
    text
}

/// Returns the command that repeats a run.
fn repeat(program: &str, result: &TestResult, arguments: &Arguments) -> String {
    let title = quoted(&result.title);
    let faults = match arguments.faults {
        0 => String::new(),
        faults => format!(" --faults {faults}"),
    };
    format!("weir test {} --filter {title} --seed {}{faults} --trace", quoted(program), result.seed)
}

/// Quotes a text for a shell, if it needs quotes.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+=:,@%".contains(letter);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

fn tests(count: usize) -> String {
    format!("{count} test{}", if count == 1 { "" } else { "s" })
}

fn counted(count: usize, what: &str) -> String {
    let have = if count == 1 { "has" } else { "have" };
    format!("{} {have} {what}", tests(count))
}
