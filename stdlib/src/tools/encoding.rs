//! The encodings of text, and how a line ends in each.

use std::borrow::Cow;
use std::ops::Range;

use encoding_rs::{Decoder, Encoding};
use memchr::{memchr, memchr_iter, memrchr_iter};
use serde::Deserialize;

/// The byte order mark of UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Byte order marks, with the name of their encoding and its value in settings, if there is one. One that begins with
/// another one comes before it.
const MARKS: [(&[u8], &str, Option<&str>); 5] = [
    (BYTE_ORDER_MARK, "UTF-8", Some("utf8")),
    (b"\xff\xfe\0\0", "UTF-32 (little endian)", None),
    (b"\0\0\xfe\xff", "UTF-32 (big endian)", None),
    (b"\xff\xfe", "UTF-16 (little endian)", Some("utf16le")),
    (b"\xfe\xff", "UTF-16 (big endian)", Some("utf16be")),
];
/// The fewest pairs of bytes by which a text without a mark is taken for UTF-16.
const PAIRS_MIN: usize = 8;

/// Makes the enum, its names and its decoders.
macro_rules! encodings {
    ($($variant:ident $name:literal $encoding:ident,)*) => {
        /// The enum `TextEncoding` of the signatures.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
        pub(crate) enum TextEncoding {
            /// Bytes are not changed, so this serves for every text that has ASCII's line ends.
            #[default]
            #[serde(rename = "utf8")]
            Utf8,
            $(#[serde(rename = $name)] $variant,)*
        }

        impl TextEncoding {
            /// Returns the value in settings.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    TextEncoding::Utf8 => "utf8",
                    $(TextEncoding::$variant => $name,)*
                }
            }

            /// Returns the encoding of text that has to be decoded.
            fn decoded(self) -> Option<&'static Encoding> {
                match self {
                    TextEncoding::Utf8 => None,
                    $(TextEncoding::$variant => Some(encoding_rs::$encoding),)*
                }
            }

            #[cfg(test)]
            pub(crate) const ALL: &'static [TextEncoding] = &[TextEncoding::Utf8, $(TextEncoding::$variant,)*];
        }
    };
}

encodings! {
    Utf16Le "utf16le" UTF_16LE,
    Utf16Be "utf16be" UTF_16BE,
    Latin1 "latin1" WINDOWS_1252,
    Latin2 "latin2" ISO_8859_2,
    Latin3 "latin3" ISO_8859_3,
    Latin4 "latin4" ISO_8859_4,
    Latin6 "latin6" ISO_8859_10,
    Latin7 "latin7" ISO_8859_13,
    Latin8 "latin8" ISO_8859_14,
    Latin9 "latin9" ISO_8859_15,
    Latin10 "latin10" ISO_8859_16,
    Iso8859_5 "iso_8859_5" ISO_8859_5,
    Iso8859_6 "iso_8859_6" ISO_8859_6,
    Iso8859_7 "iso_8859_7" ISO_8859_7,
    Iso8859_8 "iso_8859_8" ISO_8859_8,
    Windows874 "windows_874" WINDOWS_874,
    Windows1250 "windows_1250" WINDOWS_1250,
    Windows1251 "windows_1251" WINDOWS_1251,
    Windows1252 "windows_1252" WINDOWS_1252,
    Windows1253 "windows_1253" WINDOWS_1253,
    Windows1254 "windows_1254" WINDOWS_1254,
    Windows1255 "windows_1255" WINDOWS_1255,
    Windows1256 "windows_1256" WINDOWS_1256,
    Windows1257 "windows_1257" WINDOWS_1257,
    Windows1258 "windows_1258" WINDOWS_1258,
    Ibm866 "ibm866" IBM866,
    Koi8R "koi8_r" KOI8_R,
    Koi8U "koi8_u" KOI8_U,
    Macintosh "macintosh" MACINTOSH,
    ShiftJis "shift_jis" SHIFT_JIS,
    EucJp "euc_jp" EUC_JP,
    Iso2022Jp "iso_2022_jp" ISO_2022_JP,
    EucKr "euc_kr" EUC_KR,
    Gbk "gbk" GBK,
    Gb18030 "gb18030" GB18030,
    Big5 "big5" BIG5,
}

