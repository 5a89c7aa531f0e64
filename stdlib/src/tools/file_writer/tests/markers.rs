//! Tests of the markers of complete directories.

use super::*;

const AFTER: Duration = Duration::from_secs(600);

fn options() -> Options {
    Options { age: Duration::from_secs(60), done_after: Some(AFTER), ..Options::default() }
}

fn markers(rig: &Rig) -> Vec<String> {
    rig.disk.paths().into_iter().filter(|path| path.ends_with("/_SUCCESS")).collect()
}

/// Runs the sink for these times one after the other, and puts an event for the place behind each. Returns the markers that
/// there were at the end of each time. It is one run of the sink.
async fn markers_after(rig: &mut Rig, seconds: &[u64], place: &str) -> Vec<Vec<String>> {
    let mut port = std::mem::replace(&mut rig.port, SinkPort::reading(&*rig.channel));
    let sink = FileSink::new(settings(&options()), rig.disk.clone(), "", rig.sink.context.clone()).unwrap();
    let mut sink = std::mem::replace(&mut rig.sink, sink);
    let mut found = Vec::new();
    let feed = async {
        for seconds in seconds {
            tokio::time::sleep(Duration::from_secs(*seconds)).await;
            found.push(markers(rig));
            rig.put(&[place]).await;
        }
    };
    tokio::select! {
        run = sink.run(&mut port) => panic!("the run has ended: {run:?}"),
        () = feed => {}
    }
    found
}

#[tokio::test(start_paused = true)]
async fn a_directory_gets_its_marker_when_no_event_has_come_for_it() {
    let mut rig = Rig::new(&options());
    rig.put(&["a", "b"]).await;
    let found = markers_after(&mut rig, &[500, 150, 460], "b").await;
    assert_eq!(found, [vec![], vec!["/lake/a/_SUCCESS".to_string()], vec!["/lake/a/_SUCCESS".to_string()]]);
    assert_eq!(rig.disk.bytes("/lake/a/_SUCCESS"), b"");
    assert_eq!(rig.counter("directories_done"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_directory_of_an_hour_gets_its_marker_behind_the_hour() {
    let mut rig = Rig::new(&Options { hourly: true, ..options() });
    rig.put(&["a"]).await;
    // It is 22:13:20, and the last event comes at 22:14:20.
    assert_eq!(rig.run_for(Duration::from_secs(2_799)).await.map_err(|error| error.to_string()), Ok(()));
    assert_eq!(markers(&rig), [""; 0]);
    rig.run_for(AFTER + Duration::from_secs(1)).await.unwrap();
    assert_eq!(markers(&rig), ["/lake/a/2023-11-14-22/_SUCCESS"]);
}

#[tokio::test(start_paused = true)]
async fn an_open_file_keeps_its_directory_from_being_complete() {
    let mut rig = Rig::new(&Options { age: Duration::from_secs(7_200), ..options() });
    rig.put(&["a"]).await;
    rig.run_for(Duration::from_secs(7_199)).await.unwrap();
    assert_eq!(markers(&rig), [""; 0]);
    rig.run_for(Duration::from_secs(7_202)).await.unwrap();
    assert_eq!(markers(&rig), ["/lake/a/_SUCCESS"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_creates_the_markers_that_an_earlier_run_has_not_come_to() {
    let disk = Simulated::default();
    let mut rig = Rig::on(disk.clone(), &options());
    rig.put(&["a", "b"]).await;
    rig.run_for(Duration::from_secs(100)).await.unwrap();
    rig.disk.put("/lake/b/_SUCCESS", true);
    // Another program's files say nothing about this sink's.
    rig.disk.put("/lake/c/other.txt", true);
    disk.restart();
    let mut next = Rig::on(disk.clone(), &options());
    next.run_for(AFTER - Duration::from_secs(1)).await.unwrap();
    assert_eq!(markers(&next), ["/lake/b/_SUCCESS"]);
    let mut next = Rig::on(disk, &options());
    next.run_for(AFTER + Duration::from_secs(1)).await.unwrap();
    assert_eq!(markers(&next), ["/lake/a/_SUCCESS", "/lake/b/_SUCCESS"]);
    assert_eq!((next.counter("directories_done"), next.counter("directories_done_too_early")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_was_found_is_the_one_that_events_come_for() {
    for root in [".", "lake", "/lake"] {
        let disk = Simulated::default();
        let options = Options { root, ..options() };
        let mut rig = Rig::on(disk.clone(), &options);
        rig.put(&["a"]).await;
        rig.run_for(Duration::from_secs(100)).await.unwrap();
        disk.restart();
        let mut next = Rig::on(disk, &options);
        let found = markers_after(&mut next, &[300, 400, 601], "a").await;
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 1], "{root}: {found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_come_behind_the_marker_are_written_and_counted() {
    let mut rig = Rig::new(&options());
    rig.put(&["a"]).await;
    let found = markers_after(&mut rig, &[601, 700], "a").await;
    assert_eq!(found, [["/lake/a/_SUCCESS"], ["/lake/a/_SUCCESS"]]);
    assert_eq!(rig.disk.events(), [0, 1]);
    assert_eq!((rig.counter("directories_done"), rig.counter("directories_done_too_early")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_marker_that_cant_be_created_is_created_later_and_holds_nothing_up() {
    let mut rig = Rig::new(&options());
    rig.put(&["a"]).await;
    rig.disk.trouble_by(Some(Arc::new(|path: &str| path.ends_with("_SUCCESS"))));
    let disk = rig.disk.clone();
    let mend = async {
        tokio::time::sleep(AFTER + Duration::from_secs(20)).await;
        disk.trouble_by(None);
    };
    let (ran, ()) = tokio::join!(rig.run_for(AFTER + Duration::from_secs(40)), mend);
    ran.unwrap();
    assert_eq!((rig.counter("markers_failed"), rig.counter("directories_done")), (1, 1));
    assert_eq!(markers(&rig), ["/lake/a/_SUCCESS"]);
    assert_eq!(rig.acknowledged(), 1);
}

/// The channel may have events for a directory that has been quiet for long.
#[tokio::test(start_paused = true)]
async fn no_directory_is_complete_while_the_sink_is_behind() {
    let mut rig = Rig::new(&options());
    rig.put(&["a"]).await;
    rig.put_long(&["b"; 5], 1 << 20).await;
    rig.put(&["a"]).await;
    let disk = rig.disk.clone();
    disk.take(Duration::from_secs(500));
    rig.run_for(Duration::from_secs(1_400)).await.unwrap();
    assert_eq!(markers(&rig), [""; 0]);
    disk.take(Duration::ZERO);
    rig.run_for(AFTER + Duration::from_secs(1)).await.unwrap();
    assert_eq!(markers(&rig), ["/lake/a/_SUCCESS", "/lake/b/_SUCCESS"]);
    assert_eq!(rig.counter("directories_done_too_early"), 0);
}
