//! JSON documents (RFC 8259): where the members of objects and the items of arrays are, by serde_json.
//!
//! serde_json checks values that nobody wants, and does not call itself for nested ones, so a deep body does not fill the
//! stack.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserializer;
use serde::de::{Deserialize, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use weir_runtime::expressions::Reason;

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
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut refused = None;
    let read = reader.deserialize_map(Members { receiver, refused: &mut refused });
    if let Some((key, value)) = refused {
        let at = part_of(text, begin, key.as_ref().unwrap_or(&value)).0;
        let key = key.unwrap_or(value);
        return Err(Reason::unreadable(receiver.path(), KNOWN, key.as_bytes(), at));
    }
    read.map_err(|error| no_object(text, begin, &error, "JSON"))?;
    reader.end().map_err(|error| no_object(text, begin, &error, "the end of the object"))
}

/// Reads the array that a text is, and calls `visit` for each item. The text is known to be JSON.
pub(super) fn items<'t>(
    text: &'t str,
    visit: &mut impl FnMut(&'t str) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let mut failed = Ok(());
    // What fails is in `failed`.
    let _read =
        serde_json::Deserializer::from_str(text).deserialize_seq(Items { visit, failed: &mut failed });
    failed
}

/// Returns whether a text is one JSON value, whatever it is.
pub(in super::super) fn is_document(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// Returns where a part of a text that begins at byte `begin` of a body is in the body.
#[inline]
pub(super) fn part_of(text: &str, begin: usize, part: &str) -> Span {
    let begin = begin + part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    (begin, begin + part.len())
}

#[cold]
fn no_object(text: &str, begin: usize, error: &serde_json::Error, expected: &'static str) -> Reason {
    if text.trim_ascii_start().as_bytes().first() != Some(&b'{') {
        return Reason::unreadable(None, "a JSON object", text.as_bytes(), begin);
    }
    let at = match error.is_eof() {
        true => text.len(),
        false => {
            let line: usize =
                text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
            (line + error.column().saturating_sub(1)).min(text.len())
        }
    };
    Reason::unreadable(None, expected, &text.as_bytes()[at..], begin + at)
}

/// Passes the members of an object to a receiver. The first refused member is kept: its key, if it has no escapes, and
/// its value.
struct Members<'r, 't, R> {
    receiver: &'r mut R,
    refused: &'r mut Option<(Option<&'t str>, &'t str)>,
}

impl<'t, R: Receive<'t>> Visitor<'t> for Members<'_, 't, R> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    #[inline]
    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            match self.receiver.wants(&key) {
                Wanted::Value => self.receiver.take(key, map.next_value::<&'t RawValue>()?.get()),
                Wanted::Nothing => {
                    map.next_value::<IgnoredAny>()?;
                }
                Wanted::Refused => {
                    let value = map.next_value::<&'t RawValue>()?.get();
                    let key = match key {
                        Cow::Borrowed(key) => Some(key),
                        Cow::Owned(_) => None,
                    };
                    *self.refused = Some((key, value));
                    return Err(serde::de::Error::custom("refused"));
                }
            }
        }
        Ok(())
    }
}

/// The key of a member, which is borrowed if it has no escapes.
struct Key<'t>(Cow<'t, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key<'de>, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            #[inline]
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

/// Passes the items of an array to a function.
struct Items<'v, V> {
    visit: &'v mut V,
    failed: &'v mut Result<(), Reason>,
}

impl<'t, V: FnMut(&'t str) -> Result<(), Reason>> Visitor<'t> for Items<'_, V> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(item) = array.next_element::<&'t RawValue>()? {
            *self.failed = (self.visit)(item.get());
            if self.failed.is_err() {
                return Err(serde::de::Error::custom("failed"));
            }
        }
        Ok(())
    }
}
