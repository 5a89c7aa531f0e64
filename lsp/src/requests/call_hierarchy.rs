//! Which functions, interceptors and flows call a function or an interceptor, and which it calls.

use std::collections::BTreeMap;

use gen_lsp_types::{
    CallHierarchyIncomingCall, CallHierarchyIncomingCallsParams, CallHierarchyItem,
    CallHierarchyOutgoingCall, CallHierarchyOutgoingCallsParams, CallHierarchyPrepareParams, Range,
};
use weir_compiler::analysis::{Definition, DefinitionKind};
use weir_grammar::Span;

use crate::dispatch::Answer;
use crate::places::View;
use crate::requests::references::mentions;
use crate::requests::symbols::kind;
use crate::session::Session;

pub(crate) fn prepare(
    session: &mut Session<'_>,
    params: CallHierarchyPrepareParams,
) -> Answer<Option<Vec<CallHierarchyItem>>> {
    let at = params.text_document_position_params;
    let Some(view) = session.view(at.text_document.uri.as_ref()) else { return Ok(None) };
    let definitions = view.analysis.definitions_at(view.file, view.offset(at.position));
    let items: Vec<CallHierarchyItem> = definitions
        .iter()
        .filter(|definition| is_called(definition.kind))
        .filter_map(|definition| item(&view, definition))
        .collect();
    Ok((!items.is_empty()).then_some(items))
}

fn is_called(kind: DefinitionKind) -> bool {
    matches!(kind, DefinitionKind::Function | DefinitionKind::Interceptor)
}

fn item(view: &View, definition: &Definition) -> Option<CallHierarchyItem> {
    let location = view.places.location(definition.span)?;
    Some(CallHierarchyItem {
        name: definition.name.to_string(),
        kind: kind(definition.kind),
        tags: None,
        detail: None,
        uri: location.uri,
        range: view.places.range(definition.whole),
        selection_range: location.range,
        data: None,
    })
}

/// Returns the item of a file that contains a place, if it has a name.
fn caller(view: &View, place: Span) -> Option<&Definition> {
    let callers = view.analysis.definitions().filter(|definition| definition.kind.is_of_file());
    callers.into_iter().find(|definition| definition.whole.contains(place))
}

pub(crate) fn incoming(
    session: &mut Session<'_>,
    params: CallHierarchyIncomingCallsParams,
) -> Answer<Option<Vec<CallHierarchyIncomingCall>>> {
    let Some(view) = session.view(params.item.uri.as_ref()) else { return Ok(None) };
    let offset = view.offset(params.item.selection_range.start);
    let found = mentions(session, &view, offset, false);
    let mut calls: BTreeMap<(String, Span), CallHierarchyIncomingCall> = BTreeMap::new();
    for mention in found {
        let Some(view) = session.view_in(&mention.file, &mention.file) else { continue };
        let place = Span { file: view.file, ..mention.span };
        let Some(caller) = caller(&view, place) else { continue };
        let Some(from) = item(&view, caller) else { continue };
        let call = calls.entry((mention.file.clone(), caller.span));
        let call = call.or_insert_with(|| CallHierarchyIncomingCall { from, from_ranges: Vec::new() });
        call.from_ranges.push(mention.location.range);
    }
    Ok(Some(calls.into_values().collect()))
}

pub(crate) fn outgoing(
    session: &mut Session<'_>,
    params: CallHierarchyOutgoingCallsParams,
) -> Answer<Option<Vec<CallHierarchyOutgoingCall>>> {
    let Some(view) = session.view(params.item.uri.as_ref()) else { return Ok(None) };
    let offset = view.offset(params.item.selection_range.start);
    let definitions = view.analysis.definitions_at(view.file, offset);
    let Some(of) = definitions.into_iter().find(|definition| is_called(definition.kind)) else {
        return Ok(None);
    };
    let mut ranges: BTreeMap<Span, Vec<Range>> = BTreeMap::new();
    for (place, definition) in view.analysis.all_uses().filter(|(place, _)| of.whole.contains(*place)) {
        ranges.entry(definition).or_default().push(view.places.range(place));
    }
    let calls = ranges.into_iter().filter_map(|(span, from_ranges)| {
        let definition = view.analysis.definition(span).filter(|definition| is_called(definition.kind))?;
        Some(CallHierarchyOutgoingCall { to: item(&view, definition)?, from_ranges })
    });
    Ok(Some(calls.collect()))
}
