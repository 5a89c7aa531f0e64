//! From bodies to the bytes of a file: lines, compressed.

use std::io::{self, Write};
use std::ops::Range;

use arrow_array::BinaryViewArray;
use flate2::write::GzEncoder;
use serde::Deserialize;
use zstd::stream::write::Encoder as ZstdEncoder;

/// How much is gathered before it goes through a compressor, whose calls cost more than lines do.
const STAGED_BYTES: usize = 64 * 1024;

/// How the bytes of a file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    /// As they are.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// What the names of files with text lines end in.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Compression::None => ".txt",
            Compression::Gzip => ".txt.gz",
            Compression::Zstd => ".txt.zst",
        }
    }
}

/// Encodes one file. Blocking: it belongs on a thread of its own.
pub(super) struct Encoder {
    codec: Codec,
    /// Lines that have not gone through the codec yet; without one, the output.
    staged: Vec<u8>,
    /// How many bytes of `staged` are seen through for line breaks, and the rows behind them.
    seen: usize,
    unseen_rows: u64,
    /// Bytes of output that were taken away.
    taken: u64,
    /// Line breaks within bodies, each of which makes two lines of one.
    breaks: u64,
}

enum Codec {
    None,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

/// The last bytes of a file.
pub(super) struct Encoded {
    pub(super) rest: Vec<u8>,
    /// The size of the whole file.
    pub(super) size: u64,
    /// Line breaks within bodies.
    pub(super) breaks: u64,
}

impl Encoder {
    /// # Errors
    /// When the compressor can't be set up.
    pub(super) fn new(compression: Compression) -> io::Result<Encoder> {
        let codec = match compression {
            Compression::None => Codec::None,
            Compression::Gzip => Codec::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default())),
            Compression::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), zstd::DEFAULT_COMPRESSION_LEVEL)?;
                encoder.include_checksum(true)?;
                Codec::Zstd(encoder)
            }
        };
        Ok(Encoder { codec, staged: Vec::new(), seen: 0, unseen_rows: 0, taken: 0, breaks: 0 })
    }

    /// Appends the bodies of these rows, one line each, until enough is staged or the file has
    /// reached `size_max`; at least one. Says how many rows.
    ///
    /// # Errors
    /// When the compressor fails.
    pub(super) fn append(
        &mut self,
        bodies: &BinaryViewArray,
        rows: Range<usize>,
        size_max: u64,
    ) -> io::Result<usize> {
        let mut stop = self.seen + STAGED_BYTES;
        if matches!(self.codec, Codec::None) {
            let room = size_max.saturating_sub(self.taken);
            stop = stop.min(usize::try_from(room).unwrap_or(usize::MAX));
        }
        let first = rows.start;
        let mut next = first;
        while next < rows.end {
            self.staged.extend_from_slice(bodies.value(next));
            self.staged.push(b'\n');
            next += 1;
            if self.staged.len() >= stop {
                break;
            }
        }
        self.unseen_rows += (next - first) as u64;
        if self.staged.len() >= stop {
            self.see_through()?;
        }
        Ok(next - first)
    }

    /// Counts the line breaks in what is staged, and sends it through the compressor.
    fn see_through(&mut self) -> io::Result<()> {
        // A whole stretch at once: looking into each body would cost more than the copy.
        let line_ends = memchr::memchr_iter(b'\n', &self.staged[self.seen..]).count() as u64;
        self.breaks += line_ends - std::mem::take(&mut self.unseen_rows);
        let compressor: &mut dyn Write = match &mut self.codec {
            Codec::None => {
                self.seen = self.staged.len();
                return Ok(());
            }
            Codec::Gzip(encoder) => encoder,
            Codec::Zstd(encoder) => encoder,
        };
        compressor.write_all(&self.staged)?;
        self.staged.clear();
        Ok(())
    }

    fn output(&self) -> &Vec<u8> {
        match &self.codec {
            Codec::None => &self.staged,
            Codec::Gzip(encoder) => encoder.get_ref(),
            Codec::Zstd(encoder) => encoder.get_ref(),
        }
    }

    /// The bytes of output so far. A compressor holds some of its input back.
    pub(super) fn size(&self) -> u64 {
        self.taken + self.output().len() as u64
    }

    /// Takes the output away, if there are at least `least` bytes of it.
    ///
    /// # Errors
    /// When the compressor fails.
    pub(super) fn take_output(&mut self, least: usize) -> io::Result<Vec<u8>> {
        if self.output().len() < least {
            return Ok(Vec::new());
        }
        if matches!(self.codec, Codec::None) {
            self.see_through()?;
            self.seen = 0;
        }
        let output = match &mut self.codec {
            Codec::None => &mut self.staged,
            Codec::Gzip(encoder) => encoder.get_mut(),
            Codec::Zstd(encoder) => encoder.get_mut(),
        };
        let next = Vec::with_capacity(output.capacity());
        self.taken += output.len() as u64;
        Ok(std::mem::replace(output, next))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the compressor fails.
    pub(super) fn finish(mut self) -> io::Result<Encoded> {
        self.see_through()?;
        let rest = match self.codec {
            Codec::None => self.staged,
            Codec::Gzip(encoder) => encoder.finish()?,
            Codec::Zstd(encoder) => encoder.finish()?,
        };
        Ok(Encoded { size: self.taken + rest.len() as u64, rest, breaks: self.breaks })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use arrow_array::Array;

    use super::*;

    fn encode(compression: Compression, bodies: &BinaryViewArray) -> (Vec<u8>, Encoded) {
        let mut encoder = Encoder::new(compression).unwrap();
        let (mut bytes, mut next) = (Vec::new(), 0);
        while next < bodies.len() {
            next += encoder.append(bodies, next..bodies.len(), u64::MAX).unwrap();
            bytes.append(&mut encoder.take_output(100_000).unwrap());
        }
        let mut encoded = encoder.finish().unwrap();
        bytes.append(&mut encoded.rest);
        assert_eq!(encoded.size, bytes.len() as u64);
        (bytes, encoded)
    }

    fn decode(compression: Compression, bytes: &[u8]) -> String {
        let mut text = String::new();
        match compression {
            Compression::None => text.push_str(std::str::from_utf8(bytes).unwrap()),
            Compression::Gzip => {
                flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).map(drop).unwrap();
            }
            Compression::Zstd => {
                zstd::Decoder::new(bytes).unwrap().read_to_string(&mut text).map(drop).unwrap();
            }
        }
        text
    }

    #[test]
    fn every_line_comes_back() {
        let lines: Vec<String> =
            (0..20_000).map(|number| format!("line {number} {}", number * 7919)).collect();
        let bodies = BinaryViewArray::from_iter_values(&lines);
        let text = lines.join("\n") + "\n";
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let (bytes, encoded) = encode(compression, &bodies);
            assert!(decode(compression, &bytes) == text, "{compression:?}");
            assert_eq!(encoded.breaks, 0);
        }
    }

    #[test]
    fn line_breaks_in_bodies_are_counted() {
        let mut lines = vec!["a"; 50_000];
        lines[3] = "two\nlines";
        lines[40_000] = "\n\n";
        let bodies = BinaryViewArray::from_iter_values(&lines);
        for compression in [Compression::None, Compression::Gzip] {
            assert_eq!(encode(compression, &bodies).1.breaks, 3);
        }
    }

    #[test]
    fn plain_bytes_stop_behind_the_row_that_reaches_the_size() {
        let bodies = BinaryViewArray::from_iter_values(["four"; 10]);
        let mut encoder = Encoder::new(Compression::None).unwrap();
        assert_eq!(encoder.append(&bodies, 0..10, 11).unwrap(), 3);
        assert_eq!(encoder.size(), 15);
        encoder.take_output(0).unwrap();
        assert_eq!(encoder.append(&bodies, 3..10, 17).unwrap(), 1);
    }

    #[test]
    fn a_body_of_any_length_is_one_row() {
        let long = "x".repeat(3 * STAGED_BYTES);
        let bodies = BinaryViewArray::from_iter_values([long.as_str(), "", "y"]);
        let (bytes, _) = encode(Compression::Gzip, &bodies);
        assert_eq!(decode(Compression::Gzip, &bytes), format!("{long}\n\ny\n"));
    }
}
