//! Fuzzing: for every text, no target panics or hangs, and all places are inside of the text.
//!
//! Each run of the tests tries each target with thousands of texts; `PROPTEST_CASES=1000000` (CONTRIBUTING.md) sets
//! another number. A failing text is reduced before it is shown.

use std::fs;

use proptest::prelude::*;
use weir_compiler::{Analysis, Diagnostic, Library, fix, lower, render};
use weir_grammar::{FileId, Span, parse};

use crate::fixtures::{check_with, files, library_with, options_in, root};

/// The number of texts for each target, unless `PROPTEST_CASES` sets it.
const CASES: u32 = 3_000;

/// Pieces of programs, which take a random text further than its first word.
const PIECES: [&str; 64] = [
    "source ",
    "channel ",
    "sink ",
    "flow ",
    "param ",
    "let ",
    "import ",
    "schema ",
    "test ",
    "extern ",
    "enum ",
    "record ",
    "a",
    "b",
    "clicks",
    "generate",
    "memory",
    "stdout",
    "files",
    "kafka",
    " = ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ", ",
    "\n",
    " -> ",
    " => ",
    "copy ",
    "match ",
    "keep if ",
    "drop if ",
    "parse json as ",
    "else ",
    "reject",
    "set ",
    "optional ",
    "delivers ",
    "at_least_once",
    "because ",
    "and ",
    "or ",
    "not ",
    " is null",
    " is not null",
    " == ",
    " < ",
    "@timestamp",
    "@key",
    "\"",
    "r\"",
    "{@host}",
    "{{",
    "5",
    "5s",
    "10MiB/s",
    "-",
    "//",
    "`",
    "é🦀",
];

/// A random change of the text of a real program.
#[derive(Debug, Clone)]
struct Accident {
    kind: u8,
    at: prop::sample::Index,
    other: prop::sample::Index,
}

impl Accident {
    fn happen_to(&self, text: &str) -> String {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut tokens: Vec<&str> = text.split_inclusive(|letter: char| !letter.is_alphanumeric()).collect();
        if tokens.is_empty() {
            return text.to_owned();
        }
        let token = |index: &prop::sample::Index| index.index(tokens.len());
        let (at, other) = (token(&self.at), token(&self.other));
        match self.kind {
            0 => {
                tokens.remove(at);
                tokens.concat()
            }
            1 => {
                tokens.swap(at, other);
                tokens.concat()
            }
            2 => {
                tokens.insert(at, tokens[other]);
                tokens.concat()
            }
            3 => {
                lines.remove(self.at.index(lines.len()));
                lines.concat()
            }
            4 => {
                let (first, second) = (self.at.index(lines.len()), self.other.index(lines.len()));
                lines.swap(first, second);
                lines.concat()
            }
            5 => text.chars().take(self.at.index(text.len())).collect(),
            _ => {
                tokens.insert(at, PIECES[self.other.index(PIECES.len())]);
                tokens.concat()
            }
        }
    }
}

fn accident() -> impl Strategy<Value = Accident> {
    let place = any::<prop::sample::Index>;
    (0_u8..7, place(), place()).prop_map(|(kind, at, other)| Accident { kind, at, other })
}

thread_local! {
    static LIBRARY: Library = library_with(None);
    static PROGRAMS: Vec<String> = {
        let mut programs = files(&root().join("tests/language"), "flow");
        programs.extend(files(&root().join("examples"), "flow"));
        programs.into_iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    };
}

/// Returns the strategy for texts: programs after accidents, pieces in any order, and random text.
fn text() -> impl Strategy<Value = String> {
    let program = (any::<prop::sample::Index>(), prop::collection::vec(accident(), 1..4));
    let damaged = program.prop_map(|(program, accidents)| {
        let text = PROGRAMS.with(|programs| program.get(programs).clone());
        accidents.iter().fold(text, |text, accident| accident.happen_to(&text))
    });
    let pieces = prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60);
    let bytes = prop::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        6 => damaged,
        3 => pieces.prop_map(|pieces| pieces.concat()),
        1 => bytes.prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ]
}

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { CASES };
    ProptestConfig { cases, failure_persistence: None, ..default }
}

fn syntax_errors(analysis: &Analysis) -> usize {
    analysis.diagnostics.iter().map(Diagnostic::code).filter(|code| code.starts_with("E01")).count()
}

fn is_in(span: Span, text: &str) -> bool {
    text.get(span.start as usize..span.end as usize).is_some()
}

/// Texts that made a panic, or an error whose span was within a character.
const ONCE_WRONG: [&str; 4] = [
    "sink lake = files { path: “}lake” }\n",
    "sink lake = files { path: \"lake/{@timestamp:%é🦀Y\" }\n",
    "flow main { clicks -> if é🦀status >= 500 { bad } else { lake } }\n",
    "flow main {\n  clicks -> if {>= 500 status  bad } else { lake }\n}\n",
];

#[test]
fn texts_that_were_read_wrongly_are_read() {
    for text in ONCE_WRONG {
        let errors = parse(FileId(0), text).errors;
        assert!(!errors.is_empty(), "{text}");
        assert!(errors.iter().all(|error| is_in(error.span, text)), "{text}: {errors:?}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn parse_takes_any_text(text in text()) {
        for error in parse(FileId(0), &text).errors {
            prop_assert!(is_in(error.span, &text), "{:?}", error);
        }
    }

    #[test]
    fn check_takes_any_text(text in text()) {
        LIBRARY.with(|library| {
            let analysis = check_with("a.flow", &text, library);
            prop_assert_eq!(lower(&analysis).is_none(), analysis.has_errors());
            for diagnostic in &analysis.diagnostics {
                let description = diagnostic.describe();
                prop_assert!(!description.labels.is_empty(), "{}", diagnostic.code());
                for label in description.labels {
                    let file = analysis.files.get(label.span.file);
                    prop_assert!(file.is_some_and(|file| is_in(label.span, &file.text)), "{:?}", diagnostic);
                }
            }
            let programs = [(&*analysis.diagnostics, &analysis.files)];
            render::human(programs[0].0, programs[0].1, true);
            let short = render::short(programs[0].0, programs[0].1);
            prop_assert_eq!(short.lines().count(), analysis.diagnostics.len());
            render::json(programs);
            render::sarif(programs, library);
            Ok(())
        })?;
    }

    #[test]
    fn fix_takes_any_text(text in text()) {
        LIBRARY.with(|library| {
            let options = options_in(&text);
            let before = check_with("a.flow", &text, library);
            let fixed = fix(&("a.flow", text.as_str()), "a.flow", library, &options);
            prop_assert!(syntax_errors(&fixed.analysis) <= syntax_errors(&before));
            prop_assert_eq!(fixed.texts.is_empty(), fixed.changes.is_empty());
            if let Some(after) = fixed.texts.get("a.flow") {
                let again = check_with("a.flow", after, library);
                prop_assert_eq!(&again.diagnostics, &fixed.analysis.diagnostics);
            }
            Ok(())
        })?;
    }
}
