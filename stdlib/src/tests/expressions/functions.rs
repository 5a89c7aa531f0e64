//! Plain definitions of functions for single events, and the texts of values.

use super::slow::{Failed, Outcome};
use super::value::Single;

/// Returns the text of a value as the language writes it.
pub(super) fn text_of(value: &Single) -> String {
    match value {
        Single::Bool(truth) => truth.to_string(),
        Single::Int(number) => number.to_string(),
        Single::Float(number) => number.to_string(),
        Single::Decimal(number) => number.to_string(),
        Single::Text(text) => text.clone(),
        Single::Size(size) => size.to_string(),
        Single::Time(time) => weir_plan::time_text(*time).unwrap_or_else(|| time.to_string()),
        Single::Duration(length) => duration(*length),
        other => unreachable!("{other:?} has no text"),
    }
}

fn duration(length: i64) -> String {
    let units = [("d", 86_400_000_000_i64), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000)];
    let whole = units.into_iter().find(|(_, unit)| length != 0 && length % unit == 0);
    match whole {
        Some((name, unit)) => format!("{}{name}", length / unit),
        None if length == 0 => "0s".to_owned(),
        None => {
            let sign = if length < 0 { "-" } else { "" };
            let (whole, rest) = (length.unsigned_abs() / 1_000, length.unsigned_abs() % 1_000);
            let rest = format!(".{rest:03}");
            format!("{sign}{whole}{}ms", rest.trim_end_matches('0').trim_end_matches('.'))
        }
    }
}

fn texts(items: impl Iterator<Item = impl Into<String>>) -> Single {
    Single::List(items.map(|item| Single::Text(item.into())).collect())
}

fn optional(found: Option<impl Into<String>>) -> Single {
    found.map_or(Single::Null, |text| Single::Text(text.into()))
}

/// Calls a function that has a plain definition here; none for another function. A null argument gives null.
pub(super) fn called(name: &str, arguments: &[Single]) -> Option<Outcome> {
    of_texts(name, arguments).or_else(|| of_numbers(name, arguments)).or_else(|| of_lists(name, arguments))
}

fn of_texts(name: &str, arguments: &[Single]) -> Option<Outcome> {
    use Single::{Bool, Int, List, Text};
    let outcome = match (name, arguments) {
        ("lower", [Text(text)]) => Text(text.to_lowercase()),
        ("upper", [Text(text)]) => Text(text.to_uppercase()),
        ("trim", [Text(text)]) => Text(text.trim().to_owned()),
        ("trim_start", [Text(text)]) => Text(text.trim_start().to_owned()),
        ("trim_end", [Text(text)]) => Text(text.trim_end().to_owned()),
        ("squeeze", [Text(text)]) => Text(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        ("reverse", [Text(text)]) => Text(text.chars().rev().collect()),
        ("length", [Text(text)]) => Int(text.chars().count() as i64),
        ("length", [Single::Bytes(bytes)]) => Int(bytes.len() as i64),
        ("is_blank", [Text(text)]) => Bool(text.chars().all(char::is_whitespace)),
        ("starts_with", [Text(text), Text(part)]) => Bool(text.starts_with(part.as_str())),
        ("ends_with", [Text(text), Text(part)]) => Bool(text.ends_with(part.as_str())),
        ("contains", [Text(text), Text(part)]) => Bool(text.contains(part.as_str())),
        ("replace", [Text(text), Text(part), Text(with)]) => match part.is_empty() {
            true => Text(text.clone()),
            false => Text(text.replace(part.as_str(), with)),
        },
        ("without_prefix", [Text(text), Text(part)]) => {
            Text(text.strip_prefix(part.as_str()).unwrap_or(text).to_owned())
        }
        ("without_suffix", [Text(text), Text(part)]) => {
            Text(text.strip_suffix(part.as_str()).unwrap_or(text).to_owned())
        }
        ("before", [Text(text), Text(part)]) => {
            optional(text.split_once(part.as_str()).map(|(before, _)| before))
        }
        ("after", [Text(text), Text(part)]) => {
            optional(text.split_once(part.as_str()).map(|(_, after)| after))
        }
        ("before_last", [Text(text), Text(part)]) => {
            optional(text.rsplit_once(part.as_str()).map(|(before, _)| before))
        }
        ("after_last", [Text(text), Text(part)]) => {
            optional(text.rsplit_once(part.as_str()).map(|(_, after)| after))
        }
        ("split", [Text(text), Text(part)]) if part.is_empty() => texts([text.clone()].into_iter()),
        ("split", [Text(text), Text(part)]) => texts(text.split(part.as_str())),
        ("words", [Text(text)]) => texts(text.split_whitespace()),
        ("lines", [Text(text)]) => texts(text.lines()),
        ("join", [List(items), Text(separator)]) => {
            Text(items.iter().map(text_of).collect::<Vec<_>>().join(separator))
        }
        ("index_of", [Text(text), Text(part)]) => match text.find(part.as_str()) {
            Some(at) => Int(text[..at].chars().count() as i64),
            None => Single::Null,
        },
        ("substring", [Text(text), Int(begin), length]) => Text(substring(text, *begin, length)),
        ("pad_start", [Text(text), Int(length), Text(with)]) => Text(padded(text, *length, with) + text),
        ("pad_end", [Text(text), Int(length), Text(with)]) => {
            Text(text.clone() + &padded(text, *length, with))
        }
        ("text", [value]) if !matches!(value, Single::Null | Single::Ip(_)) => Text(text_of(value)),
        ("bytes", [Text(text)]) => Single::Bytes(text.clone().into_bytes()),
        ("hex_encode", [Text(text)]) => Text(text.bytes().map(|byte| format!("{byte:02x}")).collect()),
        ("null_if", [Text(text), Text(other)]) => optional((text != other).then(|| text.clone())),
        _ => return None,
    };
    Some(Ok(outcome))
}

fn of_numbers(name: &str, arguments: &[Single]) -> Option<Outcome> {
    use Single::{Float, Int, Text};
    let outcome = match (name, arguments) {
        ("int", [Text(text), Int(base)]) => {
            let base = u32::try_from(*base).ok().filter(|base| (2..=36).contains(base));
            let number = base.and_then(|base| i64::from_str_radix(text, base).ok());
            return Some(number.map(Int).ok_or(Failed));
        }
        ("float", [Text(text)]) => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            return Some(number.map(|number| Float(number + 0.0)).ok_or(Failed));
        }
        ("to_float", [Int(number)]) => Float(*number as f64),
        ("floor", [Float(number)]) => Float(number.floor() + 0.0),
        ("ceil", [Float(number)]) => Float(number.ceil() + 0.0),
        ("abs", [Int(number)]) => Int(number.saturating_abs()),
        ("abs", [Float(number)]) => Float(number.abs()),
        ("min" | "max", [left, right]) => return extreme(name, left, right).map(Ok),
        ("quotient", [Int(_), Int(0)]) => return Some(Err(Failed)),
        ("quotient", [Int(left), Int(right)]) => {
            return Some(left.checked_div(*right).map(Int).ok_or(Failed));
        }
        ("modulo", [Int(_), Int(0)]) => return Some(Err(Failed)),
        ("modulo", [Int(left), Int(right)]) => {
            let (left, right) = (i128::from(*left), i128::from(*right));
            Int((((left % right) + right) % right) as i64)
        }
        ("bit_and", [Int(left), Int(right)]) => Int(left & right),
        _ => return None,
    };
    Some(Ok(outcome))
}

