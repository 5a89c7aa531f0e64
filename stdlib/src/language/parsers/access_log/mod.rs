//! The parser `access_log`: lines in the common and in the combined log format.
//!
//! ```text
//! client identity user [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.1" 200 2326 "referrer" "user agent" …
//! ```

use memchr::{memchr, memchr_iter, memchr2, memrchr};
use weir_plan::FieldFormat;
use weir_runtime::expressions::Reason;
use weir_runtime::parsers::{Parser, ParserCall, WantedField};

use super::pieces::{Cut, Cutter, Names, Pieces};

/// How the log writes times.
const TIME: &str = "%d/%b/%Y:%H:%M:%S %z";

/// The numbers of the wanted fields.
struct AccessLog {
    client: Option<usize>,
    user: Option<usize>,
    time: Option<usize>,
    method: Option<usize>,
    path: Option<usize>,
    protocol: Option<usize>,
    request: Option<usize>,
    status: Option<usize>,
    size: Option<usize>,
    referrer: Option<usize>,
    user_agent: Option<usize>,
    /// Whether any part of the request is wanted.
    has_request_part: bool,
}

pub(super) fn make(call: &ParserCall<'_>) -> Result<Box<dyn Parser>, String> {
    let names = Names::new(&call.fields);
    let number = |name| names.number(name);
    let cut = AccessLog {
        client: number("client"),
        user: number("user"),
        time: number("time"),
        method: number("method"),
        path: number("path"),
        protocol: number("protocol"),
        request: number("request"),
        status: number("status"),
        size: number("size"),
        referrer: number("referrer"),
        user_agent: number("user_agent"),
        has_request_part: ["method", "path", "protocol"].iter().any(|name| number(name).is_some()),
    };
    let by_pattern = |field: &WantedField| match field.name.as_str() {
        "time" => WantedField { format: FieldFormat::Pattern(TIME.to_owned()), ..field.clone() },
        _ => field.clone(),
    };
    let fields: Vec<_> = call.fields.iter().map(by_pattern).collect();
    Cutter::of_fields(&fields, cut)
}

/// A place in a line, from which the rest is read.
struct Line<'l> {
    text: &'l str,
    at: usize,
}

impl<'l> Line<'l> {
    #[cold]
    fn expected(&self, what: &'static str) -> Reason {
        Reason::unreadable(None, what, &self.text.as_bytes()[self.at..], self.at)
    }

    fn rest(&self) -> &'l [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// Returns the piece before the next space, and goes behind the space.
    #[inline]
    fn word(&mut self, what: &'static str) -> Result<(usize, usize), Reason> {
        let begin = self.at;
        let length = memchr(b' ', self.rest()).filter(|length| *length > 0);
        let end = begin + length.ok_or_else(|| self.expected(what))?;
        self.at = end + 1;
        Ok((begin, end))
    }

    /// Returns the piece in quotes that begins here, and goes behind it. A backslash takes the next byte with it.
    #[inline]
    fn quoted(&mut self, what: &'static str) -> Result<Quoted, Reason> {
        if self.rest().first() != Some(&b'"') {
            return Err(self.expected(what));
        }
        let begin = self.at + 1;
        let (mut at, mut has_escapes) = (begin, false);
        let bytes = self.text.as_bytes();
        loop {
            let found =
                memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]).ok_or_else(|| self.expected(what))?;
            at += found;
            if bytes[at] == b'"' {
                break;
            }
            has_escapes = true;
            at += 2;
        }
        self.at = at + 1;
        Ok(Quoted { begin, end: at, has_escapes })
    }

    /// Returns the user, who may have spaces in the name, and goes behind the bracket before the time.
    #[inline]
    fn user(&mut self) -> Result<(usize, usize), Reason> {
        let bytes = self.text.as_bytes();
        let begin = self.at;
        // In Apache's `vhost_combined`, a virtual host stands before the client, so that two fields are left here.
        if bytes[begin..].starts_with(b"- ") && bytes.get(begin + 2) != Some(&b'[') {
            return Err(self.expected("a user and a time in brackets"));
        }
        let is_time = |at: &usize| {
            *at > begin && bytes[at - 1] == b' ' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
        };
        let bracket = memchr_iter(b'[', &bytes[begin..]).map(|found| begin + found).find(is_time);
        let bracket = bracket.ok_or_else(|| self.expected("a user and a time in brackets"))?;
        self.at = bracket + 1;
        let spaces = bytes[begin..bracket - 1].iter().take_while(|byte| **byte == b' ').count();
        Ok((begin + spaces, bracket - 1))
    }

    /// Returns the piece before this byte, and goes behind the byte.
    #[inline]
    fn until(&mut self, byte: u8, what: &'static str) -> Result<(usize, usize), Reason> {
        let begin = self.at;
        let length = memchr(byte, self.rest()).ok_or_else(|| self.expected(what))?;
        self.at = begin + length + 1;
        Ok((begin, begin + length))
    }

    /// Returns the piece before the next space or the end, and goes behind the space.
    #[inline]
    fn last_word(&mut self) -> (usize, usize) {
        let begin = self.at;
        let end = begin + memchr(b' ', self.rest()).unwrap_or(self.rest().len());
        self.at = end;
        self.skip_space();
        (begin, end)
    }

    /// Goes behind a space, if one stands here.
    #[inline]
    fn skip_space(&mut self) {
        if self.rest().first() == Some(&b' ') {
            self.at += 1;
        }
    }

    /// Goes behind a text that stands here.
    fn skip(&mut self, text: &[u8], what: &'static str) -> Result<(), Reason> {
        match self.rest().starts_with(text) {
            true => {
                self.at += text.len();
                Ok(())
            }
            false => Err(self.expected(what)),
        }
    }
}

