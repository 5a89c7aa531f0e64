//! Functions of text: case, blank space, length, and questions about parts.

use std::ops::Range;

use memchr::memmem::Finder;
use weir_plan::Value;
use weir_runtime::Registry;
use weir_runtime::batch::Column;
use weir_runtime::expressions::{Call, Reason};

use super::arguments::{AnyBytes, Texts};
use super::results::{Answer, Made, Part, ints, kernel, text_parts, truths};

pub(super) fn register(registry: Registry) -> Registry {
    registry
        .function("lower", |_| {
            kernel(|arguments, rows| text_parts(arguments, rows, |_, t, out| lower(t, out)))
        })
        .function("upper", |_| {
            kernel(|arguments, rows| text_parts(arguments, rows, |_, t, out| upper(t, out)))
        })
        .function("capitalize", |_| {
            kernel(|arguments, rows| text_parts(arguments, rows, |_, text, out| capitalize(text, out)))
        })
        .function("trim", |_| trimmed(str::trim))
        .function("trim_start", |_| trimmed(str::trim_start))
        .function("trim_end", |_| trimmed(str::trim_end))
        .function("squeeze", |_| {
            kernel(|arguments, rows| text_parts(arguments, rows, |_, text, out| squeeze(text, out)))
        })
        .function("reverse", |_| {
            kernel(|arguments, rows| text_parts(arguments, rows, |_, text, out| reverse(text, out)))
        })
        .function("without_prefix", |_| {
            without(|text, part| text.strip_prefix(part).map(|_| part.len()..text.len()))
        })
        .function("without_suffix", |_| {
            without(|text, part| text.strip_suffix(part).map(|rest| 0..rest.len()))
        })
        .function("length", |_| kernel(length))
        .function("is_blank", |_| {
            kernel(|arguments, rows| {
                let texts = Texts::of(arguments, 0)?;
                Ok(truths(rows, |row| Ok(texts.get(row).map(|text| text.trim().is_empty()))))
            })
        })
        .function("starts_with", |_| asked(|value, part| value.starts_with(part)))
        .function("ends_with", |_| asked(|value, part| value.ends_with(part)))
        .function("contains", contains)
        .function("equals_ignoring_case", |_| {
            kernel(|arguments, rows| {
                let (lefts, rights) = (Texts::of(arguments, 0)?, Texts::of(arguments, 1)?);
                Ok(truths(rows, |row| Ok(lefts.get(row).zip(rights.get(row)).map(equal_letters))))
            })
        })
}

/// A part of a text, or the buffer into which another text was written; it can't fail.
type Changed = Result<Option<Part>, Reason>;

fn lower(text: &str, out: &mut Vec<u8>) -> Changed {
    Ok(Some(if !text.is_ascii() {
        // A letter may become several, and may depend on the letters beside it.
        out.extend_from_slice(text.to_lowercase().as_bytes());
        Part::Written
    } else if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        out.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
        Part::Written
    } else {
        Part::Of(0..text.len())
    }))
}

fn upper(text: &str, out: &mut Vec<u8>) -> Changed {
    Ok(Some(if !text.is_ascii() {
        out.extend_from_slice(text.to_uppercase().as_bytes());
        Part::Written
    } else if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        out.extend(text.bytes().map(|byte| byte.to_ascii_uppercase()));
        Part::Written
    } else {
        Part::Of(0..text.len())
    }))
}

fn capitalize(text: &str, out: &mut Vec<u8>) -> Changed {
    let mut letters = text.chars();
    Ok(Some(match letters.next() {
        Some(first) if !first.is_uppercase() => {
            out.extend_from_slice(first.to_uppercase().collect::<String>().as_bytes());
            out.extend_from_slice(letters.as_str().as_bytes());
            Part::Written
        }
        _ => Part::Of(0..text.len()),
    }))
}

/// Replaces each run of blank space by one blank, and drops it at both ends.
fn squeeze(text: &str, out: &mut Vec<u8>) -> Changed {
    let trimmed = text.trim();
    let mut was_blank = false;
    let is_tidy = trimmed.chars().all(|letter| {
        let is_blank = letter.is_whitespace();
        let is_allowed = !is_blank || (letter == ' ' && !was_blank);
        was_blank = is_blank;
        is_allowed
    });
    if is_tidy {
        return Ok(Some(Part::Of(range_in(text, trimmed))));
    }
    for (index, word) in text.split_whitespace().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word.as_bytes());
    }
    Ok(Some(Part::Written))
}

fn reverse(text: &str, out: &mut Vec<u8>) -> Changed {
    let mut letter = [0; 4];
    text.chars().rev().for_each(|next| out.extend_from_slice(next.encode_utf8(&mut letter).as_bytes()));
    Ok(Some(Part::Written))
}

/// Returns the place of a part of a text, which was cut out of it.
pub(super) fn range_in(text: &str, part: &str) -> Range<usize> {
    // An empty part may be a text of the program itself.
    if part.is_empty() {
        return 0..0;
    }
    let begin = part.as_ptr() as usize - text.as_ptr() as usize;
    begin..begin + part.len()
}

fn trimmed(trim: fn(&str) -> &str) -> Made {
    kernel(move |arguments, rows| {
        text_parts(arguments, rows, |_, text, _| Ok(Some(Part::Of(range_in(text, trim(text))))))
    })
}

/// Makes a function that cuts off a part, where the text has it.
fn without(cut: fn(&str, &str) -> Option<Range<usize>>) -> Made {
    kernel(move |arguments, rows| {
        let parts = Texts::of(arguments, 1)?;
        text_parts(arguments, rows, |row, text, _| {
            Ok(parts.get(row).map(|part| Part::Of(cut(text, part).unwrap_or(0..text.len()))))
        })
    })
}

fn length(arguments: &[Column], rows: usize) -> Answer {
    let values = AnyBytes::of(arguments, 0)?;
    // Each character has one byte that is not a continuation byte of UTF-8.
    let characters = |text: &[u8]| text.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    let length = |value: &[u8]| if values.is_text { characters(value) } else { value.len() };
    Ok(ints(rows, |row| Ok(values.get(row).map(|value| length(value) as i64))))
}

fn equal_letters((left, right): (&str, &str)) -> bool {
    match left.is_ascii() && right.is_ascii() {
        true => left.eq_ignore_ascii_case(right),
        false => left.chars().flat_map(char::to_lowercase).eq(right.chars().flat_map(char::to_lowercase)),
    }
}

/// Makes a question about a value and a part.
fn asked(ask: fn(&[u8], &[u8]) -> bool) -> Made {
    kernel(move |arguments, rows| {
        let (values, parts) = (AnyBytes::of(arguments, 0)?, Texts::of(arguments, 1)?);
        Ok(truths(rows, |row| {
            let part = parts.get(row);
            Ok(values.get(row).zip(part).map(|(value, part)| ask(value, part.as_bytes())))
        }))
    })
}

/// Makes `contains`. The search for a constant is prepared once.
fn contains(call: &Call<'_>) -> Made {
    match call.constant(1) {
        Some(Value::Text(part)) => {
            let finder = Finder::new(part).into_owned();
            kernel(move |arguments, rows| {
                let values = AnyBytes::of(arguments, 0)?;
                Ok(truths(rows, |row| Ok(values.get(row).map(|value| finder.find(value).is_some()))))
            })
        }
        _ => asked(|value, part| memchr::memmem::find(value, part).is_some()),
    }
}

#[cfg(test)]
mod tests;
