//! The meanings of names in each file: a name is looked up in the file that mentions it.

use std::collections::{HashMap, HashSet};

use weir_grammar::tree::{self, Item, ItemKind, Name, Path, Role};
use weir_grammar::{FileId, ITEM_WORDS, Span};

use crate::diagnostics::{Ambiguous, Diagnostic, DuplicateName, LibraryOnly, NameOf, NameStyle};
use crate::files::modules::Module;
use crate::files::sources::Files;
use crate::names::uses::uses;
use crate::names::visit::Mention;
use crate::spelling::{is_snake_case, is_upper_case, nearest, role_in_words, to_snake_case, to_upper_case};

/// The index of a component in the program's list of components.
pub type ComponentIndex = usize;

/// The meaning of a name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meaning<'t> {
    /// A constant. Each use checks its value against the type expected there.
    Let(&'t tree::Let),
    /// A param, whose value may come from outside of the program.
    Param,
    /// A schema: the fields of events and their types.
    Schema(&'t tree::Schema),
    /// A source, channel or sink.
    Component(ComponentIndex, Role),
    /// An interceptor: a named sequence of steps.
    Interceptor(&'t tree::Interceptor),
    /// A function.
    Function,
    /// A quality: a named set of rules.
    Quality(&'t tree::Quality),
    /// A flow.
    Flow,
    /// An imported file, under the name of the import.
    File(FileId),
    /// A faulty declaration, whose faults have been reported.
    Broken,
}

impl Meaning<'_> {
    /// Returns whether the name is that of a param or a let.
    pub(crate) fn is_value(self) -> bool {
        matches!(self, Meaning::Let(_) | Meaning::Param)
    }

    /// Returns the kind of the named item, with its article.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Meaning::Let(_) => "the let",
            Meaning::Param => "the param",
            Meaning::Schema(_) => "the schema",
            Meaning::Component(_, role) => role_in_words(role),
            Meaning::Interceptor(_) => "the interceptor",
            Meaning::Function => "the function",
            Meaning::Quality(_) => "the quality",
            Meaning::Flow => "the flow",
            Meaning::File(_) => "the imported file",
            Meaning::Broken => "the item",
        }
    }
}

/// A name with its meaning and the place of its declaration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'t> {
    pub(crate) meaning: Meaning<'t>,
    pub(crate) declared: Span,
}

/// The names of one file.
#[derive(Debug, Default)]
struct Scope<'t> {
    /// The names that the file declares, including names of imports.
    own: HashMap<&'t str, Named<'t>>,
    /// The names of the files that the file imports without a name.
    imported: HashMap<&'t str, Named<'t>>,
    /// Whether names may be missing, so that unknown names are not reported.
    broken: bool,
}

/// The names of all files of a program.
#[derive(Debug, Default)]
pub(crate) struct Scopes<'t> {
    scopes: HashMap<FileId, Scope<'t>>,
    /// The entry file, whose scope holds for places outside of all files, such as `--set` values.
    entry: Option<FileId>,
    /// The places of the declarations in cycles; they count as broken.
    pub(crate) cyclic: HashSet<Span>,
}

