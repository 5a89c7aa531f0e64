use std::sync::Arc;

use arrow_array::builder::{Int64Builder, MapBuilder, StringBuilder};
use arrow_array::{Array, BinaryViewArray};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray, TimestampMillisecondArray,
};
use arrow_avro::schema::{AvroSchema, FingerprintStrategy};
use arrow_avro::writer::format::AvroSoeFormat;
use arrow_avro::writer::{WriterBuilder, format::AvroBinaryFormat};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{Field, Schema};
use fastrand::Rng;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::tests::mutations::damaged;
use super::super::tests::{ParseStep, ParsedRow};

const AVRO: &str = r#"{
  "type": "record", "name": "Click", "namespace": "shop", "fields": [
    {"name": "id", "type": "long"},
    {"name": "unwanted", "type": {"type": "array", "items": {"type": "map", "values": "bytes"}}},
    {"name": "user", "type": ["null", "string"]},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["view", "order"]}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
    {"name": "ratio", "type": ["double", "float", "int"]},
    {"name": "fine", "type": "boolean"},
    {"name": "took", "type": "int"},
    {"name": "raw", "type": {"type": "fixed", "name": "Hash", "size": 4}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "counts", "type": {"type": "map", "values": "int"}},
    {"name": "tree", "type": {"type": "record", "name": "Tree", "fields": [
      {"name": "name", "type": "string"}, {"name": "more", "type": {"type": "array", "items": "Tree"}}
    ]}}
  ]
}"#;

const SCHEMAS: &str = "
schema Click {
  id: Int in 0..=99, user: Text?, kind: Text, at: Time, day: Time, price: Decimal(10, 2), ratio: Float, fine: Bool
  took: Duration in ms, raw: Bytes, tags: [Text], counts: Map<Int>, tree: Tree, absent: Int?
}
schema Few { id: Int }
schema Foreign {
  id: Int, user: Text?, at: Time, price: Decimal(10, 2), ratio: Float?, fine: Bool, raw: Bytes, tags: [Text]
  counts: Map<Int>, place: Place
}
schema Place { name: Text? }
schema Tree { name: Text, more: [Leaf] }
schema Leaf { name: Text }
";

