//! Tests of `exactly_once`: crashes at every call and in recovery, a second writer, lost answers.

mod killed;
mod put_back;
mod remote;
mod renamed;

use weir_runtime::batch::Identities;
use weir_runtime::channel::{Acceptance, LedgerLoss};

use super::super::error::Operation;
use super::super::file::WRITE_BYTES;
use super::*;

/// The directory of the sink's ledger.
const LEDGER: &str = "/lake/.weir/shop.lake/";

/// Longer than a file stays open.
const AN_AGE: Duration = Duration::from_secs(600);

fn options() -> Options {
    Options { count: Some(3), max_open: 2, ..Options::default() }
}

/// The place of each event that is sent. The events alternate between two partitions, with gaps between positions.
const PLACES: [&str; 24] = [
    "a", "b", "a", "a", "c", "a", "b", "b", "a", "a", "c", "a", "a", "a", "b", "c", "c", "c", "a", "b", "a",
    "b", "c", "a",
];

fn partition(event: u64) -> usize {
    (event / 2 % 2) as usize
}

fn position(event: u64) -> u64 {
    (event + 1) * 10
}

/// Makes a batch of these events, with zeros before the numbers in their bodies.
fn identified(events: &[u64], length: usize) -> Batch {
    let places = events.iter().map(|event| PLACES[*event as usize]);
    let places = Column::Array(Arc::new(StringViewArray::from_iter_values(places)));
    let bodies = events.iter().map(|event| "0".repeat(length) + &event.to_string());
    let bodies = BinaryViewArray::from_iter_values(bodies);
    let columns = vec![places, Column::constant_time(0), bodies.into()];
    let batch = Batch::new(Arc::new(schema()), columns, events.len(), Origins::default()).unwrap();
    let identities = Identities::of_several(
        vec![Partition::new("clicks/0"), Partition::new("clicks/1")],
        events.iter().map(|event| partition(*event) as u32).collect(),
        events.iter().map(|event| position(*event)).collect(),
    );
    batch.with_identities(identities).unwrap()
}

impl Rig {
    fn keeping(disk: &Simulated) -> Rig {
        Rig::promising(disk.clone(), &options(), true)
    }

    /// Sends the events of this range in batches of five, like a source that begins there.
    async fn send(&mut self, events: std::ops::Range<u64>) {
        let numbers: Vec<u64> = events.collect();
        self.sent += numbers.len() as u64;
        for (number, chunk) in numbers.chunks(5).enumerate() {
            // Peers wait for every second batch, so its files are committed while they stay open.
            self.awaited = number % 2 == 1;
            // Long rows are written before they are committed.
            let length = if self.has_long_rows && number % 2 == 0 { WRITE_BYTES + 1 } else { 0 };
            let batch = identified(chunk, length).with_awaited(self.waiting());
            self.outlet.as_mut().unwrap().put(batch).await.unwrap();
        }
    }

    /// Recovers like an agent without a durable channel.
    async fn recover(&mut self) -> Result<(), Failure> {
        let found = self.sink.recover().await?;
        let refused = found.ledger_loss.map(|LedgerLoss { what, remedy }| format!("{what}. {remedy}"));
        refused.map_or(Ok(()), |refused| Err(Failure::permanent(refused)))
    }

    /// Begins the ledger, as the first run does before it takes events.
    async fn begin(&mut self) {
        self.sink.recover().await.unwrap();
        self.sink.begin_ledger(&mut self.port).await.unwrap();
    }