/// The units of which a text consists: a line end is one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodeUnits {
    /// Of one byte. In an encoding whose characters have several bytes, none of the further ones is that of a line end.
    Bytes,
    /// Of two bytes, the lower one first.
    LittleEndian,
    /// Of two bytes, the higher one first.
    BigEndian,
}

impl CodeUnits {
    /// Returns the place of the first line end in a text that begins with a whole unit.
    pub(crate) fn line_end(self, text: &[u8]) -> Option<Range<usize>> {
        let pair: &[u8] = match self {
            CodeUnits::Bytes => return memchr(b'\n', text).map(|at| at..at + 1),
            CodeUnits::LittleEndian => b"\n\0",
            CodeUnits::BigEndian => b"\0\n",
        };
        let mut places = memchr_iter(b'\n', text).map(|at| at & !1).map(|begin| begin..begin + 2);
        places.find(|place| text.get(place.clone()) == Some(pair))
    }

    /// Returns the end of the last line end in a text of whole units.
    pub(crate) fn last_line_end(self, text: &[u8]) -> Option<usize> {
        memrchr_iter(b'\n', text).find_map(|at| {
            let begin = self.whole(at);
            self.line_end(&text[begin..(begin + 2).min(text.len())]).map(|end| begin + end.end)
        })
    }

    /// Returns the unit before a line end that belongs to it.
    pub(crate) fn carriage_return(self) -> &'static [u8] {
        match self {
            CodeUnits::Bytes => b"\r",
            CodeUnits::LittleEndian => b"\r\0",
            CodeUnits::BigEndian => b"\0\r",
        }
    }

    /// Returns the bytes of the whole units in this many bytes.
    pub(crate) fn whole<T: From<u8> + std::ops::BitAnd<Output = T> + std::ops::Not<Output = T>>(
        self,
        bytes: T,
    ) -> T {
        if self == CodeUnits::Bytes { bytes } else { bytes & !T::from(1) }
    }
}

impl TextEncoding {
    /// Returns the units of text in this encoding.
    pub(crate) fn units(self) -> CodeUnits {
        match self {
            TextEncoding::Utf16Le => CodeUnits::LittleEndian,
            TextEncoding::Utf16Be => CodeUnits::BigEndian,
            _ => CodeUnits::Bytes,
        }
    }

    /// Returns the byte order mark; it is empty if this encoding has none.
    pub(crate) fn mark(self) -> &'static [u8] {
        MARKS.iter().find(|(_, _, name)| *name == Some(self.name())).map_or(&[], |(mark, _, _)| mark)
    }

    /// Whether text has to be decoded.
    pub(crate) fn decodes(self) -> bool {
        self.decoded().is_some()
    }

    /// Decodes a text as UTF-8 behind what is in `decoded`, at most three bytes for each byte. What is not right in this
    /// encoding becomes U+FFFD. Returns whether all of it is right.
    pub(crate) fn decode_onto(self, text: &[u8], decoded: &mut Vec<u8>) -> bool {
        let Some(encoding) = self.decoded() else {
            decoded.extend_from_slice(text);
            return true;
        };
        decode(&mut encoding.new_decoder_without_bom_handling(), text, decoded, true)
    }

    /// Describes how a text that begins with `head` looks like one in another encoding; `None` if it does not.
    pub(crate) fn contradiction(self, head: &[u8]) -> Option<String> {
        let advice = |value: Option<&str>| match value {
            Some(value) => format!("`encoding: {value}` reads it"),
            None => "which can't be read".to_owned(),
        };
        if let Some((_, name, value)) = MARKS.iter().find(|(mark, _, _)| head.starts_with(mark)) {
            let is_other = *value != Some(self.name());
            return is_other
                .then(|| format!("begins with the byte order mark of {name}; {}", advice(*value)));
        }
        let value = utf16_without_mark(head);
        if self.units() == CodeUnits::Bytes {
            return value.map(|value| format!("looks like UTF-16; {}", advice(Some(value))));
        }
        let is_ascii = head.len() >= 2 * PAIRS_MIN && head.iter().all(|byte| (1..0x80).contains(byte));
        let is_other = value.is_some_and(|value| value != self.name());
        match value.filter(|_| is_other) {
            Some(value) => {
                Some(format!("looks like UTF-16 in the other byte order; {}", advice(Some(value))))
            }
            None => is_ascii.then(|| format!("looks like ASCII; {}", advice(Some("utf8")))),
        }
    }
}

