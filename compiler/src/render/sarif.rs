//! Diagnostics as SARIF 2.1.0 (OASIS standard), which code hosts and editors read.
//!
//! These structures model only the parts of the standard that Weir writes, so no crate for the complete standard is
//! needed.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_grammar::Span;

use crate::diagnostics::{Description, Diagnostic, Edit, Fix, Label, REGISTRY, Severity, page, title};
use crate::files::sources::Files;
use crate::signatures::Library;

/// Renders the diagnostics of all programs as one SARIF document. Each program comes with its files.
///
/// Columns count characters (`unicodeCodePoints`), as everywhere in Weir. Paths are the names of the files; files of
/// the library have the scheme `weir:`, because they are in no folder.
pub fn sarif<'d>(
    programs: impl IntoIterator<Item = (&'d [Diagnostic], &'d Files)>,
    library: &Library,
) -> String {
    let results = programs.into_iter().flat_map(|(diagnostics, files)| {
        let places = Places { files, library };
        diagnostics.iter().map(move |diagnostic| places.result(diagnostic))
    });
    let driver = Driver {
        name: "weir",
        version: env!("CARGO_PKG_VERSION"),
        information_uri: env!("CARGO_PKG_REPOSITORY"),
        rules: REGISTRY.iter().map(|(code, severity, _)| rule(code, *severity)).collect(),
    };
    let run = Run { tool: Tool { driver }, column_kind: "unicodeCodePoints", results: results.collect() };
    let log = Log { schema: "https://json.schemastore.org/sarif-2.1.0.json", version: "2.1.0", runs: [run] };
    // Text and numbers always have a JSON form.
    serde_json::to_string_pretty(&log).unwrap_or_default() + "\n"
}

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    column_kind: &'static str,
    results: Vec<Finding>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    version: &'static str,
    information_uri: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    short_description: Message,
    help: Help,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct Help {
    text: &'static str,
    markdown: &'static str,
}

#[derive(Serialize)]
struct Message {
    text: String,
}

/// A result, in the terms of the standard.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Message,
    locations: Vec<Location>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Location>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fixes: Vec<SarifFix>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_location: Option<PhysicalLocation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logical_locations: Vec<LogicalLocation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
}

/// A place outside of all files: a value of `--set` or of the environment.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation {
    fully_qualified_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    region: Region,
}

#[derive(Serialize, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
    start_column: usize,
    end_line: usize,
    end_column: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifFix {
    description: Message,
    artifact_changes: Vec<ArtifactChange>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactChange {
    artifact_location: ArtifactLocation,
    replacements: Vec<Replacement>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replacement {
    deleted_region: Region,
    inserted_content: Message,
}

fn rule(code: &'static str, severity: Severity) -> Rule {
    let text = page(code).unwrap_or_default();
    Rule {
        id: code,
        short_description: Message { text: title(code).unwrap_or_default().to_owned() },
        help: Help { text, markdown: text },
        default_configuration: Configuration { level: level(severity) },
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// The files that the places of one program's diagnostics refer to.
#[derive(Clone, Copy)]
struct Places<'d> {
    files: &'d Files,
    library: &'d Library,
}

impl Places<'_> {
    fn result(&self, diagnostic: &Diagnostic) -> Finding {
        let Description { message, labels, help, fix } = diagnostic.describe();
        let mut labels = labels.into_iter();
        // Viewers show one text for a result, so the text includes the help.
        let text = std::iter::once(message).chain(help).collect::<Vec<_>>().join("\n");
        let related = labels.clone().skip(1).enumerate();
        Finding {
            rule_id: diagnostic.code(),
            rule_index: REGISTRY.iter().position(|(code, ..)| *code == diagnostic.code()).unwrap_or_default(),
            level: level(diagnostic.severity()),
            message: Message { text },
            related_locations: related.map(|(id, label)| self.location(label, Some(id))).collect(),
            locations: labels.next().map(|label| self.location(label, None)).into_iter().collect(),
            fixes: fix.and_then(|fix| self.fix(fix)).into_iter().collect(),
        }
    }

    fn location(&self, label: Label, id: Option<usize>) -> Location {
        let message = Some(Message { text: label.text });
        match self.artifact(label.span) {
            Some(artifact_location) => {
                let region = self.region(label.span);
                let physical_location = Some(PhysicalLocation { artifact_location, region });
                Location { id, physical_location, message, ..Location::default() }
            }
            None => {
                let fully_qualified_name = self.files.name(label.span).to_owned();
                let logical_locations = vec![LogicalLocation { fully_qualified_name }];
                Location { id, logical_locations, message, ..Location::default() }
            }
        }
    }

    /// Returns the file of a place; `None` for a value from outside of the program.
    fn artifact(&self, span: Span) -> Option<ArtifactLocation> {
        let name = self.files.name(span);
        let uri = match name {
            _ if self.library.files.get(span.file).is_some() => format!("weir:{}", encoded(name)),
            _ if name.starts_with("--set ") || name.starts_with("environment ") => return None,
            "-" => "weir:stdin".to_owned(),
            _ if name.starts_with('/') => format!("file://{}", encoded(name)),
            _ => encoded(name.trim_start_matches("./")),
        };
        Some(ArtifactLocation { uri })
    }

    fn region(&self, span: Span) -> Region {
        let (start, end) = self.files.positions(span);
        Region {
            start_line: start.line,
            start_column: start.column,
            end_line: end.line,
            end_column: end.column,
        }
    }

    /// Returns a fix, if all of its edits are in files.
    fn fix(&self, fix: Fix) -> Option<SarifFix> {
        let mut changes: BTreeMap<ArtifactLocation, Vec<Replacement>> = BTreeMap::new();
        for Edit { span, replacement } in fix.edits {
            let inserted_content = Message { text: replacement };
            let replacement = Replacement { deleted_region: self.region(span), inserted_content };
            changes.entry(self.artifact(span)?).or_default().push(replacement);
        }
        let changes = changes
            .into_iter()
            .map(|(artifact_location, replacements)| ArtifactChange { artifact_location, replacements });
        Some(SarifFix { description: Message { text: fix.title }, artifact_changes: changes.collect() })
    }
}

/// Returns a path as part of a URI (RFC 3986): all bytes but unreserved characters and `/` are percent-encoded.
fn encoded(path: &str) -> String {
    let mut encoded = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
