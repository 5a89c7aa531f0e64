//! The operand and result types of operators, and their results for constants.

use std::time::Duration;

use weir_grammar::tree::Operator;
use weir_plan::{Arithmetic, Comparison, DecimalType, Value};

use crate::types::Type;
use crate::values::numbers::{are_exact, decimal_type, exact};

/// The result type of an arithmetic operator, and the reason why the operation can fail.
pub(crate) struct Arithmetics {
    pub(crate) result: Type,
    pub(crate) fails: Option<&'static str>,
    /// Whether the operation fails only if the right operand is zero.
    pub(crate) only_at_zero: bool,
}

const OVERFLOW: &str = "the result may be larger than can be counted";
const BY_ZERO: &str = "the divisor may be 0";

/// Returns the result of `left operator right`; `None` if the operator does not take these types.
pub(crate) fn arithmetics(operator: Arithmetic, left: &Type, right: &Type) -> Option<Arithmetics> {
    use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
    let sure = |result: Type| Some(Arithmetics { result, fails: None, only_at_zero: false });
    let unsure = |result: Type| Some(Arithmetics { result, fails: Some(OVERFLOW), only_at_zero: false });
    let divided = |result: Type| Some(Arithmetics { result, fails: Some(BY_ZERO), only_at_zero: true });
    match (operator, left, right) {
        (Add | Subtract | Multiply, Type::Int, Type::Int) => unsure(Type::Int),
        (Add | Subtract | Multiply, Type::Float, Type::Float) => sure(Type::Float),
        (Divide, Type::Int, Type::Int) | (Divide, Type::Float, Type::Float) => divided(Type::Float),
        (Divide, Type::Duration, Type::Duration) | (Divide, Type::Size, Type::Size) => divided(Type::Float),
        (Divide, Type::Duration, Type::Int) => divided(Type::Duration),
        (Remainder, Type::Int, Type::Int) => divided(Type::Int),
        (Add, Type::Text, Type::Text) => sure(Type::Text),
        (Add | Subtract, Type::Duration, Type::Duration) => sure(Type::Duration),
        (Multiply, Type::Duration, Type::Int) | (Multiply, Type::Int, Type::Duration) => {
            unsure(Type::Duration)
        }
        (Add | Subtract, Type::Time, Type::Duration) => sure(Type::Time),
        (Subtract, Type::Time, Type::Time) => sure(Type::Duration),
        (Add | Subtract, Type::Size, Type::Size) => unsure(Type::Size),
        (Multiply, Type::Size, Type::Int) | (Multiply, Type::Int, Type::Size) => unsure(Type::Size),
        (Add | Subtract | Multiply, left, right) if are_exact(left, right) => {
            let (result, overflows) =
                DecimalType::of_result(operator, decimal_type(left)?, decimal_type(right)?)?;
            if overflows { unsure(result.into()) } else { sure(result.into()) }
        }
        _ => None,
    }
}

/// Returns whether a constant is zero and so cannot be a divisor.
pub(crate) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Int(value) => *value == 0,
        Value::Float(value) => *value == 0.0,
        Value::Size(value) => *value == 0,
        Value::Duration(value) => value.is_zero(),
        Value::NegativeDuration(_) => false,
        Value::Decimal(value) => value.digits() == 0,
        _ => true,
    }
}

/// Returns the arithmetic operation of an operator, if it is arithmetic.
pub(crate) fn arithmetic(operator: Operator) -> Option<Arithmetic> {
    Some(match operator {
        Operator::Add => Arithmetic::Add,
        Operator::Subtract => Arithmetic::Subtract,
        Operator::Multiply => Arithmetic::Multiply,
        Operator::Divide => Arithmetic::Divide,
        Operator::Remainder => Arithmetic::Remainder,
        _ => return None,
    })
}

