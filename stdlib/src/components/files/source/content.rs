//! The text of a file: plain, decompressed, or made of its records.

use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use super::file_system::{FileSystem, OpenFile};
use super::identity::{HEAD_BYTES, State};
use super::members::{FoundRest, Members, Rest};
use crate::formats::codec::{Codec, Decoder, unreadable_packing};
use crate::formats::reading::{ReadAt, RecordRules, frames};

/// How many bytes of a compressed file are read at once.
const COMPRESSED_READ_BYTES: usize = 64 << 10;
/// How many bytes are decompressed at once while a compressed text is skipped up to a position.
const SKIP_BYTES: usize = 256 << 10;

/// How a text is encoded in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// It is compressed.
    Compressed(Codec),
    /// It is made of the file's records, a frame for each.
    Records(RecordRules),
}

impl Encoding {
    /// The name of the encoding, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Encoding::Compressed(codec) => codec.name(),
            Encoding::Records(_) => "records",
        }
    }
}

impl From<Codec> for Encoding {
    fn from(codec: Codec) -> Encoding {
        Encoding::Compressed(codec)
    }
}

/// An open file and its text.
pub(super) enum Content {
    /// The text is the file's content.
    Plain(Box<dyn OpenFile>),
    /// The text has to be decoded, from the beginning of the file.
    Compressed(Box<Compressed>),
}

/// A compressed file with its decoder. Reading backwards decompresses again from the beginning.
pub(super) struct Compressed {
    file: Box<dyn OpenFile>,
    encoding: Encoding,
    decoder: Decoder<'static>,
    /// The position in the text up to which it is decompressed.
    at: u64,
    /// The last decompressed bytes, up to `at`: the next read begins at a line's beginning, which lies before `at`.
    kept: Vec<u8>,
    /// Whether the file ends within the compressed data: it is still being written, or damaged.
    incomplete: bool,
    /// Whether something follows the compressed data.
    rest: FoundRest,
}

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// In an encoding that can be decoded.
    Encoded(Encoding),
    /// In the format with this name, which is not decompressed.
    Unreadable(&'static str),
}

impl Content {
    /// Opens a regular file.
    pub(super) fn open(file_system: &dyn FileSystem, path: &Path) -> io::Result<Content> {
        file_system.open(path).map(Content::Plain)
    }

    /// Returns how the file is packed; `None` if it holds plain text. With rules for records, every file that is not empty holds
    /// records; otherwise its first bytes tell how it is packed.
    pub(super) fn packing(&self, records: Option<RecordRules>) -> io::Result<Option<Packing>> {
        if let Some(rules) = records {
            let has_records = self.state()?.stamp.length > 0;
            return Ok(has_records.then_some(Packing::Encoded(Encoding::Records(rules))));
        }
        match self {
            Content::Plain(file) => {
                let mut first = Vec::new();
                file.read(0, 16, &mut first)?;
                let codec = Codec::of_file(&first).map(|codec| Packing::Encoded(codec.into()));
                Ok(codec.or_else(|| unreadable_packing(&first).map(Packing::Unreadable)))
            }
            Content::Compressed(compressed) => Ok(Some(Packing::Encoded(compressed.encoding))),
        }
    }

    /// Returns the format that the file is compressed with; `None` if it can't be decompressed.
    pub(super) fn compression(&self) -> io::Result<Option<Codec>> {
        match self.packing(None)? {
            Some(Packing::Encoded(Encoding::Compressed(codec))) => Ok(Some(codec)),
            Some(Packing::Encoded(Encoding::Records(_)) | Packing::Unreadable(_)) | None => Ok(None),
        }
    }

    /// Returns the same file as an encoded text.
    pub(super) fn decompressed(self, encoding: impl Into<Encoding>) -> io::Result<Content> {
        let Content::Plain(file) = self else { return Ok(self) };
        let (encoding, rest) = (encoding.into(), FoundRest::default());
        let decoder = decoder(&*file, encoding, &rest)?;
        Ok(Content::Compressed(Box::new(Compressed {
            rest,
            file,
            encoding,
            decoder,
            at: 0,
            kept: Vec::new(),
            incomplete: false,
        })))
    }

    /// Returns the same file as a plain text.
    pub(super) fn plain(self) -> Content {
        match self {
            Content::Plain(_) => self,
            Content::Compressed(compressed) => Content::Plain(compressed.file),
        }
    }

    /// Returns the file's key and state.
    pub(super) fn state(&self) -> io::Result<State> {
        match self {
            Content::Plain(file) => file.state(),
            Content::Compressed(compressed) => compressed.file.state(),
        }
    }

    /// Whether the last read found that the compressed file ends too early.
    pub(super) fn is_incomplete(&self) -> bool {
        matches!(self, Content::Compressed(compressed) if compressed.incomplete)
    }

    /// Returns whether reading has found zeros or other bytes behind the compressed data.
    pub(super) fn rest(&self) -> Rest {
        match self {
            Content::Plain(_) => Rest::Nothing,
            Content::Compressed(compressed) => compressed.rest.get(),
        }
    }

    /// Reads the first [`HEAD_BYTES`] bytes of the text, or all if there are fewer.
    pub(super) fn head(&mut self) -> io::Result<Vec<u8>> {
        self.read(0, HEAD_BYTES)
    }

    /// Reads `bytes` bytes from `position` on; fewer only at the end of the text.
    pub(super) fn read(&mut self, position: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut buffer = Vec::with_capacity(bytes);
        self.read_into(position, bytes, &mut buffer)?;
        Ok(buffer)
    }

