//! Tests of the library's signatures as text: they can be parsed, document every item, and name only types that exist.
//! The compiler's tests check their meaning.

use std::collections::{BTreeMap, BTreeSet};

use weir_grammar::tree::{File, Item, ItemKind, Parameter, Role, Signature, TypeName, TypeNameKind};
use weir_grammar::{FileId, parse};
use weir_stdlib::library_sources;

/// The types of the language itself.
const TYPES: [&str; 29] = [
    "Bool",
    "Int",
    "Float",
    "Text",
    "Bytes",
    "Time",
    "Duration",
    "Size",
    "EventRate",
    "ByteRate",
    "Percent",
    "Address",
    "Url",
    "Glob",
    "Grok",
    "Zone",
    "Template",
    "Regex",
    "TimePattern",
    "InstantPattern",
    "Network",
    "Pointer",
    "Group",
    "Secret",
    "Header",
    "Ip",
    "Json",
    "Map",
    "Decimal",
];
/// The bounds that a type parameter may have.
const BOUNDS: [&str; 4] = ["Any", "Number", "Ordered", "Plain"];

/// Parses the library's files, and returns them with their names and texts.
fn files() -> Vec<(&'static str, &'static str, File)> {
    let parsed = library_sources().iter().map(|(name, text)| {
        let parsed = parse(FileId(0), text);
        assert!(parsed.errors.is_empty(), "{name}: {:?}", parsed.errors);
        (*name, *text, parsed.file)
    });
    parsed.collect()
}

fn items(files: &[(&'static str, &'static str, File)]) -> Vec<(String, Item)> {
    let named = files.iter().flat_map(|(file, _, tree)| {
        tree.items.iter().map(move |item| {
            let name = item.kind.name().map_or("", |name| &name.text);
            (format!("{file}: {name}"), item.clone())
        })
    });
    named.collect()
}

/// Returns the signatures within an item, each with the name of its owner.
fn signatures(place: &str, item: &Item) -> Vec<(String, Signature)> {
    match &item.kind {
        ItemKind::Extern(item) => vec![(place.to_owned(), item.signature.clone())],
        ItemKind::ExternParser(item) => vec![(place.to_owned(), item.signature.clone())],
        ItemKind::Record(item) => vec![(place.to_owned(), item.signature.clone())],
        ItemKind::Enum(item) => {
            let variants = item.variants.iter();
            let variants = variants.filter_map(|variant| {
                Some((format!("{place}.{}", variant.name.text), variant.signature.clone()?))
            });
            variants.collect()
        }
        _ => Vec::new(),
    }
}

fn columns(signature: &Signature) -> impl Iterator<Item = &weir_grammar::tree::Column> {
    signature.emits.iter().chain(&signature.needs).flatten()
}

#[test]
fn everything_has_a_doc_comment() {
    let files = files();
    let mut bare = Vec::new();
    for (name, _, file) in &files {
        if file.documentation.is_empty() {
            bare.push((*name).to_owned());
        }
    }
    for (place, item) in items(&files) {
        if item.documentation.is_empty() {
            bare.push(place.clone());
        }
        if let ItemKind::Enum(item) = &item.kind {
            let variants = item.variants.iter().filter(|variant| variant.documentation.is_empty());
            bare.extend(variants.map(|variant| format!("{place}.{}", variant.name.text)));
        }
        for (place, signature) in signatures(&place, &item) {
            let settings = signature.settings.iter().filter(|setting| setting.documentation.is_empty());
            bare.extend(settings.map(|setting| format!("{place}.{}", setting.name.text)));
            // The column `body` needs no comment.
            let columns = columns(&signature).filter(|column| &*column.name.text != "body");
            let columns = columns.filter(|column| column.documentation.is_empty());
            bare.extend(columns.map(|column| format!("{place}.{}", column.name.text)));
        }
    }
    assert!(bare.is_empty(), "no doc comment: {bare:#?}");
}

