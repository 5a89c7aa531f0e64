//! Literals: their types, their values, and their descriptions for messages.

use weir_grammar::tree::{Expression, ExpressionKind, Number};
use weir_plan::{Decimal, Value};

use crate::types::Type;
use crate::values::numbers::unsettled;

/// Returns the type of a number.
pub(crate) fn number_type(number: Number) -> Type {
    match number {
        Number::Int(_) => Type::Int,
        Number::Point { .. } => Type::Float,
        Number::Duration(_) | Number::NegativeDuration(_) => Type::Duration,
        Number::Size(_) => Type::Size,
        Number::EventRate(_) => Type::EventRate,
        Number::ByteRate(_) => Type::ByteRate,
        Number::Percent(_) => Type::Percent,
    }
}

/// Returns the exact number of a literal without a unit.
pub(crate) fn exact_number(number: Number) -> Option<Decimal> {
    match number {
        Number::Int(value) => Decimal::new(value, 0),
        Number::Point { digits, scale } => Decimal::new(digits, scale),
        _ => None,
    }
}

/// Converts a number to a value of the plan. A number without a unit is an `Int`, or exact if it can't be one.
pub(crate) fn number_value(number: Number) -> Value {
    match number {
        Number::Int(_) | Number::Point { .. } => exact_number(number).map_or(Value::Null, unsettled),
        Number::Duration(value) => Value::Duration(value),
        Number::NegativeDuration(value) => Value::NegativeDuration(value),
        Number::Size(value) => Value::Size(value),
        Number::EventRate(value) => Value::EventRate(value),
        Number::ByteRate(value) => Value::ByteRate(value),
        Number::Percent(share) => Value::Float(share),
    }
}

/// Describes the kind of an expression for messages.
pub(crate) fn found(given: &Expression) -> String {
    match &given.kind {
        ExpressionKind::Null => "`null`".to_owned(),
        ExpressionKind::Bool(_) => "a Bool".to_owned(),
        ExpressionKind::Number(Number::Int(_)) => "an Int".to_owned(),
        ExpressionKind::Number(Number::EventRate(_)) => "an EventRate".to_owned(),
        ExpressionKind::Number(number) => format!("a {}", number_type(*number)),
        ExpressionKind::Text(_) => "text".to_owned(),
        ExpressionKind::List(_) => "a list".to_owned(),
        ExpressionKind::Record(_) => "a record".to_owned(),
        ExpressionKind::Name(name) => format!("`{name}`"),
        ExpressionKind::Header(name) => format!("the header `@{name}`, which only events have"),
        ExpressionKind::Variant(name, _) => format!("the variant `{}`", name.text),
        ExpressionKind::Secret(_) => "a secret".to_owned(),
        ExpressionKind::Call(call) => format!("a call of `{}`", call.function.name.text),
        ExpressionKind::Match(_) => "a `match`".to_owned(),
        ExpressionKind::If(_) => "an `if`".to_owned(),
        ExpressionKind::Paren(inner) => found(inner),
        ExpressionKind::Not(_) | ExpressionKind::And(_) | ExpressionKind::Or(_) | ExpressionKind::Is(_) => {
            "a condition".to_owned()
        }
        ExpressionKind::Binary(operator, ..) if operator.is_question() => "a condition".to_owned(),
        _ => "an expression".to_owned(),
    }
}
