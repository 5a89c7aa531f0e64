//! Tests of a ledger that was deleted or restored from a backup: the complete files show it, until the user accepts it.

use std::sync::Arc;

use super::*;
use crate::tools::file_writer::repair::{LedgerRepair, LedgerRepairError, repair};

/// Returns the files of the ledger.
fn of_ledger(disk: &Simulated) -> Vec<(String, Vec<u8>)> {
    let paths = disk.paths().into_iter().filter(|path| path.starts_with(LEDGER));
    paths.map(|path| (path.clone(), disk.bytes(&path))).collect()
}

async fn repaired(disk: &Simulated, accept: bool) -> Result<LedgerRepair, LedgerRepairError> {
    repair(Arc::new(disk.clone()), LEDGER, accept).await
}

/// Returns how often each event is in files.
fn times(disk: &Simulated) -> Vec<usize> {
    let mut seen = vec![0; PLACES.len()];
    disk.complete().into_iter().flat_map(|(_, events)| events).for_each(|event| seen[event as usize] += 1);
    seen
}

/// Returns a directory with all events, and a copy of the ledger from when half of them were written.
async fn with_backup() -> (Simulated, Vec<(String, Vec<u8>)>) {
    let disk = Simulated::default();
    let mut rig = Rig::keeping(&disk);
    rig.recover().await.unwrap();
    rig.send(0..12).await;
    rig.end();
    rig.run().await.unwrap();
    let backup = of_ledger(&disk);
    run_to_the_end(&disk).await.unwrap();
    check(&disk, "before the ledger is put back");
    (disk, backup)
}

#[tokio::test(start_paused = true)]
async fn it_is_refused_with_the_way_out_and_nothing_is_changed() {
    let (disk, backup) = with_backup().await;
    let intact = of_ledger(&disk);
    for older in [backup, Vec::new()] {
        disk.put_back(LEDGER, older.clone());
        for _ in 0..3 {
            let failure = run_to_the_end(&disk).await.unwrap_err();
            assert!(failure.to_string().contains("was deleted, or put back from a backup"), "{failure}");
            let way_out = "`weir ledger repair --accept-repeats /lake/.weir/shop.lake`";
            assert!(failure.to_string().contains(way_out), "{failure}");
            // However often it is tried: nothing is written, and the ledger does not grow newer by that.
            check(&disk, "refused");
            assert_eq!(of_ledger(&disk), older);
        }
    }
    disk.put_back(LEDGER, intact);
    run_to_the_end(&disk).await.unwrap();
    check(&disk, "the ledger is what it was");
}

