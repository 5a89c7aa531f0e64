//! Diagnostics as text: with source for people, one line each, and in formats for machines. The graph of a program
//! as JSON. What was derived about the delivery of events, as text and JSON.
//!
//! Lines and columns count from 1, columns in characters; a character is a Unicode scalar value of any width.

mod access;
mod graph;
mod hosts;
mod proofs;
mod resources;
mod sarif;
mod security;

use codespan_reporting::diagnostic::{self, LabelStyle};
use codespan_reporting::files::{Error, Files as CodespanFiles};
use codespan_reporting::term::termcolor::{Ansi, NoColor};
use codespan_reporting::term::{self, Config};
use serde::Serialize;
use weir_grammar::{FileId, Span};

use crate::analysis::graph::Component;
use crate::diagnostics::{Description, Diagnostic, Edit, Severity};
use crate::files::sources::{Files, Position};
use crate::flows::graph::role_name;

pub use access::{access_json, access_text, network_policy, nftables, systemd};
pub use graph::graph;
pub use hosts::{github, gitlab};
pub use proofs::{ShownProof, proof_of_flow, proofs, proofs_json};
pub use resources::{ShownResources, resources_of_component, resources_of_program};
pub use sarif::sarif;

/// Renders diagnostics with the source, labels and help. Colours are terminal escapes.
pub fn human(diagnostics: &[Diagnostic], files: &Files, colours: bool) -> String {
    let mut bytes = Vec::new();
    let config = Config::default();
    for diagnostic in diagnostics {
        let drawn = to_codespan(diagnostic);
        let written = match colours {
            true => term::emit_to_write_style(&mut Ansi::new(&mut bytes), &config, files, &drawn),
            false => term::emit_to_write_style(&mut NoColor::new(&mut bytes), &config, files, &drawn),
        };
        // A span outside of its file can't be drawn; the message is still shown.
        if written.is_err() {
            bytes.extend(format!("{}\n", line(diagnostic, files)).bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Renders one line for each diagnostic: `path:line:column: error[E0203]: message`.
pub fn short(diagnostics: &[Diagnostic], files: &Files) -> String {
    diagnostics.iter().map(|diagnostic| line(diagnostic, files) + "\n").collect()
}

/// Renders the diagnostics of all programs as one JSON array. Each program comes with its files.
pub fn json<'d>(programs: impl IntoIterator<Item = (&'d [Diagnostic], &'d Files)>) -> String {
    let shown = programs.into_iter().flat_map(|(diagnostics, files)| {
        diagnostics.iter().map(move |diagnostic| to_json(diagnostic, files))
    });
    let shown: Vec<JsonDiagnostic<'_>> = shown.collect();
    // Text and numbers always have a JSON form.
    serde_json::to_string_pretty(&shown).unwrap_or_default() + "\n"
}

fn line(diagnostic: &Diagnostic, files: &Files) -> String {
    let Description { message, labels, .. } = diagnostic.describe();
    let place = labels.first().map(|label| label.span);
    let (name, Position { line, column }) = match place {
        Some(span) => (files.name(span), files.positions(span).0),
        None => ("", Position { line: 1, column: 1 }),
    };
    let shown = format!("{name}:{line}:{column}: {}[{}]: {message}", severity(diagnostic), diagnostic.code());
    on_one_line(&shown)
}

/// Escapes line ends and other control characters, because a message may contain text of the program.
fn on_one_line(text: &str) -> String {
    let letters = text.chars().map(|letter| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    });
    letters.collect()
}

fn severity(diagnostic: &Diagnostic) -> &'static str {
    match diagnostic.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn to_codespan(diagnostic: &Diagnostic) -> diagnostic::Diagnostic<FileId> {
    let description = diagnostic.describe();
    let severity = match diagnostic.severity() {
        Severity::Error => diagnostic::Severity::Error,
        Severity::Warning => diagnostic::Severity::Warning,
    };
    let labels = description.labels.iter().enumerate().map(|(index, label)| {
        let style = if index == 0 { LabelStyle::Primary } else { LabelStyle::Secondary };
        diagnostic::Label::new(style, label.span.file, label.span.start as usize..label.span.end as usize)
            .with_message(&label.text)
    });
    diagnostic::Diagnostic::new(severity)
        .with_code(diagnostic.code())
        .with_message(&description.message)
        .with_labels(labels.collect())
        .with_notes(description.help.iter().map(|help| format!("help: {help}")).collect())
}

#[derive(Serialize)]
struct JsonDiagnostic<'d> {
    code: &'static str,
    severity: &'static str,
    message: String,
    labels: Vec<JsonLabel<'d>>,
    help: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<JsonFix<'d>>,
}

#[derive(Serialize)]
struct JsonLabel<'d> {
    #[serde(flatten)]
    place: JsonPlace<'d>,
    text: String,
}

#[derive(Serialize)]
struct JsonFix<'d> {
    title: String,
    edits: Vec<JsonEdit<'d>>,
}

#[derive(Serialize)]
struct JsonEdit<'d> {
    #[serde(flatten)]
    place: JsonPlace<'d>,
    replacement: String,
}

/// A place: bytes from 0, with an exclusive end; lines and columns from 1.
#[derive(Debug, Serialize)]
struct JsonPlace<'d> {
    file: &'d str,
    start: u32,
    end: u32,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

fn to_json<'d>(diagnostic: &Diagnostic, files: &'d Files) -> JsonDiagnostic<'d> {
    let Description { message, labels, help, fix } = diagnostic.describe();
    let labels =
        labels.into_iter().map(|label| JsonLabel { place: place(label.span, files), text: label.text });
    let edit = |edit: Edit| JsonEdit { place: place(edit.span, files), replacement: edit.replacement };
    let fix = fix.map(|fix| JsonFix { title: fix.title, edits: fix.edits.into_iter().map(edit).collect() });
    let (code, severity) = (diagnostic.code(), severity(diagnostic));
    JsonDiagnostic { code, severity, message, labels: labels.collect(), help, fix }
}

fn place(span: Span, files: &Files) -> JsonPlace<'_> {
    let (start, end) = files.positions(span);
    JsonPlace {
        file: files.name(span),
        start: span.start,
        end: span.end,
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
    }
}

impl<'f> CodespanFiles<'f> for Files {
    type FileId = FileId;
    type Name = &'f str;
    type Source = &'f str;

    fn name(&'f self, id: FileId) -> Result<&'f str, Error> {
        self.get(id).map(|file| file.name.as_str()).ok_or(Error::FileMissing)
    }

    fn source(&'f self, id: FileId) -> Result<&'f str, Error> {
        self.get(id).map(|file| file.text.as_str()).ok_or(Error::FileMissing)
    }

    fn line_index(&'f self, id: FileId, place: usize) -> Result<usize, Error> {
        Ok(self.get(id).ok_or(Error::FileMissing)?.line(place as u32))
    }

    fn line_range(&'f self, id: FileId, line: usize) -> Result<std::ops::Range<usize>, Error> {
        let file = self.get(id).ok_or(Error::FileMissing)?;
        let start = file.line_start(line).ok_or(Error::LineTooLarge { given: line, max: 0 })?;
        let end = file.line_start(line + 1).unwrap_or(file.text.len());
        Ok(start..end)
    }
}

/// Returns the role and the kind of a component: `source kafka`.
fn kind_in_words(component: &Component) -> Option<String> {
    let kind = component.kind()?;
    let added = if component.implicit { " that the compiler added" } else { "" };
    Some(format!("{} `{kind}`{added}", role_name(component.declared.role)))
}
