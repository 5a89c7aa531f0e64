//! The symbols of a document and of the workspace.

use gen_lsp_types::{
    BaseSymbolInformation, DocumentSymbol, DocumentSymbolParams, DocumentSymbolResponse, Location,
    SymbolInformation, SymbolKind, WorkspaceSymbolParams, WorkspaceSymbolResponse,
};
use weir_compiler::analysis::{Definition, DefinitionKind};
use weir_grammar::Span;
use weir_grammar::tree::ItemKind;

use crate::dispatch::Answer;
use crate::places::View;
use crate::session::Session;

/// The most symbols of one answer.
const SYMBOLS_MAX: usize = 1_000;

pub(crate) fn of_document(
    session: &mut Session<'_>,
    params: DocumentSymbolParams,
) -> Answer<Option<DocumentSymbolResponse>> {
    let Some(view) = session.view(params.text_document.uri.as_ref()) else { return Ok(None) };
    let mut symbols: Vec<DocumentSymbol> = Vec::new();
    let mut definitions: Vec<&Definition> = view.analysis.definitions_of(view.file).collect();
    // An item comes before the names within it.
    definitions.sort_by_key(|definition| (definition.whole.start, std::cmp::Reverse(definition.whole.end)));
    let mut last: Option<&Definition> = None;
    for definition in definitions {
        let symbol = symbol(&view, definition);
        let outer = last.filter(|last| last.whole.contains(definition.whole));
        match (outer, symbols.last_mut()) {
            (Some(_), Some(item)) => item.children.get_or_insert_default().push(symbol),
            _ => {
                last = Some(definition);
                symbols.push(symbol);
            }
        }
    }
    symbols.extend(tests(&view));
    symbols.sort_by_key(|symbol| (symbol.range.start.line, symbol.range.start.character));
    Ok(Some(symbols.into()))
}

fn symbol(view: &View, definition: &Definition) -> DocumentSymbol {
    let whole = if definition.whole.contains(definition.span) { definition.whole } else { definition.span };
    let name = definition.name.to_string();
    new_symbol(view, name, detail(view, definition), kind(definition.kind), whole, definition.span)
}

/// Returns the kind of a component, or the type of a field.
fn detail(view: &View, definition: &Definition) -> Option<String> {
    let text = definition.whole.slice(view.places.text(definition.span.file));
    match definition.kind {
        DefinitionKind::Component(_) => {
            let (_, kind) = text.split_once('=')?;
            Some(kind.split('{').next()?.trim().to_owned())
        }
        DefinitionKind::Field | DefinitionKind::Parameter | DefinitionKind::Setting => {
            text.split_once(':').map(|(_, type_name)| type_name.trim().to_owned())
        }
        _ => None,
    }
}

/// Returns the tests, which have titles and no names.
fn tests(view: &View) -> Vec<DocumentSymbol> {
    let items = view.analysis.tree(view.file).into_iter().flat_map(|tree| &tree.items);
    let tests = items.filter_map(|item| match &item.kind {
        ItemKind::Test(test) => {
            let title = if test.title.is_empty() { "test" } else { &*test.title };
            Some(new_symbol(view, title.to_owned(), None, SymbolKind::Method, item.span, test.title_span))
        }
        ItemKind::Agent(_) => {
            Some(new_symbol(view, "agent".to_owned(), None, SymbolKind::Object, item.span, item.span))
        }
        _ => None,
    });
    tests.collect()
}

fn new_symbol(
    view: &View,
    name: String,
    detail: Option<String>,
    kind: SymbolKind,
    whole: Span,
    selected: Span,
) -> DocumentSymbol {
    let (range, selection) = (view.places.range(whole), view.places.range(selected));
    DocumentSymbol::new(name, detail, kind, None, None, range, selection, None)
}

pub(crate) fn kind(kind: DefinitionKind) -> SymbolKind {
    match kind {
        DefinitionKind::Param | DefinitionKind::Let => SymbolKind::Constant,
        DefinitionKind::Schema | DefinitionKind::Type => SymbolKind::Struct,
        DefinitionKind::Field | DefinitionKind::Column => SymbolKind::Field,
        DefinitionKind::Component(_) => SymbolKind::Object,
        DefinitionKind::Interceptor | DefinitionKind::Function | DefinitionKind::Parser => {
            SymbolKind::Function
        }
        DefinitionKind::Parameter | DefinitionKind::Local | DefinitionKind::Broken => SymbolKind::Variable,
        DefinitionKind::Quality => SymbolKind::Interface,
        DefinitionKind::Flow => SymbolKind::Module,
        DefinitionKind::Import => SymbolKind::File,
        DefinitionKind::Kind(_) => SymbolKind::Class,
        DefinitionKind::Variant => SymbolKind::EnumMember,
        DefinitionKind::Setting => SymbolKind::Property,
    }
}

pub(crate) fn of_workspace(
    session: &mut Session<'_>,
    params: WorkspaceSymbolParams,
) -> Answer<Option<WorkspaceSymbolResponse>> {
    session.refresh_all();
    let query = params.query.to_lowercase();
    let mut found: Vec<SymbolInformation> = Vec::new();
    let entries: Vec<String> = session.programs.iter().map(|(entry, _)| entry.to_owned()).collect();
    for entry in entries {
        let Some(view) = session.view_in(&entry, &entry) else { continue };
        let wanted =
            view.analysis.definitions_of(view.file).filter(|definition| definition.kind.is_of_file());
        for definition in wanted.filter(|definition| matches(&definition.name, &query)) {
            if let Some(location) = view.places.location(definition.span) {
                found.push(information(&view, definition, location));
            }
        }
        if found.len() >= SYMBOLS_MAX {
            found.truncate(SYMBOLS_MAX);
            break;
        }
    }
    Ok(Some(found.into()))
}

/// Returns whether a name has the letters of a query, in their order.
fn matches(name: &str, query: &str) -> bool {
    let name = name.to_lowercase();
    let mut letters = name.chars();
    query.chars().all(|wanted| letters.any(|letter| letter == wanted))
}

fn information(view: &View, definition: &Definition, location: Location) -> SymbolInformation {
    let container = view.name.rsplit('/').next().unwrap_or_default().to_owned();
    let (name, kind) = (definition.name.to_string(), kind(definition.kind));
    let symbol = BaseSymbolInformation::new(name, kind, None, Some(container));
    SymbolInformation::new(None, location, symbol)
}
