//! Number literals, which take the type of their place: `Int`, `Float` or `Decimal`.

use weir_grammar::Span;
use weir_plan::{Decimal, DecimalType, Value};

use crate::checker::Checker;
use crate::diagnostics::InexactNumber;
use crate::types::Type;

/// Returns whether number literals without a unit can be of this type.
pub(crate) fn is_number(value_type: &Type) -> bool {
    matches!(value_type, Type::Int | Type::Float | Type::Decimal(..))
}

/// Returns whether values of both types are computed with and compared exactly: integers and decimal numbers.
pub(crate) fn are_exact(left: &Type, right: &Type) -> bool {
    [left, right].iter().all(|side| matches!(side, Type::Int | Type::Decimal(..)))
}

/// Returns the exact number of a value, if it is a number. A `Float` is the shortest number that is read as it.
pub(crate) fn exact(value: &Value) -> Option<Decimal> {
    match value {
        Value::Int(number) => Some(Decimal::from(*number)),
        Value::Decimal(number) => Some(*number),
        Value::Float(number) => Decimal::from_float(*number),
        _ => None,
    }
}

/// Returns the decimal type of exact numbers.
pub(crate) fn decimal_type(value_type: &Type) -> Option<DecimalType> {
    match value_type {
        Type::Int => Some(DecimalType::OF_INT),
        Type::Decimal(digits, scale) => Some(DecimalType { digits: *digits, scale: *scale }),
        _ => None,
    }
}

impl From<DecimalType> for Type {
    fn from(decimal: DecimalType) -> Type {
        Type::Decimal(decimal.digits, decimal.scale)
    }
}

/// Returns a number as a value of the wanted type of numbers; the error is the nearest number of that type.
pub(crate) fn fitted(number: Decimal, wanted: &Type) -> Result<Value, Decimal> {
    match wanted {
        Type::Float => {
            let float = number.to_float();
            match Decimal::from_float(float) {
                Some(read) if read == number => Ok(Value::Float(float)),
                Some(nearest) => Err(nearest),
                None => Ok(Value::Float(float)),
            }
        }
        Type::Decimal(digits, scale) => {
            let wanted = DecimalType { digits: *digits, scale: *scale };
            number.of_type(wanted).map(Value::Decimal).ok_or_else(|| number.nearest(wanted))
        }
        _ => {
            let nearest = number.nearest(DecimalType { digits: 38, scale: 0 }).digits();
            let limited = nearest.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
            match number == Decimal::from(limited) {
                true => Ok(Value::Int(limited)),
                false => Err(Decimal::from(limited)),
            }
        }
    }
}

/// Returns the value of a number that no place asks for: an `Int` if it is whole and small enough, or else exact.
pub(crate) fn unsettled(number: Decimal) -> Value {
    match i64::try_from(number.digits()) {
        Ok(whole) if number.scale() == 0 => Value::Int(whole),
        _ => Value::Decimal(number),
    }
}

impl Checker<'_> {
    /// Returns a number as a value of the wanted type of numbers, and reports a number that the type does not have.
    pub(crate) fn number_of(
        &mut self,
        number: Decimal,
        wanted: &Type,
        span: Span,
        declared: Option<(String, Span)>,
    ) -> Option<Value> {
        match fitted(number, wanted) {
            Ok(value) => Some(value),
            Err(nearest) => {
                self.report(InexactNumber {
                    number: self.files.text(span).to_owned(),
                    type_name: wanted.to_string(),
                    nearest: shown(nearest, wanted),
                    span,
                    declared,
                });
                None
            }
        }
    }
}

/// Formats a number of a type as a literal, with digits in groups.
fn shown(number: Decimal, wanted: &Type) -> String {
    match wanted {
        Type::Int => match i64::try_from(number.digits()) {
            Ok(whole) => Value::Int(whole).to_string(),
            Err(_) => number.to_string(),
        },
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_fits_its_type_exactly_or_has_a_nearest_one() {
        let fitted = |text: &str, wanted: Type| {
            fitted(text.parse().unwrap(), &wanted).map_err(|nearest| nearest.to_string())
        };
        assert_eq!(fitted("5", Type::Int), Ok(Value::Int(5)));
        assert_eq!(fitted("9223372036854775808", Type::Int), Err("9223372036854775807".into()));
        assert_eq!(fitted("-9223372036854775808", Type::Int), Ok(Value::Int(i64::MIN)));
        assert_eq!(fitted("0.1", Type::Float), Ok(Value::Float(0.1)));
        assert_eq!(fitted("9007199254740993", Type::Float), Err("9007199254740992".into()));
        assert_eq!(fitted("3.14159265358979323846", Type::Float), Err("3.141592653589793".into()));
        assert_eq!(fitted("100", Type::Float), Ok(Value::Float(100.0)));
        assert_eq!(fitted("1.505", Type::Decimal(10, 2)), Err("1.51".into()));
        assert_eq!(fitted("100", Type::Decimal(4, 2)), Err("99.99".into()));
    }
}