#[tokio::test(start_paused = true)]
async fn what_was_committed_in_the_same_run_is_known_by_its_number() {
    let disk = Simulated::default();
    let mut rig = Rig::keeping(&disk);
    rig.recover().await.unwrap();
    rig.send(0..12).await;
    let (mut outlet, channel) = (rig.outlet.take().unwrap(), rig.channel.clone());
    let writing = async {
        // Files of the first events are complete: the run goes on in the same second of the real clock, or not.
        tokio::time::sleep(AN_AGE).await;
        let backup = of_ledger(&disk);
        outlet.put(identified(&[12, 13, 14, 15], 0)).await.unwrap();
        drop(outlet);
        channel.close();
        backup
    };
    let (ran, backup) = tokio::join!(rig.sink.run(&mut rig.port), writing);
    ran.unwrap();
    disk.put_back(LEDGER, backup);
    let failure = run_to_the_end(&disk).await.unwrap_err();
    assert!(failure.to_string().contains("knows nothing of"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_committed_open_and_then_further_is_known_by_its_length() {
    let disk = Simulated::default();
    let mut rig = Rig::promising(disk.clone(), &Options::default(), true);
    rig.recover().await.unwrap();
    let awaited = identified(&[0, 2, 3], 0);
    rig.awaited = true;
    let awaited = awaited.with_awaited(rig.waiting());
    let (mut outlet, channel) = (rig.outlet.take().unwrap(), rig.channel.clone());
    let writing = async {
        outlet.put(awaited).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let backup = of_ledger(&disk);
        // The same file continues.
        outlet.put(identified(&[5, 8], 0)).await.unwrap();
        drop(outlet);
        channel.close();
        backup
    };
    let (ran, backup) = tokio::join!(rig.sink.run(&mut rig.port), writing);
    ran.unwrap();
    assert_eq!(disk.complete().len(), 1);
    disk.put_back(LEDGER, backup);
    let failure = run_to_the_end(&disk).await.unwrap_err();
    assert!(failure.to_string().contains("knows the first"), "{failure}");
    assert!(repaired(&disk, true).await.unwrap().made);
    run_to_the_end(&disk).await.unwrap();
    let times = times(&disk);
    assert!(times.iter().all(|times| (1..=2).contains(times)) && times[5] == 2, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn who_accepts_it_is_asked_once_and_the_ledger_is_further_than_it_ever_was() {
    let (disk, backup) = with_backup().await;
    let before = Rig::keeping(&disk).sink.recover().await.unwrap();
    for (older, by_channel) in [(backup.clone(), false), (Vec::new(), false), (backup, true)] {
        disk.put_back(LEDGER, older.clone());
        let asked = repaired(&disk, false).await.unwrap();
        assert!(!asked.made && !asked.is_whole(), "{asked}");
        assert!(asked.to_string().contains("knows nothing of"), "{asked}");
        assert_eq!(of_ledger(&disk), older, "asking changes nothing");
        match by_channel {
            true => {
                let mut rig = Rig::keeping(&disk);
                assert!(rig.sink.recover().await.unwrap().ledger_loss.is_some());
                rig.sink.accept_loss(&Acceptance::default()).await.unwrap();
            }
            false => assert!(repaired(&disk, true).await.unwrap().made),
        }
        assert!(repaired(&disk, false).await.unwrap().is_whole());
        let after = Rig::keeping(&disk).sink.recover().await.unwrap();
        assert_eq!(after.ledger_loss, None);
        assert!(after.mark > before.mark, "whoever has kept how far it was finds it no older");
        // It goes on, also after what it writes itself.
        for _ in 0..2 {
            run_to_the_end(&disk).await.unwrap();
            assert!(!disk.has_temporary());
            assert_eq!(of_ledger(&disk).len(), 1);
        }
    }
    assert!(times(&disk).iter().all(|times| (1..=4).contains(times)), "{:?}", times(&disk));
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_damaged_or_lacks_entries_is_begun_anew() {
    let (disk, _) = with_backup().await;
    let (path, mut bytes) = of_ledger(&disk).remove(0);
    let intact = bytes[8];
    bytes[8] = 99;
    disk.replace(&path, Some(bytes.clone()));
    let refused = repaired(&disk, true).await.unwrap_err().to_string();
    assert!(refused.contains("a later version of Weir"), "{refused}");
    (bytes[8], bytes[20]) = (intact, bytes[20] ^ 1);
    disk.replace(&path, Some(bytes));
    let failure = run_to_the_end(&disk).await.unwrap_err();
    assert!(failure.to_string().contains("weir ledger repair --accept-repeats"), "{failure}");
    let asked = repaired(&disk, false).await.unwrap();
    assert!(asked.to_string().contains("its checksum is wrong"), "{asked}");
    assert!(repaired(&disk, true).await.unwrap().made);
    run_to_the_end(&disk).await.unwrap();
    assert!(times(&disk).iter().all(|times| *times == 2), "{:?}", times(&disk));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_is_at_work_while_its_ledger_is_repaired_names_nothing_in_the_old_one() {
    let disk = Simulated::default();
    let mut at_work = Rig::keeping(&disk);
    at_work.begin().await;
    let kept = of_ledger(&disk);
    // A file that no entry has named, and a user who accepts that.
    let another = Rig::keeping(&disk);
    disk.put(&another.sink.writer.names.next("/lake/a", 1_000_000).complete, true);
    assert!(repaired(&disk, true).await.unwrap().made);
    // The entries before are about to be removed.
    kept.into_iter().for_each(|(path, bytes)| disk.replace(&path, Some(bytes)));
    let entries = of_ledger(&disk).len();
    at_work.send(0..12).await;
    let failure = at_work.run_for(AN_AGE).await.unwrap_err();
    assert!(failure.to_string().contains("has gone on meanwhile"), "{failure}");
    assert_eq!(of_ledger(&disk).iter().filter(|(path, _)| path.ends_with(".entry")).count(), entries);
    assert_eq!(disk.complete().len(), 1, "nothing got its final name");
}

#[tokio::test(start_paused = true)]
async fn files_of_other_sinks_and_of_ledgers_further_down_say_nothing() {
    let disk = Simulated::default();
    // The same sink wrote into a directory further down before, and its ledger is there.
    run_to_the_end_under("/lake/old", &disk).await.unwrap();
    let mut earlier = Rig::promising(disk.clone(), &Options { root: "/lake/plain", ..options() }, false);
    // Without the promise it is as if another sink had written them.
    earlier.put(&["a"; 9]).await;
    earlier.end();
    earlier.run().await.unwrap();
    let mut rig = Rig::keeping(&disk);
    rig.recover().await.unwrap();
    disk.put_back("/lake/old/.weir/", Vec::new());
    let failure = Rig::keeping(&disk).recover().await.unwrap_err();
    assert!(failure.to_string().contains("/lake/old/"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_ledger_is_not_repaired() {
    let (disk, _) = with_backup().await;
    for path in ["/lake", "/lake/.weir", "/lake/.weir/shop.pond", "shop.lake", "/elsewhere/.weir/shop.lake"] {
        let outcome = repair(Arc::new(disk.clone()), path, true).await;
        assert!(matches!(outcome, Err(LedgerRepairError::NoLedger(_))), "{path}: {outcome:?}");
    }
    let whole = repaired(&disk, true).await.unwrap();
    assert!(!whole.made && whole.is_whole(), "{whole}");
}
