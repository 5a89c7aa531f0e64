//! The library: signatures of components and the types of their settings, read from the language.

use std::collections::HashMap;
use std::sync::Arc;

use weir_grammar::tree::{self, Expression, ItemKind, Name, Requirement, Role, TypeName, TypeNameKind};
use weir_grammar::{Span, parse};

use crate::constants::Constants;
use crate::diagnostics::{Diagnostic, DuplicateName, Misplaced, Severity, UnknownName, UnknownType};
use crate::names::nearest;
use crate::promises::Class;
use crate::settings::{Checker, Expectation};
use crate::sources::Files;
use crate::syntax;
use crate::types::{BUILT_IN, Type};

/// Every component that programs can use, and the types of their settings.
#[derive(Debug, Clone, Default)]
pub struct Library {
    pub(crate) files: Files,
    pub(crate) components: HashMap<(Role, Arc<str>), Signature>,
    pub(crate) types: HashMap<Arc<str>, Named>,
    /// The channel that a path gets which names none.
    pub(crate) default_channel: Option<Arc<str>>,
}

/// A library that can't be used.
#[derive(Debug)]
pub struct LibraryError {
    /// The library's files.
    pub files: Files,
    /// What is wrong with them.
    pub diagnostics: Vec<Diagnostic>,
}

/// What a component takes, gives and can do.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub(crate) name: Name,
    pub(crate) class: Class,
    pub(crate) class_span: Span,
    pub(crate) group: Group,
    pub(crate) emits: Vec<ColumnSignature>,
    pub(crate) needs: Vec<ColumnSignature>,
}

/// Settings that belong together, and what must hold between them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) settings: Vec<SettingSignature>,
    pub(crate) requires: Vec<Requirement>,
}

/// One setting.
#[derive(Debug, Clone)]
pub(crate) struct SettingSignature {
    pub(crate) name: Name,
    pub(crate) value_type: Type,
    pub(crate) optional: bool,
    pub(crate) range: Option<tree::Range>,
    pub(crate) default: Option<Expression>,
}

/// One column that a source emits or a sink needs.
#[derive(Debug, Clone)]
pub(crate) struct ColumnSignature {
    pub(crate) name: Arc<str>,
    pub(crate) span: Span,
    pub(crate) value_type: Type,
    pub(crate) optional: bool,
}

/// A type that the library declares.
#[derive(Debug, Clone)]
pub(crate) enum Named {
    Enum(Vec<Variant>),
    Record(Group),
}

/// A variant of an enum.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) name: Name,
    pub(crate) group: Option<Group>,
}

impl Library {
    /// Reads the library from its files, each with its name and its text.
    ///
    /// # Errors
    /// When something is wrong with them, all of it.
    pub fn parse<N: Into<String>, T: Into<String>>(
        files: impl IntoIterator<Item = (N, T)>,
    ) -> Result<Library, Box<LibraryError>> {
        let mut reader = Reader::default();
        for (name, text) in files {
            let text = text.into();
            let id = reader.library.files.add(name, text.as_str());
            let parsed = parse(id, &text);
            let errors = parsed.errors.into_iter();
            reader.diagnostics.extend(errors.map(|error| syntax::diagnostic(error, &reader.library.files)));
            reader.items.extend(parsed.file.items.into_iter().map(|item| item.kind));
        }
        reader.read();
        let Reader { library, mut diagnostics, .. } = reader;
        diagnostics.extend(check_defaults(&library));
        if diagnostics.iter().any(|diagnostic| diagnostic.severity() == Severity::Error) {
            return Err(Box::new(LibraryError { files: library.files, diagnostics }));
        }
        Ok(library)
    }

    pub(crate) fn signature(&self, role: Role, name: &str) -> Option<&Signature> {
        self.components.get(&(role, Arc::from(name)))
    }

    /// The type that a type's name means, and whether it is optional.
    pub(crate) fn resolve(&self, type_name: &TypeName) -> Result<(Type, bool), UnknownType> {
        let resolved = match &type_name.kind {
            TypeNameKind::List(item) => Type::List(Box::new(self.resolve(item)?.0)),
            TypeNameKind::Applied(name, _) => return Err(self.unknown_type(name)),
            TypeNameKind::Name(name) => match Type::built_in(&name.text) {
                Some(built_in) => built_in,
                None => match self.types.get_key_value(&*name.text) {
                    Some((name, _)) => Type::Named(name.clone()),
                    None => return Err(self.unknown_type(name)),
                },
            },
        };
        Ok((resolved, type_name.optional))
    }

    fn unknown_type(&self, name: &Name) -> UnknownType {
        let known = BUILT_IN.iter().map(|(name, _)| *name).chain(self.types.keys().map(AsRef::as_ref));
        let near = nearest(&name.text, known).map(str::to_owned);
        UnknownType { name: name.text.to_string(), near, span: name.span }
    }
}

/// What reading a library needs on the way.
#[derive(Default)]
struct Reader {
    library: Library,
    items: Vec<ItemKind>,
    diagnostics: Vec<Diagnostic>,
    places: HashMap<(Option<Role>, Arc<str>), Span>,
}

