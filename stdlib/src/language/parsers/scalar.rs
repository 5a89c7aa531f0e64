//! Single values: their types, and how their text is read.

use std::net::IpAddr;

use arrow_schema::{DataType, TimeUnit};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use weir_plan::{Decimal, DecimalType, FieldFormat, microseconds_of, read_time};

/// The type of a field with a single value, and the form of its text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Bool,
    Int,
    /// An integer from the first to the second.
    IntWithin(i64, i64),
    Float,
    /// A decimal number, which is never rounded.
    Decimal(DecimalType),
    Text,
    Bytes,
    /// The text of a JSON value.
    Json,
    /// A time in RFC 3339.
    Time,
    /// A time by a `strptime` pattern.
    TimeBy(String),
    /// A duration as the language writes it: `5s`.
    Duration,
    /// A number that counts this many microseconds.
    Count(f64),
    /// A number of bytes, with or without a unit: `2048`, `2KiB`.
    Size,
    /// An address of version 4 or 6.
    Ip,
}

/// The units of durations, in nanoseconds.
const DURATIONS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// The units of sizes, in bytes.
const SIZES: [(&str, i128); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

impl Scalar {
    /// Returns the form of a field of this type and format; `None` if the type has parts, or the format is not one of it.
    pub(super) fn new(data_type: &DataType, format: &FieldFormat) -> Option<Scalar> {
        Some(match (data_type, format) {
            (DataType::Boolean, FieldFormat::Plain) => Scalar::Bool,
            (DataType::Int64, FieldFormat::Plain) => Scalar::Int,
            (DataType::Int64, FieldFormat::Within(least, most)) => Scalar::IntWithin(*least, *most),
            (DataType::Decimal128(digits, scale @ 0..), FieldFormat::Plain) => {
                Scalar::Decimal(DecimalType { digits: *digits, scale: scale.unsigned_abs() })
            }
            (DataType::Float64, FieldFormat::Plain) => Scalar::Float,
            (DataType::Utf8View, FieldFormat::Plain) => Scalar::Text,
            (DataType::Utf8View, FieldFormat::Json) => Scalar::Json,
            (DataType::BinaryView, FieldFormat::Plain) => Scalar::Bytes,
            (DataType::Timestamp(TimeUnit::Microsecond, Some(_)), FieldFormat::Plain) => Scalar::Time,
            (DataType::Timestamp(TimeUnit::Microsecond, Some(_)), FieldFormat::Pattern(pattern)) => {
                Scalar::TimeBy(pattern.clone())
            }
            (DataType::Duration(TimeUnit::Microsecond), FieldFormat::Plain) => Scalar::Duration,
            (DataType::Duration(TimeUnit::Microsecond), FieldFormat::Unit(unit)) => {
                Scalar::Count(unit.as_secs_f64() * 1e6)
            }
            (DataType::UInt64, FieldFormat::Plain) => Scalar::Size,
            (DataType::FixedSizeBinary(16), FieldFormat::Plain) => Scalar::Ip,
            _ => return None,
        })
    }

    /// What a value is expected to be, with its article.
    pub(super) fn expected(&self) -> &'static str {
        match self {
            Scalar::Bool => "a Bool",
            Scalar::Int => "an Int",
            Scalar::IntWithin(..) => "an Int in the range of the field",
            Scalar::Float => "a Float",
            Scalar::Decimal(_) => "a Decimal with the digits of the field",
            Scalar::Text => "a Text",
            Scalar::Bytes => "Bytes",
            Scalar::Json => "JSON",
            Scalar::Time => "a Time",
            Scalar::TimeBy(_) => "a Time in the format of the field",
            Scalar::Duration | Scalar::Count(_) => "a Duration",
            Scalar::Size => "a Size",
            Scalar::Ip => "an Ip",
        }
    }

    /// Reads an integer in the field's range.
    pub(super) fn integer(&self, text: &str) -> Option<i64> {
        self.in_range(text.parse().ok()?)
    }

    /// Returns the integer if it is in the field's range.
    pub(super) fn in_range(&self, number: i64) -> Option<i64> {
        match self {
            Scalar::IntWithin(least, most) => (*least..=*most).contains(&number).then_some(number),
            _ => Some(number),
        }
    }

    /// Reads the digits of a decimal number of the field's type.
    pub(super) fn decimal(&self, text: &str) -> Option<i128> {
        self.fitted(decimal(text)?)
    }

    /// Returns the digits of a decimal number in the field's type, if the type has the number.
    pub(super) fn fitted(&self, number: Decimal) -> Option<i128> {
        let Scalar::Decimal(wanted) = self else { return None };
        number.of_type(*wanted).map(Decimal::digits)
    }

    /// Reads the microseconds of a time or a duration.
    pub(super) fn microseconds(&self, text: &str) -> Option<i64> {
        match self {
            Scalar::Time => match plain_time(text.as_bytes()) {
                Some(microseconds) => Some(microseconds),
                None => read_time(text),
            },
            Scalar::TimeBy(pattern) => time_by(pattern, text),
            Scalar::Duration => duration(text),
            Scalar::Count(unit) => counted(text, *unit),
            _ => None,
        }
    }
}

