//! Types operators: arithmetic, and `??` for values that may be null.

use weir_grammar::Span;
use weir_grammar::tree::{Expression, ExpressionKind, Operator};
use weir_plan::{Arithmetic, Expression as Planned, Operation, Value, support};

use super::{Facts, Fails, Merged, Places, Typed, Typer, constant};
use crate::diagnostics::{NeverNull, NoSuchOperation, Overflow, WrongType, with_article};
use crate::types::Type;
use crate::types::ranges::IntRange;
use crate::values::operators::{
    Arithmetics, arithmetic, arithmetics, comparison, compute, is_zero, negative,
};

impl Typer<'_, '_> {
    /// Notes an operation that this version does not carry out. A constant map is left out: only the operations that
    /// use it are compiled.
    pub(super) fn note_unsupported(&mut self, given: &Expression, planned: &Planned) {
        let is_cause = !matches!(given.kind, ExpressionKind::Paren(_) | ExpressionKind::Null)
            && !matches!(planned.operation, Operation::Literal(Value::Record(_)));
        if is_cause && let Some(what) = support::unsupported_operation(planned) {
            self.checker.notes.unsupported.push((given.span, self.checker.current_use, what));
        }
    }

    pub(super) fn binary(
        &mut self,
        operator: Operator,
        left: &Expression,
        right: &Expression,
        span: Span,
        expected: Option<&Type>,
    ) -> Option<Typed> {
        if let Some(comparison) = comparison(operator) {
            return self.comparison(comparison, left, right, span);
        }
        if let Some(arithmetic) = arithmetic(operator) {
            return self.arithmetic(arithmetic, left, right, span);
        }
        match operator {
            Operator::In => self.contained(left, right, span),
            Operator::Matches => self.matches(left, right, span),
            Operator::Coalesce => self.coalesce(left, right, span, expected),
            _ => {
                let (expected, found) = ("value of an event".to_owned(), "a range".to_owned());
                self.report(WrongType::new(expected, found, span));
                None
            }
        }
    }

    fn arithmetic(
        &mut self,
        operator: Arithmetic,
        left: &Expression,
        right: &Expression,
        span: Span,
    ) -> Option<Typed> {
        let (left, right) = self.operands(operator, left, right)?;
        let Some(Arithmetics { result, fails, only_at_zero }) =
            arithmetics(operator, &left.value_type, &right.value_type)
        else {
            let (shown_left, shown_right) = (self.shown(&left), self.shown(&right));
            let help = arithmetic_help(operator, &left, &right, [&shown_left.0, &shown_right.0]);
            let (left, right) = (Some(shown_left), shown_right);
            self.report(NoSuchOperation { operator: operator.symbol().to_owned(), left, right, help });
            return None;
        };
        // The constants of times are microseconds, which are no integers.
        let of_times = left.value_type == Type::Time;
        if let (Operation::Literal(left), Operation::Literal(right)) =
            (&left.planned.operation, &right.planned.operation)
            && !(matches!(result, Type::Time) || of_times)
            && *left != Value::Null
            && *right != Value::Null
        {
            return match compute(operator, left, right) {
                Ok(value) => Some(constant(value, result, span)),
                Err(reason) => {
                    let text = self.checker.files.text(span).to_owned();
                    self.report(Overflow { text, reason: reason.to_owned(), span });
                    None
                }
            };
        }
        let mut merged = Merged::of([&left, &right]);
        let (range, overflows) = match result {
            Type::Int => left.range.computed(operator, right.range),
            _ => (IntRange::ALL, true),
        };
        let safe = if only_at_zero { is_not_zero(&right) } else { !overflows };
        if let (Some(reason), false) = (fails, safe) {
            merged.fails.get_or_insert_with(|| Fails { reason: reason.to_owned(), span });
        }
        let operation = Operation::Arithmetic(operator, Box::new(left.planned), Box::new(right.planned));
        Some(Typed { range, ..merged.typed(operation, result, false, span) })
    }

    /// Types the operands of arithmetic. A number literal takes the type of the other operand; beside a decimal number,
    /// it has the digits that it is written with.
    fn operands(
        &mut self,
        operator: Arithmetic,
        left: &Expression,
        right: &Expression,
    ) -> Option<(Typed, Typed)> {
        // No quotient is a decimal number, so the literal stays as it is in the diagnostic.
        let is_exact = !matches!(operator, Arithmetic::Divide | Arithmetic::Remainder);
        let beside = |typed: &Typed| match &typed.value_type {
            Type::Decimal(..) if !is_exact => Type::Int,
            other => other.clone(),
        };
        if self.is_number_literal(left) {
            let right = self.typed(right, None).and_then(|right| self.present(right));
            let other = right.as_ref().map_or(Type::Int, beside);
            let left = self.number_beside(left, &other);
            return Some((left?, right?));
        }
        let left = self.typed(left, None).and_then(|left| self.present(left));
        let right = match (&left, self.is_number_literal(right)) {
            (Some(left), true) => {
                let other = beside(left);
                self.number_beside(right, &other)
            }
            _ => self.typed(right, None).and_then(|right| self.present(right)),
        };
        let (left, right) = (left?, right?);
        let (left_type, right_type) = (left.value_type.clone(), right.value_type.clone());
        Some((self.adapted(left, &right_type)?, self.adapted(right, &left_type)?))
    }

