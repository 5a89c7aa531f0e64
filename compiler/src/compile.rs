//! The whole way from a program's text to its plan.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use weir_grammar::tree::{self, ItemKind, Role};
use weir_grammar::{FileId, Span};
use weir_plan::{Component, Flow, Function, PLAN_VERSION, Plan, Settings};

use crate::checker::{Checker, Owner};
use crate::diagnostics::{Diagnostic, DuplicateName, NameOf, Severity, UnknownKind, UnreadableFile, Unused};
use crate::files::modules::{self, Module};
use crate::files::sources::{Files, SourceFiles};
use crate::flows::components::CheckedComponent;
use crate::flows::graph::{Graph, required_destinations};
use crate::flows::{Declared, Edge, FlowReader};
use crate::lowering::{Lowered, Lowering};
use crate::names::scopes::{self, ComponentIndex, Scopes};
use crate::names::{cycles, unread};
use crate::options::Options;
use crate::program_tests::ProgramTests;
use crate::proofs::delivery::{self, Hop, Promised};
use crate::proofs::{amounts, resources};
use crate::signatures::{AGENT_RECORD, Library, Named, Signature};
use crate::spelling::{nearest, role_in_words};
use crate::values::params::{self, Outside};

/// What became of a program.
#[derive(Debug)]
pub struct Compiled {
    /// The plan, if nothing is wrong; warnings don't count.
    pub plan: Option<Plan>,
    /// Everything that is wrong, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that diagnostics point into.
    pub files: Files,
}

impl Compiled {
    /// Whether there are errors.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity() == Severity::Error)
    }
}

/// Compiles the program in a file.
pub fn compile(sources: &dyn SourceFiles, entry: &str, library: &Library, options: &Options) -> Compiled {
    let mut files = library.files.clone();
    let text = match sources.read(entry) {
        Ok(text) => text,
        Err(reason) => {
            let file = files.add(entry, "");
            let span = Span { file, start: 0, end: 0 };
            let unreadable = UnreadableFile { name: entry.to_owned(), reason, span };
            return Compiled { plan: None, diagnostics: vec![unreadable.into()], files };
        }
    };
    let mut diagnostics = Vec::new();
    let modules = modules::load(sources, entry, text, &mut files, &mut diagnostics);
    let Some(file) = modules.first().map(|module| module.file) else {
        return Compiled { plan: None, diagnostics, files };
    };
    let outside = params::outside(&modules, options, &mut files, file, &mut diagnostics);
    let mut scopes = scopes::read(&modules, &files, &mut diagnostics);
    scopes.cyclic = cycles::find(&modules, &scopes, &mut diagnostics);
    let program = Program { library, files: &files, modules: &modules, scopes: &scopes };
    let plan = program.check(&outside, options, &mut diagnostics).map(|mut plan| {
        plan.program = program_name(entry);
        plan
    });
    once_for_each_file(&mut diagnostics, &scopes);
    sort(&mut diagnostics);
    let failed = diagnostics.iter().any(|diagnostic| diagnostic.severity() == Severity::Error);
    Compiled { plan: plan.filter(|_| !failed), diagnostics, files }
}

fn program_name(entry: &str) -> String {
    let name = entry.rsplit(['/', '\\']).next().unwrap_or(entry);
    let name = name.strip_suffix(".flow").unwrap_or(name);
    if name == "-" { "stdin".to_owned() } else { name.to_owned() }
}

/// By place, and none twice: a constant that is used in two places is wrong once.
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

/// Keeps one of the names that a file lacks which is not imported: the others only follow from that.
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

/// A program while it is checked.
struct Program<'p> {
    library: &'p Library,
    files: &'p Files,
    /// The entry first.
    modules: &'p [Module],
    scopes: &'p Scopes<'p>,
}

