//! The compression codecs, and the table of the places where each may be used.
//!
//! A place that compresses or decompresses (the pages of Parquet files, the batches of Kafka's producer) has a column of
//! the table, a [`Usage`]. A cell holds what the place needs to know of the codec: the name or the value that stands for
//! the codec there. An empty cell means that the place does not have the codec.

use std::io::{self, BufRead, Read};

use arrow_avro::compression::CompressionCodec as AvroCodec;
use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use parquet::basic::{Compression as ParquetCodec, ZstdLevel};
use serde::Deserialize;
use thiserror::Error;
use weir_runtime::channel::Compression as LogCodec;

/// A compression codec: a value of the settings `compress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Codec {
    /// No compression.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Snappy. Whole files are in the framing format of Snappy's authors, which is not that of Hadoop's codec.
    Snappy,
    /// LZ4. Whole files are in its frame format.
    Lz4,
    /// bzip2.
    Bzip2,
}

/// Bytes without compression or a stream of compressed bytes, to be read decompressed.
pub(crate) type Decoder<'a> = Box<dyn Read + Send + 'a>;
type MakeDecoder = for<'a> fn(Box<dyn BufRead + Send + 'a>) -> io::Result<Decoder<'a>>;

/// A row of the table: one codec in every place.
struct Row {
    name: &'static str,
    /// The suffix of a file's name.
    whole_files: Option<&'static str>,
    avro_blocks: Option<Option<AvroCodec>>,
    parquet_pages: Option<ParquetCodec>,
    /// The class of Hadoop's codec; none without compression.
    sequence_file_blocks: Option<Option<&'static str>>,
    channel_logs: Option<LogCodec>,
    /// A value of `compression.type`.
    kafka_batches: Option<&'static str>,
    /// The first bytes by which a file is recognised.
    source_files: Option<fn(&[u8]) -> bool>,
    /// Values of the header `content-encoding`.
    http_bodies: Option<&'static [&'static str]>,
    /// Decodes all frames of a stream.
    decoder: Option<MakeDecoder>,
}

impl Row {
    const EMPTY: Row = Row {
        name: "",
        whole_files: None,
        avro_blocks: None,
        parquet_pages: None,
        sequence_file_blocks: None,
        channel_logs: None,
        kafka_batches: None,
        source_files: None,
        http_bodies: None,
        decoder: None,
    };
}

impl Codec {
    pub(crate) const ALL: [Codec; 6] =
        [Codec::None, Codec::Gzip, Codec::Zstd, Codec::Snappy, Codec::Lz4, Codec::Bzip2];

    /// The table.
    fn row(self) -> Row {
        match self {
            Codec::None => Row {
                name: "none",
                whole_files: Some(""),
                avro_blocks: Some(None),
                parquet_pages: Some(ParquetCodec::UNCOMPRESSED),
                sequence_file_blocks: Some(None),
                channel_logs: Some(LogCodec::None),
                kafka_batches: Some("none"),
                http_bodies: Some(&["identity", ""]),
                ..Row::EMPTY
            },
            Codec::Gzip => Row {
                name: "gzip",
                whole_files: Some(".gz"),
                // The codec inside of gzip, without gzip's header and checksum.
                avro_blocks: Some(Some(AvroCodec::Deflate)),
                parquet_pages: Some(ParquetCodec::GZIP(Default::default())),
                sequence_file_blocks: Some(Some("org.apache.hadoop.io.compress.GzipCodec")),
                kafka_batches: Some("gzip"),
                source_files: Some(|first| first.starts_with(&[0x1f, 0x8b, 8])),
                http_bodies: Some(&["gzip", "x-gzip"]),
                decoder: Some(|input| Ok(Box::new(MultiGzDecoder::new(input)))),
                ..Row::EMPTY
            },
            Codec::Zstd => Row {
                name: "zstd",
                whole_files: Some(".zst"),
                avro_blocks: Some(Some(AvroCodec::ZStandard)),
                parquet_pages: Some(ParquetCodec::ZSTD(zstd_level())),
                sequence_file_blocks: Some(Some("org.apache.hadoop.io.compress.ZStandardCodec")),
                channel_logs: Some(LogCodec::Zstd),
                kafka_batches: Some("zstd"),
                source_files: Some(begins_zstd),
                http_bodies: Some(&["zstd"]),
                decoder: Some(|input| Ok(Box::new(zstd::stream::read::Decoder::with_buffer(input)?))),
            },
            Codec::Snappy => Row {
                name: "snappy",
                whole_files: Some(".sz"),
                avro_blocks: Some(Some(AvroCodec::Snappy)),
                parquet_pages: Some(ParquetCodec::SNAPPY),
                sequence_file_blocks: Some(Some("org.apache.hadoop.io.compress.SnappyCodec")),
                kafka_batches: Some("snappy"),
                ..Row::EMPTY
            },
            Codec::Lz4 => Row {
                name: "lz4",
                whole_files: Some(".lz4"),
                // The specified one: writers differ in the codec that Parquet calls LZ4.
                parquet_pages: Some(ParquetCodec::LZ4_RAW),
                sequence_file_blocks: Some(Some("org.apache.hadoop.io.compress.Lz4Codec")),
                channel_logs: Some(LogCodec::Lz4),
                kafka_batches: Some("lz4"),
                ..Row::EMPTY
            },
            Codec::Bzip2 => Row {
                name: "bzip2",
                whole_files: Some(".bz2"),
                avro_blocks: Some(Some(AvroCodec::Bzip2)),
                sequence_file_blocks: Some(Some("org.apache.hadoop.io.compress.BZip2Codec")),
                source_files: Some(begins_bzip2),
                decoder: Some(|input| Ok(Box::new(MultiBzDecoder::new(input)))),
                ..Row::EMPTY
            },
        }
    }

