//! The library: signatures of components and the types of their settings, read from the language.

use std::collections::HashMap;
use std::mem::take;
use std::sync::Arc;

use weir_grammar::tree::{
    self, Amount, Expression, ExpressionKind, ItemKind, Name, Number, Requirement, Role, Shortfall, TypeName,
    TypeNameKind,
};
use weir_grammar::{Span, parse};

use crate::diagnostics::{
    Diagnostic, DuplicateName, Misplaced, NameOf, OutOfRange, Severity, UnknownName, UnknownType,
};
use crate::functions::{FunctionSignature, signature_of_extern};
use crate::names::nearest;
use crate::promises::Class;
use crate::scopes::Scopes;
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
    pub(crate) functions: HashMap<Arc<str>, Arc<FunctionSignature>>,
    pub(crate) parsers: HashMap<Arc<str>, Parser>,
    pub(crate) interceptors: HashMap<Arc<str>, Arc<tree::Interceptor>>,
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
    /// What it may do although its class would not.
    pub(crate) shortfalls: Vec<Shortfall>,
}

/// What reads a body into fields.
#[derive(Debug, Clone)]
pub(crate) struct Parser {
    pub(crate) name: Name,
    pub(crate) class: ParserClass,
    pub(crate) group: Group,
    pub(crate) emits: Vec<ColumnSignature>,
}

/// Where a parser's fields come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParserClass {
    /// From the schema that the step names.
    Typed,
    /// From the parser's own signature.
    Fixed,
    /// From the named groups of its pattern, or a schema.
    Groups,
}

/// Settings that belong together, and what must hold between them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) settings: Vec<SettingSignature>,
    pub(crate) requires: Vec<Requirement>,
    pub(crate) amounts: Vec<Amount>,
}

/// One setting.
#[derive(Debug, Clone)]
pub(crate) struct SettingSignature {
    pub(crate) name: Name,
    pub(crate) value_type: Type,
    pub(crate) optional: bool,
    /// Whether no two components of a program may have the same value.
    pub(crate) exclusive: Option<tree::Exclusive>,
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
    /// What a sink needs that is set to it.
    pub(crate) needs: Vec<ColumnSignature>,
    /// What a component may do that is set to it, although its class would not.
    pub(crate) shortfalls: Vec<Shortfall>,
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
    pub(crate) fn resolve(&self, type_name: &TypeName) -> Result<(Type, bool), Box<Diagnostic>> {
        self.resolve_with(type_name, &mut |_| None)
    }

    /// The same, where some names may mean other types, such as a program's schemas.
    pub(crate) fn resolve_with(
        &self,
        type_name: &TypeName,
        others: &mut dyn FnMut(&tree::Path) -> Option<Type>,
    ) -> Result<(Type, bool), Box<Diagnostic>> {
        let resolved = match &type_name.kind {
            TypeNameKind::List(item) => Type::List(Box::new(self.resolve_with(item, others)?.0)),
            TypeNameKind::Applied(name, item) if &*name.text == "Map" => {
                Type::Map(Box::new(self.resolve_with(item, others)?.0))
            }
            TypeNameKind::Sized(name, digits, scale) if &*name.text == "Decimal" => decimal(digits, scale)?,
            TypeNameKind::Applied(name, _) | TypeNameKind::Sized(name, ..) => {
                return Err(self.unknown_type(name));
            }
            TypeNameKind::Name(path) => match others(path) {
                Some(other) => other,
                None if path.qualifier.is_some() => return Err(self.unknown_type(&path.name)),
                None => self.named_type(&path.name)?,
            },
        };
        Ok((resolved, type_name.optional))
    }

    fn named_type(&self, name: &Name) -> Result<Type, Box<Diagnostic>> {
        if let Some(built_in) = Type::built_in(&name.text) {
            return Ok(built_in);
        }
        match self.types.get_key_value(&*name.text) {
            Some((name, _)) => Ok(Type::Named(name.clone())),
            None => Err(self.unknown_type(name)),
        }
    }

    fn unknown_type(&self, name: &Name) -> Box<Diagnostic> {
        let known = BUILT_IN.iter().map(|(name, _)| *name).chain(self.types.keys().map(AsRef::as_ref));
        let near = nearest(&name.text, known).map(str::to_owned);
        Box::new(UnknownType { name: name.text.to_string(), near, span: name.span }.into())
    }
}

/// The digits of Arrow's decimals of 128 bits.
const DECIMAL_DIGITS_MAX: i64 = 38;

fn decimal(digits: &Expression, scale: &Expression) -> Result<Type, Box<Diagnostic>> {
    let number = |expression: &Expression, name: &str, least: i64, most: i64| match expression.kind {
        ExpressionKind::Number(Number::Int(number)) if (least..=most).contains(&number) => Ok(number as u8),
        _ => {
            let (name, span) = (name.to_owned(), expression.span);
            let value = match expression.kind {
                ExpressionKind::Number(Number::Int(number)) => number.to_string(),
                ExpressionKind::Number(Number::Float(number)) => number.to_string(),
                _ => "this".to_owned(),
            };
            let range = format!("a whole number from {least} to {most}");
            Err(Box::new(OutOfRange { name, value, range, span, declared: span }.into()))
        }
    };
    let digits_value = number(digits, "digits", 1, DECIMAL_DIGITS_MAX)?;
    Ok(Type::Decimal(digits_value, number(scale, "scale", 0, i64::from(digits_value))?))
}