impl Reader {
    /// Types first by name alone, so that any may use any other.
    fn read(&mut self) {
        let items = std::mem::take(&mut self.items);
        for item in &items {
            match item {
                ItemKind::Enum(tree::Enum { name, .. }) => self.declare_type(name, Named::Enum(Vec::new())),
                ItemKind::Record(tree::Record { name, .. }) => {
                    self.declare_type(name, Named::Record(Group::default()))
                }
                _ => {}
            }
        }
        for item in items {
            match item {
                ItemKind::Enum(tree::Enum { name, variants }) => {
                    let variants = variants.into_iter().map(|variant| Variant {
                        name: variant.name,
                        group: variant.signature.map(|signature| self.group(signature)),
                    });
                    let variants = variants.collect();
                    self.library.types.insert(name.text.into(), Named::Enum(variants));
                }
                ItemKind::Record(tree::Record { name, signature }) => {
                    let group = self.group(signature);
                    self.library.types.insert(name.text.into(), Named::Record(group));
                }
                ItemKind::Extern(item) => self.component(item),
                ItemKind::Broken(_) => {}
                ItemKind::Param(_) | ItemKind::Let(_) | ItemKind::Component(_) | ItemKind::Flow(_) => {
                    self.misplaced(&item);
                }
            }
        }
    }

    fn declare_type(&mut self, name: &Name, named: Named) {
        self.declare(None, name);
        self.library.types.insert(name.text.as_ref().into(), named);
    }

    fn declare(&mut self, role: Option<Role>, name: &Name) {
        let text: Arc<str> = name.text.as_ref().into();
        if let Some(first) = self.places.insert((role, text), name.span) {
            let duplicate = DuplicateName { name: name.text.to_string(), first, second: name.span };
            self.diagnostics.push(duplicate.into());
        }
    }

    fn component(&mut self, item: tree::Extern) {
        self.declare(Some(item.role), &item.name);
        let emits = self.columns(item.signature.emits.as_deref().unwrap_or_default());
        let needs = self.columns(item.signature.needs.as_deref().unwrap_or_default());
        let group = self.group(item.signature);
        let Some(class) = Class::of(item.role, &item.class.text) else {
            let near = nearest(&item.class.text, Class::names(item.role)).map(str::to_owned);
            let name = item.class.text.to_string();
            let unknown =
                UnknownName { name, wanted: "delivery class", near, quote: false, span: item.class.span };
            self.diagnostics.push(unknown.into());
            return;
        };
        let name: Arc<str> = item.name.text.as_ref().into();
        if item.default && item.role == Role::Channel {
            self.library.default_channel = Some(name.clone());
        }
        let signature =
            Signature { name: item.name, class, class_span: item.class.span, group, emits, needs };
        self.library.components.insert((item.role, name), signature);
    }

    fn group(&mut self, signature: tree::Signature) -> Group {
        let mut settings = Vec::new();
        for setting in signature.settings {
            match self.library.resolve(&setting.type_name) {
                Ok((value_type, optional)) => settings.push(SettingSignature {
                    name: setting.name,
                    value_type,
                    optional,
                    range: setting.range,
                    default: setting.default,
                }),
                Err(unknown) => self.diagnostics.push(unknown.into()),
            }
        }
        Group { settings, requires: signature.requires }
    }

    fn columns(&mut self, columns: &[tree::Column]) -> Vec<ColumnSignature> {
        let mut read = Vec::new();
        for column in columns {
            match self.library.resolve(&column.type_name) {
                Ok((value_type, optional)) => {
                    let name = column.name.text.as_ref().into();
                    read.push(ColumnSignature { name, span: column.name.span, value_type, optional });
                }
                Err(unknown) => self.diagnostics.push(unknown.into()),
            }
        }
        read
    }

    fn misplaced(&mut self, item: &ItemKind) {
        let name = match item {
            ItemKind::Param(setting) => &setting.name,
            ItemKind::Let(item) => &item.name,
            ItemKind::Component(component) => &component.name,
            ItemKind::Flow(flow) => &flow.name,
            _ => return,
        };
        let rule = "a library has `enum`, `record` and `extern` items alone".to_owned();
        let quoted = format!("`{}`", name.text);
        self.diagnostics.push(
            Misplaced { name: quoted, role: "an item of programs", rule, span: name.span, declared: None }
                .into(),
        );
    }
}

/// Checks that every default is a value of its setting.
fn check_defaults(library: &Library) -> Vec<Diagnostic> {
    let constants = Constants::default();
    let mut checker = Checker::new(library, &library.files, &constants);
    let components = library.components.values().map(|component| &component.group);
    let types = library.types.values().flat_map(|named| match named {
        Named::Record(group) => vec![group],
        Named::Enum(variants) => variants.iter().filter_map(|variant| variant.group.as_ref()).collect(),
    });
    for setting in components.chain(types).flat_map(|group| &group.settings) {
        if let Some(default) = &setting.default {
            let expectation = Expectation::of(setting);
            if let Some(value) = checker.value(default, &expectation) {
                checker.range(setting, &value, default.span);
            }
        }
    }
    checker.diagnostics
}
