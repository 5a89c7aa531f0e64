use arrow_array::Int64Array;
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
fn payload_and_charge_count_what_the_events_hold() {
    let batch = example();
    assert_eq!(batch.payload_bytes(), 1 + 2 + 32);
    assert_eq!(batch.charged_bytes(), 35 + 3 * 8 + 5 + 3 * 16);
}

#[test]
fn a_filter_keeps_rows_and_origins() {
    let kept = example().filter(&BooleanArray::from(vec![Some(true), None, Some(true)])).unwrap();
    assert_eq!(kept.rows(), 2);
    assert_eq!(kept.bodies().unwrap().value(1), b"a body of more than twelve bytes");
    assert_eq!(kept.origins(), example().origins());
}

#[test]
fn a_small_rest_of_a_large_buffer_is_copied_together() {
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
