//! Checks the tests of a program: whether the events that they send and expect are possible.

use std::collections::HashMap;

use weir_grammar::tree::{
    Act, ActKind, Block, Entry, Expression, ExpressionKind, Fault, Path, Role, Test, TextPart,
};
use weir_plan::Value;

use crate::analysis::graph::Component;
use crate::checker::{Checker, Expectation};
use crate::diagnostics::{DuplicateEntry, Misplaced, UnknownName, WrongType};
use crate::expressions::no_such_column;
use crate::flows::REJECTS;
use crate::names::scopes::{ComponentIndex, Meaning};
use crate::names::visit::Mention;
use crate::spelling::{nearest, role_in_words};
use crate::types::Type;

/// The faults that a test can inject into a component, besides a number of failures.
const FAULTS: [&str; 1] = ["disk_full"];

/// The names that may follow `expect no`.
const NOTHING: [&str; 2] = ["loss", "duplicates"];

/// Checks the tests of a program.
pub(crate) struct ProgramTests<'a, 'c> {
    pub(crate) checker: &'a mut Checker<'c>,
    pub(crate) components: &'a [Component],
    /// Whether parts of flows could not be parsed.
    pub(crate) broken: bool,
    pub(crate) titles: HashMap<String, weir_grammar::Span>,
}

impl ProgramTests<'_, '_> {
    pub(crate) fn check(&mut self, test: &Test) {
        if let Some(first) = self.titles.insert(test.title.clone(), test.title_span) {
            let (name, second) = (test.title.clone(), test.title_span);
            self.checker.report(DuplicateEntry { name, first, second });
        }
        for act in &test.acts {
            self.act(act);
        }
    }

    fn act(&mut self, act: &Act) {
        match &act.kind {
            ActKind::Send(path, events) => {
                if let Some(index) = self.component(path, &[Role::Source]) {
                    self.events(events, index, true);
                }
            }
            ActKind::Expect(path, events) if path.qualifier.is_none() && &*path.name.text == REJECTS => {
                let rejects =
                    self.components.iter().position(|component| component.declared.rejects_of.is_some());
                match rejects {
                    Some(index) => self.events(events, index, false),
                    None if self.broken => {}
                    None => {
                        let (name, span) = ("`rejects`".to_owned(), path.span());
                        let rule = "no flow has a route of rejected events".to_owned();
                        let role = "where rejected events go";
                        self.checker.report(Misplaced { name, role, rule, span, declared: None });
                    }
                }
            }
            ActKind::Expect(path, events) => {
                if let Some(index) = self.component(path, &[Role::Sink]) {
                    self.events(events, index, false);
                }
            }
            ActKind::ExpectNo(name) if NOTHING.contains(&&*name.text) => {}
            ActKind::ExpectNo(name) => self.unknown(name, "expectation", &NOTHING),
            ActKind::Advance(time) => {
                self.checker.value(time, &Expectation::plain(&Type::Duration));
            }
            ActKind::Fail(path, fault) => {
                self.component(path, &[Role::Source, Role::Channel, Role::Sink]);
                match fault {
                    Fault::Times(times) => {
                        self.checker.value(times, &Expectation::plain(&Type::Int));
                    }
                    Fault::Named(name) if FAULTS.contains(&&*name.text) => {}
                    Fault::Named(name) => self.unknown(name, "way to fail", &FAULTS),
                }
            }
            ActKind::Crash => {}
        }
    }

    fn unknown(&mut self, name: &weir_grammar::tree::Name, wanted: &'static str, known: &[&str]) {
        let near = nearest(&name.text, known.iter().copied()).map(str::to_owned);
        let (name, span) = (name.text.to_string(), name.span);
        self.checker.report(UnknownName { name, wanted, near, quote: false, span });
    }

    /// Resolves a path to a component that has one of these roles.
    fn component(&mut self, path: &Path, roles: &[Role]) -> Option<ComponentIndex> {
        let span = path.span();
        match self.checker.scopes.path(path).map(|named| named.meaning) {
            Some(Meaning::Component(index, role)) if roles.contains(&role) => {
                let declared = self.components[index].declared.span;
                self.checker.uses(Mention::of_path(path), declared);
                Some(index)
            }
            Some(Meaning::Broken) => None,
            Some(meaning) => {
                let name = format!("{} `{}`", meaning.in_words(), path.name.text);
                let wanted = if roles.len() == 1 {
                    role_in_words(roles[0]).trim_start_matches("the ")
                } else {
                    "component"
                };
                let rule = match roles {
                    [Role::Source] => "a test sends from a source".to_owned(),
                    [Role::Sink] => "a test expects events at a sink, or at `rejects`".to_owned(),
                    _ => format!("the name of a {wanted} stands here"),
                };
                let role = match meaning {
                    Meaning::Component(_, Role::Source) => "a source",
                    Meaning::Component(_, Role::Channel) => "a channel",
                    Meaning::Component(_, Role::Sink) => "a sink",
                    _ => "not a component",
                };
                self.checker.report(Misplaced { name, role, rule, span, declared: None });
                None
            }
            None => {
                let written = self.components.iter().filter(|component| !component.implicit);
                let declared = written.map(|component| &component.declared);
                let fitting = declared.filter(|component| roles.contains(&component.role));
                let near =
                    nearest(&path.name.text, fitting.map(|component| &*component.name)).map(str::to_owned);
                let wanted = match roles {
                    [Role::Source] => "source",
                    [Role::Sink] => "sink",
                    _ => "component",
                };
                let name = self.checker.files.text(span).to_owned();
                self.checker.report(UnknownName { name, wanted, near, quote: false, span });
                None
            }
        }
    }

    fn events(&mut self, events: &Expression, index: ComponentIndex, sent: bool) {
        let ExpressionKind::List(events) = &events.kind else { return };
        for event in events {
            match &event.kind {
                ExpressionKind::Text(text) => {
                    if let Some(TextPart::Hole(hole)) =
                        text.parts.iter().find(|part| matches!(part, TextPart::Hole(_)))
                    {
                        let expected = "event of a test".to_owned();
                        self.checker.report(crate::diagnostics::HoleNotAllowed { span: hole.span, expected });
                    }
                }
                // The body is a document. Its fields are not checked, because the program decides how to parse the
                // body.
                ExpressionKind::Variant(name, _) if sent && &*name.text == "json" => {}
                ExpressionKind::Record(block) => self.fields(block, index),
                ExpressionKind::Broken => {}
                _ => {
                    let expected = "event: text, `{ … }` or `json { … }`".to_owned();
                    let (found, span) = (crate::values::literals::found(event), event.span);

                    self.checker.report(WrongType::new(expected, found, span));
                }
            }
        }
    }

    fn fields(&mut self, block: &Block, index: ComponentIndex) {
        let Some(columns) = self.components.get(index).and_then(|component| component.events.clone()) else {
            return;
        };
        for Entry { name, value } in &block.entries {
            let Some(column) = columns.columns.get(&*name.text) else {
                if columns.lacks(&name.text) {
                    self.checker.report(no_such_column(name.text.to_string(), name.span, &columns));
                }
                continue;
            };
            column.named.iter().for_each(|named| self.checker.notes.uses.note(name.span, *named));
            let expectation = Expectation {
                optional: column.optional,
                negatives: true,
                ..Expectation::plain(&column.value_type)
            };
            if matches!(column.value_type, Type::Json | Type::Map(_) | Type::Schema(_) | Type::Decimal(..)) {
                continue;
            }
            let _: Option<Value> = self.checker.value(value, &expectation);
        }
    }
}
