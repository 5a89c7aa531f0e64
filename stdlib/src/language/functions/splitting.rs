//! Functions between texts and lists of texts, and the conventions by which names are written.

use memchr::memmem;
use weir_runtime::Registry;
use weir_runtime::batch::Column;
use weir_runtime::expressions::Reason;

use super::arguments::{Ints, Lists, Texts, unexpected};
use super::results::{Answer, Made, Part, grown_max, kernel, text_lists, text_parts, texts};
use super::text::range_in;
use arrow_array::cast::AsArray;

pub(super) fn register(registry: Registry) -> Registry {
    registry
        .function("split", |_| kernel(split))
        .function("lines", |_| {
            kernel(|arguments, rows| {
                text_lists(arguments, rows, |_, view, text, items| {
                    let lines = text.lines();
                    lines.for_each(|line| items.push_part(view, text.as_bytes(), range_in(text, line)));
                    Some(())
                })
            })
        })
        .function("words", |_| {
            kernel(|arguments, rows| {
                text_lists(arguments, rows, |_, view, text, items| {
                    let words = text.split_whitespace();
                    words.for_each(|word| items.push_part(view, text.as_bytes(), range_in(text, word)));
                    Some(())
                })
            })
        })
        .function("part", |_| kernel(part))
        .function("join", |_| kernel(join))
        .function("snake_case", |_| cased(|index, word, out| separated(index, word, b'_', out)))
        .function("kebab_case", |_| cased(|index, word, out| separated(index, word, b'-', out)))
        .function("camel_case", |_| {
            cased(|index, word, out| match index {
                0 => out.extend_from_slice(word.to_lowercase().as_bytes()),
                _ => with_capital(word, out),
            })
        })
        .function("pascal_case", |_| cased(|_, word, out| with_capital(word, out)))
}

fn split(arguments: &[Column], rows: usize) -> Answer {
    let separators = Texts::of(arguments, 1)?;
    text_lists(arguments, rows, |row, view, text, items| {
        let (separator, value) = (separators.get(row)?, text.as_bytes());
        let mut begin = 0;
        if !separator.is_empty() {
            for at in memmem::find_iter(value, separator) {
                items.push_part(view, value, begin..at);
                begin = at + separator.len();
            }
        }
        items.push_part(view, value, begin..value.len());
        Some(())
    })
}

/// Returns the part of a text between separators, counted from the end if the index is negative.
fn nth_part<'t>(text: &'t str, separator: &str, index: i64) -> Option<&'t str> {
    if separator.is_empty() {
        return matches!(index, 0 | -1).then_some(text);
    }
    match usize::try_from(index) {
        Ok(index) => text.split(separator).nth(index),
        Err(_) => text.rsplit(separator).nth(usize::try_from(index.unsigned_abs() - 1).ok()?),
    }
}

fn part(arguments: &[Column], rows: usize) -> Answer {
    let (separators, indices) = (Texts::of(arguments, 1)?, Ints::of(arguments, 2)?);
    text_parts(arguments, rows, |row, text, _| {
        let found = separators.get(row).zip(indices.get(row));
        let found = found.and_then(|(separator, index)| nth_part(text, separator, index));
        Ok(found.map(|part| Part::Of(range_in(text, part))))
    })
}

fn join(arguments: &[Column], rows: usize) -> Answer {
    let (lists, separators) = (Lists::of(arguments, 0)?, Texts::of(arguments, 1)?);
    let items = lists.values.values();
    let items = items.as_string_view_opt().ok_or_else(|| unexpected(&arguments[0], "a list of texts"))?;
    texts(rows, |row, out| {
        let Some((list, separator)) = lists.get(row).zip(separators.get(row)) else { return Ok(None) };
        let (begin, mut of_items) = (out.len(), 0);
        for (index, item) in list.enumerate() {
            if index > 0 {
                out.extend_from_slice(separator.as_bytes());
            }
            let item = items.value(item).as_bytes();
            out.extend_from_slice(item);
            of_items += item.len();
            if out.len() - begin > grown_max(of_items) {
                return Err(Reason::TooLarge);
            }
        }
        Ok(Some(()))
    })
}

/// Returns the words of a name: runs of letters and digits, cut where a capital follows a small letter or digit, and
/// before the last of several capitals that a small letter follows, as in `HTTPServer`.
fn words_of_name(name: &str) -> Vec<&str> {
    let letters: Vec<(usize, char)> = name.char_indices().collect();
    let (mut words, mut begin) = (Vec::new(), None);
    for (index, (at, letter)) in letters.iter().enumerate() {
        if !letter.is_alphanumeric() {
            if let Some(begin) = begin.take() {
                words.push(&name[begin..*at]);
            }
            continue;
        }
        let before = index.checked_sub(1).map(|index| letters[index].1);
        let after = letters.get(index + 1).map(|(_, letter)| *letter);
        let is_cut = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || (before.is_uppercase() && after.is_some_and(char::is_lowercase))
            });
        match begin {
            None => begin = Some(*at),
            Some(from) if is_cut => {
                words.push(&name[from..*at]);
                begin = Some(*at);
            }
            Some(_) => {}
        }
    }
    words.extend(begin.map(|begin| &name[begin..]));
    words
}

fn separated(index: usize, word: &str, separator: u8, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(separator);
    }
    out.extend_from_slice(word.to_lowercase().as_bytes());
}

fn with_capital(word: &str, out: &mut Vec<u8>) {
    let mut letters = word.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    out.extend_from_slice(first.as_bytes());
    out.extend_from_slice(letters.as_str().to_lowercase().as_bytes());
}

/// Makes a function that writes each word of a name with its index.
fn cased(write: fn(usize, &str, &mut Vec<u8>)) -> Made {
    kernel(move |arguments, rows| {
        text_parts(arguments, rows, |_, text, out| {
            let words = words_of_name(text);
            words.into_iter().enumerate().for_each(|(index, word)| write(index, word, out));
            Ok(Some(Part::Written))
        })
    })
}
