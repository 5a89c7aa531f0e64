//! Types expressions over events: turns the syntax tree into typed expressions of the plan.
//!
//! Each expression has a type. Independently, it may be null (`T?`), may fail, may vary from call to call and may be
//! sensitive.

mod access;
mod bindings;
pub(crate) mod bodies;
mod calls;
mod choices;
mod conditions;
mod filled;
pub(crate) mod functions;
mod numbers;
mod operations;
mod schemas;
pub(crate) mod tables;

pub(crate) use bindings::{Binding, Bindings};
pub(crate) use calls::matched;

use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Expression, ExpressionKind, Number};
use weir_plan::{Expression as Planned, Operation, Value};

use crate::analysis::expressions::ExpressionType;
use crate::checker::{Checker, Expectation};
use crate::diagnostics::{CanFail, Diagnostic, MayBeNull, NoSuchColumn, StepEnd, WrongType, with_article};
use crate::spelling::nearest;
use crate::types::Type;
use crate::types::columns::{Column, Columns, arrow};
use crate::types::ranges::IntRange;
use crate::values::literals::{exact_number, found};

/// The columns and locals, and their parts, that are known not to be null: `user`, `place.country`, `extra["id"]`. A local
/// is written as `$` and its number, a param as `=` and its name.
pub(crate) type Places = Vec<Arc<str>>;

/// The facts that follow from a condition.
#[derive(Debug, Default, Clone)]
pub(crate) struct Facts {
    /// The columns and locals that are not null if the condition is true.
    pub(crate) if_true: Places,
    /// The columns and locals that are not null if the condition is false.
    pub(crate) if_false: Places,
}

/// The reason why an expression can fail, and its span.
#[derive(Debug, Clone)]
pub(crate) struct Fails {
    pub(crate) reason: String,
    pub(crate) span: Span,
}

/// An expression with its type.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) planned: Planned,
    pub(crate) value_type: Type,
    pub(crate) optional: bool,
    pub(crate) sensitive: bool,
    /// The first part of the expression whose failure is not handled.
    pub(crate) fails: Option<Fails>,
    /// The first call in the expression whose result may vary.
    pub(crate) varies: Option<(String, Span)>,
    /// Whether the value is a number literal, or chosen from number literals: it takes the type of its place.
    pub(crate) adapts: bool,
    /// The range of an `Int`; every integer for other types.
    pub(crate) range: IntRange,
    /// The column, local or param, or the part of one, if the expression is one: the key of its facts.
    pub(crate) place: Option<Arc<str>>,
    pub(crate) facts: Facts,
    pub(crate) span: Span,
}

impl Typed {
    /// Returns whether the expression is `null`, and not a param whose value is null.
    fn is_null(&self) -> bool {
        self.planned.operation == Operation::Literal(Value::Null) && self.place.is_none()
    }
}

/// Types the expressions of one step or function.
pub(crate) struct Typer<'a, 'c> {
    pub(crate) checker: &'a mut Checker<'c>,
    /// The columns of the events; `None` in a function, which has no access to events.
    pub(crate) columns: Option<&'a Columns>,
    pub(crate) bindings: &'a Bindings,
    /// The places that the surrounding conditions prove to be not null, in addition to the bindings and columns.
    pub(crate) known: Places,
}

impl<'a, 'c> Typer<'a, 'c> {
    pub(crate) fn new(
        checker: &'a mut Checker<'c>,
        columns: Option<&'a Columns>,
        bindings: &'a Bindings,
    ) -> Self {
        Typer { checker, columns, bindings, known: Places::new() }
    }

    /// Returns whether a column, a local or a part of one is known not to be null here.
    fn is_known(&self, place: &str) -> bool {
        self.known.iter().any(|known| **known == *place)
            || self.bindings.known.contains(place)
            || self.columns.is_some_and(|columns| columns.known.contains(place))
    }

    fn report(&mut self, diagnostic: impl Into<Diagnostic>) {
        self.checker.report(diagnostic);
    }

