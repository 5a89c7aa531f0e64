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

/// Appends a time in microseconds; as a number if it is beyond the year 9999, which RFC 3339 can't represent.
pub(crate) fn write_time(microseconds: i64, out: &mut Vec<u8>) {
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
