//! Number literals over events, which take the type of their place.

use weir_grammar::Span;
use weir_grammar::tree::{Expression, ExpressionKind, Number};
use weir_plan::{Decimal, Expression as Planned, Operation, Value};

use super::{Typed, Typer, constant};
use crate::names::scopes::Meaning;
use crate::types::Type;
use crate::types::columns::arrow;
use crate::values::constants::Constant;
use crate::values::numbers::{exact, is_number};
use crate::values::operators::arithmetic;

impl Typer<'_, '_> {
    /// Returns whether an expression is a number without a unit, or computed from such numbers alone: it takes the type
    /// of the other operand. A `let` of the program stands for its value.
    pub(super) fn is_number_literal(&self, given: &Expression) -> bool {
        match &given.kind {
            ExpressionKind::Name(name) if !self.is_value(name) => {
                match self.checker.scopes.get(given.span.file, name).map(|named| named.meaning) {
                    Some(Meaning::Let(item)) => is_literal(&item.value),
                    _ => false,
                }
            }
            ExpressionKind::Paren(inner) | ExpressionKind::Negate(inner) => self.is_number_literal(inner),
            ExpressionKind::Binary(operator, left, right) => {
                arithmetic(*operator).is_some()
                    && self.is_number_literal(left)
                    && self.is_number_literal(right)
            }
            _ => is_literal(given),
        }
    }

    /// Types a number that is computed from literals.
    pub(super) fn literal_number(&mut self, given: &Expression, expected: Option<&Type>) -> Option<Typed> {
        let folded = self.checker.fold(given)?;
        self.constant_number(&folded, given.span, expected)
    }

    /// Types a constant of number literals: it has the expected type if that is one of numbers, or else its own.
    pub(super) fn constant_number(
        &mut self,
        folded: &Constant,
        span: Span,
        expected: Option<&Type>,
    ) -> Option<Typed> {
        let number = folded.literal?;
        let own = folded.value_type.clone()?;
        let wanted = match expected {
            Some(Type::Int) | None => own,
            Some(wanted) if is_number(wanted) => wanted.clone(),
            Some(_) => own,
        };
        self.number(number, wanted, span)
    }

    /// Returns a number of literals as a constant of this type.
    pub(super) fn number(&mut self, number: Decimal, wanted: Type, span: Span) -> Option<Typed> {
        let value = self.checker.number_of(number, &wanted, span, None)?;
        Some(Typed { adapts: true, ..constant(value, wanted, span) })
    }

    /// Types an operand of arithmetic that consists of literals, beside an operand of the type `other`. Beside a decimal
    /// number it has the digits that it is written with.
    pub(super) fn number_beside(&mut self, given: &Expression, other: &Type) -> Option<Typed> {
        let folded = self.checker.fold(given)?;
        match (other, folded.literal) {
            (Type::Decimal(..), Some(number)) => {
                Some(constant(Value::Decimal(number), number.own_type().into(), given.span))
            }
            (Type::Int | Type::Float, Some(_)) => self.constant_number(&folded, given.span, Some(other)),
            _ => self.constant_number(&folded, given.span, None),
        }
    }

    /// Gives a value whose numbers are all literals the wanted type, if that is another type of numbers. Any other
    /// value stays as it is.
    pub(crate) fn adapted(&mut self, typed: Typed, wanted: &Type) -> Option<Typed> {
        let adapts = typed.adapts && typed.value_type != *wanted && is_number(wanted);
        if !adapts || *wanted == Type::Int {
            return Some(typed);
        }
        let planned = self.converted(typed.planned, wanted, typed.span)?;
        self.checker.note_converted(typed.span, &typed.value_type, wanted);
        Some(Typed { planned, value_type: wanted.clone(), ..typed })
    }

    /// Converts the literals that a value is chosen from.
    fn converted(&mut self, planned: Planned, wanted: &Type, span: Span) -> Option<Planned> {
        let Planned { nullable, operation, .. } = planned;
        let mut convert = |part: Box<Planned>| self.converted(*part, wanted, span).map(Box::new);
        let operation = match operation {
            Operation::Literal(value) => match exact(&value) {
                Some(number) => Operation::Literal(self.checker.number_of(number, wanted, span, None)?),
                None => Operation::Literal(value),
            },
            Operation::Coalesce(first, second) => Operation::Coalesce(convert(first)?, convert(second)?),
            Operation::Otherwise(first, second) => Operation::Otherwise(convert(first)?, convert(second)?),
            Operation::If { cases, otherwise } => {
                let otherwise = convert(otherwise)?;
                let cases = cases.into_iter().map(|(condition, value)| {
                    self.converted(value, wanted, span).map(|value| (condition, value))
                });
                Operation::If { cases: cases.collect::<Option<_>>()?, otherwise }
            }
            Operation::Match { subject, arms, otherwise } => {
                let otherwise = match otherwise {
                    Some(otherwise) => Some(convert(otherwise)?),
                    None => None,
                };
                let arms = arms.into_iter().map(|mut arm| {
                    arm.value = self.converted(arm.value, wanted, span)?;
                    Some(arm)
                });
                Operation::Match { subject, arms: arms.collect::<Option<_>>()?, otherwise }
            }
            other => other,
        };
        Some(Planned { data_type: arrow(wanted), nullable, operation })
    }
}

/// Returns whether an expression is a number without a unit, or computed from such numbers alone, without names.
fn is_literal(given: &Expression) -> bool {
    match &given.kind {
        ExpressionKind::Number(number) => matches!(number, Number::Int(_) | Number::Point { .. }),
        ExpressionKind::Paren(inner) | ExpressionKind::Negate(inner) => is_literal(inner),
        ExpressionKind::Binary(operator, left, right) => {
            arithmetic(*operator).is_some() && is_literal(left) && is_literal(right)
        }
        _ => false,
    }
}
