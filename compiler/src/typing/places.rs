//! Where a missing name is made or removed: labels at the steps of the chain in which a diagnostic stands.

use weir_grammar::Span;
use weir_grammar::tree::{
    Chain, Component, Expression, ExpressionKind, Flow, ItemKind, Name, Path, Stage, Step, StepKind,
};

use crate::diagnostics::{Diagnostic, Explained, Fix, Label};
use crate::files::modules::Module;
use crate::files::sources::Files;
use crate::signatures::{Library, Named};
use crate::types::Type;

/// The most chains before a chain that are searched for the step that removes a name.
const CHAINS_MAX: usize = 8;

/// Adds the step that makes or removes the missing name to each diagnostic about a name that events do not have.
pub(crate) fn explain(modules: &[Module], files: &Files, library: &Library, diagnostics: &mut [Diagnostic]) {
    for diagnostic in diagnostics {
        let Some((name, place, is_need)) = missing(diagnostic) else { continue };
        let places = Places { modules, files, library };
        if let Some(explained) = places.of(&name, place, is_need) {
            let inner = std::mem::replace(diagnostic, Explained::default().into());
            *diagnostic = Explained { inner: Some(inner), ..explained }.into();
        }
    }
}

/// Returns the missing name of a diagnostic, its place in a chain, and whether a sink needs it.
fn missing(diagnostic: &Diagnostic) -> Option<(String, Span, bool)> {
    match diagnostic {
        Diagnostic::UnknownName(unknown) if unknown.wanted.starts_with("field") => {
            Some((unknown.name.clone(), unknown.span, false))
        }
        Diagnostic::NoSuchColumn(missing) => Some((missing.name.clone(), missing.span, false)),
        Diagnostic::UnmetNeed(need) if need.found.is_none() => Some((need.column.clone(), need.span, true)),
        Diagnostic::Within(within) => missing(&within.inner).map(|(name, ..)| (name, within.used_at, false)),
        _ => None,
    }
}

struct Places<'p> {
    modules: &'p [Module],
    files: &'p Files,
    library: &'p Library,
}

/// The steps of a chain before and after a place.
#[derive(Default)]
struct Around<'t> {
    before: Vec<&'t Step>,
    after: Vec<&'t Step>,
}

impl<'p> Places<'p> {
    fn of(&self, name: &str, place: Span, is_need: bool) -> Option<Explained> {
        let flow = self.flows().find(|flow| chain_of(flow, place).is_some())?;
        let mut chain = chain_of(flow, place)?;
        let mut around = Around::default();
        collect(chain, place, &mut around);
        // The steps of the chains that lead to this one.
        let mut before = Vec::new();
        for _ in 0..CHAINS_MAX {
            let Some(Stage::Name(first)) = chain.stages.first() else { break };
            let Some(feeding) =
                flow.chains.iter().find(|other| ends_with(other, first) && other.span != chain.span)
            else {
                break;
            };
            chain = feeding;
            let end = Span { start: chain.span.end, end: chain.span.end, ..chain.span };
            let mut earlier = Around::default();
            collect(chain, end, &mut earlier);
            before.splice(0..0, earlier.before);
        }
        before.extend(&around.before);
        if let Some(step) = before.iter().rev().find(|step| self.removes(step, name)) {
            let text = format!("this step removes `{name}`");
            let fix = if is_need { self.json(place) } else { None };
            let help = fix.as_ref().map(|_| "to write the fields, set `format: json`".to_owned());
            return Some(Explained::at(Label { span: first_word(step, self.files), text }, true, help, fix));
        }
        let made = around.after.iter().find(|step| self.makes(step, name))?;
        let text = format!("this step makes `{name}`, and comes later");
        let help = Some(format!("put the step that makes `{name}` before its use"));
        Some(Explained::at(Label { span: first_word(made, self.files), text }, true, help, None))
    }

