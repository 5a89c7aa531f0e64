use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_schema::{DataType, Field, Schema, TimeUnit};

use super::*;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("@key", DataType::BinaryView, true),
        Field::new("@offset", DataType::Int64, false),
        Field::new("@partition", DataType::Int64, false),
        Field::new("@timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("@tombstone", DataType::Boolean, false),
        Field::new("@topic", DataType::Utf8View, false),
        Field::new("body", DataType::BinaryView, false),
    ]))
}

fn begin(topic: &str, number: i32, offset: u64) -> StartOffset {
    let partition = TopicPartition::new(topic, number);
    StartOffset {
        name: partition.partition(None),
        partition,
        id: None,
        offset,
        delivered: offset,
        committed: true,
        partitions_at_start: None,
        stored: false,
    }
}

fn builder(batch: usize, beginnings: &[StartOffset]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(schema(), batch, Duration::from_millis(50)).unwrap();
    beginnings.iter().for_each(|start| builder.assign(start));
    builder
}

fn add(builder: &mut BatchBuilder, topic: &str, number: i32, offset: i64) -> Result<(), WentBack> {
    let body = format!("the body of record {offset} in {topic}");
    let record = Record {
        offset,
        time: 1_700_000_000_000 + offset,
        key: None,
        body: Some(body.as_bytes()),
        headers: &[],
    };
    let index = builder.index(topic, number).unwrap();
    builder.add(index, record, Instant::now)
}

fn intervals(batch: &Batch) -> Vec<(String, u64, u64)> {
    let intervals = batch.origins().intervals().iter();
    let mut intervals: Vec<_> = intervals
        .map(|interval| (interval.partition.name().to_string(), interval.after, interval.through))
        .collect();
    intervals.sort();
    intervals
}

fn bodies(batch: &Batch) -> Vec<String> {
    batch.bodies().unwrap().iter().map(|body| String::from_utf8_lossy(body.unwrap()).into_owned()).collect()
}

#[test]
fn intervals_cover_the_gaps_that_transactions_leave() {
    let mut builder = builder(10, &[begin("logs", 3, 100)]);
    add(&mut builder, "logs", 3, 102).unwrap();
    add(&mut builder, "logs", 3, 103).unwrap();
    let batch = builder.take().unwrap().unwrap();
    assert_eq!(intervals(&batch), [("logs/3".to_string(), 100, 104)]);
    add(&mut builder, "logs", 3, 110).unwrap();
    let batch = builder.take().unwrap().unwrap();
    assert_eq!(intervals(&batch), [("logs/3".to_string(), 104, 111)]);
}

#[test]
fn a_single_topic_and_partition_are_constant_columns() {
    let mut builder = builder(10, &[begin("logs", 3, 0)]);
    add(&mut builder, "logs", 3, 0).unwrap();
    add(&mut builder, "logs", 3, 1).unwrap();
    let batch = builder.take().unwrap().unwrap();
    assert!(matches!(batch.column("@topic"), Some(Column::Constant(_))));
    assert!(matches!(batch.column("@partition"), Some(Column::Constant(_))));
    let times = batch.column("@timestamp").unwrap().values();
    assert_eq!(times.as_primitive::<TimestampMicrosecondType>().value(1), 1_700_000_000_001_000);
    let key = batch.column("@key").unwrap().values();
    assert!(key.is_null(0) && key.is_null(1));
    assert_eq!(bodies(&batch)[1], "the body of record 1 in logs");
}

#[test]
fn several_topics_share_a_batch() {
    let long = "a-topic-with-a-name-of-more-than-twelve-bytes";
    let mut builder = builder(10, &[begin("logs", 0, 0), begin(long, 1, 7)]);
    add(&mut builder, "logs", 0, 0).unwrap();
    add(&mut builder, long, 1, 7).unwrap();
    add(&mut builder, "logs", 0, 1).unwrap();
    let batch = builder.take().unwrap().unwrap();
    let (topics, _) = batch.column("@topic").unwrap().datum().get();
    let topics: Vec<_> = topics.as_string_view().iter().flatten().collect();
    assert_eq!(topics, ["logs", long, "logs"]);
    let numbers = batch.column("@partition").unwrap().values().as_primitive::<Int64Type>();
    assert_eq!(numbers.values(), &[0, 1, 0]);
    assert_eq!(intervals(&batch), [(format!("{long}/1"), 7, 8), ("logs/0".to_string(), 0, 2)]);
}

#[test]
fn records_of_a_revoked_partition_are_left_out() {
    let mut builder = builder(10, &[begin("logs", 0, 0), begin("logs", 1, 50)]);
    add(&mut builder, "logs", 0, 0).unwrap();
    add(&mut builder, "logs", 1, 50).unwrap();
    add(&mut builder, "logs", 0, 1).unwrap();
    builder.revoke(&TopicPartition::new("logs", 0));
    assert_eq!(builder.index("logs", 0), None);
    add(&mut builder, "logs", 1, 51).unwrap();
    // The partition is assigned again while the batch is built, from the offset that the other member has reached.
    builder.assign(&begin("logs", 0, 1));
    add(&mut builder, "logs", 0, 1).unwrap();
    let batch = builder.take().unwrap().unwrap();
    assert_eq!(batch.rows(), 3);
    assert_eq!(intervals(&batch), [("logs/0".to_string(), 1, 2), ("logs/1".to_string(), 50, 52)]);
}

