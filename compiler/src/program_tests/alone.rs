//! Checks the tests of an interceptor or a function alone: a table of what goes in and what has to come out.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{
    Act, ActKind, Argument, Call, Entry, Expression, ExpressionKind, Failure, Handler, Name, Path, Row, Step,
    StepKind,
};
use weir_plan::{BODY, HEADER_SIGIL, Value};

use super::ProgramTests;
use super::typed::Fields;
use crate::analysis::program_tests::{EventContent, RESULT, StepTest, TestEvent, TestRow};
use crate::checker::Expectation;
use crate::diagnostics::{Misplaced, UnknownName, WrongType};
use crate::expressions::{Bindings, no_such_column};
use crate::names::scopes::Meaning;
use crate::names::visit::Mention;
use crate::signatures::FunctionSignature;
use crate::spelling::nearest;
use crate::steps::{State, StepCheck};
use crate::types::columns::{Column, Columns, Origin};
use crate::types::ranges::IntRange;
use crate::types::{SchemaType, Type};

/// The header that is a time in the tables of tests, as it is in the events of all sources.
const TIME_HEADER: &str = "@timestamp";

/// The columns and values that the rows of a table give.
struct Given {
    columns: Columns,
    rows: Vec<(Span, BTreeMap<String, Value>)>,
}

impl ProgramTests<'_, '_> {
    /// Checks a test of an interceptor or a function.
    pub(super) fn alone(&mut self, subject: &Call, schema: Option<&Path>, acts: &[Act]) -> Option<StepTest> {
        let rows = self.rows(acts)?;
        let function = self.function(subject)?;
        let is_function = function.is_some();
        let given = match (&function, schema) {
            (Some(_), Some(schema)) => {
                let (name, role, span) = ("a schema".to_owned(), "the type of events", schema.span());
                let rule = "the parameters of a function have their types".to_owned();
                self.checker.report(Misplaced { name, role, rule, span, declared: None });
                None
            }
            (Some(function), None) => self.given_arguments(function, &rows),
            (None, Some(schema)) => {
                let declared = self.columns_of_schema(schema)?;
                self.given_events(&rows, Some(&declared))
            }
            (None, None) => self.given_events(&rows, None),
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
                        let value = self.typed(argument, declared, parameter.optional, Fields::All);
                        (value, Some(declared.clone()))
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

    /// Returns the columns of the fields of a schema, as `parse` gives them.
    fn columns_of_schema(&mut self, path: &Path) -> Option<Columns> {
        let schema = self.schema(path)?;
        let origin = Origin { name: "in".into(), span: path.span() };
        let mut columns = Columns::default();
        for field in &schema.fields {
            let column = Column {
                value_type: field.value_type.clone(),
                optional: field.optional,
                sensitive: field.sensitive,
                origin: origin.clone(),
                declared: field.span,
                named: Arc::new([field.span]),
                lacking: None,
                attached: false,
                range: field.range(),
            };
            columns.insert(field.name.clone(), column);
        }
        Some(columns)
    }

    /// Resolves the schema of a test; `None` if it has errors, which have been reported.
    fn schema(&mut self, path: &Path) -> Option<Arc<SchemaType>> {
        match self.checker.scopes.path(path).map(|named| named.meaning) {
            Some(Meaning::Schema(schema)) => {
                self.checker.uses(Mention::of_path(path), schema.name.span);
                self.checker.schema_type(schema)
            }
            Some(Meaning::Broken) => None,
            Some(meaning) => {
                let name = format!("{} `{}`", meaning.in_words(), path.name.text);
                let (role, span) = ("no schema", path.span());
                let rule = "the name of a schema stands here".to_owned();
                self.checker.report(Misplaced { name, role, rule, span, declared: None });
                None
            }
            None => {
                let span = path.span();
                let known =
                    self.checker.scopes.names(span.file, |meaning| matches!(meaning, Meaning::Schema(_)));
                let near = nearest(&path.name.text, known).map(str::to_owned);
                let name = self.checker.files.text(span).to_owned();
                self.checker.report(UnknownName { name, wanted: "schema", near, quote: false, span });
                None
            }
        }
    }

    /// Types the events of each row: a text is the body, a record has headers and fields. Without a schema, the types of the
    /// columns are those of the values.
    fn given_events(&mut self, rows: &[&Row], declared: Option<&Columns>) -> Option<Given> {
        let mut columns = declared.cloned().unwrap_or_default();
        let mut given = Vec::new();
        let mut whole = true;
        for row in rows {
            let (mut values, before) = (BTreeMap::new(), std::mem::replace(&mut whole, true));
            let body = [(BODY.to_owned(), row.given.span, &row.given)];
            let entries: Vec<(String, Span, &Expression)> = match &row.given.kind {
                ExpressionKind::Record(block) => {
                    let entry = |entry: &'_ Entry| (entry.name.text.to_string(), entry.name.span);
                    let entries = block.entries.iter().map(|found| (entry(found), &found.value));
                    entries.map(|((name, span), value)| (name, span, value)).collect()
                }
                _ => body.into(),
            };
            for (name, place, value) in entries {
                let (found, value_type) = match (declared, &*name) {
                    (Some(declared), name) if !name.starts_with(HEADER_SIGIL) => {
                        let Some(column) = declared.columns.get(name) else {
                            self.checker.report(no_such_column(name.to_owned(), place, declared));
                            whole = false;
                            continue;
                        };
                        self.checker.notes.uses.note(place, column.declared);
                        let value = self.typed(value, &column.value_type, column.optional, Fields::All);
                        (value, Some(column.value_type.clone()))
                    }
                    (_, BODY) if matches!(value.kind, ExpressionKind::Text(_)) => {
                        let found = self.checker.value(value, &Expectation::plain(&Type::Bytes));
                        (found, Some(Type::Bytes))
                    }
                    (_, TIME_HEADER) => {
                        let found = self.checker.value(value, &Expectation::plain(&Type::Time));
                        (found, Some(Type::Time))
                    }
                    _ => self.untyped(value),
                };
                whole &= self.add(&mut columns, &name, value.span, value_type, found.as_ref());
                values.extend(found.map(|found| (name, found)));
            }
            whole = before
                && whole
                && declared.is_none_or(|declared| self.has_all(declared, &values, row.given.span));
            given.push((row.given.span, values));
        }
        // What some rows do not give is null there.
        for (name, column) in &mut columns.columns {
            column.optional |= given.iter().any(|(_, values)| !values.contains_key(&**name));
        }
        whole.then_some(Given { columns, rows: given })
    }

    /// Reports a field that may not be null and that a row leaves out.
    fn has_all(&mut self, declared: &Columns, values: &BTreeMap<String, Value>, row: Span) -> bool {
        let missing =
            declared.columns.iter().find(|(name, column)| !column.optional && !values.contains_key(&***name));
        let Some((name, column)) = missing else { return true };
        let (expected, found) = (format!("event with `{name}`"), "one without it".to_owned());
        let declared = Some((format!("`{name}` may not be null"), column.declared));
        self.checker.report(WrongType::new(expected, found, row).declared(declared));
        false
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
        let column = after.columns.get(RESULT)?;
        let value = self.typed(out, &column.value_type, true, Fields::Any)?;
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