    /// The name in settings.
    pub(crate) fn name(self) -> &'static str {
        self.row().name
    }

    /// Returns the codec of a file that the source `files` can decompress, by the file's first 16 bytes.
    pub(crate) fn of_file(first: &[u8]) -> Option<Codec> {
        let recognised = |codec: &Codec| codec.row().source_files.is_some_and(|begins| begins(first));
        Codec::ALL.into_iter().find(recognised)
    }

    /// Returns the codec of an HTTP request's body, by the request's `content-encoding` in any case (RFC 9110).
    ///
    /// # Errors
    /// When the source `http` does not decompress this encoding.
    pub(crate) fn of_content_encoding(encoding: &[u8]) -> Result<Codec, UnknownEncoding> {
        let named = |codec: &Codec| {
            let names = codec.row().http_bodies.unwrap_or_default();
            names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(encoding))
        };
        Codec::ALL.into_iter().find(named).ok_or(UnknownEncoding)
    }

    /// Returns a reader of the decompressed bytes of `input`, which may hold several frames.
    ///
    /// # Errors
    /// When the table has no decoder of this codec, or the decoder can't be set up.
    pub(crate) fn decoder<'a>(self, input: Box<dyn BufRead + Send + 'a>) -> io::Result<Decoder<'a>> {
        let make = self.row().decoder.ok_or_else(|| {
            io::Error::new(io::ErrorKind::Unsupported, format!("there is no decoder of {}", self.name()))
        })?;
        make(input)
    }
}

/// Formats in which files are packed, with the first bytes of their files, that nothing here reads.
const UNREADABLE: [(&str, &[u8]); 7] = [
    ("xz", &[0xfd, b'7', b'z', b'X', b'Z', 0]),
    ("lz4", &[0x04, 0x22, 0x4d, 0x18]),
    ("snappy", b"\xff\x06\0\0sNaPpY"),
    ("compress", &[0x1f, 0x9d]),
    ("lzip", b"LZIP\x01"),
    ("zip", b"PK\x03\x04"),
    ("7z", &[b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c]),
];

/// Returns the name of the format in which a file is packed, by the file's first 16 bytes, if it is one that the source
/// `files` can't decompress.
pub(crate) fn unreadable_packing(first: &[u8]) -> Option<&'static str> {
    UNREADABLE.iter().find(|(_, begin)| first.starts_with(begin)).map(|(name, _)| *name)
}

/// Zstandard's own default, as for whole files; the default of the parquet crate is 1.
fn zstd_level() -> ZstdLevel {
    ZstdLevel::try_new(zstd::DEFAULT_COMPRESSION_LEVEL).unwrap_or_default()
}

