//! Compares the output of each format with expected text, or reads it back with readers of the same crates.
//! tests/end_to_end/foreign_readers.rs reads it with readers of other projects.

use std::io::Read;
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, MapBuilder, StringViewBuilder};
use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Decimal128Array, DurationMicrosecondArray,
    FixedSizeBinaryArray, Int64Array, ListArray, StringViewArray, StructArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Fields, SchemaRef, TimeUnit};
use weir_plan::ATTACHED;
use weir_runtime::batch::{Column, Origins};

use super::*;

fn bodies(bodies: &[impl AsRef<[u8]>]) -> Batch {
    let schema = Schema::new(vec![
        Field::new("@host", DataType::Utf8View, false),
        Field::new("body", DataType::BinaryView, false),
    ]);
    let body = BinaryViewArray::from_iter_values(bodies);
    let columns = vec![Column::constant_text("web-1"), body.into()];
    Batch::new(Arc::new(schema), columns, bodies.len(), Origins::default()).unwrap()
}

fn json(headers: &[&str]) -> Format {
    Format::Json { headers: headers.iter().map(|header| (*header).to_string()).collect() }
}

fn csv(delimiter: &str, headers: &[&str]) -> Format {
    let headers = headers.iter().map(|header| (*header).to_string()).collect();
    Format::Csv { delimiter: delimiter.to_string(), names: true, headers }
}

/// Encodes the rows of these ranges into a file, and takes output in between.
fn encoded(format: Format, codec: Codec, batch: &Batch, ranges: &[Range<u32>]) -> Vec<u8> {
    let formatting = Formatting::new(format, codec, batch.schema()).unwrap();
    let gathered = formatting.gather(batch, ranges).unwrap();
    let mut encoder = formatting.encoder().unwrap();
    let (mut bytes, mut next, rows) = (Vec::new(), 0, gathered.batch.num_rows());
    let buffers = Buffers::default();
    while next < rows {
        next += encoder.append(&gathered, next..rows, u64::MAX).unwrap();
        bytes.append(&mut encoder.take_output(100_000, &buffers).unwrap());
    }
    let mut encoded = encoder.finish().unwrap();
    bytes.append(&mut encoded.rest);
    assert_eq!(encoded.size, bytes.len() as u64);
    bytes
}

fn all(batch: &Batch) -> Vec<Range<u32>> {
    std::iter::once(0..batch.rows() as u32).collect()
}

fn decompressed(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut reader: Box<dyn Read> = match codec {
        Codec::None => Box::new(bytes),
        Codec::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
        Codec::Zstd => Box::new(zstd::Decoder::new(bytes).unwrap()),
        Codec::Snappy => Box::new(snap::read::FrameDecoder::new(bytes)),
        Codec::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(bytes)),
        Codec::Bzip2 => Box::new(bzip2::read::BzDecoder::new(bytes)),
    };
    reader.read_to_end(&mut plain).unwrap();
    plain
}

fn text(format: Format, batch: &Batch) -> String {
    String::from_utf8(encoded(format, Codec::None, batch, &all(batch))).unwrap()
}

#[test]
fn every_line_comes_back_through_every_codec() {
    let lines: Vec<String> = (0..20_000).map(|number| format!("line {number} {}", number * 7919)).collect();
    let batch = bodies(&lines);
    for codec in Codec::ALL {
        let bytes = encoded(Format::Text, codec, &batch, &all(&batch));
        assert!(decompressed(codec, &bytes) == (lines.join("\n") + "\n").as_bytes(), "{codec:?}");
        let bytes = encoded(Format::Raw, codec, &batch, &[3..4, 7..9]);
        assert_eq!(decompressed(codec, &bytes), (lines[3].clone() + &lines[7] + &lines[8]).as_bytes());
        let bytes = encoded(json(&[]), codec, &batch, &all(&batch));
        let plain = String::from_utf8(decompressed(codec, &bytes)).unwrap();
        assert_eq!(plain.lines().count(), lines.len());
        assert_eq!(plain.lines().last(), Some(&*format!("{{\"body\":\"{}\"}}", lines[19_999])));
        let bytes = encoded(csv(",", &["@host"]), codec, &batch, &all(&batch));
        let plain = String::from_utf8(decompressed(codec, &bytes)).unwrap();
        assert!(plain.starts_with("host,body\nweb-1,line 0 0\n") && plain.ends_with('\n'));
        assert_eq!(plain.lines().count(), lines.len() + 1);
    }
}

