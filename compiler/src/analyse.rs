//! The analysis of a program, from its text to the resolved graph.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use weir_grammar::tree::{self, Item, ItemKind, Role};
use weir_grammar::{FileId, Span};
use weir_plan::Value;

use crate::analysis::Analysis;
use crate::analysis::graph::{Component, Declared, Flow, Graph};
use crate::analysis::program_tests::ProgramTest;
use crate::analysis::settings::{Setting, Settings};
use crate::checker::{Checker, Owner};
use crate::diagnostics::{Diagnostic, DuplicateName, NameOf, Severity, UnknownKind, UnreadableFile, Unused};
use crate::expressions::tables::is_table;
use crate::files::modules::{self, Module};
use crate::files::sources::{Files, SourceFiles};
use crate::flows::graph::Graph as WrittenGraph;
use crate::flows::{Edge, FlowReader, promises};
use crate::names::scopes::{self, ComponentIndex, Scopes};
use crate::names::visit;
use crate::names::{cycles, unread};
use crate::options::Options;
use crate::program_tests::ProgramTests;
use crate::proofs;
use crate::signatures::{AGENT_RECORD, Library, Named, PROGRAM_NAME, Signature};
use crate::spelling::{nearest, role_in_words};
use crate::steps::StepCheck;
use crate::typing::{Typing, places};
use crate::values::expectations;
use crate::values::params::{self, Outside};
use crate::values::{qualities, secrets};

/// Checks the program in a file. Returns an analysis even if the program has errors.
pub fn analyse(sources: &dyn SourceFiles, entry: &str, library: &Library, options: &Options) -> Analysis {
    let mut files = library.files.clone();
    let program = program_name(entry);
    let library_names = library.definitions.clone();
    let text = match sources.read(entry) {
        Ok(text) => text,
        Err(reason) => {
            let file = files.add(entry, "");
            let span = Span { file, start: 0, end: 0 };
            let diagnostics = vec![UnreadableFile { name: entry.to_owned(), reason, span }.into()];
            return Analysis { program, diagnostics, files, library: library_names, ..Analysis::default() };
        }
    };
    let mut diagnostics = Vec::new();
    let modules = modules::load(sources, entry, text, &mut files, &mut diagnostics);
    let Some(file) = modules.first().map(|module| module.file) else {
        return Analysis { program, diagnostics, files, library: library_names, ..Analysis::default() };
    };
    let outside = params::outside(&modules, options, &mut files, file, &mut diagnostics);
    let mut scopes = scopes::read(&modules, &files, &mut diagnostics);
    scopes.cyclic = cycles::find(&modules, &scopes, &mut diagnostics);
    let read = Program { library, files: &files, modules: &modules, scopes: &scopes };
    let checked = read.check(&outside, options, &mut diagnostics);
    once_for_each_file(&mut diagnostics, &scopes);
    sort(&mut diagnostics);
    places::explain(&modules, &files, library, &mut diagnostics);
    let Analysis { graph, proofs, agent, params, functions, tests, notes, .. } = checked;
    let library = library_names;
    let program = agent.as_ref().and_then(given_name).unwrap_or(program);
    Analysis {
        program,
        files,
        diagnostics,
        modules,
        graph,
        proofs,
        agent,
        params,
        functions,
        tests,
        notes,
        library,
    }
}

/// Returns the name that `agent { … }` gives the program.
fn given_name(agent: &Settings) -> Option<String> {
    match agent.get(PROGRAM_NAME)?.value.as_ref()? {
        Value::Text(name) => Some(name.clone()),
        _ => None,
    }
}

fn program_name(entry: &str) -> String {
    let name = entry.rsplit(['/', '\\']).next().unwrap_or(entry);
    let name = name.strip_suffix(".flow").unwrap_or(name);
    if name == "-" { "stdin".to_owned() } else { name.to_owned() }
}

