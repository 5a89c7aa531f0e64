//! Compression of a whole file: what comes in is bytes, what goes out is a stream of one of the
//! codecs' own formats.
//!
//! Avro and Parquet compress their own parts and do not come here.

use std::io::{self, Write};

use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder as Lz4Encoder, FrameInfo};
use serde::Deserialize;
use snap::write::FrameEncoder as SnappyEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

/// How the bytes of a file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    /// As they are.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878, with its checksum.
    Zstd,
    /// The framing format of Snappy's authors, which is not that of Hadoop's codec.
    Snappy,
    /// The frame format, with its checksum.
    Lz4,
    /// bzip2.
    Bzip2,
}

impl Compression {
    /// What the names of files end in that are compressed as a whole.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
            Compression::Snappy => ".sz",
            Compression::Lz4 => ".lz4",
            Compression::Bzip2 => ".bz2",
        }
    }
}

/// A stream that is being compressed into memory, in one frame or in several that follow each other.
pub(super) struct Compressor {
    compression: Compression,
    codec: Codec,
    /// Whether something has gone into the frame that is being made.
    begun: bool,
    /// How many frames have ended.
    frames: u64,
}

enum Codec {
    /// Nothing is done: the output is the input.
    None(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
    Snappy(Box<SnappyEncoder<Vec<u8>>>),
    Lz4(Box<Lz4Encoder<Vec<u8>>>),
    Bzip2(BzEncoder<Vec<u8>>),
}

impl Compressor {
    /// # Errors
    /// When the compressor can't be set up.
    pub(super) fn new(compression: Compression) -> io::Result<Compressor> {
        let codec = Codec::behind(compression, Vec::new())?;
        Ok(Compressor { compression, codec, begun: false, frames: 0 })
    }

    /// Whether what goes in comes out as it is.
    pub(super) fn is_none(&self) -> bool {
        matches!(self.codec, Codec::None(_))
    }

    /// # Errors
    /// When the compressor fails.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.begun |= !bytes.is_empty();
        match &mut self.codec {
            Codec::None(output) => output.write_all(bytes),
            Codec::Gzip(encoder) => encoder.write_all(bytes),
            Codec::Zstd(encoder) => encoder.write_all(bytes),
            Codec::Snappy(encoder) => encoder.write_all(bytes),
            Codec::Lz4(encoder) => encoder.write_all(bytes),
            Codec::Bzip2(encoder) => encoder.write_all(bytes),
        }
    }

    /// What has come out and was not taken away. A compressor holds some of its input back.
    pub(super) fn output(&self) -> &Vec<u8> {
        match &self.codec {
            Codec::None(output) => output,
            Codec::Gzip(encoder) => encoder.get_ref(),
            Codec::Zstd(encoder) => encoder.get_ref(),
            Codec::Snappy(encoder) => encoder.get_ref(),
            Codec::Lz4(encoder) => encoder.get_ref(),
            Codec::Bzip2(encoder) => encoder.get_ref(),
        }
    }

    /// The same, to be taken away.
    pub(super) fn output_mut(&mut self) -> &mut Vec<u8> {
        match &mut self.codec {
            Codec::None(output) => output,
            Codec::Gzip(encoder) => encoder.get_mut(),
            Codec::Zstd(encoder) => encoder.get_mut(),
            Codec::Snappy(encoder) => encoder.get_mut(),
            Codec::Lz4(encoder) => encoder.get_mut(),
            Codec::Bzip2(encoder) => encoder.get_mut(),
        }
    }

    /// Ends the frame, so that all that went in can be had from what has come out. What goes in from now on
    /// begins another frame: every decoder of these formats reads frames that follow each other as one stream.
    ///
    /// # Errors
    /// When the compressor fails.
    pub(super) fn end_frame(&mut self) -> io::Result<()> {
        if self.begun && !self.is_none() {
            let codec = std::mem::replace(&mut self.codec, Codec::None(Vec::new()));
            self.codec = Codec::behind(self.compression, codec.finish()?)?;
            self.begun = false;
            self.frames += 1;
        }
        Ok(())
    }

    /// Ends the stream and gives the rest of the output.
    ///
    /// # Errors
    /// When the compressor fails.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        match self.begun || self.frames == 0 {
            true => self.codec.finish(),
            // An empty frame says nothing more.
            false => Ok(std::mem::take(self.output_mut())),
        }
    }
}

impl Codec {
    /// A codec whose output is put behind what is there.
    fn behind(compression: Compression, output: Vec<u8>) -> io::Result<Codec> {
        Ok(match compression {
            Compression::None => Codec::None(output),
            Compression::Gzip => Codec::Gzip(GzEncoder::new(output, flate2::Compression::default())),
            Compression::Zstd => {
                let mut encoder = ZstdEncoder::new(output, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                encoder.include_checksum(true)?;
                Codec::Zstd(encoder)
            }
            Compression::Snappy => Codec::Snappy(Box::new(SnappyEncoder::new(output))),
            Compression::Lz4 => {
                let frame = FrameInfo::new()
                    .block_size(BlockSize::Max64KB)
                    .block_mode(BlockMode::Linked)
                    .content_checksum(true);
                Codec::Lz4(Box::new(Lz4Encoder::with_frame_info(frame, output)))
            }
            Compression::Bzip2 => Codec::Bzip2(BzEncoder::new(output, bzip2::Compression::default())),
        })
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Codec::None(output) => Ok(output),
            Codec::Gzip(encoder) => encoder.finish(),
            Codec::Zstd(encoder) => encoder.finish(),
            Codec::Snappy(encoder) => encoder.into_inner().map_err(|error| error.into_error()),
            Codec::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
            Codec::Bzip2(encoder) => encoder.finish(),
        }
    }
}
