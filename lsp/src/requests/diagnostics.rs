//! Diagnostics for clients that ask for them.

use std::collections::HashMap;

use gen_lsp_types::{
    DocumentDiagnosticParams, DocumentDiagnosticReport, FullDocumentDiagnosticReport,
    RelatedFullDocumentDiagnosticReport, RelatedUnchangedDocumentDiagnosticReport,
    UnchangedDocumentDiagnosticReport, WorkspaceDiagnosticParams, WorkspaceDiagnosticReport,
    WorkspaceDocumentDiagnosticReport, WorkspaceFullDocumentDiagnosticReport,
    WorkspaceUnchangedDocumentDiagnosticReport,
};

use crate::dispatch::Answer;
use crate::publishing::{of_file, result_id};
use crate::session::Session;
use crate::uris;

pub(crate) fn of_document(
    session: &mut Session<'_>,
    params: DocumentDiagnosticParams,
) -> Answer<DocumentDiagnosticReport> {
    let name = uris::name(params.text_document.uri.as_ref());
    session.refresh(&name);
    for entry in session.programs.readers(&name) {
        session.refresh(&entry);
    }
    let items = of_file(&session.programs, &name);
    let result = result_id(&items);
    if params.previous_result_id.as_ref() == Some(&result) {
        let report = UnchangedDocumentDiagnosticReport { result_id: result };
        let report = RelatedUnchangedDocumentDiagnosticReport {
            related_documents: None,
            unchanged_document_diagnostic_report: report,
        };
        return Ok(report.into());
    }
    let report = FullDocumentDiagnosticReport { result_id: Some(result), items };
    let report = RelatedFullDocumentDiagnosticReport {
        related_documents: None,
        full_document_diagnostic_report: report,
    };
    Ok(report.into())
}

pub(crate) fn of_workspace(
    session: &mut Session<'_>,
    params: WorkspaceDiagnosticParams,
) -> Answer<WorkspaceDiagnosticReport> {
    session.refresh_all();
    let previous: HashMap<String, String> = params
        .previous_result_ids
        .into_iter()
        .map(|previous| (uris::name(previous.uri.as_ref()), previous.value))
        .collect();
    let mut files: Vec<String> = previous.keys().cloned().collect();
    for (entry, program) in session.programs.iter() {
        files.push(entry.to_owned());
        files.extend(program.diagnostics.keys().cloned());
    }
    files.sort_unstable();
    files.dedup();
    let items = files.iter().map(|file| report(session, file, previous.get(file)));
    Ok(WorkspaceDiagnosticReport { items: items.collect() })
}

fn report(session: &Session<'_>, file: &str, previous: Option<&String>) -> WorkspaceDocumentDiagnosticReport {
    let items = of_file(&session.programs, file);
    let result = result_id(&items);
    let document = session.documents.get(file);
    let version = document.map(|document| document.version);
    let uri = document.map_or_else(|| uris::uri(file), |document| document.uri.clone()).into();
    if previous == Some(&result) {
        let report = UnchangedDocumentDiagnosticReport { result_id: result };
        let report = WorkspaceUnchangedDocumentDiagnosticReport {
            uri,
            version,
            unchanged_document_diagnostic_report: report,
        };
        return report.into();
    }
    let report = FullDocumentDiagnosticReport { result_id: Some(result), items };
    WorkspaceFullDocumentDiagnosticReport { uri, version, full_document_diagnostic_report: report }.into()
}