/// Decompresses all frames of a stream.
fn all_frames(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match codec {
        Codec::Gzip => drop(flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain).unwrap()),
        Codec::Bzip2 => drop(bzip2::read::MultiBzDecoder::new(bytes).read_to_end(&mut plain).unwrap()),
        Codec::Lz4 => {
            // `read_to_end` of this decoder ends with each frame.
            let mut decoder = lz4_flex::frame::FrameDecoder::new(bytes);
            while decoder.read_to_end(&mut plain).unwrap() > 0 {}
        }
        _ => plain = decompressed(codec, bytes),
    }
    plain
}

#[test]
fn a_file_can_be_cut_behind_each_of_its_parts() {
    let lines: Vec<String> = (0..3_000).map(|number| format!("line {number} {}", number * 7919)).collect();
    let batch = bodies(&lines);
    let buffers = Buffers::default();
    for codec in Codec::ALL {
        let formatting = Formatting::new(Format::Text, codec, batch.schema()).unwrap();
        let gathered = formatting.gather(&batch, &all(&batch)).unwrap();
        let mut encoder = formatting.encoder().unwrap();
        let (mut bytes, mut next) = (Vec::new(), 0);
        for end in [1, 2, 700, 700, 3_000] {
            while next < end {
                next += encoder.append(&gathered, next..end, u64::MAX).unwrap();
            }
            assert!(formatting.has_parts() && encoder.end_part().unwrap());
            bytes.append(&mut encoder.take_output(0, &buffers).unwrap());
            assert_eq!(encoder.size(), bytes.len() as u64);
            let expected = lines[..end].join("\n") + "\n";
            assert!(all_frames(codec, &bytes) == expected.as_bytes(), "{codec:?} to {end}");
        }
        let encoded = encoder.finish().unwrap();
        assert!(encoded.rest.is_empty(), "{codec:?} has no more output");
        assert_eq!((encoded.size, encoded.breaks), (bytes.len() as u64, 0));
    }
    let parquet = Format::Parquet { row_group: 100, headers: Vec::new() };
    let formatting = Formatting::new(parquet, Codec::None, batch.schema()).unwrap();
    assert!(!formatting.has_parts() && !formatting.encoder().unwrap().end_part().unwrap());
}

#[test]
fn line_breaks_in_bodies_are_counted_only_in_text() {
    let mut lines = vec!["a"; 50_000];
    lines[3] = "two\nlines";
    lines[40_000] = "\n\n";
    let batch = bodies(&lines);
    let breaks = |format, codec| {
        let formatting = Formatting::new(format, codec, batch.schema()).unwrap();
        let gathered = formatting.gather(&batch, &all(&batch)).unwrap();
        let mut encoder = formatting.encoder().unwrap();
        let mut next = 0;
        while next < lines.len() {
            next += encoder.append(&gathered, next..lines.len(), u64::MAX).unwrap();
        }
        encoder.finish().unwrap().breaks
    };
    assert_eq!(breaks(Format::Text, Codec::None), 3);
    assert_eq!(breaks(Format::Text, Codec::Gzip), 3);
    assert_eq!(breaks(json(&[]), Codec::None), 0);
    assert_eq!(breaks(Format::Raw, Codec::None), 0);
}

#[test]
fn rows_stop_where_the_file_reaches_its_size() {
    let batch = bodies(&["four"; 10]);
    for (format, rows) in [(Format::Text, 3), (Format::Raw, 3), (json(&[]), 1)] {
        let formatting = Formatting::new(format, Codec::None, batch.schema()).unwrap();
        let gathered = formatting.gather(&batch, &all(&batch)).unwrap();
        let mut encoder = formatting.encoder().unwrap();
        assert_eq!(encoder.append(&gathered, 0..10, 11).unwrap(), rows);
        encoder.take_output(0, &Buffers::default()).unwrap();
        assert_eq!(encoder.append(&gathered, rows..10, 12).unwrap(), 1);
    }
}

