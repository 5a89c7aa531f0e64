//! Reads JSON values into columns.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::BinaryViewArray;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use memchr::memchr;
use weir_runtime::expressions::Reason;

use super::super::columns::{Cells, FieldColumn, Found, Kind};
use super::super::scalar::{Scalar, whole};
use super::document::{Receive, Span, Wanted, items, members, part_of};

/// The prefix of bytes that the formats write as Base64, because they are not text.
const BASE64_PREFIX: &str = "base64:";

/// Reads the values of a batch.
pub(super) struct Values<'b> {
    bodies: &'b BinaryViewArray,
    /// Whether records may have only the members of their schema.
    strict: bool,
    /// The values of the records that are being read.
    found: Vec<Option<Span>>,
}

impl<'b> Values<'b> {
    pub(super) fn new(bodies: &'b BinaryViewArray, strict: bool) -> Values<'b> {
        Values { bodies, strict, found: Vec::new() }
    }

    /// Appends the value at this span of a row's body, which is known to be UTF-8 and JSON.
    ///
    /// # Errors
    /// When the value is not one of the field. Then an undefined one is appended.
    #[inline]
    pub(super) fn append(
        &mut self,
        column: &mut FieldColumn<'_>,
        row: usize,
        span: Span,
    ) -> Result<(), Reason> {
        let field = column.field;
        let raw = &self.bodies.value(row)[span.0..span.1];
        if raw == b"null" && (field.nullable || !matches!(field.kind, Kind::Scalar(Scalar::Json))) {
            return match field.nullable {
                true => {
                    column.append_null();
                    Ok(())
                }
                false => Err(refused(column, raw, span.0)),
            };
        }
        match &field.kind {
            Kind::Scalar(scalar) => match self.scalar(column, scalar, row, raw, span) {
                true => Ok(()),
                // An undefined value has been appended.
                false => Err(field.unreadable(raw, span.0)),
            },
            Kind::List(..) if raw.first() == Some(&b'[') => self.list(column, row, span),
            Kind::Map(..) if raw.first() == Some(&b'{') => self.map(column, row, span),
            Kind::Record(..) if raw.first() == Some(&b'{') => self.record(column, row, span),
            Kind::List(..) | Kind::Map(..) | Kind::Record(..) => Err(refused(column, raw, span.0)),
        }
    }

    /// Appends a single value. Returns whether it is one of the field; otherwise an undefined one is appended.
    #[inline]
    fn scalar(
        &self,
        column: &mut FieldColumn<'_>,
        scalar: &Scalar,
        row: usize,
        raw: &[u8],
        span: Span,
    ) -> bool {
        let part = |begin, end| Found::Part { row, begin, end };
        let all = part(span.0, span.1);
        match (scalar, raw.first()) {
            (Scalar::Json, _) => column.append_found(self.bodies, all),
            (
                Scalar::Text
                | Scalar::Bytes
                | Scalar::Decimal(_)
                | Scalar::Time
                | Scalar::TimeBy(_)
                | Scalar::Duration
                | Scalar::Size
                | Scalar::Ip,
                Some(b'"'),
            ) => {
                let inside = &raw[1..raw.len() - 1];
                let has_escapes = memchr(b'\\', inside).is_some();
                if !(has_escapes || *scalar == Scalar::Bytes && inside.starts_with(BASE64_PREFIX.as_bytes()))
                {
                    return column.append_found(self.bodies, part(span.0 + 1, span.1 - 1));
                }
                self.copied(column, scalar, raw)
            }
            (Scalar::Int | Scalar::IntWithin(..), Some(b'-' | b'0'..=b'9')) => {
                let digits = raw.strip_prefix(b"-").unwrap_or(raw);
                if digits.iter().all(u8::is_ascii_digit) {
                    return column.append_found(self.bodies, all);
                }
                let number = std::str::from_utf8(raw).ok().and_then(whole);
                let text = number.map(|number| number.to_string()).unwrap_or_default();
                column.append_found(self.bodies, Found::Copy(text.as_bytes()))
            }
            (
                Scalar::Float | Scalar::Decimal(_) | Scalar::Count(_) | Scalar::Size | Scalar::TimeBy(_),
                Some(b'-' | b'0'..=b'9'),
            )
            | (Scalar::Bool, Some(b't' | b'f')) => column.append_found(self.bodies, all),
            _ => {
                column.append_undefined();
                false
            }
        }
    }

    /// Appends a text that has escapes, or bytes in Base64.
    #[cold]
    fn copied(&self, column: &mut FieldColumn<'_>, scalar: &Scalar, raw: &[u8]) -> bool {
        let text = serde_json::from_slice::<Cow<'_, str>>(raw).ok();
        let bytes = text.and_then(|text| match (scalar, text.strip_prefix(BASE64_PREFIX)) {
            (Scalar::Bytes, Some(encoded)) => BASE64_STANDARD.decode(encoded).ok(),
            _ => Some(text.into_owned().into_bytes()),
        });
        match bytes {
            Some(bytes) => column.append_found(self.bodies, Found::Copy(&bytes)),
            None => {
                column.append_undefined();
                false
            }
        }
    }

    /// Returns the text of a value, which is known to be UTF-8.
    fn text(&self, row: usize, span: Span) -> &'b str {
        std::str::from_utf8(&self.bodies.value(row)[span.0..span.1]).unwrap_or_default()
    }

