use arrow_array::{
    BinaryViewArray, Float64Array, Int64Array, StringViewArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow_schema::{Field, TimeUnit};
use proptest::prelude::*;

use super::*;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("@host", DataType::Utf8View, true),
        Field::new("@ok", DataType::Boolean, true),
        Field::new("@when", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("@n", DataType::Int64, true),
        Field::new("@size", DataType::UInt64, false),
        Field::new("@ratio", DataType::Float64, true),
        Field::new("body", DataType::BinaryView, false),
        Field::new("headers", attached(), false),
        Field::new("stays", stays().data_type().clone(), true),
    ]))
}

/// A list of records with a list, a flag and a record without parts. The second list is null, and the record in the third one.
fn stays() -> ListArray {
    let item = Arc::new(Field::new("item", DataType::Boolean, true));
    let flags = BooleanArray::from_iter((0..20).map(|number| (number % 5 != 0).then_some(number % 2 == 0)));
    let flags = ListArray::new(item, OffsetBuffer::from_lengths([18, 0, 2]), Arc::new(flags), None);
    let names = StringViewArray::from(vec![Some("a name of some length"), None, Some("x")]);
    let empty = StructArray::new_empty_fields(3, None);
    let parts: Vec<(Arc<Field>, ArrayRef)> = vec![
        (Arc::new(Field::new("empty", empty.data_type().clone(), false)), Arc::new(empty)),
        (Arc::new(Field::new("flags", flags.data_type().clone(), false)), Arc::new(flags)),
        (Arc::new(Field::new("name", DataType::Utf8View, true)), Arc::new(names)),
    ];
    let (fields, parts): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let nulls = NullBuffer::from(vec![true, true, false]);
    let records = StructArray::new(fields.into(), parts, Some(nulls));
    let item = Arc::new(Field::new("item", records.data_type().clone(), true));
    let nulls = NullBuffer::from(vec![true, false, true]);
    ListArray::new(item, OffsetBuffer::from_lengths([2, 0, 1]), Arc::new(records), Some(nulls))
}

/// The type of the headers that a peer attaches.
fn attached() -> DataType {
    let entries =
        vec![Field::new("key", DataType::Utf8View, false), Field::new("value", DataType::Utf8View, false)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false)
}

/// For each event as many headers as the remainder of its number by three.
fn headers(rows: usize) -> Column {
    let DataType::Map(entries, sorted) = attached() else { unreachable!("it is a map") };
    let DataType::Struct(fields) = entries.data_type().clone() else { unreachable!("it has entries") };
    let numbers = || (0..rows).flat_map(|row| (0..row % 3).map(move |header| (row, header)));
    let keys = StringViewArray::from_iter_values(numbers().map(|(_, header)| format!("header-{header}")));
    let values =
        StringViewArray::from_iter_values(numbers().map(|(row, _)| format!("the value of event {row}")));
    let pairs = StructArray::new(fields, vec![Arc::new(keys), Arc::new(values)], None);
    let offsets = OffsetBuffer::from_lengths((0..rows).map(|row| row % 3));
    Column::Array(Arc::new(MapArray::new(entries, offsets, pairs, None, sorted)))
}

fn batch(bodies: &[Vec<u8>], hosts: &[Option<String>], constant: bool) -> Batch {
    let rows = bodies.len();
    let host: Column = match constant {
        true => Column::constant_text("web-1"),
        false => Column::Array(Arc::new(StringViewArray::from_iter(hosts[..rows].iter().cloned()))),
    };
    let numbers = || (0..rows as i64).map(|n| (n % 3 != 0).then_some(n));
    let thirds = arrow_array::UInt32Array::from_iter_values((0..rows as u32).map(|row| row % 3));
    let columns = vec![
        host,
        Column::Array(Arc::new(BooleanArray::from_iter(numbers().map(|n| n.map(|n| n % 2 == 0))))),
        Column::times((0..rows as i64).collect()),
        Int64Array::from_iter(numbers()).into(),
        Column::Array(Arc::new(UInt64Array::from_iter_values(0..rows as u64))),
        Column::Array(Arc::new(Float64Array::from_iter(numbers().map(|n| n.map(|n| n as f64))))),
        BinaryViewArray::from_iter_values(bodies).into(),
        headers(rows),
        Column::Array(arrow_select::take::take(&stays(), &thirds, None).unwrap()),
    ];
    let interval =
        |name: &str, after| Interval { partition: Partition::new(name), after, through: after + 9 };
    let origins = Origins::new(vec![interval("a/0", 5), interval("b/1", 0)]);
    Batch::new(schema(), columns, rows, origins).unwrap()
}

fn assert_same(one: &Batch, other: &Batch) {
    assert_eq!((one.rows(), one.origins()), (other.rows(), other.origins()));
    for (one, other) in one.columns().iter().zip(other.columns()) {
        assert_eq!(one.values().to_data(), other.values().to_data());
        assert_eq!(matches!(one, Column::Constant(_)), matches!(other, Column::Constant(_)));
    }
}

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

fn round_trip(batch: &Batch) -> Batch {
    let [plain, others @ ..] = COMPRESSIONS.map(|compression| round_trip_by(batch, compression));
    others.iter().for_each(|other| assert_same(&plain, other));
    plain
}