/// A piece in quotes, without them.
struct Quoted {
    begin: usize,
    end: usize,
    has_escapes: bool,
}

impl Cut for AccessLog {
    type Scratch = Vec<u8>;

    fn scratch(&self) -> Vec<u8> {
        Vec::new()
    }

    #[inline]
    fn cut(&self, body: &str, plain: &mut Vec<u8>, pieces: &mut Pieces) -> Result<(), Reason> {
        let mut line = Line { text: body.trim_end_matches(['\r', '\n']), at: 0 };
        if line.rest().first().is_some_and(u8::is_ascii_control) {
            return Err(line.expected("a client"));
        }
        set(pieces, self.client, line.word("a client")?);
        line.word("an identity")?;
        let user = line.user()?;
        // Apache writes an empty user in quotes.
        if &body[user.0..user.1] != "\"\"" {
            set_unless_none(pieces, self.user, body, user);
        }
        set(pieces, self.time, line.until(b']', "a time in brackets")?);
        line.skip(b" ", "a space after the time")?;
        let request = line.quoted("a request in quotes")?;
        self.request(body, &request, plain, pieces);
        line.skip(b" ", "a space after the request")?;
        set(pieces, self.status, line.word("a status")?);
        set_unless_none(pieces, self.size, body, line.last_word());
        for field in [self.referrer, self.user_agent] {
            // The common log format ends here, and other formats go on in their own way.
            if !line.rest().starts_with(b"\"") {
                break;
            }
            let quoted = line.quoted("a text in quotes")?;
            line.skip_space();
            if let Some(field) = field.filter(|_| &body[quoted.begin..quoted.end] != "-") {
                unescape(body, &quoted, plain);
                set_quoted(pieces, field, &quoted, plain);
            }
        }
        Ok(())
    }
}

impl AccessLog {
    /// Sets the fields of the request line.
    #[inline]
    fn request(&self, body: &str, request: &Quoted, plain: &mut Vec<u8>, pieces: &mut Pieces) {
        unescape(body, request, plain);
        if let Some(field) = self.request {
            set_quoted(pieces, field, request, plain);
        }
        if !self.has_request_part {
            return;
        }
        let Quoted { begin, end, has_escapes } = *request;
        let text = if has_escapes { plain.as_slice() } else { &body.as_bytes()[begin..end] };
        let Some(parts) = http_parts(text) else { return };
        let fields = [self.method, self.path, self.protocol].into_iter().zip(parts);
        for (field, part) in fields.filter_map(|(field, part)| Some((field?, part?))) {
            match has_escapes {
                true => pieces.set_copy(field, begin, end, &text[part.0..part.1]),
                false => pieces.set(field, begin + part.0, begin + part.1),
            }
        }
    }
}

/// Returns the method, the path and the protocol of a request line; `None` if it is none of HTTP.
#[inline]
fn http_parts(request: &[u8]) -> Option<[Option<(usize, usize)>; 3]> {
    let method = memchr(b' ', request)?;
    let is_method =
        method > 0 && request[..method].iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-');
    let last = memrchr(b' ', request)?;
    let has_protocol = request[last + 1..].starts_with(b"HTTP/");
    let path = match has_protocol {
        true => (method + 1, last),
        false => (method + 1, request.len()),
    };
    if !is_method || path.0 >= path.1 {
        return None;
    }
    Some([Some((0, method)), Some(path), has_protocol.then_some((last + 1, request.len()))])
}

#[inline]
fn set(pieces: &mut Pieces, field: Option<usize>, (begin, end): (usize, usize)) {
    if let Some(field) = field {
        pieces.set(field, begin, end);
    }
}

/// Sets a field, unless the log has `-` for it.
#[inline]
fn set_unless_none(pieces: &mut Pieces, field: Option<usize>, body: &str, (begin, end): (usize, usize)) {
    if &body[begin..end] != "-" {
        set(pieces, field, (begin, end));
    }
}

#[inline]
fn set_quoted(pieces: &mut Pieces, field: usize, quoted: &Quoted, plain: &[u8]) {
    match quoted.has_escapes {
        true => pieces.set_copy(field, quoted.begin, quoted.end, plain),
        false => pieces.set(field, quoted.begin, quoted.end),
    }
}

/// Writes a piece with escapes (`\"`, `\\`, `\n`, `\xC3`) without them to `plain`; with them if it would be no UTF-8
/// otherwise.
fn unescape(body: &str, quoted: &Quoted, plain: &mut Vec<u8>) {
    if !quoted.has_escapes {
        return;
    }
    plain.clear();
    let text = &body.as_bytes()[quoted.begin..quoted.end];
    let mut at = 0;
    while at < text.len() {
        let escaped = if text[at] == b'\\' { text.get(at + 1).copied() } else { None };
        let (byte, length) = match escaped {
            Some(b'x') => match hexadecimal(text.get(at + 2..at + 4)) {
                Some(byte) => (byte, 4),
                None => (b'\\', 1),
            },
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(b'b') => (0x08, 2),
            Some(b'v') => (0x0b, 2),
            Some(b'f') => (0x0c, 2),
            Some(byte @ (b'"' | b'\\')) => (byte, 2),
            Some(_) | None => (text[at], 1),
        };
        plain.push(byte);
        at += length;
    }
    if std::str::from_utf8(plain).is_err() {
        plain.clear();
        plain.extend_from_slice(text);
    }
}

fn hexadecimal(digits: Option<&[u8]>) -> Option<u8> {
    let digits = std::str::from_utf8(digits?).ok()?;
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    are_digits.then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests;
