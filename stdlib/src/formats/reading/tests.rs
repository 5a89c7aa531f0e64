//! Files of the encoders are read back, and damaged files are errors.

use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_writer::ArrowWriterOptions;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, BinaryViewArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Int32Array,
    StringArray, StringViewArray,
};
use arrow_schema::Schema;
use proptest::test_runner::{Config, TestRunner};
use weir_runtime::batch::{Batch, Origins};

use super::*;
use crate::formats::codec::Codec;
use crate::formats::{Format, Formatting};

pub(super) const RECORD_MAX: usize = 1 << 20;

#[derive(Debug, Clone)]
struct Bytes(Arc<Vec<u8>>);

impl ReadAt for Bytes {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.0.get(position as usize..).unwrap_or_default();
        // A file system may return less than it was asked for.
        let length = left.len().min(buffer.len()).min(1 << 16);
        buffer[..length].copy_from_slice(&left[..length]);
        Ok(length)
    }
}

/// Reads all records: their bodies, or the error.
pub(super) fn read(format: RecordFormat, bytes: &[u8], record_bytes_max: usize) -> io::Result<Vec<Vec<u8>>> {
    let file = Bytes(Arc::new(bytes.to_vec()));
    let mut stream = frames(Box::new(file), RecordRules { format, record_bytes_max })?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    let (mut bodies, mut left) = (Vec::new(), text.as_slice());
    while let Some((head, rest)) = left.split_first_chunk::<FRAME_HEAD_BYTES>() {
        let (number, length) = head.split_first_chunk::<8>().unwrap();
        assert_eq!(u64::from_be_bytes(*number), bodies.len() as u64);
        let (body, rest) = rest.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
        bodies.push(body.to_vec());
        left = rest;
    }
    Ok(bodies)
}

fn error(format: RecordFormat, bytes: &[u8]) -> String {
    read(format, bytes, RECORD_MAX).unwrap_err().to_string()
}

/// Encodes bodies as the sinks do.
fn encoded(format: Format, codec: Codec, bodies: &[Vec<u8>]) -> Vec<u8> {
    let schema = Schema::new(vec![Field::new("body", DataType::BinaryView, false)]);
    let column = BinaryViewArray::from_iter_values(bodies);
    let batch = Batch::new(Arc::new(schema), vec![column.into()], bodies.len(), Origins::default()).unwrap();
    let formatting = Formatting::new(format, codec, batch.schema()).unwrap();
    let gathered = formatting.gather(&batch, std::slice::from_ref(&(0..bodies.len() as u32))).unwrap();
    let mut encoder = formatting.encoder().unwrap();
    let (mut next, rows) = (0, gathered.batch.num_rows());
    while next < rows {
        next += encoder.append(&gathered, next..rows, u64::MAX).unwrap();
    }
    encoder.finish().unwrap().rest
}

fn bodies() -> Vec<Vec<u8>> {
    (0..5_000_usize)
        .map(|number| format!("{number} \"é\" {}\n", "x".repeat(number % 90)).into_bytes())
        .collect()
}

/// The files of one format, in each of its codecs.
fn files(format: RecordFormat, bodies: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let written = || match format {
        RecordFormat::SequenceFile => Format::SequenceFile,
        RecordFormat::Avro => Format::Avro { headers: Vec::new() },
        RecordFormat::Parquet => Format::Parquet { row_group: 1_500, headers: Vec::new() },
    };
    let lacks = match format {
        RecordFormat::SequenceFile => None,
        RecordFormat::Avro => Some(Codec::Lz4),
        RecordFormat::Parquet => Some(Codec::Bzip2),
    };
    let codecs = Codec::ALL.into_iter().filter(|codec| Some(*codec) != lacks);
    codecs.map(|codec| encoded(written(), codec, bodies)).collect()
}

const FORMATS: [RecordFormat; 3] = [RecordFormat::SequenceFile, RecordFormat::Avro, RecordFormat::Parquet];

