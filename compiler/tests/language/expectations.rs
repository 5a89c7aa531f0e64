//! The faulty programs: each ends with its expected diagnostics and their places.
//!
//! `EXPECTATIONS=write cargo test -p weir-compiler --test language` writes the current diagnostics of the compiler
//! behind each program. Review them before a commit: does each span cover the mistake?

use std::collections::BTreeSet;

use weir_compiler::diagnostics::REGISTRY;
use weir_compiler::{Analysis, Diagnostic, Library, lower, render};

use crate::fixtures::{Fixture, root};

/// Returns a diagnostic as an expectation: its code, and the start and the text of its first label.
fn expectation(diagnostic: &Diagnostic, analysis: &Analysis, fixture: &Fixture) -> String {
    let span = diagnostic.describe().labels[0].span;
    let (name, begin) = (analysis.files.name(span), analysis.files.positions(span).0);
    let file = if name == fixture.file_name() { String::new() } else { format!("{name}:") };
    let text = analysis.files.text(span).lines().next().unwrap_or_default();
    let shown = format!("{} {file}{}:{} {text}", diagnostic.code(), begin.line, begin.column);
    shown.trim_end().to_owned()
}

#[test]
fn wrong_programs_give_what_they_say() {
    let write = std::env::var_os("EXPECTATIONS").is_some_and(|value| value == "write");
    let mut faults = Vec::new();
    for fixture in Fixture::all("wrong") {
        let analysis = fixture.check();
        let found = analysis.diagnostics.iter();
        let found: Vec<String> =
            found.map(|diagnostic| expectation(diagnostic, &analysis, &fixture)).collect();
        if write {
            fixture.expect(&found);
        } else if found != fixture.expected {
            let (expected, found) = (fixture.expected.join("\n  "), found.join("\n  "));
            faults.push(format!("{}: expected\n  {expected}\nfound\n  {found}", fixture.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn wrong_programs_are_told_why() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("tests/language/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let fixtures = Fixture::all("wrong");
    assert!(fixtures.len() >= 90);
    for fixture in fixtures {
        let (name, analysis) = (&fixture.name, fixture.check());
        assert!(!analysis.diagnostics.is_empty(), "{name}: nothing is wrong");
        assert_eq!(
            lower(&analysis).is_none(),
            analysis.has_errors(),
            "{name}: a plan in spite of errors, or none without"
        );
        let human = render::human(&analysis.diagnostics, &analysis.files, false);
        let short = render::short(&analysis.diagnostics, &analysis.files);
        let fixed = fixture.fix().texts.into_iter();
        let fixed: String = fixed.map(|(name, text)| format!("\n{name}, fixed:\n\n{text}")).collect();
        let shown = format!("{}\n\n{}\n\n{short}{fixed}", fixture.text.trim_end(), human.trim_end());
        settings.bind(|| insta::assert_snapshot!(name.as_str(), shown));
    }
}

/// The typical mistakes of users of Flume; each has its own program.
const FLUME_MISTAKES: [&str; 12] = [
    "flume_batch_above_transaction",
    "flume_cycle",
    "flume_header_that_no_event_has",
    "flume_malformed_regex",
    "flume_misspelt_capacity",
    "flume_missing_unit",
    "flume_negative_number",
    "flume_sink_without_channel",
    "flume_transaction_above_capacity",
    "flume_two_sources_on_one_port",
    "flume_undefined_channel",
    "flume_unknown_kind",
];

#[test]
fn the_mistakes_of_flume_are_one_error_each_with_a_way_out() {
    let fixtures = Fixture::all("wrong").into_iter().filter(|fixture| fixture.name.starts_with("flume_"));
    let fixtures: Vec<Fixture> = fixtures.collect();
    let names: BTreeSet<&str> = fixtures.iter().map(|fixture| fixture.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(FLUME_MISTAKES));
    for fixture in &fixtures {
        let analysis = fixture.check();
        let [only] = analysis.diagnostics.as_slice() else {
            panic!("{}: {:?}", fixture.name, analysis.diagnostics)
        };
        let description = only.describe();
        assert!(analysis.has_errors(), "{}: only a warning", fixture.name);
        assert!(description.fix.is_some() || !description.help.is_empty(), "{}: no way out", fixture.name);
    }
}

#[test]
fn every_code_has_a_program_that_shows_it_alone() {
    let mut shown: BTreeSet<String> = BTreeSet::new();
    for fixture in Fixture::all("wrong") {
        if let [only] = fixture.check().diagnostics.as_slice() {
            shown.insert(only.code().to_owned());
        }
    }
    // No program shows that a server can't be reached.
    let is_unseen = |code: &str| !shown.contains(code) && code != "E0003";
    let unseen: Vec<_> = REGISTRY.iter().filter(|(code, ..)| is_unseen(code)).collect();
    assert!(unseen.is_empty(), "no program shows {unseen:?} alone");
}

#[test]
fn mistakes_in_the_library_are_diagnostics_too() {
    let error = Library::parse([("wrong.flow", "extern sink a: plain { b: Txt }")]).unwrap_err();
    let codes: Vec<_> = error.diagnostics.iter().map(Diagnostic::code).collect();
    assert_eq!(codes, ["E0209"]);
}
