//! Writes bytes, durations, times and addresses as text.

use std::io::Write;
use std::net::{IpAddr, Ipv6Addr};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use jiff::fmt::StdIoWrite;
use jiff::fmt::temporal::DateTimePrinter;
use weir_plan::time_text;

/// The prefix of bytes that are written as Base64, because they are not text.
pub(super) const BASE64_PREFIX: &str = "base64:";

/// Times are written by RFC 3339, with as many fractional digits as are needed.
static PRINTER: DateTimePrinter = DateTimePrinter::new();

/// The units of durations, in microseconds, the largest first.
const UNITS: [(u64, &str); 5] =
    [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1_000, "ms")];

/// Returns the bytes as text; none if they are not UTF-8 or begin with the prefix of Base64.
pub(super) fn plain_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.starts_with(BASE64_PREFIX))
}

/// Appends bytes as Base64 with its prefix.
pub(super) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(BASE64_PREFIX.as_bytes());
    let begin = out.len();
    out.resize(begin + bytes.len().div_ceil(3) * 4, 0);
    let written = BASE64_STANDARD.encode_slice(bytes, &mut out[begin..]).expect("there is room for it");
    out.truncate(begin + written);
}

/// Appends a duration as the language writes it: `5s`, `1500ms`, `0.25ms`.
pub(crate) fn write_duration(microseconds: i64, out: &mut Vec<u8>) {
    if microseconds < 0 {
        out.push(b'-');
    }
    let length = microseconds.unsigned_abs();
    let unit = UNITS.iter().find(|(unit, _)| length != 0 && length.is_multiple_of(*unit));
    // Writing into memory can't fail.
    let _infallible = match unit {
        Some((unit, name)) => write!(out, "{}{name}", length / unit),
        None if length == 0 => write!(out, "0s"),
        None => {
            let rest = format!("{:03}", length % 1_000);
            write!(out, "{}.{}ms", length / 1_000, rest.trim_end_matches('0'))
        }
    };
}

/// The microseconds of the years from 0, in which a year has four digits, to the last time that jiff knows.
const PLAIN_TIMES: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_207_201_000_000;

/// Appends a time in microseconds; as a number if it is beyond the year 9999, which RFC 3339 can't represent.
pub(crate) fn write_time(microseconds: i64, out: &mut Vec<u8>) {
    if PLAIN_TIMES.contains(&microseconds) {
        return write_plain_time(microseconds, out);
    }
    let written = match Timestamp::from_microsecond(microseconds) {
        Ok(time) => PRINTER.print_timestamp(&time, StdIoWrite(&mut *out)).is_ok(),
        Err(_) => false,
    };
    if !written {
        match time_text(microseconds) {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => out.extend_from_slice(itoa::Buffer::new().format(microseconds).as_bytes()),
        }
    }
}

/// Appends a time of the years 0 to 9999. The date of a day is computed by years that begin with March (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms").
fn write_plain_time(microseconds: i64, out: &mut Vec<u8>) {
    let (days, of_day) = (microseconds.div_euclid(86_400_000_000), microseconds.rem_euclid(86_400_000_000));
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let months = (5 * of_year + 2) / 153;
    let day = of_year - (153 * months + 2) / 5 + 1;
    let month = if months < 10 { months + 3 } else { months - 9 };
    let year = year + 400 * era + i64::from(month <= 2);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let parts = [
        (0, year / 100),
        (2, year % 100),
        (5, month),
        (8, day),
        (11, seconds / 3_600),
        (14, seconds / 60 % 60),
        (17, seconds % 60),
        (20, fraction / 10_000),
        (22, fraction / 100 % 100),
        (24, fraction % 100),
    ];
    for (at, number) in parts {
        text[at] = b'0' + (number / 10) as u8;
        text[at + 1] = b'0' + (number % 10) as u8;
    }
    let fraction_end = if fraction == 0 { 19 } else { 26 };
    let zeros = text[19..fraction_end].iter().rev().take_while(|digit| **digit == b'0').count();
    out.extend_from_slice(&text[..fraction_end - zeros]);
    out.push(b'Z');
}

/// Appends an address of 16 bytes; in the form of version 4 if it is a mapped address.
pub(crate) fn write_ip(address: &[u8], out: &mut Vec<u8>) {
    let address: [u8; 16] = address.try_into().unwrap_or_default();
    // Writing into memory can't fail.
    let _infallible = match Ipv6Addr::from(address).to_canonical() {
        IpAddr::V4(address) => write!(out, "{address}"),
        IpAddr::V6(address) => write!(out, "{address}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn durations_are_written_in_the_largest_unit_without_remainder() {
        let expected = [
            (0, "0s"),
            (1_000, "1ms"),
            (250, "0.25ms"),
            (1_500_000, "1500ms"),
            (-5_000_000, "-5s"),
            (90 * 60_000_000, "90min"),
            (7_200_000_000, "2h"),
            (86_400_000_000, "1d"),
            (1_000_001, "1000.001ms"),
        ];
        for (microseconds, text) in expected {
            assert_eq!(written(|out| write_duration(microseconds, out)), text);
        }
        assert_eq!(written(|out| write_duration(i64::MIN, out)), "-9223372036854775.808ms");
    }

    #[test]
    fn times_are_written_like_those_of_the_complete_printer() {
        let mut random = fastrand::Rng::with_seed(3);
        let ends =
            [PLAIN_TIMES.start, PLAIN_TIMES.end - 1_000_000, PLAIN_TIMES.end, 0, -1, 951_782_400_000_000];
        let times = (0..100_000).map(|_| {
            let step = *random.choice(&[1, 1_000, 1_000_000, 86_400_000_000]).unwrap();
            random.i64(-62_167_219_200_000_000..253_402_300_800_000_000) / step * step
        });
        for microseconds in times.chain(ends) {
            let expected = time_text(microseconds).unwrap_or_else(|| microseconds.to_string());
            assert_eq!(written(|out| write_time(microseconds, out)), expected, "{microseconds}");
        }
    }

    #[test]
    fn addresses_are_written_in_their_own_version() {
        let four = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
        assert_eq!(written(|out| write_ip(&four, out)), "10.0.0.1");
        let mut six = [0; 16];
        six[15] = 1;
        assert_eq!(written(|out| write_ip(&six, out)), "::1");
    }

    #[test]
    fn bytes_are_text_or_base64_and_never_ambiguous() {
        assert_eq!(plain_text("grün".as_bytes()), Some("grün"));
        assert_eq!(plain_text(b"\xff"), None);
        assert_eq!(plain_text(b"base64:AA=="), None);
        assert_eq!(written(|out| write_base64(b"\xff\x00", out)), "base64:/wA=");
    }
}