/// Returns the value in settings for a text that looks like UTF-16: most characters have a zero byte.
fn utf16_without_mark(head: &[u8]) -> Option<&'static str> {
    // Zeros at the beginning are a hole.
    let hole = head.iter().take_while(|byte| **byte == 0).count() & !1;
    let pairs = head[hole..].as_chunks::<2>().0;
    let of_all = |wanted: fn(&[u8; 2]) -> bool| {
        pairs.iter().filter(|pair| wanted(pair)).count() * 10 >= pairs.len() * 7
    };
    match pairs.len() >= PAIRS_MIN {
        true if of_all(|[low, high]| *low != 0 && *high == 0) => Some("utf16le"),
        true if of_all(|[high, low]| *low != 0 && *high == 0) => Some("utf16be"),
        _ => None,
    }
}

fn decode(decoder: &mut Decoder, text: &[u8], decoded: &mut Vec<u8>, is_end: bool) -> bool {
    let begin = decoded.len();
    // It is `None` only beyond the largest length that there is.
    let most = decoder.max_utf8_buffer_length(text.len()).unwrap_or(usize::MAX);
    decoded.resize(begin.saturating_add(most), 0);
    let (_, _, written, is_wrong) = decoder.decode_to_utf8(text, &mut decoded[begin..], is_end);
    decoded.truncate(begin + written);
    !is_wrong
}

/// Decodes a stream piece by piece, and leaves out a byte order mark at its beginning.
pub(crate) struct StreamDecoder {
    /// `None` if bytes are not changed.
    decoder: Option<Decoder>,
    /// The first bytes, as long as they may be a part of a mark; `None` behind them.
    beginning: Option<Vec<u8>>,
}

impl StreamDecoder {
    pub(crate) fn new(encoding: TextEncoding) -> StreamDecoder {
        let decoder = encoding.decoded().map(Encoding::new_decoder_with_bom_removal);
        let beginning = decoder.is_none().then(Vec::new);
        StreamDecoder { decoder, beginning }
    }

