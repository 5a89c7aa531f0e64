//! Writes the value of a let at its uses.

use gen_lsp_types::CodeActionKind;
use weir_compiler::analysis::DefinitionKind;
use weir_grammar::Span;
use weir_grammar::tree::{Expression, ExpressionKind, ItemKind, Node, nodes_at};

use super::Offer;
use super::diagnosed::start_with_comments;
use crate::places::View;
use crate::requests::references::mentions;
use crate::session::Session;

/// Replaces all uses of the let at a place by its value, and removes the let with its documentation.
pub(super) fn constant(session: &mut Session<'_>, view: &View, selected: Span) -> Option<Offer> {
    let definitions = view.analysis.definitions_at(view.file, selected.start);
    let [definition] = definitions.as_slice() else { return None };
    if definition.kind != DefinitionKind::Let || definition.span.file != view.file {
        return None;
    }
    let tree = view.analysis.tree(view.file)?;
    let item =
        tree.items.iter().find(|item| item.kind.name().is_some_and(|name| name.span == definition.span))?;
    let ItemKind::Let(constant) = &item.kind else { return None };
    let text = view.text();
    let value = constant.value.span.slice(text);
    let mut edits = Vec::new();
    for place in view.analysis.references(definition) {
        // A hole has no place for a value, and another file has its own names.
        let is_hole = nodes_at(tree, place.start).iter().any(|node| matches!(node, Node::Hole(_)));
        if place.file != view.file || is_hole {
            return None;
        }
        let new = if is_simple(&constant.value) { value.to_owned() } else { format!("({value})") };
        edits.push((place.start as usize..place.end as usize, new));
    }
    if edits.is_empty() {
        return None;
    }
    // Other programs that use the let would lose it.
    let others = mentions(session, view, selected.start, false);
    if others.iter().any(|mention| mention.file != view.name) {
        return None;
    }
    let start = start_with_comments(text, item.span.start as usize, "///");
    let end = item.span.end as usize;
    let rest = &text[end..];
    let line = rest.find('\n').map_or(rest.len(), |end| end + 1);
    // A comment behind the value stays, but not as the documentation of the next item.
    let comment = rest[..line].trim_start();
    let slashes = comment.len() - comment.trim_start_matches('/').len();
    edits.push(match slashes {
        0 => (start..end + line, String::new()),
        _ => (start..end + line - comment.len() + slashes, "//".to_owned()),
    });
    let kind = CodeActionKind::RefactorInline;
    Some(Offer { title: format!("inline `{}`", definition.name), kind, edits, of: None })
}

/// Returns whether a value needs no parentheses anywhere.
fn is_simple(value: &Expression) -> bool {
    use ExpressionKind::{Bool, Call, Header, List, Name, Null, Number, Paren, Text};
    matches!(
        value.kind,
        Bool(_) | Call(_) | Header(_) | List(_) | Name(_) | Null | Number(_) | Paren(_) | Text(_)
    )
}