/// What reading a library needs on the way.
#[derive(Default)]
struct Reader {
    library: Library,
    items: Vec<ItemKind>,
    diagnostics: Vec<Diagnostic>,
    places: HashMap<(Option<&'static str>, Arc<str>), Span>,
}

impl Reader {
    /// Types first by name alone, so that any may use any other.
    fn read(&mut self) {
        let items = take(&mut self.items);
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
                    let variants = variants.into_iter().map(|variant| {
                        let needs =
                            variant.signature.as_ref().and_then(|signature| signature.needs.as_deref());
                        let needs = self.columns(needs.unwrap_or_default());
                        let mut signature = variant.signature;
                        let shortfalls = signature.as_mut().map(|signature| take(&mut signature.shortfalls));
                        let shortfalls = shortfalls.unwrap_or_default();
                        let group = signature.map(|signature| self.group(signature));
                        // A variant that only needs or loses something carries no settings.
                        let plain = needs.is_empty() && shortfalls.is_empty();
                        let group = group.filter(|group| plain || !group.settings.is_empty());
                        Variant { name: variant.name, group, needs, shortfalls }
                    });
                    let variants = variants.collect();
                    self.library.types.insert(name.text.into(), Named::Enum(variants));
                }
                ItemKind::Record(tree::Record { name, signature }) => {
                    let group = self.group(signature);
                    self.library.types.insert(name.text.into(), Named::Record(group));
                }
                ItemKind::Extern(item) => self.component(item),
                ItemKind::ExternParser(item) => self.parser(item),
                ItemKind::ExternFunction(item) => self.function(&item),
                ItemKind::Interceptor(item) => {
                    self.declare(Some("interceptor"), &item.name);
                    self.library.interceptors.insert(item.name.text.as_ref().into(), Arc::new(item));
                }
                ItemKind::Broken(_) => {}
                item => self.misplaced(&item),
            }
        }
    }

    fn parser(&mut self, item: tree::ExternParser) {
        self.declare(Some("parser"), &item.name);
        let emits = self.columns(item.signature.emits.as_deref().unwrap_or_default());
        let group = self.group(item.signature);
        let class = match &*item.class.text {
            "typed" => ParserClass::Typed,
            "fixed" => ParserClass::Fixed,
            "groups" => ParserClass::Groups,
            unknown => {
                let near = nearest(unknown, ["typed", "fixed", "groups"]).map(str::to_owned);
                let (name, wanted, span) = (unknown.to_owned(), "class of parsers", item.class.span);
                self.diagnostics.push(UnknownName { name, wanted, near, quote: false, span }.into());
                return;
            }
        };
        let name = item.name.text.as_ref().into();
        self.library.parsers.insert(name, Parser { name: item.name, class, group, emits });
    }

    fn function(&mut self, item: &tree::ExternFunction) {
        self.declare(Some("function"), &item.name);
        match signature_of_extern(item, &self.library) {
            Ok(signature) => {
                self.library.functions.insert(item.name.text.as_ref().into(), Arc::new(signature));
            }
            Err(diagnostic) => self.diagnostics.push(*diagnostic),
        }
    }

    fn declare_type(&mut self, name: &Name, named: Named) {
        self.declare(None, name);
        self.library.types.insert(name.text.as_ref().into(), named);
    }

    fn declare(&mut self, role: Option<&'static str>, name: &Name) {
        let text: Arc<str> = name.text.as_ref().into();
        if let Some(first) = self.places.insert((role, text), name.span) {
            let duplicate =
                DuplicateName { name: name.text.to_string(), first, second: name.span, of: NameOf::Items };
            self.diagnostics.push(duplicate.into());
        }
    }

    fn component(&mut self, item: tree::Extern) {
        self.declare(Some(crate::flows::in_words(item.role)), &item.name);
        let emits = self.columns(item.signature.emits.as_deref().unwrap_or_default());
        let needs = self.columns(item.signature.needs.as_deref().unwrap_or_default());
        let mut signature = item.signature;
        let shortfalls = take(&mut signature.shortfalls);
        let group = self.group(signature);
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
        let class_span = item.class.span;
        let signature = Signature { name: item.name, class, class_span, group, emits, needs, shortfalls };
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
                    exclusive: setting.exclusive,
                    range: setting.range,
                    default: setting.default,
                }),
                Err(unknown) => self.diagnostics.push(*unknown),
            }
        }
        Group { settings, requires: signature.requires, amounts: signature.amounts }
    }

    fn columns(&mut self, columns: &[tree::Column]) -> Vec<ColumnSignature> {
        let mut read = Vec::new();
        for column in columns {
            match self.library.resolve(&column.type_name) {
                Ok((value_type, optional)) => {
                    let name = column.name.text.as_ref().into();
                    read.push(ColumnSignature { name, span: column.name.span, value_type, optional });
                }
                Err(unknown) => self.diagnostics.push(*unknown),
            }
        }
        read
    }

    fn misplaced(&mut self, item: &ItemKind) {
        let Some(name) = item.name() else { return };
        let rule = "a library has `enum`, `record`, `interceptor` and `extern` items alone".to_owned();
        let quoted = format!("`{}`", name.text);
        self.diagnostics.push(
            Misplaced { name: quoted, role: "an item of programs", rule, span: name.span, declared: None }
                .into(),
        );
    }
}

/// Checks that every default is a value of its setting.
fn check_defaults(library: &Library) -> Vec<Diagnostic> {
    let scopes = Scopes::default();
    let mut checker = Checker::new(library, &library.files, &scopes);
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
