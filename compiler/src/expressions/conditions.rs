//! Types conditions: logic, comparisons, `in`, `matches`, `is`.

use weir_grammar::Span;
use weir_grammar::tree::{Expression, ExpressionKind, Is, Operator, Question};
use weir_plan::{Comparison, Expression as Planned, Operation, Value};

use super::access::item_place;
use super::{Facts, Merged, Places, Typed, Typer};
use crate::diagnostics::{ComparedWithRegex, NeverNull, NotComparable, OutOfRange, WrongType, with_article};
use crate::types::Type;
use crate::types::columns::arrow;
use crate::values::numbers::{are_exact, is_number};

impl Typer<'_, '_> {
    pub(super) fn not(&mut self, inner: &Expression, span: Span) -> Option<Typed> {
        let inner = self.condition(inner)?;
        let merged = Merged::of([&inner]);
        let facts = Facts { if_true: inner.facts.if_false, if_false: inner.facts.if_true };
        let operation = Operation::Not(Box::new(inner.planned));
        Some(Typed { facts, ..merged.typed(operation, Type::Bool, false, span) })
    }

    /// Types `a and b and c` or `a or b or c`. Each part is typed with the facts that follow from the earlier parts:
    /// that they are true for `and`, false for `or`.
    pub(super) fn joined(&mut self, parts: &[Expression], span: Span, all: bool) -> Option<Typed> {
        let before = self.known.len();
        let mut typed = Vec::with_capacity(parts.len());
        for part in parts {
            let part = self.condition(part);
            if let Some(part) = &part {
                let known = if all { &part.facts.if_true } else { &part.facts.if_false };
                self.known.extend(known.iter().cloned());
            }
            typed.push(part);
        }
        self.known.truncate(before);
        let typed = typed.into_iter().collect::<Option<Vec<Typed>>>()?;
        let merged = Merged::of(&typed);
        let every = |side: fn(&Facts) -> &Places| -> Places {
            let first = typed.first().map(|part| side(&part.facts).clone()).unwrap_or_default();
            first
                .into_iter()
                .filter(|place| typed.iter().all(|part| side(&part.facts).contains(place)))
                .collect()
        };
        let any = |side: fn(&Facts) -> &Places| -> Places {
            typed.iter().flat_map(|part| side(&part.facts).iter().cloned()).collect()
        };
        let facts = match all {
            true => Facts { if_true: any(|facts| &facts.if_true), if_false: every(|facts| &facts.if_false) },
            false => Facts { if_true: every(|facts| &facts.if_true), if_false: any(|facts| &facts.if_false) },
        };
        let planned = balanced(typed.into_iter().map(|part| part.planned).collect(), all)?;
        Some(Typed { facts, ..merged.typed(planned.operation, Type::Bool, false, span) })
    }

    pub(super) fn is(&mut self, is: &Is, span: Span) -> Option<Typed> {
        let operand = self.typed(&is.operand, None)?;
        match is.question {
            Question::Null => Some(self.is_null(operand, is.negated, span)),
            Question::Empty => self.is_empty(operand, is.negated, span),
        }
    }

    fn is_null(&mut self, operand: Typed, negated: bool, span: Span) -> Typed {
        if !operand.optional {
            let name = self.checker.files.text(operand.span).to_owned();
            let origin = self.declared(&operand);
            self.report(NeverNull { name, negated, default: false, span, origin });
        }
        // Whether there is a value says nothing about the value.
        let merged = Merged { sensitive: false, ..Merged::of([&operand]) };
        let place: Places = operand.place.iter().cloned().collect();
        let question = Operation::IsNull(Box::new(operand.planned));
        let (operation, facts) = match negated {
            true => (negation(question), Facts { if_true: place, if_false: Places::new() }),
            false => (question, Facts { if_true: Places::new(), if_false: place }),
        };
        Typed { facts, ..merged.typed(operation, Type::Bool, false, span) }
    }

    fn is_empty(&mut self, operand: Typed, negated: bool, span: Span) -> Option<Typed> {
        let operand = self.present(operand)?;
        if !matches!(operand.value_type, Type::Text | Type::Bytes | Type::List(_) | Type::Map(_)) {
            let expected = "Text, Bytes, list or map".to_owned();
            let found = with_article(&operand.value_type.to_string());
            let (span, declared) = (operand.span, self.declared(&operand));
            self.report(WrongType::new(expected, found, span).declared(declared));
            return None;
        }
        let merged = Merged::of([&operand]);
        let question = Operation::IsEmpty(Box::new(operand.planned));
        let operation = if negated { negation(question) } else { question };
        Some(merged.typed(operation, Type::Bool, false, span))
    }

