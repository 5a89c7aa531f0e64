//! Conditions over events: from the tree to typed expressions of the plan.

use std::collections::HashSet;

use weir_grammar::Span;
use weir_grammar::tree::{Comparator, Expression, ExpressionKind};
use weir_plan::{Comparison, Expression as Typed, Operation, Value};

use crate::columns::{Column, Columns, arrow};
use crate::constants::Constant;
use crate::diagnostics::{
    MayBeNull, NeverNull, NoSuchColumn, NotComparable, UnknownName, WrongType, with_article,
};
use crate::names::nearest;
use crate::settings::{Checker, Expectation};
use crate::types::Type;
use crate::values::{found, number_type};

/// The columns that are known to have a value where a condition is true, and where it is false.
#[derive(Debug, Default, Clone)]
pub(crate) struct Known {
    pub(crate) if_true: HashSet<String>,
    if_false: HashSet<String>,
}

/// A condition with its type checked, and what follows from it.
pub(crate) struct Condition {
    pub(crate) expression: Typed,
    pub(crate) known: Known,
}

/// One side of a comparison.
enum Operand<'e> {
    /// A column of the events, or a constant whose type is fixed.
    Fixed { expression: Typed, value_type: Type, optional: bool, span: Span, column: Option<String> },
    /// A literal, which takes the type of the other side if it can.
    Literal(&'e Expression),
}

/// Checks the conditions of one edge.
pub(crate) struct ConditionChecker<'a, 'c> {
    pub(crate) checker: &'a mut Checker<'c>,
    pub(crate) columns: &'a Columns,
}

