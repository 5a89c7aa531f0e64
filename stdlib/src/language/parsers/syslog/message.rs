//! Where the parts of a message are.

use std::ops::Range;

use memchr::memchr;
use weir_runtime::expressions::Reason;

use super::legacy::Legacy;
use super::parts::priority;
use super::time::Nearest;

/// A part of a body, from the first byte to before the second.
pub(super) type Piece = (usize, usize);

/// A message has at most so many parameters.
pub(super) const VALUES_MAX: usize = 256;

/// A message, with the places of its parts.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// Facility times eight, and severity.
    pub(super) priority: i64,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub(super) time: Option<i64>,
    pub(super) host: Option<Piece>,
    pub(super) application: Option<Piece>,
    pub(super) process: Option<Piece>,
    pub(super) message_id: Option<Piece>,
    pub(super) message: Piece,
}

/// A place in a message, from which the rest is read.
struct Place<'m> {
    text: &'m [u8],
    at: usize,
}

impl<'m> Place<'m> {
    fn rest(&self) -> &'m [u8] {
        &self.text[self.at..]
    }

    fn expected(&self, what: &'static str) -> Reason {
        Reason::unreadable(None, what, self.rest(), self.at)
    }

    /// Returns the piece before the next space, and goes behind the space; none for `-`.
    ///
    /// # Errors
    /// When nothing is before the space, or there is no space.
    fn word(&mut self, what: &'static str) -> Result<Option<Piece>, Reason> {
        let begin = self.at;
        let length = memchr(b' ', self.rest()).filter(|length| *length > 0);
        let end = begin + length.ok_or_else(|| self.expected(what))?;
        self.at = end + 1;
        Ok((&self.text[begin..end] != b"-").then_some((begin, end)))
    }
}

impl Message {
    /// Reads a message in either form. Its parameters are added to `values`.
    ///
    /// # Errors
    /// When the message has no priority, or is no message of RFC 5424 although its version says so.
    pub(super) fn read(
        body: &str,
        nearest: &Nearest<'_>,
        values: &mut Vec<(String, Piece)>,
    ) -> Result<Message, Reason> {
        let text = body.trim_end_matches(['\n', '\r', '\0']).as_bytes();
        let Some((priority, rest)) = priority(text) else {
            return Err(Reason::unreadable(None, "a message with a priority", text, 0));
        };
        let mut place = Place { text, at: text.len() - rest.len() };
        let message = Message { priority, ..Message::default() };
        if rest.starts_with(b"1 ") {
            place.at += 2;
            return message.full(place, nearest, values);
        }
        Ok(message.legacy(&place, nearest))
    }

    /// Reads the parts behind the version of RFC 5424.
    fn full(
        mut self,
        mut place: Place<'_>,
        nearest: &Nearest<'_>,
        values: &mut Vec<(String, Piece)>,
    ) -> Result<Message, Reason> {
        let at = place.at;
        if let Some((begin, end)) = place.word("a time")? {
            let time = nearest.full_time(&place.text[begin..end]);
            self.time = Some(time.ok_or_else(|| {
                Reason::unreadable(Some(&"time".into()), "a Time", &place.text[begin..end], at)
            })?);
        }
        self.host = place.word("a host")?;
        self.application = place.word("an application")?;
        self.process = place.word("a process")?;
        self.message_id = place.word("a message ID")?;
        match place.rest().first() {
            Some(b'-') => place.at += 1,
            Some(b'[') => {
                while place.rest().first() == Some(&b'[') {
                    element(&mut place, values)?;
                }
            }
            _ => return Err(place.expected("structured data")),
        }
        match place.rest() {
            [] => {}
            [b' ', ..] => place.at += 1,
            _ => return Err(place.expected("a space after the structured data")),
        }
        // The mark of UTF-8 is no part of the message.
        if place.rest().starts_with(b"\xef\xbb\xbf") {
            place.at += 3;
        }
        self.message = (place.at, place.text.len());
        Ok(self)
    }

    /// Reads the parts behind the priority of RFC 3164, as far as they are there.
    fn legacy(self, place: &Place<'_>, nearest: &Nearest<'_>) -> Message {
        let parts = Legacy::read(place.rest(), nearest);
        let piece = |part: Range<usize>| (place.at + part.start, place.at + part.end);
        Message {
            time: parts.time,
            host: parts.host.map(piece),
            application: parts.application.map(piece),
            process: parts.process.map(piece),
            message: (place.at + parts.message, place.text.len()),
            ..self
        }
    }
}

/// Reads an element of structured data: `[name parameter="value" …]`.
fn element(place: &mut Place<'_>, values: &mut Vec<(String, Piece)>) -> Result<(), Reason> {
    let text = place.text;
    let name = |place: &Place<'_>| {
        let length = place.rest().iter().position(|byte| matches!(byte, b' ' | b']' | b'=' | b'"'))?;
        (length > 0).then_some((place.at, place.at + length))
    };
    place.at += 1;
    let id = name(place).ok_or_else(|| place.expected("the name of an element"))?;
    place.at = id.1;
    loop {
        match place.rest() {
            [b']', ..] => {
                place.at += 1;
                return Ok(());
            }
            [b' ', ..] => place.at += 1,
            _ => return Err(place.expected("a space or the end of an element")),
        }
        let parameter = name(place).ok_or_else(|| place.expected("the name of a parameter"))?;
        place.at = parameter.1;
        if !place.rest().starts_with(b"=\"") {
            return Err(place.expected("a value in quotes"));
        }
        place.at += 2;
        let begin = place.at;
        let (end, _) = super::super::kv::quoted(text, begin)?;
        place.at = end + 1;
        if values.len() == VALUES_MAX {
            return Err(Reason::unreadable(
                None,
                "structured data with at most 256 parameters",
                &text[begin..end],
                begin,
            ));
        }
        let part = |(begin, end): Piece| String::from_utf8_lossy(&text[begin..end]);
        values.push((format!("{}.{}", part(id), part(parameter)), (begin, end)));
    }
}

/// Returns a value without the escapes `\"`, `\\` and `\]`.
pub(super) fn plain(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => plain.push(bytes.next_if(|next| matches!(next, b'"' | b'\\' | b']')).unwrap_or(b'\\')),
            byte => plain.push(byte),
        }
    }
    plain
}
