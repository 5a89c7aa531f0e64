//! Fixes: they correct the program, and they change nothing else.

use std::collections::BTreeSet;

use weir_compiler::{Analysis, Diagnostic, Options, analyse, fix, lower, render};

use crate::fixtures::{Fixture, library_with};

/// Returns the mistakes with a fix.
fn fixable(analysis: &Analysis, own: &str) -> BTreeSet<String> {
    let offered = analysis.diagnostics.iter().filter(|diagnostic| {
        let fix = diagnostic.describe().fix;
        fix.is_some_and(|fix| fix.edits.iter().all(|edit| analysis.files.name(edit.span) == own))
    });
    offered.map(|diagnostic| format!("{} {}", diagnostic.code(), diagnostic.describe().message)).collect()
}

#[test]
fn fixes_make_their_mistakes_go_away() {
    let mut seen = 0;
    for fixture in Fixture::all("wrong") {
        let (name, before, fixed) = (fixture.file_name(), fixture.check(), fixture.fix());
        let (offered, left) = (fixable(&before, &name), fixable(&fixed.analysis, &name));
        seen += offered.len();
        assert!(left.is_empty(), "{name}: still to be fixed: {left:?}");
        assert_eq!(offered.is_empty(), fixed.changes.is_empty(), "{name}: {:?}", fixed.changes);
        assert_eq!(offered.is_empty(), fixed.texts.is_empty(), "{name}");
        let said = render::human(&fixed.analysis.diagnostics, &fixed.analysis.files, false);
        assert!(
            fixed.analysis.diagnostics.len() + offered.len() <= before.diagnostics.len(),
            "{name}\n{said}"
        );
        assert!(fixed.texts.keys().all(|file| *file == name), "{name}: {:?}", fixed.texts);
    }
    assert!(seen > 20, "only {seen} mistakes have fixes");
}

const PROGRAM: &str = "source logs = genrate { evry: 30ms } // ä\r\nsink out = stdout {}\r\n\r\n\
                       flow Main { logs -> out }";

#[test]
fn what_a_fix_uncovers_is_fixed_as_well_and_other_bytes_stay() {
    let fixed = fix(&("a.flow", PROGRAM), "a.flow", &library_with(None), &Options::default());
    let expected = PROGRAM.replace("genrate", "generate").replace("evry", "every").replace("Main", "main");
    assert_eq!(fixed.texts.get("a.flow"), Some(&expected));
    assert!(lower(&fixed.analysis).is_some());
    let changes: Vec<String> = fixed
        .changes
        .iter()
        .map(|change| format!("{}:{} {}", change.file, change.line, change.title))
        .collect();
    assert_eq!(changes, ["a.flow:1 write `generate`", "a.flow:1 write `every`", "a.flow:4 write `main`"]);
}

#[test]
fn values_from_outside_are_left_alone() {
    let text = "param count: Int = 10\nsource a = generate { count: count }\nsink b = stdout {}\nflow c { a -> b }\n";
    let options = Options { params: [("count".to_owned(), "\"5\"".to_owned())].into(), ..Options::default() };
    let library = library_with(None);
    let analysis = analyse(&("a.flow", text), "a.flow", &library, &options);
    assert!(analysis.diagnostics.iter().any(|diagnostic| diagnostic.describe().fix.is_some()));
    let fixed = fix(&("a.flow", text), "a.flow", &library, &options);
    assert!(fixed.texts.is_empty() && fixed.changes.is_empty());
}

#[test]
fn a_fix_that_would_break_the_syntax_is_not_made() {
    // The fix of `snk` would make the second item readable and so uncover the syntax errors inside of it.
    let text = "source a = generate {}\nsnk b = stdout { path 5\n size 7\n age 8 }\nflow Main { a -> b }\n";
    let fixed = fix(&("a.flow", text), "a.flow", &library_with(None), &Options::default());
    assert_eq!(fixed.texts.get("a.flow"), Some(&text.replace("Main", "main")));
    let codes: Vec<&str> = fixed.analysis.diagnostics.iter().map(Diagnostic::code).collect();
    assert_eq!(codes, ["E0106"]);
}
