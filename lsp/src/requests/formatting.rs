//! Formatting: the canonical form of a document.

use gen_lsp_types::{DocumentFormattingParams, TextEdit};

use crate::dispatch::Answer;
use crate::places::View;
use crate::session::Session;

pub(crate) fn document(
    session: &mut Session<'_>,
    params: DocumentFormattingParams,
) -> Answer<Option<Vec<TextEdit>>> {
    let Some(view) = session.view(params.text_document.uri.as_ref()) else { return Ok(None) };
    Ok(edits(&view))
}

/// Returns the edits that make the document canonical; `None` if it has syntax errors.
fn edits(view: &View) -> Option<Vec<TextEdit>> {
    let text = view.text();
    let formatted = weir_compiler::format(&view.name, text).ok()?;
    Some(
        differences(text, &formatted)
            .map(|(range, new_text)| {
                let range = view.places.range(view.span(range.start, range.end));
                TextEdit { range, new_text: new_text.to_owned() }
            })
            .collect(),
    )
}

/// Returns the lines that differ, as ranges of the first text with their replacements. Only lines at the beginning and the
/// end that are equal are left out.
fn differences<'t>(
    before: &str,
    after: &'t str,
) -> impl Iterator<Item = (std::ops::Range<usize>, &'t str)> + use<'t> {
    let equal = before.bytes().zip(after.bytes()).take_while(|(one, other)| one == other).count();
    let start = before[..floor(before, equal)].rfind('\n').map_or(0, |end| end + 1);
    let rest = before.len().min(after.len()) - start;
    let tails = before.bytes().rev().zip(after.bytes().rev()).take(rest);
    let tail = tails.take_while(|(one, other)| one == other).count();
    let tail_start = floor(before, before.len() - tail);
    let tail = before[tail_start..].find('\n').map_or(0, |end| before.len() - (tail_start + end + 1));
    let range = start..before.len() - tail;
    let new = &after[start..after.len() - tail];
    (before != after).then_some((range, new)).into_iter()
}

/// Returns the start of the character at an offset.
fn floor(text: &str, mut offset: usize) -> usize {
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