    /// Types an expression. A literal takes the expected type if it can.
    ///
    /// The result may have a type other than the expected one.
    pub(crate) fn typed(&mut self, given: &Expression, expected: Option<&Type>) -> Option<Typed> {
        self.typed_or_table(given, expected).filter(|typed| !self.is_whole_table(typed))
    }

    /// Types an expression that may be a lookup table. Only an index and `in` take a table.
    fn typed_or_table(&mut self, given: &Expression, expected: Option<&Type>) -> Option<Typed> {
        let typed = self.typed_kind(given, expected);
        if let Some(typed) = &typed {
            self.note_unsupported(given, &typed.planned);
        }
        let found = typed.as_ref().map(|typed| ExpressionType {
            value_type: typed.value_type.clone(),
            optional: typed.optional,
            sensitive: typed.sensitive,
            fails: typed.fails.is_some(),
        });
        self.checker.note_type(given.span, found);
        typed
    }

    fn typed_kind(&mut self, given: &Expression, expected: Option<&Type>) -> Option<Typed> {
        let span = given.span;
        match &given.kind {
            ExpressionKind::Broken => None,
            ExpressionKind::Null
            | ExpressionKind::Bool(_)
            | ExpressionKind::Number(_)
            | ExpressionKind::Text(_) => self.literal(given, expected),
            ExpressionKind::Binary(..) | ExpressionKind::Negate(_) if self.is_number_literal(given) => {
                self.literal_number(given, expected)
            }
            ExpressionKind::List(items) => self.list(items, span, expected),
            ExpressionKind::Header(name) => self.column(&format!("@{name}"), span),
            ExpressionKind::Name(name) => self.name(name, given, expected),
            ExpressionKind::Member(inner, name) => self.member(given, inner, name, expected),
            ExpressionKind::Index(inner, index) => self.index(inner, index, span),
            ExpressionKind::Call(call) => self.call(call, span, expected),
            ExpressionKind::Paren(inner) => {
                self.typed_or_table(inner, expected).map(|typed| Typed { span, ..typed })
            }
            ExpressionKind::Otherwise(first, second) => self.otherwise(first, second, span, expected),
            ExpressionKind::Negate(inner) => self.negated(inner, span, expected),
            ExpressionKind::Not(inner) => self.not(inner, span),
            ExpressionKind::And(parts) => self.joined(parts, span, true),
            ExpressionKind::Or(parts) => self.joined(parts, span, false),
            ExpressionKind::Binary(operator, left, right) => {
                self.binary(*operator, left, right, span, expected)
            }
            ExpressionKind::Is(is) => self.is(is, span),
            ExpressionKind::If(conditional) => self.conditional(conditional, span, expected),
            ExpressionKind::Match(matching) => self.matching(matching, span, expected),
            ExpressionKind::Record(_) | ExpressionKind::Variant(..) | ExpressionKind::Secret(_) => {
                let (expected, found) = ("value of an event".to_owned(), found(given));
                self.report(WrongType::new(expected, found, span));
                None
            }
        }
    }

    /// Types an expression that must have this type and must not be null.
    pub(crate) fn valued(&mut self, given: &Expression, wanted: &Type) -> Option<Typed> {
        let typed = self.typed(given, Some(wanted))?;
        let typed = self.adapted(typed, wanted)?;
        if typed.value_type != *wanted {
            return self.mismatch(&typed, wanted);
        }
        self.present(typed)
    }

    /// Types a condition.
    pub(crate) fn condition(&mut self, given: &Expression) -> Option<Typed> {
        self.valued(given, &Type::Bool)
    }

    fn mismatch<T>(&mut self, typed: &Typed, wanted: &Type) -> Option<T> {
        let found = with_article(&typed.value_type.named(typed.optional));
        let declared = self.declared(typed);
        let (expected, span) = (wanted.to_string(), typed.span);
        self.report(WrongType::new(expected, found, span).declared(declared));
        None
    }

