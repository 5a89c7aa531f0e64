//! Completion: what fits at a place.

use std::collections::HashMap;

use gen_lsp_types::{
    CompletionItem, CompletionItemKind, CompletionItemLabelDetails, CompletionList, CompletionParams,
    CompletionResponse, InsertTextFormat, MarkupContent, MarkupKind, Range, TextEdit,
};
use weir_compiler::{Candidate, CandidateKind, Part, Place, complete};
use weir_grammar::tree::{ItemKind, Role};

use crate::dispatch::Answer;
use crate::places::View;
use crate::session::Session;
use crate::uris;

/// The most candidates of one answer. With more, the client asks again when more has been typed.
const CANDIDATES_MAX: usize = 500;

pub(crate) fn completion(
    session: &mut Session<'_>,
    params: CompletionParams,
) -> Answer<Option<CompletionResponse>> {
    let at = params.text_document_position_params;
    let Some(view) = session.view(at.text_document.uri.as_ref()) else { return Ok(None) };
    let offset = view.offset(at.position) as usize;
    if let Some(items) = imports(session, &view, offset) {
        return Ok(Some(list(items, false).into()));
    }
    let place = Place { entry: &view.name, file: &view.name, offset };
    let options = session.options();
    let found = complete(&session.texts(), place, &view.library, &options, &view.analysis);
    let range = view.places.range(view.span(found.replaced.start, found.replaced.end));
    let typed = &view.text()[found.replaced.start..offset.clamp(found.replaced.start, found.replaced.end)];
    let starts_line =
        view.text()[..found.replaced.start].ends_with(['\n', ' ', '\t']) || found.replaced.start == 0;
    let mut candidates = found.candidates;
    // Candidates that begin with the typed text stay in front when there are too many.
    candidates.sort_by_key(|candidate| !candidate.name.starts_with(typed));
    let many = candidates.len() > CANDIDATES_MAX;
    candidates.truncate(CANDIDATES_MAX);
    let writer = Writer { range, snippets: session.client.has_snippets };
    let mut items: Vec<CompletionItem> = Vec::new();
    let begins_item = starts_line && candidates.iter().any(|candidate| candidate.name == "source");
    for (index, candidate) in candidates.iter().enumerate() {
        items.push(writer.item(candidate, index));
    }
    if begins_item && writer.snippets {
        items.extend(components(&view, &writer));
    }
    Ok(Some(list(items, many).into()))
}

fn list(items: Vec<CompletionItem>, is_incomplete: bool) -> CompletionList {
    CompletionList { is_incomplete, items, ..CompletionList::default() }
}

/// Writes candidates as items of the protocol.
struct Writer {
    range: Range,
    snippets: bool,
}

impl Writer {
    fn item(&self, candidate: &Candidate, index: usize) -> CompletionItem {
        let name = &candidate.name;
        let snippet = if self.snippets { snippet(candidate) } else { None };
        let plain = match candidate.kind {
            CandidateKind::Setting { .. } => format!("{name}: "),
            _ => name.clone(),
        };
        let format = snippet.as_ref().map(|_| InsertTextFormat::Snippet);
        let edit = TextEdit { range: self.range, new_text: snippet.unwrap_or(plain) };
        let documentation =
            MarkupContent { kind: MarkupKind::Markdown, value: candidate.documentation.to_string() };
        let foreign = candidate.known_as.iter().fold(name.clone(), |all, foreign| format!("{all} {foreign}"));
        CompletionItem {
            label: name.clone(),
            label_details: (!candidate.detail.is_empty()).then(|| CompletionItemLabelDetails {
                detail: None,
                description: Some(candidate.detail.clone()),
            }),
            kind: Some(kind(candidate.kind)),
            detail: (!candidate.detail.is_empty()).then(|| candidate.detail.clone()),
            documentation: (!candidate.documentation.is_empty()).then(|| documentation.into()),
            sort_text: Some(format!("{index:04}")),
            // A user of another tool finds the name by the other tool's word for it.
            filter_text: (!candidate.known_as.is_empty()).then_some(foreign),
            insert_text_format: format,
            text_edit: Some(edit.into()),
            ..CompletionItem::default()
        }
    }
}

/// Returns the text with places to fill in, if a name does not stand alone.
fn snippet(candidate: &Candidate) -> Option<String> {
    let name = &candidate.name;
    let parts = candidate.parts.as_deref();
    match candidate.kind {
        CandidateKind::Setting { .. } => Some(format!("{name}: $0")),
        CandidateKind::Function | CandidateKind::Interceptor => {
            let places = parts.unwrap_or_default().iter().enumerate();
            let places: Vec<String> =
                places.map(|(at, part)| format!("${{{}:{}}}", at + 1, part.name)).collect();
            Some(format!("{name}({})$0", places.join(", ")))
        }
        CandidateKind::Type => {
            let places = 1..=parts?.len();
            let places: Vec<String> = places.map(|at| format!("${at}")).collect();
            Some(match name.as_str() {
                "Map" => format!("{name}<{}>$0", places.join(", ")),
                _ => format!("{name}({})$0", places.join(", ")),
            })
        }
        CandidateKind::Kind(_) | CandidateKind::Variant => Some(format!("{name} {}", block(parts?, 1))),
        _ => None,
    }
}

