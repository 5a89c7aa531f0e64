//! Functions of IP addresses and of URLs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use weir_runtime::Registry;
use weir_runtime::expressions::Call;

use super::arguments::{Addresses, Ints, Texts, constant_text};
use super::results::{Made, Part, addresses, ints, kernel, not, text_parts, truths};
use super::text::range_in;

pub(super) fn register(registry: Registry) -> Registry {
    let registry = registry
        .function("ip", |_| {
            kernel(|arguments, rows| {
                let texts = Texts::of(arguments, 0)?;
                addresses(rows, |row| {
                    let Some(text) = texts.get(row) else { return Ok(None) };
                    let address = text.parse().map_err(|_| not("an IP address", text.as_bytes()))?;
                    Ok(Some(bits(address)))
                })
            })
        })
        .function("is_ip", |_| {
            kernel(|arguments, rows| {
                let texts = Texts::of(arguments, 0)?;
                Ok(truths(rows, |row| Ok(texts.get(row).map(|text| text.parse::<IpAddr>().is_ok()))))
            })
        })
        .function("ip_version", |_| {
            kernel(|arguments, rows| {
                let ips = Addresses::of(arguments, 0)?;
                let version = |address| if address_of(address).is_ipv4() { 4 } else { 6 };
                Ok(ints(rows, |row| Ok(ips.get(row).map(version))))
            })
        })
        .function("in_network", in_network)
        .function("is_private", |_| asked(is_private))
        .function("is_loopback", |_| asked(|address| address.is_loopback()))
        .function("is_multicast", |_| asked(|address| address.is_multicast()))
        .function("mask_ip", |_| {
            kernel(|arguments, rows| {
                let ips = Addresses::of(arguments, 0)?;
                let (of_4, of_6) = (Ints::of(arguments, 1)?, Ints::of(arguments, 2)?);
                addresses(rows, |row| {
                    let Some((address, (of_4, of_6))) = ips.get(row).zip(of_4.get(row).zip(of_6.get(row)))
                    else {
                        return Ok(None);
                    };
                    let kept = match address_of(address) {
                        IpAddr::V4(_) => 96 + of_4.clamp(0, 32),
                        IpAddr::V6(_) => of_6.clamp(0, 128),
                    };
                    Ok(Some(address & prefix(kept as u32)))
                })
            })
        });
    urls(registry)
}

/// The bits of an address; one of version 4 is mapped into version 6.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn address_of(bits: u128) -> IpAddr {
    Ipv6Addr::from_bits(bits).to_canonical()
}

/// The mask of the first bits of an address.
fn prefix(length: u32) -> u128 {
    if length == 0 { 0 } else { u128::MAX << (128 - length.min(128)) }
}

fn asked(ask: fn(IpAddr) -> bool) -> Made {
    kernel(move |arguments, rows| {
        let ips = Addresses::of(arguments, 0)?;
        Ok(truths(rows, |row| Ok(ips.get(row).map(|address| ask(address_of(address))))))
    })
}

/// Whether the internet does not route the address (RFC 6890, the registries of special addresses).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && second & 0xc0 == 64;
            first == 0
                || is_shared
                || address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address == Ipv4Addr::BROADCAST
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local()
        }
    }
}

/// Makes `in_network`, whose network is a constant.
fn in_network(call: &Call<'_>) -> Made {
    let network = constant_text(call, 1)?;
    let wrong = || format!("`{network}` is no network");
    // An address alone is the network of that address.
    let (address, length) = network.split_once('/').unwrap_or((&network, "128"));
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let length: u32 = length.parse().map_err(|_| wrong())?;
    let is_of_4 = address.is_ipv4();
    let mask = prefix(if is_of_4 { 96 + length.min(32) } else { length.min(128) });
    let base = bits(address) & mask;
    kernel(move |arguments, rows| {
        let ips = Addresses::of(arguments, 0)?;
        let is_in = |bits: u128| address_of(bits).is_ipv4() == is_of_4 && bits & mask == base;
        Ok(truths(rows, |row| Ok(ips.get(row).map(is_in))))
    })
}

/// The parts of a URL, or of the path and query of one, as it stands in access logs (RFC 3986, section 3).
struct Url<'t> {
    scheme: Option<&'t str>,
    host: Option<&'t str>,
    port: Option<&'t str>,
    path: &'t str,
    query: Option<&'t str>,
    fragment: Option<&'t str>,
}

impl<'t> Url<'t> {
    fn of(text: &'t str) -> Url<'t> {
        let cut = |text: &'t str, mark| match text.split_once(mark) {
            Some((before, after)) => (before, Some(after)),
            None => (text, None),
        };
        let (text, fragment) = cut(text, '#');
        let (text, query) = cut(text, '?');
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        };
        let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            return Url { scheme: None, host: None, port: None, path: text, query, fragment };
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = authority.rsplit_once('@').map_or(authority, |(_, after)| after);
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| is_port(port)) {
            Some((host, port)) => (host, Some(port).filter(|port| !port.is_empty())),
            None => (authority, None),
        };
        let host = Some(host).filter(|host| !host.is_empty());
        Url { scheme: Some(scheme), host, port, path, query, fragment }
    }

    /// Returns the first value of this name in the query, as it stands there. The names in the query are decoded.
    fn query_value(&self, name: &str) -> Option<&'t str> {
        let mut decoded = Vec::new();
        self.query?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let is_wanted = match key.contains(['%', '+']) {
                true => {
                    decoded.clear();
                    form_value(key, key, &mut decoded);
                    decoded == name.as_bytes()
                }
                false => key == name,
            };
            is_wanted.then_some(value)
        })
    }
}

fn urls(registry: Registry) -> Registry {
    registry
        .function("url_scheme", |_| part_of_url(|url| url.scheme))
        .function("url_host", |_| part_of_url(|url| url.host))
        .function("url_path", |_| part_of_url(|url| Some(url.path)))
        .function("url_query", |_| part_of_url(|url| url.query))
        .function("url_fragment", |_| part_of_url(|url| url.fragment))
        .function("url_port", |_| {
            kernel(|arguments, rows| {
                let texts = Texts::of(arguments, 0)?;
                let port = |text| Url::of(text).port?.parse::<u16>().ok().map(i64::from);
                Ok(ints(rows, |row| Ok(texts.get(row).and_then(port))))
            })
        })
        .function("query_value", |_| {
            kernel(|arguments, rows| {
                let names = Texts::of(arguments, 1)?;
                text_parts(arguments, rows, |row, text, out| {
                    let value = names.get(row).and_then(|name| Url::of(text).query_value(name));
                    Ok(value.map(|value| form_value(text, value, out)))
                })
            })
        })
}

/// Decodes a value of a query, in which `+` is a blank. What is no UTF-8 is replaced.
fn form_value(text: &str, value: &str, out: &mut Vec<u8>) -> Part {
    if !value.contains(['%', '+']) {
        return Part::Of(range_in(text, value));
    }
    let blanks = value.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&blanks).decode_utf8_lossy();
    out.extend_from_slice(decoded.as_bytes());
    Part::Written
}

/// Makes a function that cuts a part out of a URL.
fn part_of_url(part: for<'t> fn(&Url<'t>) -> Option<&'t str>) -> Made {
    kernel(move |arguments, rows| {
        text_parts(arguments, rows, |_, text, _| {
            Ok(part(&Url::of(text)).map(|part| Part::Of(range_in(text, part))))
        })
    })
}
