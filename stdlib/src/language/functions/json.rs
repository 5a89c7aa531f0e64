//! Functions of JSON.

mod scan;

use std::sync::Arc;

use arrow_schema::Field;
use serde::de::IgnoredAny;
use weir_runtime::Registry;
use weir_runtime::batch::Column;
use weir_runtime::expressions::{Call, JSON_ITEM};

use super::arguments::{AnyBytes, Texts, argument, constant_text};
use super::results::{
    Answer, Made, Part, array, floats, ints, kernel, not, parts, text_lists, text_parts, truths,
};
use super::text::range_in;
use scan::{Kind, Pointer};

pub(super) fn register(registry: Registry) -> Registry {
    registry
        .function("json", |_| {
            kernel(|arguments, rows| {
                parts(&AnyBytes::of(arguments, 0)?, true, rows, |_, value, _| match valid(value) {
                    Some(text) => Ok(Some(Part::Of(range_in(text, text.trim_ascii())))),
                    None => Err(not("JSON", value)),
                })
            })
        })
        .function("is_json", |_| {
            kernel(|arguments, rows| {
                let values = AnyBytes::of(arguments, 0)?;
                Ok(truths(rows, |row| Ok(values.get(row).map(|value| valid(value).is_some()))))
            })
        })
        .function("json_text", |_| kernel(json_text))
        .function("json_at", |call| {
            at(call, |found, json, _| {
                (found.kind() != Kind::Null).then(|| Part::Of(range_in(json, found.text)))
            })
        })
        .function("text_at", |call| at(call, |found, json, out| text_of(found.text, json, out)))
        .function("int_at", |call| {
            let pointer = pointer(call)?;
            kernel(move |arguments, rows| {
                let texts = Texts::of(arguments, 0)?;
                Ok(ints(rows, |row| Ok(texts.get(row).and_then(|json| pointer.find(json)?.int()))))
            })
        })
        .function("float_at", |call| {
            let pointer = pointer(call)?;
            kernel(move |arguments, rows| {
                let texts = Texts::of(arguments, 0)?;
                Ok(floats(rows, |row| Ok(texts.get(row).and_then(|json| pointer.find(json)?.float()))))
            })
        })
        .function("bool_at", |call| {
            let pointer = pointer(call)?;
            kernel(move |arguments, rows| {
                let texts = Texts::of(arguments, 0)?;
                Ok(truths(rows, |row| Ok(texts.get(row).and_then(|json| pointer.find(json)?.truth()))))
            })
        })
        .function("json_kind", |call| {
            let pointer = pointer(call)?;
            kernel(move |arguments, rows| {
                text_parts(arguments, rows, |_, json, out| {
                    let found = pointer.find(json);
                    Ok(found.map(|found| {
                        out.extend_from_slice(found.kind().name().as_bytes());
                        Part::Written
                    }))
                })
            })
        })
        .function("json_names", |_| kernel(json_names))
        .function("json_count", |_| {
            kernel(|arguments, rows| {
                let texts = Texts::of(arguments, 0)?;
                Ok(ints(rows, |row| Ok(texts.get(row).and_then(scan::count))))
            })
        })
        .function("texts_at", texts_at)
        .function(JSON_ITEM, |_| kernel(item))
}

/// Returns the text, if it is JSON.
fn valid(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    serde_json::from_str::<IgnoredAny>(text).is_ok().then_some(text)
}

fn pointer(call: &Call<'_>) -> Result<Pointer, String> {
    Ok(Pointer::new(&constant_text(call, 1)?))
}

/// A value that a pointer found, in the JSON that contains it.
type Take = fn(scan::Found<'_>, &str, &mut Vec<u8>) -> Option<Part>;

/// Makes a function that takes the text of the value at a place.
fn at(call: &Call<'_>, take: Take) -> Made {
    let pointer = pointer(call)?;
    kernel(move |arguments, rows| {
        text_parts(arguments, rows, |_, json, out| {
            Ok(pointer.find(json).and_then(|found| take(found, json, out)))
        })
    })
}

/// Returns the content of a JSON string, which is a part of the JSON unless it has escapes.
fn text_of(found: &str, json: &str, out: &mut Vec<u8>) -> Option<Part> {
    let content = found.strip_prefix('"')?.strip_suffix('"')?;
    if !content.contains('\\') {
        return Some(Part::Of(range_in(json, content)));
    }
    let decoded: String = serde_json::from_str(found).ok()?;
    out.extend_from_slice(decoded.as_bytes());
    Some(Part::Written)
}

/// Takes the member of a JSON object that a column names.
fn item(arguments: &[Column], rows: usize) -> Answer {
    let names = Texts::of(arguments, 1)?;
    text_parts(arguments, rows, |row, json, _| {
        let found = names.get(row).and_then(|name| scan::member(json, name));
        let found = found.filter(|found| found.kind() != Kind::Null);
        Ok(found.map(|found| Part::Of(range_in(json, found.text))))
    })
}

fn json_names(arguments: &[Column], rows: usize) -> Answer {
    text_lists(arguments, rows, |_, view, json, items| {
        let mut names = scan::names(json)?;
        names.sort_unstable_by_key(|name| scan::decoded(name).into_owned());
        names.dedup_by_key(|name| scan::decoded(name).into_owned());
        for name in names {
            let begin = items.written.len();
            match text_of(name, json, &mut items.written)? {
                Part::Of(part) => items.push_part(view, json.as_bytes(), part),
                Part::Written => items.push_written(begin),
            }
        }
        Some(())
    })
}

/// Makes `texts_at`: the strings of a list, if all of its items are strings.
fn texts_at(call: &Call<'_>) -> Made {
    let pointer = pointer(call)?;
    kernel(move |arguments, rows| {
        text_lists(arguments, rows, |_, view, json, items| {
            let found = scan::items(pointer.find(json)?.text)?;
            if !found.iter().all(|item| item.kind() == Kind::Text) {
                return None;
            }
            for item in found {
                let begin = items.written.len();
                match text_of(item.text, json, &mut items.written)? {
                    Part::Of(part) => items.push_part(view, json.as_bytes(), part),
                    Part::Written => items.push_written(begin),
                }
            }
            Some(())
        })
    })
}

fn json_text(arguments: &[Column], rows: usize) -> Answer {
    let column = argument(arguments, 0)?;
    let field = Arc::new(Field::new("value", column.data_type().clone(), true));
    let texts = crate::formats::json::texts(&field, column.values())?;
    match column {
        Column::Array(_) => Ok(array(Arc::new(texts))),
        Column::Constant(_) => {
            let texts: Vec<Option<&str>> = vec![texts.iter().next().flatten(); rows];
            Ok(array(Arc::new(arrow_array::StringViewArray::from(texts))))
        }
    }
}
