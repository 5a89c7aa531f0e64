use std::sync::Arc;

use arrow_array::builder::{Int64Builder, MapBuilder, StringViewBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, DurationMicrosecondArray, FixedSizeBinaryArray, Float64Array,
    Int64Array, ListArray, StringViewArray, UInt64Array,
};
use arrow_schema::{DataType, Field, TimeUnit};
use weir_runtime::batch::{Column, Origins};

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> Batch {
    let rows = columns[0].1.len();
    let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let columns = columns.into_iter().map(|(_, array)| Column::Array(array)).collect();
    Batch::new(Arc::new(schema), columns, rows, Origins::default()).unwrap()
}

fn encoded(format: MessageFormat, batch: &Batch) -> Contents {
    MessageFormatting::new(format, batch.schema()).unwrap().encode(batch, 0..batch.rows()).unwrap()
}

fn avro(schema: Option<&str>, frame: Frame, id: Option<u64>) -> MessageFormat {
    MessageFormat::Avro { headers: Vec::new(), schema: schema.map(str::to_owned), frame, id, registry: None }
}

/// Writes a schema with these fields into a file.
fn schema_file(fields: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let schema = format!(r#"{{"type": "record", "name": "Event", "fields": [{fields}]}}"#);
    std::fs::write(file.path(), schema).unwrap();
    file
}

fn in_file(file: &tempfile::NamedTempFile) -> MessageFormat {
    avro(file.path().to_str(), Frame::None, None)
}

fn ints(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn texts(values: Vec<&str>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

#[test]
fn raw_messages_are_the_bodies() {
    let bodies = BinaryViewArray::from_iter_values(["a", "", "\u{ff}"]);
    let batch = batch(vec![("body", Arc::new(bodies))]);
    let mut formatting = MessageFormatting::new(MessageFormat::Raw, batch.schema()).unwrap();
    let contents = formatting.encode(&batch, 1..3).unwrap();
    assert_eq!([contents.of(1), contents.of(2)], [&b""[..], "\u{ff}".as_bytes()]);
}

#[test]
fn json_messages_are_objects_without_line_ends() {
    let batch = batch(vec![
        ("@host", texts(vec!["web-1", "web-2"])),
        ("user", texts(vec!["ann", "b\n\"ob\""])),
        ("size", ints(vec![Some(5), None])),
    ]);
    let format = MessageFormat::Json { headers: vec!["@host".to_owned()] };
    let contents = encoded(format, &batch);
    let text = |row| std::str::from_utf8(contents.of(row)).unwrap();
    assert_eq!(text(0), r#"{"host":"web-1","user":"ann","size":5}"#);
    assert_eq!(text(1), r#"{"host":"web-2","user":"b\n\"ob\""}"#);
    assert_eq!(contents.unwritable, []);
}

#[test]
fn avro_messages_have_the_schema_of_the_events() {
    let batch = batch(vec![("n", ints(vec![Some(-1), None])), ("s", texts(vec!["a", "bc"]))]);
    let contents = encoded(avro(None, Frame::None, None), &batch);
    // Union branch, zigzag of -1; union branch, length and bytes.
    assert_eq!(contents.of(0), [2, 1, 2, 2, b'a']);
    assert_eq!(contents.of(1), [0, 2, 4, b'b', b'c']);
}

#[test]
fn frames_mark_the_number_of_the_schema() {
    let batch = batch(vec![("n", ints(vec![Some(1)]))]);
    let confluent = encoded(avro(None, Frame::Confluent, Some(258)), &batch);
    assert_eq!(confluent.of(0), [0, 0, 0, 1, 2, 2, 2]);
    let apicurio = encoded(avro(None, Frame::Apicurio, Some(258)), &batch);
    assert_eq!(apicurio.of(0), [0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2]);
    let single = encoded(avro(None, Frame::SingleObject, None), &batch);
    assert_eq!((&single.of(0)[..2], single.of(0).len()), (&[0xc3, 0x01][..], 12));
    for (frame, id) in [
        (Frame::Confluent, None),
        (Frame::Confluent, Some(1 << 32)),
        (Frame::Apicurio, None),
        (Frame::None, Some(1)),
        (Frame::SingleObject, Some(1)),
    ] {
        let made = MessageFormatting::new(avro(None, frame, id), batch.schema());
        assert!(matches!(made, Err(FormatError::SchemaId(_))), "{frame:?} {id:?}");
    }
}

#[test]
fn values_are_written_in_the_types_of_a_given_schema() {
    let file = schema_file(
        r#"{"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["get", "put"]}},
           {"name": "absent", "type": ["null", "string"], "default": null},
           {"name": "n", "type": "int"},
           {"name": "f", "type": ["float", "null"]},
           {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
           {"name": "day", "type": {"type": "int", "logicalType": "date"}},
           {"name": "b", "type": {"type": "fixed", "name": "Two", "size": 2}},
           {"name": "text", "type": "string"},
           {"name": "list", "type": {"type": "array", "items": "int"}}"#,
    );
    let time =
        |value| Arc::new(arrow_array::TimestampMicrosecondArray::from(vec![value]).with_timezone("UTC"));
    let list = ListArray::from_iter_primitive::<arrow_array::types::Int64Type, _, _>([Some([Some(3)])]);
    let batch = batch(vec![
        ("n", ints(vec![Some(1)])),
        ("f", Arc::new(Float64Array::from(vec![0.5]))),
        ("at", time(1_999)),
        ("day", time(86_400_000_000)),
        ("kind", texts(vec!["put"])),
        ("b", Arc::new(BinaryViewArray::from_iter_values(["xy"]))),
        ("text", Arc::new(BinaryViewArray::from_iter_values(["z"]))),
        ("list", Arc::new(list)),
    ]);
    let contents = encoded(in_file(&file), &batch);
    assert_eq!(contents.unwritable, []);
    let mut expected = vec![2, 0, 2, 0];
    expected.extend(0.5_f32.to_le_bytes());
    expected.extend([2, 2, b'x', b'y', 2, b'z', 2, 6, 0]);
    assert_eq!(contents.of(0), expected);
}

#[test]
fn only_the_rows_that_do_not_fit_a_schema_are_unwritable() {
    let file = schema_file(
        r#"{"name": "n", "type": "int"},
           {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["get"]}}"#,
    );
    let numbers = vec![Some(1), Some(1 << 40), None, Some(2), Some(3)];
    let batch =
        batch(vec![("n", ints(numbers)), ("kind", texts(vec!["get", "get", "get", "secret", "get"]))]);
    let contents = encoded(in_file(&file), &batch);
    let reasons: Vec<_> = contents.unwritable.iter().map(|row| (row.row, row.reason.as_str())).collect();
    let expected = [
        (1, "`n` is beyond the range of an int in the Avro schema"),
        (2, "`n` is null, and may not be in the Avro schema"),
        (3, "`kind` is no symbol of an enum in the Avro schema"),
    ];
    assert_eq!(reasons, expected);
    assert_eq!([contents.of(0), contents.of(4)], [[2, 0], [6, 0]]);
    assert!(contents.is_unwritable(2) && !contents.is_unwritable(4));
}

#[test]
fn a_size_beyond_a_long_is_unwritable() {
    let sizes = UInt64Array::from(vec![5, u64::MAX]);
    let batch = batch(vec![("size", Arc::new(sizes))]);
    let contents = encoded(avro(None, Frame::None, None), &batch);
    assert_eq!(contents.of(0), [2, 10]);
    assert_eq!(contents.unwritable.len(), 1);
    assert_eq!(contents.unwritable[0].row, 1);
}

#[test]
fn a_schema_that_can_not_hold_the_events_is_refused_at_the_start() {
    let batch = batch(vec![("n", ints(vec![Some(1)]))]);
    let refusals = [
        (r#"{"name": "m", "type": "long"}"#, "it has no field `n`"),
        (
            r#"{"name": "n", "type": "string"}"#,
            "the type of its field `n` has no values of the events' type Int",
        ),
        (r#"{"name": "n", "type": "long"}, {"name": "m", "type": "long"}"#, "its field `m` may not be null"),
        (r#"{"name": "n", "type": ["long", "string"]}"#, "the type of its field `n`"),
        (r#"{"name": "n"}"#, "it can't be used"),
    ];
    for (fields, expected) in refusals {
        let error = MessageFormatting::new(in_file(&schema_file(fields)), batch.schema()).unwrap_err();
        assert!(error.to_string().contains(expected), "{fields}: {error}");
    }
    let missing = avro(Some("/nowhere/event.avsc"), Frame::None, None);
    let error = MessageFormatting::new(missing, batch.schema()).unwrap_err().to_string();
    assert!(error.contains("\"/nowhere/event.avsc\": it can't be read"), "{error}");
}

#[test]
fn headers_have_the_bytes_or_the_text_of_their_values() {
    let values: Vec<(ArrayRef, &str)> = vec![
        (Arc::new(BinaryViewArray::from_iter_values(["raw"])), "raw"),
        (texts(vec!["a \"b\""]), "a \"b\""),
        (ints(vec![Some(-5)]), "-5"),
        (Arc::new(BooleanArray::from(vec![true])), "true"),
        (Arc::new(Float64Array::from(vec![1.5])), "1.5"),
        (Arc::new(UInt64Array::from(vec![1 << 40])), "1099511627776"),
        (Arc::new(Decimal128Array::from(vec![150]).with_precision_and_scale(10, 2).unwrap()), "1.50"),
        (Arc::new(DurationMicrosecondArray::from(vec![1_500_000])), "1500ms"),
        (
            Arc::new(
                FixedSizeBinaryArray::try_from_iter(
                    [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1]].iter(),
                )
                .unwrap(),
            ),
            "10.0.0.1",
        ),
    ];
    for (array, expected) in values {
        let field = Arc::new(Field::new("@h", array.data_type().clone(), true));
        let bytes = header_values(&field, &array).unwrap();
        assert_eq!(std::str::from_utf8(bytes.value(0)).unwrap(), expected);
    }
    let time = arrow_array::TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC");
    let field =
        Arc::new(Field::new("@t", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true));
    let bytes = header_values(&field, &(Arc::new(time) as ArrayRef)).unwrap();
    assert_eq!(bytes.value(0), b"1970-01-01T00:00:00Z");
    let mut maps = MapBuilder::new(None, StringViewBuilder::new(), Int64Builder::new());
    maps.keys().append_value("k");
    maps.values().append_value(1);
    maps.append(true).unwrap();
    let map: ArrayRef = Arc::new(maps.finish());
    let field = Arc::new(Field::new("@m", map.data_type().clone(), true));
    assert_eq!(header_values(&field, &map).unwrap().value(0), br#"{"k":1}"#);
}
