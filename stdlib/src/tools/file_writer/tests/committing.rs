//! Tests of files that are committed while they stay open, without `exactly_once`. Tests with it: [`super::ledger`].

use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::cast::AsArray;
use weir_runtime::channel::Taken;
use weir_runtime::sink::Delivery;

use super::*;
use crate::tools::file_writer::error::Operation;

fn syncs(rig: &Rig) -> usize {
    rig.disk.calls().iter().filter(|(call, _)| *call == Operation::Sync).count()
}

#[tokio::test(start_paused = true)]
async fn events_that_peers_wait_for_are_acknowledged_although_their_file_stays_open() {
    let mut rig = Rig::new(&Options::default());
    rig.put(&["a"]).await;
    rig.run_for(Duration::from_secs(1)).await.unwrap();
    assert_eq!(rig.acknowledged(), 0, "no peer waits for the event");
    rig.awaited = true;
    for events in 2..5 {
        rig.put(&["a"]).await;
        rig.run_for(Duration::from_millis(100)).await.unwrap();
        // The events that the previous run had not committed were redelivered.
        assert_eq!(rig.acknowledged(), events);
    }
    rig.awaited = false;
    rig.end();
    rig.run().await.unwrap();
    assert_eq!(rig.disk.events(), [0, 1, 2, 3]);
    assert!(!rig.disk.has_temporary());
}

