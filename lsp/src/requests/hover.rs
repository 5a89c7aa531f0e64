//! What is known about a place.

use gen_lsp_types::{Hover, HoverParams, MarkupContent, MarkupKind};

use crate::dispatch::Answer;
use crate::session::Session;

pub(crate) fn hover(session: &mut Session<'_>, params: HoverParams) -> Answer<Option<Hover>> {
    let at = params.text_document_position_params;
    let Some(view) = session.view(at.text_document.uri.as_ref()) else { return Ok(None) };
    let offset = view.offset(at.position);
    let Some(definition) = view.analysis.definitions_at(view.file, offset).into_iter().next() else {
        return Ok(None);
    };
    let text = view.analysis.files.text(definition.whole);
    let value = format!("```flow\n{text}\n```\n\n{}", definition.documentation);
    let contents = MarkupContent { kind: MarkupKind::Markdown, value };
    Ok(Some(Hover { contents: contents.into(), range: None }))
}
