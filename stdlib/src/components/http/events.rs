//! Splits the body of a request into events.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use arrow_buffer::Buffer;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::tools::encoding::{BYTE_ORDER_MARK, StreamDecoder, TextEncoding};
use crate::tools::lines::{Ending, LineRules, LongLine, Span};

/// The enum `HttpFormat` of the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    Lines { encoding: TextEncoding },
    Json,
    Blob,
    FlumeJson,
}

/// The events of one request.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) buffer: Buffer,
    pub(super) spans: Vec<Span>,
    /// The headers of each event, or one entry for all events, if the format has headers for each event.
    pub(super) headers: Option<Vec<BTreeMap<String, String>>>,
}

/// Why a body can't be split into events.
#[derive(Debug, Error)]
pub(super) enum BodyError {
    #[error("the body is not what this source takes: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the request has more than {0} events")]
    TooMany(usize),
}

/// An event in the form of Flume's JSON handler.
#[derive(Deserialize)]
struct FlumeEvent<'a> {
    #[serde(default)]
    headers: Option<Headers>,
    #[serde(borrow, default)]
    body: Option<Cow<'a, str>>,
}

/// The headers of one of Flume's events. They have the same bounds as the headers of a request.
#[derive(Default)]
struct Headers(BTreeMap<String, String>);

/// The most headers of an event.
const HEADERS_MAX: usize = 100;
/// The most bytes of all names and values of an event's headers.
const HEADERS_BYTES_MAX: usize = 64 << 10;

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Headers, D::Error> {
        deserializer.deserialize_map(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts, numbers and booleans")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Headers, A::Error> {
        let (mut headers, mut bytes) = (BTreeMap::new(), 0);
        while let Some((name, value)) = entries.next_entry::<String, HeaderText>()? {
            let HeaderText(Some(value)) = value else { continue };
            bytes += name.len() + value.len();
            if bytes > HEADERS_BYTES_MAX {
                return Err(A::Error::custom(format_args!(
                    "its headers take more than {HEADERS_BYTES_MAX} bytes"
                )));
            }
            headers.insert(name, value);
            if headers.len() > HEADERS_MAX {
                return Err(A::Error::custom(format_args!("it has more than {HEADERS_MAX} headers")));
            }
        }
        Ok(Headers(headers))
    }
}

/// The value of a header as a text; none for null. Numbers are as they were written.
struct HeaderText(Option<String>);

impl<'de> Deserialize<'de> for HeaderText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HeaderText, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer)?;
        Ok(HeaderText(match value.get().as_bytes().first() {
            Some(b'"') => Some(serde_json::from_str(value.get()).map_err(D::Error::custom)?),
            Some(b'{' | b'[') => {
                return Err(D::Error::custom(
                    "the value of a header is neither a text, a number nor a boolean",
                ));
            }
            Some(b'n') => None,
            _ => Some(value.get().to_owned()),
        }))
    }
}

impl Format {
    /// Returns a decoder of bodies, if they are decoded in this format.
    pub(super) fn decoder(self) -> Option<StreamDecoder> {
        match self {
            Format::Lines { encoding } if encoding.decodes() => Some(StreamDecoder::new(encoding)),
            _ => None,
        }
    }

    /// Splits a body into at most `events_max` events.
    ///
    /// # Errors
    /// When the body is not of this format, or has more events.
    pub(super) fn events(self, mut body: Vec<u8>, events_max: usize) -> Result<Events, BodyError> {
        if self != Format::Blob && body.starts_with(BYTE_ORDER_MARK) {
            body.drain(..BYTE_ORDER_MARK.len());
        }
        let check_count = |count: usize| match count > events_max {
            true => Err(BodyError::TooMany(events_max)),
            false => Ok(()),
        };
        let (buffer, spans, headers) = match self {
            Format::Blob => {
                let spans = vec![span(0, body.len())];
                (body, spans, None)
            }
            Format::Lines { .. } => {
                let rules = LineRules {
                    line_bytes_max: usize::MAX,
                    long_lines: LongLine::Truncate,
                    grouping: None,
                    of_file: false,
                    encoding: TextEncoding::Utf8,
                };
                let spans = rules.split(&body, 0, Ending::End, events_max.saturating_add(1)).spans;
                (body, spans, None)
            }
            Format::Json => {
                let values = json(&body, events_max)?;
                check_count(values.count)?;
                let begin = body.as_ptr() as usize;
                let place = |value: &RawValue| span(value.get().as_ptr() as usize - begin, value.get().len());
                let spans = values.kept.into_iter().map(place).collect();
                (body, spans, None)
            }
            Format::FlumeJson => {
                let events: Elements<FlumeEvent<'_>> = elements(&body, events_max)?;
                check_count(events.count)?;
                let events = events.kept;
                let mut buffer = Vec::with_capacity(body.len());
                let mut spans = Vec::with_capacity(events.len());
                let mut headers = Vec::with_capacity(events.len());
                for event in events {
                    let body = event.body.unwrap_or_default();
                    spans.push(span(buffer.len(), body.len()));
                    buffer.extend_from_slice(body.as_bytes());
                    headers.push(event.headers.unwrap_or_default().0);
                }
                if headers.windows(2).all(|pair| pair[0] == pair[1]) {
                    headers.truncate(1);
                }
                (buffer, spans, Some(headers))
            }
        };
        check_count(spans.len())?;
        Ok(Events { buffer: Buffer::from_vec(buffer), spans, headers })
    }
}

