//! Folding and selection ranges, and links to imported files.

use gen_lsp_types::{
    DocumentLink, DocumentLinkParams, FoldingRange, FoldingRangeKind, FoldingRangeParams, SelectionRange,
    SelectionRangeParams,
};
use weir_grammar::Span;
use weir_grammar::tree::{ItemKind, Node, nodes_at, walk};

use crate::dispatch::Answer;
use crate::places::View;
use crate::session::Session;
use crate::uris;

pub(crate) fn folding(
    session: &mut Session<'_>,
    params: FoldingRangeParams,
) -> Answer<Option<Vec<FoldingRange>>> {
    let Some(view) = session.view(params.text_document.uri.as_ref()) else { return Ok(None) };
    let Some(tree) = view.analysis.tree(view.file) else { return Ok(None) };
    let mut ranges = Vec::new();
    walk(tree, &mut |node| {
        // Items and what has braces or several lines can be folded.
        if matches!(node, Node::Item(_) | Node::Block(_) | Node::Stage(_) | Node::Expression(_)) {
            ranges.extend(fold(&view, node.span(), None));
        }
        true
    });
    let comments = tree.comments.iter().map(|comment| comment.span);
    ranges.extend(
        runs(&view, comments.collect()).filter_map(|span| fold(&view, span, Some(FoldingRangeKind::Comment))),
    );
    let imports = tree.items.iter().filter(|item| matches!(item.kind, ItemKind::Import(_)));
    let imports = runs(&view, imports.map(|item| item.span).collect());
    ranges.extend(imports.filter_map(|span| fold(&view, span, Some(FoldingRangeKind::Imports))));
    ranges.sort_by_key(|range| (range.start_line, std::cmp::Reverse(range.end_line)));
    ranges.dedup_by_key(|range| (range.start_line, range.end_line));
    Ok(Some(ranges))
}

fn fold(view: &View, span: Span, kind: Option<FoldingRangeKind>) -> Option<FoldingRange> {
    let range = view.places.range(span);
    (range.start.line < range.end.line).then_some(FoldingRange {
        start_line: range.start.line,
        start_character: None,
        end_line: range.end.line,
        end_character: None,
        kind,
        collapsed_text: None,
    })
}

/// Joins spans on consecutive lines.
fn runs(view: &View, spans: Vec<Span>) -> impl Iterator<Item = Span> {
    let mut runs: Vec<Span> = Vec::new();
    for span in spans {
        match runs.last_mut() {
            Some(last) if view.places.range(*last).end.line + 1 == view.places.range(span).start.line => {
                last.end = span.end;
            }
            _ => runs.push(span),
        }
    }
    runs.into_iter()
}

pub(crate) fn selection(
    session: &mut Session<'_>,
    params: SelectionRangeParams,
) -> Answer<Option<Vec<SelectionRange>>> {
    let Some(view) = session.view(params.text_document.uri.as_ref()) else { return Ok(None) };
    let ranges = params.positions.iter().map(|position| selection_at(&view, view.offset(*position)));
    Ok(Some(ranges.collect()))
}

/// Returns the word at a position within all nodes around it, within the document.
fn selection_at(view: &View, offset: u32) -> SelectionRange {
    let text = view.text();
    let mut spans = vec![view.span(0, text.len())];
    if let Some(tree) = view.analysis.tree(view.file) {
        spans.extend(nodes_at(tree, offset).iter().map(Node::span));
    }
    let at = offset as usize;
    let is_word = weir_grammar::is_of_word;
    let start = text[..at]
        .rfind(|letter| !is_word(letter))
        .map_or(0, |before| before + text[before..].chars().next().map_or(1, char::len_utf8));
    let end = at + text[at..].find(|letter| !is_word(letter)).unwrap_or(text.len() - at);
    spans.push(view.span(start, end));
    // Each range contains the next one.
    let mut nested: Option<SelectionRange> = None;
    let mut outer = spans[0];
    for span in spans {
        if !outer.contains(span) || nested.is_some() && span == outer {
            continue;
        }
        outer = span;
        nested = Some(SelectionRange { range: view.places.range(span), parent: nested.map(Box::new) });
    }
    nested.unwrap_or_default()
}

pub(crate) fn links(
    session: &mut Session<'_>,
    params: DocumentLinkParams,
) -> Answer<Option<Vec<DocumentLink>>> {
    let Some(view) = session.view(params.text_document.uri.as_ref()) else { return Ok(None) };
    let Some(tree) = view.analysis.tree(view.file) else { return Ok(None) };
    let links = tree.items.iter().filter_map(|item| {
        let ItemKind::Import(import) = &item.kind else { return None };
        let name = view.analysis.imported_file(view.file, import.path_span)?;
        Some(DocumentLink {
            range: view.places.range(inside(import.path_span)),
            target: Some(uris::uri(name).into()),
            tooltip: None,
            data: None,
        })
    });
    Ok(Some(links.collect()))
}

/// Returns a text without its quotes.
fn inside(span: Span) -> Span {
    let start = (span.start + 1).min(span.end);
    Span { start, end: span.end.saturating_sub(1).max(start), ..span }
}
