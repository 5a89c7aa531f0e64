//! Habits of other languages and tools, applied to the correct programs wherever they fit.
//!
//! Each changed program has exactly one error, at the line of the change; and if the error has a fix, the fixed program has the
//! plan of the original program, as `weir plan` shows it. A seed determines the selection: `HABITS_SEED=7 HABITS=100000` tries others.

use std::fmt::Write;

use weir_compiler::{Options, Severity, analyse, fix, lower};
use weir_plan::Plan;

use crate::fixtures::{Fixture, options_in};
use crate::right_programs;

mod forms;

use forms::{ALL, Site};

/// The number of changed programs, unless `HABITS` sets it.
const HABITS: usize = 2_000;

/// A changed program: the habit, the number of the changed line, and the text.
struct Changed {
    habit: &'static str,
    line: usize,
    text: String,
}

/// Returns every program that a habit makes of a text.
fn changed(text: &str) -> Vec<Changed> {
    let mut all = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        for (at, _) in line.char_indices() {
            let site = Site { line, at };
            if site.is_quoted() && !line[at..].starts_with('"') || site.before().contains("//") {
                continue;
            }
            for habit in &ALL {
                let Some(other) = (habit.apply)(&site).filter(|other| other != line) else { continue };
                let mut lines: Vec<&str> = lines.clone();
                lines[number] = &other;
                let text = format!("{}\n", lines.join("\n"));
                all.push(Changed { habit: habit.name, line: number + 1, text });
            }
        }
    }
    all
}

/// Checks a changed program.
///
/// # Errors
/// Returns the broken rule, in words.
fn check(
    fixture: &Fixture,
    library: &weir_compiler::Library,
    plan: &Plan,
    changed: &Changed,
) -> Result<bool, String> {
    let name = fixture.file_name();
    let other = Fixture { text: changed.text.clone(), expected: Vec::new(), ..fixture.clone() };
    let options: Options = options_in(&changed.text);
    let analysis = analyse(&other, &name, library, &options);
    let errors: Vec<_> =
        analysis.diagnostics.iter().filter(|diagnostic| diagnostic.severity() == Severity::Error).collect();
    let shown = || weir_compiler::render::short(&analysis.diagnostics, &analysis.files);
    let [error] = errors.as_slice() else { return Err(format!("{} errors:\n{}", errors.len(), shown())) };
    let description = error.describe();
    let line = analysis.files.positions(description.labels[0].span).0.line;
    if line.abs_diff(changed.line) > 1 {
        return Err(format!(
            "the error is at line {line}, the change at line {}:\n{}",
            changed.line,
            shown()
        ));
    }
    if description.fix.is_none() {
        return Ok(false);
    }
    let fixed = fix(&other, &name, library, &options);
    match lower(&fixed.analysis) {
        Some(fixed) if fixed.to_string() == plan.to_string() => Ok(true),
        Some(other) => {
            let (other, plan) = (other.to_string(), plan.to_string());
            let differs = other.lines().zip(plan.lines()).find(|(one, two)| one != two);
            Err(format!("the fix gives another plan: {differs:?}"))
        }
        None => Err(format!("the fix leaves errors:\n{:?}", fixed.texts.get(&name))),
    }
}

fn number_from(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().map_or(default, |value| value.parse().unwrap())
}

#[test]
fn a_habit_is_one_error_with_a_fix_that_means_the_same() {
    let (seed, count) = (number_from("HABITS_SEED", 1), number_from("HABITS", HABITS));
    let originals: Vec<_> = right_programs()
        .into_iter()
        .map(|fixture| (fixture.library(), lower(&fixture.check()).unwrap(), changed(&fixture.text), fixture))
        .collect();
    let programs: Vec<_> = originals
        .iter()
        .flat_map(|(library, plan, all, fixture)| {
            all.iter().map(move |changed| (fixture, library, plan, changed))
        })
        .collect();
    // A stride that visits programs and habits evenly.
    let stride = (programs.len() / count).max(1);
    let mut faults = String::new();
    let (mut seen, mut fixed) = (0, 0);
    for (fixture, library, plan, changed) in programs.iter().skip(seed % stride).step_by(stride) {
        seen += 1;
        match check(fixture, library, plan, changed) {
            Ok(has_fix) => fixed += usize::from(has_fix),
            Err(error) => {
                let name = &fixture.name;
                writeln!(faults, "{} in line {} of {name}: {error}\n", changed.habit, changed.line).unwrap();
            }
        }
    }
    println!("{} programs could be changed, {seen} were, {fixed} were fixed", programs.len());
    assert!(faults.is_empty(), "seed {seed}:\n{faults}");
    assert!(seen >= count.min(programs.len()), "only {seen} programs");
    assert!(fixed * 10 >= seen * 9, "only {fixed} of {seen} have a fix");
}