impl<'c> ConditionChecker<'_, 'c> {
    /// Checks a condition.
    pub(crate) fn condition(&mut self, given: &Expression, known: &HashSet<String>) -> Option<Condition> {
        match &given.kind {
            ExpressionKind::Broken => None,
            ExpressionKind::Not(operand) => {
                let Condition { expression, known } = self.condition(operand, known)?;
                let known = Known { if_true: known.if_false, if_false: known.if_true };
                Some(Condition { expression: boolean(Operation::Not(expression.into())), known })
            }
            ExpressionKind::And(left, right) => self.and(left, right, known),
            ExpressionKind::Or(left, right) => self.or(left, right, known),
            ExpressionKind::Compare(comparator, left, right) => {
                let left = self.operand(left);
                let right = self.operand(right);
                let expression = self.compare(*comparator, left?, right?, known)?;
                Some(Condition { expression, known: Known::default() })
            }
            ExpressionKind::IsNull { operand, negated } => self.is_null(operand, *negated, given.span, known),
            _ => self.bare(given, known),
        }
    }

    fn and(&mut self, left: &Expression, right: &Expression, known: &HashSet<String>) -> Option<Condition> {
        let left = self.condition(left, known);
        let mut before = known.clone();
        before.extend(left.iter().flat_map(|left| left.known.if_true.iter().cloned()));
        let (right, left) = (self.condition(right, &before), left?);
        let right = right?;
        let if_true = left.known.if_true.union(&right.known.if_true).cloned().collect();
        let if_false = left.known.if_false.intersection(&right.known.if_false).cloned().collect();
        let operation = Operation::And(left.expression.into(), right.expression.into());
        Some(Condition { expression: boolean(operation), known: Known { if_true, if_false } })
    }

    fn or(&mut self, left: &Expression, right: &Expression, known: &HashSet<String>) -> Option<Condition> {
        let left = self.condition(left, known);
        let mut before = known.clone();
        before.extend(left.iter().flat_map(|left| left.known.if_false.iter().cloned()));
        let (right, left) = (self.condition(right, &before), left?);
        let right = right?;
        let if_true = left.known.if_true.intersection(&right.known.if_true).cloned().collect();
        let if_false = left.known.if_false.union(&right.known.if_false).cloned().collect();
        let operation = Operation::Or(left.expression.into(), right.expression.into());
        Some(Condition { expression: boolean(operation), known: Known { if_true, if_false } })
    }

    /// An operand alone, which must be a Bool.
    fn bare(&mut self, given: &Expression, known: &HashSet<String>) -> Option<Condition> {
        let found = match self.operand(given)? {
            Operand::Fixed { expression, value_type: Type::Bool, optional, span, column } => {
                self.not_null(optional, column.as_deref(), &Type::Bool, span, known)?;
                return Some(Condition { expression, known: Known::default() });
            }
            Operand::Fixed { value_type, optional, .. } => with_article(&value_type.named(optional)),
            Operand::Literal(Expression { kind: ExpressionKind::Bool(value), .. }) => {
                let expression = boolean(Operation::Literal(Value::Bool(*value)));
                return Some(Condition { expression, known: Known::default() });
            }
            Operand::Literal(literal) => found(literal),
        };
        let declared = None;
        let expected = "Bool".to_owned();
        let wrong = WrongType { expected, found, span: given.span, declared, value: None, replacement: None };
        self.checker.diagnostics.push(wrong.into());
        None
    }

    fn is_null(
        &mut self,
        operand: &Expression,
        negated: bool,
        span: Span,
        known: &HashSet<String>,
    ) -> Option<Condition> {
        let Operand::Fixed { expression, optional, column, .. } = self.operand(operand)? else {
            return self.bare(operand, known);
        };
        if !optional {
            let name = self.checker.files.text(operand.span).to_owned();
            let origin = column.as_deref().and_then(|column| self.columns.columns.get(column));
            let origin = origin.map(|column| (format!("it is {}", column.value_type), column.declared));
            self.checker.diagnostics.push(NeverNull { name, negated, span, origin }.into());
        }
        let mut facts = Known::default();
        facts.if_false.extend(column);
        let is_null = boolean(Operation::IsNull(expression.into()));
        Some(match negated {
            true => Condition {
                expression: boolean(Operation::Not(is_null.into())),
                known: Known { if_true: facts.if_false, if_false: facts.if_true },
            },
            false => Condition { expression: is_null, known: facts },
        })
    }

    fn operand<'e>(&mut self, given: &'e Expression) -> Option<Operand<'e>>
    where
        'c: 'e,
    {
        match &given.kind {
            ExpressionKind::Broken => None,
            ExpressionKind::Header(name) => {
                let name = format!("@{name}");
                match self.columns.columns.get(name.as_str()) {
                    Some(column) => Some(column_operand(&name, column, given.span)),
                    None => self.no_column(name, given.span),
                }
            }
            ExpressionKind::Name(name) => self.named(name, given.span),
            ExpressionKind::Text(_)
            | ExpressionKind::Number(_)
            | ExpressionKind::Bool(_)
            | ExpressionKind::Null => Some(Operand::Literal(given)),
            _ => {
                let expected = "value that can be compared".to_owned();
                let (found, span) = (found(given), given.span);
                let wrong =
                    WrongType { expected, found, span, declared: None, value: None, replacement: None };
                self.checker.diagnostics.push(wrong.into());
                None
            }
        }
    }

    fn no_column<'e>(&mut self, name: String, span: Span) -> Option<Operand<'e>> {
        let missing = no_such_column(name, span, self.columns);
        self.checker.diagnostics.push(missing.into());
        None
    }

    fn named<'e>(&mut self, name: &str, span: Span) -> Option<Operand<'e>>
    where
        'c: 'e,
    {
        if let Some(column) = self.columns.columns.get(name) {
            return Some(column_operand(name, column, span));
        }
        let wrong = |found: String| WrongType {
            expected: "value that can be compared".to_owned(),
            found,
            span,
            declared: None,
            value: None,
            replacement: None,
        };
        let constants = self.checker.constants;
        match constants.get(name) {
            Some(Constant::Broken) => None,
            // A constant stands for its value, which takes the type of the other side as if it stood here.
            Some(Constant::Let(value)) => {
                self.checker.used.insert(name.to_owned());
                self.operand(value)
            }
            Some(Constant::Param { value_type, optional, value, .. }) => {
                self.checker.used.insert(name.to_owned());
                let (value, optional) = (value.clone()?, *optional);
                let expression = typed_literal(value, value_type)?;
                let value_type = if value_type.is_textual() { Type::Text } else { value_type.clone() };
                Some(Operand::Fixed { expression, value_type, optional, span, column: None })
            }
            Some(Constant::Thing { what }) => {
                self.checker.diagnostics.push(wrong(format!("{what} `{name}`")).into());
                None
            }
            None => {
                let names =
                    self.checker.constants.values().chain(self.columns.columns.keys().map(AsRef::as_ref));
                let near = nearest(name, names).map(str::to_owned);
                let (name, quote) = (name.to_owned(), true);
                let unknown = UnknownName { name, wanted: "field, param or let", near, quote, span };
                self.checker.diagnostics.push(unknown.into());
                None
            }
        }
    }

    fn compare(
        &mut self,
        comparator: Comparator,
        left: Operand<'_>,
        right: Operand<'_>,
        known: &HashSet<String>,
    ) -> Option<Typed> {
        let left_type = self.type_with(&left, &right);
        let right_type = self.type_with(&right, &left);
        let equality = matches!(comparator, Comparator::Equal | Comparator::NotEqual);
        if left_type != right_type || (left_type == Some(Type::Bool) && !equality) || left_type.is_none() {
            let (left, right) = (self.side(&left), self.side(&right));
            let help = help_for(&left, &right, equality);
            self.checker.diagnostics.push(NotComparable { left, right, help }.into());
            return None;
        }
        let value_type = left_type?;
        let left = self.settled(left, &value_type, known);
        let right = self.settled(right, &value_type, known);
        Some(boolean(Operation::Compare(comparison(comparator), left?.into(), right?.into())))
    }

    /// The type of one side, given the other: text takes on the types that are written as text.
    fn type_with(&self, operand: &Operand<'_>, other: &Operand<'_>) -> Option<Type> {
        let literal = match operand {
            Operand::Fixed { value_type, .. } => return Some(value_type.clone()),
            Operand::Literal(literal) => literal,
        };
        match (&literal.kind, other) {
            (ExpressionKind::Text(_), Operand::Fixed { value_type: Type::Bytes, .. }) => Some(Type::Bytes),
            (ExpressionKind::Text(_), Operand::Fixed { value_type: Type::Time, .. }) => Some(Type::Time),
            _ => constant_type(literal),
        }
    }

    fn settled(&mut self, operand: Operand<'_>, value_type: &Type, known: &HashSet<String>) -> Option<Typed> {
        match operand {
            Operand::Fixed { expression, optional, span, column, .. } => {
                self.not_null(optional, column.as_deref(), value_type, span, known)?;
                Some(Typed { nullable: false, ..expression })
            }
            Operand::Literal(literal) => {
                let expectation = Expectation { value_type, optional: false, setting: None };
                let value = self.checker.value(literal, &expectation)?;
                typed_literal(value, value_type)
            }
        }
    }

    /// Reports an operand that may be null and is not known to have a value.
    fn not_null(
        &mut self,
        optional: bool,
        column: Option<&str>,
        value_type: &Type,
        span: Span,
        known: &HashSet<String>,
    ) -> Option<()> {
        if !optional || column.is_some_and(|column| known.contains(column)) {
            return Some(());
        }
        let name = self.checker.files.text(span).to_owned();
        let origin =
            column.and_then(|column| self.columns.columns.get(column)).and_then(Column::why_optional);
        let type_name = value_type.named(true);
        self.checker.diagnostics.push(MayBeNull { name, type_name, span, origin }.into());
        None
    }

    /// Text, type and place of an operand.
    fn side(&self, operand: &Operand<'_>) -> (String, String, Span) {
        match operand {
            Operand::Fixed { value_type, optional, span, .. } => {
                (self.checker.files.text(*span).to_owned(), value_type.named(*optional), *span)
            }
            Operand::Literal(literal) => {
                let name =
                    constant_type(literal).map_or("null".to_owned(), |value_type| value_type.to_string());
                (self.checker.files.text(literal.span).to_owned(), name, literal.span)
            }
        }
    }
}

