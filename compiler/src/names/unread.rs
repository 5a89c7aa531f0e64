//! The components in the unread parts of flows: they may get events with unknown columns.

use std::collections::HashSet;

use weir_grammar::Span;
use weir_grammar::tree::{Chain, Item, ItemKind, Stage};

use crate::files::modules::Module;
use crate::files::sources::Files;
use crate::names::scopes::{ComponentIndex, Meaning, Scopes};

/// Returns the components that the unread parts of a program's flows mention.
pub(crate) fn components(modules: &[Module], scopes: &Scopes<'_>, files: &Files) -> HashSet<ComponentIndex> {
    let items = modules.first().into_iter().flat_map(|module| &module.tree.items);
    let mut found = HashSet::new();
    for item in items {
        let text = files.text(item.span);
        if !is_unread(item, text) {
            continue;
        }
        let read = match &item.kind {
            ItemKind::Flow(flow) => flow.chains.iter().flat_map(read_stages).collect(),
            _ => Vec::new(),
        };
        for (start, word) in words(text) {
            let place = item.span.start + start as u32;
            let is_read = read.iter().any(|span: &Span| span.start <= place && place < span.end);
            if !is_read
                && let Some(Meaning::Component(index, _)) =
                    scopes.get(item.span.file, word).map(|named| named.meaning)
            {
                found.insert(index);
            }
        }
    }
    found
}

fn is_unread(item: &Item, text: &str) -> bool {
    match &item.kind {
        ItemKind::Flow(flow) => flow.broken,
        ItemKind::Broken(_) => text.starts_with("flow"),
        _ => false,
    }
}

/// Returns the places of the names and steps of a chain, including those of its branches.
fn read_stages(chain: &Chain) -> Vec<Span> {
    let inner = |chains: &mut dyn Iterator<Item = &Chain>| chains.flat_map(read_stages).collect();
    let stages = chain.stages.iter().flat_map(|stage| match stage {
        Stage::Name(_) | Stage::Step(_) => vec![stage.span()],
        Stage::Copy(copy) => inner(&mut copy.branches.iter().map(|branch| &branch.chain)),
        Stage::Choice(choice) => inner(&mut choice.cases.iter().map(|case| &case.chain)),
        Stage::Balance(balance) => inner(&mut balance.chains.iter()),
        Stage::Failover(failover) => inner(&mut failover.chains.iter()),
    });
    stages.collect()
}

/// Returns the words of a text with their offsets.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.split(move |letter| !is_word(letter))
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}