#[test]
fn files_of_the_sinks_are_read_back_in_every_codec() {
    let bodies = bodies();
    for format in FORMATS {
        for file in files(format, &bodies) {
            let found = read(format, &file, RECORD_MAX).unwrap();
            if format == RecordFormat::SequenceFile {
                assert!(found == bodies);
                continue;
            }
            let body = |object: &Vec<u8>| {
                let object: serde_json::Value = serde_json::from_slice(object).unwrap();
                object["body"].as_str().unwrap().as_bytes().to_vec()
            };
            let found: Vec<Vec<u8>> = found.iter().map(body).collect();
            assert!(found == bodies, "{format:?}");
        }
    }
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let options = ArrowWriterOptions::new().with_properties(WriterProperties::builder().build());
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn rows_of_other_writers_become_json() {
    let mut lists = ListBuilder::new(Int32Builder::new());
    lists.append_value([Some(1), None]);
    lists.append_null();
    let file = parquet(vec![
        ("number", Arc::new(Int32Array::from(vec![Some(7), None]))),
        ("text", Arc::new(StringArray::from(vec!["a\"b", ""]))),
        ("bytes", Arc::new(BinaryArray::from(vec![&b"\xff\x00"[..], b"plain"]))),
        ("day", Arc::new(Date32Array::from(vec![0, 20_000]))),
        ("price", Arc::new(Decimal128Array::from(vec![12_345, -1]).with_precision_and_scale(10, 2).unwrap())),
        ("id", Arc::new(FixedSizeBinaryArray::try_from_iter([[1_u8; 16], [0; 16]].iter()).unwrap())),
        ("list", Arc::new(lists.finish())),
    ]);
    let found = read(RecordFormat::Parquet, &file, RECORD_MAX).unwrap();
    let text: Vec<String> = found.into_iter().map(|row| String::from_utf8(row).unwrap()).collect();
    assert_same_json(
        &text[0],
        r#"{"number":7,"text":"a\"b","bytes":"base64:/wA=","day":"1970-01-01","price":123.45,"id":"01010101010101010101010101010101","list":[1,null]}"#,
    );
    assert_same_json(
        &text[1],
        r#"{"text":"","bytes":"plain","day":"2024-10-04","price":-0.01,"id":"00000000000000000000000000000000"}"#,
    );
}

/// Compares two JSON texts as values.
fn assert_same_json(found: &str, expected: &str) {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(found), value(expected), "{found}");
}

#[test]
fn a_record_that_is_too_long_is_an_error_that_names_it() {
    let long = vec![b"short".to_vec(), vec![b'x'; 2_000]];
    for format in FORMATS {
        for file in files(format, &long) {
            let error = read(format, &file, 1_000).unwrap_err().to_string();
            assert!(error.contains("record 1 ") && error.contains("`max_record`"), "{error}");
        }
    }
}

#[test]
fn nothing_of_a_block_with_an_error_is_read_behind_the_error() {
    let long = vec![b"short".to_vec(), vec![b'x'; 2_000]];
    for format in FORMATS {
        for file in files(format, &long) {
            let file = Box::new(Bytes(Arc::new(file)));
            let mut stream = frames(file, RecordRules { format, record_bytes_max: 1_000 }).unwrap();
            let mut buffer = [0; 100];
            assert!(stream.read(&mut buffer).is_err());
            assert!(matches!(stream.read(&mut buffer), Ok(0) | Err(_)), "{format:?}");
        }
    }
}

/// A container of a block with these records.
fn avro(schema: &str, records: u8, block: &[u8]) -> Vec<u8> {
    let number = |number: usize| [(number * 2) as u8 | 0x80, (number >> 6) as u8];
    let mut file =
        [&b"Obj\x01\x02\x16avro.schema"[..], &number(schema.len()), schema.as_bytes(), &[0]].concat();
    file.extend([7; 16]);
    file.extend([records * 2]);
    file.extend(number(block.len()));
    file.extend(block);
    file.extend([7; 16]);
    file
}