    /// Reads like [`Content::read`] and replaces the buffer's content. The buffer is empty or has `bytes` bytes.
    pub(super) fn read_into(&mut self, position: u64, bytes: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Content::Plain(file) => file.read(position, bytes, buffer),
            Content::Compressed(compressed) => compressed.read_into(position, bytes, buffer),
        }
    }
}

/// Reads a file from its beginning, with a position of its own, since the descriptor is shared.
struct SequentialReader {
    file: Box<dyn OpenFile>,
    position: u64,
}

impl Read for SequentialReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_into(self.position, buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}

fn decoder(file: &dyn OpenFile, encoding: Encoding, rest: &FoundRest) -> io::Result<Decoder<'static>> {
    let file = file.again()?;
    match encoding {
        Encoding::Compressed(codec) => {
            let reader = SequentialReader { file, position: 0 };
            let input = BufReader::with_capacity(COMPRESSED_READ_BYTES, reader);
            Ok(Box::new(Members::new(codec, Box::new(input), rest.clone())?))
        }
        Encoding::Records(rules) => frames(Box::new(RecordFile(file)), rules),
    }
}

/// A file whose records are read.
#[derive(Debug)]
struct RecordFile(Box<dyn OpenFile>);

impl ReadAt for RecordFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.state()?.stamp.length)
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_into(position, buffer)
    }
}

impl Compressed {
    fn read_into(&mut self, position: u64, bytes: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        if self.incomplete || position < self.at - self.kept.len() as u64 {
            self.decoder = decoder(&*self.file, self.encoding, &self.rest)?;
            (self.at, self.kept, self.incomplete) = (0, Vec::new(), false);
        }
        while self.at < position {
            let skip = usize::try_from(position - self.at).map_or(SKIP_BYTES, |left| left.min(SKIP_BYTES));
            self.kept.clear();
            if self.decompress(skip)? < skip {
                return Ok(());
            }
        }
        let used = self.kept.len() - (self.at - position) as usize;
        self.kept.drain(..used);
        if self.kept.len() < bytes {
            self.decompress(bytes - self.kept.len())?;
        }
        buffer.extend_from_slice(&self.kept[..bytes.min(self.kept.len())]);
        Ok(())
    }

    /// Decompresses `bytes` more bytes; fewer only at the end of the text. Returns their number.
    fn decompress(&mut self, bytes: usize) -> io::Result<usize> {
        let before = self.kept.len();
        self.kept.resize(before + bytes, 0);
        let mut end = before;
        let result = loop {
            if end == self.kept.len() {
                break Ok(());
            }
            match self.decoder.read(&mut self.kept[end..]) {
                Ok(0) => break Ok(()),
                Ok(read) => end += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    self.incomplete = true;
                    break Ok(());
                }
                Err(error) => break Err(error),
            }
        };
        self.kept.truncate(end);
        self.at += (end - before) as u64;
        result.map(|()| end - before)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    fn content(bytes: &[u8]) -> Content {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let plain = Content::Plain(Box::new(file));
        match plain.compression().unwrap() {
            Some(compression) => plain.decompressed(compression).unwrap(),
            None => plain,
        }
    }

    fn text() -> Vec<u8> {
        (0..100_000).flat_map(|number: u32| format!("line {number}\n").into_bytes()).collect()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_compressed_file_is_detected_by_its_first_bytes_and_decompressed() {
        let text = text();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&text).unwrap();
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        for compressed in [text.clone(), gzip(&text), zstd, bzip2.finish().unwrap()] {
            let mut content = content(&compressed);
            assert_eq!(content.read(0, 10).unwrap(), text[..10]);
            assert_eq!(content.read(500_000, 300).unwrap(), text[500_000..500_300]);
            assert_eq!(content.read(500_100, 1 << 20).unwrap(), text[500_100..]);
            assert_eq!(
                content.read(7, 20).unwrap(),
                text[7..27],
                "going back decompresses again from the beginning"
            );
            assert!(content.read(text.len() as u64, 20).unwrap().is_empty());
            assert!(!content.is_incomplete());
        }
    }

    #[test]
    fn several_compressed_parts_in_one_file_are_one_text() {
        let compressed = [gzip(b"one\n"), gzip(b"two\n")].concat();
        assert_eq!(content(&compressed).read(0, 100).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn frames_that_decoders_skip_and_empty_streams_are_parts_of_a_compressed_text() {
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 13, 0, 0, 0];
        let frame = zstd::encode_all(&b"one\n"[..], 1).unwrap();
        let frames = [&skipped[..], &frame, &skipped, &frame].concat();
        assert_eq!(content(&frames).read(0, 100).unwrap(), b"one\none\n");
        let encoder = || bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        let empty = encoder().finish().unwrap();
        assert_eq!(content(&empty).read(0, 100).unwrap(), b"");
        let mut one = encoder();
        one.write_all(b"one\n").unwrap();
        assert_eq!(content(&[empty, one.finish().unwrap()].concat()).read(0, 100).unwrap(), b"one\n");
    }

    #[test]
    fn a_file_that_ends_within_compressed_data_is_incomplete() {
        let text = text();
        let compressed = gzip(&text);
        let mut content = content(&compressed[..compressed.len() / 2]);
        let read = content.read(0, text.len()).unwrap();
        assert!(content.is_incomplete());
        assert!(!read.is_empty() && text.starts_with(&read));
    }

    #[test]
    fn damaged_compressed_data_is_an_error_and_no_panic() {
        let mut compressed = gzip(&text());
        let middle = compressed.len() / 2;
        compressed[middle..middle + 64].fill(0xff);
        assert!(content(&compressed).read(0, 10 << 20).is_err());
    }
}
