//! The encodings of bodies.

use std::io::{self, BufRead};

use flate2::bufread::{DeflateDecoder, ZlibDecoder};

use crate::formats::codec::{Codec, Decoder, UnknownEncoding};

/// How many bytes of a Brotli stream are read at once.
const BROTLI_BUFFER_BYTES: usize = 4 << 10;

/// The encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// A codec, or none.
    Codec(Codec),
    /// `br`: Brotli (RFC 7932).
    Brotli,
    /// `deflate`: the format of zlib (RFC 1950), or its data alone (RFC 1951), which some peers send.
    Deflate,
}

impl Encoding {
    /// Returns the encoding of this name, in any case.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn named(name: &[u8]) -> Result<Encoding, UnknownEncoding> {
        match name.trim_ascii() {
            name if name.eq_ignore_ascii_case(b"deflate") => Ok(Encoding::Deflate),
            name if name.eq_ignore_ascii_case(b"br") => Ok(Encoding::Brotli),
            name => Codec::of_content_encoding(name).map(Encoding::Codec),
        }
    }

    /// Returns a reader of the decompressed bytes.
    ///
    /// # Errors
    /// When the decoder can't be set up.
    pub(super) fn decoder<'a>(self, input: Box<dyn BufRead + Send + 'a>) -> io::Result<Decoder<'a>> {
        match self {
            Encoding::Codec(codec) => codec.decoder(input),
            Encoding::Deflate => inflating(input),
            Encoding::Brotli => {
                Ok(Box::new(brotli_decompressor::Decompressor::new(input, BROTLI_BUFFER_BYTES)))
            }
        }
    }
}

/// Makes a decoder of either form. That of zlib begins with two bytes that are a multiple of 31 (RFC 1950).
fn inflating<'a>(mut input: Box<dyn BufRead + Send + 'a>) -> io::Result<Decoder<'a>> {
    let begins_zlib = match input.fill_buf()? {
        [first, second, ..] => first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31),
        _ => false,
    };
    Ok(match begins_zlib {
        true => Box::new(ZlibDecoder::new(input)),
        false => Box::new(DeflateDecoder::new(input)),
    })
}