impl<'p> Program<'p> {
    fn check(
        &self,
        outside: &HashMap<String, Outside>,
        options: &Options,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Plan> {
        let mut checker = Checker::new(self.library, self.files, self.scopes);
        checker.environment = Some(&options.environment);
        checker.read_params(self.modules, outside);
        checker.read_functions(self.modules);
        self.schemas(&mut checker);
        let mut components = self.components(&mut checker);
        let flows: Vec<&tree::Flow> = self.flows().collect();
        let (mut edges, unknown) = self.edges(&flows, &mut components, diagnostics);
        // Edges are found innermost first; from here on they are in the order of the text.
        edges.sort_by_key(|edge| edge.from_span);
        resources::check(&components, diagnostics);
        let promises = promises_of(&flows, &edges, &components, self.library, diagnostics);
        let lowered = Lowering::new(&mut checker, &components, unknown).lower(&edges, &flows);
        amounts::answers_in_time(&edges, &components, &mut checker);
        delivery::orders_known(&promises, &edges, &lowered, &mut checker);
        let functions = checker.function_bodies(self.modules);
        self.unused_interceptors(&mut checker);
        self.unused_lets(&mut checker);
        self.program_tests(&mut checker, &components, &lowered);
        let agent = self.agent(&mut checker);
        diagnostics.append(&mut checker.diagnostics);
        if diagnostics.iter().any(|diagnostic| diagnostic.severity() == Severity::Error) {
            return None;
        }
        self.unused(&checker.used, diagnostics);
        for (span, name) in std::mem::take(&mut checker.locals) {
            if !checker.used.contains(&span) && self.library.files.get(span.file).is_none() {
                diagnostics.push(Unused { what: "let", name, span }.into());
            }
        }
        plan(&flows, &promises, &edges, components, lowered, functions?, agent?)
    }

    fn flows(&self) -> impl Iterator<Item = &'p tree::Flow> {
        let items = self.modules.first().into_iter().flat_map(|module| &module.tree.items);
        items.filter_map(|item| match &item.kind {
            ItemKind::Flow(flow) => Some(flow),
            _ => None,
        })
    }

