//! The setting `quality` of every sink: the qualities that it checks on each arrow into it.

use std::borrow::Cow;

use weir_grammar::tree::{Block, Entry, Expression, ExpressionKind, Name, Path};

use super::literals::found;
use crate::checker::Checker;
use crate::diagnostics::{DuplicateEntry, WrongType};

/// The name of the setting. No signature has it, since it belongs to every sink.
const QUALITY: &str = "quality";

/// Takes the setting from the settings of a sink. Returns the other settings and the qualities.
pub(crate) fn taken_from<'b>(block: &'b Block, checker: &mut Checker<'_>) -> (Cow<'b, Block>, Vec<Path>) {
    let (own, others): (Vec<&Entry>, Vec<&Entry>) =
        block.entries.iter().partition(|entry| &*entry.name.text == QUALITY);
    let Some((first, more)) = own.split_first() else { return (Cow::Borrowed(block), Vec::new()) };
    for second in more {
        let (name, first, second) = (QUALITY.to_owned(), first.name.span, second.name.span);
        checker.report(DuplicateEntry { name, first, second });
    }
    let others = Block { entries: others.into_iter().cloned().collect(), ..block.clone() };
    let qualities = match &first.value.kind {
        ExpressionKind::List(items) => items.iter().filter_map(|item| path(item, checker)).collect(),
        ExpressionKind::Broken => Vec::new(),
        _ => {
            let (expected, found) = ("list of qualities".to_owned(), found(&first.value));
            checker.report(WrongType::new(expected, found, first.value.span));
            Vec::new()
        }
    };
    (Cow::Owned(others), qualities)
}

/// Returns the name of a quality, possibly of another file.
fn path(item: &Expression, checker: &mut Checker<'_>) -> Option<Path> {
    let name = |text: &str, span| Name { text: text.into(), span };
    match &item.kind {
        ExpressionKind::Name(text) => Some(Path { qualifier: None, name: name(text, item.span) }),
        ExpressionKind::Member(of, member) => match &of.kind {
            ExpressionKind::Name(text) => {
                Some(Path { qualifier: Some(name(text, of.span)), name: member.clone() })
            }
            _ => wrong(item, checker),
        },
        ExpressionKind::Broken => None,
        _ => wrong(item, checker),
    }
}

fn wrong(item: &Expression, checker: &mut Checker<'_>) -> Option<Path> {
    checker.report(WrongType::new("quality".to_owned(), found(item), item.span));
    None
}
