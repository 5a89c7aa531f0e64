//! The whole way from a program's text to its plan.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use weir_grammar::tree::{self, Item, ItemKind, Name, Role};
use weir_grammar::{FileId, Span, parse};
use weir_plan::{Component, Flow, PLAN_VERSION, Plan, Settings};

use crate::constants::{ConstantReader, Outside, role_in_words};
use crate::diagnostics::{
    Diagnostic, DuplicateName, Later, LaterPart, NameStyle, Severity, UnknownKind, UnknownParam,
    UnreadableFile, Unused,
};
use crate::flows::{ComponentIndex, Declared, Edge, FlowReader};
use crate::graph::{Graph, destinations};
use crate::library::{Library, Signature};
use crate::lower::{CheckedComponent, Lowered, Lowering};
use crate::names::{is_snake_case, nearest, to_snake_case};
use crate::promises::{self, Hop, Promised};
use crate::settings::{Checker, Owner};
use crate::sources::{Files, SourceFiles};
use crate::syntax;

/// What comes from outside of the program's text.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Values of params by name, as `--set` gives them; they come before the environment.
    pub params: BTreeMap<String, String>,
    /// Environment variables; the param `topic` is `WEIR_TOPIC`.
    pub environment: BTreeMap<String, String>,
}

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
    let file = files.add(entry, text.as_str());
    let parsed = parse(file, &text);
    drop(text);
    let mut diagnostics: Vec<Diagnostic> =
        parsed.errors.into_iter().map(|error| syntax::diagnostic(error, &files)).collect();
    let items = &parsed.file.items;
    let outside = outside(items, options, &mut files, file, &mut diagnostics);
    let program = Program { library, files: &files, items };
    let plan = program.check(&outside, &mut diagnostics).map(|mut plan| {
        plan.program = program_name(entry);
        plan
    });
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

/// The values of params from outside, each in a file of its own, so that mistakes have a place.
fn outside(
    items: &[Item],
    options: &Options,
    files: &mut Files,
    entry: FileId,
    diagnostics: &mut Vec<Diagnostic>,
) -> HashMap<String, Outside> {
    let params = items.iter().filter_map(|item| match &item.kind {
        ItemKind::Param(setting) => Some(&*setting.name.text),
        _ => None,
    });
    let params: Vec<&str> = params.collect();
    let mut take = |name: &str, text: &str, title: String| {
        let file = files.add(title, text);
        let span = Span { file, start: 0, end: text.len() as u32 };
        (name.to_owned(), Outside { text: text.to_owned(), span })
    };
    let mut outside = HashMap::new();
    for name in &params {
        let variable = format!("WEIR_{}", name.to_uppercase());
        match (options.params.get(*name), options.environment.get(&variable)) {
            (Some(text), _) => outside.extend([take(name, text, format!("--set {name}"))]),
            (None, Some(text)) => outside.extend([take(name, text, format!("environment {variable}"))]),
            (None, None) => {}
        }
    }
    let broken: HashSet<&str> = items.iter().filter_map(broken_name).map(|name| &*name.text).collect();
    let known: Vec<String> = params.iter().map(|name| (*name).to_owned()).collect();
    let unknown = options.params.keys().filter(|name| !params.contains(&name.as_str()));
    for name in unknown.filter(|name| !broken.contains(name.as_str())) {
        let near = nearest(name, params.iter().copied()).map(str::to_owned);
        let span = Span { file: entry, start: 0, end: 0 };
        diagnostics.push(UnknownParam { name: name.clone(), near, known: known.clone(), span }.into());
    }
    outside
}

fn broken_name(item: &Item) -> Option<&Name> {
    match &item.kind {
        ItemKind::Broken(name) => name.as_ref(),
        _ => None,
    }
}

/// A program while it is checked.
struct Program<'p> {
    library: &'p Library,
    files: &'p Files,
    items: &'p [Item],
}

