//! Edits of several documents.

use std::collections::HashMap;

use gen_lsp_types::{
    Edit, OptionalVersionedTextDocumentIdentifier, TextDocumentEdit, TextDocumentIdentifier, TextEdit, Uri,
    WorkspaceEdit,
};

use crate::session::Session;
use crate::uris;

/// Returns the edits of documents by their URIs. If the client can compare versions, each document has the version that the
/// edits are for, so that the client refuses them after a further change.
pub(crate) fn workspace_edit(session: &Session<'_>, changes: HashMap<Uri, Vec<TextEdit>>) -> WorkspaceEdit {
    if !session.client.versions_edits {
        return WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() };
    }
    let documents = changes.into_iter().map(|(uri, edits)| {
        let document = session.documents.get(&uris::name(uri.as_ref()));
        let text_document = OptionalVersionedTextDocumentIdentifier {
            version: document.map(|document| document.version),
            text_document_identifier: TextDocumentIdentifier { uri },
        };
        let edits = edits.into_iter().map(Edit::from).collect();
        TextDocumentEdit { text_document, edits }.into()
    });
    WorkspaceEdit { document_changes: Some(documents.collect()), ..WorkspaceEdit::default() }
}