#[tokio::test(start_paused = true)]
async fn one_file_takes_many_commits_and_events_gather_during_a_commit() {
    let mut rig = Rig::new(&Options::default());
    rig.awaited = true;
    rig.disk.take(Duration::from_millis(10));
    let mut outlet = rig.outlet.take().unwrap();
    let feeder = async {
        for number in 0..200_u64 {
            let bodies = BinaryViewArray::from_iter_values([number.to_string()]);
            let columns = vec![Column::constant_text("a"), Column::constant_time(0), bodies.into()];
            let batch = Batch::new(Arc::new(schema()), columns, 1, Origins::default()).unwrap();
            let since = Instant::now();
            let awaited = Awaited { since, until: since + Duration::from_secs(30) };
            outlet.put(batch.with_awaited(Some(awaited))).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The file stays open for five minutes, and all events are acknowledged long before.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(rig.channel.fill().events, 0);
        assert_eq!(rig.disk.complete().len(), 0);
        rig.channel.close();
    };
    let (outcome, ()) = tokio::join!(rig.sink.run(&mut rig.port), feeder);
    outcome.unwrap();
    assert_eq!(rig.disk.complete(), [("/lake/a".to_string(), (0..200).collect())]);
    assert!((5..40).contains(&syncs(&rig)), "{} syncs", syncs(&rig));
    assert_eq!(rig.counter("files_closed_early"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_format_that_can_not_be_committed_open_is_closed_for_peers_and_counted() {
    let mut rig = Rig::new(&Options { parquet: true, ..Options::default() });
    rig.awaited = true;
    rig.put(&["a", "b"]).await;
    rig.run_for(Duration::from_secs(14)).await.unwrap();
    assert_eq!(rig.acknowledged(), 0);
    rig.run_for(Duration::from_secs(2)).await.unwrap();
    assert_eq!(rig.acknowledged(), 2);
    assert_eq!(rig.counter("files_closed_for_peers"), 2);
    assert_eq!(syncs(&rig), 0);
}

/// The file stays unfinished since nobody can tell whether it is still being written; then the run fails for another reason.
#[tokio::test(start_paused = true)]
async fn a_failed_run_keeps_what_an_earlier_run_has_committed_in_an_open_file() {
    let mut rig = Rig::new(&Options::default());
    rig.awaited = true;
    rig.put(&["a"]).await;
    rig.run_for(Duration::from_secs(1)).await.unwrap();
    assert_eq!((rig.acknowledged(), rig.disk.complete().len()), (1, 0));
    rig.awaited = false;
    rig.put(&["b"]).await;
    let asked = AtomicBool::new(false);
    rig.disk.trouble_by(Some(Arc::new(move |path| {
        path.contains("/b/") || path.contains("/a/") && !asked.swap(true, Ordering::Relaxed)
    })));
    assert!(rig.run_for(Duration::from_secs(400)).await.is_err());
    rig.disk.trouble_by(None);
    rig.end();
    rig.run().await.unwrap();
    assert_eq!(rig.disk.events(), [0, 1]);
    assert!(!rig.disk.has_temporary());
}

/// Checks that each acknowledged event is in a file, and that files have only complete events that were sent.
fn check(disk: &Simulated, acknowledged: &[u64], context: &str) {
    let events = disk.events();
    let lost = acknowledged.iter().filter(|event| !events.contains(event));
    assert_eq!(lost.collect::<Vec<_>>(), [&0_u64; 0], "{events:?}: {context}");
    assert!(events.iter().all(|event| *event < SENT), "{events:?}: {context}");
}

const SENT: u64 = 24;

fn options() -> Options {
    Options { count: Some(7), ..Options::default() }
}

/// Puts batches, and lets the sink commit the events that peers wait for after each. Lastly files are closed by age.
async fn send_and_run(rig: &mut Rig) -> Result<(), Failure> {
    for number in 0..SENT / 4 {
        rig.awaited = number % 2 == 0;
        rig.put(&["a", "b", "a", "c"]).await;
        rig.run_for(Duration::from_secs(1)).await?;
    }
    rig.run_for(Duration::from_secs(400)).await
}

/// Returns the events that the channel does not redeliver.
async fn acknowledged(rig: &mut Rig) -> Vec<u64> {
    // The acknowledgements are held, since a dropped one would have its events redelivered again.
    let (mut left, mut held) = (Vec::new(), Vec::new());
    while let Ok(Ok(Taken::Events(Delivery { batch, acknowledgement, .. }))) =
        timeout(Duration::from_millis(1), rig.port.take()).await
    {
        let bodies = batch.column("body").unwrap().values();
        let numbers = bodies.as_binary_view().iter().flatten();
        held.push(acknowledgement);
        left.extend(numbers.map(|body| str::from_utf8(body).unwrap().parse::<u64>().unwrap()));
    }
    (0..rig.sent).filter(|event| !left.contains(event)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_call_loses_no_acknowledged_event_and_leaves_no_partial_event() {
    let calls = {
        let mut rig = Rig::new(&options());
        send_and_run(&mut rig).await.unwrap();
        assert_eq!(rig.acknowledged(), SENT);
        rig.disk.calls().len()
    };
    assert!(calls > 60, "{calls}");
    let mut open = 0;
    for call in 0..calls {
        for (happens, power_lost) in [(false, true), (true, true), (true, false)] {
            let disk = Simulated::default();
            let mut rig = Rig::on(disk.clone(), &options());
            disk.crash_at(call, happens);
            let _crashed = send_and_run(&mut rig).await;
            let acknowledged = acknowledged(&mut rig).await;
            let complete = disk.events();
            open += usize::from(acknowledged.iter().any(|event| !complete.contains(event)));
            drop(rig);
            if power_lost {
                disk.restart()
            } else {
                disk.kill()
            }
            let context = format!("crash at {call}, which happens: {happens}, power lost: {power_lost}");
            let mut next = Rig::on(disk.clone(), &options());
            next.end();
            next.run().await.unwrap_or_else(|failure| panic!("{failure}: {context}"));
            check(&disk, &acknowledged, &context);
            // A temporary entry of the ledger stays until the sink begins to write the ledger again.
            let half = disk.paths().into_iter().filter(|path| Simulated::is_temporary(path));
            let half: Vec<String> = half.filter(|path| !path.contains("/.weir/")).collect();
            assert!(half.is_empty(), "{half:?}: {context}");
        }
    }
    assert!(open > 20, "events were committed in an open file {open} times");
}

#[tokio::test(start_paused = true)]
async fn the_run_after_a_failed_one_completes_its_committed_open_files() {
    let mut rig = Rig::new(&Options::default());
    rig.awaited = true;
    rig.put(&["a"]).await;
    rig.run_for(Duration::from_secs(1)).await.unwrap();
    rig.put(&["a", "b"]).await;
    rig.disk.fail_at(Some(rig.disk.calls().len() + 6));
    let failure = rig.run_for(Duration::from_secs(1)).await.unwrap_err();
    assert!(failure.to_string().contains("it was told to fail"), "{failure}");
    rig.end();
    rig.run().await.unwrap();
    assert_eq!(rig.acknowledged(), 3);
    let lines = rig.disk.complete().into_iter().flat_map(|(_, lines)| lines);
    assert_eq!(lines.collect::<Vec<_>>(), [0, 1, 2]);
    assert!(!rig.disk.has_temporary(), "{:?}", rig.disk.paths());
}