#[test]
fn parsers_and_interceptors_have_an_example() {
    let mut without = Vec::new();
    for (place, item) in items(&files()) {
        let shown = match &item.kind {
            ItemKind::ExternParser(parser) => format!("    parse {}", parser.name.text),
            ItemKind::Interceptor(interceptor) => format!("{}(", interceptor.name.text),
            _ => continue,
        };
        if !item.documentation.contains(&shown) {
            without.push(place);
        }
    }
    assert!(without.is_empty(), "no example: {without:#?}");
}

#[test]
fn names_are_unique_within_their_kind() {
    let mut seen = BTreeMap::new();
    for (place, item) in items(&files()) {
        let kind = match &item.kind {
            ItemKind::Extern(item) => match item.role {
                Role::Source => "source",
                Role::Channel => "channel",
                Role::Sink => "sink",
            },
            ItemKind::ExternParser(_) => "parser",
            ItemKind::ExternFunction(_) => "function",
            ItemKind::Interceptor(_) => "interceptor",
            ItemKind::Enum(_) | ItemKind::Record(_) => "type",
            _ => "what a library can't have",
        };
        let name = item.kind.name().map_or("", |name| &name.text).to_owned();
        if let Some(other) = seen.insert((kind, name), place.clone()) {
            panic!("{place} and {other} are one {kind}");
        }
        assert_ne!(kind, "what a library can't have", "{place}");
    }
}

#[test]
fn every_type_exists() {
    let files = files();
    let items = items(&files);
    let mut known: BTreeSet<String> = TYPES.iter().map(|name| (*name).to_owned()).collect();
    for (_, item) in &items {
        if let ItemKind::Enum(_) | ItemKind::Record(_) = item.kind {
            known.extend(item.kind.name().map(|name| name.text.to_string()));
        }
    }
    for (place, item) in &items {
        let mut used = Vec::new();
        let mut known = known.clone();
        for (_, signature) in signatures(place, item) {
            used.extend(signature.settings.iter().map(|setting| setting.type_name.clone()));
            used.extend(columns(&signature).map(|column| column.type_name.clone()));
        }
        if let ItemKind::ExternFunction(function) = &item.kind {
            for parameter in &function.type_parameters {
                assert!(BOUNDS.contains(&&*parameter.bound.text), "{place}: {}", parameter.bound.text);
                known.insert(parameter.name.text.to_string());
            }
            // The type of a result that depends on the arguments.
            known.insert("Rounded".to_owned());
            used.extend(types(&function.parameters));
            used.push(function.result.clone());
        }
        if let ItemKind::Interceptor(interceptor) = &item.kind {
            used.extend(types(&interceptor.parameters));
        }
        let unknown = used.iter().flat_map(names).find(|name| !known.contains(name));
        assert_eq!(unknown, None, "{place}");
    }
}

fn types(parameters: &[Parameter]) -> impl Iterator<Item = TypeName> {
    parameters.iter().flat_map(|parameter| parameter.types.clone())
}

/// Returns the names in a type.
fn names(type_name: &TypeName) -> Vec<String> {
    match &type_name.kind {
        TypeNameKind::Name(path) => vec![path.name.text.to_string()],
        TypeNameKind::List(item) => names(item),
        TypeNameKind::Applied(name, argument) => {
            let mut names = names(argument);
            names.push(name.text.to_string());
            names
        }
        TypeNameKind::Sized(name, ..) => vec![name.text.to_string()],
    }
}

#[test]
fn a_source_with_batches_requires_that_they_fit_into_a_transaction() {
    let mut sources = 0;
    for (name, text, file) in files() {
        for item in &file.items {
            let ItemKind::Extern(item) = &item.kind else { continue };
            let settings = &item.signature.settings;
            if item.role != Role::Source || !settings.iter().any(|setting| &*setting.name.text == "batch") {
                continue;
            }
            sources += 1;
            let conditions = item.signature.requires.iter().map(|clause| clause.condition.span.slice(text));
            let asks = conditions.filter(|condition| *condition == "batch <= channel.transaction_capacity");
            assert_eq!(asks.count(), 1, "{name}: {}", item.name.text);
        }
    }
    assert_eq!(sources, 8);
}
