//! Habits of other languages and tools, applied to the correct programs wherever they fit.
//!
//! Each changed program has exactly one error, at the line of the change; and if the error has a fix, the fixed program has the
//! plan of the original program, as `weir plan` shows it. A seed determines the selection: `HABITS_SEED=7 HABITS=100000` tries others.

use std::fmt::Write;

use weir_compiler::{Options, Severity, analyse, fix, lower};
use weir_plan::Plan;

use crate::fixtures::{Fixture, options_in};
use crate::right_programs;

/// The number of changed programs, unless `HABITS` sets it.
const HABITS: usize = 2_000;

/// A habit: the text that it replaces, and the foreign text.
struct Habit {
    name: &'static str,
    /// Returns the changed text for a place where the habit fits.
    apply: fn(&Site<'_>) -> Option<String>,
}

/// A place in a program: the line, and the place of a word or mark in it.
struct Site<'t> {
    line: &'t str,
    at: usize,
}

impl<'t> Site<'t> {
    fn rest(&self) -> &'t str {
        &self.line[self.at..]
    }

    fn before(&self) -> &'t str {
        &self.line[..self.at]
    }

    /// Returns the line with another text for the one at the place.
    fn with(&self, found: &str, replacement: &str) -> Option<String> {
        let after = self.rest().strip_prefix(found)?;
        Some(format!("{}{replacement}{after}", self.before()))
    }

    /// Returns whether the place is in a text or a comment.
    fn is_quoted(&self) -> bool {
        let before = self.before();
        before.contains("//") || before.matches('"').count() % 2 == 1
    }

    fn is_word_start(&self) -> bool {
        let is_of_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '@' | '`' | '.');
        !self.before().ends_with(is_of_word)
    }

    fn word(&self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        &rest[..end.unwrap_or(rest.len())]
    }

    fn is_first(&self) -> bool {
        self.before().trim().is_empty()
    }

    /// Returns the line with another word for the word at the place.
    fn word_with(&self, found: &str, replacement: &str) -> Option<String> {
        (self.is_word_start() && self.word() == found && !self.rest()[found.len()..].starts_with(':'))
            .then(|| self.with(found, replacement))
            .flatten()
    }
}

/// Words of items at the beginning of a line.
fn begins_item(site: &Site<'_>) -> bool {
    let words = ["source", "channel", "sink", "flow", "let", "param", "schema", "fn"];
    site.at == 0 && words.contains(&site.word()) && site.line[site.word().len()..].starts_with(' ')
}

/// The plain text in quotes at the place.
fn text<'t>(site: &Site<'t>) -> Option<&'t str> {
    let inner = site.rest().strip_prefix('"')?;
    let content = &inner[..inner.find('"')?];
    let opens = site.before().matches('"').count().is_multiple_of(2);
    (opens && !site.before().ends_with('r') && !content.contains(['\'', '\\', '{', '}'])).then_some(content)
}

const ALL: [Habit; 24] = [
    Habit { name: "hash comment", apply: |site| begins_item(site).then(|| format!("# note\n{}", site.line)) },
    Habit {
        name: "dash comment",
        apply: |site| begins_item(site).then(|| format!("-- note\n{}", site.line)),
    },
    Habit {
        name: "block comment",
        apply: |site| begins_item(site).then(|| format!("/* note */\n{}", site.line)),
    },
    Habit { name: "stray mark", apply: |site| begins_item(site).then(|| format!("- {}", site.line)) },
    Habit {
        name: "blank without a break",
        apply: |site| begins_item(site).then(|| site.line.replacen(' ', "\u{a0}", 1)),
    },
    Habit {
        name: "hash comment behind code",
        apply: |site| {
            let whole = site.at == 0 && !site.line.contains(['"', '/', '#']) && !site.line.trim().is_empty();
            whole.then(|| format!("{} # note", site.line))
        },
    },
    Habit {
        name: "semicolon",
        apply: |site| {
            let ends = site.line.ends_with('}') && site.at == 0 && !site.line.contains("//");
            ends.then(|| format!("{};", site.line))
        },
    },
    Habit {
        name: "single quotes",
        apply: |site| {
            text(site).and_then(|content| site.with(&format!("\"{content}\""), &format!("'{content}'")))
        },
    },
    Habit {
        name: "curly quotes",
        apply: |site| {
            text(site).and_then(|content| site.with(&format!("\"{content}\""), &format!("“{content}”")))
        },
    },
    Habit { name: "one character as arrow", apply: |site| site.with("-> ", "→ ") },
    Habit { name: "two dashes as arrow", apply: |site| site.with("-> ", "--> ").filter(|_| in_flow(site)) },
    Habit { name: "and as a mark", apply: |site| site.word_with("and", "&&").filter(|_| !site.is_first()) },
    Habit { name: "or as a mark", apply: |site| site.word_with("or", "||").filter(|_| !site.is_first()) },
    Habit {
        name: "and in capitals",
        apply: |site| site.word_with("and", "AND").filter(|_| !site.is_first()),
    },
    Habit { name: "or in capitals", apply: |site| site.word_with("or", "OR").filter(|_| !site.is_first()) },
    Habit {
        name: "not as a mark",
        apply: |site| {
            site.word_with("not", "!")
                .filter(|_| !site.before().ends_with("is ") && site.rest().starts_with("not "))
        },
    },
    Habit { name: "matches as a mark", apply: |site| site.word_with("matches", "=~") },
    Habit { name: "true in capitals", apply: |site| site.word_with("true", "True") },
    Habit {
        name: "filter",
        apply: |site| keep_if_with(site, "filter").map(|line| line.replacen("filter if", "filter", 1)),
    },
    Habit {
        name: "if as a step",
        apply: |site| keep_if_with(site, "").map(|line| line.replacen(" if ", "if ", 1)),
    },
    Habit {
        name: "elif",
        apply: |site| {
            site.word_with("else", "elif")
                .map(|line| line.replacen("elif if ", "elif ", 1))
                .filter(|_| site.rest().starts_with("else if "))
        },
    },
    Habit {
        name: "type of another language",
        apply: |site| {
            site.word_with("Text", "String")
                .filter(|_| site.before().ends_with(": ") && !site.line.contains('|'))
        },
    },
    Habit { name: "list in parentheses", apply: list_in_parentheses },
    Habit { name: "equals for a colon", apply: |site| site.with(": ", " = ").filter(|_| is_setting(site)) },
];

/// Writes another word for the `keep` of `keep if`, in a line that has no other `if`.
fn keep_if_with(site: &Site<'_>, word: &str) -> Option<String> {
    let fits = site.rest().starts_with("keep if ") && !site.line.contains(" then ");
    site.word_with("keep", word).filter(|_| fits)
}

/// `in [1, 2]` as `in (1, 2)`.
fn list_in_parentheses(site: &Site<'_>) -> Option<String> {
    let inner = site.rest().strip_prefix('[')?;
    let content = &inner[..inner.find(']')?];
    let fits = site.before().ends_with(" in ") && content.contains(',') && !content.contains(['[', '(', '"']);
    fits.then(|| site.with(&format!("[{content}]"), &format!("({content})"))).flatten()
}

/// Returns whether a line is one of a flow, by its look.
fn in_flow(site: &Site<'_>) -> bool {
    site.line.trim_start().starts_with("->")
}

/// Returns whether the line is a setting alone: `name: value`.
fn is_setting(site: &Site<'_>) -> bool {
    let name = site.before().trim();
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    is_name && site.line.starts_with("  ") && !site.line.ends_with(['{', ','])
}

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
