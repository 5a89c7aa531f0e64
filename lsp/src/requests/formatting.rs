//! Formatting: the canonical form of a document, of a range, and of what has just been typed.

use std::ops::Range;

use gen_lsp_types::{
    DocumentFormattingParams, DocumentOnTypeFormattingParams, DocumentRangeFormattingParams,
    DocumentRangesFormattingParams, TextEdit,
};
use weir_grammar::Span;

use crate::dispatch::Answer;
use crate::places::View;
use crate::session::Session;

pub(crate) fn document(
    session: &mut Session<'_>,
    params: DocumentFormattingParams,
) -> Answer<Option<Vec<TextEdit>>> {
    let Some(view) = session.view(params.text_document.uri.as_ref()) else { return Ok(None) };
    if view.analysis.tree(view.file).is_none() {
        return Ok(None);
    }
    let Ok(formatted) = weir_compiler::format(&view.name, view.text()) else { return Ok(None) };
    let edits = differences(view.text(), &formatted).map(|(range, new)| edit(&view, range, new));
    Ok(Some(edits.collect()))
}

fn edit(view: &View, range: Range<usize>, new: &str) -> TextEdit {
    TextEdit { range: view.places.range(view.span(range.start, range.end)), new_text: new.to_owned() }
}

pub(crate) fn range(
    session: &mut Session<'_>,
    params: DocumentRangeFormattingParams,
) -> Answer<Option<Vec<TextEdit>>> {
    let Some(view) = session.view(params.text_document.uri.as_ref()) else { return Ok(None) };
    Ok(Some(items(&view, view.places.span(view.file, params.range))))
}

pub(crate) fn ranges(
    session: &mut Session<'_>,
    params: DocumentRangesFormattingParams,
) -> Answer<Option<Vec<TextEdit>>> {
    let Some(view) = session.view(params.text_document.uri.as_ref()) else { return Ok(None) };
    let mut edits: Vec<TextEdit> = Vec::new();
    for range in params.ranges {
        for edit in items(&view, view.places.span(view.file, range)) {
            if !edits.contains(&edit) {
                edits.push(edit);
            }
        }
    }
    Ok(Some(edits))
}

/// Formats the item whose closing brace has just been typed.
pub(crate) fn on_type(
    session: &mut Session<'_>,
    params: DocumentOnTypeFormattingParams,
) -> Answer<Option<Vec<TextEdit>>> {
    let Some(view) = session.view(params.text_document.uri.as_ref()) else { return Ok(None) };
    if params.ch != "}" {
        return Ok(None);
    }
    let offset = view.offset(params.position);
    let Some(tree) = view.analysis.tree(view.file) else { return Ok(None) };
    // Only the brace that ends an item: within one, the user is still writing.
    let item = tree.items.iter().find(|item| item.span.end == offset);
    Ok(item.map(|item| items(&view, item.span)))
}

/// Formats the items that a range touches, each alone, so that a mistake elsewhere is no obstacle.
fn items(view: &View, wanted: Span) -> Vec<TextEdit> {
    let text = view.text();
    let mut edits = Vec::new();
    for item in view.analysis.tree(view.file).into_iter().flat_map(|tree| &tree.items) {
        if item.span.end < wanted.start || wanted.end < item.span.start {
            continue;
        }
        let (start, end) = (item.span.start as usize, item.span.end as usize);
        // A comment at the end of the line belongs to the item.
        let end = end + text[end..].find('\n').unwrap_or(text.len() - end);
        let Some(source) = text.get(start..end) else { continue };
        let Ok(formatted) = weir_compiler::format(&view.name, source) else { continue };
        let found = differences(source, formatted.trim_end_matches('\n'));
        edits.extend(found.map(|(range, new)| edit(view, start + range.start..start + range.end, new)));
    }
    edits
}

/// Returns the lines that differ, as a range of the first text with its replacement: all lines between those at the beginning
/// and at the end that are equal.
pub(crate) fn differences<'t>(
    before: &str,
    after: &'t str,
) -> impl Iterator<Item = (Range<usize>, &'t str)> + use<'t> {
    let lines = |text: &str| text.split_inclusive('\n').map(str::len).collect::<Vec<_>>();
    let equal = before.split_inclusive('\n').zip(after.split_inclusive('\n'));
    let start: usize = equal.take_while(|(one, other)| one == other).map(|(line, _)| line.len()).sum();
    let (rest_before, rest_after) = (&before[start..], &after[start..]);
    let (ends_before, ends_after) = (lines(rest_before), lines(rest_after));
    let mut tail = 0;
    for (one, other) in ends_before.iter().rev().zip(ends_after.iter().rev()) {
        let line = |text: &str, length: usize| text[text.len() - tail - length..text.len() - tail].to_owned();
        if one != other || line(rest_before, *one) != line(rest_after, *other) {
            break;
        }
        tail += one;
    }
    let range = start..before.len() - tail;
    let new = &after[start..after.len() - tail];
    (before != after).then_some((range, new)).into_iter()
}
