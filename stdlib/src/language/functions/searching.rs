//! Functions of text that find, cut out and replace parts.

use std::ops::Range;

use memchr::memmem::{self, Finder};
use weir_plan::Value as Constant;
use weir_runtime::Registry;
use weir_runtime::batch::Column;
use weir_runtime::expressions::{Call, Reason};

use super::arguments::{AnyBytes, Ints, Texts};
use super::results::{Answer, Made, Part, grown_max, ints, kernel, parts, text_parts};

/// A text grows to at most this many characters by padding.
const PADDED_MAX: usize = 65_536;
/// A repeated text has at most this many bytes.
const REPEATED_BYTES_MAX: usize = 1 << 20;

pub(super) fn register(registry: Registry) -> Registry {
    registry
        .function("replace", replace)
        .function("substring", |_| kernel(substring))
        .function("slice", |_| kernel(slice))
        .function("truncate", |_| kernel(truncate))
        .function("index_of", |_| kernel(index_of))
        .function("last_index_of", |_| kernel(last_index_of))
        .function("occurrences", |_| kernel(occurrences))
        .function("before", |_| around(|text, part| text.find(part).map(|at| 0..at)))
        .function("after", |_| around(|text, part| text.find(part).map(|at| at + part.len()..text.len())))
        .function("before_last", |_| around(|text, part| text.rfind(part).map(|at| 0..at)))
        .function("after_last", |_| {
            around(|text, part| text.rfind(part).map(|at| at + part.len()..text.len()))
        })
        .function("pad_start", |_| padded(true))
        .function("pad_end", |_| padded(false))
        .function("repeat", |_| kernel(repeat))
}

/// Replaces a part; a constant is searched with a finder that is prepared once.
fn replace(call: &Call<'_>) -> Made {
    let constant = match call.constant(1) {
        Some(Constant::Text(part)) => Some(Finder::new(part).into_owned()),
        _ => None,
    };
    kernel(move |arguments, rows| {
        let (wanted, replacements) = (Texts::of(arguments, 1)?, Texts::of(arguments, 2)?);
        text_parts(arguments, rows, |row, text, out| {
            let Some((part, with)) = wanted.get(row).zip(replacements.get(row)) else { return Ok(None) };
            let (mut done, most) = (0, out.len() + grown_max(text.len()));
            let mut put = |at: usize| {
                out.extend_from_slice(&text.as_bytes()[done..at]);
                out.extend_from_slice(with.as_bytes());
                done = at + part.len();
                if out.len() > most { Err(Reason::TooLarge) } else { Ok(()) }
            };
            match &constant {
                _ if part.is_empty() => {}
                Some(finder) => finder.find_iter(text.as_bytes()).try_for_each(&mut put)?,
                None => memmem::find_iter(text.as_bytes(), part).try_for_each(&mut put)?,
            }
            if done == 0 {
                return Ok(Some(Part::Of(0..text.len())));
            }
            out.extend_from_slice(&text.as_bytes()[done..]);
            Ok(Some(Part::Written))
        })
    })
}

/// Returns the part of `0..count` that begins at `begin`, which counts from the end if it is negative, and has `length`
/// positions. Positions outside are left out.
pub(super) fn clipped(begin: i64, length: Option<i64>, count: usize) -> Range<usize> {
    let count = count as i128;
    let from = if begin < 0 { count + i128::from(begin) } else { i128::from(begin) };
    let to = length.map_or(count, |length| from + i128::from(length.max(0)));
    let from = from.clamp(0, count);
    from as usize..to.clamp(from, count) as usize
}

/// Returns the place in the bytes of a text of a range of its characters.
fn bytes_of_characters(text: &str, characters: Range<usize>) -> Range<usize> {
    if text.is_ascii() {
        return characters;
    }
    let at = |wanted: usize| text.char_indices().nth(wanted).map_or(text.len(), |(at, _)| at);
    at(characters.start)..at(characters.end)
}

fn count_of_characters(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// The length that a call asks for: `Some(None)` without a limit, none if it is null.
fn substring(arguments: &[Column], rows: usize) -> Answer {
    let (begins, lengths) = (Ints::of(arguments, 1)?, optional_ints(arguments, 2)?);
    text_parts(arguments, rows, |row, text, _| {
        let Some(begin) = begins.get(row) else { return Ok(None) };
        let length = lengths.as_ref().and_then(|lengths| lengths.get(row));
        let characters = clipped(begin, length, count_of_characters(text));
        Ok(Some(Part::Of(bytes_of_characters(text, characters))))
    })
}

/// Returns an argument that may be left out.
fn optional_ints(
    arguments: &[Column],
    index: usize,
) -> Result<Option<Ints<'_>>, weir_runtime::batch::BatchError> {
    if arguments.len() > index { Ints::of(arguments, index).map(Some) } else { Ok(None) }
}

