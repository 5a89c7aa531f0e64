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

/// A stream that is being compressed into memory.
pub(super) enum Compressor {
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
        Ok(match compression {
            Compression::None => Compressor::None(Vec::new()),
            Compression::Gzip => Compressor::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default())),
            Compression::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), zstd::DEFAULT_COMPRESSION_LEVEL)?;
                encoder.include_checksum(true)?;
                Compressor::Zstd(encoder)
            }
            Compression::Snappy => Compressor::Snappy(Box::new(SnappyEncoder::new(Vec::new()))),
            Compression::Lz4 => {
                let frame = FrameInfo::new()
                    .block_size(BlockSize::Max64KB)
                    .block_mode(BlockMode::Linked)
                    .content_checksum(true);
                Compressor::Lz4(Box::new(Lz4Encoder::with_frame_info(frame, Vec::new())))
            }
            Compression::Bzip2 => {
                Compressor::Bzip2(BzEncoder::new(Vec::new(), bzip2::Compression::default()))
            }
        })
    }

    /// Whether what goes in comes out as it is.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Compressor::None(_))
    }

    /// # Errors
    /// When the compressor fails.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Compressor::None(output) => output.write_all(bytes),
            Compressor::Gzip(encoder) => encoder.write_all(bytes),
            Compressor::Zstd(encoder) => encoder.write_all(bytes),
            Compressor::Snappy(encoder) => encoder.write_all(bytes),
            Compressor::Lz4(encoder) => encoder.write_all(bytes),
            Compressor::Bzip2(encoder) => encoder.write_all(bytes),
        }
    }

    /// What has come out and was not taken away. A compressor holds some of its input back.
    pub(super) fn output(&self) -> &Vec<u8> {
        match self {
            Compressor::None(output) => output,
            Compressor::Gzip(encoder) => encoder.get_ref(),
            Compressor::Zstd(encoder) => encoder.get_ref(),
            Compressor::Snappy(encoder) => encoder.get_ref(),
            Compressor::Lz4(encoder) => encoder.get_ref(),
            Compressor::Bzip2(encoder) => encoder.get_ref(),
        }
    }

    /// The same, to be taken away.
    pub(super) fn output_mut(&mut self) -> &mut Vec<u8> {
        match self {
            Compressor::None(output) => output,
            Compressor::Gzip(encoder) => encoder.get_mut(),
            Compressor::Zstd(encoder) => encoder.get_mut(),
            Compressor::Snappy(encoder) => encoder.get_mut(),
            Compressor::Lz4(encoder) => encoder.get_mut(),
            Compressor::Bzip2(encoder) => encoder.get_mut(),
        }
    }

    /// Ends the stream and gives the rest of the output.
    ///
    /// # Errors
    /// When the compressor fails.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Compressor::None(output) => Ok(output),
            Compressor::Gzip(encoder) => encoder.finish(),
            Compressor::Zstd(encoder) => encoder.finish(),
            Compressor::Snappy(encoder) => encoder.into_inner().map_err(|error| error.into_error()),
            Compressor::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
            Compressor::Bzip2(encoder) => encoder.finish(),
        }
    }
}