/// Reads a number of at most 18 digits without a sign; none for other texts.
#[inline]
pub(super) fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    let digit = |byte: &u8| Some(i64::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    text.iter().try_fold(0, |number, byte| Some(10 * number + digit(byte)?))
}

/// Reads a number with digits and perhaps an exponent, exactly. Some databases write none of the digits before the point.
fn decimal(text: &str) -> Option<Decimal> {
    let plain = |text: &str| match text.strip_prefix('-').unwrap_or(text).strip_prefix('.') {
        Some(fraction) => {
            format!("{}0.{fraction}", if text.starts_with('-') { "-" } else { "" }).parse().ok()
        }
        None => text.parse::<Decimal>().ok(),
    };
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return plain(text) };
    let mantissa = plain(mantissa)?;
    if mantissa.digits() == 0 {
        // Zero, however large the exponent is.
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        return (!digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()))
            .then_some(mantissa);
    }
    let exponent = exponent.parse::<i32>().ok()?;
    let scale = i32::from(mantissa.scale()).checked_sub(exponent)?;
    match u8::try_from(scale) {
        Ok(scale) => Decimal::new(mantissa.digits(), scale),
        Err(_) => {
            let more = 10_i128.checked_pow(u32::try_from(scale.checked_neg()?).ok()?)?;
            Decimal::new(mantissa.digits().checked_mul(more)?, 0)
        }
    }
}

/// Reads a number without a fraction that is written with a point or an exponent: `5.0`, `1e3`.
pub(super) fn whole(text: &str) -> Option<i64> {
    i64::try_from(decimal(text)?.to_whole()?).ok()
}

/// Reads a finite number. The language has no others, and no negative zero.
pub(super) fn finite(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number + 0.0)
}

/// The microseconds of a number that counts a unit of time.
fn counted(text: &str, unit: f64) -> Option<i64> {
    microseconds(text.parse().ok()?, unit)
}

/// The microseconds of a number that counts units of this many microseconds.
pub(super) fn microseconds(number: f64, unit: f64) -> Option<i64> {
    let microseconds = number * unit;
    // Beyond 2^63 a number is no i64; one that is not a number is in no range.
    (microseconds.abs() < 9.2e18).then_some(microseconds.round() as i64)
}

/// Splits a number from its unit, and returns the number times the unit.
fn quantity(text: &str, units: &[(&str, i128)]) -> Option<(Decimal, i128)> {
    let (number, unit) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    Some((number.trim_end_matches(' ').parse().ok()?, *unit))
}

/// The microseconds of a duration as the language or Go (`1h2m30.5s`) writes it, rounded to the nearest one.
fn duration(text: &str) -> Option<i64> {
    let Some((number, nanoseconds)) = quantity(text, &DURATIONS) else { return duration_of_go(text) };
    microseconds_of_quantity(number, nanoseconds)
}

fn microseconds_of_quantity(number: Decimal, nanoseconds: i128) -> Option<i64> {
    let divisor = 10_i128.checked_pow(u32::from(number.scale()))?.checked_mul(1_000)?;
    let scaled = number.digits().checked_mul(nanoseconds)?;
    let half = divisor / 2 * scaled.signum();
    i64::try_from(scaled.checked_add(half)? / divisor).ok()
}

/// The microseconds of a duration of hours, minutes and seconds as Go's `time.Duration` writes it, each unit at most once.
fn duration_of_go(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mut rest, mut sum) = (unsigned, 0_i64);
    for (unit, nanoseconds) in [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000)] {
        let Some((number, behind)) = rest.split_once(unit) else { continue };
        if !number.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        sum = sum.checked_add(microseconds_of_quantity(number.parse().ok()?, nanoseconds)?)?;
        rest = behind;
    }
    (rest.is_empty() && rest.len() < unsigned.len()).then_some(if unsigned.len() < text.len() {
        -sum
    } else {
        sum
    })
}

/// A number of bytes, with or without a unit.
pub(super) fn size(text: &str) -> Option<u64> {
    if let Ok(bytes) = text.parse() {
        return Some(bytes);
    }
    let (number, bytes) = quantity(text, &SIZES)?;
    let divisor = 10_i128.checked_pow(u32::from(number.scale()))?;
    let scaled = number.digits().checked_mul(bytes)?;
    (scaled % divisor == 0).then(|| u64::try_from(scaled / divisor).ok())?
}

/// The sixteen bytes of an address; one of version 4 is mapped into version 6.
pub(super) fn ip(text: &str) -> Option<[u8; 16]> {
    Some(match text.parse().ok()? {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    })
}

