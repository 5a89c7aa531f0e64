//! The code in help texts, followed to the letter: written into the program at its place, it makes the mistake go away.

use std::ops::Range;

use weir_compiler::{Analysis, Options, analyse};

use crate::fixtures::{Fixture, options_in};

/// The values that are written where a help text says `…`.
const VALUES: [&str; 7] = ["\"x\"", "1", "1.5", "false", "null", "1s", "reject"];

/// The replacement of a part of the text.
type Edit = (Range<usize>, String);

/// Returns the changes that a help text describes, of the forms that are known here; each has alternatives, of which one has
/// to help.
fn changes(text: &str, at: &Range<usize>, help: &str) -> Vec<(String, Vec<Vec<Edit>>)> {
    let codes = || help.split('`').skip(1).step_by(2);
    let steps: Vec<&str> = codes().filter(|code| code.starts_with("-> ") && is_step(code)).collect();
    let mut changes = Vec::new();
    if let Some(edits) = steps_before(text, at, &steps, help) {
        changes.push((steps.join(" "), vec![edits]));
    }
    for code in codes() {
        if let Some(condition) = code.strip_suffix(" and …") {
            changes.push((code.to_owned(), vec![vec![(at.start..at.start, format!("{condition} and "))]]));
        }
        let inner = code.strip_prefix('(').and_then(|code| code.strip_suffix(')')).unwrap_or(code);
        let written = inner.strip_suffix(" else …").or_else(|| inner.strip_suffix(" ?? …"));
        if let Some(place) = written.and_then(|written| around(text, at, written)) {
            let filled = VALUES.iter().map(|value| vec![(place.clone(), code.replace('…', value))]);
            changes.push((code.to_owned(), filled.collect()));
        }
    }
    changes
}

/// Returns whether code is a step, and not the end of a chain.
fn is_step(code: &str) -> bool {
    !matches!(code, "-> drop" | "-> some_sink")
}

/// Returns the place of an expression of which the marked place is a part.
fn around(text: &str, at: &Range<usize>, written: &str) -> Option<Range<usize>> {
    let found = text.match_indices(written).map(|(index, _)| index..index + written.len());
    found.filter(|place| place.start <= at.start && at.end <= place.end).last()
}

/// Writes steps before the step with the marked place. If they name the value there, the name takes its place.
fn steps_before(text: &str, at: &Range<usize>, steps: &[&str], help: &str) -> Option<Vec<Edit>> {
    let items = ["flow ", "interceptor ", "source ", "sink ", "channel ", "let ", "fn ", "test "];
    let of_item = |line: &&str| items.iter().any(|item| line.starts_with(item));
    // A value of a setting has no step before it in its text.
    text[..at.start]
        .lines()
        .rev()
        .find(of_item)
        .filter(|line| line.starts_with("flow ") || line.starts_with("interceptor "))?;
    let arrow = text[..at.start].rfind("->").filter(|_| !steps.is_empty())?;
    // The place of a syntax error is not the whole of what has to be replaced.
    if help.contains("a hole takes a name") {
        return None;
    }
    let mut edits = vec![(arrow..arrow, format!("{} ", steps.join(" ").replace('…', "x")))];
    let named = steps.iter().find_map(|step| step.strip_prefix("-> let ")?.split_once(" = "));
    if let Some((name, value)) = named
        && let Some(place) = around(text, at, value.split(" else ").next().unwrap_or(value))
    {
        edits.push((place, name.to_owned()));
    }
    let hole = help.split('`').skip(1).step_by(2).find(|code| code.starts_with('{') && code.ends_with('}'));
    if let (Some(hole), true) = (hole, text[at.clone()].starts_with('{')) {
        edits.push((at.clone(), hole.to_owned()));
    }
    Some(edits)
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
            let at = main.span.start as usize..main.span.end as usize;
            let all = described.help.iter().flat_map(|help| changes(&fixture.text, &at, help));
            for (shown, alternatives) in all {
                followed += 1;
                let helps = alternatives.iter().any(|edits| {
                    let mut changed = fixture.clone();
                    // The later places first, so that the earlier ones stay where they are.
                    for (place, written) in edits.iter().rev() {
                        changed.text.replace_range(place.clone(), written);
                    }
                    let after = analyse(&changed, &name, &library, &options);
                    let (code, message) = (diagnostic.code(), &described.message);
                    count(&after, code, message) < count(&before, code, message)
                        && after.diagnostics.len() <= before.diagnostics.len()
                });
                if !helps {
                    useless.push(format!("{name}: {}: `{shown}`", described.message));
                }
            }
        }
    }
    assert!(useless.is_empty(), "{}", useless.join("\n"));
    assert!(followed > 40, "only {followed} help texts have code of a known form");
}
