//! Decompresses the members of a file: gzip's members, zstd's frames, bzip2's streams, one behind the other. The text ends
//! where something else follows the last member, as it does for `gzip`. Zeros are padding; other bytes may be members whose
//! beginnings are damaged.

use std::io::{self, BufRead, Chain, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use crate::formats::codec::Codec;

/// How many bytes tell whether a member begins.
const FIRST_BYTES: usize = 4;

type Input = Box<dyn BufRead + Send>;
/// The input from the beginning of a member on. Its first bytes were read already.
type MemberInput = Chain<Cursor<Vec<u8>>, Input>;

/// The bytes behind the last member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rest {
    /// Nothing, as far as was read.
    #[default]
    Nothing,
    /// Only zeros.
    Zeros,
    /// Bytes that begin no member.
    Other,
}

/// The bytes that the readers of a file have found behind its last member.
#[derive(Debug, Clone, Default)]
pub(super) struct FoundRest(Arc<AtomicU8>);

impl FoundRest {
    fn note(&self, rest: Rest) {
        self.0.fetch_max(rest as u8, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Rest {
        [Rest::Nothing, Rest::Zeros, Rest::Other][usize::from(self.0.load(Ordering::Relaxed))]
    }
}

/// The text of all members. After an error it can't be read on.
pub(super) struct Members {
    codec: Codec,
    /// The decoder of the present member; `None` behind the last one.
    member: Option<Member>,
    found: FoundRest,
}

enum Member {
    Gzip(Box<GzDecoder<MemberInput>>),
    Zstd(ZstdDecoder<'static, MemberInput>),
    Bzip2(BzDecoder<MemberInput>),
}

impl Members {
    /// Begins to read. Bytes behind the last member are noted in `found`.
    ///
    /// # Errors
    /// When reading fails, or if files are not read with this codec.
    pub(super) fn new(codec: Codec, input: Input, found: FoundRest) -> io::Result<Members> {
        let member = Some(Member::new(codec, with_first_bytes(input)?)?);
        Ok(Members { codec, member, found })
    }
}

impl Read for Members {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            let Some(ended) = self.member.take() else { break };
            let input = with_first_bytes(ended.into_input().into_inner().1)?;
            let first = input.get_ref().0.get_ref();
            if begins_member(self.codec, first) {
                self.member = Some(Member::new(self.codec, input)?);
            } else {
                self.found.note(rest(input)?);
            }
        }
        Ok(0)
    }
}

impl Member {
    fn new(codec: Codec, input: MemberInput) -> io::Result<Member> {
        match codec {
            Codec::Gzip => Ok(Member::Gzip(Box::new(GzDecoder::new(input)))),
            Codec::Zstd => Ok(Member::Zstd(ZstdDecoder::with_buffer(input)?.single_frame())),
            Codec::Bzip2 => Ok(Member::Bzip2(BzDecoder::new(input))),
            Codec::None | Codec::Snappy | Codec::Lz4 => {
                let why = format!("files in {} are not decompressed", codec.name());
                Err(io::Error::new(io::ErrorKind::Unsupported, why))
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Member::Gzip(decoder) => decoder.read(buffer),
            Member::Zstd(decoder) => decoder.read(buffer),
            Member::Bzip2(decoder) => decoder.read(buffer),
        }
    }

    fn into_input(self) -> MemberInput {
        match self {
            Member::Gzip(decoder) => decoder.into_inner(),
            Member::Zstd(decoder) => decoder.finish(),
            Member::Bzip2(decoder) => decoder.into_inner(),
        }
    }
}

fn with_first_bytes(mut input: Input) -> io::Result<MemberInput> {
    let mut first = Vec::with_capacity(FIRST_BYTES);
    input.by_ref().take(FIRST_BYTES as u64).read_to_end(&mut first)?;
    Ok(Cursor::new(first).chain(input))
}

/// Looks at the bytes behind the last member, up to the first one that is not zero.
fn rest(mut input: MemberInput) -> io::Result<Rest> {
    let mut rest = Rest::Nothing;
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Ok(rest);
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(Rest::Other);
        }
        rest = Rest::Zeros;
        let length = bytes.len();
        input.consume(length);
    }
}