fn round_trip_by(batch: &Batch, compression: Compression) -> Batch {
    let Encoded { body, origins_bytes } = encode("in", batch, compression).unwrap();
    let body = Buffer::from_vec(body);
    assert_eq!(decode_origins(&body[..origins_bytes as usize]).unwrap().0, "in");
    decode(batch.schema(), batch.rows(), origins_bytes as usize, &body).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_and_any_part_of_it_come_back(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..40),
        hosts in prop::collection::vec(prop::option::of("[a-zé]{0,20}"), 40),
        constant in any::<bool>(),
        part in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let whole = batch(&bodies, &hosts, constant);
        assert_same(&whole, &round_trip(&whole));
        let begin = part.0.index(bodies.len());
        let part = whole.slice(begin, part.1.index(bodies.len() - begin) + 1);
        assert_same(&part, &round_trip(&part));
    }

    #[test]
    fn hostile_bytes_are_refused_or_read_and_never_panic(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..10),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        compression in prop::sample::select(&COMPRESSIONS),
    ) {
        let hosts = vec![Some("x".to_owned()); 10];
        let whole = batch(&bodies, &hosts, false);
        let Encoded { mut body, origins_bytes } = encode("in", &whole, compression).unwrap();
        for (place, value) in changes {
            let place = place.index(body.len());
            body[place] = value;
        }
        let short = body[..cut.index(body.len())].to_vec();
        for body in [body, short] {
            decode(&schema(), whole.rows(), origins_bytes as usize, &Buffer::from_vec(body));
        }
    }
}

#[test]
fn adjacent_values_are_copied_in_one_piece() {
    let mut builder = arrow_array::builder::BinaryViewBuilder::new();
    let one = builder.append_block(Buffer::from_vec(b"first value of onesecond value of one".to_vec()));
    let two = builder.append_block(Buffer::from_vec(b"only value of two".to_vec()));
    for (block, begin, length) in [(one, 18, 19), (one, 0, 18), (two, 0, 17), (one, 18, 5), (one, 0, 37)] {
        builder.try_append_view(block, begin, length).unwrap();
    }
    let schema = Arc::new(Schema::new(vec![Field::new("body", DataType::BinaryView, false)]));
    let batch = Batch::new(schema, vec![builder.finish().into()], 5, Origins::default()).unwrap();
    assert_same(&batch, &round_trip(&batch));
}

#[test]
fn text_is_checked_for_utf_8() {
    let schema = Arc::new(Schema::new(vec![Field::new("@host", DataType::Utf8View, false)]));
    let columns = vec![Column::Array(Arc::new(StringViewArray::from(vec!["a text of some length"])))];
    let batch = Batch::new(schema.clone(), columns, 1, Origins::default()).unwrap();
    let Encoded { mut body, origins_bytes } = encode("in", &batch, Compression::None).unwrap();
    let last = body.len() - 1;
    body[last] = 0xFF;
    assert!(decode(&schema, 1, origins_bytes as usize, &Buffer::from_vec(body)).is_none());
}

#[test]
fn an_unsupported_column_is_named() {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    let schema = Schema::new(vec![
        Field::new("@when", TimestampMicrosecondArray::from(vec![0]).data_type().clone(), false),
        Field::new("tags", list, true),
    ]);
    assert_eq!(unsupported(&schema), Some("tags"));
}

#[test]
fn repetitive_columns_are_compressed_and_others_stay_as_they_are() {
    let line = "GET /index.html HTTP/1.1 200 from a browser of a well-known kind";
    let batch = batch(&vec![line.as_bytes().to_vec(); 100], &vec![None; 100], true);
    let [plain, lz4, zstd] =
        COMPRESSIONS.map(|compression| encode("in", &batch, compression).unwrap().body.len());
    assert!(3 * lz4 < plain && 4 * zstd < plain, "{plain} bytes became {lz4} and {zstd}");
    let single = batch.slice(0, 1);
    let [plain, lz4, zstd] =
        COMPRESSIONS.map(|compression| encode("in", &single, compression).unwrap().body.len());
    assert!(lz4 <= plain && zstd <= plain, "{plain} bytes became {lz4} and {zstd}");
}

#[test]
fn lists_that_share_a_constant_come_back() {
    let schema = Arc::new(Schema::new(vec![Field::new("stays", stays().data_type().clone(), true)]));
    for row in 0..3 {
        let one: ArrayRef = Arc::new(stays().slice(row, 1));
        let batch =
            Batch::new(schema.clone(), vec![Column::Constant(Scalar::new(one))], 9, Origins::default());
        let batch = batch.unwrap();
        assert_same(&batch, &round_trip(&batch));
    }
}

#[test]
fn a_list_of_more_items_than_the_body_can_hold_is_refused() {
    let item = Arc::new(Field::new("item", DataType::Struct(Fields::empty()), false));
    let schema = Arc::new(Schema::new(vec![Field::new("nothing", DataType::List(item.clone()), false)]));
    let lists = |length: usize| {
        let empty = StructArray::new_empty_fields(length, None);
        ListArray::new(item.clone(), OffsetBuffer::from_lengths([length]), Arc::new(empty), None)
    };
    let batch = Batch::new(schema.clone(), vec![Column::Array(Arc::new(lists(100)))], 1, Origins::default());
    let Encoded { mut body, origins_bytes } = encode("in", &batch.unwrap(), Compression::None).unwrap();
    let decoded = |body: Vec<u8>| decode(&schema, 1, origins_bytes as usize, &Buffer::from_vec(body));
    assert!(decoded(body.clone()).is_some());
    // The end of the only list is behind the form of the columns and the column's flags.
    let at = origins_bytes as usize + 2;
    assert_eq!(body[at..at + 4], 100_u32.to_le_bytes());
    body[at..at + 4].copy_from_slice(&(i32::MAX as u32).to_le_bytes());
    assert!(decoded(body).is_none());
}