#[test]
fn a_batch_with_only_revoked_partitions_is_empty() {
    let mut builder = builder(10, &[begin("logs", 0, 0)]);
    add(&mut builder, "logs", 0, 0).unwrap();
    builder.revoke(&TopicPartition::new("logs", 0));
    assert!(builder.take().unwrap().is_none());
    builder.assign(&begin("logs", 0, 0));
    add(&mut builder, "logs", 0, 0).unwrap();
    assert_eq!(builder.take().unwrap().unwrap().rows(), 1);
}

#[test]
fn an_offset_that_goes_backwards_is_an_error() {
    let mut builder = builder(10, &[begin("logs", 0, 5)]);
    add(&mut builder, "logs", 0, 5).unwrap();
    let error = add(&mut builder, "logs", 0, 5).unwrap_err();
    assert_eq!(error, WentBack { partition: Partition::new("logs/0"), offset: 5, position: 6 });
}

#[test]
fn a_batch_is_full_by_rows_or_bytes_and_due_by_time() {
    let mut builder = builder(2, &[begin("logs", 0, 0)]);
    let now = Instant::now();
    assert_eq!(builder.remaining(now), None);
    add(&mut builder, "logs", 0, 0).unwrap();
    assert!(builder.remaining(now).unwrap() > Duration::ZERO);
    assert_eq!(builder.remaining(now + Duration::from_secs(1)), Some(Duration::ZERO));
    add(&mut builder, "logs", 0, 1).unwrap();
    assert_eq!(builder.remaining(now), Some(Duration::ZERO));
    builder.take().unwrap();
    let index = builder.index("logs", 0).unwrap();
    let large =
        Record { offset: 2, time: 0, key: Some(b"k"), body: Some(&vec![7; BATCH_BYTES_MAX]), headers: &[] };
    builder.add(index, large, Instant::now).unwrap();
    assert!(builder.is_full());
    let batch = builder.take().unwrap().unwrap();
    assert_eq!(batch.column("@key").unwrap().values().as_binary_view().value(0), b"k");
}

#[test]
fn discarded_records_are_not_in_the_next_batch() {
    let mut builder = builder(10, &[begin("logs", 0, 0)]);
    add(&mut builder, "logs", 0, 0).unwrap();
    builder.clear();
    assert!(builder.take().unwrap().is_none());
    add(&mut builder, "logs", 0, 1).unwrap();
    assert_eq!(bodies(&builder.take().unwrap().unwrap()), ["the body of record 1 in logs"]);
}

#[test]
fn an_unknown_column_is_refused() {
    let schema = Arc::new(Schema::new(vec![Field::new("@host", DataType::Utf8View, false)]));
    assert_eq!(BatchBuilder::new(schema, 1, Duration::ZERO).err(), Some("@host".to_string()));
}

#[test]
fn headers_are_a_map_with_the_last_value_of_each_name() {
    let text = |name| Field::new(name, DataType::Utf8View, false);
    let entries = DataType::Struct(vec![text("key"), text("value")].into());
    let map = DataType::Map(Arc::new(Field::new("entries", entries, false)), false);
    let schema = Arc::new(Schema::new(vec![
        Field::new("body", DataType::BinaryView, false),
        Field::new("headers", map, false),
    ]));
    let mut builder = BatchBuilder::new(schema, 10, Duration::from_millis(50)).unwrap();
    builder.assign(&begin("logs", 0, 0));
    assert!(builder.wants_headers());
    let rows: [&[(&str, &str)]; 3] = [&[("a", "1"), ("b", "2"), ("a", "3")], &[], &[("c", "4")]];
    for _again in 0..2 {
        builder.assign(&begin("logs", 0, 0));
        for (offset, headers) in rows.iter().enumerate() {
            let record = Record { offset: offset as i64, time: 0, key: None, body: Some(b"body"), headers };
            builder.add(builder.index("logs", 0).unwrap(), record, Instant::now).unwrap();
        }
        let batch = builder.take().unwrap().unwrap();
        let maps = batch.column("headers").unwrap().values();
        let maps = maps.as_map();
        let names: Vec<_> = maps.keys().as_string_view().iter().flatten().collect();
        let values: Vec<_> = maps.values().as_string_view().iter().flatten().collect();
        assert_eq!((names, values), (vec!["b", "a", "c"], vec!["2", "3", "4"]));
        assert_eq!(maps.value_offsets(), [0, 2, 2, 3]);
    }
}

#[test]
fn headers_of_another_type_are_refused() {
    let schema = Arc::new(Schema::new(vec![Field::new("headers", DataType::Utf8View, false)]));
    assert_eq!(BatchBuilder::new(schema, 10, Duration::ZERO).err(), Some("headers".to_string()));
}

#[test]
fn a_tombstone_is_told_apart_from_an_empty_body() {
    let mut builder = builder(10, &[begin("logs", 0, 0)]);
    let index = builder.index("logs", 0).unwrap();
    for (offset, body) in [(0, Some(&b""[..])), (1, None), (2, Some(b"text"))] {
        let record = Record { offset, time: 0, key: Some(b"key"), body, headers: &[] };
        builder.add(index, record, Instant::now).unwrap();
    }
    let batch = builder.take().unwrap().unwrap();
    assert_eq!(bodies(&batch), ["", "", "text"]);
    let tombstones = batch.column("@tombstone").unwrap().values().as_boolean();
    assert_eq!(tombstones.values().iter().collect::<Vec<_>>(), [false, true, false]);
}