    fn flows(&self) -> impl Iterator<Item = &'p Flow> {
        let items = self.modules.iter().flat_map(|module| &module.tree.items);
        items.filter_map(|item| match &item.kind {
            ItemKind::Flow(flow) => Some(flow),
            _ => None,
        })
    }

    fn removes(&self, step: &Step, name: &str) -> bool {
        match &step.kind {
            StepKind::Parse(_) => name == "body",
            StepKind::Unset(target) | StepKind::Flatten(target) => *target.text == *name,
            StepKind::Rename(from, _) => *from.text == *name,
            StepKind::Select(targets, broken) => {
                !broken && !name.starts_with('@') && targets.iter().all(|target| *target.text != *name)
            }
            _ => false,
        }
    }

    fn makes(&self, step: &Step, name: &str) -> bool {
        match &step.kind {
            StepKind::Set(target, _) => *target.text == *name,
            StepKind::Rename(_, to) => *to.text == *name,
            StepKind::Let(made, _) => *made.text == *name,
            StepKind::Parse(parse) => match &parse.schema {
                Some(schema) => self.fields(schema).any(|field| *field.text == *name),
                None => parse.parser.arguments.iter().any(|argument| self.has_group(&argument.value, name)),
            },
            _ => false,
        }
    }

    /// Returns the names of a schema's fields.
    fn fields<'n>(&'n self, path: &'n Path) -> impl Iterator<Item = &'n Name> {
        let items = self.modules.iter().flat_map(|module| &module.tree.items);
        let schemas = items.filter_map(move |item| match &item.kind {
            ItemKind::Schema(schema) if schema.name.text == path.name.text => Some(schema),
            _ => None,
        });
        schemas.flat_map(|schema| schema.fields.iter().map(|field| &field.name))
    }

    /// Returns whether a regular expression has a group of this name.
    fn has_group(&self, value: &Expression, name: &str) -> bool {
        matches!(value.kind, ExpressionKind::Text(_))
            && self.files.text(value.span).contains(&format!("<{name}>"))
    }

    /// Returns whether a sink has a setting `format` whose value `json` needs no column.
    fn has_json(&self, component: &Component) -> bool {
        let signature = self.library.signature(component.role, &component.kind.text);
        let mut settings = signature.iter().flat_map(|signature| &signature.group.settings);
        let format = settings.find(|setting| &*setting.name.text == "format");
        let Some(Type::Named(name)) = format.map(|format| &format.value_type) else { return false };
        let Some(Named::Enum(variants)) = self.library.types.get(name) else { return false };
        variants.iter().any(|variant| &*variant.name.text == "json" && variant.needs.is_empty())
    }

    /// Returns the edit that gives the sink at a place of a chain the format `json`, if it has such a setting.
    fn json(&self, place: Span) -> Option<Fix> {
        let name = self.files.text(place);
        let items = self.modules.iter().flat_map(|module| &module.tree.items);
        let mut component = items.filter_map(|item| match &item.kind {
            ItemKind::Component(component) if *component.name.text == *name => Some(component),
            _ => None,
        });
        let component = component.next_back()?;
        let settings = &component.settings;
        let written = settings.entries.iter().find(|entry| &*entry.name.text == "format");
        let brace = Span { start: settings.span.start, end: settings.span.start + 1, ..settings.span };
        let (span, replacement) = match (written, settings.entries.first()) {
            _ if !self.has_json(component) => return None,
            (Some(entry), _) => (entry.value.span, "json".to_owned()),
            (None, None) => (settings.span, "{ format: json }".to_owned()),
            (None, Some(first)) => {
                let between = Span { start: brace.end, end: first.name.span.start, ..brace };
                let separator =
                    if self.files.text(between).contains('\n') { self.files.text(between) } else { ", " };
                let start = first.name.span.start;
                (Span { start, end: start, ..brace }, format!("format: json{separator}"))
            }
        };
        Some(Fix::guess("write `format: json`", span, replacement))
    }
}

/// Returns the chain of a flow that contains a place.
fn chain_of(flow: &Flow, place: Span) -> Option<&Chain> {
    flow.chains.iter().find(|chain| chain.span.contains(place))
}

fn ends_with(chain: &Chain, name: &Path) -> bool {
    matches!(chain.stages.last(), Some(Stage::Name(last)) if last.name.text == name.name.text)
}

/// Collects the steps before and after a place, of the chain and of the branch that contains the place.
fn collect<'t>(chain: &'t Chain, place: Span, around: &mut Around<'t>) {
    for stage in &chain.stages {
        let inner: Vec<&Chain> = match stage {
            Stage::Step(step) if step.span.contains(place) => continue,
            Stage::Step(step) if step.span.start < place.start => {
                around.before.push(step);
                continue;
            }
            Stage::Step(step) => {
                around.after.push(step);
                continue;
            }
            Stage::Name(_) => continue,
            Stage::Copy(copy) => copy.branches.iter().map(|branch| &branch.chain).collect(),
            Stage::Choice(choice) => choice.cases.iter().map(|case| &case.chain).collect(),
            Stage::Balance(balance) => balance.chains.iter().collect(),
            Stage::Failover(failover) => failover.chains.iter().collect(),
        };
        for chain in inner.into_iter().filter(|chain| chain.span.contains(place)) {
            collect(chain, place, around);
        }
    }
}

/// Returns the place of the first two words of a step.
fn first_word(step: &Step, files: &Files) -> Span {
    let text = files.text(step.span);
    let line = text.lines().next().unwrap_or_default();
    let end = line.match_indices(' ').nth(1).map_or(line.len(), |(at, _)| at);
    Span { end: step.span.start + end as u32, ..step.span }
}