/// Returns whether these bytes begin another member, or are a part of its beginning at the end of the file.
fn begins_member(codec: Codec, first: &[u8]) -> bool {
    let begins = |magic: &[u8]| !first.is_empty() && first.iter().zip(magic).all(|(one, other)| one == other);
    match codec {
        Codec::Gzip => begins(&[0x1f, 0x8b, 8]),
        // A frame, or one that decoders skip.
        Codec::Zstd => {
            let skipped = (0x50..=0x5f).any(|byte| begins(&[byte, 0x2a, 0x4d, 0x18]));
            begins(&[0x28, 0xb5, 0x2f, 0xfd]) || skipped
        }
        Codec::Bzip2 => begins(b"BZh"),
        Codec::None | Codec::Snappy | Codec::Lz4 => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, ErrorKind, Write};

    use super::super::tests::gzip;
    use super::*;

    fn bzip2(text: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn compressed(codec: Codec, text: &[u8]) -> Vec<u8> {
        match codec {
            Codec::Gzip => gzip(text),
            Codec::Zstd => zstd::encode_all(text, 1).unwrap(),
            _ => bzip2(text),
        }
    }

    fn read(codec: Codec, file: &[u8], buffer_bytes: usize) -> (io::Result<String>, Rest) {
        let found = FoundRest::default();
        let input = BufReader::with_capacity(buffer_bytes, Cursor::new(file.to_vec()));
        let mut members = Members::new(codec, Box::new(input), found.clone()).unwrap();
        let mut text = String::new();
        let read = members.read_to_string(&mut text).map(|_| text);
        (read, found.get())
    }

    #[test]
    fn what_follows_the_last_member_is_left_out() {
        for codec in [Codec::Gzip, Codec::Zstd, Codec::Bzip2] {
            let members = [&b"one\n"[..], b"", b"two\n"].map(|text| compressed(codec, text)).concat();
            let behind_zeros = [&[0; 70_000][..], b"\x01"].concat();
            let rests: [(&[u8], Rest); 6] = [
                (b"", Rest::Nothing),
                (&[0; 20_000], Rest::Zeros),
                (b"rubbish", Rest::Other),
                (b"\x1f\x8crubbish", Rest::Other),
                (b"\0", Rest::Zeros),
                (&behind_zeros, Rest::Other),
            ];
            for (rest, expected) in rests {
                for buffer_bytes in [1, 2, 7, 65_536] {
                    let (text, found) = read(codec, &[&members, rest].concat(), buffer_bytes);
                    assert_eq!(text.unwrap(), "one\ntwo\n", "{codec:?} {}", rest.len());
                    assert_eq!(found, expected, "{codec:?} {}", rest.len());
                }
            }
        }
    }

    #[test]
    fn a_damaged_or_incomplete_member_is_an_error() {
        for codec in [Codec::Gzip, Codec::Zstd, Codec::Bzip2] {
            let (first, second) = (compressed(codec, b"one\n"), compressed(codec, b"two\n"));
            for length in 1..second.len() {
                let (text, found) = read(codec, &[&first, &second[..length]].concat(), 100);
                assert_eq!(text.unwrap_err().kind(), ErrorKind::UnexpectedEof, "{codec:?} {length}");
                assert_eq!(found, Rest::Nothing);
            }
            let mut damaged = [&first[..], &second].concat();
            damaged[first.len()] ^= 1;
            let (text, found) = read(codec, &damaged, 100);
            assert_eq!((text.unwrap().as_str(), found), ("one\n", Rest::Other), "{codec:?}");
            damaged[first.len()] ^= 1;
            let end = damaged.len();
            damaged[end - 9..].fill(0xa5);
            assert!(read(codec, &damaged, 100).0.is_err(), "{codec:?}");
        }
    }
}
