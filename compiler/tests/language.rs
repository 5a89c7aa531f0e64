//! The language by example: every program under `tests/language` is checked against the real library.
//!
//! Programs in `right` are clean. Each of those in `wrong` has a snapshot of its source and of what the
//! compiler says about it. A file `name.library` beside `name.flow` adds signatures that the library
//! doesn't have.

// A test that can't read its files has failed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use weir_compiler::diagnostics::REGISTRY;
use weir_compiler::{Compiled, Library, Options, SourceFiles, compile, render};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files below a folder whose names end so, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    let paths = entries.map(walkdir::DirEntry::into_path);
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

fn library_with(more: Option<&Path>) -> Library {
    let mut signatures = Vec::new();
    for path in files(&root().join("stdlib/src"), "flow") {
        let name = format!("library/{}", path.file_name().unwrap().to_string_lossy());
        signatures.push((name, fs::read_to_string(path).unwrap()));
    }
    if let Some(path) = more.filter(|path| path.exists()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        signatures.push((name, fs::read_to_string(path).unwrap()));
    }
    Library::parse(signatures)
        .unwrap_or_else(|error| panic!("{}", render::human(&error.diagnostics, &error.files, false)))
}

/// Checks a text. `//! set name=value` lines give params their values.
fn check_with(name: &str, text: &str, library: &Library) -> Compiled {
    let mut options = Options::default();
    for line in text.lines() {
        if let Some((name, value)) = line.strip_prefix("//! set ").and_then(|line| line.split_once('=')) {
            options.params.insert(name.to_owned(), value.to_owned());
        }
    }
    compile(&(name, text), name, library, &options)
}

fn check_file(path: &Path) -> (String, Compiled) {
    let text = fs::read_to_string(path).unwrap();
    let library = library_with(Some(&path.with_extension("library")));
    let name = path.file_name().unwrap().to_string_lossy();
    let compiled = check_with(&name, &text, &library);
    (text, compiled)
}

#[test]
fn right_programs_are_clean() {
    let mut programs = files(&root().join("tests/language/right"), "flow");
    programs.extend(files(&root().join("examples"), "flow"));
    assert!(programs.len() > 2);
    for path in programs {
        let (_, compiled) = check_file(&path);
        let said = render::human(&compiled.diagnostics, &compiled.files, false);
        assert!(compiled.diagnostics.is_empty(), "{}\n{said}", path.display());
        let plan = compiled.plan.unwrap();
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(weir_plan::Plan::from_json(&json).unwrap(), plan, "a plan is its own JSON");
    }
}

#[test]
fn plans_read_as_before() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("tests/language/plans"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut programs = files(&root().join("tests/language/right"), "flow");
    programs.extend(files(&root().join("examples"), "flow"));
    for path in programs {
        let (_, compiled) = check_file(&path);
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        settings.bind(|| insta::assert_snapshot!(name, compiled.plan.unwrap().to_string()));
    }
}

#[test]
fn wrong_programs_are_told_why() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("tests/language/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let programs = files(&root().join("tests/language/wrong"), "flow");
    assert!(programs.len() >= 30);
    for path in programs {
        let (text, compiled) = check_file(&path);
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!compiled.diagnostics.is_empty(), "{name}: nothing is wrong");
        assert_eq!(
            compiled.plan.is_none(),
            compiled.has_errors(),
            "{name}: a plan in spite of errors, or none without"
        );
        let human = render::human(&compiled.diagnostics, &compiled.files, false);
        let short = render::short(&compiled.diagnostics, &compiled.files);
        let shown = format!("{}\n\n{}\n\n{short}", text.trim_end(), human.trim_end());
        settings.bind(|| insta::assert_snapshot!(name, shown));
    }
}

#[test]
fn every_code_has_a_program_that_shows_it() {
    let programs = files(&root().join("tests/language/wrong"), "flow");
    let mut shown: BTreeSet<&str> = BTreeSet::new();
    for path in programs {
        let (_, compiled) = check_file(&path);
        shown.extend(compiled.diagnostics.iter().map(|diagnostic| diagnostic.code()));
    }
    let missing = compile(&NoFiles, "missing.flow", &library_with(None), &Options::default());
    shown.extend(missing.diagnostics.iter().map(|diagnostic| diagnostic.code()));
    let library = Library::parse([("wrong.flow", "extern sink a: plain { b: Txt }")]).unwrap_err();
    shown.extend(library.diagnostics.iter().map(|diagnostic| diagnostic.code()));
    let unseen: Vec<_> = REGISTRY.iter().filter(|(code, ..)| !shown.contains(code)).collect();
    assert!(unseen.is_empty(), "no program shows {unseen:?}");
}