    fn list(&mut self, column: &mut FieldColumn<'_>, row: usize, span: Span) -> Result<(), Reason> {
        let Cells::List(lists) = &mut column.cells else { return Err(refused(column, b"", span.0)) };
        let text = self.text(row, span);
        let read = items(text, &mut |item| {
            lists.count += 1;
            self.append(&mut lists.items, row, part_of(text, span.0, item))
        });
        lists.end_row();
        read
    }

    fn map(&mut self, column: &mut FieldColumn<'_>, row: usize, span: Span) -> Result<(), Reason> {
        let Cells::Map(maps) = &mut column.cells else { return Err(refused(column, b"", span.0)) };
        let text = self.text(row, span);
        let mut entries = Entries(Vec::new());
        let mut read = members(text, span.0, &mut entries);
        let is_counted = last_of_each(&entries.0);
        let counted = entries.0.iter().zip(is_counted).filter(|(_, is_counted)| *is_counted);
        for ((key, value), _) in counted {
            if read.is_err() {
                break;
            }
            maps.append_key(key.as_bytes());
            read = self.append(&mut maps.values, row, part_of(text, span.0, value));
        }
        maps.end_row();
        read
    }

    fn record(&mut self, column: &mut FieldColumn<'_>, row: usize, span: Span) -> Result<(), Reason> {
        let Kind::Record(names, parts) = &column.field.kind else { return Err(refused(column, b"", span.0)) };
        let Cells::Record(records) = &mut column.cells else { return Err(refused(column, b"", span.0)) };
        let text = self.text(row, span);
        let first = self.found.len();
        self.found.resize(first + parts.len(), None);
        let strict = self.strict;
        let found = &mut self.found[first..];
        let mut read = members(
            text,
            span.0,
            &mut Parts { path: &column.field.path, text, begin: span.0, names, strict, part: 0, found },
        );
        for (number, part) in records.parts.iter_mut().enumerate() {
            let appended = match self.found[first + number] {
                Some(value) => self.append(part, row, value),
                None => part.append_missing(),
            };
            read = read.and(appended);
        }
        records.end_row(false);
        self.found.truncate(first);
        read
    }
}

/// The entries of a map.
struct Entries<'t>(Vec<(Cow<'t, str>, &'t str)>);

impl<'t> Receive<'t> for Entries<'t> {
    fn wants(&mut self, _key: &str) -> Wanted {
        Wanted::Value
    }

    fn take(&mut self, key: Cow<'t, str>, value: &'t str) {
        self.0.push((key, value));
    }
}

/// Receives the parts of a record.
struct Parts<'r, 't> {
    path: &'r Arc<str>,
    text: &'t str,
    begin: usize,
    names: &'r arrow_schema::Fields,
    strict: bool,
    /// The part of the member whose value comes next.
    part: usize,
    found: &'r mut [Option<Span>],
}

impl<'t> Receive<'t> for Parts<'_, 't> {
    fn wants(&mut self, key: &str) -> Wanted {
        match self.names.find(key) {
            Some((part, _)) => {
                self.part = part;
                Wanted::Value
            }
            None if self.strict => Wanted::Refused,
            None => Wanted::Nothing,
        }
    }

    fn take(&mut self, _key: Cow<'t, str>, value: &'t str) {
        self.found[self.part] = Some(part_of(self.text, self.begin, value));
    }

    fn path(&self) -> Option<&Arc<str>> {
        Some(self.path)
    }
}

/// Appends an undefined value, and returns the reason that the bytes are none of the field.
#[cold]
fn refused(column: &mut FieldColumn<'_>, raw: &[u8], byte: usize) -> Reason {
    column.append_undefined();
    column.field.unreadable(raw, byte)
}

/// Marks the entries that are the last ones with their keys.
fn last_of_each(entries: &[(Cow<'_, str>, &str)]) -> Vec<bool> {
    let mut keys = HashSet::with_capacity(entries.len());
    let mut marks: Vec<bool> = entries.iter().rev().map(|(key, _)| keys.insert(&**key)).collect();
    marks.reverse();
    marks
}
