use arrow_array::builder::{MapBuilder, StringViewBuilder};
use arrow_array::{ArrayRef, Int64Array, ListArray, Scalar, StringViewArray, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Schema};

use super::*;

fn example() -> Batch {
    let schema = Schema::new(vec![
        Field::new("@host", DataType::Utf8View, false),
        Field::new("@offset", DataType::Int64, false),
        Field::new("body", DataType::BinaryView, false),
    ]);
    let columns = vec![
        Column::constant_text("web-1"),
        Int64Array::from(vec![0, 2, 5]).into(),
        BinaryViewArray::from_iter_values(["a", "bb", "a body of more than twelve bytes"]).into(),
    ];
    Batch::new(Arc::new(schema), columns, 3, Origins::one(Partition::new("p"), 0, 9)).unwrap()
}

#[test]
fn payload_and_charge_count_the_bytes_of_values() {
    let batch = example();
    assert_eq!(batch.payload_bytes(), 1 + 2 + 32);
    assert_eq!(batch.charged_bytes(), 35 + 3 * 8 + 5 + 3 * 16);
}

/// A column of maps from text to text.
fn maps(rows: &[&[(&str, &str)]]) -> ArrayRef {
    let mut builder = MapBuilder::new(None, StringViewBuilder::new(), StringViewBuilder::new());
    for entries in rows {
        for (name, value) in *entries {
            builder.keys().append_value(name);
            builder.values().append_value(value);
        }
        builder.append(true).unwrap();
    }
    Arc::new(builder.finish())
}

fn with_headers(column: Column, rows: usize) -> Batch {
    let field = Field::new("@headers", column.data_type().clone(), false);
    let schema = Arc::new(Schema::new(vec![field]));
    Batch::new(schema, vec![column], rows, Origins::default()).unwrap()
}

#[test]
fn maps_are_charged_for_each_entry_and_shared_ones_once() {
    let short: Vec<(String, String)> = (0..1_000).map(|n| (n.to_string(), String::new())).collect();
    let short: Vec<(&str, &str)> = short.iter().map(|(name, value)| (&**name, &**value)).collect();
    let text: u64 = short.iter().map(|(name, _)| name.len() as u64).sum();
    let own = with_headers(Column::Array(maps(&[&short, &short, &[]])), 3);
    assert_eq!(own.charged_bytes(), 2 * (text + 1_000 * 32) + 3 * 4 + 3 * 16);
    let memory = own.columns[0].values().get_array_memory_size() as u64;
    assert!(memory <= 2 * own.charged_bytes(), "it costs {memory} bytes");
    assert_eq!(own.slice(1, 1).charged_bytes(), text + 1_000 * 32 + 4 + 16);
    let shared = with_headers(Column::Constant(Scalar::new(maps(&[&short]))), 4_096);
    assert_eq!(shared.charged_bytes(), text + 1_000 * 32 + 4 + 4_096 * 16);
}

#[test]
fn texts_beside_the_body_are_charged_for_their_views() {
    let schema = Schema::new(vec![
        Field::new("name", DataType::Utf8View, true),
        Field::new("body", DataType::BinaryView, false),
    ]);
    let names: ArrayRef = Arc::new(StringViewArray::from(vec![None, Some("x")]));
    let bodies = BinaryViewArray::from_iter_values(["", "yy"]).into();
    let batch = Batch::new(Arc::new(schema), vec![Column::Array(names), bodies], 2, Origins::default());
    assert_eq!(batch.unwrap().charged_bytes(), 3 + 2 * 16 + 2 * 16);
}

#[test]
fn a_filter_keeps_rows_and_origins() {
    let kept = example().filter(&BooleanArray::from(vec![Some(true), None, Some(true)])).unwrap();
    assert_eq!(kept.rows(), 2);
    assert_eq!(kept.bodies().unwrap().value(1), b"a body of more than twelve bytes");
    assert_eq!(kept.origins(), example().origins());
}

