//! Declarations, type definitions, references and highlights of names.

use gen_lsp_types::{
    DeclarationParams, DeclarationResponse, DefinitionParams, DocumentHighlight, DocumentHighlightKind,
    DocumentHighlightParams, Location, ReferenceParams, TypeDefinitionParams, TypeDefinitionResponse,
};
use weir_compiler::analysis::{Definition, DefinitionKind};
use weir_grammar::Span;
use weir_grammar::tree::ItemKind;

use crate::dispatch::Answer;
use crate::places::View;
use crate::session::Session;

/// The declaration of a name is its definition.
pub(crate) fn declaration(
    session: &mut Session<'_>,
    params: DeclarationParams,
) -> Answer<Option<DeclarationResponse>> {
    let params = DefinitionParams {
        work_done_progress_params: params.work_done_progress_params,
        partial_result_params: params.partial_result_params,
        text_document_position_params: params.text_document_position_params,
    };
    use gen_lsp_types::{Definition as Places, DefinitionResponse as Found};
    Ok(super::definition::definition(session, params)?.map(|found| match found {
        Found::Definition(Places::Location(place)) => DeclarationResponse::Declaration(vec![place].into()),
        Found::Definition(Places::LocationList(places)) => DeclarationResponse::Declaration(places.into()),
        Found::DefinitionLinkList(links) => DeclarationResponse::DeclarationLinkList(links),
    }))
}

pub(crate) fn type_definition(
    session: &mut Session<'_>,
    params: TypeDefinitionParams,
) -> Answer<Option<TypeDefinitionResponse>> {
    let at = params.text_document_position_params;
    let Some(view) = session.view(at.text_document.uri.as_ref()) else { return Ok(None) };
    let offset = view.offset(at.position);
    let types = view.analysis.types_at(view.file, offset);
    let mut places: Vec<Location> = Vec::new();
    for value_type in &types {
        let definition = view.analysis.type_definition(value_type);
        places.extend(definition.and_then(|definition| view.places.location(definition.span)));
    }
    // The type of a component is its kind.
    for definition in view.analysis.definitions_at(view.file, offset) {
        let kinds = kind_of(&view, definition).into_iter();
        places.extend(kinds.filter_map(|kind| view.places.location(kind.span)));
    }
    places.dedup();
    Ok((!places.is_empty()).then(|| TypeDefinitionResponse::Definition(places.into())))
}

/// Returns the declarations of a component's kind in the library.
fn kind_of<'v>(view: &'v View, definition: &Definition) -> Vec<&'v Definition> {
    if !matches!(definition.kind, DefinitionKind::Component(_)) {
        return Vec::new();
    }
    let items = view.analysis.tree(definition.span.file).into_iter().flat_map(|tree| &tree.items);
    let mut kinds = items.filter_map(|item| match &item.kind {
        ItemKind::Component(component) if component.name.span == definition.span => Some(component.kind.span),
        _ => None,
    });
    let kind = kinds.next().map(|kind| view.analysis.definitions_at(kind.file, kind.start));
    kind.unwrap_or_default()
}

/// A place of a name in a file of a program.
pub(crate) struct Mention {
    /// The name of the file.
    pub(crate) file: String,
    pub(crate) span: Span,
    pub(crate) location: Location,
}

/// Returns all places of the names that are used or declared at a position, in all programs that read their files: the uses,
/// and the definitions themselves. Places in the library are left out.
pub(crate) fn mentions(session: &mut Session<'_>, view: &View, offset: u32, declared: bool) -> Vec<Mention> {
    session.refresh_all();
    let own = view.analysis.definitions_at(view.file, offset);
    // A definition is known in every program by the file and the place of its name.
    let wanted: Vec<(String, Span)> = own
        .iter()
        .map(|definition| (view.analysis.files.name(definition.span).to_owned(), definition.span))
        .collect();
    let mut found: Vec<Mention> = Vec::new();
    let entries: Vec<String> = session.programs.iter().map(|(entry, _)| entry.to_owned()).collect();
    for entry in entries {
        let Some(other) = session.view_in(&entry, &entry) else { continue };
        for (file, span) in &wanted {
            let Some(definition) = same_definition(&other, file, *span) else { continue };
            let definition_place = declared.then_some(definition.span);
            for place in other.analysis.references(definition).chain(definition_place) {
                if other.analysis.tree(place.file).is_none() {
                    continue;
                }
                let Some(location) = other.places.location(place) else { continue };
                if !found.iter().any(|known| known.location == location) {
                    let file = other.analysis.files.name(place).to_owned();
                    found.push(Mention { file, span: place, location });
                }
            }
        }
    }
    found.sort_by(|one, other| (&one.file, one.span.start).cmp(&(&other.file, other.span.start)));
    found
}

/// Returns the definition of another program with this file and place.
pub(crate) fn same_definition<'v>(other: &'v View, file: &str, span: Span) -> Option<&'v Definition> {
    let id = match other.library.files().get(span.file) {
        Some(known) if known.name == file => span.file,
        _ => other.analysis.file_named(file)?,
    };
    other.analysis.definition(Span { file: id, ..span })
}

pub(crate) fn references(
    session: &mut Session<'_>,
    params: ReferenceParams,
) -> Answer<Option<Vec<Location>>> {
    let at = params.text_document_position_params;
    let Some(view) = session.view(at.text_document.uri.as_ref()) else { return Ok(None) };
    let offset = view.offset(at.position);
    let found = mentions(session, &view, offset, params.context.include_declaration);
    Ok(Some(found.into_iter().map(|mention| mention.location).collect()))
}

pub(crate) fn highlights(
    session: &mut Session<'_>,
    params: DocumentHighlightParams,
) -> Answer<Option<Vec<DocumentHighlight>>> {
    let at = params.text_document_position_params;
    let Some(view) = session.view(at.text_document.uri.as_ref()) else { return Ok(None) };
    let places = of_file(&view, view.offset(at.position));
    let highlights = places.into_iter().map(|(span, is_definition)| DocumentHighlight {
        range: view.places.range(span),
        kind: Some(if is_definition { DocumentHighlightKind::Write } else { DocumentHighlightKind::Read }),
    });
    Ok(Some(highlights.collect()))
}

/// Returns the places in the file of the names at a position, in the order of the text; true for a definition.
pub(crate) fn of_file(view: &View, offset: u32) -> Vec<(Span, bool)> {
    let mut places = Vec::new();
    for definition in view.analysis.definitions_at(view.file, offset) {
        places.push((definition.span, true));
        places.extend(view.analysis.references(definition).map(|span| (span, false)));
    }
    places.retain(|(span, _)| span.file == view.file);
    places.sort_unstable();
    places.dedup_by_key(|(span, _)| *span);
    places
}