struct NoFiles;

impl SourceFiles for NoFiles {
    fn read(&self, _: &str) -> Result<String, String> {
        Err("no such file".to_owned())
    }
}

#[test]
fn fixes_make_programs_right() {
    for path in files(&root().join("tests/language/wrong"), "flow") {
        let (text, compiled) = check_file(&path);
        let own = |name: &str| path.file_name().unwrap().to_string_lossy() == name;
        let fixes = compiled.diagnostics.iter().map(|diagnostic| diagnostic.describe().fix);
        let Some(fixes) = fixes.collect::<Option<Vec<_>>>() else { continue };
        let mut fixed = text.clone();
        for fix in fixes.iter().rev().filter(|fix| own(compiled.files.name(fix.span))) {
            fixed.replace_range(fix.span.start as usize..fix.span.end as usize, &fix.replacement);
        }
        let library = library_with(Some(&path.with_extension("library")));
        let again = check_with("fixed.flow", &fixed, &library);
        let said = render::human(&again.diagnostics, &again.files, false);
        assert!(again.diagnostics.is_empty(), "{}: fixed, it is still wrong\n{said}", path.display());
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
        "import \"x.flow\"",
        "param m: Duration = 30",
        "sink n = files {",
    ];
    let clean = "flow j { a -> c -> e }";
    let text = mistakes.join("\n");
    let compiled = check_with("mistakes.flow", &text, &library_with(None));
    let short = render::short(&compiled.diagnostics, &compiled.files);
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
    let compiled = check_with("settings.flow", &text, &library_with(None));
    let syntax = compiled.diagnostics.iter().filter(|diagnostic| diagnostic.code() == "E0101").count();
    assert_eq!((syntax, compiled.diagnostics.len()), (50, 51));
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
    assert!(check_with("long.flow", &long, &library).plan.is_some());
    let nots =
        format!("{sources}flow c {{ a -> keep if {}(@sequence == 1) -> b }}\n", "not ".repeat(100_000));
    assert!(check_with("nots.flow", &nots, &library).plan.is_some());
}

/// A program after a small accident.
fn mutated(text: &str, kind: u8, at: usize, other: usize) -> String {
    let mut tokens: Vec<&str> = text.split_inclusive(|letter: char| !letter.is_alphanumeric()).collect();
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    match kind {
        0 => {
            tokens.remove(at % tokens.len());
            tokens.concat()
        }
        1 => {
            let (first, second) = (at % tokens.len(), other % tokens.len());
            tokens.swap(first, second);
            tokens.concat()
        }
        2 => {
            lines.remove(at % lines.len());
            lines.concat()
        }
        3 => {
            let (first, second) = (at % lines.len(), other % lines.len());
            lines.swap(first, second);
            lines.concat()
        }
        4 => {
            let mut end = at % (text.len() + 1);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text[..end].to_owned()
        }
        _ => {
            let token = tokens[other % tokens.len()];
            tokens.insert(at % tokens.len(), token);
            tokens.concat()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(program in any::<prop::sample::Index>(), kind in 0_u8..6, at: usize, other: usize) {
        thread_local! {
            static PROGRAMS: (Library, Vec<String>) = {
                let mut programs = files(&root().join("tests/language"), "flow");
                programs.extend(files(&root().join("examples"), "flow"));
                let texts = programs.into_iter().map(|path| fs::read_to_string(path).unwrap());
                (library_with(None), texts.collect())
            };
        }
        PROGRAMS.with(|(library, programs)| {
            let text = mutated(program.get::<String>(programs), kind, at, other);
            let compiled = check_with("mutated.flow", &text, library);
            render::human(&compiled.diagnostics, &compiled.files, true);
            render::json(&compiled.diagnostics, &compiled.files);
            assert_eq!(compiled.plan.is_none(), compiled.has_errors());
        });
    }
}