fn long(number: i64) -> Vec<u8> {
    let (mut rest, mut bytes) = ((number << 1 ^ number >> 63) as u64, Vec::new());
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

fn text(text: &[u8]) -> Vec<u8> {
    [long(text.len() as i64), text.to_vec()].concat()
}

/// Returns a datum of the schema.
fn datum(id: i64) -> Vec<u8> {
    [
        long(id),
        // Two blocks, the second with its size: a list of maps.
        [long(1), long(1), text(b"a"), text(b"\xff"), long(0)].concat(),
        [long(-1), long(1), long(0), long(0)].concat(),
        [long(1), text("a long enough n\u{e4}me".as_bytes())].concat(),
        long(1),
        long(1_718_800_000_123),
        long(-1),
        text(&[0xfb, 0x2e]),
        [long(1), 0.5_f32.to_le_bytes().to_vec()].concat(),
        vec![1],
        long(1_500),
        vec![0xde, 0xad, 0xbe, 0xef],
        [long(2), text(b"x"), text(b"a longer text than twelve"), long(0)].concat(),
        [long(1), text(b"n"), long(7), long(0)].concat(),
        [text(b"root"), long(1), text(b"leaf"), long(0), long(0)].concat(),
    ]
    .concat()
}

/// A step with a schema in a file, which goes away with the step.
struct AvroStep {
    step: ParseStep,
    _folder: TempDir,
}

fn step(avro: &str, settings: &str, schema: &str) -> AvroStep {
    let folder = TempDir::new().expect("there is space");
    let path = folder.path().join("click.avsc");
    std::fs::write(&path, avro).expect("there is space");
    let step = format!("parse avro(\"{}\"{settings}) as {schema}", path.display());
    AvroStep { step: ParseStep::compile(&step, SCHEMAS), _folder: folder }
}

fn parsed(settings: &str, schema: &str, body: &[u8]) -> ParsedRow {
    step(AVRO, settings, schema).step.row(body)
}

/// Returns why a parser with this schema is refused.
fn refused(avro: &str, schema: &str) -> String {
    let AvroStep { step, _folder } = step(avro, "", schema);
    step.try_parser().err().expect("the parser is refused")
}

fn expected(id: i64) -> Value {
    json!({
        "id": id, "user": "a long enough n\u{e4}me", "kind": "order", "at": "2024-06-19T12:26:40.123Z",
        "day": "1969-12-31T00:00:00Z", "price": -12.34, "ratio": 0.5, "fine": true, "took": "1500ms",
        "raw": "base64:3q2+7w==", "tags": ["x", "a longer text than twelve"], "counts": { "n": 7 },
        "tree": { "name": "root", "more": [{ "name": "leaf" }] },
    })
}

#[test]
fn fields_of_the_writers_schema_become_fields_of_these_names() {
    assert_eq!(parsed("", "Click", &datum(7)), Ok(expected(7)));
    assert_eq!(parsed("", "Few", &datum(7)), Ok(json!({ "id": 7 })));
}

#[test]
fn marks_of_registries_are_recognised() {
    for (frame, mark) in [
        ("confluent", &[0, 0, 0, 0, 9][..]),
        ("apicurio", &[0; 9][..]),
        ("single_object", &[0xc3, 1, 1, 2, 3, 4, 5, 6, 7, 8][..]),
    ] {
        let settings = format!(", frame: {frame}");
        assert_eq!(parsed(&settings, "Click", &[mark, &datum(7)].concat()), Ok(expected(7)));
        let reason = parsed(&settings, "Click", &datum(7)).expect_err("it has no mark");
        assert!(reason.contains("at byte 0 is not the mark of"), "{reason}");
        assert!(parsed(&settings, "Click", &mark[..3]).is_err());
    }
    assert_eq!(parsed(", skip: 2", "Click", &[b"ab", &datum(7)[..]].concat()), Ok(expected(7)));
    assert_eq!(
        parsed(", skip: 2", "Click", b"a"),
        Err("\"\" at byte 1 is not as long as the `skip` of the parser".to_owned())
    );
}

#[test]
fn what_is_no_datum_fails_with_the_field_and_the_place() {
    let body = datum(7);
    for length in 0..body.len() {
        assert!(parsed("", "Click", &body[..length]).is_err(), "{length} bytes");
    }
    let reason = parsed("", "Click", &[&body[..], b"x"].concat()).expect_err("it is too long");
    assert_eq!(reason, format!("\"x\" at byte {} is not the end of the datum", body.len()));
    let reason = parsed("", "Click", &datum(100)).expect_err("it is out of its range");
    assert!(
        reason.starts_with("field `id`: ")
            && reason.ends_with("at byte 0 is not an Int in the range of the field"),
        "{reason}"
    );
    let reason = parsed("", "Click", &[long(7), long(1), long(1), long(99)].concat()).expect_err("it is cut");
    assert_eq!(reason, "field `unwanted`: \"\u{fffd}\\u{1}\" at byte 3 is not a length within the body");
    let named = [long(7), long(0), long(1), text(b"\xff")].concat();
    let reason = parsed("", "Click", &named).expect_err("it is no text");
    assert_eq!(reason, "field `user`: \"\u{fffd}\" at byte 4 is not a Text");
}

/// Numbers of items that would take for ever, and records in each other without an end.
#[test]
fn hostile_data_fail_soon() {
    let endless = [long(7), long(i64::MAX)].concat();
    assert!(parsed("", "Click", &endless).is_err());
    let few = [long(7), long(0), long(0), long(0)].concat();
    let deep: Vec<u8> = [few, [text(b"t"), long(1)].concat().repeat(100_000)].concat();
    let reason = step(DEEP, "", "Few").step.row(deep).expect_err("it has no end");
    assert!(
        reason.starts_with("field `tree`: ") && reason.ends_with("a value with at most 128 levels"),
        "{reason}"
    );
    let long_text = [long(7), long(0), long(1), long(i64::MAX)].concat();
    assert!(parsed("", "Click", &long_text).is_err());
    let endless_nulls = [long(7), long(1 << 40)].concat();
    let nulls = r#"{"type": "record", "name": "A", "fields": [
        {"name": "id", "type": "long"}, {"name": "nulls", "type": {"type": "array", "items": "null"}}]}"#;
    let reason = step(nulls, "", "Few").step.row(endless_nulls).expect_err("it has no end");
    assert!(reason.ends_with("is not a number of items within the body"), "{reason}");
    assert!(parsed("", "Click", &[0xff; 40]).is_err());
}

const DEEP: &str = r#"{"type": "record", "name": "A", "fields": [
    {"name": "id", "type": "long"}, {"name": "a", "type": "long"}, {"name": "b", "type": "long"},
    {"name": "c", "type": "long"},
    {"name": "tree", "type": {"type": "record", "name": "Tree", "fields": [
        {"name": "name", "type": "string"}, {"name": "more", "type": {"type": "array", "items": "Tree"}}]}}]}"#;

#[test]
fn damaged_data_are_values_or_failures_of_their_rows() {
    let AvroStep { step, _folder } = step(AVRO, "", "Click");
    let (parser, body) = (step.parser(), datum(7));
    let mut random = Rng::with_seed(7);
    let mut failed = 0;
    for _ in 0..200 {
        let bodies: Vec<Vec<u8>> = (0..20).map(|_| damaged(&body, &mut random)).collect();
        let parsed = parser.parse(&BinaryViewArray::from_iter_values(&bodies)).expect("only rows fail");
        assert!(parsed.columns.iter().all(|column| column.len() == bodies.len()));
        failed += parsed.failures.rows().count();
    }
    assert!((100..4_000).contains(&failed), "{failed} of 4,000 data failed");
}