/// Sorts the diagnostics by place and removes duplicates: a faulty constant is reported once, not at each use.
fn sort(diagnostics: &mut Vec<Diagnostic>) {
    let keyed = diagnostics.drain(..).map(|diagnostic| {
        let description = diagnostic.describe();
        let place = description.labels.first().map(|label| label.span);
        ((place, diagnostic.code(), description.message), diagnostic)
    });
    let mut keyed: Vec<_> = keyed.collect();
    keyed.sort_by(|(first, _), (second, _)| first.cmp(second));
    keyed.dedup_by(|(first, _), (second, _)| first == second);
    diagnostics.extend(keyed.into_iter().map(|(_, diagnostic)| diagnostic));
}

/// Keeps one unknown name for each unknown qualifier of a file: the others follow from the same missing import.
fn once_for_each_file(diagnostics: &mut Vec<Diagnostic>, scopes: &Scopes<'_>) {
    diagnostics.sort_by_key(|diagnostic| diagnostic.describe().labels.first().map(|label| label.span));
    let mut told: HashSet<(FileId, String)> = HashSet::new();
    diagnostics.retain(|diagnostic| {
        let Diagnostic::UnknownName(unknown) = diagnostic else { return true };
        let Some((qualifier, _)) = unknown.name.split_once('.') else { return true };
        let file = unknown.span.file;
        scopes.get(file, qualifier).is_some() || told.insert((file, qualifier.to_owned()))
    });
}

/// The input of the checks of a program.
struct Program<'p> {
    library: &'p Library,
    files: &'p Files,
    /// The program's files, the entry first.
    modules: &'p [Module],
    scopes: &'p Scopes<'p>,
}

