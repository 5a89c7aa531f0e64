//! Checks the tests of an interceptor or a function alone: a table of what goes in and what has to come out.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{
    Act, ActKind, Argument, Call, Entry, Expression, ExpressionKind, Failure, Handler, Name, Row, Step,
    StepKind,
};
use weir_plan::{BODY, Value};

use super::ProgramTests;
use crate::analysis::program_tests::{EventContent, RESULT, StepTest, TestEvent, TestRow};
use crate::checker::Expectation;
use crate::diagnostics::{Misplaced, WrongType};
use crate::expressions::Bindings;
use crate::names::scopes::Meaning;
use crate::signatures::FunctionSignature;
use crate::steps::{State, StepCheck};
use crate::types::Type;
use crate::types::columns::{Column, Columns, Origin};
use crate::types::ranges::IntRange;

/// The header that is a time in the tables of tests, as it is in the events of all sources.
const TIME_HEADER: &str = "@timestamp";

/// The columns and values that the rows of a table give.
struct Given {
    columns: Columns,
    rows: Vec<(Span, BTreeMap<String, Value>)>,
}

impl ProgramTests<'_, '_> {
    /// Checks a test of an interceptor or a function.
    pub(super) fn alone(&mut self, subject: &Call, acts: &[Act]) -> Option<StepTest> {
        let rows = self.rows(acts)?;
        let function = self.function(subject)?;
        let is_function = function.is_some();
        let given = match &function {
            Some(function) => self.given_arguments(function, &rows),
            None => self.given_events(&rows),
        }?;
        let step = match &function {
            Some(function) => result_of(subject, function),
            None => {
                let span = subject_span(subject);
                Step { span, kind: StepKind::Use(subject.clone()), handler: None }
            }
        };
        let before = Arc::new(given.columns);
        let mut state = State { columns: before.clone(), bindings: Bindings::default() };
        let (mut steps, mut rejecting, mut count) = (Vec::new(), Vec::new(), 0);
        let (checker, used_at) = (&mut *self.checker, None);
        let mut check =
            StepCheck { checker, rejecting: &mut rejecting, count: &mut count, used_at, can_reject: true };
        check.step(&step, &mut state, &mut steps)?;
        let after = state.columns;
        let rows = rows.iter().zip(given.rows).map(|(row, (span, columns))| {
            let out = match is_function {
                true => self.result(&row.out, &after),
                false => self.out(&row.out, &after),
            }?;
            let given = TestEvent { span, content: EventContent::Columns(columns) };
            Some(TestRow { span: row.span, given, out, out_span: row.out.span })
        });
        let rows: Vec<_> = rows.collect();
        let rows = rows.into_iter().collect::<Option<Vec<_>>>()?;
        Some(StepTest { before, steps, rows, is_function })
    }

