//! The parser `kv`: pairs of names and values.

use memchr::{memchr2, memmem};
use serde::Deserialize;
use weir_runtime::expressions::Reason;
use weir_runtime::parsers::{Parser, ParserCall};

use super::pieces::{Cut, Cutter, Names, Pieces};

#[derive(Deserialize)]
struct KvSettings {
    separator: String,
    sign: String,
}

/// What stands between pairs.
enum Separator {
    /// Spaces and tabulators, as many as there are.
    Blanks,
    Text(Box<memmem::Finder<'static>>),
}

impl Separator {
    /// Returns the length of a separator with which the text begins.
    #[inline]
    fn at_start(&self, text: &[u8]) -> Option<usize> {
        match self {
            Separator::Blanks => matches!(text, [b' ' | b'\t', ..]).then_some(1),
            Separator::Text(finder) => text.starts_with(finder.needle()).then_some(finder.needle().len()),
        }
    }

    /// Returns where the first separator begins.
    #[inline]
    fn find(&self, text: &[u8]) -> Option<usize> {
        match self {
            Separator::Blanks => memchr2(b' ', b'\t', text),
            Separator::Text(finder) => finder.find(text),
        }
    }
}

struct Kv {
    separator: Separator,
    sign: memmem::Finder<'static>,
    names: Names,
    strict: bool,
}

pub(super) fn make(call: &ParserCall<'_>) -> Result<Box<dyn Parser>, String> {
    let KvSettings { separator, sign } = call.settings.read().map_err(|error| error.to_string())?;
    if separator.is_empty() || sign.is_empty() {
        return Err("its `separator` or its `sign`, which is empty".to_owned());
    }
    let finder = |text: &str| memmem::Finder::new(text).into_owned();
    let names = Names::new(&call.fields);
    let separator = match separator.as_str() {
        " " => Separator::Blanks,
        text => Separator::Text(Box::new(finder(text))),
    };
    let cut = Kv { separator, sign: finder(&sign), names, strict: call.strict };
    Cutter::boxed(call, cut)
}

impl Cut for Kv {
    /// A value without its escapes.
    type Scratch = Vec<u8>;

    fn scratch(&self) -> Vec<u8> {
        Vec::new()
    }

    #[inline]
    fn cut(&self, body: &str, plain: &mut Vec<u8>, pieces: &mut Pieces) -> Result<(), Reason> {
        let bytes = body.as_bytes();
        let bytes = &bytes[..bytes.trim_ascii_end().len()];
        let sign = self.sign.needle().len();
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if let Some(separator) = self.separator.at_start(rest) {
                at += separator;
                continue;
            }
            let end = self.separator.find(rest).unwrap_or(rest.len());
            let Some(name) = self.sign.find(&rest[..end]) else {
                // A word without a sign is no pair.
                if self.strict {
                    return Err(Reason::unreadable(None, "a pair of a name and a value", &rest[..end], at));
                }
                at += end;
                continue;
            };
            let field = self.names.number(&body[at..at + name]);
            if field.is_none() && self.strict {
                return Err(Reason::unreadable(None, "a field of the schema", &rest[..name], at));
            }
            let begin = at + name + sign;
            at = match bytes.get(begin) {
                Some(b'"') => {
                    let (end, has_escapes) = quoted(bytes, begin + 1)?;
                    if let Some(field) = field {
                        set(pieces, field, bytes, (begin + 1, end), has_escapes.then_some(&mut *plain));
                    }
                    end + 1
                }
                _ => {
                    let end = self.separator.find(&bytes[begin..]).map_or(bytes.len(), |end| begin + end);
                    match field {
                        Some(field) if begin == end => {
                            pieces.set_empty(field, self.names.is_nullable(field), begin);
                        }
                        Some(field) => pieces.set(field, begin, end),
                        None => {}
                    }
                    end
                }
            };
            if at < bytes.len() && self.separator.at_start(&bytes[at..]).is_none() {
                return Err(Reason::unreadable(None, "a separator after a quoted value", &bytes[at..], at));
            }
        }
        Ok(())
    }
}

/// Returns where a value ends that begins behind a quote, and whether it has escapes.
///
/// # Errors
/// When no quote ends it.
pub(super) fn quoted(bytes: &[u8], begin: usize) -> Result<(usize, bool), Reason> {
    let unclosed =
        || Reason::unreadable(None, "a value with a closing quote", &bytes[begin - 1..], begin - 1);
    let (mut at, mut has_escapes) = (begin, false);
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()).ok_or_else(unclosed)?;
        if bytes[at] == b'"' {
            return Ok((at, has_escapes));
        }
        has_escapes = true;
        at += 2;
    }
}

/// Sets a value; `plain` is where it is written without escapes, if it has some.
fn set(
    pieces: &mut Pieces,
    field: usize,
    bytes: &[u8],
    (begin, end): (usize, usize),
    plain: Option<&mut Vec<u8>>,
) {
    let Some(plain) = plain else { return pieces.set(field, begin, end) };
    plain.clear();
    let mut text = bytes[begin..end].iter().copied().peekable();
    while let Some(byte) = text.next() {
        match byte {
            // Another backslash is one of the value.
            b'\\' => plain.push(text.next_if(|next| matches!(next, b'"' | b'\\')).unwrap_or(b'\\')),
            byte => plain.push(byte),
        }
    }
    pieces.set_copy(field, begin, end, plain);
}

#[cfg(test)]
mod tests;
