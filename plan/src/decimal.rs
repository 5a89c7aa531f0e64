//! Exact decimal numbers, and the types of computed ones.

use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Arithmetic;

/// The maximum number of digits of a decimal number.
pub const DECIMAL_DIGITS_MAX: u8 = 38;

/// An exact decimal number: its digits, divided by ten to the power of its scale. In a plan's text it is written as text:
/// `"10.00"`.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    digits: i128,
    scale: u8,
}

/// The type of decimal numbers: the number of all digits, and of the digits after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecimalType {
    /// The number of all digits, 1 to 38.
    pub digits: u8,
    /// The number of digits after the point, at most `digits`.
    pub scale: u8,
}

/// The text is no decimal number of at most 38 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no decimal number of at most {DECIMAL_DIGITS_MAX} digits")]
pub struct NoDecimal;

/// Ten to this power; at most 38.
fn ten_to(power: u8) -> i128 {
    10_i128.pow(u32::from(power))
}

/// Whether a number has at most this many digits.
fn has_digits(number: i128, digits: u8) -> bool {
    number.unsigned_abs() < ten_to(digits).unsigned_abs()
}

impl Decimal {
    /// Creates `digits` divided by ten to the power of `scale`; `None` if it has more than 38 digits.
    pub fn new(digits: i128, scale: u8) -> Option<Decimal> {
        (scale <= DECIMAL_DIGITS_MAX && has_digits(digits, DECIMAL_DIGITS_MAX))
            .then_some(Decimal { digits, scale })
    }

    /// Returns the decimal number with the fewest digits that is read as this floating-point number; `None` if it needs
    /// more than 38 digits.
    pub fn from_float(number: f64) -> Option<Decimal> {
        let text = number.to_string();
        text.parse().ok()
    }

    /// Returns the nearest floating-point number.
    pub fn to_float(self) -> f64 {
        // The standard library rounds the text of a number correctly.
        format!("{}e-{}", self.digits, self.scale).parse().unwrap_or(f64::NAN)
    }

    /// Returns the digits without the point, with the sign.
    pub fn digits(self) -> i128 {
        self.digits
    }

    /// Returns the number of digits after the point.
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// Returns the smallest type that has the number.
    pub fn own_type(self) -> DecimalType {
        let digits = (1..DECIMAL_DIGITS_MAX).find(|digits| has_digits(self.digits, *digits));
        let digits = digits.unwrap_or(DECIMAL_DIGITS_MAX).max(self.scale);
        DecimalType { digits, scale: self.scale }
    }

    /// Returns the same number with the scale of a type; `None` if the type does not have it.
    pub fn of_type(self, wanted: DecimalType) -> Option<Decimal> {
        let digits = match wanted.scale.checked_sub(self.scale) {
            Some(more) => self.digits.checked_mul(ten_to(more))?,
            None => {
                let divisor = ten_to(self.scale - wanted.scale);
                (self.digits % divisor == 0).then_some(self.digits / divisor)?
            }
        };
        has_digits(digits, wanted.digits).then_some(Decimal { digits, scale: wanted.scale })
    }

