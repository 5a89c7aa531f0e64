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

/// A stream that is being compressed into memory, in one frame or in several that follow each other.
pub(super) struct Compressor {
    codec: Codec,
    encoder: StreamEncoder,
    /// Whether something has gone into the frame that is being made.
    begun: bool,
    /// How many frames have ended.
    frames: u64,
}

enum StreamEncoder {
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
    pub(super) fn new(codec: Codec) -> io::Result<Compressor> {
        let encoder = StreamEncoder::behind(codec, Vec::new())?;
        Ok(Compressor { codec, encoder, begun: false, frames: 0 })
    }

    /// Whether what goes in comes out as it is.
    pub(super) fn is_none(&self) -> bool {
        matches!(self.encoder, StreamEncoder::None(_))
    }

    /// # Errors
    /// When the compressor fails.
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

    /// What has come out and was not taken away. A compressor holds some of its input back.
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

    /// The same, to be taken away.
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

    /// Ends the frame, so that all that went in can be had from what has come out. What goes in from now on
    /// begins another frame: every decoder of these formats reads frames that follow each other as one stream.
    ///
    /// # Errors
    /// When the compressor fails.
    pub(super) fn end_frame(&mut self) -> io::Result<()> {
        if self.begun && !self.is_none() {
            let encoder = std::mem::replace(&mut self.encoder, StreamEncoder::None(Vec::new()));
            self.encoder = StreamEncoder::behind(self.codec, encoder.finish()?)?;
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
            true => self.encoder.finish(),
            // An empty frame says nothing more.
            false => Ok(std::mem::take(self.output_mut())),
        }
    }
}

impl StreamEncoder {
    /// A codec whose output is put behind what is there.
    fn behind(codec: Codec, output: Vec<u8>) -> io::Result<StreamEncoder> {
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
