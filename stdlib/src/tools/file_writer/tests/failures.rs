//! Tests of failing operations, and of files that earlier agents have left.

use super::*;

async fn scenario(rig: &mut Rig) {
    for _ in 0..4 {
        rig.put(&["a", "b", "a", "c", "c"]).await;
    }
}

/// Longer than a file of the scenario stays open.
const AN_AGE: Duration = Duration::from_secs(600);

fn options() -> Options {
    Options { count: Some(3), max_open: 2, ..Options::default() }
}

/// Checks that all delivered positions are of events in complete files.
async fn check_deliveries(rig: &mut Rig) {
    let complete = rig.disk.events();
    while let Ok(Some(delivered)) = timeout(Duration::from_millis(1), rig.deliveries.next()).await {
        for (_, through) in delivered.positions() {
            let through = through.position();
            assert!((0..through).all(|event| complete.contains(&event)), "{through} of {complete:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_any_operation_loses_no_event_and_acknowledges_none_too_early() {
    let mut rig = Rig::new(&options());
    scenario(&mut rig).await;
    assert!(rig.run_for(AN_AGE).await.is_ok());
    let calls = rig.disk.calls().len();
    assert!(calls > 20, "{calls}");
    for call in 0..calls {
        let mut rig = Rig::new(&options());
        scenario(&mut rig).await;
        rig.disk.fail_at(Some(call));
        let outcome = rig.run_for(AN_AGE).await;
        let (operation, path) = rig.disk.calls()[call].clone();
        check_deliveries(&mut rig).await;
        match outcome {
            // A search for leftovers that fails does not stop the sink.
            Ok(()) => assert_eq!(operation, super::super::error::Operation::List),
            Err(failure) => {
                assert!(!failure.is_permanent());
                assert_eq!(failure.to_string(), format!("{operation} {path}: it was told to fail"));
            }
        }
        rig.end();
        rig.run().await.unwrap();
        assert_eq!(rig.disk.events(), (0..20).collect::<Vec<_>>(), "{operation} {path}");
        assert!(!rig.disk.has_temporary(), "{operation} {path}");
        assert_eq!(rig.acknowledged(), 20);
        check_deliveries(&mut rig).await;
    }
}

#[tokio::test]
async fn a_dropped_run_has_all_events_redelivered() {
    let mut rig = Rig::new(&Options::default());
    rig.put(&["a", "b"]).await;
    rig.run_for(Duration::from_millis(50)).await.unwrap();
    assert_eq!(rig.acknowledged(), 0);
    assert!(rig.disk.has_temporary());
    rig.end();
    rig.run().await.unwrap();
    assert_eq!(rig.disk.complete().len(), 2);
    assert!(!rig.disk.has_temporary(), "{:?}", rig.disk.paths());
}

#[tokio::test]
async fn only_files_that_a_killed_agent_has_left_are_removed() {
    let disk = Simulated::default();
    let left = "/lake/x/.events-20260101T000000Z-00000000-000001.txt.shop.lake.tmp";
    let others = [
        "/lake/.events-20260101T000000Z-00000000-000001.txt.shop.pond.tmp",
        "/lake/.hidden",
        "/lake/x/events-20260101T000000Z-00000000-000001.txt",
        "/sea/.events-20260101T000000Z-00000000-000001.txt.shop.lake.tmp",
    ];
    others.iter().chain([&left]).for_each(|path| disk.put(path, true));
    let mut rig = Rig::on(disk, &Options::default());
    rig.end();
    rig.run().await.unwrap();
    assert_eq!(rig.disk.paths(), others);
    assert_eq!(rig.counter("leftovers_removed"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leftover_with_a_writer_stays_until_the_writer_is_gone() {
    let left = "/lake/.events-20260101T000000Z-00000000-000001.txt.shop.lake.tmp";
    let disk = Simulated::default();
    disk.put(left, false);
    let mut rig = Rig::on(disk.clone(), &Options::default());
    rig.run_for(Duration::from_secs(100)).await.unwrap();
    assert_eq!(disk.paths(), [left]);
    disk.put(left, true);
    rig.run_for(Duration::from_secs(36)).await.unwrap();
    assert_eq!(disk.paths(), [""; 0]);
}

#[test]
fn settings_that_can_not_be_carried_out_are_refused() {
    let refused = |change: fn(&mut FileSettings)| {
        let mut settings = settings(&Options::default());
        change(&mut settings);
        let context = Context {
            exactly_once: false,
            program: "shop".into(),
            component: "lake".into(),
            schema: Arc::new(schema()),
            meter: Arc::default(),
            clock: Arc::new(TestClock(Instant::now())),
            descriptors: weir_runtime::Descriptors::of_process(),
        };
        let failure = FileSink::new(settings, Simulated::default(), "", context).err().unwrap();
        assert!(failure.is_permanent());
        failure.to_string()
    };
    assert!(refused(|settings| settings.zone = "Moon/Base".into()).contains("no time zone `Moon/Base`"));
    assert!(refused(|settings| settings.prefix = "a/b".into()).contains("`prefix` is \"a/b\""));
    assert!(refused(|settings| settings.prefix = ".hidden".into()).contains("`prefix`"));
    let marker = refused(|settings| {
        settings.done = Done::Marker { name: "a/b".to_string(), after: Duration::from_secs(1) };
    });
    assert!(marker.contains("`done.name` is \"a/b\""), "{marker}");
    assert_eq!(refused(|settings| settings.path.parts.clear()), "`path` is empty");
}