#[test]
fn a_small_rest_of_a_large_buffer_is_copied() {
    let bodies: Vec<Vec<u8>> = (0..1000).map(|n| vec![n as u8; 100]).collect();
    let schema = Arc::new(Schema::new(vec![Field::new("body", DataType::BinaryView, false)]));
    let column = BinaryViewArray::from_iter_values(bodies).into();
    let batch = Batch::new(schema, vec![column], 1000, Origins::default()).unwrap();
    let rest = batch.slice(7, 2);
    assert!(rest.columns[0].bytes_retained() >= 100_000);
    let rest = rest.compacted();
    assert_eq!(rest.columns[0].bytes_retained(), 200);
    assert_eq!(rest.bodies().unwrap().value(0), &[7; 100]);
}

/// A column of records, each with a list of two texts of 100 bytes.
fn lists(rows: usize) -> ArrayRef {
    let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..2 * rows).map(|_| "x".repeat(100))));
    let item = Arc::new(Field::new("item", DataType::Utf8View, false));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(2, rows));
    let lists = ListArray::try_new(item.clone(), offsets, texts, None).unwrap();
    let tags = Field::new("tags", DataType::List(item), false);
    Arc::new(StructArray::try_new(vec![tags].into(), vec![Arc::new(lists)], None).unwrap())
}

#[test]
fn lists_within_records_are_charged_and_copied() {
    let batch = with_headers(Column::Array(lists(1_000)), 1_000);
    assert_eq!(batch.charged_bytes(), 1_000 * (2 * (100 + 16) + 4 + 16));
    let rest = batch.slice(7, 2);
    assert_eq!(rest.charged_bytes(), 2 * (2 * (100 + 16) + 4 + 16));
    assert!(rest.columns[0].bytes_retained() >= 200_000);
    let copied = rest.clone().compacted();
    assert!(copied.columns[0].bytes_retained() < 1_000, "{}", copied.columns[0].bytes_retained());
    assert_eq!(copied.columns[0].values().as_struct(), rest.columns[0].values().as_struct());
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let schema = example().schema().clone();
    let error = Batch::new(schema.clone(), vec![], 3, Origins::default()).unwrap_err();
    assert!(matches!(error, BatchError::ColumnCount { found: 0, expected: 3 }));
    let short = vec![
        Column::constant_text("web-1"),
        Int64Array::from(vec![1]).into(),
        BinaryViewArray::from_iter_values(["a", "b", "c"]).into(),
    ];
    let error = Batch::new(schema, short, 3, Origins::default()).unwrap_err();
    assert_eq!(error.to_string(), "column `@offset` does not fit: 1 rows in a batch of 3");
}

#[test]
fn changed_columns_are_counted_like_new_ones() {
    let batch = example();
    let texts =
        || Column::Array(Arc::new(StringViewArray::from(vec!["x", "a text of fifteen", ""])) as ArrayRef);
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let [host, offset, body] = [0, 1, 2].map(|index| batch.schema().field(index).clone());
    for (fields, new) in [
        (
            vec![host.clone(), offset.clone(), body.clone(), field("name", DataType::Utf8View)],
            vec![("name", texts())],
        ),
        (vec![host.clone(), body.clone()], vec![]),
        (vec![field("host", DataType::Utf8View), body.clone()], vec![("host", batch.columns[0].clone())]),
        (vec![host, field("@offset", DataType::Utf8View)], vec![("@offset", texts())]),
        (vec![field("text", DataType::BinaryView), offset], vec![("text", batch.columns[2].clone())]),
    ] {
        let schema = Arc::new(Schema::new(fields));
        let changed = batch.with_columns(&schema, new).unwrap();
        let made = Batch::new(schema, changed.columns().to_vec(), 3, Origins::default()).unwrap();
        let counts = |batch: &Batch| (batch.payload_bytes(), batch.charged_bytes());
        assert_eq!(counts(&changed), counts(&made), "{:?}", changed.schema());
    }
}
