//! The text of the library's documents, for clients that ask for it.

use gen_lsp_types::{TextDocumentContentParams, TextDocumentContentResult};

use crate::dispatch::{Answer, Failure};
use crate::session::Session;

pub(crate) fn content(
    session: &mut Session<'_>,
    params: TextDocumentContentParams,
) -> Answer<TextDocumentContentResult> {
    let name = session.library_documents.name(params.uri.as_ref());
    let file = name.and_then(|name| session.library.files().iter().find(|file| file.name == name));
    match file {
        Some(file) => Ok(TextDocumentContentResult { text: file.text.clone() }),
        None => Err(Failure::refused(format!("{} is no file of the library", params.uri))),
    }
}
