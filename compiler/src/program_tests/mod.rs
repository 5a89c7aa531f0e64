//! Checks the tests of a program: whether the events that they send and expect are possible.

mod alone;
mod events;
mod typed;
mod vacuous;
mod writes;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{
    Act, ActKind, Entry, Expression, Fault, FileName, Operator, Path, Role, Setting, Test,
};
use weir_plan::Value;

use crate::analysis::graph::Component;
use crate::analysis::program_tests::{
    ProgramTest, TEST_METRICS, TestAct, TestActKind, TestContent, TestEvents,
};
use crate::checker::{Checker, Expectation};
use crate::diagnostics::{DuplicateEntry, MalformedText, Misplaced, UnknownName};
use crate::flows::REJECTS;
use crate::names::scopes::{ComponentIndex, Meaning};
use crate::names::visit::Mention;
use crate::spelling::{nearest, role_in_words};
use crate::types::Type;
use crate::types::columns::Columns;

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
    /// The declared params, by the places of their names.
    pub(crate) params: HashMap<Span, &'a Setting>,
}

impl ProgramTests<'_, '_> {
    /// Checks a test; `None` if it has errors.
    pub(crate) fn check(&mut self, test: &Test, item: Span) -> Option<ProgramTest> {
        let first = self.titles.insert(test.title.clone(), test.title_span);
        if let Some(first) = first {
            let (name, second) = (test.title.clone(), test.title_span);
            self.checker.report(DuplicateEntry { name, first, second });
        }
        let params = self.params(&test.params);
        let content = match &test.subject {
            Some(subject) => {
                let schema = test.subject_schema.as_ref();
                self.alone(subject, schema, &test.acts).map(TestContent::Alone)
            }
            None => {
                let acts: Vec<_> = test.acts.iter().map(|act| self.act(act)).collect();
                acts.into_iter().collect::<Option<Vec<_>>>().map(TestContent::Program)
            }
        };
        match &content {
            Some(TestContent::Alone(table)) => self.table_tests_something(table, test.title_span),
            Some(TestContent::Program(acts)) if !test.broken => {
                self.acts_test_something(acts, test.title_span)
            }
            _ => {}
        }
        let (title, span) = (test.title.clone(), test.title_span);
        let whole = first.is_none() && !test.broken;
        whole.then_some(ProgramTest { title, span, item, params: params?, content: content? })
    }

    /// Checks the params that a test sets.
    fn params(&mut self, params: &[Entry]) -> Option<BTreeMap<String, Value>> {
        let mut values = BTreeMap::new();
        let mut whole = true;
        for Entry { name, value } in params {
            let path = Path { qualifier: None, name: name.clone() };
            let named = self.checker.scopes.path(&path).map(|named| (named.meaning, named.declared));
            let Some((Meaning::Param, declared)) = named else {
                let known =
                    self.checker.scopes.names(name.span.file, |meaning| matches!(meaning, Meaning::Param));
                let near = nearest(&name.text, known).map(str::to_owned);
                let (name, span) = (name.text.to_string(), name.span);
                self.checker.report(UnknownName { name, wanted: "param", near, quote: false, span });
                whole = false;
                continue;
            };
            self.checker.uses(Mention::of_path(&path), declared);
            let setting = self.params.get(&declared).copied();
            match setting.and_then(|setting| self.checker.value_of_param(setting, value)) {
                Some(value) => drop(values.insert(name.text.to_string(), value)),
                None => whole = false,
            }
        }
        whole.then_some(values)
    }

    fn act(&mut self, act: &Act) -> Option<TestAct> {
        let kind = match &act.kind {
            ActKind::Send(path, events) => {
                let source = self.component(path, &[Role::Source])?;
                let columns = self.columns_of(source);
                let events = TestEvents::Listed(self.events(events, columns.as_ref())?);
                TestActKind::Send { source, events, as_lines: false }
            }
            ActKind::SendLines(path, lines) => {
                let source = self.component(path, &[Role::Source])?;
                TestActKind::Send { source, events: TestEvents::Listed(self.lines(lines)?), as_lines: true }
            }
            ActKind::SendFile(path, name) | ActKind::SendFileLines(path, name) => {
                let source = self.component(path, &[Role::Source])?;
                let as_lines = matches!(act.kind, ActKind::SendFileLines(..));
                TestActKind::Send { source, events: self.file(name)?, as_lines }
            }
            ActKind::ExpectWrites(path, events) => {
                let at = self.component(path, &[Role::Sink])?;
                let name = self.components[at].declared.name.to_string();
                TestActKind::Writes { at, name, events: self.writes(at, events)? }
            }
            ActKind::Expect(path, events) => {
                let (at, name) = self.expected_at(path)?;
                let columns = self.columns_of(at);
                let events = self.events(events, columns.as_ref())?;
                TestActKind::Expect { at, name, events: TestEvents::Listed(events) }
            }
            ActKind::ExpectFile(path, events) => {
                let (at, name) = self.expected_at(path)?;
                TestActKind::Expect { at, name, events: self.file(events)? }
            }
            ActKind::ExpectNo(name) if &*name.text == NOTHING[0] => TestActKind::NoLoss,
            ActKind::ExpectNo(name) if &*name.text == NOTHING[1] => TestActKind::NoDuplicates,
            ActKind::ExpectNo(name) => {
                self.unknown(name, "expectation", &NOTHING);
                return None;
            }
            ActKind::ExpectOrder => TestActKind::Order,
            ActKind::ExpectMetric(path, comparison, value) => self.metric(path, *comparison, value)?,
            ActKind::Advance(time) => {
                match self.checker.value(time, &Expectation::plain(&Type::Duration))? {
                    Value::Duration(time) => TestActKind::Advance(time),
                    _ => return None,
                }
            }
            ActKind::Fail(path, fault) => self.fault(path, fault)?,
            ActKind::Crash => TestActKind::Crash,
            ActKind::ForEach(_) => {
                let rule = "a table tests an interceptor or a function alone: `test \"…\" of NAME { for each { … } }`";
                let (name, rule) = ("`for each`".to_owned(), rule.to_owned());
                let (role, span) = ("a table", act.span);
                self.checker.report(Misplaced { name, role, rule, span, declared: None });
                return None;
            }
        };
        Some(TestAct { span: act.span, kind })
    }