    /// Describes the type of the column that an expression reads, with the span of the column's declaration.
    fn declared(&self, typed: &Typed) -> Option<(String, Span)> {
        let column = self.columns?.columns.get(typed.place.as_deref()?)?;
        Some((format!("it is {}", column.value_type.named(column.optional)), column.declared))
    }

    /// Checks that an expression cannot be null.
    pub(crate) fn present(&mut self, typed: Typed) -> Option<Typed> {
        if !typed.optional {
            return Some(typed);
        }
        if typed.is_null() {
            let (expected, found, span) = (typed.value_type.to_string(), "`null`".to_owned(), typed.span);
            self.report(WrongType::new(expected, found, span));
            return None;
        }
        let column = typed.place.as_deref().and_then(|place| self.columns?.columns.get(place));
        let origin = column.and_then(Column::why_optional);
        let name = self.checker.files.text(typed.span).to_owned();
        let type_name = typed.value_type.named(true);
        let narrows = typed.place.is_some();
        self.report(MayBeNull { name, type_name, span: typed.span, origin, narrows });
        None
    }

    fn literal(&mut self, given: &Expression, expected: Option<&Type>) -> Option<Typed> {
        let span = given.span;
        match (&given.kind, expected) {
            // For a number without a unit, the diagnostic names the expected unit.
            (ExpressionKind::Number(number), expected)
                if exact_number(*number).is_some()
                    && !matches!(expected, Some(Type::Duration | Type::Size)) =>
            {
                return self.literal_number(given, expected);
            }
            (ExpressionKind::Number(Number::NegativeDuration(length)), None | Some(Type::Duration)) => {
                return Some(constant(Value::NegativeDuration(*length), Type::Duration, span));
            }
            _ => {}
        }
        let wanted = match (&given.kind, expected) {
            (ExpressionKind::Null, expected) => {
                let value_type = expected.cloned().unwrap_or(Type::Text);
                return Some(Typed { optional: true, ..constant(Value::Null, value_type, span) });
            }
            (ExpressionKind::Bool(_), _) => Type::Bool,
            (ExpressionKind::Number(number), _) => crate::values::literals::number_type(*number),
            (_, Some(wanted)) if wanted.is_textual() => wanted.clone(),
            _ => Type::Text,
        };
        let wanted = match (&given.kind, expected) {
            // For a number with a missing or wrong unit, the diagnostic names the expected unit.
            (ExpressionKind::Number(_), Some(expected @ (Type::Duration | Type::Size))) => expected.clone(),
            _ => wanted,
        };
        if let (ExpressionKind::Text(text), Type::Text | Type::Bytes) = (&given.kind, &wanted)
            && text.has_holes()
        {
            return self.filled(text, &wanted, span);
        }
        let value = self.checker.value(given, &Expectation::plain(&wanted))?;
        typed_constant(value, wanted, span)
    }

    fn list(&mut self, items: &[Expression], span: Span, expected: Option<&Type>) -> Option<Typed> {
        let mut item_type = match expected {
            Some(Type::List(item)) => Some(item.as_ref().clone()),
            _ => None,
        };
        let mut planned = Vec::with_capacity(items.len());
        let mut whole = Merged::default();
        let mut all = true;
        for item in items {
            let typed = self.typed(item, item_type.as_ref()).and_then(|typed| self.present(typed));
            let typed = typed.and_then(|typed| match &item_type {
                Some(wanted) => self.adapted(typed, wanted),
                None => Some(typed),
            });
            let Some(typed) = typed else {
                all = false;
                continue;
            };
            match &item_type {
                Some(wanted) if *wanted != typed.value_type => {
                    let wanted = wanted.clone();
                    self.mismatch::<()>(&typed, &wanted);
                    all = false;
                    continue;
                }
                _ => item_type = Some(typed.value_type.clone()),
            }
            whole.add(&typed);
            planned.push(typed.planned);
        }
        let value_type = Type::List(Box::new(item_type.unwrap_or(Type::Text)));
        all.then(|| whole.typed(Operation::List(planned), value_type, false, span))
    }