    /// Reads the chains of all flows and checks the graph; the places of rejected events become
    /// components of their own.
    fn edges(
        &self,
        flows: &[&'p tree::Flow],
        components: &mut Vec<CheckedComponent<'p>>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> (Vec<Edge<'p>>, HashSet<ComponentIndex>) {
        let items = self.modules.iter().flat_map(|module| &module.tree.items);
        let unreadable = items.filter(|item| matches!(item.kind, ItemKind::Broken(_))).count() > 0;
        let mut reader = FlowReader {
            components: components.iter().map(|component| component.declared.clone()).collect(),
            scopes: self.scopes,
            edges: Vec::new(),
            mentions: HashMap::new(),
            unknown: unread::components(self.modules, self.scopes, self.files),
            broken: unreadable || self.modules.iter().any(|module| module.broken),
            unread: false,
            diagnostics: Vec::new(),
        };
        for (index, flow) in flows.iter().enumerate() {
            reader.read(index, flow);
        }
        let FlowReader {
            components: declared, edges, mentions, unknown, broken, diagnostics: mut found, ..
        } = reader;
        diagnostics.append(&mut found);
        Graph { components: &declared, edges: &edges, mentions: &mentions, broken }.check(diagnostics);
        let rejects = declared.into_iter().skip(components.len());
        components.extend(rejects.map(CheckedComponent::without_settings));
        (edges, unknown)
    }

    /// Looks at every schema, also those that no step uses.
    fn schemas(&self, checker: &mut Checker<'p>) {
        let items = self.modules.iter().flat_map(|module| &module.tree.items);
        for item in items {
            if let ItemKind::Schema(schema) = &item.kind {
                checker.schema_type(schema);
            }
        }
        // That a schema is part of another one is a use; that it was looked at here is none.
    }

    fn components(&self, checker: &mut Checker<'p>) -> Vec<CheckedComponent<'p>> {
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

    /// What stands before the names of a file's components: the name under which it is imported.
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
        component: &'p tree::Component,
        name: Arc<str>,
        own: bool,
        checker: &mut Checker<'p>,
    ) -> CheckedComponent<'p> {
        let declared =
            Declared { name, role: component.role, span: component.name.span, own, rejects_of: None };
        let Some(signature) = self.signature(component, checker) else {
            return CheckedComponent::without_settings(declared);
        };
        let owner = Owner {
            words: format!("{} {}", role_in_words(component.role), signature.name.text),
            span: component.kind.span,
        };
        let settings = checker.group(&signature.group, &component.settings, &owner);
        let given = component.settings.entries.iter();
        CheckedComponent {
            declared,
            signature: Some(signature),
            settings,
            given: given.map(|entry| (entry.name.text.to_string(), entry.value.span)).collect(),
            holes: std::mem::take(&mut checker.holes),
            headers: std::mem::take(&mut checker.headers),
            exclusive: std::mem::take(&mut checker.exclusive),
        }
    }

    /// The settings of `agent { … }`; none if something about them has been reported.
    fn agent(&self, checker: &mut Checker<'p>) -> Option<Settings> {
        let items = self.modules.first().into_iter().flat_map(|module| &module.tree.items);
        let mut agents = items.filter_map(|item| match &item.kind {
            ItemKind::Agent(agent) => {
                Some((agent, Span { end: item.span.start + "agent".len() as u32, ..item.span }))
            }
            _ => None,
        });
        let Some((agent, span)) = agents.next() else { return Some(Settings::default()) };
        if let Some((_, second)) = agents.next() {
            checker.report(DuplicateName {
                name: "agent".to_owned(),
                first: span,
                second,
                of: NameOf::Items,
            });
        }
        let Some(Named::Record(group)) = self.library.types.get(AGENT_RECORD) else {
            return Some(Settings::default());
        };
        let owner = Owner { words: "the agent".to_owned(), span };
        checker.group(group, &agent.settings, &owner).map(|values| Settings { values })
    }

    /// Checks the program's tests.
    fn program_tests(
        &self,
        checker: &mut Checker<'p>,
        components: &[CheckedComponent<'p>],
        lowered: &Lowered,
    ) {
        let declared: Vec<Declared> = components.iter().map(|component| component.declared.clone()).collect();
        let columns = &lowered.columns;
        let items = self.modules.first().into_iter().flat_map(|module| &module.tree.items);
        let broken = items.clone().any(|item| matches!(item.kind, ItemKind::Broken(_)))
            || self.flows().any(|flow| flow.broken);
        let mut tests =
            ProgramTests { checker, components: &declared, columns, broken, titles: HashMap::new() };
        let items = self.modules.first().into_iter().flat_map(|module| &module.tree.items);
        for item in items {
            if let ItemKind::Test(test) = &item.kind {
                tests.check(test);
            }
        }
    }

    /// Interceptors are checked at each use, so of one that nothing uses only the names are looked at.
    fn unused_interceptors(&self, checker: &mut Checker<'p>) {
        let items = self.modules.iter().flat_map(|module| &module.tree.items);
        for item in items {
            if let ItemKind::Interceptor(interceptor) = &item.kind
                && !checker.used.contains(&interceptor.name.span)
            {
                for parameter in &interceptor.parameters {
                    checker.parameter(parameter);
                }
            }
        }
    }

    /// Looks at lets that nothing uses, as far as they don't wait for what their place expects.
    fn unused_lets(&self, checker: &mut Checker<'p>) {
        let items = self.modules.iter().flat_map(|module| &module.tree.items);
        let lets = items.filter_map(|item| match &item.kind {
            ItemKind::Let(item) => Some(item),
            _ => None,
        });
        let known = |span: &Span| checker.used.contains(span) || self.scopes.cyclic.contains(span);
        let unused: Vec<&tree::Expression> =
            lets.filter(|item| !known(&item.name.span)).map(|item| &item.value).collect();
        for value in unused {
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
            ) {
                checker.fold(value);
            }
        }
    }

    /// The signature of a component's kind, or of the one that was most likely meant.
    fn signature(&self, component: &tree::Component, checker: &mut Checker<'p>) -> Option<&'p Signature> {
        let (role, kind) = (component.role, &*component.kind.text);
        if let Some(signature) = self.library.signature(role, kind) {
            return Some(signature);
        }
        let mut known: Vec<&str> =
            self.library.components.keys().filter(|(of, _)| *of == role).map(|(_, name)| &**name).collect();
        known.sort_unstable();

        let others = [Role::Source, Role::Channel, Role::Sink];
        let other = others.into_iter().find(|other| self.library.signature(*other, kind).is_some());
        let near = if other.is_none() { nearest(kind, known.iter().copied()) } else { None };
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

    /// Reports what the program itself declares and never uses.
    fn unused(&self, used: &HashSet<Span>, diagnostics: &mut Vec<Diagnostic>) {
        let entry = self.modules.first().into_iter().flat_map(|module| &module.tree.items);
        // A file without flows is there to be imported.
        if self.flows().next().is_none() {
            return;
        }
        for item in entry {
            let what = match &item.kind {
                ItemKind::Param(_) => "param",
                ItemKind::Let(_) => "let",
                ItemKind::Schema(_) => "schema",
                ItemKind::Function(_) => "fn",
                ItemKind::Interceptor(_) => "interceptor",
                ItemKind::Quality(_) => "quality",
                _ => continue,
            };
            if let Some(name) = item.kind.name().filter(|name| !used.contains(&name.span)) {
                diagnostics.push(Unused { what, name: name.text.to_string(), span: name.span }.into());
            }
        }
    }
}

/// What each flow promises, held against the sources and sinks on its way.
fn promises_of(
    flows: &[&tree::Flow],
    edges: &[Edge<'_>],
    components: &[CheckedComponent<'_>],
    library: &Library,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Option<Promised>> {
    let mut on_way: Vec<Vec<ComponentIndex>> = flows.iter().map(|_| Vec::new()).collect();
    for edge in edges {
        on_way[edge.flow].push(edge.from);
        on_way[edge.flow].extend(required_destinations(&edge.leg));
    }
    let mut promises = Vec::new();
    for (flow, on_way) in flows.iter().zip(on_way) {
        let promised = delivery::promise(flow, diagnostics);
        if let Some(promised) = &promised {
            let hops = on_way.iter().filter_map(|index| {
                let component = &components[*index];
                let signature = component.signature?;
                Some(Hop {
                    name: &component.declared.name,
                    declared: component.declared.span,
                    class: signature.class,
                    class_span: signature.class_span,
                    shortfalls: component.shortfalls(library),
                })
            });
            delivery::keep(promised, hops, diagnostics);
        }
        promises.push(promised);
    }
    promises
}

/// Puts the plan together. Components that no flow leads through are no part of it.
fn plan(
    flows: &[&tree::Flow],
    promises: &[Option<Promised>],
    edges: &[Edge<'_>],
    components: Vec<CheckedComponent<'_>>,
    lowered: Lowered,
    functions: Vec<Function>,
    agent: Settings,
) -> Option<Plan> {
    let mut plan = Plan {
        version: PLAN_VERSION,
        program: String::new(),
        sources: Vec::new(),
        channels: Vec::new(),
        sinks: Vec::new(),
        event_types: lowered.event_types.all,
        functions,
        flows: Vec::new(),
        agent,
    };
    for (component, event_type) in components.into_iter().zip(lowered.component_types) {
        let Declared { name, role, rejects_of, .. } = component.declared;
        let (Some(event_type), None) = (event_type, rejects_of) else { continue };
        let kind = component.signature?.name.text.to_string();
        let settings = Settings { values: component.settings? };
        let component = Component { name: name.to_string(), kind, settings, event_type, implicit: false };
        match role {
            Role::Source => plan.sources.push(component),
            Role::Channel => plan.channels.push(component),
            Role::Sink => plan.sinks.push(component),
        }
    }
    plan.channels.extend(lowered.implicit);
    for (flow, promised) in flows.iter().zip(promises) {
        let Promised { delivery: delivers, order, .. } = promised.clone()?;
        plan.flows.push(Flow { name: flow.name.text.to_string(), delivers, order, paths: Vec::new() });
    }
    for (edge, paths) in edges.iter().zip(lowered.paths) {
        plan.flows.get_mut(edge.flow)?.paths.extend(paths);
    }
    Some(plan)
}
