//! Renaming: of the names that the program itself declares, in all files.

use std::collections::{BTreeSet, HashMap};

use gen_lsp_types::{
    LinkedEditingRangeParams, LinkedEditingRanges, PrepareRenameParams, PrepareRenameResult, Range,
    RenameParams, TextEdit, Uri, WorkspaceEdit,
};
use weir_compiler::analysis::{Definition, DefinitionKind};
use weir_grammar::Span;

use crate::dispatch::{Answer, Failure};
use crate::edits::workspace_edit;
use crate::places::View;
use crate::requests::references::{Mention, mentions, of_file};
use crate::requests::sent_fields::sent;
use crate::session::Session;

pub(crate) fn prepare(
    session: &mut Session<'_>,
    params: PrepareRenameParams,
) -> Answer<Option<PrepareRenameResult>> {
    let at = params.text_document_position_params;
    let Some(view) = session.view(at.text_document.uri.as_ref()) else { return Ok(None) };
    let offset = view.offset(at.position);
    let Some(place) = place_at(&view, offset) else { return Ok(None) };
    renamable(&view, offset)?;
    Ok(Some(PrepareRenameResult::Range(view.places.range(place))))
}

pub(crate) fn rename(session: &mut Session<'_>, params: RenameParams) -> Answer<Option<WorkspaceEdit>> {
    let at = params.text_document_position_params;
    let Some(view) = session.view(at.text_document.uri.as_ref()) else { return Ok(None) };
    let offset = view.offset(at.position);
    let definitions = renamable(&view, offset)?;
    let Some(first) = definitions.first() else { return Ok(None) };
    let is_header = first.name.starts_with('@');
    let new_name = params.new_name.trim();
    let bare = new_name.strip_prefix('@').filter(|_| is_header).unwrap_or(new_name);
    // A reserved word stands in backticks; the edits write them.
    let quoted = bare.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    let bare = quoted.filter(|_| !is_header).unwrap_or(bare);
    fits(bare, first.kind)?;
    let mut found = mentions(session, &view, offset, true);
    for mention in sent(session, &view, first)? {
        if !found.iter().any(|known| known.location == mention.location) {
            found.push(mention);
        }
    }
    let written = if is_header { format!("@{bare}") } else { bare.to_owned() };
    let edits = edits(session, &found, &first.name, &written);
    unchanged_meaning(session, &found, &edits)?;
    let mut changes: HashMap<Uri, Vec<TextEdit>> = HashMap::new();
    for (_, location, new_text) in edits {
        changes.entry(location.uri).or_default().push(TextEdit { range: location.range, new_text });
    }
    Ok(Some(workspace_edit(session, changes)))
}

/// Returns the place of the name at a position.
fn place_at(view: &View, offset: u32) -> Option<Span> {
    let places = of_file(view, offset).into_iter().map(|(span, _)| span);
    places.into_iter().find(|span| span.start <= offset && offset <= span.end)
}

/// Returns the definitions at a position, which the program itself has.
fn renamable(view: &View, offset: u32) -> Answer<Vec<&Definition>> {
    let definitions = view.analysis.definitions_at(view.file, offset);
    for definition in &definitions {
        if view.analysis.tree(definition.span.file).is_none() {
            return Err(Failure::refused(format!("`{}` is a name of the library", definition.name)));
        }
        if view.analysis.files.text(definition.span).trim_matches('`') != &*definition.name {
            return Err(Failure::refused(format!("`{}` is a part of a pattern", definition.name)));
        }
    }
    Ok(definitions)
}

/// Checks that a name is one that the kind may have.
fn fits(name: &str, kind: DefinitionKind) -> Answer<()> {
    let letters = name.chars().all(weir_grammar::is_of_word);
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if name.is_empty() || !letters || !begins {
        return Err(Failure::refused(format!("`{name}` is no name: a name has letters, digits and `_`")));
    }
    if name.chars().all(|letter| letter == '_') {
        return Err(Failure::refused(format!(
            "`{name}` is no name: in a `match`, it stands for all other values"
        )));
    }
    if kind == DefinitionKind::Schema && weir_compiler::is_built_in_type(name) {
        return Err(Failure::refused(format!("`{name}` is a type of the language")));
    }
    match weir_compiler::styled_name(name, kind) {
        Some(right) if right != name => {
            Err(Failure::refused(format!("`{name}` is not in the style of such a name: write `{right}`")))
        }
        _ => Ok(()),
    }
}