    /// Checks the name of a file of events. A test may write the file, so it is in the folder of the program or below it.
    fn file(&mut self, name: &FileName) -> Option<TestEvents> {
        let (text, span) = (name.text.clone(), name.span);
        let is_drive = text.as_bytes().get(1) == Some(&b':');
        let reason = if text.starts_with(['/', '\\']) || is_drive {
            "it is not relative to the folder of the program"
        } else if text.starts_with('~') {
            "`~` stands for a home folder"
        } else if text.split(['/', '\\']).any(|part| part == "..") {
            "`..` leads out of the folder of the program"
        } else {
            return Some(TestEvents::File { name: text, span });
        };
        let (expected, reason) = ("file of a test".to_owned(), reason.to_owned());
        let help =
            "name a file in the folder of the program or below it, as in `data/visits.jsonl`".to_owned();
        self.checker.report(MalformedText { expected, text, reason, help, near: None, span });
        None
    }

    /// Checks a fault of a component.
    fn fault(&mut self, path: &Path, fault: &Fault) -> Option<TestActKind> {
        let component = self.component(path, &[Role::Source, Role::Channel, Role::Sink]);
        match fault {
            Fault::Times(times) => {
                let times = self.checker.value(times, &Expectation::plain(&Type::Int));
                let (component, Value::Int(times)) = (component?, times?) else { return None };
                Some(TestActKind::Fail { component, times: u64::try_from(times).unwrap_or_default() })
            }
            Fault::Named(name) if FAULTS.contains(&&*name.text) => {
                let role = |index: ComponentIndex| self.components[index].declared.role;
                if component.is_some_and(|component| role(component) != Role::Channel) {
                    let rule =
                        "only a channel has a disk that can be full; `fail … 3 times` lets other calls fail";
                    let (name, span) = (format!("`{}`", name.text), name.span);
                    let (role, rule) = ("a fault of channels", rule.to_owned());
                    self.checker.report(Misplaced { name, role, rule, span, declared: None });
                    return None;
                }
                component.map(TestActKind::DiskFull)
            }
            Fault::Named(name) => {
                self.unknown(name, "way to fail", &FAULTS);
                None
            }
        }
    }

    /// Returns the place at which events are expected: a sink, or the rejected events.
    fn expected_at(&mut self, path: &Path) -> Option<(ComponentIndex, String)> {
        if path.qualifier.is_some() || &*path.name.text != REJECTS {
            let sink = self.component(path, &[Role::Sink])?;
            return Some((sink, self.components[sink].declared.name.to_string()));
        }
        let rejects = self.components.iter().position(|component| component.declared.rejects_of.is_some());
        if rejects.is_none() && !self.broken {
            let (name, span) = ("`rejects`".to_owned(), path.span());
            let rule = "no flow has a route of rejected events".to_owned();
            let role = "where rejected events go";
            self.checker.report(Misplaced { name, role, rule, span, declared: None });
        }
        Some((rejects?, REJECTS.to_owned()))
    }

    fn metric(&mut self, path: &Path, comparison: Operator, value: &Expression) -> Option<TestActKind> {
        let value = self.checker.value(value, &Expectation::plain(&Type::Int));
        let Some(component) = &path.qualifier else {
            let rule = "a metric belongs to a component, as in `buffer.delivered`".to_owned();
            let (name, role, span) = (format!("`{}`", path.name.text), "no metric", path.span());
            self.checker.report(Misplaced { name, role, rule, span, declared: None });
            return None;
        };
        let component = Path { qualifier: None, name: component.clone() };
        let component = self.component(&component, &[Role::Source, Role::Channel, Role::Sink]);
        let metric = &path.name;
        if !TEST_METRICS.contains(&&*metric.text) {
            self.unknown(metric, "metric", &TEST_METRICS);
            return None;
        }
        let (component, Value::Int(value)) = (component?, value?) else { return None };
        Some(TestActKind::Metric { component, metric: metric.text.to_string(), comparison, value })
    }

    fn columns_of(&self, index: ComponentIndex) -> Option<Arc<Columns>> {
        self.components.get(index).and_then(|component| component.events.clone())
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
                if let Some(added) = self.added_channel(path, roles) {
                    return Some(added);
                }
                let declared = self.components.iter().map(|component| &component.declared);
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

    /// Returns the channel of this name that the compiler has added, if a channel may stand there.
    fn added_channel(&self, path: &Path, roles: &[Role]) -> Option<ComponentIndex> {
        let is_meant = |component: &Component| {
            component.implicit && path.qualifier.is_none() && *component.declared.name == *path.name.text
        };
        self.components.iter().position(is_meant).filter(|_| roles.contains(&Role::Channel))
    }
}
