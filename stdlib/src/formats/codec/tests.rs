use std::io::{Cursor, Write};

use super::*;

const TYPES: &str = include_str!("../../language/types/types.flow");
const FILE: &str = include_str!("../../components/file_channel/file.flow");
const KAFKA: &str = include_str!("../../components/kafka/kafka.flow");
const FILES: &str = include_str!("../../components/files/files.flow");
const HDFS: &str = include_str!("../../components/hdfs/hdfs.flow");

/// The variants of an enum of signatures, in the order of the table.
fn variants(signatures: &str, name: &str) -> Vec<&'static str> {
    let (_, declared) = signatures.split_once(&format!("\nenum {name} {{\n")).unwrap();
    let (body, _) = declared.split_once("\n}").unwrap();
    let written: Vec<&str> = body.lines().map(str::trim).filter(|line| !line.starts_with("///")).collect();
    let known: Vec<&str> =
        Codec::ALL.map(Codec::name).into_iter().filter(|name| written.contains(name)).collect();
    assert_eq!(known.len(), written.len(), "{written:?}");
    known
}

fn names<T>(usage: &Usage<T>) -> Vec<&'static str> {
    usage.codecs().map(Codec::name).collect()
}

#[test]
fn the_table_lists_the_codecs_of_each_place() {
    assert_eq!(names(&WHOLE_FILES), ["none", "gzip", "zstd", "snappy", "lz4", "bzip2"]);
    assert_eq!(names(&AVRO_BLOCKS), ["none", "gzip", "zstd", "snappy", "bzip2"]);
    assert_eq!(names(&PARQUET_PAGES), ["none", "gzip", "zstd", "snappy", "lz4"]);
    assert_eq!(names(&SEQUENCE_FILE_BLOCKS), ["none", "gzip", "zstd", "snappy", "lz4", "bzip2"]);
    assert_eq!(names(&CHANNEL_LOGS), ["none", "zstd", "lz4"]);
    assert_eq!(names(&KAFKA_BATCHES), ["none", "gzip", "zstd", "snappy", "lz4"]);
    let source_files = Codec::ALL.into_iter().filter(|codec| codec.row().source_files.is_some());
    assert_eq!(listed(source_files, "or"), "gzip, zstd or bzip2");
    assert_eq!(UnknownEncoding.to_string(), "the content encodings are br, deflate, gzip and zstd");
}

#[test]
fn settings_name_a_codec_as_the_table_does() {
    for codec in Codec::ALL {
        let read: Codec = serde_json::from_value(codec.name().into()).unwrap();
        assert_eq!(read, codec);
    }
}

#[test]
fn signatures_offer_the_codecs_of_the_table() {
    assert_eq!(variants(TYPES, "Compression"), names(&WHOLE_FILES));
    assert_eq!(variants(TYPES, "Compression"), names(&SEQUENCE_FILE_BLOCKS));
    assert_eq!(variants(FILE, "LogCompression"), names(&CHANNEL_LOGS));
    assert_eq!(variants(KAFKA, "KafkaCompression"), names(&KAFKA_BATCHES));
    for signature in [FILES, HDFS] {
        for (format, codecs) in [("parquet", names(&PARQUET_PAGES)), ("avro", names(&AVRO_BLOCKS))] {
            for codec in Codec::ALL.map(Codec::name) {
                let excluded =
                    signature.contains(&format!("requires format != {format} or compress != {codec} "));
                assert_eq!(excluded, !codecs.contains(&codec), "{format} in {codec}");
            }
        }
    }
}

#[test]
fn the_suffixes_are_the_documented_ones() {
    for codec in Codec::ALL.into_iter().filter(|codec| *codec != Codec::None) {
        let suffix = WHOLE_FILES.of(codec).unwrap();
        let (_, rest) = TYPES.split_once(&format!("files end in `{suffix}`.\n")).unwrap();
        let documented = rest.lines().map(str::trim).find(|line| !line.starts_with("///"));
        assert_eq!(documented, Some(codec.name()));
    }
}

#[test]
fn a_codec_that_a_place_lacks_is_refused_with_those_that_it_has() {
    let error = PARQUET_PAGES.of(Codec::Bzip2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`compress` is bzip2, but Parquet has no pages in bzip2, only in none, gzip, zstd, snappy or lz4"
    );
    let error = CHANNEL_LOGS.of(Codec::Gzip).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`compress` is gzip, but the file channel has no log in gzip, only in none, zstd or lz4"
    );
}

/// Bytes in the format of whole files.
fn compressed(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    match codec {
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Codec::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        Codec::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Codec::None | Codec::Snappy | Codec::Lz4 => unreachable!("the table has no decoder of {codec:?}"),
    }
}

#[test]
fn every_recognised_codec_has_a_decoder_that_reads_all_frames() {
    for codec in Codec::ALL {
        let row = codec.row();
        let encodings = row.http_bodies.unwrap_or_default();
        if codec == Codec::None || (row.source_files.is_none() && encodings.is_empty()) {
            assert!(row.decoder.is_none(), "nothing uses the decoder of {codec:?}");
            assert!(codec.decoder(Box::new(Cursor::new(b""))).is_err());
            continue;
        }
        let frames = [compressed(codec, b"one\n"), compressed(codec, b"two\n")].concat();
        if row.source_files.is_some() {
            assert_eq!(Codec::of_file(&frames[..16]), Some(codec));
        }
        for encoding in encodings {
            for encoding in [encoding.to_string(), encoding.to_uppercase()] {
                assert_eq!(Codec::of_content_encoding(encoding.as_bytes()).unwrap(), codec);
            }
        }
        let mut plain = String::new();
        codec.decoder(Box::new(&frames[..])).unwrap().read_to_string(&mut plain).unwrap();
        assert_eq!(plain, "one\ntwo\n");
    }
}

#[test]
fn other_files_and_encodings_are_not_recognised() {
    for first in [&b""[..], b"BZh", b"BZh9 is how a line may begin", b"\x1f\x8b", b"plain text"] {
        assert_eq!(Codec::of_file(first), None);
    }
    assert_eq!(Codec::of_content_encoding(b"").unwrap(), Codec::None);
    assert!(Codec::of_content_encoding(b"br").is_err());
}

#[test]
fn files_are_recognised_by_their_first_bytes() {
    let empty = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast()).finish().unwrap();
    assert_eq!(Codec::of_file(&empty[..14]), Some(Codec::Bzip2));
    assert_eq!(Codec::of_file(b"BZh9\x31\x41\x59\x26\x53\x59rest"), Some(Codec::Bzip2));
    assert_eq!(Codec::of_file(&zstd::encode_all(&b"text"[..], 1).unwrap()), Some(Codec::Zstd));
    for kind in 0x50..=0x5f {
        assert_eq!(Codec::of_file(&[kind, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 9, 0, 0, 0]), Some(Codec::Zstd));
    }
    for text in
        [&b"BZh9 is no stream"[..], b"P*M", b"P*M\x18", b"P*M is text", b"(\xb5/", b"", b"O*M\x18\x04\0\0\0"]
    {
        assert_eq!(Codec::of_file(text), None, "{text:?}");
    }
}