/// An edit: the file, the place, and the new text.
type Edit = (String, gen_lsp_types::Location, String);

fn edits(session: &Session<'_>, found: &[Mention], old: &str, new: &str) -> Vec<Edit> {
    let reserved = weir_grammar::RESERVED_WORDS.contains(&new);
    let written = |mention: &Mention| {
        let view = session.view_in(&mention.file, &mention.file);
        let text = view.as_ref().map_or("", |view| mention.span.slice(view.text()));
        let name = if reserved { format!("`{new}`") } else { new.to_owned() };
        // The mention of a header in a text or a signature may be without its `@`.
        match (old.strip_prefix('@'), new.strip_prefix('@')) {
            (Some(bare), Some(new)) if text == bare => new.to_owned(),
            _ => name,
        }
    };
    found.iter().map(|mention| (mention.file.clone(), mention.location.clone(), written(mention))).collect()
}

/// Checks that every program that reads a changed file means the same with the new name: it has no new error, and each name
/// leads to the definition that it led to before.
fn unchanged_meaning(session: &mut Session<'_>, found: &[Mention], edits: &[Edit]) -> Answer<()> {
    let files: BTreeSet<&str> = found.iter().map(|mention| mention.file.as_str()).collect();
    let mut texts: HashMap<String, String> = HashMap::new();
    for file in &files {
        let Some(view) = session.view(&crate::uris::uri(file)) else { continue };
        let mut own: Vec<(Range, &str)> = edits
            .iter()
            .filter(|(of, ..)| of == file)
            .map(|(_, location, text)| (location.range, text.as_str()))
            .collect();
        own.sort_by_key(|(range, _)| std::cmp::Reverse((range.start.line, range.start.character)));
        let mut text = view.text().to_owned();
        for (range, new) in own {
            let span = view.places.span(view.file, range);
            text.replace_range(span.start as usize..span.end as usize, new);
        }
        texts.insert((*file).to_owned(), text);
    }
    let mut entries: BTreeSet<String> = BTreeSet::new();
    for file in &files {
        entries.extend(session.programs.readers(file));
    }
    for entry in entries {
        let Some(before) = session.programs.get(&entry).and_then(|program| program.analysis.clone()) else {
            continue;
        };
        let after = session.analyse_with(&entry, &texts);
        let count = |analysis: &weir_compiler::Analysis| {
            analysis.diagnostics.iter().map(weir_compiler::Diagnostic::code).collect::<Vec<_>>()
        };
        let uses = |analysis: &weir_compiler::Analysis| analysis.all_uses().count();
        if count(&before) != count(&after) || uses(&before) != uses(&after) {
            return Err(Failure::refused("the new name would change what the program means"));
        }
    }
    Ok(())
}

/// Returns the places of a local name that are edited together.
pub(crate) fn linked(
    session: &mut Session<'_>,
    params: LinkedEditingRangeParams,
) -> Answer<Option<LinkedEditingRanges>> {
    let at = params.text_document_position_params;
    let Some(view) = session.view(at.text_document.uri.as_ref()) else { return Ok(None) };
    let offset = view.offset(at.position);
    let definitions = renamable(&view, offset).unwrap_or_default();
    let local = |definition: &&Definition| {
        matches!(definition.kind, DefinitionKind::Local | DefinitionKind::Parameter)
    };
    if definitions.is_empty() || !definitions.iter().all(local) {
        return Ok(None);
    }
    let places = of_file(&view, offset);
    let text = |span: Span| view.analysis.files.text(span);
    let first = places.first().map(|(span, _)| text(*span)).unwrap_or_default();
    if !places.iter().all(|(span, _)| text(*span) == first) {
        return Ok(None);
    }
    let ranges = places.into_iter().map(|(span, _)| view.places.range(span)).collect();
    Ok(Some(LinkedEditingRanges { ranges, word_pattern: Some("[a-zA-Z_][a-zA-Z0-9_]*".to_owned()) }))
}