#[test]
fn files_of_formats_with_blocks_end_near_their_size() {
    let lines: Vec<String> =
        (0..100_000).map(|number| format!("{:016x}", number * 0x9e37_79b9_u64)).collect();
    let batch = bodies(&lines);
    let avro = Format::Avro { headers: Vec::new() };
    let parquet = Format::Parquet { row_group: 100_000, headers: Vec::new() };
    for format in [avro, parquet, Format::SequenceFile, csv(",", &[]), json(&[])] {
        let formatting = Formatting::new(format.clone(), Codec::None, batch.schema()).unwrap();
        let gathered = formatting.gather(&batch, &all(&batch)).unwrap();
        let mut encoder = formatting.encoder().unwrap();
        let mut next = 0;
        while encoder.size() < 400_000 {
            next += encoder.append(&gathered, next..lines.len(), 400_000).unwrap();
        }
        let size = encoder.finish().unwrap().size;
        assert!((350_000..600_000).contains(&size), "{format:?}: {size}");
    }
}

/// One column of each type, with a row of values and a row of nulls.
fn typed() -> Batch {
    let mut map = MapBuilder::new(None, StringViewBuilder::new(), Int64Builder::new());
    map.keys().append_value("a \"b\"");
    map.values().append_value(1);
    map.append(true).unwrap();
    map.append(false).unwrap();
    let map = map.finish();
    let strings: ArrayRef = Arc::new(StringViewArray::from(vec!["x", "y, z"]));
    let item = Arc::new(Field::new("item", DataType::Utf8View, false));
    let list = ListArray::new(
        item,
        arrow_buffer::OffsetBuffer::from_lengths([2, 0]),
        strings,
        Some(vec![true, false].into()),
    );
    let place = StructArray::new(
        Fields::from(vec![Field::new("ip", DataType::FixedSizeBinary(16), true)]),
        vec![addresses()],
        None,
    );
    let arrays: Vec<(&str, ArrayRef)> = vec![
        ("@host", Arc::new(StringViewArray::from(vec![Some("web"), None]))),
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("bytes", Arc::new(BinaryViewArray::from_iter([Some(&b"\xff\x00"[..]), None]))),
        ("decimal", Arc::new(decimals())),
        ("duration", Arc::new(DurationMicrosecondArray::from(vec![Some(1_500_000), None]))),
        ("float", Arc::new(arrow_array::Float64Array::from(vec![Some(0.5), None]))),
        ("int", Arc::new(Int64Array::from(vec![Some(-7), None]))),
        ("ip", addresses()),
        ("list", Arc::new(list)),
        ("map", Arc::new(map)),
        ("place", Arc::new(place)),
        ("size", Arc::new(UInt64Array::from(vec![Some(1 << 40), None]))),
        ("text", Arc::new(StringViewArray::from(vec![Some("say \"hi\", grün\n"), None]))),
        ("time", Column::times(vec![1_767_268_800_000_001, 0]).values().slice(0, 2)),
    ];
    let fields = arrays.iter().map(|(name, array)| {
        let nullable = array.null_count() > 0;
        Field::new(*name, array.data_type().clone(), nullable)
    });
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = arrays.into_iter().map(|(_, array)| Column::Array(array)).collect();
    Batch::new(schema, columns, 2, Origins::default()).unwrap()
}

fn addresses() -> ArrayRef {
    let address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    let addresses = [Some(address), None];
    Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(addresses.into_iter(), 16).unwrap())
}

fn decimals() -> Decimal128Array {
    Decimal128Array::from(vec![Some(1_230), None]).with_precision_and_scale(10, 2).unwrap()
}

#[test]
fn json_writes_every_type_as_the_parser_reads_it() {
    let lines = text(json(&["@host"]), &typed());
    let expected = [
        r#"{"host":"web","bool":true,"bytes":"base64:/wA=","decimal":12.30,"duration":"1500ms","float":0.5,"#,
        r#""int":-7,"ip":"10.0.0.1","list":["x","y, z"],"map":{"a \"b\"":1},"place":{"ip":"10.0.0.1"},"#,
        r#""size":1099511627776,"text":"say \"hi\", grün\n","time":"2026-01-01T12:00:00.000001Z"}"#,
        "\n",
        r#"{"place":{},"time":"1970-01-01T00:00:00Z"}"#,
        "\n",
    ];
    assert_eq!(lines, expected.concat());
}

