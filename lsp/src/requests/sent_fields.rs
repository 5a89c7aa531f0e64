//! The fields of events that tests send. A schema gives them a meaning only when a step parses the events, so the checker notes no
//! use.

use weir_compiler::analysis::{Definition, DefinitionKind};
use weir_grammar::Span;
use weir_grammar::tree::{Act, ActKind, ItemKind, Node, walk};

use crate::dispatch::{Answer, Failure};
use crate::places::View;
use crate::requests::references::{Mention, same_definition};
use crate::session::Session;

/// Returns the places where tests of all programs send a field of a schema.
///
/// # Errors
/// When another schema of such a program has a field of the same name, since the sent field may be that one.
pub(crate) fn sent(session: &Session<'_>, view: &View, definition: &Definition) -> Answer<Vec<Mention>> {
    let mut found: Vec<Mention> = Vec::new();
    if definition.kind != DefinitionKind::Field {
        return Ok(found);
    }
    let file = view.analysis.files.name(definition.span);
    for (entry, _) in session.programs.iter() {
        let Some(other) = session.view_in(entry, entry) else { continue };
        let Some(own) = same_definition(&other, file, definition.span) else { continue };
        let spans = sent_in(&other, &definition.name);
        let is_other = |known: &Definition| {
            known.kind == DefinitionKind::Field && known.name == own.name && known.span != own.span
        };
        if !spans.is_empty() && other.analysis.definitions().any(is_other) {
            let name = &definition.name;
            return Err(Failure::refused(format!(
                "a test sends `{name}`, and several schemas have such a field: rename it by hand"
            )));
        }
        let mentions = spans.into_iter().filter_map(|span| {
            let file = other.analysis.files.name(span).to_owned();
            Some(Mention { file, span, location: other.places.location(span)? })
        });
        for mention in mentions {
            if !found.iter().any(|known| known.location == mention.location) {
                found.push(mention);
            }
        }
    }
    Ok(found)
}

/// Returns the places of a name in the events that the tests of a program send.
fn sent_in(view: &View, name: &str) -> Vec<Span> {
    let files = view.analysis.program_files().filter_map(|file| view.analysis.file_named(file));
    let mut spans = Vec::new();
    for tree in files.filter_map(|file| view.analysis.tree(file)) {
        walk(tree, &mut |node| match node {
            Node::Item(item) => matches!(item.kind, ItemKind::Test(_)),
            Node::Act(Act { kind, .. }) => matches!(kind, ActKind::Send(..)),
            Node::Entry(entry) => {
                spans.extend((*entry.name.text == *name).then_some(entry.name.span));
                true
            }
            _ => true,
        });
    }
    spans
}
