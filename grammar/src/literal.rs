//! Numbers with units, and escape sequences of text.

use std::time::Duration;

use crate::tree::Number;

/// The units of the language, grouped by the measured quantity.
pub const UNITS: [(&str, &[&str]); 2] = [
    ("durations", &["ms", "s", "min", "h", "d"]),
    ("sizes", &["B", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"]),
];

/// The units of rates: of events, then of bytes.
pub const RATE_UNITS: [&str; 4] = ["/s", "KiB/s", "MiB/s", "GiB/s"];

/// The units in which the durations of a schema may be numbers.
pub const FIELD_UNITS: [&str; 7] = ["ms", "s", "us", "ns", "min", "h", "d"];

/// Why a number is malformed.
#[derive(Debug, PartialEq)]
pub(crate) struct NumberError {
    pub(crate) reason: String,
    /// The offset of the unit in the number, if the unit is unknown.
    pub(crate) unit_at: Option<usize>,
}

/// Parses a number with its unit, such as `5_000`, `0.5`, `250ms`, `64KiB` or `10MiB/s`.
pub(crate) fn number(text: &str) -> Result<Number, NumberError> {
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic() || letter == '/' || letter == '%');
    let (digits, unit) = text.split_at(unit_at.unwrap_or(text.len()));
    let wrong = |reason: String| NumberError { reason, unit_at: None };
    if digits.ends_with('_') || digits.contains("__") || digits.contains("_.") {
        return Err(wrong("a `_` is allowed only between two digits".into()));
    }
    let digits: String = digits.chars().filter(|letter| *letter != '_').collect();
    if digits.matches('.').count() > 1 {
        return Err(wrong("a number has at most one point; text needs quotes".into()));
    }
    let whole = digits.split('.').next().unwrap_or_default();
    let significant = whole.trim_start_matches('0');
    // `0x1F` has a unit that is none, which says more.
    if whole.len() > 1 && whole.starts_with('0') {
        let number = if significant.is_empty() { "0" } else { significant };
        return Err(wrong(format!(
            "no zero stands in front of a number; write `{number}`, or `\"{whole}\"` if it is text"
        )));
    }
    if let Some(exponent) = unit.strip_prefix(['e', 'E'])
        && exponent.starts_with(|letter: char| letter.is_ascii_digit())
    {
        return Err(wrong("a number has no exponent; it is written out, as in `100_000`".into()));
    }
    if milliseconds_of(
        unit.trim_end_matches(|letter: char| letter.is_ascii_alphabetic())
            .trim_end_matches(|letter: char| letter.is_ascii_digit()),
    )
    .is_some()
    {
        return Err(wrong("a duration has one unit, as in `90min`".into()));
    }
    let unknown = |unit: &str| NumberError { reason: format!("`{unit}` is no unit"), unit_at };
    match unit {
        "" => plain(&digits).ok_or_else(|| wrong(format!("a number has at most {DIGITS_MAX} digits"))),
        "%" => digits
            .parse()
            .map(|share: f64| Number::Percent(share / 100.0))
            .map_err(|_| wrong("no number".into())),
        "/s" => Ok(Number::EventRate(digits.parse().map_err(|_| wrong("no number".into()))?)),
        _ => match unit.strip_suffix("/s") {
            Some(bytes) => {
                let size = bytes_of(bytes).ok_or_else(|| unknown(unit))?;
                let number: f64 = digits.parse().map_err(|_| wrong("no number".into()))?;
                Ok(Number::ByteRate(number * size as f64))
            }
            None => with_unit(&digits, unit).unwrap_or_else(|| Err(unknown(unit))),
        },
    }
}

/// The maximum number of digits of a number without a unit: that of the longest `Decimal`.
const DIGITS_MAX: usize = 38;

/// Parses a number without a unit; `None` if it has too many digits.
fn plain(digits: &str) -> Option<Number> {
    let Some((whole, fraction)) = digits.split_once('.') else {
        return (digits.len() <= DIGITS_MAX).then(|| digits.parse().ok().map(Number::Int))?;
    };
    let length = if whole == "0" { fraction.len() } else { whole.len() + fraction.len() };
    if length > DIGITS_MAX {
        return None;
    }
    let digits = format!("{whole}{fraction}").parse().ok()?;
    Some(Number::Point { digits, scale: fraction.len() as u8 })
}

/// Parses a duration or a size; `None` if the unit is unknown.
fn with_unit(digits: &str, unit: &str) -> Option<Result<Number, NumberError>> {
    let too_large = || NumberError { reason: "this number is too large".into(), unit_at: None };
    if let Some(milliseconds) = milliseconds_of(unit) {
        let total = scaled(digits, u128::from(milliseconds) * 1_000_000);
        let duration =
            total.and_then(|nanoseconds| u64::try_from(nanoseconds).ok()).map(Duration::from_nanos);
        return Some(duration.map(Number::Duration).ok_or_else(too_large));
    }
    let bytes = bytes_of(unit)?;
    let total = scaled(digits, u128::from(bytes)).and_then(|total| i64::try_from(total).ok());
    Some(total.map(|total| Number::Size(total as u64)).ok_or_else(too_large))
}

/// Multiplies a decimal number by the factor exactly, and rounds down to an integer. `None` on overflow.
fn scaled(digits: &str, factor: u128) -> Option<u128> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.parse::<u64>().ok()?;
    let fraction = &fraction[..fraction.len().min(9)];
    let tenths = 10_u128.pow(fraction.len() as u32);
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()? };
    Some(u128::from(whole).checked_mul(factor)? + u128::from(part) * factor / tenths)
}

