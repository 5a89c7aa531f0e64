//! Functions of bytes, their encodings as text, and compression.

use std::io::Read;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, NO_PAD, PAD};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD, general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use weir_runtime::Registry;
use weir_runtime::expressions::Reason;

use super::arguments::{AnyBytes, Texts};
use super::results::{Answer, Made, Part, bytes, kernel, not, parts, text_parts, texts};

/// A decompressed value has at most this many bytes.
const DECOMPRESSED_BYTES_MAX: u64 = 16 << 20;

/// The bytes that a URL has as they are: letters, digits and `-._~` (RFC 3986, "Unreserved Characters").
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const LENIENT: GeneralPurposeConfig = PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent));

pub(super) fn register(registry: Registry) -> Registry {
    let registry = registry
        .function("bytes", |_| {
            kernel(|arguments, rows| {
                let mut values = AnyBytes::of(arguments, 0)?;
                values.is_text = false;
                parts(&values, false, rows, |_, value, _| Ok(Some(Part::Of(0..value.len()))))
            })
        })
        .function("utf8", |_| {
            kernel(|arguments, rows| {
                parts(&AnyBytes::of(arguments, 0)?, true, rows, |_, value, _| {
                    match std::str::from_utf8(value) {
                        Ok(_) => Ok(Some(Part::Of(0..value.len()))),
                        Err(_) => Err(not("UTF-8", value)),
                    }
                })
            })
        })
        .function("utf8_lossy", |_| {
            kernel(|arguments, rows| {
                parts(&AnyBytes::of(arguments, 0)?, true, rows, |_, value, out| {
                    if std::str::from_utf8(value).is_ok() {
                        return Ok(Some(Part::Of(0..value.len())));
                    }
                    out.extend_from_slice(String::from_utf8_lossy(value).as_bytes());
                    Ok(Some(Part::Written))
                })
            })
        });
    encodings(registry)
        .function("gzip", |_| {
            compressed(|value, out| {
                let mut encoder = flate2::read::GzEncoder::new(value, flate2::Compression::default());
                encoder.read_to_end(out).is_ok()
            })
        })
        .function("gunzip", |_| {
            decompressed("gzip data", |value, out| limited(flate2::read::MultiGzDecoder::new(value), out))
        })
        .function("zstd", |_| compressed(|value, out| zstd::stream::copy_encode(value, out, 0).is_ok()))
        .function("unzstd", |_| {
            decompressed("Zstandard data", |value, out| {
                zstd::stream::read::Decoder::new(value).is_ok_and(|decoder| limited(decoder, out))
            })
        })
}

fn encodings(registry: Registry) -> Registry {
    registry
        .function("base64_encode", |_| encoded(|value, out| base64_into(&STANDARD, value, out)))
        .function("base64_decode", |_| decoded("Base64", |text, out| BASE64.decode_vec(text, out).is_ok()))
        .function("base64url_encode", |_| encoded(|value, out| base64_into(&URL_SAFE_NO_PAD, value, out)))
        .function("base64url_decode", |_| {
            decoded("Base64 for URLs", |text, out| BASE64_URL.decode_vec(text, out).is_ok())
        })
        .function("hex_encode", |_| {
            encoded(|value, out| {
                let begin = out.len();
                out.resize(begin + 2 * value.len(), 0);
                // There is room for two digits of each byte.
                let _infallible = hex::encode_to_slice(value, &mut out[begin..]);
            })
        })
        .function("hex_decode", |_| {
            decoded("pairs of hexadecimal digits", |text, out| {
                let begin = out.len();
                out.resize(begin + text.len() / 2, 0);
                hex::decode_to_slice(text, &mut out[begin..]).is_ok()
            })
        })
        .function("url_encode", |_| {
            kernel(|arguments, rows| {
                text_parts(arguments, rows, |_, text, out| {
                    let mut pieces = utf8_percent_encode(text, RESERVED);
                    match (pieces.next(), pieces.next()) {
                        (None, _) => return Ok(Some(Part::Of(0..0))),
                        (Some(whole), None) if whole.len() == text.len() => {
                            return Ok(Some(Part::Of(0..text.len())));
                        }
                        _ => {}
                    }
                    let pieces = utf8_percent_encode(text, RESERVED);
                    pieces.for_each(|piece| out.extend_from_slice(piece.as_bytes()));
                    Ok(Some(Part::Written))
                })
            })
        })
        .function("url_decode", |_| {
            kernel(|arguments, rows| {
                text_parts(arguments, rows, |_, text, out| {
                    if !text.contains('%') {
                        return Ok(Some(Part::Of(0..text.len())));
                    }
                    let begin = out.len();
                    out.extend(percent_decode(text.as_bytes()));
                    match std::str::from_utf8(&out[begin..]) {
                        Ok(_) => Ok(Some(Part::Written)),
                        Err(_) => Err(not("the percent-encoding of UTF-8", text.as_bytes())),
                    }
                })
            })
        })
        .function("html_escape", |_| kernel(html_escape))
}