#[test]
fn nulls_in_place_of_long_values_take_little_memory() {
    let fixed = |bytes: u64| format!(r#"{{"type":"fixed","name":"F","size":{bytes}}}"#);
    let record =
        |kind: &str| format!(r#"{{"type":"record","name":"R","fields":[{{"name":"value","type":{kind}}}]}}"#);
    let null = |bytes: u64| record(&format!(r#"["null",{}]"#, fixed(bytes)));
    assert_eq!(read(RecordFormat::Avro, &avro(&null(16), 2, &[0, 0]), 1_000).unwrap(), [b"{}", b"{}"]);
    assert_eq!(read(RecordFormat::Avro, &avro(&null(1 << 20), 60, &[0; 60]), 1 << 20).unwrap().len(), 60);
    let message = error(RecordFormat::Avro, &avro(&null(2_147_483_647), 2, &[0, 0]));
    assert!(message.contains("a `fixed` type of 2147483647 bytes"), "{message}");
    let items = record(&format!(r#"{{"type":"array","items":["null",{}]}}"#, fixed(1 << 20)));
    let block = [&[0xd0, 0x0f][..], &[0; 1_000], &[0]].concat();
    assert!(read(RecordFormat::Avro, &avro(&items, 1, &[2, 0, 0]), 1_000_000_000).is_ok());
    let message = error(RecordFormat::Avro, &avro(&items, 1, &[&block[..], &[0; 100]].concat()));
    assert!(message.contains("whose nulls may take too much memory"), "{message}");
}

#[test]
fn files_of_other_formats_are_refused_by_name() {
    let text = b"just a line of text that is long enough\n";
    assert_eq!(error(RecordFormat::SequenceFile, text), "it is no SequenceFile of version 5 or 6");
    assert_eq!(error(RecordFormat::Avro, text), "it is no Avro container file");
    assert_eq!(error(RecordFormat::Parquet, text), "it is no Parquet file, or one that is not complete");
    assert_eq!(error(RecordFormat::Parquet, b"short"), "it is no Parquet file");
}

#[test]
fn values_of_other_classes_and_codecs_are_refused_by_name() {
    let mut file = encoded(Format::SequenceFile, Codec::Gzip, &bodies());
    let at = |file: &[u8], text: &str| memchr::memmem::find(file, text.as_bytes()).unwrap();
    let codec = at(&file, "GzipCodec");
    file[codec..codec + 4].copy_from_slice(b"Lzop");
    let message = error(RecordFormat::SequenceFile, &file);
    assert!(message.contains("LzopCodec, which is not supported"), "{message}");
    let value = at(&file, "io.BytesWritable");
    file[value..value + 8].copy_from_slice(b"io.Wrong");
    let message = error(RecordFormat::SequenceFile, &file);
    assert!(message.contains("only BytesWritable and Text are read"), "{message}");
}

#[test]
fn blocks_and_pages_that_unpack_to_too_much_are_refused() {
    // 200 MiB of zeros in a few kilobytes.
    let zeros = zstd::encode_all(&vec![0; 200 << 20][..], 3).unwrap();
    let message = blocks::Compressed::Zstd.decompress(zeros).unwrap_err().to_string();
    assert!(message.contains("at most 67108864 are read"), "{message}");
    let long = "x".repeat(100 << 20);
    let file = parquet(vec![("text", Arc::new(StringViewArray::from(vec![long.as_str()])))]);
    let message = error(RecordFormat::Parquet, &file);
    assert!(message.contains("a page of") && message.contains("at most 67108864"), "{message}");
}

#[test]
fn pages_whose_headers_have_an_unusual_form_are_refused() {
    let number: ArrayRef = Arc::new(Int32Array::from(vec![7]));
    let mut file = parquet(vec![("number", number)]);
    // The first field of the first page's header, in the long form.
    assert_eq!(file[4], 0x15);
    file.splice(4..5, [0x05, 0x02]);
    let message = error(RecordFormat::Parquet, &file);
    assert!(message.contains("a page's header has an unusual form"), "{message}");
}

#[test]
fn pages_with_lists_and_statistics_are_read_in_both_versions() {
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let mut lists = ListBuilder::new(Int32Builder::new());
        for row in 0..10_000 {
            lists.append_value((0..row % 5).map(Some));
        }
        let batch = RecordBatch::try_from_iter([("list", Arc::new(lists.finish()) as ArrayRef)]).unwrap();
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_write_page_header_statistics(true)
            .set_data_page_row_count_limit(100)
            .set_write_batch_size(100)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        let rows = read(RecordFormat::Parquet, &writer.into_inner().unwrap(), RECORD_MAX).unwrap();
        assert_eq!(rows.len(), 10_000);
        assert_eq!(rows[9_998], br#"{"list":[0,1,2]}"#);
    }
}

#[test]
fn a_value_that_many_rows_share_is_not_in_memory_for_each() {
    // A dictionary of one value: 4,000 rows of 512 KiB are 2 GiB.
    let long = "x".repeat(512 << 10);
    let file = parquet(vec![("text", Arc::new(StringViewArray::from(vec![long.as_str(); 4_000])))]);
    assert!(file.len() < 2 << 20);
    let rules = RecordRules { format: RecordFormat::Parquet, record_bytes_max: RECORD_MAX };
    let mut stream = frames(Box::new(Bytes(Arc::new(file))), rules).unwrap();
    let (mut buffer, mut total) = (vec![0; 1 << 20], 0);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            read => total += read,
        }
    }
    assert_eq!(total, 4_000 * (FRAME_HEAD_BYTES + (512 << 10) + r#"{"text":""}"#.len()));
}

#[test]
fn damaged_files_are_errors_and_no_panic() {
    let bodies = bodies();
    let originals: Vec<(RecordFormat, Vec<u8>)> = FORMATS
        .into_iter()
        .flat_map(|format| files(format, &bodies[..300]).into_iter().map(move |file| (format, file)))
        .collect();
    let mut runner = TestRunner::new(Config { cases: 400, ..Config::default() });
    let damage = (0..originals.len(), proptest::num::u32::ANY, proptest::num::u8::ANY, proptest::bool::ANY);
    runner
        .run(&damage, |(number, at, byte, cuts)| {
            let (format, original) = &originals[number];
            let mut file = original.clone();
            let at = at as usize % file.len();
            if cuts {
                file.truncate(at);
            } else {
                file[at] = byte;
            }
            // Damage may go unnoticed in formats without checksums.
            let _ = read(*format, &file, RECORD_MAX);
            Ok(())
        })
        .unwrap();
}