/// Returns the comparison of an operator, if it compares.
pub(crate) fn comparison(operator: Operator) -> Option<Comparison> {
    Some(match operator {
        Operator::Equal => Comparison::Equal,
        Operator::NotEqual => Comparison::NotEqual,
        Operator::Less => Comparison::Less,
        Operator::LessOrEqual => Comparison::LessOrEqual,
        Operator::Greater => Comparison::Greater,
        Operator::GreaterOrEqual => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

/// Returns whether a comparison is true for two values with this ordering.
pub(crate) fn holds(comparison: Comparison, ordering: std::cmp::Ordering) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    match comparison {
        Comparison::Less => ordering == Less,
        Comparison::LessOrEqual => ordering != Greater,
        Comparison::Greater => ordering == Greater,
        Comparison::GreaterOrEqual => ordering != Less,
        Comparison::Equal => ordering == Equal,
        Comparison::NotEqual => ordering != Equal,
    }
}

/// Computes an operation on two constants of supported types. The error is the reason why there is no result.
pub(crate) fn compute(operator: Arithmetic, left: &Value, right: &Value) -> Result<Value, &'static str> {
    const LARGE: &str = "it is larger than can be counted";
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => integers(operator, *left, *right),
        (Value::Float(left), Value::Float(right)) => floats(operator, *left, *right).map(Value::Float),
        (Value::Text(left), Value::Text(right)) => Ok(Value::Text(format!("{left}{right}"))),
        (Value::Int(_) | Value::Decimal(_) | Value::Float(_), Value::Decimal(_))
        | (Value::Decimal(_), Value::Int(_) | Value::Float(_)) => decimals(operator, left, right),
        (Value::Duration(_) | Value::NegativeDuration(_), _) => durations(operator, left, right),
        (Value::Size(left), Value::Size(right)) => match operator {
            Arithmetic::Add => left.checked_add(*right).map(Value::Size).ok_or(LARGE),
            Arithmetic::Subtract => {
                left.checked_sub(*right).map(Value::Size).ok_or("a size is never negative")
            }
            _ => floats(operator, *left as f64, *right as f64).map(Value::Float),
        },
        (Value::Size(size), Value::Int(number)) => {
            let number = u64::try_from(*number).map_err(|_| "a size is never negative")?;
            match operator {
                Arithmetic::Divide => size.checked_div(number).map(Value::Size).ok_or("it is divided by 0"),
                _ => size.checked_mul(number).map(Value::Size).ok_or(LARGE),
            }
        }
        (Value::Int(_), Value::Duration(_) | Value::NegativeDuration(_) | Value::Size(_)) => {
            compute(operator, right, left)
        }
        _ => Err("only events have such values"),
    }
}

fn integers(operator: Arithmetic, left: i64, right: i64) -> Result<Value, &'static str> {
    let computed = match operator {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Subtract => left.checked_sub(right),
        Arithmetic::Multiply => left.checked_mul(right),
        Arithmetic::Remainder if right == 0 => return Err("it is divided by 0"),
        Arithmetic::Remainder => left.checked_rem(right),
        Arithmetic::Divide => return floats(operator, left as f64, right as f64).map(Value::Float),
    };
    computed.map(Value::Int).ok_or("it is larger than can be counted")
}

fn floats(operator: Arithmetic, left: f64, right: f64) -> Result<f64, &'static str> {
    Ok(match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide | Arithmetic::Remainder if right == 0.0 => return Err("it is divided by 0"),
        Arithmetic::Divide => left / right,
        Arithmetic::Remainder => left % right,
    })
}

/// Computes with a number of decimal digits. The result is exact, except for `/`, whose result is a Float.
fn decimals(operator: Arithmetic, left: &Value, right: &Value) -> Result<Value, &'static str> {
    const LARGE: &str = "it has more than 38 digits";
    let (left, right) = (exact(left).ok_or(LARGE)?, exact(right).ok_or(LARGE)?);
    if operator == Arithmetic::Divide {
        return floats(operator, left.to_float(), right.to_float()).map(Value::Float);
    }
    let (result, _) = DecimalType::of_result(operator, left.own_type(), right.own_type()).ok_or(LARGE)?;
    left.compute(operator, right, result).map(Value::Decimal).ok_or(LARGE)
}

/// Computes with a duration as the left side, to the nanosecond.
fn durations(operator: Arithmetic, left: &Value, right: &Value) -> Result<Value, &'static str> {
    const LONG: &str = "it is longer than can be counted";
    let duration = nanoseconds(left).ok_or(LONG)?;
    let computed = match (operator, right) {
        (Arithmetic::Multiply, Value::Int(number)) => duration.checked_mul(i128::from(*number)),
        (Arithmetic::Divide, Value::Int(0)) => return Err("it is divided by 0"),
        (Arithmetic::Divide, Value::Int(number)) => duration.checked_div(i128::from(*number)),
        (Arithmetic::Add, right) => duration.checked_add(nanoseconds(right).ok_or(LONG)?),
        (Arithmetic::Subtract, right) => duration.checked_sub(nanoseconds(right).ok_or(LONG)?),
        (_, right) => {
            let other = nanoseconds(right).ok_or(LONG)?;
            return floats(operator, duration as f64 / 1e9, other as f64 / 1e9).map(Value::Float);
        }
    };
    computed.and_then(duration_value).ok_or(LONG)
}