/// A frame, or a frame that decoders skip, as `pzstd` writes one first: its mark and its length.
fn begins_zstd(first: &[u8]) -> bool {
    matches!(first, [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, _, _, _, _, ..])
}

/// The header `BZh` with the size of blocks, and the mark of a block, or of the end if the stream is empty.
fn begins_bzip2(first: &[u8]) -> bool {
    matches!(
        first,
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..]
    )
}

/// A place that compresses or decompresses: a column of the table.
pub(crate) struct Usage<T: 'static> {
    /// The format or component, as the subject of "… has no … in bzip2".
    owner: &'static str,
    /// The compressed parts.
    parts: &'static str,
    cell: fn(Row) -> Option<T>,
}

/// Files of text, raw bytes, JSON or CSV, compressed as a whole: the suffix of their names.
pub(crate) static WHOLE_FILES: Usage<&str> =
    Usage { owner: "the sink", parts: "files", cell: |row| row.whole_files };
/// Blocks of Avro files.
pub(crate) static AVRO_BLOCKS: Usage<Option<AvroCodec>> =
    Usage { owner: "Avro", parts: "blocks", cell: |row| row.avro_blocks };
/// Pages of Parquet files.
pub(crate) static PARQUET_PAGES: Usage<ParquetCodec> =
    Usage { owner: "Parquet", parts: "pages", cell: |row| row.parquet_pages };
/// Blocks of Hadoop's SequenceFiles: the class of the codec.
pub(crate) static SEQUENCE_FILE_BLOCKS: Usage<Option<&str>> =
    Usage { owner: "SequenceFile", parts: "blocks", cell: |row| row.sequence_file_blocks };
/// The log of the file channel.
pub(crate) static CHANNEL_LOGS: Usage<LogCodec> =
    Usage { owner: "the file channel", parts: "log", cell: |row| row.channel_logs };
/// Batches of Kafka's producer: the value of its setting `compression.type`.
#[cfg_attr(not(any(test, feature = "kafka")), expect(dead_code, reason = "only the Kafka sink uses it"))]
pub(crate) static KAFKA_BATCHES: Usage<&str> =
    Usage { owner: "Kafka", parts: "batches", cell: |row| row.kafka_batches };

impl<T> Usage<T> {
    /// Returns the codec as this place knows it.
    ///
    /// # Errors
    /// When the place does not have the codec.
    pub(crate) fn of(&self, codec: Codec) -> Result<T, UnsupportedCodec> {
        (self.cell)(codec.row()).ok_or_else(|| UnsupportedCodec {
            owner: self.owner,
            parts: self.parts,
            codec: codec.name(),
            supported: listed(self.codecs(), "or"),
        })
    }

    /// Returns the codecs that this place has.
    fn codecs(&self) -> impl Iterator<Item = Codec> {
        Codec::ALL.into_iter().filter(|codec| (self.cell)(codec.row()).is_some())
    }
}

/// A setting `compress` whose codec the format or the component does not have.
#[derive(Debug, Error)]
#[error("`compress` is {codec}, but {owner} has no {parts} in {codec}, only in {supported}")]
pub(crate) struct UnsupportedCodec {
    owner: &'static str,
    parts: &'static str,
    codec: &'static str,
    supported: String,
}

/// A `content-encoding` that the source `http` does not decompress.
#[derive(Debug, Error)]
#[error("the content encodings are br, deflate, {}", listed(content_encodings(), "and"))]
pub(crate) struct UnknownEncoding;

fn content_encodings() -> impl Iterator<Item = Codec> {
    let compresses = |codec: &Codec| codec.row().http_bodies.is_some() && *codec != Codec::None;
    Codec::ALL.into_iter().filter(compresses)
}

/// Returns the names as a text: `none, lz4 or zstd`.
fn listed(codecs: impl Iterator<Item = Codec>, last: &str) -> String {
    let names: Vec<&str> = codecs.map(Codec::name).collect();
    match names.as_slice() {
        [names @ .., name] if !names.is_empty() => format!("{} {last} {name}", names.join(", ")),
        names => names.concat(),
    }
}

#[cfg(test)]
mod tests;