/// Returns a block of settings with a place to fill in for each; the places are numbered from `first`.
fn block(parts: &[Part], first: usize) -> String {
    let entries =
        parts.iter().enumerate().map(|(at, part)| format!("{}: {}", part.name, hole(part, first + at)));
    let entries: Vec<String> = entries.collect();
    match entries.len() {
        0 => "{$0}".to_owned(),
        1 => format!("{{ {} }}$0", entries[0]),
        _ => format!("{{\n\t{}\n}}$0", entries.join("\n\t")),
    }
}

fn hole(part: &Part, number: usize) -> String {
    match part.type_name.as_str() {
        "Int" | "Float" | "Bool" | "Duration" | "Size" | "Secret" => format!("${number}"),
        list if list.starts_with('[') => format!("[\"${number}\"]"),
        name if name.chars().all(|letter| letter.is_ascii_alphabetic()) && is_textual(name) => {
            format!("\"${number}\"")
        }
        _ => format!("${number}"),
    }
}

fn is_textual(name: &str) -> bool {
    matches!(name, "Text" | "Template" | "Url" | "Address" | "Glob" | "Regex" | "Zone" | "Network" | "Grok")
}

/// Returns whole components: `source in = kafka { … }` with the required settings.
fn components(view: &View, writer: &Writer) -> Vec<CompletionItem> {
    let roles = [(Role::Source, "source"), (Role::Channel, "channel"), (Role::Sink, "sink")];
    let mut items = Vec::new();
    for (role, word) in roles {
        for candidate in view.library.kinds(role) {
            let parts = candidate.parts.as_deref().unwrap_or_default();
            let text = format!("{word} ${{1:name}} = {} {}", candidate.name, block(parts, 2));
            let item = writer.item(&candidate, 900);
            let edit = TextEdit { range: writer.range, new_text: text };
            items.push(CompletionItem {
                label: format!("{word} {}", candidate.name),
                kind: Some(CompletionItemKind::Snippet),
                insert_text_format: Some(InsertTextFormat::Snippet),
                filter_text: Some(format!("{word} {}", candidate.name)),
                text_edit: Some(edit.into()),
                ..item
            });
        }
    }
    items
}

fn kind(kind: CandidateKind) -> CompletionItemKind {
    match kind {
        CandidateKind::Keyword => CompletionItemKind::Keyword,
        CandidateKind::Unit => CompletionItemKind::Unit,
        CandidateKind::Component(_) => CompletionItemKind::Module,
        CandidateKind::Kind(_) | CandidateKind::Parser => CompletionItemKind::Class,
        CandidateKind::Setting { .. } => CompletionItemKind::Property,
        CandidateKind::Variant => CompletionItemKind::EnumMember,
        CandidateKind::Field | CandidateKind::Header => CompletionItemKind::Field,
        CandidateKind::Function | CandidateKind::Interceptor => CompletionItemKind::Function,
        CandidateKind::Schema | CandidateKind::Type => CompletionItemKind::Struct,
        CandidateKind::Quality => CompletionItemKind::Interface,
        CandidateKind::Param | CandidateKind::Let => CompletionItemKind::Constant,
        CandidateKind::Local | CandidateKind::Parameter => CompletionItemKind::Variable,
        CandidateKind::Import => CompletionItemKind::File,
    }
}

/// Returns the files and folders that an import may name, if the position is in the path of an import.
fn imports(session: &Session<'_>, view: &View, offset: usize) -> Option<Vec<CompletionItem>> {
    let text = view.text();
    let line = text[..offset].rfind('\n').map_or(0, |end| end + 1);
    let typed = text[line..offset].strip_prefix("import")?.trim_start().strip_prefix('"')?;
    if typed.contains('"') {
        return None;
    }
    let (inner, begun) = typed.rsplit_once('/').map_or(("", typed), |(folder, begun)| (folder, begun));
    let own = uris::folder(&view.name)?;
    let folder = if inner.starts_with('/') { inner.to_owned() } else { format!("{own}/{inner}") };
    let folder = weir_compiler::normalized_path(&folder);
    let rest = &text[offset..];
    let end = offset + rest.find(['"', '\n']).unwrap_or(rest.len());
    let range = view.places.range(view.span(offset - begun.len(), end));
    let known = imported(view);
    let names = session.disk.entries(&folder).into_iter().filter(|name| {
        let full = format!("{folder}/{name}");
        !name.starts_with('.') && (name.ends_with('/') || name.ends_with(".flow") && full != view.name)
    });
    let items = names.map(|name| {
        let is_folder = name.ends_with('/');
        let again = known.contains_key(&format!("{folder}/{name}"));
        CompletionItem {
            kind: Some(if is_folder { CompletionItemKind::Folder } else { CompletionItemKind::File }),
            sort_text: Some(format!("{}{name}", u8::from(again))),
            text_edit: Some(TextEdit { range, new_text: name.clone() }.into()),
            label: name,
            ..CompletionItem::default()
        }
    });
    Some(items.collect())
}

/// Returns the files that a file imports already.
fn imported(view: &View) -> HashMap<String, ()> {
    let folder = uris::folder(&view.name).unwrap_or_default();
    let items = view.analysis.tree(view.file).into_iter().flat_map(|tree| &tree.items);
    let paths = items.filter_map(|item| match &item.kind {
        ItemKind::Import(import) => Some(format!("{folder}/{}", import.path)),
        _ => None,
    });
    paths.map(|path| (weir_compiler::normalized_path(&path), ())).collect()
}