impl<'t> Scopes<'t> {
    fn scope(&self, file: FileId) -> Option<&Scope<'t>> {
        self.scopes.get(&file).or_else(|| self.scopes.get(&self.entry?))
    }

    /// Returns the meaning of a name in a file.
    pub(crate) fn get(&self, file: FileId, name: &str) -> Option<Named<'t>> {
        let scope = self.scope(file)?;
        let found = scope.own.get(name).or_else(|| scope.imported.get(name));
        match found {
            Some(named) if self.cyclic.contains(&named.declared) => {
                Some(Named { meaning: Meaning::Broken, ..*named })
            }
            Some(named) => Some(*named),
            // The name may be declared in the part of the program that could not be read.
            None if scope.broken => {
                Some(Named { meaning: Meaning::Broken, declared: Span { file, start: 0, end: 0 } })
            }
            None => None,
        }
    }

    /// Returns the meaning of a path in the file of the path.
    pub(crate) fn path(&self, path: &Path) -> Option<Named<'t>> {
        self.mention(Mention::of_path(path))
    }

    /// Returns the meaning of a mention in the file of the mention.
    pub(crate) fn mention(&self, mention: Mention<'_>) -> Option<Named<'t>> {
        match mention.qualifier {
            None => self.get(mention.span.file, mention.name),
            Some(qualifier) => match self.get(mention.span.file, qualifier)?.meaning {
                Meaning::File(file) => self.of_file(file, mention.name),
                Meaning::Broken => Some(Named { meaning: Meaning::Broken, declared: mention.span }),
                _ => None,
            },
        }
    }

    /// Returns the meaning of a name that the file itself declares.
    pub(crate) fn of_file(&self, file: FileId, name: &str) -> Option<Named<'t>> {
        let named = self.scopes.get(&file)?.own.get(name)?;
        (!matches!(named.meaning, Meaning::File(_))).then_some(*named)
    }

    /// Returns the names in a file whose meanings fulfil a condition.
    pub(crate) fn names(
        &self,
        file: FileId,
        wanted: fn(Meaning<'t>) -> bool,
    ) -> impl Iterator<Item = &'t str> {
        let scope = self.scope(file);
        let all = scope.into_iter().flat_map(|scope| scope.own.iter().chain(&scope.imported));
        all.filter(move |(_, named)| wanted(named.meaning)).map(|(name, _)| *name)
    }

    /// Returns the probable intention of an unknown mention: a similar name, or the name with its qualifier.
    pub(crate) fn near(&self, mention: Mention<'_>, wanted: fn(Meaning<'t>) -> bool) -> Option<String> {
        let file = mention.span.file;
        let aliases = || self.names(file, |meaning| matches!(meaning, Meaning::File(_)));
        let of_alias = |alias: &str| match self.get(file, alias)?.meaning {
            Meaning::File(file) => Some(file),
            _ => None,
        };
        let has = |alias: &str| {
            let found = of_alias(alias).and_then(|file| self.of_file(file, mention.name));
            found.is_some_and(|named| wanted(named.meaning))
        };
        let Some(qualifier) = mention.qualifier else {
            let near = nearest(mention.name, self.names(file, wanted)).map(str::to_owned);
            return near.or_else(|| {
                aliases().find(|alias| has(alias)).map(|alias| format!("{alias}.{}", mention.name))
            });
        };
        match of_alias(qualifier) {
            Some(file) => {
                let own = self.scopes.get(&file)?.own.iter().filter(|(_, named)| wanted(named.meaning));
                nearest(mention.name, own.map(|(name, _)| *name)).map(|near| format!("{qualifier}.{near}"))
            }
            None => nearest(qualifier, aliases().filter(|alias| has(alias)))
                .map(|alias| format!("{alias}.{}", mention.name)),
        }
    }

    /// Returns the names of params and lets in a file.
    pub(crate) fn values(&self, file: FileId) -> impl Iterator<Item = &'t str> {
        self.names(file, Meaning::is_value)
    }
}

/// Reads the names of all files. Components get their indices in the order of the files and their items.
pub(crate) fn read<'t>(
    modules: &'t [Module],
    files: &Files,
    diagnostics: &mut Vec<Diagnostic>,
) -> Scopes<'t> {
    let mut scopes = Scopes { entry: modules.first().map(|module| module.file), ..Scopes::default() };
    let mut components = 0;
    for module in modules {
        let mut reader = ScopeReader { own: HashMap::new(), misspelt: Vec::new(), diagnostics };
        for item in &module.tree.items {
            reader.item(item, module, &mut components);
        }
        reader.styles(module.file, files);
        let scope = Scope {
            own: reader.own,
            imported: HashMap::new(),
            broken: module.broken || has_nameless(module, files),
        };
        scopes.scopes.insert(module.file, scope);
    }
    for module in modules {
        let imported = imported(module, &scopes, diagnostics);
        if let Some(scope) = scopes.scopes.get_mut(&module.file) {
            scope.imported = imported;
        }
    }
    scopes
}

/// Returns whether a file has a declaration whose name is missing.
fn has_nameless(module: &Module, files: &Files) -> bool {
    module.tree.items.iter().any(|item| {
        let word = files.text(item.span).split(|letter: char| !letter.is_ascii_alphabetic()).next();
        let declares =
            word.is_some_and(|word| ITEM_WORDS.contains(&word) && !matches!(word, "test" | "agent"));
        declares && matches!(item.kind, ItemKind::Broken(None))
    })
}

/// Returns the names that a file gets from imports without a name.
fn imported<'t>(
    module: &Module,
    scopes: &Scopes<'t>,
    diagnostics: &mut Vec<Diagnostic>,
) -> HashMap<&'t str, Named<'t>> {
    let mut imported: HashMap<&str, Named<'t>> = HashMap::new();
    for import in module.imports.iter().filter(|import| import.alias.is_none()) {
        let Some(theirs) = scopes.scopes.get(&import.file) else { continue };
        let mut names: Vec<_> = theirs.own.iter().collect();
        names.sort_by_key(|(_, named)| named.declared);
        for (name, named) in names {
            if matches!(named.meaning, Meaning::Flow | Meaning::File(_)) {
                continue;
            }
            let own = scopes.scopes.get(&module.file).and_then(|scope| scope.own.get(name));
            if let Some(own) = own {
                let (name, first, second) = ((*name).to_owned(), named.declared, own.declared);
                diagnostics.push(DuplicateName { name, first, second, of: NameOf::Items }.into());
            } else if let Some(first) =
                imported.insert(name, *named).filter(|first| first.declared != named.declared)
            {
                let (name, second) = ((*name).to_owned(), named.declared);
                diagnostics.push(Ambiguous { name, span: import.span, first: first.declared, second }.into());
            }
        }
    }
    imported
}