/// The diagnostic of a column that events don't have.
pub(crate) fn no_such_column(name: String, span: Span, columns: &Columns) -> NoSuchColumn {
    let near = nearest(&name, columns.columns.keys().map(AsRef::as_ref)).map(str::to_owned);
    NoSuchColumn { name, span, near, columns: columns.names(), origins: columns.labels() }
}

fn column_operand<'e>(name: &str, column: &Column, span: Span) -> Operand<'e> {
    let expression = Typed {
        data_type: arrow(&column.value_type),
        nullable: column.optional,
        operation: Operation::Column(name.to_owned()),
    };
    let (value_type, optional) = (column.value_type.clone(), column.optional);
    Operand::Fixed { expression, value_type, optional, span, column: Some(name.to_owned()) }
}

fn boolean(operation: Operation) -> Typed {
    Typed { data_type: arrow(&Type::Bool), nullable: false, operation }
}

/// A constant of a type that columns may have.
fn typed_literal(value: Value, value_type: &Type) -> Option<Typed> {
    let value = match (value, value_type) {
        (Value::Text(text), Type::Time) => Value::Int(text.parse::<jiff::Timestamp>().ok()?.as_microsecond()),
        (value, _) => value,
    };
    let nullable = value == Value::Null;
    Some(Typed { data_type: arrow(value_type), nullable, operation: Operation::Literal(value) })
}