    pub(super) fn negated(
        &mut self,
        inner: &Expression,
        span: Span,
        expected: Option<&Type>,
    ) -> Option<Typed> {
        let inner = self.typed(inner, expected).and_then(|inner| self.present(inner))?;
        if !matches!(inner.value_type, Type::Int | Type::Float | Type::Duration | Type::Decimal(..)) {
            let right = self.shown(&inner);
            let help = "only numbers and durations have a negative".to_owned();
            self.report(NoSuchOperation { operator: "-".to_owned(), left: None, right, help });
            return None;
        }
        let value_type = inner.value_type.clone();
        if let Operation::Literal(value) = &inner.planned.operation
            && let Some(value) = negative(value)
        {
            return Some(Typed { adapts: inner.adapts, ..constant(value, value_type, span) });
        }
        let mut merged = Merged::of([&inner]);
        let range = inner.range.negated();
        if value_type == Type::Int && !inner.range.has_negatives() {
            let reason = "the least Int has no negative".to_owned();
            merged.fails.get_or_insert(Fails { reason, span });
        }
        let operation = Operation::Negate(Box::new(inner.planned));
        Some(Typed { range, ..merged.typed(operation, value_type, false, span) })
    }

    /// Types `a ?? b`.
    fn coalesce(
        &mut self,
        left: &Expression,
        right: &Expression,
        span: Span,
        expected: Option<&Type>,
    ) -> Option<Typed> {
        let (left, right) = self.sides(left, right, expected)?;
        if !left.optional {
            let name = self.checker.files.text(left.span).to_owned();
            let origin = self.declared(&left);
            let span = Span { start: left.span.end, ..right.span };
            self.report(NeverNull { name, negated: true, default: true, span, origin });
        }
        let left_type = left.value_type.clone();
        let right = self.adapted(right, &left_type)?;
        if left_type != right.value_type {
            return self.mismatch(&right, &left_type);
        }
        let merged = Merged::of([&left, &right]);
        let (adapts, range) = (left.adapts && right.adapts, left.range.or(right.range));
        let optional = right.optional;
        let facts = facts_of_default(&left, &right);
        let operation = Operation::Coalesce(Box::new(left.planned), Box::new(right.planned));
        Some(Typed { facts, adapts, range, ..merged.typed(operation, left_type, optional, span) })
    }
}

/// Returns the facts that follow from `a ?? b`: if `b` is `false`, a true result comes from `a`, which has a value then.
fn facts_of_default(value: &Typed, default: &Typed) -> Facts {
    let Operation::Literal(Value::Bool(default)) = default.planned.operation else { return Facts::default() };
    let with_value = |places: &Places| places.iter().chain(&value.place).cloned().collect();
    match default {
        false => Facts { if_true: with_value(&value.facts.if_true), if_false: Places::new() },
        true => Facts { if_true: Places::new(), if_false: with_value(&value.facts.if_false) },
    }
}

fn is_not_zero(typed: &Typed) -> bool {
    match &typed.planned.operation {
        Operation::Literal(value) => !is_zero(value),
        _ => typed.value_type == Type::Int && !typed.range.contains(0),
    }
}

/// Returns the suggestion for an operation that does not exist; `texts` are the texts of its operands.
fn arithmetic_help(operator: Arithmetic, left: &Typed, right: &Typed, texts: [&str; 2]) -> String {
    let sides = (&left.value_type, &right.value_type);
    match (operator, sides) {
        (_, (Type::Float, Type::Int | Type::Decimal(..)) | (Type::Int | Type::Decimal(..), Type::Float)) => {
            let (exact, text) = match left.value_type {
                Type::Float => (right, texts[1]),
                _ => (left, texts[0]),
            };
            let kind = with_article(if exact.value_type == Type::Int { "Int" } else { "Decimal" });
            format!("`{text}` is {kind}: turn it into a Float with `to_float({text})`")
        }
        (Arithmetic::Multiply, (Type::Decimal(..), Type::Decimal(..))) => {
            "the product would have more than 38 digits after the point: `round(…, 2)` gives one side fewer"
                .to_owned()
        }
        (_, (Type::Decimal(..), Type::Int | Type::Decimal(..)) | (Type::Int, Type::Decimal(..))) => {
            "decimal numbers are added, subtracted and multiplied: turn both sides with `to_float(…)`"
                .to_owned()
        }
        (Arithmetic::Add, (Type::Text, _) | (_, Type::Text)) => {
            "text joins text: turn the other side with `text(…)`".to_owned()
        }
        (Arithmetic::Divide | Arithmetic::Remainder, (_, Type::Text)) | (_, (Type::Text, _)) => {
            "only numbers, durations, sizes and times are computed with".to_owned()
        }
        _ => String::new(),
    }
}
