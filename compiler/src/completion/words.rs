//! The keywords that the grammar allows at a place, without those that no program may have there.

use weir_grammar::tree::{ItemKind, Node};
use weir_grammar::{Continuation, FileId, TokenKind, tokens};

use crate::analysis::Analysis;
use crate::completion::context::At;
use crate::completion::marked;
use crate::types::Type;

/// The words of signatures, which only the library has.
const OF_LIBRARY: [&str; 25] = [
    "extern",
    "enum",
    "record",
    "default",
    "exclusive",
    "unless",
    "emits",
    "needs",
    "flat",
    "loses",
    "repeats",
    "orders",
    "reads",
    "writes",
    "requires",
    "puts",
    "takes",
    "waits",
    "holds",
    "uses",
    "stores",
    "rolls",
    "varies",
    "masks",
    "fails",
];

/// Returns what the grammar allows after the text before a word.
pub(super) fn words(known: &Analysis, file: FileId, text: &str, start: usize) -> Option<Continuation> {
    let item = marked::item_start(known, file, start);
    let begun = &text[item..start];
    let mut following = weir_grammar::continuation(begun)?;
    following.words.retain(|word| !OF_LIBRARY.contains(&word.as_str()) && may_follow_type(begun, word));
    Some(following)
}

/// Removes words that are wrong at the mark.
pub(super) fn for_place(mut following: Continuation, at: &At<'_>) -> Continuation {
    let nodes = at.nodes();
    // Settings and constants have no `match`.
    let is_constant = nodes.iter().any(|node| match node {
        Node::Item(item) => {
            matches!(
                item.kind,
                ItemKind::Component(_) | ItemKind::Agent(_) | ItemKind::Param(_) | ItemKind::Let(_)
            )
        }
        _ => false,
    });
    following.words.retain(|word| !(is_constant && word == "match"));
    following
}

/// Returns whether a range, a unit or a pattern may follow the type at the end of a field or a param.
fn may_follow_type(begun: &str, word: &str) -> bool {
    if !matches!(word, "in" | "as") {
        return true;
    }
    let tokens: Vec<_> = tokens(begun).filter(|token| token.kind != TokenKind::Comment).collect();
    let text = |index: usize| tokens.get(index).map_or("", |token| &begun[token.range.clone()]);
    let Some(colon) = (0..tokens.len()).rev().find(|index| text(*index) == ":") else { return true };
    let is_name = colon + 2 == tokens.len() || colon + 3 == tokens.len() && text(colon + 2) == "?";
    let named = Type::built_in(text(colon + 1)).filter(|_| is_name);
    match (text(0), word) {
        ("schema", "in") => matches!(named, Some(Type::Int | Type::Duration)),
        ("schema", _) => named == Some(Type::Time),
        ("param", _) => {
            named.is_some_and(|named| !named.is_textual() && named != Type::Bool && named != Type::Secret)
        }
        _ => true,
    }
}
