//! The language by example: every program under `tests/language` is checked against the real library.
//!
//! Programs in `right` have no diagnostics. Each program in `wrong` ends with its expected diagnostics
//! (`//~ E0203 4:3 capcity`: the code, and the line, column and text of the place), and has a snapshot of its
//! source and of the compiler's output. A file `name.library` beside `name.flow` adds signatures to the
//! library; `//! set name=value` sets the value of a param; imported files are in the folder `imported`.

// A test fails, by a panic, if it can't read its files.
#![allow(clippy::unwrap_used)]

mod access;
mod accidents;
mod advice;
mod analysis;
mod documents;
mod drawings;
mod expectations;
mod fixes;
mod fixtures;
mod formats;
mod generated;
mod graphs;
mod growth;
mod habits;
mod mutations;
mod pages;
mod prefixes;
mod proofs;
mod reference;

use weir_compiler::{lower, render};

use crate::fixtures::{Fixture, check_with, files, library_with, root};

/// Returns the correct programs: the fixtures and the examples.
fn right_programs() -> Vec<Fixture> {
    let mut programs = Fixture::all("right");
    programs.extend(files(&root().join("examples"), "flow").iter().map(|path| Fixture::read(path)));
    assert!(programs.len() > 2);
    programs
}

#[test]
fn right_programs_are_clean() {
    let mut faults = Vec::new();
    for program in right_programs() {
        let analysis = program.check();
        if !analysis.diagnostics.is_empty() {
            let said = render::human(&analysis.diagnostics, &analysis.files, false);
            faults.push(format!("{}\n{said}", program.name));
            continue;
        }
        let plan = lower(&analysis).unwrap();
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(program.library().plan_from_json(&json).unwrap(), plan, "a plan is its own JSON");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn plans_read_as_before() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("tests/language/plans"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for program in right_programs() {
        let plan = lower(&program.check()).unwrap().to_string();
        settings.bind(|| insta::assert_snapshot!(program.name, plan));
    }
}

#[test]
fn independent_mistakes_are_each_told_once() {
    let mistakes = [
        "source a = genrate {}",
        "source b = generate { count: -1 }",
        "channel c = memory { capacity: 10 000 }",
        "channel d = memory { capcity: 1_000_000 }",
        "sink e = files { path: \"x/{@timestamp:%J}\" }",
        "sink f = files { path: \"x }",
        "let g = 10 minutes",
        "sorce h = generate {}",
        "let i = 5parsecs",
        "flow j { a -> c -> e }",
        "flow k { b -> -> d }",
        "flow l { nobody -> f }",
        "param m: Duration = 30",
        "sink n = files {",
    ];
    let clean = "flow j { a -> c -> e }";
    let text = mistakes.join("\n");
    let analysis = check_with("mistakes.flow", &text, &library_with(None));
    let short = render::short(&analysis.diagnostics, &analysis.files);
    let mut lines: Vec<usize> =
        short.lines().map(|line| line.split(':').nth(1).unwrap().parse().unwrap()).collect();
    lines.sort_unstable();
    let expected: Vec<usize> =
        mistakes.iter().enumerate().filter(|(_, line)| **line != clean).map(|(at, _)| at + 1).collect();
    assert_eq!(lines, expected, "{short}");
}

#[test]
fn one_mistake_a_setting_is_one_error_a_setting() {
    let settings: Vec<String> = (0..50).map(|number| format!("  setting_{number} {number}")).collect();
    let text = format!("sink a = stdout {{\n{}\n}}\nflow b {{ c -> a }}\n", settings.join("\n"));
    let analysis = check_with("settings.flow", &text, &library_with(None));
    let syntax = analysis.diagnostics.iter().filter(|diagnostic| diagnostic.code() == "E0101").count();
    assert_eq!((syntax, analysis.diagnostics.len()), (50, 51));
}

#[test]
fn nesting_has_a_limit_and_long_things_have_none() {
    let library = library_with(None);
    let depths = ["[", "{ a: ", "(", "x { "];
    for open in depths {
        let text = format!("let a = {}\n", open.repeat(100_000));
        assert!(check_with("deep.flow", &text, &library).has_errors());
    }
    let sources = "source a = generate {}\nsink b = stdout {}\n";
    let long = format!(
        "{sources}flow c {{ a -> keep if {}@sequence == 1 -> b }}\n",
        "@sequence > 1 or ".repeat(20_000)
    );
    assert!(lower(&check_with("long.flow", &long, &library)).is_some());
    for endless in ["not ", "-", "1 + ", "not (", "if @sequence == 1 then 1 else "] {
        let text = format!("{sources}flow c {{ a -> keep if {}1 == 1 -> b }}\n", endless.repeat(100_000));
        assert!(check_with("endless.flow", &text, &library).has_errors(), "{endless}");
    }
}
