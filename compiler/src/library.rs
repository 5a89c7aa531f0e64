//! The library: signatures of components and the types of their settings, read from files in the language.

use std::collections::HashMap;
use std::mem::take;
use std::sync::Arc;

use weir_grammar::tree::{self, ItemKind, Name, Role};
use weir_grammar::{Span, parse};

use crate::checker::{Checker, Expectation};
use crate::diagnostics::{Diagnostic, DuplicateName, Misplaced, NameOf, Severity, UnknownName};
use crate::expressions::functions::signature_of_extern;
use crate::files::sources::Files;
use crate::files::syntax;
use crate::names::definitions::Definitions;
use crate::names::scopes::Scopes;
use crate::signatures::classes::Class;
use crate::signatures::{
    ColumnSignature, EXPOSED, Form, Group, Library, Named, Parser, ParserClass, SettingSignature, Signature,
    Surface, TOUCHED, Variant,
};
use crate::spelling::{nearest, role_in_words};

/// The error for a faulty library.
#[derive(Debug)]
pub struct LibraryError {
    /// The library's files.
    pub files: Files,
    /// The diagnostics of the files.
    pub diagnostics: Vec<Diagnostic>,
}

impl Library {
    /// Reads the library from its files, each with its name and its text.
    ///
    /// # Errors
    /// Returns all diagnostics if the files have an error.
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
            let items = parsed.file.items;
            items.iter().for_each(|item| reader.definitions.item(item));
            reader.items.extend(items.into_iter().map(|item| item.kind));
        }
        reader.read();
        let Reader { mut library, mut diagnostics, definitions, .. } = reader;
        library.definitions = Arc::new(definitions);
        library.note_known_as();
        diagnostics.extend(check_defaults(&library));
        if diagnostics.iter().any(|diagnostic| diagnostic.severity() == Severity::Error) {
            return Err(Box::new(LibraryError { files: library.files, diagnostics }));
        }
        Ok(library)
    }
}

/// The state of reading a library.
#[derive(Default)]
struct Reader {
    library: Library,
    definitions: Definitions,
    items: Vec<ItemKind>,
    diagnostics: Vec<Diagnostic>,
    places: HashMap<(Option<&'static str>, Arc<str>), Span>,
}

impl Reader {
    /// Reads the items. Declares the names of all types first, so that each type may use any other.
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
                        let flat = signature.as_mut().and_then(|signature| signature.flat.take());
                        let surface = signature.as_mut().map(Surface::taken_from).unwrap_or_default();
                        self.surface_known(&surface);
                        let group = signature.map(|signature| self.group(signature));
                        // A variant with only clauses takes no settings.
                        let plain = needs.is_empty() && shortfalls.is_empty() && surface.is_empty();
                        let group = group.filter(|group| plain || !group.settings.is_empty());
                        Variant { name: variant.name, group, needs, shortfalls, flat, surface }
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
        let mut signature = item.signature;
        let flat = signature.flat.take();
        let group = self.group(signature);
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
        self.library.parsers.insert(name, Parser { name: item.name, class, group, emits, flat });
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
        self.declare(Some(role_in_words(item.role)), &item.name);
        let emits = self.columns(item.signature.emits.as_deref().unwrap_or_default());
        let needs = self.columns(item.signature.needs.as_deref().unwrap_or_default());
        let mut signature = item.signature;
        let shortfalls = take(&mut signature.shortfalls);
        let orders = take(&mut signature.orders);
        let outside = take(&mut signature.outside);
        let surface = Surface::taken_from(&mut signature);
        self.surface_known(&surface);
        for clause in orders.iter().filter(|clause| !clause.by) {
            self.order_known(&clause.name);
        }
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
        let signature = Signature {
            name: item.name,
            class,
            class_span,
            group,
            emits,
            needs,
            shortfalls,
            orders,
            outside,
            surface,
        };
        self.library.components.insert((item.role, name), Arc::new(signature));
    }

    /// Reports a word after `orders` that names no order.
    fn order_known(&mut self, name: &Name) {
        self.word_known(name, &["totally", "nothing", "once"], "order");
    }

    /// Reports kinds of clauses about the surroundings that do not exist.
    fn surface_known(&mut self, surface: &Surface) {
        surface.exposes.iter().for_each(|clause| self.word_known(&clause.what, &EXPOSED, "exposed thing"));
        surface.touched.iter().for_each(|clause| self.word_known(&clause.kind, &TOUCHED, "touched thing"));
    }

    /// Reports a word of a clause that is none of these.
    fn word_known(&mut self, name: &Name, known: &[&'static str], wanted: &'static str) {
        if !known.contains(&&*name.text) {
            let near = nearest(&name.text, known.iter().copied()).map(str::to_owned);
            let (name, span) = (name.text.to_string(), name.span);
            self.diagnostics.push(UnknownName { name, wanted, near, quote: false, span }.into());
        }
    }

    fn group(&mut self, signature: tree::Signature) -> Group {
        let mut settings = Vec::new();
        for setting in signature.settings {
            setting.touches.iter().for_each(|one| self.word_known(&one.kind, &TOUCHED, "touched thing"));
            match self.library.resolve(&setting.type_name) {
                Ok((value_type, optional)) => settings.push(SettingSignature {
                    name: setting.name,
                    value_type,
                    optional,
                    exclusive: setting.exclusive,
                    negatives: false,
                    range: setting.range,
                    touches: setting.touches,
                    default: setting.default,
                    forms: Vec::new(),
                }),
                Err(unknown) => self.diagnostics.push(*unknown),
            }
        }
        let mut requires = Vec::new();
        for requirement in signature.requires {
            let form = Form::of(&requirement);
            let named = |name: &str| {
                settings.iter().position(|setting: &SettingSignature| &*setting.name.text == name)
            };
            match form.and_then(|(name, form)| Some((named(name)?, form))) {
                Some((index, form)) => settings[index].forms.push(form),
                None => requires.push(requirement),
            }
        }
        Group { settings, requires, amounts: signature.amounts }
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
    for group in components.chain(types) {
        for setting in &group.settings {
            for form in &setting.forms {
                checker.regex(&form.pattern, form.pattern_span);
            }
            match &setting.default {
                Some(default) if setting.is_computed() => checker.computed_default(group, setting, default),
                Some(default) => {
                    if let Some(value) = checker.value(default, &Expectation::of(setting)) {
                        checker.range(setting, &value, default.span);
                    }
                }
                None => {}
            }
        }
    }
    checker.diagnostics
}