/// Returns the nanoseconds of a duration.
fn nanoseconds(value: &Value) -> Option<i128> {
    match value {
        Value::Duration(duration) => i128::try_from(duration.as_nanos()).ok(),
        Value::NegativeDuration(duration) => i128::try_from(duration.as_nanos()).ok().map(|length| -length),
        _ => None,
    }
}

/// Returns a duration of so many nanoseconds; `None` if it can't be counted.
fn duration_value(nanoseconds: i128) -> Option<Value> {
    let length = Duration::from_nanos(u64::try_from(nanoseconds.unsigned_abs()).ok()?);
    Some(if nanoseconds < 0 { Value::NegativeDuration(length) } else { Value::Duration(length) })
}

/// Returns the negative of a number or a duration; `None` if there is none.
pub(crate) fn negative(value: &Value) -> Option<Value> {
    Some(match value {
        Value::Int(value) => Value::Int(value.checked_neg()?),
        Value::Float(value) => Value::Float(-value),
        Value::Decimal(value) => Value::Decimal(value.negated()),
        value => duration_value(-nanoseconds(value)?)?,
    })
}

/// Compares two values of the same type, or two numbers; `None` if the type has no order.
pub(crate) fn compare(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (
            Value::Int(_) | Value::Float(_) | Value::Decimal(_),
            Value::Int(_) | Value::Float(_) | Value::Decimal(_),
        ) if !matches!((left, right), (Value::Float(_), Value::Float(_))) => {
            Some(exact(left)?.cmp(&exact(right)?))
        }
        (
            Value::Duration(_) | Value::NegativeDuration(_),
            Value::Duration(_) | Value::NegativeDuration(_),
        ) => Some(nanoseconds(left)?.cmp(&nanoseconds(right)?)),
        (Value::Size(left), Value::Size(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right))
        | (Value::EventRate(left), Value::EventRate(right))
        | (Value::ByteRate(left), Value::ByteRate(right)) => left.partial_cmp(right),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_computed_exactly_or_not_at_all() {
        use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
        let int = Value::Int;
        assert_eq!(compute(Add, &int(2), &int(3)), Ok(int(5)));
        assert_eq!(compute(Divide, &int(1), &int(2)), Ok(Value::Float(0.5)));
        assert_eq!(compute(Multiply, &int(2), &Value::Size(3)), Ok(Value::Size(6)));
        assert_eq!(compute(Divide, &Value::Size(6), &int(4)), Ok(Value::Size(1)));
        assert!(compute(Remainder, &int(1), &int(0)).is_err());
        assert!(compute(Add, &int(i64::MAX), &int(1)).is_err());
        assert!(compute(Subtract, &Value::Size(1), &Value::Size(2)).is_err());
        let hour = Value::Duration(Duration::from_secs(3_600));
        assert_eq!(compute(Multiply, &int(24), &hour), Ok(Value::Duration(Duration::from_secs(86_400))));
        let minus = Value::NegativeDuration(Duration::from_secs(3_600));
        assert_eq!(compute(Subtract, &Value::Duration(Duration::ZERO), &hour), Ok(minus.clone()));
        assert_eq!(compute(Add, &minus, &hour), Ok(Value::Duration(Duration::ZERO)));
        assert_eq!(compute(Multiply, &int(-1), &hour), Ok(minus.clone()));
        assert_eq!(negative(&minus), Some(hour.clone()));
        assert_eq!(compare(&minus, &hour), Some(std::cmp::Ordering::Less));
        let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
        assert_eq!(compute(Multiply, &decimal("1.05"), &int(3)), Ok(decimal("3.15")));
        assert_eq!(compute(Divide, &decimal("1.5"), &int(2)), Ok(Value::Float(0.75)));
        assert_eq!(compare(&decimal("1.50"), &Value::Float(1.5)), Some(std::cmp::Ordering::Equal));
    }
}