    /// Types both operands. A literal takes the type of the other operand if it can.
    pub(super) fn sides(
        &mut self,
        left: &Expression,
        right: &Expression,
        expected: Option<&Type>,
    ) -> Option<(Typed, Typed)> {
        if self.takes_type(left) && !self.takes_type(right) {
            let right = self.typed(right, expected);
            let hint = right.as_ref().map(|typed| typed.value_type.clone());
            let left = self.side(left, hint.as_ref());
            return Some((left?, right?));
        }
        let left = self.typed(left, expected);
        let hint = left.as_ref().map(|typed| typed.value_type.clone());
        let right = self.side(right, hint.as_ref());
        Some((left?, right?))
    }

    /// Returns whether an expression is a literal that takes the type of the other operand.
    fn takes_type(&self, given: &Expression) -> bool {
        match &given.kind {
            ExpressionKind::Text(_) | ExpressionKind::Null | ExpressionKind::List(_) => true,
            ExpressionKind::Paren(inner) => self.takes_type(inner),
            _ => self.is_number_literal(given),
        }
    }

    /// Types one operand, given the type of the other. A text literal takes the other type if values of that type are
    /// written as text, a number literal any type of numbers.
    fn side(&mut self, given: &Expression, other: Option<&Type>) -> Option<Typed> {
        let takes = |other: &&Type| {
            takes_text(other) || is_number(other) || matches!(given.kind, ExpressionKind::Null)
        };
        let hint = other.filter(takes);
        self.typed(given, hint)
    }

    pub(super) fn comparison(
        &mut self,
        comparison: Comparison,
        left: &Expression,
        right: &Expression,
        span: Span,
    ) -> Option<Typed> {
        let (left_typed, right_typed) = self.sides(left, right, None)?;
        let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        let null = left_typed.is_null() || right_typed.is_null();
        let (left_type, right_type) = (left_typed.value_type.clone(), right_typed.value_type.clone());
        let left_typed = self.adapted(left_typed, &right_type)?;
        let right_typed = self.adapted(right_typed, &left_type)?;
        let one_type = left_typed.value_type == right_typed.value_type
            || are_exact(&left_typed.value_type, &right_typed.value_type);
        let same = one_type && !null;
        if !same || !(equality || left_typed.value_type.is_ordered()) {
            let (left, right) = (self.shown(&left_typed), self.shown(&right_typed));
            let help = help_for(&left, &right, equality);
            let edits = match equality {
                true if left_typed.optional && right_typed.optional => {
                    null_test(comparison, left.2, right.2, left_typed.is_null(), right_typed.is_null())
                }
                _ => Vec::new(),
            };
            let is_null_test = !edits.is_empty();
            self.report(NotComparable { left, right, help, edits });
            // The comparison means a question for null, so later steps know the answer.
            let operand = if left_typed.is_null() { right_typed } else { left_typed };
            return is_null_test.then(|| self.is_null(operand, comparison == Comparison::NotEqual, span));
        }
        if equality {
            self.compared_with_regex(comparison == Comparison::NotEqual, left, right, span);
        }
        let left = self.present(left_typed);
        let (right, left) = (self.present(right_typed)?, left?);
        let merged = Merged::of([&left, &right]);
        let operation = Operation::Compare(comparison, Box::new(left.planned), Box::new(right.planned));
        Some(merged.typed(operation, Type::Bool, false, span))
    }

    /// Warns about a comparison with raw text, in which regular expressions are written.
    fn compared_with_regex(&mut self, negated: bool, left: &Expression, right: &Expression, span: Span) {
        let files = self.checker.files;
        let is_raw = |side: &Expression| {
            matches!(side.kind, ExpressionKind::Text(_)) && files.text(side.span).starts_with("r\"")
        };
        let (value, pattern) = match (is_raw(left), is_raw(right)) {
            (false, true) => (left, right),
            (true, false) => (right, left),
            _ => return,
        };
        let (value, pattern) = (files.text(value.span).to_owned(), files.text(pattern.span).to_owned());
        let is_pattern = pattern[1..].contains(['^', '$', '*', '+', '?', '(', '[', '|', '\\']);
        self.report(ComparedWithRegex { value, pattern, negated, is_pattern, span });
    }

    /// Returns the text, type and span of an operand.
    pub(super) fn shown(&self, typed: &Typed) -> (String, String, Span) {
        let name = match typed.is_null() {
            true => "null".to_owned(),
            false => typed.value_type.named(typed.optional),
        };
        (self.checker.files.text(typed.span).to_owned(), name, typed.span)
    }