/// The microseconds since 1970 of a time in the most frequent form, `2026-01-31T12:00:00.123Z`; none for other forms, and for
/// texts that are no time.
#[inline]
pub(super) fn plain_time(text: &[u8]) -> Option<i64> {
    let (time, rest) = text.split_first_chunk::<19>()?;
    if [time[4], time[7], time[10], time[13], time[16]] != *b"--T::" {
        return None;
    }
    let digit = |at: usize| Some(i64::from(time[at].wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    let two = |at: usize| Some(10 * digit(at)? + digit(at + 1)?);
    let (year, month, day) = (100 * two(0)? + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    // The complete reader knows in which years February has 29 days.
    let days = if month == 2 { 28 } else { 30 + ((month + month / 8) & 1) };
    if !(1..=12).contains(&month) || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let microseconds = match rest.strip_suffix(b"Z")? {
        [] => 0,
        [b'.', digits @ ..] if (1..=6).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => {
            let padded = digits.iter().map(|digit| digit - b'0').chain(std::iter::repeat(0)).take(6);
            padded.fold(0, |number, digit| 10 * number + i64::from(digit))
        }
        _ => return None,
    };
    // Days since 1970, by years that begin with March (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let year = if month <= 2 { year - 1 } else { year };
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + microseconds)
}

/// The microseconds since 1970 in UTC of a time by a pattern. A time without a zone is one in UTC.
fn time_by(pattern: &str, text: &str) -> Option<i64> {
    let time = BrokenDownTime::parse(pattern, text).ok()?;
    // The text has the offset or the seconds since 1970, or the name of a time zone, or neither.
    let timestamp = match time.to_timestamp() {
        Ok(timestamp) => timestamp,
        Err(_) if time.iana_time_zone().is_some() => time.to_zoned().ok()?.timestamp(),
        Err(_) => time.to_datetime().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
    };
    Some(microseconds_of(timestamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_the_language_writes_them() {
        let durations = [
            ("5s", Some(5_000_000)),
            ("1500ms", Some(1_500_000)),
            ("0.25ms", Some(250)),
            ("-5s", Some(-5_000_000)),
            ("90min", Some(5_400_000_000)),
            ("1d", Some(86_400_000_000)),
            ("1m30.5s", Some(90_500_000)),
            ("2h0m0s", Some(7_200_000_000)),
            ("-1m0s", Some(-60_000_000)),
            ("1m", Some(60_000_000)),
            ("1s1m", None),
            ("1m-3s", None),
            ("", None),
            ("-", None),
            ("7us", Some(7)),
            ("1499ns", Some(1)),
            ("1500ns", Some(2)),
            ("5", None),
            ("s", None),
            ("5 parsecs", None),
            ("9999999999999d", None),
        ];
        for (text, expected) in durations {
            assert_eq!(Scalar::Duration.microseconds(text), expected, "{text}");
        }
        let sizes = [
            ("2048", Some(2_048)),
            ("2KiB", Some(2_048)),
            ("1.5KB", Some(1_500)),
            ("0.3B", None),
            ("-1", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999TiB", None),
        ];
        for (text, expected) in sizes {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_with_exponents_are_read_exactly() {
        let wholes = [
            ("5.0", Some(5)),
            ("1e3", Some(1_000)),
            ("-12.50e1", Some(-125)),
            ("9223372036854775807.0", Some(i64::MAX)),
            ("9223372036854775808.0", None),
            ("0.5", None),
            ("1e400", None),
            ("0e99999999999999999999", Some(0)),
            ("0.00e-99999999999", Some(0)),
            ("0e", None),
            ("0e+", None),
            ("0ex", None),
            ("1e-2147483648", None),
            ("1e99999999999999999999", None),
        ];
        for (text, expected) in wholes {
            assert_eq!(whole(text), expected, "{text}");
        }
        let price = Scalar::Decimal(DecimalType { digits: 5, scale: 2 });
        for (text, expected) in [("1.5", Some(150)), ("15e-1", Some(150)), ("1.005", None), ("1e3", None)] {
            assert_eq!(price.decimal(text), expected, "{text}");
        }
    }

    #[test]
    fn times_are_those_of_the_complete_reader() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut plain = 0;
        for _ in 0..100_000 {
            let [year, month, day] = [random.u32(..10_000), random.u32(..14), random.u32(..33)];
            let [hour, minute, second] = [random.u32(..26), random.u32(..62), random.u32(..62)];
            let fraction = ["", ".5", ".000001", ".123456", ".1234567", "."][random.usize(..6)];
            let zone = ["Z", "Z", "Z", "z", "+01:00", ""][random.usize(..6)];
            let text =
                format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
            if let Some(microseconds) = plain_time(text.as_bytes()) {
                plain += 1;
                let expected: jiff::Timestamp =
                    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!(microseconds, expected.as_microsecond(), "{text}");
            }
        }
        assert!(plain > 10_000, "{plain} times");
    }

    #[test]
    fn addresses_of_both_versions_are_read() {
        assert_eq!(ip("10.0.0.1").map(|bytes| bytes[10..].to_vec()), Some(vec![255, 255, 10, 0, 0, 1]));
        assert_eq!(ip("::1").map(|bytes| bytes[15]), Some(1));
        assert_eq!(ip("10.0.0"), None);
    }
}
