//! Diagnostics in the formats of code hosts: annotations of GitHub Actions, and the code quality report of GitLab.

use serde::Serialize;

use crate::diagnostics::{Description, Diagnostic, Severity};
use crate::files::sources::Files;

/// Renders one workflow command of GitHub Actions for each diagnostic, which becomes an annotation of the changed lines.
///
/// Format: `::error file=a.flow,line=1,endLine=1,col=5,endColumn=9,title=E0203::message`, from "Workflow commands for GitHub
/// Actions".
pub fn github(diagnostics: &[Diagnostic], files: &Files) -> String {
    diagnostics.iter().map(|diagnostic| annotation(diagnostic, files) + "\n").collect()
}

fn annotation(diagnostic: &Diagnostic, files: &Files) -> String {
    let Description { message, labels, help, .. } = diagnostic.describe();
    let level = match diagnostic.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = labels.first().map(|label| {
        let (start, end) = files.positions(label.span);
        let name = property(files.name(label.span));
        // GitHub marks columns only within one line.
        let columns = match start.line == end.line {
            true => format!(",col={},endColumn={}", start.column, end.column),
            false => String::new(),
        };
        format!("file={name},line={},endLine={}{columns},", start.line, end.line)
    });
    let lines = std::iter::once(message).chain(help.into_iter().map(|help| format!("help: {help}")));
    let text: Vec<String> = lines.collect();
    let (place, code) = (place.unwrap_or_default(), diagnostic.code());
    format!("::{level} {place}title={code}::{}", data(&text.join("\n")))
}

/// Escapes the text of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// One finding of GitLab's code quality report.
#[derive(Serialize)]
struct Finding<'d> {
    description: String,
    check_name: &'static str,
    fingerprint: String,
    severity: &'static str,
    location: Location<'d>,
}

#[derive(Serialize)]
struct Location<'d> {
    path: &'d str,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: usize,
}

/// Renders the diagnostics of all programs as a code quality report of GitLab: one JSON array.
///
/// The fingerprint of a finding stays the same when lines are added above it.
pub fn gitlab<'d>(programs: impl IntoIterator<Item = (&'d [Diagnostic], &'d Files)>) -> String {
    let mut findings: Vec<Finding<'_>> = Vec::new();
    for (diagnostics, files) in programs {
        for diagnostic in diagnostics {
            let finding =
                finding(diagnostic, files, findings.iter().map(|finding| finding.fingerprint.as_str()));
            findings.push(finding);
        }
    }
    // Text and numbers always have a JSON form.
    serde_json::to_string_pretty(&findings).unwrap_or_default() + "\n"
}

fn finding<'d>(
    diagnostic: &Diagnostic,
    files: &'d Files,
    taken: impl Iterator<Item = impl AsRef<str>> + Clone,
) -> Finding<'d> {
    let Description { message, labels, .. } = diagnostic.describe();
    let span = labels.first().map(|label| label.span);
    let (path, begin) = span.map_or(("", 1), |span| (files.name(span), files.positions(span).0.line));
    let text = span.map_or("", |span| files.text(span));
    let code = diagnostic.code();
    // Equal mistakes of one file are told apart by their number.
    let fingerprints = (0_u64..)
        .map(|number| format!("{:016x}", hash(&format!("{code}\0{path}\0{message}\0{text}\0{number}"))));
    let mut free = fingerprints.filter(|found| !taken.clone().any(|taken| taken.as_ref() == found));
    let fingerprint = free.next().unwrap_or_default();
    drop(free);
    Finding {
        description: message,
        check_name: code,
        fingerprint,
        severity: match diagnostic.severity() {
            Severity::Error => "major",
            Severity::Warning => "minor",
        },
        location: Location { path, lines: Lines { begin } },
    }
}

/// Returns the FNV-1a hash (64 bits, RFC 9923), which is the same in every version of Weir.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_specification() {
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn texts_of_commands_are_escaped() {
        assert_eq!(data("a\n50%"), "a%0A50%25");
        assert_eq!(property("a,b:c"), "a%2Cb%3Ac");
    }
}