    /// Returns the rows of all tables, and reports acts that need a program.
    fn rows<'t>(&mut self, acts: &'t [Act]) -> Option<Vec<&'t Row>> {
        let mut rows = Vec::new();
        let mut whole = true;
        for act in acts {
            match &act.kind {
                ActKind::ForEach(table) => rows.extend(table),
                _ => {
                    whole = false;
                    let text = self.checker.files.text(act.span);
                    let name = format!("`{}`", text.split_whitespace().next().unwrap_or_default());
                    let rule =
                        "a test `of` an interceptor or a function has only `for each { in: …, out: … }`";
                    let (role, rule, span) = ("an act of a program's test", rule.to_owned(), act.span);
                    self.checker.report(Misplaced { name, role, rule, span, declared: None });
                }
            }
        }
        whole.then_some(rows)
    }

    /// Returns the signature of the function that is tested, or nothing inside if the subject is no function; `None` if it
    /// has errors, which have been reported.
    fn function(&mut self, subject: &Call) -> Option<Option<Arc<FunctionSignature>>> {
        // The library has an interceptor and a function of the name `uuid`: only the use of an interceptor has arguments.
        if !subject.arguments.is_empty() {
            return Some(None);
        }
        match self.checker.scopes.path(&subject.function).map(|named| (named.meaning, named.declared)) {
            Some((Meaning::Function, declared)) => self.checker.functions.get(&declared).cloned().map(Some),
            Some((Meaning::Broken, _)) => None,
            Some(_) => Some(None),
            None if subject.function.qualifier.is_some() => Some(None),
            None => Some(self.checker.library.functions.get(&*subject.function.name.text).cloned()),
        }
    }

    /// Types the arguments of a function in each row: a list if the function has several parameters.
    fn given_arguments(&mut self, function: &FunctionSignature, rows: &[&Row]) -> Option<Given> {
        let mut columns = Columns::default();
        let mut given = Vec::new();
        let mut whole = true;
        for row in rows {
            let arguments: Vec<&Expression> = match &row.given.kind {
                ExpressionKind::List(items) if function.parameters.len() != 1 => items.iter().collect(),
                _ => vec![&row.given],
            };
            if arguments.len() != function.parameters.len() {
                let expected = format!("list of {} arguments", function.parameters.len());
                let found = crate::values::literals::found(&row.given);
                self.checker.report(WrongType::new(expected, found, row.given.span));
                whole = false;
                continue;
            }
            let mut values = BTreeMap::new();
            for (parameter, argument) in function.parameters.iter().zip(arguments) {
                let declared = parameter.types.first().filter(|of| !matches!(of, Type::Variable(..)));
                let (value, value_type) = match declared {
                    Some(declared) => {
                        let expected =
                            Expectation { optional: true, negatives: true, ..Expectation::plain(declared) };
                        (self.checker.value(argument, &expected), Some(declared.clone()))
                    }
                    None => self.untyped(argument),
                };
                whole &= self.add(&mut columns, &parameter.name, argument.span, value_type, value.as_ref());
                values.extend(value.map(|value| (parameter.name.to_string(), value)));
            }
            given.push((row.given.span, values));
        }
        whole.then_some(Given { columns, rows: given })
    }

    /// Types the events of each row: a text is the body, a record has headers and fields.
    fn given_events(&mut self, rows: &[&Row]) -> Option<Given> {
        let mut columns = Columns::default();
        let mut given = Vec::new();
        let mut whole = true;
        for row in rows {
            let mut values = BTreeMap::new();
            let body = [(BODY.to_owned(), &row.given)];
            let entries: Vec<(String, &Expression)> = match &row.given.kind {
                ExpressionKind::Record(block) => {
                    let entry = |entry: &'_ Entry| entry.name.text.to_string();
                    block.entries.iter().map(|found| (entry(found), &found.value)).collect()
                }
                _ => body.into(),
            };
            for (name, value) in entries {
                let (found, value_type) = match &*name {
                    BODY if matches!(value.kind, ExpressionKind::Text(_)) => {
                        let found = self.checker.value(value, &Expectation::plain(&Type::Bytes));
                        (found, Some(Type::Bytes))
                    }
                    TIME_HEADER => {
                        let found = self.checker.value(value, &Expectation::plain(&Type::Time));
                        (found, Some(Type::Time))
                    }
                    _ => self.untyped(value),
                };
                whole &= self.add(&mut columns, &name, value.span, value_type, found.as_ref());
                values.extend(found.map(|found| (name, found)));
            }
            given.push((row.given.span, values));
        }
        // What some rows do not give is null there.
        for (name, column) in &mut columns.columns {
            column.optional |= given.iter().any(|(_, values)| !values.contains_key(&**name));
        }
        whole.then_some(Given { columns, rows: given })
    }

    fn untyped(&mut self, value: &Expression) -> (Option<Value>, Option<Type>) {
        match self.checker.fold(value) {
            Some(constant) => (Some(constant.value), constant.value_type),
            None => (None, None),
        }
    }

    /// Adds a value of a row to the columns, and reports a type that differs from that of the rows before. Returns whether
    /// the value has no errors.
    fn add(
        &mut self,
        columns: &mut Columns,
        name: &str,
        span: Span,
        value_type: Option<Type>,
        value: Option<&Value>,
    ) -> bool {
        let Some(value) = value else { return false };
        let is_null = *value == Value::Null;
        match (columns.columns.get_mut(name), value_type) {
            (Some(column), Some(value_type)) if column.value_type != value_type && !is_null => {
                let expected = format!("{} as in the rows before", column.value_type);
                self.checker.report(WrongType::new(expected, value_type.to_string(), span));
                return false;
            }
            (Some(column), _) => column.optional |= is_null,
            (None, value_type) => {
                let origin = Origin { name: "in".into(), span };
                let column = Column {
                    value_type: value_type.unwrap_or(Type::Text),
                    optional: is_null,
                    sensitive: false,
                    origin,
                    declared: span,
                    named: Arc::new([]),
                    lacking: None,
                    attached: false,
                    range: IntRange::ALL,
                };
                columns.insert(name.into(), column);
            }
        }
        true
    }

    /// Checks the events that have to come out: one, or a list.
    fn out(&mut self, out: &Expression, after: &Arc<Columns>) -> Option<Vec<TestEvent>> {
        match &out.kind {
            ExpressionKind::List(_) => self.events(out, Some(after)),
            _ => self.event(out, Some(after)).map(|event| vec![event]),
        }
    }

    /// Checks the result of a function.
    fn result(&mut self, out: &Expression, after: &Arc<Columns>) -> Option<Vec<TestEvent>> {
        let mut column = after.columns.get(RESULT)?.clone();
        column.optional = true;
        let value = self.value_of(out, &column)?;
        let content = EventContent::Columns(BTreeMap::from([(RESULT.to_owned(), value)]));
        Some(vec![TestEvent { span: out.span, content }])
    }
}

fn subject_span(subject: &Call) -> Span {
    match subject.arguments.last() {
        Some(last) => subject.function.span().to(last.value.span),
        None => subject.function.span(),
    }
}

/// Returns the step that computes a function of the columns of its parameters. An event for which it fails is rejected.
fn result_of(subject: &Call, function: &FunctionSignature) -> Step {
    let span = subject_span(subject);
    let arguments = function.parameters.iter().map(|parameter| {
        let kind = ExpressionKind::Name(parameter.name.as_ref().into());
        Argument { name: None, value: Expression { span, kind } }
    });
    let call = Call { function: subject.function.clone(), arguments: arguments.collect() };
    let value = Expression { span, kind: ExpressionKind::Call(call) };
    let target = Name { text: RESULT.into(), span };
    let handler = function.fails.is_some().then(|| Box::new(Handler { span, failure: Failure::Reject }));
    Step { span, kind: StepKind::Set(target, value), handler }
}
