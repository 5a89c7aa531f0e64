//! A failure as text with the source, and with what was expected beside what came.

use codespan_reporting::diagnostic::{Diagnostic, Label};
use codespan_reporting::term::termcolor::{Ansi, NoColor};
use codespan_reporting::term::{self, Config};
use weir_compiler::Files;

use crate::outcome::{Compared, Difference, Failure, Marked};

/// The most characters of an expected event and one that came on one line.
const SIDE_BY_SIDE_MAX: usize = 110;
/// The most differing events that are shown.
const DIFFERING_MAX: usize = 20;

/// Returns the text of a failure. `repeat` is the command that repeats the run.
pub fn failure(failure: &Failure, files: &Files, repeat: &str, colours: bool) -> String {
    let labels = failure.labels.iter().enumerate().map(|(index, (span, text))| {
        let range = span.start as usize..span.end as usize;
        let label =
            if index == 0 { Label::primary(span.file, range) } else { Label::secondary(span.file, range) };
        label.with_message(text)
    });
    let mut notes = Vec::new();
    if !failure.comparison.is_empty() {
        notes.push(comparison(&failure.comparison));
    }
    notes.extend(failure.notes.iter().cloned());
    notes.push(format!("repeat: {repeat}"));
    let diagnostic =
        Diagnostic::error().with_message(&failure.message).with_labels(labels.collect()).with_notes(notes);
    let (mut bytes, config) = (Vec::new(), Config::default());
    let written = match colours {
        true => term::emit_to_write_style(&mut Ansi::new(&mut bytes), &config, files, &diagnostic),
        false => term::emit_to_write_style(&mut NoColor::new(&mut bytes), &config, files, &diagnostic),
    };
    if written.is_err() {
        bytes = format!("error: {}\n", failure.message).into_bytes();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the events that differ, side by side if they are short.
fn comparison(compared: &[Compared]) -> String {
    let same = compared.iter().filter(|line| line.difference == Difference::Same).count();
    let differing: Vec<&Compared> =
        compared.iter().filter(|line| line.difference != Difference::Same).collect();
    let shown = &differing[..differing.len().min(DIFFERING_MAX)];
    let length = |text: &Marked| text.text.chars().count();
    let left =
        shown.iter().map(|line| length(&line.expected)).max().unwrap_or_default().max("expected".len());
    let right = shown.iter().map(|line| length(&line.found)).max().unwrap_or_default();
    let mut lines = Vec::new();
    if left + right <= SIDE_BY_SIDE_MAX {
        lines.push(format!("  {:left$}   came", "expected"));
        for line in shown {
            lines.extend(beside(line, left));
        }
    } else {
        for line in shown {
            lines.extend(below(line));
        }
    }
    let more = differing.len() - shown.len();
    if more > 0 {
        lines.push(format!("and {more} more differ"));
    }
    if same > 0 {
        lines.push(format!("{same} as expected"));
    }
    lines.join("\n")
}

fn sign(difference: &Difference) -> char {
    match difference {
        Difference::Same => '=',
        Difference::In(_) => '~',
        Difference::Missing => '-',
        Difference::Unexpected => '+',
    }
}

fn beside(line: &Compared, left: usize) -> Vec<String> {
    let Compared { difference, expected, found } = line;
    let padding = left - expected.text.chars().count();
    let text = format!("{} {}{}   {}", sign(difference), expected.text, " ".repeat(padding), found.text);
    let (first, second) = (carets(expected), carets(found));
    if first.is_empty() && second.is_empty() {
        return vec![text.trim_end().to_owned()];
    }
    let marks = format!("  {first:left$}   {second}");
    vec![text.trim_end().to_owned(), marks.trim_end().to_owned()]
}

fn below(line: &Compared) -> Vec<String> {
    let mut lines = Vec::new();
    for (word, marked) in [("expected", &line.expected), ("came", &line.found)] {
        if marked.text.is_empty() {
            continue;
        }
        lines.push(format!("{} {word:8} {}", sign(&line.difference), marked.text));
        let carets = carets(marked);
        if !carets.is_empty() {
            lines.push(format!("  {:8} {carets}", ""));
        }
    }
    lines
}

/// Returns the line of `^` below a text.
fn carets(marked: &Marked) -> String {
    let end = marked.marks.iter().map(|mark| mark.end).max().unwrap_or_default();
    let is_marked = |place: usize| marked.marks.iter().any(|mark| mark.contains(&place));
    (0..end).map(|place| if is_marked(place) { '^' } else { ' ' }).collect()
}