    /// Returns the nearest number of a type; halves are rounded away from zero.
    pub fn nearest(self, wanted: DecimalType) -> Decimal {
        let DecimalType { digits: most, scale } = wanted;
        let rounded = match scale.checked_sub(self.scale) {
            Some(more) => self.digits.checked_mul(ten_to(more)),
            None => {
                let divisor = ten_to(self.scale - scale);
                let (whole, rest) = (self.digits / divisor, self.digits % divisor);
                let carries = rest.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2);
                Some(if carries { whole + self.digits.signum() } else { whole })
            }
        };
        let limit = ten_to(most) - 1;
        let digits = rounded.unwrap_or(self.digits.signum() * limit).clamp(-limit, limit);
        Decimal { digits, scale }
    }

    /// Returns the whole number, if it is one.
    pub fn to_whole(self) -> Option<i128> {
        let divisor = ten_to(self.scale);
        (self.digits % divisor == 0).then_some(self.digits / divisor)
    }

    /// Returns the number with the other sign.
    #[must_use]
    pub fn negated(self) -> Decimal {
        Decimal { digits: -self.digits, scale: self.scale }
    }

    /// Computes `self operator other`, a number of the type `result`; `None` if that type does not have it, or for `/`
    /// and `%`.
    pub fn compute(self, operator: Arithmetic, other: Decimal, result: DecimalType) -> Option<Decimal> {
        let scaled = |one: Decimal| one.digits.checked_mul(ten_to(result.scale.checked_sub(one.scale)?));
        let digits = match operator {
            Arithmetic::Add => scaled(self)?.checked_add(scaled(other)?),
            Arithmetic::Subtract => scaled(self)?.checked_sub(scaled(other)?),
            Arithmetic::Multiply => self.digits.checked_mul(other.digits),
            Arithmetic::Divide | Arithmetic::Remainder => None,
        }?;
        has_digits(digits, result.digits).then_some(Decimal { digits, scale: result.scale })
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        let (left, right) = (ten_to(self.scale), ten_to(other.scale));
        let scale = self.scale.max(other.scale);
        // Both rests are less than one, so they have at most 38 digits at the larger scale.
        let rest = |one: &Decimal, unit: i128| one.digits % unit * ten_to(scale - one.scale);
        let wholes = (self.digits / left).cmp(&(other.digits / right));
        wholes.then_with(|| rest(self, left).cmp(&rest(other, right)))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Two numbers are equal if their values are, whatever their scales.
impl PartialEq for Decimal {
    fn eq(&self, other: &Decimal) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal {}

impl From<i64> for Decimal {
    fn from(number: i64) -> Decimal {
        Decimal { digits: i128::from(number), scale: 0 }
    }
}

impl Display for Decimal {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let sign = if self.digits < 0 { "-" } else { "" };
        let scale = usize::from(self.scale);
        let digits = format!("{:0>width$}", self.digits.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let point = if scale > 0 { "." } else { "" };
        write!(formatter, "{sign}{whole}{point}{fraction}")
    }
}

impl FromStr for Decimal {
    type Err = NoDecimal;

    fn from_str(text: &str) -> Result<Decimal, NoDecimal> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|letter| letter.is_ascii_digit());
        if !are_digits(whole) || !are_digits(fraction) {
            return Err(NoDecimal);
        }
        let fraction = if unsigned.contains('.') { fraction } else { "" };
        let digits = format!("{whole}{fraction}").parse::<i128>().map_err(|_| NoDecimal)?;
        let digits = if text.starts_with('-') { -digits } else { digits };
        let scale = u8::try_from(fraction.len()).map_err(|_| NoDecimal)?;
        Decimal::new(digits, scale).ok_or(NoDecimal)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl DecimalType {
    /// The smallest type that has every `Int`.
    pub const OF_INT: DecimalType = DecimalType { digits: 19, scale: 0 };

    /// Returns the type of `left operator right`, and whether the result may have more digits than the type, as in SQL:
    /// a sum has the larger scale and one digit more than the operands before the point, a product has the digits of
    /// both operands and one more. The scale is never reduced, so that results are exact. `None` for `/` and `%`, and for
    /// products with more than 38 digits after the point.
    pub fn of_result(
        operator: Arithmetic,
        left: DecimalType,
        right: DecimalType,
    ) -> Option<(DecimalType, bool)> {
        let (digits, scale) = match operator {
            Arithmetic::Add | Arithmetic::Subtract => {
                let scale = left.scale.max(right.scale);
                ((left.digits - left.scale).max(right.digits - right.scale) + scale + 1, scale)
            }
            Arithmetic::Multiply => (left.digits + right.digits + 1, left.scale + right.scale),
            Arithmetic::Divide | Arithmetic::Remainder => return None,
        };
        let result = DecimalType { digits: digits.min(DECIMAL_DIGITS_MAX), scale };
        (scale <= DECIMAL_DIGITS_MAX).then_some((result, digits > DECIMAL_DIGITS_MAX))
    }

    /// Returns the smallest type that has all numbers of both types; `None` if they need more than 38 digits.
    pub fn of_both(self, other: DecimalType) -> Option<DecimalType> {
        let scale = self.scale.max(other.scale);
        let digits = (self.digits - self.scale).max(other.digits - other.scale) + scale;
        (digits <= DECIMAL_DIGITS_MAX).then_some(DecimalType { digits, scale })
    }

    /// Returns the type of its numbers rounded to this many digits after the point. A carry may need one digit more.
    #[must_use]
    pub fn rounded(self, digits: i64) -> DecimalType {
        match u8::try_from(digits.max(0)) {
            Ok(scale) if scale < self.scale => {
                DecimalType { digits: self.digits - self.scale + scale + 1, scale }
            }
            _ => self,
        }
    }
}

impl Display for DecimalType {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "Decimal({}, {})", self.digits, self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn of(digits: u8, scale: u8) -> DecimalType {
        DecimalType { digits, scale }
    }

    #[test]
    fn a_text_is_read_and_written_exactly() {
        for text in ["0", "-1", "10.00", "-0.05", "0.5", &"9".repeat(38), &format!("0.{}", "1".repeat(38))] {
            assert_eq!(decimal(text).to_string(), text);
            assert_eq!(serde_json::to_string(&decimal(text)).unwrap(), format!("{text:?}"));
        }
        for text in ["", "-", ".5", "5.", "1.2.3", "+1", "1e3", "--1", "0x1", &"9".repeat(39)] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_compared_whatever_their_scales() {
        assert_eq!(decimal("1.50"), decimal("1.5"));
        assert!(decimal("-0.5") < decimal("0.25"));
        assert!(decimal("-1.5") < decimal("-1.25"));
        assert!(decimal(&"9".repeat(38)) > decimal(&format!("0.{}", "9".repeat(38))));
    }

    #[test]
    fn a_number_fits_a_type_exactly_or_has_a_nearest_one() {
        assert_eq!(decimal("1.5").of_type(of(10, 2)).unwrap().to_string(), "1.50");
        assert_eq!(decimal("1.500").of_type(of(10, 2)).unwrap().to_string(), "1.50");
        assert!(decimal("1.505").of_type(of(10, 2)).is_none());
        assert!(decimal("100").of_type(of(4, 2)).is_none());
        assert_eq!(decimal("1.505").nearest(of(10, 2)).to_string(), "1.51");
        assert_eq!(decimal("-1.505").nearest(of(10, 2)).to_string(), "-1.51");
        assert_eq!(decimal("1.504").nearest(of(10, 2)).to_string(), "1.50");
        assert_eq!(decimal("100").nearest(of(4, 2)).to_string(), "99.99");
        assert_eq!(decimal("99.999").nearest(of(4, 2)).to_string(), "99.99");
        assert_eq!(decimal(&"9".repeat(38)).nearest(of(38, 38)).to_string(), format!("0.{}", "9".repeat(38)));
    }

    #[test]
    fn floats_are_read_by_their_shortest_digits() {
        assert_eq!(Decimal::from_float(0.1).unwrap(), decimal("0.1"));
        assert_eq!(Decimal::from_float(9_007_199_254_740_992.0).unwrap(), decimal("9007199254740992"));
        assert_eq!(Decimal::from_float(1e300), None);
        assert_eq!(decimal("0.10").to_float(), 0.1);
        assert_eq!(decimal("-9007199254740993").to_float(), -9_007_199_254_740_992.0);
    }

    #[test]
    fn results_have_the_types_of_sql() {
        use Arithmetic::{Add, Divide, Multiply, Subtract};
        let result = |operator, left, right| DecimalType::of_result(operator, left, right);
        assert_eq!(result(Add, of(10, 2), of(12, 4)), Some((of(13, 4), false)));
        assert_eq!(result(Subtract, of(10, 2), DecimalType::OF_INT), Some((of(22, 2), false)));
        assert_eq!(result(Multiply, of(10, 2), of(4, 3)), Some((of(15, 5), false)));
        assert_eq!(result(Multiply, of(38, 2), of(38, 2)), Some((of(38, 4), true)));
        assert_eq!(result(Add, of(38, 2), of(38, 2)), Some((of(38, 2), true)));
        assert_eq!(result(Multiply, of(38, 20), of(38, 20)), None);
        assert_eq!(result(Divide, of(10, 2), of(10, 2)), None);
        let product = decimal("1.05").compute(Multiply, decimal("3"), of(5, 2));
        assert_eq!(product.unwrap().to_string(), "3.15");
        assert_eq!(decimal("9.99").compute(Add, decimal("0.01"), of(3, 2)), None);
        assert_eq!(of(3, 2).rounded(1), of(3, 1));
        assert_eq!(of(3, 2).rounded(5), of(3, 2));
        assert_eq!(of(10, 2).of_both(of(12, 4)), Some(of(12, 4)));
    }
}
