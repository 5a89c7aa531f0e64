//! The text with a mark in place of the word that is to be completed.

use std::ops::Range;

use weir_grammar::tree::{self, ItemKind};
use weir_grammar::{FileId, TokenKind, parse, tokens};

use crate::analysis::Analysis;
use crate::completion::context::{MARK, is_known};

/// The texts that may have to follow the mark so that the item can be parsed: nothing, the value of a setting, the settings of a
/// component, the arguments of an interceptor, the target of a case, or the value of an arm.
const FOLLOWING: [&str; 7] = ["", ": null", " {}", "()", " -> drop", " => null", " = null"];

/// A text in which the item with the mark can be parsed.
pub(super) struct Marked {
    /// The complete text of the file.
    pub(super) text: String,
    /// The tree of the item alone, with the places of the complete text.
    pub(super) tree: tree::File,
    /// The place of the mark.
    pub(super) position: u32,
    /// Whether the rest of the item can be parsed behind the mark.
    pub(super) is_whole: bool,
    /// The place of the item in the current text.
    pub(super) item: Range<usize>,
}

impl Marked {
    /// Puts the mark into the item around the replaced word. `None` if the item can't be parsed with a name there.
    pub(super) fn find(
        known: &Analysis,
        file: FileId,
        text: &str,
        replaced: &Range<usize>,
        in_text: bool,
    ) -> Option<Marked> {
        let start = item_start(known, file, replaced.start);
        let end = item_end(known, file, start).unwrap_or(text.len()).max(replaced.end).min(text.len());
        let (before, after) = (&text[start..replaced.start], &text[replaced.end..end]);
        let position = replaced.start as u32;
        let item = start..end;
        // The rest of the item is left out if it can't be parsed.
        for rest in [after, ""] {
            let close = if in_text && !after.starts_with(['}', ':', '.']) { "}" } else { "" };
            for following in if in_text { &FOLLOWING[..1] } else { &FOLLOWING } {
                let begun = format!("{before}{MARK}{following}{close}{rest}");
                let item_text = format!("{begun}{}", closing(&begun));
                let padding = " ".repeat(start);
                // Blanks before the item keep its places; the item begins its line.
                let padded = format!("{}{item_text}", line_break(&padding));
                let parsed = parse(file, &padded);
                if has_mark(&parsed.file, position) {
                    let text = format!("{}{item_text}{}", &text[..start], &text[end..]);
                    let is_whole = rest == after && following.is_empty();
                    return Some(Marked { text, tree: parsed.file, position, is_whole, item });
                }
            }
        }
        None
    }
}

/// Ends the blanks before an item with a newline, so that the item begins a line.
fn line_break(padding: &str) -> String {
    match padding.strip_suffix(' ') {
        Some(rest) => format!("{rest}\n"),
        None => String::new(),
    }
}

/// Returns whether a tree has a node at the position, which is not within a part that could not be parsed.
fn has_mark(file: &tree::File, position: u32) -> bool {
    let mut items = file.items.iter().filter(|item| item.span.start <= position && position <= item.span.end);
    let Some(item) = items.next() else { return false };
    if matches!(item.kind, ItemKind::Broken(_)) {
        return false;
    }
    is_known(file, item, position)
}

/// Returns the start of the item at a position: the start of the last item before it.
pub(super) fn item_start(known: &Analysis, file: FileId, position: usize) -> usize {
    let items = known.tree(file).map(|tree| tree.items.as_slice()).unwrap_or_default();
    let before = items.iter().map(|item| item.span.start as usize).take_while(|start| *start <= position);
    before.last().unwrap_or(0)
}

fn item_end(known: &Analysis, file: FileId, start: usize) -> Option<usize> {
    let items = &known.tree(file)?.items;
    items.iter().map(|item| item.span.start as usize).find(|next| *next > start)
}

/// Returns the place of the item at a word, and of the item that would begin with the word.
pub(super) fn items_around(
    known: &Analysis,
    file: FileId,
    text: &str,
    replaced: &Range<usize>,
) -> Range<usize> {
    let after = &text[replaced.end..];
    let next = replaced.end + (after.len() - after.trim_start_matches([' ', '\t']).len());
    let end = item_end(known, file, next).unwrap_or(text.len()).max(replaced.end);
    // An item that begins its line is not a part of the item before it.
    let begins_line = text[..replaced.start].ends_with('\n') || replaced.start == 0;
    let start = if begins_line { replaced.start } else { item_start(known, file, replaced.start) };
    start..end
}

/// Returns the brackets that close the open ones of a text.
fn closing(text: &str) -> String {
    let mut open = Vec::new();
    for token in tokens(text).filter(|token| token.kind == TokenKind::Mark) {
        match &text[token.range] {
            "(" => open.push(')'),
            "[" => open.push(']'),
            "{" => open.push('}'),
            ")" | "]" | "}" => {
                open.pop();
            }
            _ => {}
        }
    }
    let unclosed = tokens(text).last().filter(|last| last.kind == TokenKind::Text);
    let quote = unclosed.filter(|last| last.range.len() == 1 || !text[last.range.clone()].ends_with('"'));
    quote.map(|_| '"').into_iter().chain(open.into_iter().rev()).collect()
}
