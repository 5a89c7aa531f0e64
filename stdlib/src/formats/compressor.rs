//! Compresses the bytes of a whole file into a stream in a codec's own format.
//!
//! Avro and Parquet files compress their parts themselves.

use std::io::{self, Write};

use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder as Lz4Encoder, FrameInfo};
use snap::write::FrameEncoder as SnappyEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

use super::codec::Codec;

/// A stream that is compressed into memory, in one or more frames.
pub(super) struct Compressor {
    codec: Codec,
    encoder: StreamEncoder,
    /// Whether bytes were written into the current frame.
    begun: bool,
    /// The number of frames that have ended.
    frames: u64,
}

/// The encoder of a codec, with the output so far.
enum StreamEncoder {
    /// The output is the input.
    None(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
    Snappy(Box<SnappyEncoder<Vec<u8>>>),
    Lz4(Box<Lz4Encoder<Vec<u8>>>),
    Bzip2(BzEncoder<Vec<u8>>),
}

impl Compressor {
    /// Makes a compressor with an empty output.
    ///
    /// # Errors
    /// When the encoder can't be set up.
    pub(super) fn new(codec: Codec) -> io::Result<Compressor> {
        let encoder = StreamEncoder::appending_to(codec, Vec::new())?;
        Ok(Compressor { codec, encoder, begun: false, frames: 0 })
    }

    /// Whether the output is the input.
    pub(super) fn is_none(&self) -> bool {
        matches!(self.encoder, StreamEncoder::None(_))
    }

    /// Compresses bytes.
    ///
    /// # Errors
    /// When the encoder fails.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.begun |= !bytes.is_empty();
        match &mut self.encoder {
            StreamEncoder::None(output) => output.write_all(bytes),
            StreamEncoder::Gzip(encoder) => encoder.write_all(bytes),
            StreamEncoder::Zstd(encoder) => encoder.write_all(bytes),
            StreamEncoder::Snappy(encoder) => encoder.write_all(bytes),
            StreamEncoder::Lz4(encoder) => encoder.write_all(bytes),
            StreamEncoder::Bzip2(encoder) => encoder.write_all(bytes),
        }
    }

    /// Returns the output that was not taken. The encoder holds some of its input back.
    pub(super) fn output(&self) -> &Vec<u8> {
        match &self.encoder {
            StreamEncoder::None(output) => output,
            StreamEncoder::Gzip(encoder) => encoder.get_ref(),
            StreamEncoder::Zstd(encoder) => encoder.get_ref(),
            StreamEncoder::Snappy(encoder) => encoder.get_ref(),
            StreamEncoder::Lz4(encoder) => encoder.get_ref(),
            StreamEncoder::Bzip2(encoder) => encoder.get_ref(),
        }
    }

    /// Returns the output that was not taken, for taking it.
    pub(super) fn output_mut(&mut self) -> &mut Vec<u8> {
        match &mut self.encoder {
            StreamEncoder::None(output) => output,
            StreamEncoder::Gzip(encoder) => encoder.get_mut(),
            StreamEncoder::Zstd(encoder) => encoder.get_mut(),
            StreamEncoder::Snappy(encoder) => encoder.get_mut(),
            StreamEncoder::Lz4(encoder) => encoder.get_mut(),
            StreamEncoder::Bzip2(encoder) => encoder.get_mut(),
        }
    }

    /// Ends the frame, so that all input can be decompressed from the output. The next write begins another frame:
    /// every decoder of these formats reads consecutive frames as one stream.
    ///
    /// # Errors
    /// When the encoder fails.
    pub(super) fn end_frame(&mut self) -> io::Result<()> {
        if self.begun && !self.is_none() {
            let encoder = std::mem::replace(&mut self.encoder, StreamEncoder::None(Vec::new()));
            self.encoder = StreamEncoder::appending_to(self.codec, encoder.finish()?)?;
            self.begun = false;
            self.frames += 1;
        }
        Ok(())
    }

    /// Ends the stream and returns the rest of the output.
    ///
    /// # Errors
    /// When the encoder fails.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        match self.begun || self.frames == 0 {
            true => self.encoder.finish(),
            // An empty frame would add nothing.
            false => Ok(std::mem::take(self.output_mut())),
        }
    }
}

impl StreamEncoder {
    /// Makes an encoder that appends to `output`.
    fn appending_to(codec: Codec, output: Vec<u8>) -> io::Result<StreamEncoder> {
        Ok(match codec {
            Codec::None => StreamEncoder::None(output),
            Codec::Gzip => StreamEncoder::Gzip(GzEncoder::new(output, flate2::Compression::default())),
            Codec::Zstd => {
                let mut encoder = ZstdEncoder::new(output, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                encoder.include_checksum(true)?;
                StreamEncoder::Zstd(encoder)
            }
            Codec::Snappy => StreamEncoder::Snappy(Box::new(SnappyEncoder::new(output))),
            Codec::Lz4 => {
                let frame = FrameInfo::new()
                    .block_size(BlockSize::Max64KB)
                    .block_mode(BlockMode::Linked)
                    .content_checksum(true);
                StreamEncoder::Lz4(Box::new(Lz4Encoder::with_frame_info(frame, output)))
            }
            Codec::Bzip2 => StreamEncoder::Bzip2(BzEncoder::new(output, bzip2::Compression::default())),
        })
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            StreamEncoder::None(output) => Ok(output),
            StreamEncoder::Gzip(encoder) => encoder.finish(),
            StreamEncoder::Zstd(encoder) => encoder.finish(),
            StreamEncoder::Snappy(encoder) => encoder.into_inner().map_err(|error| error.into_error()),
            StreamEncoder::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
            StreamEncoder::Bzip2(encoder) => encoder.finish(),
        }
    }
}
