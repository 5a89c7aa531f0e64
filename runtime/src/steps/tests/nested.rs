//! `explode` and `flatten`: the events and columns after them, and what is counted.

use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, StringViewArray, StructArray};
use arrow_buffer::NullBuffer;

use super::*;
use crate::batch::{Column, Identities, Partition};

/// Applies a step after which the events have these columns. Returns the events and the number of dropped ones.
fn changed(action: Action, batch: &Batch, after: Vec<Field>) -> (Batch, u64) {
    let event_types = [weir_plan::EventType::new(Schema::new(after))];
    let tools = StepTools { event_types: &event_types, ..StepTools::none() };
    let step = Step::compile(&step(action, None), &tools, &mut Before::default()).unwrap();
    let mut pass = Pass::default();
    let after = pass.through(&[Arc::new(step)], batch, 0).unwrap();
    (after, pass.counts[0].dropped.events)
}

/// Events `a` to `e` with the lists [1, 2], [], null, [3] and [4, 5, 6].
fn with_lists() -> Batch {
    let mut lists =
        ListBuilder::new(Int64Builder::new()).with_field(Field::new("item", DataType::Int64, false));
    for list in [Some(vec![1, 2]), Some(vec![]), None, Some(vec![3]), Some(vec![4, 5, 6])] {
        lists.append_option(list.map(|items| items.into_iter().map(Some)));
    }
    let lists: ArrayRef = Arc::new(lists.finish());
    let fields = vec![
        Field::new("@host", DataType::Utf8View, false),
        Field::new("body", DataType::BinaryView, false),
        Field::new("n", lists.data_type().clone(), true),
    ];
    let bodies = BinaryViewArray::from_iter_values(["a", "b", "c", "d", "e"]);
    let columns = vec![Column::constant_text("h"), bodies.into(), Column::Array(lists)];
    let batch =
        Batch::new(Arc::new(Schema::new(fields)), columns, 5, Origins::one(Partition::new("p"), 0, 5));
    batch.unwrap().with_identities(Identities::counting(Partition::new("p"), 1)).unwrap()
}

fn after_lists() -> Vec<Field> {
    vec![
        Field::new("@host", DataType::Utf8View, false),
        Field::new("body", DataType::BinaryView, false),
        Field::new("n", DataType::Int64, false),
    ]
}

fn elements(batch: &Batch) -> Vec<(String, i64, u64)> {
    let (bodies, identities) = (batch.bodies().unwrap(), batch.identities().unwrap());
    let numbers = batch.column("n").unwrap().values();
    let numbers = numbers.as_primitive::<Int64Type>();
    (0..batch.rows())
        .map(|row| {
            let body = String::from_utf8_lossy(bodies.value(row)).into_owned();
            (body, numbers.value(row), identities.position_of(row))
        })
        .collect()
}

#[test]
fn explode_makes_an_event_of_each_element_with_the_position_of_its_event() {
    let (exploded, dropped) = changed(Action::Explode("n".into()), &with_lists(), after_lists());
    let expected = [("a", 1, 1), ("a", 2, 1), ("d", 3, 4), ("e", 4, 5), ("e", 5, 5), ("e", 6, 5)];
    assert_eq!(elements(&exploded), expected.map(|(body, number, at)| (body.to_owned(), number, at)));
    assert_eq!((dropped, exploded.origins().intervals()[0].through), (2, 5));
    // A slice of a batch has lists whose offsets do not begin at 0.
    let (exploded, dropped) = changed(Action::Explode("n".into()), &with_lists().slice(3, 2), after_lists());
    assert_eq!((exploded.rows(), dropped), (4, 0));
    assert_eq!(elements(&exploded)[0], ("d".to_owned(), 3, 4));
}

#[test]
fn explode_of_nothing_drops_all_events() {
    let (exploded, dropped) = changed(Action::Explode("n".into()), &with_lists().slice(1, 2), after_lists());
    assert_eq!((exploded.rows(), dropped), (0, 2));
    let (exploded, dropped) = changed(Action::Explode("n".into()), &with_lists().slice(0, 0), after_lists());
    assert_eq!((exploded.rows(), dropped), (0, 0));
}

#[test]
fn explode_of_a_list_that_all_events_share() {
    let batch = with_lists();
    let list = batch.column("n").unwrap().values().slice(4, 1);
    let fields = vec![
        Field::new("body", DataType::BinaryView, false),
        Field::new("n", list.data_type().clone(), false),
    ];
    let bodies = BinaryViewArray::from_iter_values(["x", "y"]);
    let columns = vec![bodies.into(), Column::Constant(arrow_array::Scalar::new(list))];
    let batch = Batch::new(Arc::new(Schema::new(fields)), columns, 2, Origins::default()).unwrap();
    let (exploded, _) = changed(Action::Explode("n".into()), &batch, after_lists()[1..].to_vec());
    let numbers = exploded.column("n").unwrap().values();
    assert_eq!(numbers.as_primitive::<Int64Type>().values().as_ref(), [4, 5, 6, 4, 5, 6]);
}

#[test]
fn flatten_replaces_a_record_by_its_fields() {
    let city = Arc::new(Field::new("city", DataType::Utf8View, false));
    let zip = Arc::new(Field::new("zip", DataType::Int64, true));
    let cities: ArrayRef = Arc::new(StringViewArray::from_iter_values(["Fulda", "hidden", "Kiel"]));
    let zips: ArrayRef = Arc::new(Int64Array::from(vec![Some(36037), Some(1), None]));
    let nulls = NullBuffer::from(vec![true, false, true]);
    let records = StructArray::new(vec![city, zip].into(), vec![cities, zips], Some(nulls));
    let records: ArrayRef = Arc::new(records);
    let fields =
        vec![Field::new("n", DataType::Int64, false), Field::new("place", records.data_type().clone(), true)];
    let columns = vec![Int64Array::from(vec![1, 2, 3]).into(), Column::Array(records)];
    let batch = Batch::new(Arc::new(Schema::new(fields)), columns, 3, Origins::default()).unwrap();
    let action = Action::Flatten { column: "place".into(), fields: vec!["city".into(), "zip".into()] };
    let after = vec![
        Field::new("n", DataType::Int64, false),
        Field::new("place_city", DataType::Utf8View, true),
        Field::new("place_zip", DataType::Int64, true),
    ];
    let (flat, dropped) = changed(action, &batch, after);
    let cities = flat.column("place_city").unwrap().values();
    assert_eq!(dropped, 0);
    assert_eq!(numbers(&flat, "place_zip"), [Some(36037), None, None]);
    let cities: Vec<_> = cities.as_string_view().iter().map(|city| city.map(str::to_owned)).collect();
    assert_eq!(cities, [Some("Fulda".to_owned()), None, Some("Kiel".to_owned())]);
}