#[test]
fn schemas_that_do_not_fit_are_refused_at_the_start() {
    let with_id = |id: &str| {
        format!(r#"{{"type": "record", "name": "A", "fields": [{{"name": "id", "type": {id}}}]}}"#)
    };
    let cases = [
        ("{".to_owned(), "it is no JSON: "),
        (r#""long""#.to_owned(), "it is an int or a long, and not a record"),
        (with_id(r#""Other""#), "it has no type `Other`"),
        (with_id(r#""string""#), "the field `id` in it is a string, and not an Int"),
        (with_id(r#"["null", "string"]"#), "the field `id` in it is a union without a branch"),
        (with_id(r#"{"type": "enum", "name": "E", "symbols": 7}"#), "the symbols of an enum in it"),
        (r#"{"type": "record", "name": "A", "fields": []}"#.to_owned(), "it has no field `id`"),
    ];
    for (avro, why) in cases {
        let found = refused(&avro, "Few");
        assert!(found.contains("click.avsc") && found.contains(why), "{found}");
    }
    let found = refused(AVRO, "Few strict");
    assert!(found.ends_with("the step is strict and has no field `unwanted`"), "{found}");
}

/// Rows as another implementation writes them, which makes the schema too.
fn foreign_rows(strategy: Option<FingerprintStrategy>) -> (String, Vec<Vec<u8>>) {
    let item = Arc::new(Field::new("item", arrow_schema::DataType::Utf8, false));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "a longer text than twelve"]));
    let tags = ListArray::new(item, OffsetBuffer::from_lengths([2, 0, 1]), texts, None);
    let mut counts = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for row in 0..3 {
        (0..row).for_each(|entry| {
            counts.keys().append_value(format!("key {entry}"));
            counts.values().append_value(-entry);
        });
        counts.append(true).expect("there is a value for each key");
    }
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("r\u{fc}t"), None, Some("")]));
    let name = Arc::new(Field::new("name", arrow_schema::DataType::Utf8, true));
    let prices = Decimal128Array::from(vec![-1_234, 0, 99_999]).with_precision_and_scale(10, 2);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, -2_000_000, i64::MAX]))),
        ("user", Arc::new(StringArray::from(vec![Some("ann"), None, Some("a user with a long name")]))),
        (
            "at",
            Arc::new(TimestampMillisecondArray::from(vec![0, -1, 1_718_864_000_123]).with_timezone("UTC")),
        ),
        ("price", Arc::new(prices.expect("the digits are enough"))),
        ("ratio", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(-1e300)]))),
        ("fine", Arc::new(BooleanArray::from(vec![true, false, true]))),
        ("raw", Arc::new(BinaryArray::from_vec(vec![b"\x00\xff", b"", b"abc"]))),
        ("tags", Arc::new(tags)),
        ("counts", Arc::new(counts.finish())),
        ("place", Arc::new(StructArray::from(vec![(name, names)]))),
    ];
    let nullable = ["user", "ratio"];
    let fields = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), nullable.contains(name)));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let avro = AvroSchema::try_from(&schema).expect("Avro has the types").json_string;
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), columns).expect("the columns fit");
    let builder = WriterBuilder::new(schema);
    let encoder = match strategy {
        Some(strategy) => builder.with_fingerprint_strategy(strategy).build_encoder::<AvroSoeFormat>(),
        None => builder.build_encoder::<AvroBinaryFormat>(),
    };
    let mut encoder = encoder.expect("Avro has the types");
    encoder.encode(&batch).expect("Avro has the values");
    (avro, encoder.flush().iter().map(|row| row.to_vec()).collect())
}

#[test]
fn data_of_another_implementation_are_read() {
    let expected = [
        json!({ "id": 1, "user": "ann", "at": "1970-01-01T00:00:00Z", "price": -12.34, "ratio": 0.1, "fine": true,
            "raw": "base64:AP8=", "tags": ["x", "y"], "counts": {}, "place": { "name": "r\u{fc}t" } }),
        json!({ "id": -2_000_000, "at": "1969-12-31T23:59:59.999Z", "price": 0.0, "fine": false, "raw": "",
            "tags": [], "counts": { "key 0": 0 }, "place": {} }),
        json!({ "id": i64::MAX, "user": "a user with a long name", "at": "2024-06-20T06:13:20.123Z",
            "price": 999.99, "ratio": -1e300, "fine": true, "raw": "abc", "tags": ["a longer text than twelve"],
            "counts": { "key 0": 0, "key 1": -1 }, "place": { "name": "" } }),
    ];
    for (frame, strategy) in [
        ("none", None),
        ("confluent", Some(FingerprintStrategy::Id(7))),
        ("apicurio", Some(FingerprintStrategy::Id64(1 << 40))),
        ("single_object", Some(FingerprintStrategy::Rabin)),
    ] {
        let (avro, rows) = foreign_rows(strategy);
        let AvroStep { step, _folder } = step(&avro, &format!(", frame: {frame}"), "Foreign");
        for (row, expected) in rows.iter().zip(&expected) {
            assert_eq!(step.row(row), Ok(expected.clone()), "{frame}");
        }
    }
}