impl<'p> Program<'p> {
    fn check(&self, outside: &HashMap<String, Outside>, diagnostics: &mut Vec<Diagnostic>) -> Option<Plan> {
        self.names(diagnostics);
        let mut reader = ConstantReader {
            library: self.library,
            files: self.files,
            outside,
            diagnostics: Vec::new(),
            used: HashSet::new(),
        };
        let constants = reader.read(self.items);
        diagnostics.append(&mut reader.diagnostics);
        let mut checker = Checker::new(self.library, self.files, &constants);
        checker.used = reader.used;
        let components = self.components(&mut checker);
        let declared: Vec<Declared> = components.iter().map(|component| component.declared.clone()).collect();
        let by_name = self.by_name(&declared);
        let mut flow_reader = FlowReader {
            components: &declared,
            by_name: &by_name,
            edges: Vec::new(),
            mentions: HashMap::new(),
            broken: self.items.iter().any(|item| matches!(item.kind, ItemKind::Broken(_))),
            diagnostics: Vec::new(),
        };
        let flows: Vec<&tree::Flow> = self.flows().collect();
        for (index, flow) in flows.iter().enumerate() {
            flow_reader.read(index, flow);
        }
        let FlowReader { mut edges, mentions, broken, diagnostics: mut found, .. } = flow_reader;
        // Edges are found innermost first; from here on they are in the order of the text.
        edges.sort_by_key(|edge| edge.from_span);
        diagnostics.append(&mut found);
        Graph { components: &declared, edges: &edges, mentions: &mentions, broken }.check(diagnostics);
        let promises = promises_of(&flows, &edges, &components, self.files, diagnostics);
        let lowered = Lowering::new(&mut checker, &components).lower(&edges);
        diagnostics.append(&mut checker.diagnostics);
        if diagnostics.iter().any(|diagnostic| diagnostic.severity() == Severity::Error) {
            return None;
        }
        self.unused_constants(&checker.used, diagnostics);
        plan(&flows, &promises, &edges, components, lowered)
    }

