//! The parser `logfmt`: pairs as Go's libraries write them.

use std::borrow::Cow;

use weir_runtime::expressions::Reason;
use weir_runtime::parsers::{Parser, ParserCall};

use super::kv::quoted;
use super::pieces::{Cut, Cutter, Names, Pieces};

struct Logfmt {
    names: Names,
    /// The numbers of the fields that are Bool: a key alone is true.
    flags: Vec<bool>,
    strict: bool,
}

pub(super) fn make(call: &ParserCall<'_>) -> Result<Box<dyn Parser>, String> {
    let flags = call.fields.iter().map(|field| field.data_type == arrow_schema::DataType::Boolean).collect();
    Cutter::boxed(call, Logfmt { names: Names::new(&call.fields), flags, strict: call.strict })
}

impl Cut for Logfmt {
    type Scratch = ();

    fn scratch(&self) {}

    #[inline]
    fn cut(&self, body: &str, _scratch: &mut (), pieces: &mut Pieces) -> Result<(), Reason> {
        let bytes = body.as_bytes();
        let mut at = 0;
        loop {
            at += bytes[at..].iter().take_while(|byte| is_blank(byte)).count();
            if at == bytes.len() {
                return Ok(());
            }
            let length =
                bytes[at..].iter().take_while(|byte| !is_blank(byte) && !b"=\"".contains(byte)).count();
            let key = at;
            at += length;
            if length == 0 || bytes.get(at) == Some(&b'"') {
                return Err(Reason::unreadable(None, "a key", &bytes[key..], key));
            }
            let field = self.names.number(&body[key..at]);
            if field.is_none() && self.strict {
                return Err(Reason::unreadable(None, "a field of the schema", &bytes[key..at], key));
            }
            if bytes.get(at) != Some(&b'=') {
                if let Some(field) = field {
                    self.alone(field, key, at, pieces);
                }
                continue;
            }
            at = self.value(body, at + 1, field, pieces)?;
        }
    }
}

impl Logfmt {
    /// Sets the value of a key without a sign.
    fn alone(&self, field: usize, begin: usize, end: usize, pieces: &mut Pieces) {
        match self.flags[field] {
            true => pieces.set_copy(field, begin, end, b"true"),
            false => pieces.set_empty(field, self.names.is_nullable(field), end),
        }
    }

    /// Sets the value that begins here, and returns where it ends.
    fn value(
        &self,
        body: &str,
        begin: usize,
        field: Option<usize>,
        pieces: &mut Pieces,
    ) -> Result<usize, Reason> {
        let bytes = body.as_bytes();
        if bytes.get(begin) != Some(&b'"') {
            let end = begin + bytes[begin..].iter().take_while(|byte| !is_blank(byte)).count();
            match field {
                Some(field) if begin == end => pieces.set_empty(field, self.names.is_nullable(field), begin),
                Some(field) => pieces.set(field, begin, end),
                None => {}
            }
            return Ok(end);
        }
        let (end, has_escapes) = quoted(bytes, begin + 1)?;
        if bytes.get(end + 1).is_some_and(|byte| !is_blank(byte)) {
            return Err(Reason::unreadable(None, "a space after a quoted value", &bytes[end + 1..], end + 1));
        }
        if has_escapes {
            // The escapes are those of JSON, also in a value that nothing reads.
            let raw = &bytes[begin..=end];
            let text: Cow<'_, str> = serde_json::from_slice(raw)
                .map_err(|_| Reason::unreadable(None, "a value with the escapes of JSON", raw, begin))?;
            field.into_iter().for_each(|field| pieces.set_copy(field, begin + 1, end, text.as_bytes()));
        } else if let Some(field) = field {
            pieces.set(field, begin + 1, end);
        }
        Ok(end + 1)
    }
}

/// Whether a byte separates pairs.
fn is_blank(byte: &u8) -> bool {
    *byte <= b' '
}

#[cfg(test)]
mod tests;