/// A name in the wrong style for its kind.
struct Misspelt<'t> {
    name: &'t Name,
    what: &'static str,
    in_upper_case: bool,
}

struct ScopeReader<'t, 'd> {
    own: HashMap<&'t str, Named<'t>>,
    misspelt: Vec<Misspelt<'t>>,
    diagnostics: &'d mut Vec<Diagnostic>,
}

impl<'t> ScopeReader<'t, '_> {
    fn item(&mut self, item: &'t Item, module: &Module, components: &mut ComponentIndex) {
        let mut in_upper_case = false;
        let (meaning, what) = match &item.kind {
            ItemKind::Param(_) => (Meaning::Param, "param"),
            ItemKind::Let(item) => (Meaning::Let(item), "let"),
            ItemKind::Schema(item) => {
                in_upper_case = true;
                (Meaning::Schema(item), "schema")
            }
            ItemKind::Component(component) => {
                *components += 1;
                let what = role_in_words(component.role).trim_start_matches("the ");
                (Meaning::Component(*components - 1, component.role), what)
            }
            ItemKind::Interceptor(item) => (Meaning::Interceptor(item), "interceptor"),
            ItemKind::Function(_) => (Meaning::Function, "fn"),
            ItemKind::Quality(item) => (Meaning::Quality(item), "quality"),
            ItemKind::Flow(_) => (Meaning::Flow, "flow"),
            ItemKind::Import(import) => {
                let Some(alias) = &import.alias else { return };
                let found = module.imports.iter().find(|found| found.span == import.path_span);
                let meaning = found.map_or(Meaning::Broken, |found| Meaning::File(found.file));
                return self.declare(alias, meaning, "import", false);
            }
            ItemKind::Test(_) | ItemKind::Agent(_) | ItemKind::Broken(None) => return,
            ItemKind::Broken(Some(name)) => {
                let named = Named { meaning: Meaning::Broken, declared: name.span };
                self.own.entry(&name.text).or_insert(named);
                return;
            }
            ItemKind::Extern(_) | ItemKind::ExternFunction(_) | ItemKind::ExternParser(_) => {
                return self.library_only("extern", item);
            }
            ItemKind::Enum(_) => return self.library_only("enum", item),
            ItemKind::Record(_) => return self.library_only("record", item),
        };
        if let Some(name) = item.kind.name() {
            self.declare(name, meaning, what, in_upper_case);
        }
    }

    fn library_only(&mut self, word: &str, item: &'t Item) {
        if let Some(name) = item.kind.name() {
            let named = Named { meaning: Meaning::Broken, declared: name.span };
            self.own.entry(&name.text).or_insert(named);
        }
        let span = Span { end: item.span.start + word.len() as u32, ..item.span };
        self.diagnostics.push(LibraryOnly { word: word.to_owned(), span }.into());
    }

    fn declare(&mut self, name: &'t Name, meaning: Meaning<'t>, what: &'static str, in_upper_case: bool) {
        if let Some(first) = self.own.get(&*name.text) {
            let first = first.declared;
            self.diagnostics.push(
                DuplicateName { name: name.text.to_string(), first, second: name.span, of: NameOf::Items }
                    .into(),
            );
            return;
        }
        self.own.insert(&name.text, Named { meaning, declared: name.span });
        let right = if in_upper_case { is_upper_case(&name.text) } else { is_snake_case(&name.text) };
        if !right {
            self.misspelt.push(Misspelt { name, what, in_upper_case });
        }
    }

    /// Reports the names in the wrong style, each with the places of its uses.
    fn styles(&mut self, file: FileId, files: &Files) {
        if self.misspelt.is_empty() {
            return;
        }
        let names = uses(file, files.get(file).map_or("", |file| file.text.as_str()));
        for Misspelt { name, what, in_upper_case } in std::mem::take(&mut self.misspelt) {
            let (style, better) = match in_upper_case {
                true => ("UpperCase", to_upper_case(&name.text)),
                false => ("snake_case", to_snake_case(&name.text)),
            };
            let (text, span) = (name.text.to_string(), name.span);
            let taken = self.own.contains_key(better.as_str()) || names.contains_key(better.as_str());
            // The name of a flow has no uses.
            let mut uses = names.get(text.as_str()).filter(|_| what != "flow").cloned().unwrap_or_default();
            uses.retain(|place| *place != span);
            let what = what.to_owned();
            self.diagnostics.push(NameStyle { name: text, what, style, better, span, uses, taken }.into());
        }
    }
}