    /// Searches for leftovers, as the first run does after the ledger has begun.
    async fn search_for_leftovers(&mut self) {
        self.sink.remove_leftovers().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    async fn send_all(&mut self) {
        self.send(0..PLACES.len() as u64).await;
    }
}

/// Checks that each event is in one file, and in each directory in the order of its partition.
fn check(disk: &Simulated, context: &str) {
    check_under("/lake", disk, context);
}

fn check_under(root: &str, disk: &Simulated, context: &str) {
    let mut seen = vec![0; PLACES.len()];
    let mut last: BTreeMap<(String, usize), u64> = BTreeMap::new();
    for (place, events) in disk.complete() {
        for event in events {
            assert_eq!(place, format!("{root}/{}", PLACES[event as usize]), "{context}");
            seen[event as usize] += 1;
            let before = last.insert((place.clone(), partition(event)), event);
            assert!(before < Some(event), "{event} behind {before:?} in {place}: {context}");
        }
    }
    assert!(seen.iter().all(|times| *times == 1), "{seen:?}: {context}");
    assert!(!disk.has_temporary(), "{:?}: {context}", disk.paths());
}

/// Runs an agent to its end: it recovers, and its source sends all events again.
async fn run_to_the_end(disk: &Simulated) -> Result<(), Failure> {
    run_to_the_end_under("/lake", disk).await
}

async fn run_to_the_end_under(root: &'static str, disk: &Simulated) -> Result<(), Failure> {
    let mut rig = Rig::promising(disk.clone(), &Options { root, ..options() }, true);
    rig.recover().await?;
    rig.send_all().await;
    rig.end();
    rig.run().await?;
    assert_eq!(rig.acknowledged(), PLACES.len() as u64);
    Ok(())
}

/// Returns the number of calls of a run without failures.
async fn calls_of_a_run(disk: &Simulated) -> usize {
    run_to_the_end(disk).await.unwrap();
    disk.calls().len()
}

#[tokio::test(start_paused = true)]
async fn every_event_is_there_once_in_its_order() {
    let disk = Simulated::default();
    let calls = calls_of_a_run(&disk).await;
    check(&disk, "the first run");
    assert!(calls > 50, "{calls}");
    let files = disk.complete().len();
    // The source was told of no position, so it sends all events again, and they are skipped.
    let mut rig = Rig::keeping(&disk);
    rig.sink.recover().await.unwrap();
    rig.send_all().await;
    rig.end();
    rig.run().await.unwrap();
    check(&disk, "the second run");
    assert_eq!(disk.complete().len(), files);
    assert_eq!(rig.counter("events_arrived_before"), 24);
    assert_eq!(rig.acknowledged(), 24);
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_every_call_loses_and_repeats_nothing() {
    let calls = calls_of_a_run(&Simulated::default()).await;
    let mut crashes = 0;
    for call in 0..calls {
        for happens in [false, true] {
            let disk = Simulated::default();
            disk.crash_at(call, happens);
            let _outcome = run_to_the_end(&disk).await;
            crashes += usize::from(disk.has_crashed());
            disk.restart();
            run_to_the_end(&disk).await.unwrap();
            check(&disk, &format!("crash at {call}, which happens: {happens}"));
        }
    }
    assert!(crashes > calls, "{crashes} of {calls}");
}

#[tokio::test(start_paused = true)]
async fn a_crash_in_recovery_after_any_crash_loses_and_repeats_nothing() {
    let calls = calls_of_a_run(&Simulated::default()).await;
    let firsts = (0..calls).step_by(3).flat_map(|first| [(first, true), (first, false)]);
    for (first, power_lost) in firsts {
        let mut second = 0;
        loop {
            let disk = Simulated::default();
            disk.crash_at(first, true);
            let _outcome = run_to_the_end(&disk).await;
            // Or only the agent is killed. Then the second crash may undo its last unsynced changes.
            if power_lost {
                disk.restart()
            } else {
                disk.kill()
            }
            disk.crash_at(second, second % 2 == 0);
            let _outcome = run_to_the_end(&disk).await;
            let crashed = disk.has_crashed();
            disk.restart();
            run_to_the_end(&disk).await.unwrap();
            check(&disk, &format!("crash at {first} (power lost: {power_lost}), then at {second}"));
            if !crashed {
                break;
            }
            second += if second < 40 { 1 } else { 7 };
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whichever_call_fails_the_next_run_goes_on_without_loss_or_repeat() {
    let calls = calls_of_a_run(&Simulated::default()).await;
    for call in 0..calls {
        let disk = Simulated::default();
        disk.fail_at(Some(call));
        let mut rig = Rig::keeping(&disk);
        let mut failures = usize::from(rig.sink.recover().await.is_err());
        rig.send_all().await;
        while let Err(failure) = rig.run_for(AN_AGE).await {
            assert!(!failure.is_permanent(), "{failure}");
            failures += 1;
            assert!(failures < 4, "{failure}");
        }
        rig.end();
        // The last calls belong to the end of the run.
        if let Err(failure) = rig.run().await {
            assert!(!failure.is_permanent() && rig.acknowledged() == 24, "{failure}");
            rig.run().await.unwrap();
        }
        assert_eq!(rig.acknowledged(), 24);
        check(&disk, &format!("call {call} {:?} fails", disk.calls()[call]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rename_whose_answer_is_lost_is_recognised() {
    let calls = {
        let disk = Simulated::default();
        calls_of_a_run(&disk).await;
        disk.calls()
    };
    let renames = (0..calls.len()).filter(|call| calls[*call].0 == Operation::Rename);
    let mut entries = 0;
    for call in renames {
        let disk = Simulated::default();
        disk.lose_answer_at(call);
        let mut rig = Rig::keeping(&disk);
        rig.sink.recover().await.unwrap();
        rig.send_all().await;
        let outcome = rig.run_for(AN_AGE).await;
        // The content of an entry tells whether the rename created it; for a file, recovery finds out.
        match disk.calls().get(call).is_some_and(|(_, path)| path.contains("/.weir/")) {
            true => {
                entries += 1;
                outcome.unwrap();
            }
            false => drop(outcome),
        }
        rig.end();
        rig.run().await.unwrap();
        check(&disk, &format!("the answer of {call} is lost"));
    }
    assert!(entries > 3, "{entries}");
}

#[tokio::test(start_paused = true)]
async fn a_second_writer_with_the_same_events_is_fenced() {
    let disk = Simulated::default();
    let mut slept = Rig::keeping(&disk);
    slept.sink.recover().await.unwrap();
    slept.send_all().await;
    // The first writer is suspended with open files, some of whose events it has committed.
    slept.run_for(Duration::from_secs(1)).await.unwrap();
    let mut slept_again = Rig::keeping(&disk);
    slept_again.begin().await;
    slept_again.send_all().await;
    // Another agent takes over and delivers all events.
    run_to_the_end(&disk).await.unwrap();
    let delivered = disk.events();
    assert_eq!(delivered, (0..24).collect::<Vec<_>>());
    // The first writer continues without having read the new entries.
    let failure = slept_again.run_for(AN_AGE).await.unwrap_err();
    assert!(failure.to_string().contains("another writer of /lake/.weir/shop.lake"), "{failure}");
    assert!(!failure.is_permanent());
    // It reads the ledger, and finds that all of its events have arrived.
    slept_again.end();
    slept_again.run().await.unwrap();
    assert_eq!(slept_again.acknowledged(), 24);
    check(&disk, "two writers");
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_writer_has_committed_is_no_leftover_to_another() {
    let calls = calls_of_a_run(&Simulated::default()).await;
    let mut named = 0;
    for call in 0..calls {
        let disk = Simulated::default();
        // This sink has begun its ledger before the other writer began and was killed.
        let mut one = Rig::keeping(&disk);
        one.begin().await;
        disk.crash_at(disk.calls().len() + call, false);
        // The last calls may fail without harm.
        let _killed = run_to_the_end(&disk).await;
        assert!(disk.has_crashed(), "it has fewer than {call} calls");
        named += usize::from(
            disk.calls()
                .last()
                .is_some_and(|(call, path)| *call == Operation::Rename && !path.starts_with(LEDGER)),
        );
        disk.kill();
        one.search_for_leftovers().await;
        one.end();
        one.run().await.unwrap();
        run_to_the_end(&disk).await.unwrap();
        check(&disk, &format!("the other one was killed at {call}"));
    }
    assert!(named > 3, "{named} files were complete and without their final names");
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_slept_through_a_removal_of_entries_commits_nothing() {
    let disk = Simulated::default();
    let mut slept = Rig::keeping(&disk);
    slept.begin().await;
    slept.send(0..10).await;
    for _ in 0..3 {
        run_to_the_end(&disk).await.unwrap();
    }
    let entries = |disk: &Simulated| {
        let paths = disk.paths().into_iter();
        paths.filter_map(|path| path.strip_prefix(LEDGER).map(str::to_string)).collect::<Vec<_>>()
    };
    assert_eq!(entries(&disk).len(), 1, "{:?}", entries(&disk));
    let failure = slept.run_for(AN_AGE).await.unwrap_err();
    assert!(failure.to_string().contains("has gone on meanwhile"), "{failure}");
    slept.end();
    slept.run().await.unwrap();
    check(&disk, "a writer that slept");
}

#[tokio::test(start_paused = true)]
async fn writers_of_different_events_share_a_ledger() {
    let disk = Simulated::default();
    let (mut one, mut other) = (Rig::keeping(&disk), Rig::keeping(&disk));
    one.sink.recover().await.unwrap();
    other.sink.recover().await.unwrap();
    one.send(0..12).await;
    other.send(12..24).await;
    let (first, second) = tokio::join!(one.run_for(AN_AGE), other.run_for(AN_AGE));
    first.unwrap();
    second.unwrap();
    one.end();
    one.run().await.unwrap();
    other.end();
    other.run().await.unwrap();
    let mut events: Vec<u64> = disk.complete().into_iter().flat_map(|(_, events)| events).collect();
    events.sort_unstable();
    assert_eq!(events, (0..24).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_mended_stops_the_agent_with_what_to_do() {
    let disk = Simulated::default();
    let mut rig = Rig::promising(disk.clone(), &options(), true);
    rig.sink.recover().await.unwrap();
    rig.send_all().await;
    rig.run_for(Duration::from_secs(1)).await.unwrap();
    let entries: Vec<String> = disk
        .paths()
        .into_iter()
        .filter(|path| path.starts_with(LEDGER) && path.ends_with(".entry"))
        .collect();
    assert!(entries.len() > 2, "{entries:?}");
    let intact: Vec<Vec<u8>> = entries.iter().map(|path| disk.bytes(path)).collect();
    let (last, middle) = (entries.len() - 1, entries.len() / 2);

    let mut flipped = intact[last].clone();
    flipped[40] ^= 1;
    disk.replace(&entries[last], Some(flipped));
    let failure = Rig::keeping(&disk).sink.recover().await.unwrap_err();
    assert!(failure.is_permanent());
    assert!(failure.to_string().contains(".entry is damaged: its checksum is wrong"), "{failure}");

    disk.replace(&entries[last], Some(intact[last].clone()));
    disk.replace(&entries[middle], None);
    let failure = Rig::keeping(&disk).sink.recover().await.unwrap_err();
    assert!(failure.is_permanent());
    assert!(failure.to_string().contains("are missing in /lake/.weir/shop.lake"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn events_without_identity_are_refused() {
    let mut rig = Rig::promising(Simulated::default(), &options(), true);
    rig.sink.recover().await.unwrap();
    rig.put(&["a"]).await;
    let failure = rig.run().await.unwrap_err();
    assert!(failure.is_permanent());
    assert!(failure.to_string().contains("do not say which they are"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn the_whole_ledger_stays_small() {
    let disk = Simulated::default();
    let mut rig = Rig::promising(disk.clone(), &Options { count: Some(1), ..Options::default() }, true);
    rig.sink.recover().await.unwrap();
    for _ in 0..200 {
        let numbers = rig.sent..rig.sent + 5;
        rig.sent = numbers.end;
        let bodies = BinaryViewArray::from_iter_values(numbers.clone().map(|number| number.to_string()));
        let places = Column::constant_text("a");
        let batch = Batch::new(
            Arc::new(schema()),
            vec![places, Column::constant_time(0), bodies.into()],
            5,
            Origins::default(),
        );
        let identities = Identities::counting(Partition::new("p"), numbers.start + 1);
        let batch = batch.unwrap().with_identities(identities).unwrap();
        rig.outlet.as_mut().unwrap().put(batch).await.unwrap();
        rig.run_for(Duration::from_millis(100)).await.unwrap();
    }
    let entries = disk.paths().into_iter().filter(|path| path.starts_with(LEDGER)).count();
    assert!(entries <= 66, "{entries}");
    rig.end();
    rig.run().await.unwrap();
    assert_eq!(disk.events(), (0..1_000).collect::<Vec<_>>());
    let entries: Vec<String> = disk.paths().into_iter().filter(|path| path.starts_with(LEDGER)).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert!(disk.bytes(&entries[0]).len() < 300, "dense numbers take no room");
}
