//! Finds values in the text of JSON that is known to be valid, without building a tree.

use std::borrow::Cow;

/// A place in JSON (RFC 6901).
pub(super) struct Pointer(Vec<String>);

/// A value in JSON, as it is written there.
#[derive(Clone, Copy)]
pub(super) struct Found<'j> {
    pub(super) text: &'j str,
}

/// The kinds of JSON values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    List,
    Object,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "boolean",
            Kind::Number => "number",
            Kind::Text => "string",
            Kind::List => "array",
            Kind::Object => "object",
        }
    }
}

impl Pointer {
    /// Makes a pointer of text that the compiler has checked: empty, or with a slash before each name.
    pub(super) fn new(text: &str) -> Pointer {
        let names = text.split('/').skip(1);
        Pointer(names.map(|name| name.replace("~1", "/").replace("~0", "~")).collect())
    }

    /// Returns the value at the place; none if there is none.
    pub(super) fn find<'j>(&self, json: &'j str) -> Option<Found<'j>> {
        let mut found = Found { text: json.trim_ascii() };
        for name in &self.0 {
            found = match found.kind() {
                Kind::Object => member(found.text, name)?,
                Kind::List => {
                    let is_index = name == "0" || !name.starts_with(['0', '+']);
                    let index = name.parse::<usize>().ok().filter(|_| is_index)?;
                    Items::of(found.text)?.nth(index)?
                }
                _ => return None,
            };
        }
        Some(found)
    }
}

impl Found<'_> {
    pub(super) fn kind(&self) -> Kind {
        match self.text.as_bytes().first() {
            Some(b'"') => Kind::Text,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::List,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// Returns a whole number, which may be written as `1.0` or `1e3`.
    pub(super) fn int(&self) -> Option<i64> {
        if self.kind() != Kind::Number {
            return None;
        }
        self.text.parse().ok().or_else(|| {
            let number = self.text.parse::<f64>().ok()?;
            (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
        })
    }

    /// Returns a number that is not too large for a `Float`.
    pub(super) fn float(&self) -> Option<f64> {
        let number = (self.kind() == Kind::Number).then(|| self.text.parse::<f64>().ok())??;
        number.is_finite().then_some(number)
    }

    pub(super) fn truth(&self) -> Option<bool> {
        self.text.parse().ok()
    }
}

/// Returns the content of a JSON string that is written with its quotes.
pub(super) fn decoded(string: &str) -> Cow<'_, str> {
    let content = string.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(string);
    match content.contains('\\') {
        true => Cow::Owned(serde_json::from_str(string).unwrap_or_default()),
        false => Cow::Borrowed(content),
    }
}

/// Returns the byte behind the value that begins at `begin`.
fn end_of(text: &[u8], begin: usize) -> usize {
    match text.get(begin) {
        Some(b'"') => end_of_string(text, begin),
        Some(b'{' | b'[') => {
            let (mut at, mut depth) = (begin, 0_usize);
            while let Some(byte) = text.get(at) {
                match byte {
                    b'"' => {
                        at = end_of_string(text, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    break;
                }
            }
            at
        }
        _ => {
            let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':') || byte.is_ascii_whitespace();
            text[begin..].iter().position(is_end).map_or(text.len(), |length| begin + length)
        }
    }
}

fn end_of_string(text: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        // The byte behind a backslash is escaped.
        at += 1;
    }
    text.len()
}

/// The values in a list, or the names and values of an object in turn.
struct Items<'j> {
    text: &'j str,
    at: usize,
}

impl<'j> Items<'j> {
    fn of(text: &'j str) -> Option<Items<'j>> {
        text.starts_with(['[', '{']).then_some(Items { text, at: 1 })
    }
}

impl<'j> Iterator for Items<'j> {
    type Item = Found<'j>;

    fn next(&mut self) -> Option<Found<'j>> {
        let bytes = self.text.as_bytes();
        let is_between = |byte: &u8| matches!(byte, b',' | b':') || byte.is_ascii_whitespace();
        let skipped = bytes.get(self.at..)?.iter().position(|byte| !is_between(byte))?;
        let begin = self.at + skipped;
        if matches!(bytes[begin], b'}' | b']') {
            return None;
        }
        self.at = end_of(bytes, begin);
        Some(Found { text: &self.text[begin..self.at] })
    }
}

/// Returns the value of this name in an object; of several the last, as parsers do.
pub(super) fn member<'j>(json: &'j str, name: &str) -> Option<Found<'j>> {
    let json = json.trim_ascii();
    if !json.starts_with('{') {
        return None;
    }
    let (mut items, mut found) = (Items::of(json)?, None);
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        if decoded(key.text) == name {
            found = Some(value);
        }
    }
    found
}

/// Returns the names of an object as they are written, with their quotes; none for another value.
pub(super) fn names(json: &str) -> Option<Vec<&str>> {
    let json = json.trim_ascii();
    json.starts_with('{')
        .then(|| Items::of(json))?
        .map(|items| items.step_by(2).map(|name| name.text).collect())
}

/// Returns the items of a list; none for another value.
pub(super) fn items(json: &str) -> Option<Vec<Found<'_>>> {
    json.starts_with('[').then(|| Items::of(json))?.map(Iterator::collect)
}

/// Returns the number of items of a list, or of names of an object; none for another value.
pub(super) fn count(json: &str) -> Option<i64> {
    let json = json.trim_ascii();
    match json.as_bytes().first() {
        Some(b'[') => Some(Items::of(json)?.count() as i64),
        Some(b'{') => {
            let mut names: Vec<Cow<'_, str>> = names(json)?.into_iter().map(decoded).collect();
            names.sort_unstable();
            names.dedup();
            Some(names.len() as i64)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str =
        r#" {"a":[1, {"b":"x\"]}"}, -2.5e1], "a/b": true, "~": null, "é\n": {"k" : [ ]}, "a/b": 7} "#;

    #[test]
    fn values_are_found_as_a_parser_finds_them() {
        let tree: serde_json::Value = serde_json::from_str(JSON).unwrap();
        for place in
            ["", "/a", "/a/0", "/a/1/b", "/a/2", "/a/3", "/a/-", "/a/01", "/a~1b", "/~0", "/é\n/k", "/x"]
        {
            let found = Pointer::new(place).find(JSON).map(|found| found.text);
            let found = found.map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
            assert_eq!(found.as_ref(), tree.pointer(place), "{place}");
        }
    }

    #[test]
    fn names_and_items_are_counted() {
        assert_eq!(
            (count(JSON), count("[]"), count(r#"["]", {}]"#), count("3")),
            (Some(4), Some(0), Some(2), None)
        );
        assert_eq!(names(r#"{"b":{"c":1},"a":2}"#), Some(vec!["\"b\"", "\"a\""]));
    }
}