fn of_lists(name: &str, arguments: &[Single]) -> Option<Outcome> {
    use Single::{Float, Int, List};
    let outcome = match (name, arguments) {
        ("count", [List(items)]) => Int(items.len() as i64),
        ("first", [List(items)]) => items.first().cloned().unwrap_or(Single::Null),
        ("last", [List(items)]) => items.last().cloned().unwrap_or(Single::Null),
        ("reversed", [List(items)]) => List(items.iter().rev().cloned().collect()),
        ("concat", [List(left), List(right)]) => List([left.as_slice(), right].concat()),
        ("sorted", [List(items)]) => {
            let mut items = items.clone();
            items.sort_by(|left, right| left.compare(right).unwrap());
            List(items)
        }
        ("distinct", [List(items)]) => {
            let mut kept: Vec<Single> = Vec::new();
            for item in items {
                if !kept.iter().any(|one| one.is_same(item)) {
                    kept.push(item.clone());
                }
            }
            List(kept)
        }
        ("truncate_time", [Single::Time(time), Single::Duration(unit)]) if *unit > 0 => Single::Time(
            i64::try_from(i128::from(*time).div_euclid(i128::from(*unit)) * i128::from(*unit)).ok()?,
        ),
        ("unix_milliseconds", [Single::Time(time)]) => Int(time.div_euclid(1_000)),
        ("seconds", [Single::Duration(length)]) => Float(*length as f64 / 1e6),
        _ => return None,
    };
    Some(Ok(outcome))
}

fn extreme(name: &str, left: &Single, right: &Single) -> Option<Single> {
    let order = left.compare(right)?;
    let is_left = if name == "min" { order.is_lt() } else { order.is_gt() };
    // Decimals of different types get one that has both.
    let are_exact = matches!((left, right), (Single::Decimal(_), _) | (_, Single::Decimal(_)));
    (!are_exact).then(|| if is_left { left.clone() } else { right.clone() })
}

fn substring(text: &str, begin: i64, length: &Single) -> String {
    let letters: Vec<char> = text.chars().collect();
    let from = if begin < 0 { letters.len() as i128 + i128::from(begin) } else { i128::from(begin) };
    let to = match length {
        Single::Int(length) => from + i128::from((*length).max(0)),
        _ => i128::MAX,
    };
    let letters = letters.into_iter().enumerate();
    letters.filter(|(at, _)| (from..to).contains(&(*at as i128))).map(|(_, letter)| letter).collect()
}

fn padded(text: &str, length: i64, with: &str) -> String {
    let missing = length.min(65_536) - text.chars().count() as i64;
    with.chars().cycle().take(usize::try_from(missing).unwrap_or(0)).collect()
}
