//! The code in help texts, followed to the letter: written into the program at its place, it makes the mistake go away.

use weir_compiler::{Analysis, Options, analyse};

use crate::fixtures::{Fixture, options_in};

/// The values that are written where a help text says `…`.
const VALUES: [&str; 7] = ["\"x\"", "1", "1.5", "false", "null", "1s", "reject"];

/// A change that a help text describes: at these bytes, write one of the texts.
struct Change {
    start: usize,
    end: usize,
    texts: Vec<String>,
}

/// Returns the changes that a help text describes, of the forms that are written here.
fn changes(text: &str, at: (usize, usize), code: &str) -> Option<Change> {
    let (start, end) = at;
    if code.starts_with("-> ") && !code.contains("some_sink") {
        let step = text[..start].rfind("->")?;
        return Some(Change {
            start: step, end: step, texts: vec![format!("{} ", code.replace('…', "x"))]
        });
    }
    if let Some(condition) = code.strip_suffix(" and …") {
        return Some(Change { start, end: start, texts: vec![format!("{condition} and ")] });
    }
    let inner = code.strip_prefix('(').and_then(|code| code.strip_suffix(')')).unwrap_or(code);
    let written = inner.strip_suffix(" else …").or_else(|| inner.strip_suffix(" ?? …"))?;
    // The place marks a part of the expression, or all of it.
    let found = text.match_indices(written).map(|(index, _)| (index, index + written.len()));
    let (start, end) = found.filter(|(from, to)| *from <= start && end <= *to).last()?;
    Some(Change { start, end, texts: VALUES.iter().map(|value| code.replace('…', value)).collect() })
}

/// Returns how often a diagnostic is there.
fn count(analysis: &Analysis, code: &str, message: &str) -> usize {
    let same = |code_there: &str, message_there: &str| code_there == code && message_there == message;
    analysis.diagnostics.iter().filter(|there| same(there.code(), &there.describe().message)).count()
}

#[test]
fn the_code_in_help_texts_helps() {
    let (mut followed, mut useless) = (0, Vec::new());
    for fixture in Fixture::all("wrong") {
        let (name, library, before) = (fixture.file_name(), fixture.library(), fixture.check());
        let options: Options = options_in(&fixture.text);
        for diagnostic in &before.diagnostics {
            let described = diagnostic.describe();
            let main = described.labels.first().filter(|main| before.files.name(main.span) == name);
            let Some(main) = main else { continue };
            let at = (main.span.start as usize, main.span.end as usize);
            for code in described.help.iter().flat_map(|help| help.split('`').skip(1).step_by(2)) {
                let Some(change) = changes(&fixture.text, at, code) else { continue };
                followed += 1;
                let helps = change.texts.iter().any(|written| {
                    let mut changed = fixture.clone();
                    changed.text.replace_range(change.start..change.end, written);
                    let after = analyse(&changed, &name, &library, &options);
                    let (code, message) = (diagnostic.code(), &described.message);
                    count(&after, code, message) < count(&before, code, message)
                        && after.diagnostics.len() <= before.diagnostics.len()
                });
                if !helps {
                    useless.push(format!("{name}: {}: `{code}`", described.message));
                }
            }
        }
    }
    assert!(useless.is_empty(), "{}", useless.join("\n"));
    assert!(followed > 40, "only {followed} help texts have code of a known form");
}