    /// Types `a in b`, where `b` is a list, a range or a map, whose keys are searched.
    pub(super) fn contained(&mut self, left: &Expression, right: &Expression, span: Span) -> Option<Typed> {
        let operand = self.typed(left, None);
        if let ExpressionKind::Binary(Operator::Range, least, greatest) = &right.kind {
            let operand = operand.and_then(|operand| self.present(operand));
            let hint = operand.as_ref().map(|operand| operand.value_type.clone());
            let (least, greatest) = (self.side(least, hint.as_ref()), self.side(greatest, hint.as_ref()));
            return self.between(operand?, least?, greatest?, span);
        }
        let hint = operand.as_ref().map(|operand| Type::List(Box::new(operand.value_type.clone())));
        let list_span = right.span;
        let right = self.typed_or_table(right, hint.as_ref()).and_then(|right| self.present(right));
        let operand = operand.and_then(|operand| self.present(operand));
        let (mut operand, right) = (operand?, right?);
        if let Type::List(item) = &right.value_type {
            operand = self.adapted(operand, item)?;
        }
        let merged = Merged::of([&operand, &right]);
        let fits = match &right.value_type {
            Type::List(item) => **item == operand.value_type || empty(&right.planned),
            Type::Map(_) => operand.value_type == Type::Text,
            _ => false,
        };
        if !fits {
            let (left, right) = (self.shown(&operand), self.shown(&right));
            let help =
                "`in` asks for an item of a list, a value of a range as in `1..=9`, or a name of a map"
                    .to_owned();
            self.report(NotComparable { left, right, help, edits: Vec::new() });
            return None;
        }
        let facts = match item_place(&right, &operand) {
            Some(place) => Facts { if_true: vec![place], if_false: Places::new() },
            None => Facts::default(),
        };
        let operation = match right.planned.operation {
            Operation::Literal(Value::List(values)) => Operation::OneOf(Box::new(operand.planned), values),
            Operation::List(items) => one_of(operand.planned, items, right.planned.data_type),
            other => {
                let list = Planned { operation: other, ..right.planned };
                Operation::Contains(Box::new(list), Box::new(operand.planned))
            }
        };
        let unsupported = &mut self.checker.notes.unsupported;
        if matches!(operation, Operation::OneOf(..))
            && unsupported.last().is_some_and(|last| last.0 == list_span)
        {
            // The list is a part of the plan's operation, and no list of its own.
            unsupported.pop();
        }
        Some(Typed { facts, ..merged.typed(operation, Type::Bool, false, span) })
    }

    /// Checks that a range is not empty.
    pub(super) fn not_empty(&mut self, least: &Value, greatest: &Value, span: Span) -> Option<()> {
        if crate::values::operators::compare(least, greatest) != Some(std::cmp::Ordering::Greater) {
            return Some(());
        }
        let (name, value) = (self.checker.files.text(span).to_owned(), "empty".to_owned());
        let range = "from the lesser to the greater value".to_owned();
        self.report(OutOfRange { name, value, range, span, declared: span });
        None
    }

    fn between(&mut self, operand: Typed, least: Typed, greatest: Typed, span: Span) -> Option<Typed> {
        let wanted = match (operand.adapts, least.adapts) {
            (true, false) => least.value_type.clone(),
            (true, true) => greatest.value_type.clone(),
            (false, _) => operand.value_type.clone(),
        };
        let operand = self.adapted(operand, &wanted)?;
        let (least, greatest) = (self.adapted(least, &wanted)?, self.adapted(greatest, &wanted)?);
        for bound in [&least, &greatest] {
            let one_type =
                bound.value_type == operand.value_type || are_exact(&bound.value_type, &operand.value_type);
            if !one_type || !bound.value_type.is_ordered() || bound.optional {
                let (left, right) = (self.shown(&operand), self.shown(bound));
                let help = help_for(&left, &right, false);
                self.report(NotComparable { left, right, help, edits: Vec::new() });
                return None;
            }
        }
        if let (Operation::Literal(from), Operation::Literal(to)) =
            (&least.planned.operation, &greatest.planned.operation)
        {
            self.not_empty(from, to, least.span.to(greatest.span))?;
        }
        let merged = Merged::of([&operand, &least, &greatest]);
        if least.value_type != operand.value_type || greatest.value_type != operand.value_type {
            // Bounds with other digits are compared one by one.
            let operand = Box::new(operand.planned);
            let from =
                Operation::Compare(Comparison::GreaterOrEqual, operand.clone(), Box::new(least.planned));
            let to = Operation::Compare(Comparison::LessOrEqual, operand, Box::new(greatest.planned));
            let operation = Operation::And(Box::new(boolean(from)), Box::new(boolean(to)));
            return Some(merged.typed(operation, Type::Bool, false, span));
        }
        let operation = Operation::Between(
            Box::new(operand.planned),
            Box::new(least.planned),
            Box::new(greatest.planned),
        );
        Some(merged.typed(operation, Type::Bool, false, span))
    }