/// Returns the values of an array, or the single value, as they are written in the body.
fn json(body: &[u8], kept_max: usize) -> Result<Elements<&RawValue>, serde_json::Error> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        Some(b'[') => elements(body, kept_max),
        _ => Ok(Elements { kept: vec![serde_json::from_slice(body)?], count: 1 }),
    }
}

/// The first elements of an array. An element of one or two bytes takes far more memory once it is parsed, so only
/// `kept_max` elements are kept.
struct Elements<T> {
    kept: Vec<T>,
    /// How many elements the array has.
    count: usize,
}

fn elements<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    kept_max: usize,
) -> Result<Elements<T>, serde_json::Error> {
    let mut input = serde_json::Deserializer::from_slice(body);
    let elements = input.deserialize_seq(ElementsVisitor { kept_max, element: PhantomData })?;
    input.end()?;
    Ok(elements)
}

struct ElementsVisitor<T> {
    kept_max: usize,
    element: PhantomData<T>,
}

impl<'a, T: Deserialize<'a>> Visitor<'a> for ElementsVisitor<T> {
    type Value = Elements<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<Elements<T>, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < self.kept_max {
            let index = kept.len();
            let element = array.next_element();
            match element.map_err(|error| A::Error::custom(format_args!("event {index}: {error}")))? {
                Some(element) => kept.push(element),
                None => return Ok(Elements { count: kept.len(), kept }),
            }
        }
        let mut count = kept.len();
        while array.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Elements { kept, count })
    }
}