impl<'p> Program<'p> {
    /// Returns the analysis without its files.
    fn check(
        &self,
        outside: &HashMap<String, Outside>,
        options: &Options,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Analysis {
        let mut checker = Checker::new(self.library, self.files, self.scopes);
        checker.environment = Some(&options.environment);
        self.items().for_each(|item| checker.notes.definitions.item(item));
        checker.read_params(self.modules, outside);
        checker.read_functions(self.modules);
        self.schemas(&mut checker);
        let components = self.components(&mut checker);
        let graph = self.graph(components, &mut checker, diagnostics);
        let functions = checker.function_bodies(self.modules);
        self.unused_lets(&mut checker);
        let tests = self.program_tests(&mut checker, &graph.components);
        let agent = self.agent(&mut checker);
        // Items that only unused interceptors use count as unused, so this comes before `unused_interceptors`.
        let unused = self.unused(&checker);
        self.unused_interceptors(&mut checker);
        let entry = self.modules.first().map(|module| module.file);
        let uses = &checker.notes.use_list;
        let (proofs, found) = proofs::check(&graph, self.library, self.files, uses, entry, agent.as_ref());
        diagnostics.extend(found);
        diagnostics.append(&mut checker.diagnostics);
        secrets::check(self.modules, diagnostics);
        if !diagnostics.iter().any(|diagnostic| diagnostic.severity() == Severity::Error) {
            diagnostics.extend(unused);
        } else {
            diagnostics.retain(|diagnostic| !diagnostic.is_of_links());
        }
        self.unread_names(&mut checker);
        let params = checker.params.iter().filter_map(|(span, param)| Some((*span, param.as_ref()?)));
        let params = params.map(|(declared, param)| {
            let (value, origin, value_type) = (param.value.clone(), param.origin, param.value_type.clone());
            let (name, optional) = (self.files.text(declared).to_owned(), param.optional);
            let setting = Setting { name, value, origin, value_type, optional, declared, derived_from: None };
            (declared, setting)
        });
        let params = params.collect();
        Analysis {
            graph,
            proofs,
            agent,
            params,
            functions,
            tests,
            notes: checker.notes,
            ..Analysis::default()
        }
    }

    /// Returns the items of all files.
    fn items(&self) -> impl Iterator<Item = &'p Item> + use<'p> {
        self.modules.iter().flat_map(|module| &module.tree.items)
    }

    /// Returns the items of the entry file.
    fn own_items(&self) -> impl Iterator<Item = &'p Item> + Clone + use<'p> {
        self.modules.first().into_iter().flat_map(|module| &module.tree.items)
    }

    fn flows(&self) -> impl Iterator<Item = &'p tree::Flow> + use<'p> {
        self.own_items().filter_map(|item| match &item.kind {
            ItemKind::Flow(flow) => Some(flow),
            _ => None,
        })
    }

    /// Returns the resolved graph, with the types of the events.
    fn graph(
        &self,
        mut components: Vec<Component>,
        checker: &mut Checker<'p>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Graph {
        let flows: Vec<&tree::Flow> = self.flows().collect();
        let (mut edges, unknown) = self.edges(&flows, &mut components, checker, diagnostics);
        // The reader finds inner edges first; the checks need the edges in the order of the text.
        edges.sort_by_key(|edge| edge.from_span);
        let promised = flows.iter().map(|flow| Flow {
            name: flow.name.text.as_ref().into(),
            span: flow.name.span,
            broken: flow.broken,
            promised: promises::promise(flow, diagnostics),
        });
        let promised: Vec<Flow> = promised.collect();
        let graph = Typing::new(checker, components, unknown).graph(&edges, &flows);
        let graph = Graph { flows: promised, ..graph };
        promises::order_uses(&graph, checker);
        graph
    }

    /// Reads the chains of all flows and checks the graph. Adds a component for each origin of rejected events.
    fn edges(
        &self,
        flows: &[&'p tree::Flow],
        components: &mut Vec<Component>,
        checker: &mut Checker<'p>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> (Vec<Edge<'p>>, HashSet<ComponentIndex>) {
        let unreadable = self.items().any(|item| matches!(item.kind, ItemKind::Broken(_)));
        let mut reader = FlowReader {
            components: components.iter().map(|component| component.declared.clone()).collect(),
            scopes: self.scopes,
            library: self.library,
            edges: Vec::new(),
            mentions: HashMap::new(),
            unknown: unread::components(self.modules, self.scopes, self.files),
            broken: unreadable || self.modules.iter().any(|module| module.broken),
            unread: false,
            uses: Vec::new(),
            diagnostics: Vec::new(),
        };
        for (index, flow) in flows.iter().enumerate() {
            reader.read(index, flow);
        }
        diagnostics.append(&mut reader.diagnostics);
        let FlowReader { components: declared, edges, mentions, unknown, broken, uses, .. } = reader;
        uses.into_iter().for_each(|(mention, definition)| checker.uses(mention, definition));
        WrittenGraph { components: &declared, edges: &edges, mentions: &mentions, broken }.check(diagnostics);
        let rejects = declared.into_iter().skip(components.len());
        components.extend(rejects.map(Component::without_settings));
        (edges, unknown)
    }

    /// Checks every schema, including unused schemas.
    fn schemas(&self, checker: &mut Checker<'p>) {
        let items = self.modules.iter().flat_map(|module| &module.tree.items);
        for item in items {
            if let ItemKind::Schema(schema) = &item.kind {
                checker.schema_type(schema);
            }
        }
        // A schema is used if another schema contains it; the check here is not a use.
    }

    fn components(&self, checker: &mut Checker<'p>) -> Vec<Component> {
        let mut components = Vec::new();
        for (index, module) in self.modules.iter().enumerate() {
            let prefix = self.prefix(module);
            for item in &module.tree.items {
                if let ItemKind::Component(component) = &item.kind {
                    let name = format!("{prefix}{}", component.name.text);
                    components.push(self.component(component, name.into(), index == 0, checker));
                }
            }
        }
        components
    }

    /// Returns the prefix of the names of a file's components: the name of the import and a point, or nothing.
    fn prefix(&self, module: &Module) -> String {
        let imports = self.modules.first().into_iter().flat_map(|entry| &entry.imports);
        let mut own = imports.filter(|import| import.file == module.file);
        match own.next().and_then(|import| import.alias.as_ref()) {
            Some(alias) => format!("{}.", alias.text),
            None => String::new(),
        }
    }

    fn component(
        &self,
        component: &tree::Component,
        name: Arc<str>,
        own: bool,
        checker: &mut Checker<'p>,
    ) -> Component {
        let (role, span) = (component.role, component.name.span);
        let declared = Declared { name, role, span, own, rejects_of: None };
        let Some(signature) = self.signature(component, checker) else {
            return Component::without_settings(declared);
        };
        checker.notes.uses.note(component.kind.span, signature.name.span);
        let owner = Owner {
            words: format!("{} {}", role_in_words(role), signature.name.text),
            span: component.kind.span,
        };
        let written = &component.settings;
        let (block, qualities, expected) = match role {
            Role::Sink => {
                let (block, qualities) = qualities::taken_from(written, checker);
                (block, qualities, None)
            }
            Role::Source => {
                let (block, expected) = expectations::taken_from(written, &owner, checker);
                (block, Vec::new(), expected)
            }
            Role::Channel => (Cow::Borrowed(written), Vec::new(), None),
        };
        let settings = checker.group(&signature.group, &block, &owner);
        let component = Component::without_settings(declared);
        Component { signature: Some(signature.clone()), settings, qualities, expected, ..component }
    }

    /// Returns the settings of `agent { … }`, if the program has this item.
    fn agent(&self, checker: &mut Checker<'p>) -> Option<Settings> {
        let mut agents = self.own_items().filter_map(|item| match &item.kind {
            ItemKind::Agent(agent) => {
                Some((agent, Span { end: item.span.start + "agent".len() as u32, ..item.span }))
            }
            _ => None,
        });
        let (agent, span) = agents.next()?;
        if let Some((_, second)) = agents.next() {
            checker.report(DuplicateName {
                name: "agent".to_owned(),
                first: span,
                second,
                of: NameOf::Items,
            });
        }
        let Some(Named::Record(group)) = self.library.types.get(AGENT_RECORD) else { return None };
        let owner = Owner { words: "the agent".to_owned(), span };
        Some(checker.group(group, &agent.settings, &owner))
    }

    /// Checks the program's tests.
    fn program_tests(&self, checker: &mut Checker<'p>, components: &[Component]) -> Vec<ProgramTest> {
        let broken = self.own_items().any(|item| matches!(item.kind, ItemKind::Broken(_)))
            || self.flows().any(|flow| flow.broken);
        let params = self.items().filter_map(|item| match &item.kind {
            ItemKind::Param(setting) => Some((setting.name.span, &**setting)),
            _ => None,
        });
        let params = params.collect();
        let mut tests = ProgramTests { checker, components, broken, titles: HashMap::new(), params };
        let checked = self.own_items().filter_map(|item| match &item.kind {
            ItemKind::Test(test) => tests.check(test, item.span),
            _ => None,
        });
        checked.collect()
    }

    /// Checks the interceptors without a use; the others are checked at each use.
    fn unused_interceptors(&self, checker: &mut Checker<'p>) {
        let interceptors = self.items().filter_map(|item| match &item.kind {
            ItemKind::Interceptor(interceptor) => Some(interceptor),
            _ => None,
        });
        let mut count = 0;
        for interceptor in interceptors {
            let name = interceptor.name.span;
            if !checker.notes.uses.is_used(name) || self.scopes.cyclic.contains(&name) {
                let mut rejecting = Vec::new();
                let (rejecting, count) = (&mut rejecting, &mut count);
                StepCheck { checker, rejecting, count, used_at: None, can_reject: false }
                    .unused_interceptor(interceptor);
            }
        }
    }

    /// Checks the unused lets whose type does not depend on the place of their use.
    fn unused_lets(&self, checker: &mut Checker<'p>) {
        for value in self.lets_without_use(checker) {
            use tree::ExpressionKind::{And, Binary, Call, If, Is, Name, Negate, Not, Or, Paren};
            if matches!(
                value.kind,
                And(_)
                    | Binary(..)
                    | Call(_)
                    | If(_)
                    | Is(_)
                    | Name(_)
                    | Negate(_)
                    | Not(_)
                    | Or(_)
                    | Paren(_)
            ) && !is_table(value)
            {
                checker.fold(value);
            }
        }
    }

    fn lets_without_use(&self, checker: &Checker<'p>) -> Vec<&'p tree::Expression> {
        let lets = self.items().filter_map(|item| match &item.kind {
            ItemKind::Let(item) => Some(item),
            _ => None,
        });
        let known = |span| checker.notes.uses.is_used(span) || self.scopes.cyclic.contains(&span);
        lets.filter(|item| !known(item.name.span)).map(|item| &item.value).collect()
    }

    /// Notes the names in unused lets. An unused let is not a use of these names, so this comes last.
    fn unread_names(&self, checker: &mut Checker<'p>) {
        let mut mentions = Vec::new();
        for value in self.lets_without_use(checker) {
            visit::names(value, &mut mentions);
        }
        for mention in mentions {
            if let Some(named) = self.scopes.mention(mention) {
                checker.uses(mention, named.declared);
            }
        }
    }

    /// Returns the signature of a component's kind, or of a similar kind if the kind is unknown.
    fn signature(
        &self,
        component: &tree::Component,
        checker: &mut Checker<'p>,
    ) -> Option<&'p Arc<Signature>> {
        let (role, kind) = (component.role, &*component.kind.text);
        if let Some(signature) = self.library.signature(role, kind) {
            return Some(signature);
        }
        let mut known: Vec<&str> =
            self.library.components.keys().filter(|(of, _)| *of == role).map(|(_, name)| &**name).collect();
        known.sort_unstable();

        let others = [Role::Source, Role::Channel, Role::Sink];
        let other = others.into_iter().find(|other| self.library.signature(*other, kind).is_some());
        let named = self.library.known_as(kind, known.iter().copied());
        let similar = || nearest(kind, known.iter().copied()).filter(|_| other.is_none());
        let near = named.or_else(similar);
        let unknown = UnknownKind {
            kind: kind.to_owned(),
            role: role_in_words(role).trim_start_matches("the "),
            near: near.map(str::to_owned),
            other_role: other.map(|role| role_in_words(role).trim_start_matches("the ")),
            known: known.iter().map(|name| (*name).to_owned()).collect(),
            span: component.kind.span,
        };
        checker.diagnostics.push(unknown.into());
        near.and_then(|near| self.library.signature(role, near))
    }

    /// Returns a diagnostic for each unused declaration of the program itself.
    fn unused(&self, checker: &Checker<'p>) -> Vec<Diagnostic> {
        let unused = |what, name: &str, span| {
            let is_used = checker.notes.uses.is_used(span);
            (!is_used).then(|| Unused { what, name: name.to_owned(), span }.into())
        };
        let locals = checker.notes.locals.iter();
        let locals = locals.filter(|(span, _)| self.library.files.get(span.file).is_none());
        let mut found: Vec<Diagnostic> =
            locals.filter_map(|(span, name)| unused("let", name, *span)).collect();
        // A file without flows is meant to be imported, so its items may be used elsewhere.
        if self.flows().next().is_none() {
            return found;
        }
        for item in self.own_items() {
            let what = match &item.kind {
                ItemKind::Param(_) => "param",
                ItemKind::Let(_) => "let",
                ItemKind::Schema(_) => "schema",
                ItemKind::Function(_) => "fn",
                ItemKind::Interceptor(_) => "interceptor",
                ItemKind::Quality(_) => "quality",
                _ => continue,
            };
            found.extend(item.kind.name().and_then(|name| unused(what, &name.text, name.span)));
        }
        found
    }
}