    /// Decodes the next bytes. Returns the text, and whether all of it is right. `is_end` says that the stream ends here.
    pub(crate) fn decode<'a>(&mut self, bytes: &'a [u8], is_end: bool) -> (Cow<'a, [u8]>, bool) {
        if let Some(decoder) = &mut self.decoder {
            let mut decoded = Vec::new();
            let is_right = decode(decoder, bytes, &mut decoded, is_end);
            return (Cow::Owned(decoded), is_right);
        }
        let Some(mut beginning) = self.beginning.take() else { return (Cow::Borrowed(bytes), true) };
        beginning.extend_from_slice(bytes);
        if BYTE_ORDER_MARK.starts_with(&beginning) && beginning.len() < BYTE_ORDER_MARK.len() && !is_end {
            self.beginning = Some(beginning);
            return (Cow::Owned(Vec::new()), true);
        }
        if beginning.starts_with(BYTE_ORDER_MARK) {
            beginning.drain(..BYTE_ORDER_MARK.len());
        }
        (Cow::Owned(beginning), true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, big_endian: bool) -> Vec<u8> {
        let bytes = |unit: u16| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() };
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn the_signature_lists_every_encoding() {
        let signature = include_str!("../language/types/types.flow");
        let (_, listed) = signature.split_once("enum TextEncoding {").unwrap();
        let (listed, _) = listed.split_once("\n}").unwrap();
        let names = listed.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("///"));
        assert!(names.eq(TextEncoding::ALL.iter().map(|encoding| encoding.name())));
    }

    #[test]
    fn a_line_end_is_a_whole_unit() {
        // U+0A0A and U+000A in both byte orders.
        let text = "a\u{a0a}\u{100}\u{a}b";
        for (units, big_endian) in [(CodeUnits::LittleEndian, false), (CodeUnits::BigEndian, true)] {
            assert_eq!(units.line_end(&utf16(text, big_endian)), Some(6..8));
            assert_eq!(units.line_end(&utf16(text, big_endian)[..7]), None);
        }
        assert_eq!(CodeUnits::Bytes.line_end(b"ab\n\n"), Some(2..3));
        assert_eq!(CodeUnits::Bytes.last_line_end(b"ab\n\nc"), Some(4));
        for (units, big_endian) in [(CodeUnits::LittleEndian, false), (CodeUnits::BigEndian, true)] {
            assert_eq!(units.last_line_end(&utf16("a\n\n\u{a0a}\u{100}\u{a0a}", big_endian)), Some(6));
            assert_eq!(units.last_line_end(&utf16("\u{a0a}\u{100}", big_endian)), None);
        }
    }

    #[test]
    fn what_is_not_right_is_replaced_and_reported() {
        let decoded = |encoding: TextEncoding, text: &[u8]| {
            let mut decoded = b"before ".to_vec();
            let is_right = encoding.decode_onto(text, &mut decoded);
            (String::from_utf8_lossy(&decoded).into_owned(), is_right)
        };
        assert_eq!(decoded(TextEncoding::Latin1, b"caf\xe9 \x80"), ("before café €".into(), true));
        assert_eq!(
            decoded(TextEncoding::Utf16Be, &utf16("g\u{1d11e}", true)),
            ("before g\u{1d11e}".into(), true)
        );
        assert_eq!(
            decoded(TextEncoding::Utf16Le, b"a\0\0\xd8b\0c"),
            ("before a\u{fffd}b\u{fffd}".into(), false)
        );
        assert_eq!(decoded(TextEncoding::ShiftJis, b"\x83\x65\xff"), ("before テ\u{fffd}".into(), false));
    }

    #[test]
    fn a_text_that_looks_like_another_encoding_is_recognised() {
        let text = "2026-01-01 a line of text\n";
        let contradiction =
            |encoding: TextEncoding, head: &[u8]| encoding.contradiction(head).unwrap_or_default();
        let little = utf16(text, false);
        let wanted = "looks like UTF-16; `encoding: utf16le` reads it";
        assert_eq!(contradiction(TextEncoding::Utf8, &little), wanted);
        assert_eq!(contradiction(TextEncoding::Latin1, &[&[0; 100], &little[..]].concat()), wanted);
        let other = "looks like UTF-16 in the other byte order; `encoding: utf16le` reads it";
        assert_eq!(contradiction(TextEncoding::Utf16Be, &little), other);
        let ascii = "looks like ASCII; `encoding: utf8` reads it";
        assert_eq!(contradiction(TextEncoding::Utf16Be, text.as_bytes()), ascii);
        let mark = "begins with the byte order mark of UTF-32 (little endian); which can't be read";
        assert_eq!(contradiction(TextEncoding::Utf16Le, b"\xff\xfe\0\0a\0\0\0"), mark);
        for (encoding, head) in [
            (TextEncoding::Utf8, text.as_bytes()),
            (TextEncoding::Utf8, "\u{feff}text".as_bytes()),
            (TextEncoding::Utf8, b""),
            (TextEncoding::Utf8, b"\xfe\0\x01\x02\x03 binary \0 data \xff"),
            (TextEncoding::Utf16Le, &little),
            (TextEncoding::Utf16Le, &utf16("\u{feff}text", false)),
            (TextEncoding::Utf16Be, &utf16("日本語の行です、これは長い", true)),
        ] {
            assert_eq!(encoding.contradiction(head), None, "{encoding:?} {head:?}");
        }
    }

    #[test]
    fn a_stream_is_decoded_whatever_its_pieces_are() {
        let text = "\u{feff}one\r\ncafé\n";
        let streams = [
            (TextEncoding::Utf8, text.as_bytes().to_vec()),
            (TextEncoding::Utf16Le, utf16(text, false)),
            (TextEncoding::Utf16Be, utf16(text, true)),
            (TextEncoding::Latin1, b"one\r\ncaf\xe9\n".to_vec()),
        ];
        for (encoding, stream) in streams {
            for piece in 1..8 {
                let mut decoder = StreamDecoder::new(encoding);
                let mut pieces: Vec<Cow<'_, [u8]>> =
                    stream.chunks(piece).map(|piece| decoder.decode(piece, false).0).collect();
                pieces.push(decoder.decode(&[], true).0);
                assert_eq!(pieces.concat(), "one\r\ncafé\n".as_bytes(), "{encoding:?} {piece}");
            }
        }
        assert_eq!(StreamDecoder::new(TextEncoding::Utf8).decode(b"\xef\xbb", true).0, &b"\xef\xbb"[..]);
        assert!(!StreamDecoder::new(TextEncoding::Utf16Le).decode(b"a\0b", true).1);
    }
}