/// The type of a literal by itself; none if it has none that can be compared.
fn constant_type(literal: &Expression) -> Option<Type> {
    match &literal.kind {
        ExpressionKind::Text(_) => Some(Type::Text),
        ExpressionKind::Bool(_) => Some(Type::Bool),
        ExpressionKind::Number(number) => Some(number_type(*number)),
        _ => None,
    }
}

fn comparison(comparator: Comparator) -> Comparison {
    match comparator {
        Comparator::Equal => Comparison::Equal,
        Comparator::NotEqual => Comparison::NotEqual,
        Comparator::Less => Comparison::Less,
        Comparator::LessOrEqual => Comparison::LessOrEqual,
        Comparator::Greater => Comparison::Greater,
        Comparator::GreaterOrEqual => Comparison::GreaterOrEqual,
    }
}

fn help_for(left: &(String, String, Span), right: &(String, String, Span), equality: bool) -> String {
    match (left.1.trim_end_matches('?'), right.1.trim_end_matches('?')) {
        (_, "null") if equality => format!("ask `{} is null`, or `is not null`", left.0),
        ("null", _) if equality => format!("ask `{} is null`, or `is not null`", right.0),
        ("Bool", "Bool") => "truth has no order: compare with `==` or `!=`".to_owned(),
        ("Float", "Int") => format!("write `{}.0`", right.0),
        ("Int", "Float") => "an Int is compared with whole numbers".to_owned(),
        ("Int", "Text") => {
            format!("an Int is compared with numbers without quotes: `{}`", right.0.trim_matches('"'))
        }
        ("Duration", "Int") => format!("write `{}s` or `{}ms`", right.0, right.0),
        ("Size", "Int") => format!("write `{}B` or `{}KiB`", right.0, right.0),
        ("Time", _) => "a Time is compared with text such as \"2026-01-31T12:00:00Z\"".to_owned(),
        _ => "both sides of a comparison are of one type".to_owned(),
    }
}