fn slice(arguments: &[Column], rows: usize) -> Answer {
    let (begins, lengths) = (Ints::of(arguments, 1)?, optional_ints(arguments, 2)?);
    parts(&AnyBytes::of(arguments, 0)?, false, rows, |row, value, _| {
        let length = lengths.as_ref().and_then(|lengths| lengths.get(row));
        Ok(begins.get(row).map(|begin| Part::Of(clipped(begin, length, value.len()))))
    })
}

fn truncate(arguments: &[Column], rows: usize) -> Answer {
    let (lengths, ends) = (Ints::of(arguments, 1)?, Texts::of(arguments, 2)?);
    text_parts(arguments, rows, |row, text, out| {
        let Some((length, end)) = lengths.get(row).zip(ends.get(row)) else { return Ok(None) };
        let length = usize::try_from(length.max(0)).unwrap_or(usize::MAX);
        if text.len() <= length || count_of_characters(text) <= length {
            return Ok(Some(Part::Of(0..text.len())));
        }
        let kept = bytes_of_characters(text, 0..length);
        if end.is_empty() {
            return Ok(Some(Part::Of(kept)));
        }
        out.extend_from_slice(&text.as_bytes()[kept]);
        out.extend_from_slice(end.as_bytes());
        Ok(Some(Part::Written))
    })
}

/// Finds the place of a part in each row's text, as the number of characters before it.
fn place(arguments: &[Column], rows: usize, find: impl Fn(&str, &str) -> Option<usize>) -> Answer {
    let (texts, wanted) = (Texts::of(arguments, 0)?, Texts::of(arguments, 1)?);
    Ok(ints(rows, |row| {
        let Some((text, part)) = texts.get(row).zip(wanted.get(row)) else { return Ok(None) };
        Ok(find(text, part).map(|at| count_of_characters(&text[..at]) as i64))
    }))
}

fn index_of(arguments: &[Column], rows: usize) -> Answer {
    place(arguments, rows, |text, part| memmem::find(text.as_bytes(), part.as_bytes()))
}

fn last_index_of(arguments: &[Column], rows: usize) -> Answer {
    place(arguments, rows, |text, part| memmem::rfind(text.as_bytes(), part.as_bytes()))
}

fn occurrences(arguments: &[Column], rows: usize) -> Answer {
    let (texts, wanted) = (Texts::of(arguments, 0)?, Texts::of(arguments, 1)?);
    Ok(ints(rows, |row| {
        let Some((text, part)) = texts.get(row).zip(wanted.get(row)) else { return Ok(None) };
        let found = memmem::find_iter(text.as_bytes(), part.as_bytes());
        Ok(Some(if part.is_empty() { 0 } else { found.count() as i64 }))
    }))
}

/// Makes a function that takes the text on one side of a part; null where the text does not have it.
fn around(cut: fn(&str, &str) -> Option<Range<usize>>) -> Made {
    kernel(move |arguments, rows| {
        let wanted = Texts::of(arguments, 1)?;
        text_parts(arguments, rows, |row, text, _| {
            Ok(wanted.get(row).and_then(|part| cut(text, part)).map(Part::Of))
        })
    })
}

fn padded(at_start: bool) -> Made {
    kernel(move |arguments, rows| {
        let (lengths, paddings) = (Ints::of(arguments, 1)?, Texts::of(arguments, 2)?);
        text_parts(arguments, rows, |row, text, out| {
            let Some((length, with)) = lengths.get(row).zip(paddings.get(row)) else { return Ok(None) };
            let length = usize::try_from(length.max(0)).unwrap_or(usize::MAX).min(PADDED_MAX);
            let missing = length.saturating_sub(count_of_characters(text));
            if missing == 0 || with.is_empty() {
                return Ok(Some(Part::Of(0..text.len())));
            }
            let mut letter = [0; 4];
            if !at_start {
                out.extend_from_slice(text.as_bytes());
            }
            for next in with.chars().cycle().take(missing) {
                out.extend_from_slice(next.encode_utf8(&mut letter).as_bytes());
            }
            if at_start {
                out.extend_from_slice(text.as_bytes());
            }
            Ok(Some(Part::Written))
        })
    })
}

fn repeat(arguments: &[Column], rows: usize) -> Answer {
    let times = Ints::of(arguments, 1)?;
    text_parts(arguments, rows, |row, text, out| {
        let Some(times) = times.get(row) else { return Ok(None) };
        let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
        let bytes = times.checked_mul(text.len()).filter(|bytes| *bytes <= REPEATED_BYTES_MAX);
        let bytes = bytes.ok_or(Reason::Overflow)?;
        out.reserve(bytes);
        (0..if text.is_empty() { 0 } else { times }).for_each(|_| out.extend_from_slice(text.as_bytes()));
        Ok(Some(Part::Written))
    })
}
