//! Definitions of names.

use gen_lsp_types::{DefinitionParams, DefinitionResponse, LocationLink, Position, Range};
use weir_compiler::analysis::Definition;
use weir_grammar::tree::ItemKind;

use crate::dispatch::Answer;
use crate::places::View;
use crate::session::Session;
use crate::uris;

pub(crate) fn definition(
    session: &mut Session<'_>,
    params: DefinitionParams,
) -> Answer<Option<DefinitionResponse>> {
    let at = params.text_document_position_params;
    let Some(view) = session.view(at.text_document.uri.as_ref()) else { return Ok(None) };
    let offset = view.offset(at.position);
    let found = view.analysis.definitions_at(view.file, offset);
    let links = found.iter().filter_map(|definition| link(&view, definition));
    let links: Vec<LocationLink> = links.chain(imported(&view, offset)).collect();
    Ok((!links.is_empty()).then(|| match session.client.links_definitions {
        true => DefinitionResponse::DefinitionLinkList(links),
        false => {
            let places = links.into_iter().map(|link| gen_lsp_types::Location {
                uri: link.target_uri,
                range: link.target_selection_range,
            });
            DefinitionResponse::Definition(places.collect::<Vec<_>>().into())
        }
    }))
}

/// Returns the link to a definition; `None` if it is in no file.
fn link(view: &View, definition: &Definition) -> Option<LocationLink> {
    let target = view.places.location(definition.span)?;
    Some(LocationLink {
        origin_selection_range: None,
        target_uri: target.uri,
        target_range: view.places.range(definition.whole),
        target_selection_range: target.range,
    })
}

/// Returns the link to the beginning of the file whose path in an import is at a position.
fn imported(view: &View, offset: u32) -> Option<LocationLink> {
    let items = &view.analysis.tree(view.file)?.items;
    let path = items.iter().find_map(|item| {
        match &item.kind {
            ItemKind::Import(import) => Some(import.path_span),
            _ => None,
        }
        .filter(|path| path.start <= offset && offset <= path.end)
    })?;
    let name = view.analysis.imported_file(view.file, path)?;
    let start = Position { line: 0, character: 0 };
    let range = Range { start, end: start };
    Some(LocationLink {
        origin_selection_range: Some(view.places.range(path)),
        target_uri: uris::uri(name).into(),
        target_range: range,
        target_selection_range: range,
    })
}