#[test]
fn csv_writes_every_type_into_one_cell() {
    let lines = text(csv(";", &["@host"]), &typed());
    let expected = [
        "host;bool;bytes;decimal;duration;float;int;ip;list;map;place;size;text;time\n",
        r#"web;true;base64:/wA=;12.30;1500ms;0.5;-7;10.0.0.1;"[""x"",""y, z""]";"{""a \""b\"""":1}";"#,
        r#""{""ip"":""10.0.0.1""}";1099511627776;"say ""hi"", grün"#,
        "\n\";2026-01-01T12:00:00.000001Z\n",
        ";;;;;;;;;;{};;;1970-01-01T00:00:00Z\n",
    ];
    assert_eq!(lines, expected.concat());
}

#[test]
fn parquet_and_avro_write_every_type_in_every_codec_that_they_have() {
    for codec in Codec::ALL {
        let avro = Format::Avro { headers: vec!["host".into()] };
        let parquet = Format::Parquet { row_group: 1_000, headers: vec!["@host".into()] };
        for (format, lacks) in [(avro, Codec::Lz4), (parquet, Codec::Bzip2)] {
            let batch = typed();
            if codec == lacks {
                let error = Formatting::new(format, codec, batch.schema()).unwrap_err();
                assert!(error.to_string().contains("has no"), "{error}");
                continue;
            }
            let bytes = encoded(format.clone(), codec, &batch, &[1..2, 0..1]);
            let rows: usize = match format {
                Format::Avro { .. } => {
                    let reader = arrow_avro::reader::ReaderBuilder::new().build(std::io::Cursor::new(bytes));
                    reader.unwrap().map(|batch| batch.unwrap().num_rows()).sum()
                }
                _ => {
                    let reader = ::parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(
                        bytes::Bytes::from(bytes),
                        1_024,
                    );
                    reader.unwrap().map(|batch| batch.unwrap().num_rows()).sum()
                }
            };
            assert_eq!(rows, 2);
        }
    }
}

#[test]
fn readers_of_other_projects_read_every_type() {
    let folder = tempfile::TempDir::new().unwrap();
    let avro = Format::Avro { headers: vec!["host".into()] };
    let parquet = Format::Parquet { row_group: 1_000, headers: vec!["@host".into()] };
    let name = |format: &Format| if matches!(format, Format::Avro { .. }) { "avro" } else { "parquet" };
    for format in [avro, parquet] {
        let batch = typed();
        let path = folder.path().join(format!("typed.{}", name(&format)));
        std::fs::write(&path, encoded(format.clone(), Codec::Zstd, &batch, &all(&batch))).unwrap();
        let rows = read_by_python(name(&format), &path);
        let first = serde_json::json!({
            "host": "web", "bool": true, "bytes": "base64:/wA=", "decimal": "12.30", "duration": 1_500_000,
            "float": 0.5, "int": -7, "ip": "10.0.0.1", "list": ["x", "y, z"], "map": { "a \"b\"": 1 },
            "place": { "ip": "10.0.0.1" }, "size": 1_u64 << 40, "text": "say \"hi\", grün\n",
            "time": "2026-01-01T12:00:00.000001+00:00",
        });
        assert_eq!(rows[0], first, "{format:?}");
        assert_eq!(rows[1]["time"], "1970-01-01T00:00:00+00:00");
        assert!(rows[1]["ip"].is_null() && rows[1]["map"].is_null() && rows[1]["place"]["ip"].is_null());
        assert_eq!(rows.len(), 2);
    }
}

