//! Functions of text and bytes with regular expressions, which are compiled once for each call in a program.

use regex::Regex;
use regex::bytes::Regex as BytesRegex;
use weir_plan::Value as Constant;
use weir_runtime::Registry;
use weir_runtime::batch::Column;
use weir_runtime::expressions::{Call, Reason};

use super::arguments::{AnyBytes, Texts, constant_text};
use super::results::{Answer, Made, Part, grown_max, ints, kernel, parts, text_lists, text_parts};
use super::text::range_in;

pub(super) fn register(registry: Registry) -> Registry {
    registry
        .function("replace_regex", |call| {
            let pattern = regex(call)?;
            kernel(move |arguments, rows| replace_regex(&pattern, arguments, rows))
        })
        .function("replace_bytes", |call| {
            let pattern = bytes_regex(call)?;
            kernel(move |arguments, rows| replace_bytes(&pattern, arguments, rows))
        })
        .function("capture", capture)
        .function("find_all", |call| {
            let pattern = regex(call)?;
            kernel(move |arguments, rows| {
                text_lists(arguments, rows, |_, view, text, items| {
                    let found = pattern.find_iter(text);
                    found.for_each(|found| items.push_part(view, text.as_bytes(), found.range()));
                    Some(())
                })
            })
        })
        .function("split_regex", |call| {
            let pattern = regex(call)?;
            kernel(move |arguments, rows| {
                text_lists(arguments, rows, |_, view, text, items| {
                    let found = pattern.split(text);
                    found.for_each(|part| items.push_part(view, text.as_bytes(), range_in(text, part)));
                    Some(())
                })
            })
        })
        .function("count_matches", |call| {
            let pattern = bytes_regex(call)?;
            kernel(move |arguments, rows| {
                let values = AnyBytes::of(arguments, 0)?;
                Ok(ints(rows, |row| Ok(values.get(row).map(|value| pattern.find_iter(value).count() as i64))))
            })
        })
}

fn regex(call: &Call<'_>) -> Result<Regex, String> {
    Regex::new(&constant_text(call, 1)?).map_err(|error| error.to_string())
}

fn bytes_regex(call: &Call<'_>) -> Result<BytesRegex, String> {
    BytesRegex::new(&constant_text(call, 1)?).map_err(|error| error.to_string())
}

fn replace_regex(pattern: &Regex, arguments: &[Column], rows: usize) -> Answer {
    let replacements = Texts::of(arguments, 2)?;
    let mut expanded = String::new();
    text_parts(arguments, rows, |row, text, out| {
        let Some(with) = replacements.get(row) else { return Ok(None) };
        let (mut done, most) = (None, out.len() + grown_max(text.len()));
        let is_bounded = |out: &Vec<u8>| if out.len() > most { Err(Reason::TooLarge) } else { Ok(()) };
        if memchr::memchr(b'$', with.as_bytes()).is_none() {
            for found in pattern.find_iter(text) {
                out.extend_from_slice(&text.as_bytes()[done.unwrap_or(0)..found.start()]);
                out.extend_from_slice(with.as_bytes());
                is_bounded(out)?;
                done = Some(found.end());
            }
        } else {
            for groups in pattern.captures_iter(text) {
                let Some(found) = groups.get(0) else { continue };
                out.extend_from_slice(&text.as_bytes()[done.unwrap_or(0)..found.start()]);
                expanded.clear();
                groups.expand(with, &mut expanded);
                out.extend_from_slice(expanded.as_bytes());
                is_bounded(out)?;
                done = Some(found.end());
            }
        }
        Ok(Some(finished(text.as_bytes(), done, out)))
    })
}

fn replace_bytes(pattern: &BytesRegex, arguments: &[Column], rows: usize) -> Answer {
    let replacements = Texts::of(arguments, 2)?;
    parts(&AnyBytes::of(arguments, 0)?, false, rows, |row, value, out| {
        let Some(with) = replacements.get(row) else { return Ok(None) };
        let (mut done, most) = (None, out.len() + grown_max(value.len()));
        if memchr::memchr(b'$', with.as_bytes()).is_none() {
            for found in pattern.find_iter(value) {
                out.extend_from_slice(&value[done.unwrap_or(0)..found.start()]);
                out.extend_from_slice(with.as_bytes());
                if out.len() > most {
                    return Err(Reason::TooLarge);
                }
                done = Some(found.end());
            }
        } else {
            for groups in pattern.captures_iter(value) {
                let Some(found) = groups.get(0) else { continue };
                out.extend_from_slice(&value[done.unwrap_or(0)..found.start()]);
                groups.expand(with.as_bytes(), out);
                if out.len() > most {
                    return Err(Reason::TooLarge);
                }
                done = Some(found.end());
            }
        }
        Ok(Some(finished(value, done, out)))
    })
}

/// Ends a text in which matches up to `done` were replaced, if any were.
fn finished(value: &[u8], done: Option<usize>, out: &mut Vec<u8>) -> Part {
    let Some(done) = done else { return Part::Of(0..value.len()) };
    out.extend_from_slice(&value[done..]);
    Part::Written
}

/// Makes `capture`, whose group is a constant.
fn capture(call: &Call<'_>) -> Made {
    let pattern = bytes_regex(call)?;
    let group = match call.constant(2) {
        Some(Constant::Int(group)) => usize::try_from(*group).map_err(|error| error.to_string())?,
        _ => return Err("its group is no constant".to_owned()),
    };
    kernel(move |arguments, rows| {
        let mut groups = pattern.capture_locations();
        parts(&AnyBytes::of(arguments, 0)?, true, rows, |_, value, _| {
            let found = match group {
                0 => pattern.find(value).map(|found| found.range()),
                _ => {
                    let found = pattern.captures_read(&mut groups, value);
                    found.and_then(|_| groups.get(group)).map(|(begin, end)| begin..end)
                }
            };
            Ok(found.filter(|found| std::str::from_utf8(&value[found.clone()]).is_ok()).map(Part::Of))
        })
    })
}
