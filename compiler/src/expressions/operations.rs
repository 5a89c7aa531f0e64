//! Types operators: arithmetic, and `??` for values that may be null.

use weir_grammar::Span;
use weir_grammar::tree::{Expression, Operator};
use weir_plan::{Arithmetic, Operation, Value};

use super::{Facts, Fails, Merged, Places, Typed, Typer, constant};
use crate::diagnostics::{NeverNull, NoSuchOperation, Overflow, WrongType};
use crate::types::Type;
use crate::values::operators::{Arithmetics, arithmetic, arithmetics, comparison, compute, is_zero};

impl Typer<'_, '_> {
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
        let left = self.typed(left, None).and_then(|left| self.present(left));
        let right = self.typed(right, None).and_then(|right| self.present(right));
        let (left, right) = (left?, right?);
        let Some(Arithmetics { result, fails, only_at_zero }) =
            arithmetics(operator, &left.value_type, &right.value_type)
        else {
            let help = arithmetic_help(operator, &left, &right);
            let (left, right) = (Some(self.shown(&left)), self.shown(&right));
            self.report(NoSuchOperation { operator: operator.symbol().to_owned(), left, right, help });
            return None;
        };
        if let (Operation::Literal(left), Operation::Literal(right)) =
            (&left.planned.operation, &right.planned.operation)
            && !matches!(result, Type::Time)
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
        let safe = only_at_zero && is_not_zero(&right);
        if let (Some(reason), false) = (fails, safe) {
            merged.fails.get_or_insert_with(|| Fails { reason: reason.to_owned(), span });
        }
        let operation = Operation::Arithmetic(operator, Box::new(left.planned), Box::new(right.planned));
        Some(merged.typed(operation, result, false, span))
    }

    pub(super) fn negated(&mut self, inner: &Expression, span: Span) -> Option<Typed> {
        let inner = self.typed(inner, None).and_then(|inner| self.present(inner))?;
        if !matches!(inner.value_type, Type::Int | Type::Float | Type::Duration | Type::Decimal(..)) {
            let right = self.shown(&inner);
            let help = "only numbers and durations have a negative".to_owned();
            self.report(NoSuchOperation { operator: "-".to_owned(), left: None, right, help });
            return None;
        }
        let mut merged = Merged::of([&inner]);
        if inner.value_type == Type::Int {
            let reason = "the least Int has no negative".to_owned();
            merged.fails.get_or_insert(Fails { reason, span });
        }
        let value_type = inner.value_type.clone();
        Some(merged.typed(Operation::Negate(Box::new(inner.planned)), value_type, false, span))
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
        if left.value_type != right.value_type {
            return self.mismatch(&right, &left.value_type);
        }
        let merged = Merged::of([&left, &right]);
        let (value_type, optional) = (left.value_type.clone(), right.optional);
        let facts = facts_of_default(&left, &right);
        let operation = Operation::Coalesce(Box::new(left.planned), Box::new(right.planned));
        Some(Typed { facts, ..merged.typed(operation, value_type, optional, span) })
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
    matches!(&typed.planned.operation, Operation::Literal(value) if !is_zero(value))
}

fn arithmetic_help(operator: Arithmetic, left: &Typed, right: &Typed) -> String {
    let sides = (&left.value_type, &right.value_type);
    match (operator, sides) {
        (_, (Type::Float, Type::Int) | (Type::Int, Type::Float)) => {
            "write the whole number with a point, as in `2.0`, or turn it with `to_float(…)`".to_owned()
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