/// Reads the rows of a file with Python, by readers of other projects, which `tests/install` installs.
fn read_by_python(format: &str, file: &std::path::Path) -> Vec<serde_json::Value> {
    let cache = || std::env::var("XDG_CACHE_HOME").or_else(|_| Ok(std::env::var("HOME")? + "/.cache"));
    let cache = cache().unwrap_or_else(|_: std::env::VarError| "/tmp/.cache".to_string());
    let readers = std::env::var("WEIR_READERS").unwrap_or_else(|_| cache + "/weir-readers");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/readers/read.py");
    let output = std::process::Command::new(format!("{readers}/bin/python"))
        .args([script.as_ref(), format.as_ref(), file.as_os_str()])
        .output()
        .unwrap_or_else(|error| panic!("no Python in {readers}, which tests/install makes: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn bytes_that_are_text_are_written_as_text() {
    let batch = bodies(&["plain", "base64:AA==", "grün"]);
    let expected = "{\"body\":\"plain\"}\n{\"body\":\"base64:YmFzZTY0OkFBPT0=\"}\n{\"body\":\"grün\"}\n";
    assert_eq!(text(json(&[]), &batch), expected);
    assert_eq!(text(csv(",", &[]), &batch), "body\nplain\nbase64:YmFzZTY0OkFBPT0=\ngrün\n");
}

#[test]
fn columns_that_can_not_be_written_are_refused() {
    let batch = bodies(&["a"]);
    let refused =
        |format: Format| Formatting::new(format, Codec::None, batch.schema()).unwrap_err().to_string();
    assert!(refused(json(&["@nowhere"])).contains("the header `@nowhere`"));
    assert!(refused(json(&["@host", "@host"])).contains("two columns called `host`"));
    assert!(refused(csv(";;", &[])).contains("one ASCII character"));
    let headers = Schema::new(vec![Field::new("@t", DataType::Int64, false)]);
    let nothing = Formatting::new(json(&[]), Codec::None, &headers).unwrap_err();
    assert!(nothing.to_string().contains("nothing to write"));
    let body = Formatting::new(Format::Text, Codec::None, &headers).unwrap_err();
    assert!(body.to_string().contains("no `body`"));
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let clash = Schema::new(vec![Field::new("@time", time.clone(), false), Field::new("time", time, false)]);
    assert!(Formatting::new(json(&["@time"]), Codec::None, &clash).is_err());
}

#[test]
fn extensions_name_the_format_and_the_codec() {
    let batch = bodies(&["a"]);
    let extension =
        |format, codec| Formatting::new(format, codec, batch.schema()).unwrap().extension().to_string();
    assert_eq!(extension(Format::Text, Codec::Gzip), ".txt.gz");
    assert_eq!(extension(json(&[]), Codec::Zstd), ".json.zst");
    assert_eq!(extension(csv(",", &[]), Codec::Snappy), ".csv.sz");
    assert_eq!(extension(Format::Raw, Codec::Lz4), ".bin.lz4");
    assert_eq!(extension(Format::Avro { headers: Vec::new() }, Codec::Bzip2), ".avro");
    assert_eq!(extension(Format::SequenceFile, Codec::Bzip2), ".seq");
}

#[test]
fn headers_that_peers_attach_are_written_by_no_format() {
    let pair =
        vec![Field::new("key", DataType::Utf8View, false), Field::new("value", DataType::Utf8View, false)];
    let entries = Arc::new(Field::new("entries", DataType::Struct(pair.into()), false));
    let schema = Schema::new(vec![
        Field::new("@host", DataType::Utf8View, false),
        Field::new("body", DataType::BinaryView, false),
        Field::new("headers", DataType::Map(entries, false), false)
            .with_metadata(std::collections::HashMap::from([(ATTACHED.to_owned(), "true".to_owned())])),
        Field::new("user", DataType::Utf8View, false),
    ]);
    let written = |format: Format| -> Vec<String> {
        let formatting = Formatting::new(format, Codec::None, &schema).unwrap();
        formatting.columns.schema().fields().iter().map(|field| field.name().clone()).collect()
    };
    for format in [Format::Text, Format::Raw, Format::SequenceFile] {
        assert_eq!(written(format), ["body"]);
    }
    let headers = Vec::new;
    let avro = Format::Avro { headers: headers() };
    let parquet = Format::Parquet { row_group: 1_000, headers: headers() };
    for format in [json(&[]), csv(",", &[]), avro, parquet] {
        assert_eq!(written(format), ["body", "user"]);
    }
    assert_eq!(written(json(&["@host"])), ["host", "body", "user"]);
    let refused = Formatting::new(json(&["@headers"]), Codec::None, &schema).unwrap_err();
    assert!(refused.to_string().contains("@headers"), "only headers with names can be asked for: {refused}");
}

#[test]
fn a_field_that_is_called_headers_is_written() {
    let schema = Schema::new(vec![Field::new("headers", DataType::Utf8View, false)]);
    let formatting = Formatting::new(json(&[]), Codec::None, &schema).unwrap();
    assert_eq!(formatting.columns.schema().field(0).name(), "headers");
}
