//! Diagnostics of the compiler as diagnostics of the protocol, and which of them belong to a file.

use std::collections::{BTreeMap, HashMap};

use gen_lsp_types::{
    CodeDescription, Diagnostic as Shown, DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag,
    Position, Range,
};
use weir_compiler::{Analysis, Diagnostic, Severity};
use weir_grammar::Span;

use crate::capabilities::Client;
use crate::disk::MissedPart;
use crate::places::Places;
use crate::programs::{Programs, hash_of};
use crate::session::Session;
use crate::uris;

/// The pages of the codes.
const PAGES: &str = "https://github.com/weir-project/weir/blob/main/docs/diagnostics/";

/// Returns the diagnostics of a program by the names of their files.
pub(crate) fn by_file(
    analysis: &Analysis,
    places: &Places,
    entry: &str,
    client: &Client,
) -> BTreeMap<String, Vec<Shown>> {
    let mut by_file: BTreeMap<String, Vec<Shown>> = BTreeMap::new();
    let warnings = analysis.not_carried_out();
    for diagnostic in analysis.diagnostics.iter().chain(&warnings) {
        let (file, shown) = shown(diagnostic, analysis, places, client);
        by_file.entry(file.unwrap_or_else(|| entry.to_owned())).or_default().push(shown);
    }
    by_file
}

/// Returns a diagnostic with the name of its file; without a name if it is about a value from outside or the library.
fn shown(
    diagnostic: &Diagnostic,
    analysis: &Analysis,
    places: &Places,
    client: &Client,
) -> (Option<String>, Shown) {
    let description = diagnostic.describe();
    let of_program = |span: Span| analysis.tree(span.file).is_some();
    // A mistake in a step of the library's interceptors is shown where the program uses it.
    let main = description.labels.iter().position(|label| of_program(label.span));
    let range = main.map(|main| places.range(description.labels[main].span));
    let mut message = description.message.clone();
    if let Some(label) = main.map(|main| &description.labels[main]).filter(|label| !label.text.is_empty()) {
        message = format!("{message}\n{}", label.text);
    }
    for help in &description.help {
        message = format!("{message}\nhelp: {help}");
    }
    let others = description.labels.iter().enumerate().filter(|(index, _)| Some(*index) != main);
    let related = others.filter_map(|(_, label)| {
        Some(DiagnosticRelatedInformation {
            location: places.location(label.span)?,
            message: label.text.clone(),
        })
    });
    let related: Vec<_> = related.collect();
    let start = Position { line: 0, character: 0 };
    let code = diagnostic.code();
    let shown = Shown {
        range: range.unwrap_or(Range { start, end: start }),
        severity: Some(match diagnostic.severity() {
            Severity::Error => DiagnosticSeverity::Error,
            Severity::Warning => DiagnosticSeverity::Warning,
        }),
        code: Some(code.into()),
        code_description: client
            .describes_codes
            .then(|| CodeDescription { href: format!("{PAGES}{code}.md").into() }),
        source: Some("weir".to_owned()),
        message: message.into(),
        tags: tag(diagnostic).filter(|_| client.tags_diagnostics).map(|tag| vec![tag]),
        related_information: (client.relates_diagnostics && !related.is_empty()).then_some(related),
        data: None,
    };
    (main.map(|main| analysis.files.name(description.labels[main].span).to_owned()), shown)
}

/// Returns marks of what the tests of a program have not reached, by the names of their files: hints, which editors show faded.
pub(crate) fn marks(
    analysis: &Analysis,
    places: &Places,
    missed: &[MissedPart],
    client: &Client,
) -> BTreeMap<String, Vec<Shown>> {
    let mut by_file: BTreeMap<String, Vec<Shown>> = BTreeMap::new();
    for MissedPart { file, bytes, what } in missed {
        let Some(id) = analysis.file_named(file) else { continue };
        let span = Span { file: id, start: bytes.start, end: bytes.end };
        by_file.entry(file.clone()).or_default().push(Shown {
            range: places.range(span),
            severity: Some(DiagnosticSeverity::Hint),
            code: None,
            code_description: None,
            source: Some("weir test".to_owned()),
            message: format!("{what} in the tests of the program").into(),
            tags: client.tags_diagnostics.then(|| vec![DiagnosticTag::Unnecessary]),
            related_information: None,
            data: None,
        });
    }
    by_file
}

/// Returns the tag of a diagnostic: what is unused or never reached is shown faded.
fn tag(diagnostic: &Diagnostic) -> Option<DiagnosticTag> {
    match diagnostic {
        Diagnostic::Unused(_) | Diagnostic::UnreachableArm(_) | Diagnostic::CannotFail(_) => {
            Some(DiagnosticTag::Unnecessary)
        }
        Diagnostic::Within(within) => tag(&within.inner),
        Diagnostic::Explained(explained) => explained.inner.as_ref().and_then(tag),
        _ => None,
    }
}

/// Returns the diagnostics of a file: those of its own program, and what other programs that read the file report in it.
/// Each is there once.
pub(crate) fn of_file(programs: &Programs, file: &str) -> Vec<Shown> {
    let own = programs.get(file);
    let mut found: Vec<Shown> = own.and_then(|own| own.diagnostics.get(file)).cloned().unwrap_or_default();
    let text = own.and_then(|own| own.reads.get(file));
    for (entry, program) in programs.iter() {
        // Another program may have seen an older text.
        let same_text = own.is_none() || program.reads.get(file) == text;
        if entry == file || !same_text {
            continue;
        }
        for diagnostic in program.diagnostics.get(file).into_iter().flatten() {
            let is_known = |known: &Shown| {
                known.range == diagnostic.range
                    && known.code == diagnostic.code
                    && known.message == diagnostic.message
            };
            if !found.iter().any(is_known) {
                found.push(diagnostic.clone());
            }
        }
    }
    found.extend(own.and_then(|own| own.missed.get(file)).into_iter().flatten().cloned());
    found.sort_by_key(|diagnostic| {
        let Range { start, end } = diagnostic.range;
        (start.line, start.character, end.line, end.character)
    });
    found
}

/// Returns the identity of diagnostics: equal for equal ones.
pub(crate) fn result_id(diagnostics: &[Shown]) -> String {
    let text = serde_json::to_string(diagnostics).unwrap_or_default();
    format!("{:016x}", hash_of(&text))
}

/// The diagnostics that were last sent to the client for each file.
#[derive(Debug, Default)]
pub(crate) struct Published {
    results: HashMap<String, String>,
}

impl Published {
    /// Returns the diagnostics to send for a file, if they differ from those that the client has: the URI, the version of
    /// the document, and the diagnostics.
    pub(crate) fn news(
        &mut self,
        session: &Session<'_>,
        file: &str,
    ) -> Option<(String, Option<i32>, Vec<Shown>)> {
        let diagnostics = of_file(&session.programs, file);
        let document = session.documents.get(file);
        let version = document.map(|document| document.version);
        let result = (!diagnostics.is_empty()).then(|| format!("{version:?} {}", result_id(&diagnostics)));
        // An open document is answered for each version, even without diagnostics.
        let result = result.or_else(|| version.map(|version| format!("{version} none")));
        let before = match &result {
            Some(result) => self.results.insert(file.to_owned(), result.clone()),
            None => self.results.remove(file),
        };
        if before == result {
            return None;
        }
        let uri = document.map_or_else(|| uris::uri(file), |document| document.uri.clone());
        Some((uri, version, diagnostics))
    }
}