/// Returns the unit that a word of another language means; the word itself if it is a unit.
pub fn unit_of(word: &str) -> Option<&'static str> {
    let known = match word {
        "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "mins" | "minute" | "minutes" => "min",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "msec" | "millis" | "milliseconds" => "ms",
        "K" | "k" | "kib" => "KiB",
        "M" => "MiB",
        "G" => "GiB",
        "T" => "TiB",
        "bytes" | "byte" => "B",
        "percent" => "%",
        _ => {
            let mut units = UNITS.iter().flat_map(|(_, names)| names.iter().copied());
            return units.find(|known| known.eq_ignore_ascii_case(word));
        }
    };
    Some(known)
}

fn milliseconds_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    })
}

fn bytes_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    })
}

/// Returns the character of an escape sequence; `None` if the sequence is invalid.
pub(crate) fn escape(text: &str) -> Option<char> {
    if let Some(digits) = text.strip_prefix("\\u{") {
        return u32::from_str_radix(digits.strip_suffix('}')?, 16).ok().and_then(char::from_u32);
    }
    Some(match text {
        "\\n" => '\n',
        "\\r" => '\r',
        "\\t" => '\t',
        "\\\\" => '\\',
        "\\\"" => '"',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_exact() {
        assert_eq!(number("1_000_000"), Ok(Number::Int(1_000_000)));
        assert_eq!(number("0.50"), Ok(Number::Point { digits: 50, scale: 2 }));
        assert_eq!(number("99999999999999999999"), Ok(Number::Int(99_999_999_999_999_999_999)));
        assert_eq!(number("1.5h"), Ok(Number::Duration(Duration::from_secs(5_400))));
        assert_eq!(number("64KiB"), Ok(Number::Size(65_536)));
        assert_eq!(number("10GB"), Ok(Number::Size(10_000_000_000)));
        assert_eq!(number("5_000/s"), Ok(Number::EventRate(5_000.0)));
        assert_eq!(number("10MiB/s"), Ok(Number::ByteRate(10_485_760.0)));
    }

    #[test]
    fn unknown_units_and_malformed_numbers_are_refused() {
        assert_eq!(number("10m").unwrap_err().unit_at, Some(2));
        assert!(number(&"9".repeat(39)).is_err());
        assert!(number(&format!("0.{}", "9".repeat(39))).is_err());
        assert!(number("007").is_err());
        assert!(number("00.5").is_err());
        assert!(number("05s").is_err());
        assert!(number("999999999TiB").is_err());
        assert!(number("1.2.3").is_err());
        assert!(number("1_").is_err());
    }
}