    /// Types a column of the events by its name.
    fn column(&mut self, name: &str, span: Span) -> Option<Typed> {
        let column = self.columns.and_then(|columns| columns.columns.get(name));
        let Some(column) = column else {
            if self.columns.is_some_and(|columns| !columns.lacks(name)) {
                return None;
            }
            let missing = match self.columns {
                Some(columns) => no_such_column(name.to_owned(), span, columns),
                None => no_such_column(name.to_owned(), span, &Columns::default()),
            };
            self.report(missing);
            return None;
        };
        column.named.iter().for_each(|named| self.checker.notes.uses.note(span, *named));
        let optional = column.optional && !self.is_known(name);
        Some(Typed {
            planned: Planned {
                data_type: arrow(&column.value_type),
                nullable: column.optional,
                operation: Operation::Column(name.to_owned()),
            },
            value_type: column.value_type.clone(),
            optional,
            sensitive: column.sensitive,
            fails: None,
            varies: None,
            adapts: false,
            range: column.range,
            place: Some(name.into()),
            facts: Facts::default(),
            span,
        })
    }
}

impl Checker<'_> {
    /// Reports a failure that is not handled. `end` is the end of the step, if it is a step that can handle it.
    pub(crate) fn unhandled(&mut self, fails: &Fails, end: Option<StepEnd>) {
        let text = self.files.text(fails.span).to_owned();
        self.report(CanFail { text, reason: fails.reason.clone(), span: fails.span, end });
    }

    /// Checks that a value cannot fail, in a place where no step handles the failure.
    pub(crate) fn sure(&mut self, typed: Typed) -> Option<Typed> {
        match &typed.fails {
            None => Some(typed),
            Some(fails) => {
                self.unhandled(fails, None);
                None
            }
        }
    }
}

/// The properties that an expression takes from its parts.
#[derive(Debug, Default)]
struct Merged {
    sensitive: bool,
    fails: Option<Fails>,
    varies: Option<(String, Span)>,
}

impl Merged {
    fn of<'t>(parts: impl IntoIterator<Item = &'t Typed>) -> Merged {
        let mut merged = Merged::default();
        parts.into_iter().for_each(|part| merged.add(part));
        merged
    }

    fn add(&mut self, part: &Typed) {
        self.sensitive |= part.sensitive;
        if self.fails.is_none() {
            self.fails.clone_from(&part.fails);
        }
        if self.varies.is_none() {
            self.varies.clone_from(&part.varies);
        }
    }

    fn typed(self, operation: Operation, value_type: Type, optional: bool, span: Span) -> Typed {
        let Merged { sensitive, fails, varies } = self;
        let planned = Planned { data_type: arrow(&value_type), nullable: optional, operation };
        let facts = Facts::default();
        let (adapts, range) = (false, IntRange::ALL);
        Typed {
            planned,
            value_type,
            optional,
            sensitive,
            fails,
            varies,
            adapts,
            range,
            place: None,
            facts,
            span,
        }
    }
}

/// Returns a constant as a typed expression.
fn constant(value: Value, value_type: Type, span: Span) -> Typed {
    let optional = value == Value::Null;
    let range = if value_type == Type::Int { IntRange::of(&value) } else { IntRange::ALL };
    Typed { range, ..Merged::default().typed(Operation::Literal(value), value_type, optional, span) }
}

/// Converts a checked value to a typed constant. A time becomes an instant.
pub(crate) fn typed_constant(value: Value, value_type: Type, span: Span) -> Option<Typed> {
    let value = match (value, &value_type) {
        (Value::Text(text), Type::Time) => Value::Int(weir_plan::read_time(&text)?),
        (value, _) => value,
    };
    Some(constant(value, value_type, span))
}

/// Returns the diagnostic for a column that the events do not have.
pub(crate) fn no_such_column(name: String, span: Span, columns: &Columns) -> NoSuchColumn {
    let near = nearest(&name, columns.columns.keys().map(AsRef::as_ref)).map(str::to_owned);
    NoSuchColumn { name, span, near, columns: columns.names(), origins: columns.labels() }
}
