//! JSON documents (RFC 8259): where the members of objects and the items of arrays are.

use std::borrow::Cow;
use std::sync::Arc;

use weir_runtime::expressions::Reason;

use super::syntax::{blank_end, colon_end, string_end, value_end};

/// A value from the first byte of a body to before the second.
pub(super) type Span = (usize, usize);

/// What the names of members are expected to be if a step is strict.
const KNOWN: &str = "a field of the schema";

/// What is wanted of a member.
pub(super) enum Wanted {
    Value,
    Nothing,
    /// The object must not have the member.
    Refused,
}

/// Receives the members of an object.
pub(super) trait Receive<'t> {
    /// Says what is wanted of the member with this key.
    fn wants(&mut self, key: &str) -> Wanted;

    /// Receives the value of a wanted member.
    fn take(&mut self, key: Cow<'t, str>, value: &'t str);

    /// Returns the name of the field that the object is; none for the body.
    fn path(&self) -> Option<&Arc<str>> {
        None
    }
}

/// Reads the object that a text is.
///
/// # Errors
/// When the text is no JSON object, or has a refused member. `begin` is the byte of the body at which the text begins.
pub(super) fn members<'t>(
    text: &'t str,
    begin: usize,
    receiver: &mut impl Receive<'t>,
) -> Result<(), Reason> {
    let bytes = text.as_bytes();
    let fault = |at: usize| unreadable(bytes, begin, at, "JSON");
    let mut at = blank_end(bytes, 0);
    if bytes.get(at) != Some(&b'{') {
        return Err(unreadable(bytes, begin, 0, "a JSON object"));
    }
    at = blank_end(bytes, at + 1);
    if bytes.get(at) == Some(&b'}') {
        at += 1;
    } else {
        loop {
            let (key_end, has_escapes) = string_end(bytes, at).map_err(fault)?;
            let key = match has_escapes {
                true => Cow::Owned(serde_json::from_str(&text[at..key_end]).map_err(|_| fault(at))?),
                false => Cow::Borrowed(&text[at + 1..key_end - 1]),
            };
            let value_begin = colon_end(bytes, key_end).map_err(fault)?;
            let wanted = receiver.wants(&key);
            let value_end = value_end(bytes, value_begin).map_err(fault)?;
            match wanted {
                Wanted::Value => receiver.take(key, &text[value_begin..value_end]),
                Wanted::Nothing => {}
                Wanted::Refused => {
                    let at = begin + at + 1;
                    return Err(Reason::unreadable(receiver.path(), KNOWN, key.as_bytes(), at));
                }
            }
            at = blank_end(bytes, value_end);
            match bytes.get(at) {
                Some(b',') => at = blank_end(bytes, at + 1),
                Some(b'}') => break at += 1,
                _ => return Err(fault(at)),
            }
        }
    }
    at = blank_end(bytes, at);
    if at < bytes.len() { Err(unreadable(bytes, begin, at, "the end of the object")) } else { Ok(()) }
}

/// Reads the array that a text is, and calls `visit` for each item. The text is known to be JSON.
pub(super) fn items<'t>(
    text: &'t str,
    visit: &mut impl FnMut(&'t str) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let bytes = text.as_bytes();
    let mut at = blank_end(bytes, 1);
    // The end of an empty array is no value.
    while let Ok(end) = value_end(bytes, at) {
        visit(&text[at..end])?;
        at = blank_end(bytes, end);
        if bytes.get(at) != Some(&b',') {
            break;
        }
        at = blank_end(bytes, at + 1);
    }
    Ok(())
}

/// Returns whether a text is one JSON value, whatever it is.
pub(in super::super) fn is_document(text: &[u8]) -> bool {
    value_end(text, blank_end(text, 0)).is_ok_and(|end| blank_end(text, end) == text.len())
}

/// Returns where a part of a text that begins at byte `begin` of a body is in the body.
#[inline]
pub(super) fn part_of(text: &str, begin: usize, part: &str) -> Span {
    let begin = begin + part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    (begin, begin + part.len())
}

#[cold]
fn unreadable(text: &[u8], begin: usize, at: usize, expected: &'static str) -> Reason {
    let at = at.min(text.len());
    Reason::unreadable(None, expected, &text[at..], begin + at)
}