fn base64_into(engine: &GeneralPurpose, value: &[u8], out: &mut Vec<u8>) {
    let begin = out.len();
    out.resize(begin + value.len().div_ceil(3) * 4, 0);
    let written = engine.encode_slice(value, &mut out[begin..]).unwrap_or(0);
    out.truncate(begin + written);
}

/// Makes a function that writes a value as text.
fn encoded(write: fn(&[u8], &mut Vec<u8>)) -> Made {
    kernel(move |arguments, rows| {
        let values = AnyBytes::of(arguments, 0)?;
        texts(rows, |row, out| Ok(values.get(row).map(|value| write(value, out))))
    })
}

/// Makes a function from text to bytes, which fails where the text is not `expected`.
fn decoded(expected: &'static str, read: fn(&str, &mut Vec<u8>) -> bool) -> Made {
    kernel(move |arguments, rows| {
        let values = Texts::of(arguments, 0)?;
        bytes(rows, |row, out| match values.get(row) {
            None => Ok(None),
            Some(text) if read(text, out) => Ok(Some(())),
            Some(text) => Err(not(expected, text.as_bytes())),
        })
    })
}

fn compressed(write: fn(&[u8], &mut Vec<u8>) -> bool) -> Made {
    kernel(move |arguments, rows| {
        let values = AnyBytes::of(arguments, 0)?;
        bytes(rows, |row, out| match values.get(row) {
            None => Ok(None),
            Some(value) if write(value, out) => Ok(Some(())),
            Some(_) => Err(Reason::Overflow),
        })
    })
}

fn decompressed(expected: &'static str, read: fn(&[u8], &mut Vec<u8>) -> bool) -> Made {
    kernel(move |arguments, rows| {
        let values = AnyBytes::of(arguments, 0)?;
        bytes(rows, |row, out| match values.get(row) {
            None => Ok(None),
            Some(value) if read(value, out) => Ok(Some(())),
            Some(value) => Err(not(expected, value)),
        })
    })
}

/// Reads all of a decoder, and returns whether it has no error and not too many bytes: a few bytes can be those of a
/// gigabyte.
fn limited(decoder: impl Read, out: &mut Vec<u8>) -> bool {
    let mut decoder = decoder.take(DECOMPRESSED_BYTES_MAX + 1);
    decoder.read_to_end(out).is_ok_and(|bytes| bytes as u64 <= DECOMPRESSED_BYTES_MAX)
}

fn html_escape(arguments: &[weir_runtime::batch::Column], rows: usize) -> Answer {
    text_parts(arguments, rows, |_, text, out| {
        if !text.contains(['&', '<', '>', '"', '\'']) {
            return Ok(Some(Part::Of(0..text.len())));
        }
        for byte in text.bytes() {
            match byte {
                b'&' => out.extend_from_slice(b"&amp;"),
                b'<' => out.extend_from_slice(b"&lt;"),
                b'>' => out.extend_from_slice(b"&gt;"),
                b'"' => out.extend_from_slice(b"&quot;"),
                b'\'' => out.extend_from_slice(b"&#39;"),
                other => out.push(other),
            }
        }
        Ok(Some(Part::Written))
    })
}