    fn flows(&self) -> impl Iterator<Item = &'p tree::Flow> {
        self.items.iter().filter_map(|item| match &item.kind {
            ItemKind::Flow(flow) => Some(flow),
            _ => None,
        })
    }

    /// Checks that names are unique and written as they should be.
    fn names(&self, diagnostics: &mut Vec<Diagnostic>) {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for item in self.items {
            let (name, what) = match &item.kind {
                ItemKind::Param(setting) => (&setting.name, "param"),
                ItemKind::Let(item) => (&item.name, "let"),
                ItemKind::Component(component) => {
                    (&component.name, role_in_words(component.role).trim_start_matches("the "))
                }
                ItemKind::Flow(flow) => (&flow.name, "flow"),
                ItemKind::Broken(Some(name)) => {
                    seen.entry(&name.text).or_insert(name.span);
                    continue;
                }
                ItemKind::Broken(None) => continue,
                ItemKind::Extern(_) => {
                    library_only("extern", item.span, diagnostics);
                    continue;
                }
                ItemKind::Enum(_) => {
                    library_only("enum", item.span, diagnostics);
                    continue;
                }
                ItemKind::Record(_) => {
                    library_only("record", item.span, diagnostics);
                    continue;
                }
            };
            if let Some(first) = seen.get(&*name.text) {
                let (name, second) = (name.text.to_string(), name.span);
                diagnostics.push(DuplicateName { name, first: *first, second }.into());
                continue;
            }
            seen.insert(&name.text, name.span);
            if !is_snake_case(&name.text) {
                let better = to_snake_case(&name.text);
                let (name, what, span) = (name.text.to_string(), what.to_owned(), name.span);
                // A flow's name is used nowhere else.
                let used = what != "flow";
                diagnostics.push(NameStyle { name, what, style: "snake_case", better, span, used }.into());
            }
        }
    }

    fn components(&self, checker: &mut Checker<'p>) -> Vec<CheckedComponent<'p>> {
        let components = self.items.iter().filter_map(|item| match &item.kind {
            ItemKind::Component(component) => Some(component),
            _ => None,
        });
        components.map(|component| self.component(component, checker)).collect()
    }

    fn component(&self, component: &tree::Component, checker: &mut Checker<'p>) -> CheckedComponent<'p> {
        let name: Arc<str> = component.name.text.as_ref().into();
        let declared = Declared { name, role: component.role, span: component.name.span };
        let Some(signature) = self.signature(component, checker) else {
            return CheckedComponent { declared, signature: None, settings: None, holes: Vec::new() };
        };
        let role = role_in_words(component.role);
        let owner = Owner { words: format!("{role} {}", signature.name.text), span: component.kind.span };
        let settings = checker.group(&signature.group, &component.settings, &owner);
        let holes = std::mem::take(&mut checker.holes);
        CheckedComponent { declared, signature: Some(signature), settings, holes }
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

    /// The components by name; names of items that could not be read are known, but stand for nothing.
    fn by_name(&self, declared: &[Declared]) -> HashMap<&'p str, Option<ComponentIndex>> {
        let mut by_name: HashMap<&str, Option<ComponentIndex>> = HashMap::new();
        let broken = self.items.iter().filter_map(broken_name).map(|name| &*name.text);
        by_name.extend(broken.map(|name| (name, None)));
        let names = self.items.iter().filter_map(|item| match &item.kind {
            ItemKind::Component(component) => Some(&*component.name.text),
            _ => None,
        });
        debug_assert_eq!(names.clone().count(), declared.len());
        for (index, name) in names.enumerate() {
            by_name.entry(name).or_insert(Some(index));
        }
        by_name
    }

    fn unused_constants(&self, used: &HashSet<String>, diagnostics: &mut Vec<Diagnostic>) {
        for item in self.items {
            let (what, name) = match &item.kind {
                ItemKind::Param(setting) => ("param", &setting.name),
                ItemKind::Let(item) => ("let", &item.name),
                _ => continue,
            };
            if !used.contains(&*name.text) {
                diagnostics.push(Unused { what, name: name.text.to_string(), span: name.span }.into());
            }
        }
    }
}

fn library_only(word: &str, span: Span, diagnostics: &mut Vec<Diagnostic>) {
    let span = Span { end: span.start + word.len() as u32, ..span };
    diagnostics.push(Later { part: LaterPart::Item(word.to_owned()), span }.into());
}

/// What each flow promises, held against the sources and sinks on its way.
fn promises_of(
    flows: &[&tree::Flow],
    edges: &[Edge<'_>],
    components: &[CheckedComponent<'_>],
    files: &Files,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Option<Promised>> {
    let mut on_way: Vec<Vec<ComponentIndex>> = flows.iter().map(|_| Vec::new()).collect();
    for edge in edges {
        on_way[edge.flow].push(edge.from);
        on_way[edge.flow].extend(destinations(&edge.segment).into_iter().map(|(index, _)| index));
    }
    let mut promises = Vec::new();
    for (flow, on_way) in flows.iter().zip(on_way) {
        let promised = promises::promise(flow, files, diagnostics);
        if let Some(promised) = promised {
            let hops = on_way.iter().filter_map(|index| {
                let component = &components[*index];
                let signature = component.signature?;
                let (name, declared) = (&*component.declared.name, component.declared.span);
                Some(Hop { name, declared, class: signature.class, class_span: signature.class_span })
            });
            promises::keep(promised, hops, diagnostics);
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
) -> Option<Plan> {
    let mut plan = Plan {
        version: PLAN_VERSION,
        program: String::new(),
        sources: Vec::new(),
        channels: Vec::new(),
        sinks: Vec::new(),
        event_types: lowered.event_types,
        flows: Vec::new(),
    };
    for (component, event_type) in components.into_iter().zip(lowered.component_types) {
        let Some(event_type) = event_type else { continue };
        let Declared { name, role, .. } = component.declared;
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
        let (name, delivers) = (flow.name.text.to_string(), promised.as_ref()?.delivery);
        plan.flows.push(Flow { name, delivers, paths: Vec::new() });
    }
    for (edge, paths) in edges.iter().zip(lowered.paths) {
        plan.flows.get_mut(edge.flow)?.paths.extend(paths);
    }
    Some(plan)
}
