//! Tests of files that a killed writer has left: open files that are committed in part, and names that are not synced.

use super::*;

/// A writer commits the first events while their files stay open, gets more, and is killed. Says how many bytes
/// of files it had committed, and how many were in them at last; none if its run has failed before.
pub(super) async fn killed_with_open_files(disk: &Simulated) -> Option<(usize, usize)> {
    let mut rig = Rig::promising(disk.clone(), &Options::default(), true);
    rig.begin().await;
    rig.awaited = true;
    let waiting = rig.waiting();
    let mut outlet = rig.outlet.take().unwrap();
    let channel = rig.channel.clone();
    let bytes = || {
        let files = disk.paths().into_iter().filter(|path| !path.starts_with(LEDGER));
        files.map(|path| disk.bytes(&path).len()).sum()
    };
    let feeder = async {
        outlet.put(identified(&[0, 1, 2, 3], 0).with_awaited(waiting)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(channel.fill().events, 0, "what peers wait for is committed");
        let committed = bytes();
        // The output of a batch is written while the next batch is encoded.
        for events in [[4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]] {
            outlet.put(identified(&events, WRITE_BYTES + 1)).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        (committed, bytes())
    };
    let lengths = tokio::select! {
        Err(_failed) = rig.sink.run(&mut rig.port) => None,
        lengths = feeder => Some(lengths),
    };
    // The end of the run removes nothing.
    disk.kill();
    lengths
}

#[tokio::test(start_paused = true)]
async fn what_was_not_committed_of_an_open_file_is_cut_off() {
    let disk = Simulated::default();
    let (committed, written) = killed_with_open_files(&disk).await.unwrap();
    assert!(committed > 0 && written > committed + WRITE_BYTES, "{committed}, {written}");
    run_to_the_end(&disk).await.unwrap();
    check(&disk, "the rest comes again");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_committed_open_is_no_leftover_to_another() {
    let disk = Simulated::default();
    // This sink has begun its ledger before the other writer began and was killed.
    let mut one = Rig::keeping(&disk);
    one.begin().await;
    killed_with_open_files(&disk).await.unwrap();
    one.search_for_leftovers().await;
    one.end();
    one.run().await.unwrap();
    run_to_the_end(&disk).await.unwrap();
    check(&disk, "what the killed one has committed stays");
}

/// A killed writer has renamed a file, and the name is not durable. The next agent sees the name, and then the power
/// fails at any call of its recovery.
#[tokio::test(start_paused = true)]
async fn a_name_that_only_a_killed_writer_has_given_is_not_built_on_before_it_is_on_disk() {
    let calls = {
        let disk = Simulated::default();
        run_to_the_end(&disk).await.unwrap();
        disk.calls()
    };
    let renames = calls.iter().enumerate().filter(|(_, (call, _))| *call == Operation::Rename);
    let mut names = [0, 0];
    for (rename, (_, path)) in renames {
        names[usize::from(path.starts_with(LEDGER))] += 1;
        for second in 0.. {
            // The names that a loss of power takes are random.
            let disk = Simulated::seeded((rename * 1_000 + second) as u64);
            disk.crash_at(rename, true);
            let _killed = run_to_the_end(&disk).await;
            disk.kill();
            disk.crash_at(disk.calls().len() + second, true);
            let mut recovering = Rig::keeping(&disk);
            if recovering.sink.recover().await.is_ok() {
                let _crashed = recovering.sink.begin_ledger(&mut recovering.port).await;
            }
            let crashed = disk.has_crashed();
            drop(recovering);
            disk.restart();
            run_to_the_end(&disk).await.unwrap();
            check(&disk, &format!("killed at {rename} ({path}), the power lost {second} calls behind that"));
            if !crashed {
                break;
            }
        }
    }
    assert!(names.iter().all(|count| *count > 5), "{names:?} names of files and of entries");
}