/// Makes a span. A body is at most a gibibyte long, so begin and length fit into 32 bits.
fn span(begin: usize, length: usize) -> Span {
    Span { begin: begin as u32, length: length as u32, behind: (begin + length) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: Format = Format::Lines { encoding: TextEncoding::Utf8 };

    fn events(format: Format, body: &str) -> Result<Vec<String>, String> {
        let events = format.events(body.as_bytes().to_vec(), 3).map_err(|error| error.to_string())?;
        let text = |span: &Span| {
            let bytes = &events.buffer[span.begin as usize..][..span.length as usize];
            String::from_utf8_lossy(bytes).into_owned()
        };
        Ok(events.spans.iter().map(text).collect())
    }

    #[test]
    fn the_last_line_needs_no_line_end() {
        assert_eq!(events(LINES, "one\r\ntwo\nthree").unwrap(), ["one", "two", "three"]);
        assert!(events(LINES, "").unwrap().is_empty());
        assert_eq!(events(LINES, "1\n2\n3\n4").unwrap_err(), "the request has more than 3 events");
    }

    #[test]
    fn json_values_are_kept_as_they_are_written() {
        assert_eq!(
            events(Format::Json, " [ {\"a\" : 1}, 2 ,\"x\"]\n").unwrap(),
            ["{\"a\" : 1}", "2", "\"x\""]
        );
        assert_eq!(events(Format::Json, "{\"a\": [1]}").unwrap(), ["{\"a\": [1]}"]);
        for wrong in ["", "[1,", "{\"a\":}", "[1] 2", "nul"] {
            assert!(events(Format::Json, wrong).is_err(), "{wrong}");
        }
        let many = format!("[{}1]", "1,".repeat(100_000));
        assert_eq!(events(Format::Json, &many).unwrap_err(), "the request has more than 3 events");
        let deep = "[".repeat(1_000_000);
        assert!(events(Format::Json, &deep).is_err());
    }

    #[test]
    fn flumes_events_have_their_own_headers() {
        let body = r#"[{"headers": {"host": "web-1"}, "body": "a\nb"}, {"body": "c"}]"#;
        let events = Format::FlumeJson.events(body.as_bytes().to_vec(), 3).unwrap();
        assert_eq!(&events.buffer[..], b"a\nbc");
        let headers = events.headers.unwrap();
        assert_eq!(headers[0]["host"], "web-1");
        assert!(headers[1].is_empty());
        let equal =
            r#"[{"headers": {"host": "web-1"}, "body": "a"}, {"headers": {"host": "web-1"}, "body": "c"}]"#;
        let equal = Format::FlumeJson.events(equal.as_bytes().to_vec(), 3).unwrap();
        assert_eq!((equal.spans.len(), equal.headers.map(|headers| headers.len())), (2, Some(1)));
        assert!(Format::FlumeJson.events(b"{}".to_vec(), 3).is_err());
        let many = format!("[{}{{}}]", "{},".repeat(100_000));
        let refused = Format::FlumeJson.events(many.into_bytes(), 3).unwrap_err();
        assert!(matches!(refused, BodyError::TooMany(3)), "{refused}");
    }

    #[test]
    fn what_flumes_handler_takes_is_taken() {
        let body = r#"[{"headers": {"at": 1434324343000, "ok": true, "rate": -1.50, "none": null, "text": "é\n"}, "body": "numbers"},
            {"headers": null, "body": null}, {}]"#;
        let events = Format::FlumeJson.events(body.as_bytes().to_vec(), 3).unwrap();
        assert_eq!(&events.buffer[..], b"numbers");
        let headers = events.headers.unwrap();
        let named = ["at", "ok", "rate", "text"].map(|name| headers[0][name].as_str());
        assert_eq!((named, headers[0].len()), (["1434324343000", "true", "-1.50", "é\n"], 4));
        assert!(headers[1].is_empty() && headers[2].is_empty());
        for wrong in [
            r#"[{"headers": {"a": {}}}]"#,
            r#"[{"headers": {"a": [1]}}]"#,
            r#"[{"headers": 1}]"#,
            r#"[{"body": 1}]"#,
        ] {
            assert!(Format::FlumeJson.events(wrong.as_bytes().to_vec(), 3).is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_of_an_event_are_bounded_and_the_refusal_names_its_index() {
        let named = |count: usize| {
            let headers: Vec<String> = (0..count).map(|number| format!("\"h{number}\": \"\"")).collect();
            format!(r#"[{{"body": "a"}}, {{"headers": {{{}}}, "body": "b"}}]"#, headers.join(","))
        };
        let long = |bytes: usize| format!(r#"[{{"headers": {{"h": "{}"}}}}]"#, "x".repeat(bytes - 1));
        assert_eq!(events(Format::FlumeJson, &named(HEADERS_MAX)).unwrap(), ["a", "b"]);
        assert_eq!(events(Format::FlumeJson, &long(HEADERS_BYTES_MAX)).unwrap(), [""]);
        let many = events(Format::FlumeJson, &named(HEADERS_MAX + 1)).unwrap_err();
        assert!(many.contains("event 1: it has more than 100 headers"), "{many}");
        let large = events(Format::FlumeJson, &long(HEADERS_BYTES_MAX + 1)).unwrap_err();
        assert!(large.contains("event 0: its headers take more than 65536 bytes"), "{large}");
    }

    #[test]
    fn a_byte_order_mark_is_left_out_of_text() {
        for (format, body) in [(LINES, "1"), (Format::Json, "1"), (Format::FlumeJson, r#"[{"body": "1"}]"#)] {
            assert_eq!(events(format, &format!("\u{feff}{body}")).unwrap(), ["1"], "{format:?}");
        }
        assert_eq!(events(Format::Blob, "\u{feff}1").unwrap(), ["\u{feff}1"]);
    }

    #[test]
    fn a_blob_is_one_event_even_if_it_is_empty() {
        assert_eq!(events(Format::Blob, "a\nb").unwrap(), ["a\nb"]);
        assert_eq!(events(Format::Blob, "").unwrap(), [""]);
    }
}
