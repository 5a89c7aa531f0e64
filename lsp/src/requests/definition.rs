//! Definitions of names.

use gen_lsp_types::{DefinitionParams, DefinitionResponse, LocationLink};
use weir_compiler::analysis::Definition;

use crate::dispatch::Answer;
use crate::places::View;
use crate::session::Session;

pub(crate) fn definition(
    session: &mut Session<'_>,
    params: DefinitionParams,
) -> Answer<Option<DefinitionResponse>> {
    let at = params.text_document_position_params;
    let Some(view) = session.view(at.text_document.uri.as_ref()) else { return Ok(None) };
    let offset = view.offset(at.position);
    let found = view.analysis.definitions_at(view.file, offset);
    let links: Vec<LocationLink> = found.iter().filter_map(|definition| link(&view, definition)).collect();
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
