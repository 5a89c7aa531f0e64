//! Tests of when files are begun and closed.

use super::*;

fn lengths(rig: &Rig) -> Vec<usize> {
    rig.disk.complete().iter().map(|(_, lines)| lines.len()).collect()
}

#[tokio::test]
async fn events_arrive_in_their_directories_in_order() {
    let mut rig = Rig::new(&Options::default());
    rig.put(&["a", "b", "a", "../c"]).await;
    rig.put(&["b", "b"]).await;
    rig.end();
    rig.run().await.unwrap();
    let expected = [("/lake/%2E.%2Fc", vec![3]), ("/lake/a", vec![0, 2]), ("/lake/b", vec![1, 4, 5])];
    assert_eq!(rig.disk.complete(), expected.map(|(place, lines)| (place.to_string(), lines)));
    assert_eq!(rig.acknowledged(), 6);
    assert_eq!(rig.counter("files_written"), 3);
    assert_eq!(rig.counter("files_closed_early"), 0);
    assert_eq!(rig.meter.notes()["wrote"], "3 files, 12 B, under /lake");
}

#[tokio::test]
async fn no_file_is_written_without_events() {
    let mut rig = Rig::new(&Options::default());
    rig.end();
    rig.run().await.unwrap();
    assert_eq!(rig.disk.paths(), [""; 0]);
}

#[tokio::test]
async fn a_file_holds_no_more_than_count() {
    let mut rig = Rig::new(&Options { count: Some(4), ..Options::default() });
    for _ in 0..3 {
        rig.put(&["a", "a", "a"]).await;
    }
    rig.put(&["a"; 7]).await;
    rig.end();
    rig.run().await.unwrap();
    assert_eq!(lengths(&rig), [4, 4, 4, 4]);
    assert_eq!(rig.disk.events(), (0..16).collect::<Vec<_>>());
    assert_eq!(rig.acknowledged(), 16);
}

#[tokio::test]
async fn a_file_is_closed_when_it_reaches_its_size() {
    let mut rig = Rig::new(&Options { size: 10, ..Options::default() });
    rig.put(&["a"; 10]).await;
    rig.put(&["a"; 3]).await;
    rig.end();
    rig.run().await.unwrap();
    // Lines of the first ten events have two bytes, later ones three.
    assert_eq!(lengths(&rig), [5, 5, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_file_is_closed_when_it_reaches_its_age() {
    let mut rig = Rig::new(&Options { age: Duration::from_secs(60), ..Options::default() });
    rig.put(&["a", "b"]).await;
    rig.run_for(Duration::from_secs(59)).await.unwrap();
    assert_eq!(rig.acknowledged(), 0, "a dropped run acknowledges no event");
    rig.run_for(Duration::from_secs(61)).await.unwrap();
    assert_eq!(rig.acknowledged(), 2);
    assert_eq!(lengths(&rig), [1, 1]);
    assert_eq!(rig.counter("files_closed_early"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_age_counts_from_each_files_first_event() {
    let mut rig = Rig::new(&Options { age: Duration::from_secs(60), ..Options::default() });
    let mut outlet = rig.outlet.take().unwrap();
    let feeder = async {
        for number in 0..10 {
            let bodies = BinaryViewArray::from_iter_values([number.to_string()]);
            let columns = vec![Column::constant_text("a"), Column::constant_time(0), bodies.into()];
            let batch = Batch::new(Arc::new(schema()), columns, 1, Origins::default()).unwrap();
            outlet.put(batch).await.unwrap();
            tokio::time::sleep(Duration::from_secs(25)).await;
        }
        rig.channel.close();
    };
    let (outcome, ()) = tokio::join!(rig.sink.run(&mut rig.port), feeder);
    outcome.unwrap();
    assert_eq!(lengths(&rig), [3, 3, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_max_open_files_are_written_at_once() {
    for max_open in [1, 2, 3] {
        let mut rig = Rig::new(&Options { max_open, ..Options::default() });
        rig.disk.take(Duration::from_millis(5));
        for _ in 0..20 {
            rig.put(&["a", "b", "c", "a", "d"]).await;
            rig.put(&["e", "a"]).await;
        }
        rig.end();
        rig.run().await.unwrap();
        assert_eq!(rig.disk.events(), (0..140).collect::<Vec<_>>());
        assert_eq!(rig.acknowledged(), 140);
        assert!(rig.counter("files_closed_early") > 0);
        // Up to 64 more files may be closing at the same time.
        assert!(rig.disk.writing_max() <= max_open as usize + 64, "{}", rig.disk.writing_max());
    }
}

#[tokio::test]
async fn the_file_unused_for_longest_is_closed_for_another() {
    let mut rig = Rig::new(&Options { max_open: 2, ..Options::default() });
    for place in ["a", "b", "a", "c", "a"] {
        rig.put(&[place]).await;
    }
    rig.end();
    rig.run().await.unwrap();
    let lines: Vec<_> = rig.disk.complete().into_iter().map(|(_, lines)| lines).collect();
    assert_eq!(lines, [vec![0, 2, 4], vec![1], vec![3]]);
    assert_eq!(rig.counter("files_closed_early"), 1);
}

/// Puts 1,000 events for five directories through a channel of 100.
async fn through_a_small_channel(options: Options) -> Rig {
    let places = ["a", "b", "c", "d", "e"];
    let mut rig = Rig::new(&Options { capacity: 100, ..options });
    rig.disk.take(Duration::from_millis(10));
    let mut outlet = rig.outlet.take().unwrap();
    let began = tokio::time::Instant::now();
    let feeder = async {
        for number in 0..500_u64 {
            let bodies = BinaryViewArray::from_iter_values([number.to_string(), number.to_string()]);
            let two = [places[number as usize % 5], places[number as usize / 7 % 5]];
            let column = Column::Array(Arc::new(StringViewArray::from_iter_values(two)));
            let batch = Batch::new(
                Arc::new(schema()),
                vec![column, Column::constant_time(0), bodies.into()],
                2,
                Origins::default(),
            );
            outlet.put(batch.unwrap()).await.unwrap();
        }
        rig.channel.close();
    };
    let (outcome, ()) = tokio::join!(rig.sink.run(&mut rig.port), feeder);
    outcome.unwrap();
    assert_eq!(rig.channel.fill().events, 0);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    rig
}

#[tokio::test(start_paused = true)]
async fn a_channel_smaller_than_a_file_makes_no_more_files() {
    let rig = through_a_small_channel(Options::default()).await;
    assert_eq!(rig.disk.events(), (0..500).collect::<Vec<_>>());
    assert_eq!(rig.disk.complete().len(), 5, "a file for each directory");
    assert_eq!(rig.counter("files_closed_early"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_channel_smaller_than_a_file_that_can_not_be_committed_open_does_not_stall() {
    let rig = through_a_small_channel(Options { parquet: true, ..Options::default() }).await;
    assert!(rig.counter("files_closed_early") > 0);
    assert!(!rig.disk.has_temporary());
}