    /// Types `a matches r"…"`.
    pub(super) fn matches(&mut self, left: &Expression, right: &Expression, span: Span) -> Option<Typed> {
        let operand = self.typed(left, None).and_then(|operand| self.present(operand));
        let pattern = self.setting(right, &Type::Regex, false);
        let (operand, pattern) = (operand?, pattern?);
        if !matches!(operand.value_type, Type::Text | Type::Bytes) {
            let (expected, found) =
                ("Text or Bytes".to_owned(), with_article(&operand.value_type.to_string()));
            let (span, declared) = (operand.span, self.declared(&operand));
            self.report(WrongType::new(expected, found, span).declared(declared));
            return None;
        }
        let Value::Regex(pattern) = pattern else { return None };
        let merged = Merged::of([&operand]);
        Some(merged.typed(Operation::Matches(Box::new(operand.planned), pattern), Type::Bool, false, span))
    }
}

/// Returns whether values of this type may be written as text literals.
fn takes_text(value_type: &Type) -> bool {
    value_type.is_textual()
}

fn empty(list: &Planned) -> bool {
    matches!(&list.operation, Operation::List(items) if items.is_empty())
}

/// Returns a set lookup for a list of constants, and a search for any other list.
fn one_of(operand: Planned, items: Vec<Planned>, data_type: arrow_schema::DataType) -> Operation {
    let constants: Option<Vec<Value>> = items
        .iter()
        .map(|item| match &item.operation {
            Operation::Literal(value) => Some(value.clone()),
            _ => None,
        })
        .collect();
    match constants {
        Some(values) => Operation::OneOf(Box::new(operand), values),
        None => {
            let list = Planned { data_type, nullable: false, operation: Operation::List(items) };
            Operation::Contains(Box::new(list), Box::new(operand))
        }
    }
}

fn negation(question: Operation) -> Operation {
    Operation::Not(Box::new(boolean(question)))
}

fn boolean(operation: Operation) -> Planned {
    Planned { data_type: arrow(&Type::Bool), nullable: false, operation }
}

/// Joins conditions into a tree that is as deep as the logarithm of their number.
fn balanced(mut parts: Vec<Planned>, all: bool) -> Option<Planned> {
    if parts.len() < 2 {
        return parts.pop();
    }
    let right = Box::new(balanced(parts.split_off(parts.len() / 2), all)?);
    let left = Box::new(balanced(parts, all)?);
    Some(boolean(if all { Operation::And(left, right) } else { Operation::Or(left, right) }))
}

/// Returns the edits that make `x is null` of `x == null`, and `x is not null` of `x != null`.
fn null_test(
    comparison: Comparison,
    left: Span,
    right: Span,
    left_is_null: bool,
    right_is_null: bool,
) -> Vec<(Span, String)> {
    let test = if comparison == Comparison::Equal { " is null" } else { " is not null" };
    let after = |span: Span| Span { start: span.end, end: span.end, ..span };
    match (left_is_null, right_is_null) {
        (false, true) => vec![(Span { start: left.end, ..right }, test.to_owned())],
        (true, false) => {
            vec![(Span { end: right.start, ..left }, String::new()), (after(right), test.to_owned())]
        }
        _ => Vec::new(),
    }
}

pub(super) fn help_for(
    left: &(String, String, Span),
    right: &(String, String, Span),
    equality: bool,
) -> String {
    match (left.1.trim_end_matches('?'), right.1.trim_end_matches('?')) {
        (_, "null") if equality => format!("ask `{} is null`, or `is not null`", left.0),
        ("null", _) if equality => format!("ask `{} is null`, or `is not null`", right.0),
        ("Bool", "Bool") => "truth has no order: compare with `==` or `!=`".to_owned(),
        ("Float", "Int") => format!("turn the Int into a Float: `to_float({})`", right.0),
        ("Int", "Float") if right.0.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-') => {
            "an Int is compared with whole numbers".to_owned()
        }
        ("Int", "Float") => format!("turn the Int into a Float: `to_float({})`", left.0),
        ("Float", decimal) if decimal.starts_with("Decimal") => {
            format!("turn the Decimal into a Float: `to_float({})`", right.0)
        }
        (decimal, "Float") if decimal.starts_with("Decimal") => {
            format!("turn the Decimal into a Float: `to_float({})`", left.0)
        }
        ("Int", "Text") => {
            format!("an Int is compared with numbers without quotes: `{}`", right.0.trim_matches('"'))
        }
        ("Duration", "Int") => format!("write `{}s` or `{}ms`", right.0, right.0),
        ("Size", "Int") => format!("write `{}B` or `{}KiB`", right.0, right.0),
        ("Time", _) => "a Time is compared with text such as \"2026-01-31T12:00:00Z\"".to_owned(),
        _ => "both sides of a comparison are of one type".to_owned(),
    }
}
