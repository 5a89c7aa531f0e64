//! Tests of a file system like HDFS: it knows no writers of closed files, its calls take any time, leases end although
//! their writers live, and answers to renames are lost.

use weir_runtime::number_from_environment;

use super::killed::killed_with_open_files;
use super::*;

/// How many histories are played, unless `WEIR_HISTORIES` says otherwise.
const HISTORIES: u64 = 400;

/// Runs an agent until all events are acknowledged: a run that fails is followed by another one.
async fn run_until_done(mut agent: Rig) {
    while let Err(failure) = agent.recover().await {
        assert!(!failure.is_permanent(), "{failure}");
    }
    agent.send_all().await;
    for _ in 0..100 {
        if let Err(failure) = agent.run_for(AN_AGE).await {
            assert!(!failure.is_permanent(), "{failure}");
        }
        if agent.acknowledged() == PLACES.len() as u64 {
            return;
        }
    }
    panic!("it fails again and again");
}

/// Checks that each event is in one file. Two agents that write the same events keep no order.
fn check_once(disk: &Simulated, seed: u64) {
    let mut events: Vec<u64> = disk.complete().into_iter().flat_map(|(_, events)| events).collect();
    events.sort_unstable();
    assert_eq!(events, (0..PLACES.len() as u64).collect::<Vec<_>>(), "seed {seed}");
    assert!(!disk.has_temporary(), "seed {seed}: {:?}", disk.paths());
}

/// Runs agents without events until they have removed what others have left. The end of a run may come before the search
/// for leftovers could remove everything.
async fn remove_leftovers(disk: &Simulated) {
    for _ in 0..5 {
        let mut agent = Rig::keeping(disk);
        if agent.recover().await.is_ok() && agent.sink.begin_ledger(&mut agent.port).await.is_ok() {
            agent.sink.remove_leftovers().await;
            tokio::time::sleep(AN_AGE).await;
        }
        if !disk.has_temporary() {
            return;
        }
    }
}

/// Two agents write the same events at the same time. Each takes closed files of the other one for leftovers.
async fn two_agents(disk: &Simulated, seed: u64) {
    let agent = || {
        let mut agent = Rig::keeping(disk);
        agent.has_long_rows = seed.is_multiple_of(4);
        agent
    };
    let other = async {
        tokio::time::sleep(Duration::from_millis(seed * 7 % 400)).await;
        run_until_done(agent()).await;
    };
    tokio::join!(run_until_done(agent()), other);
}

#[tokio::test(start_paused = true)]
async fn agents_that_take_each_others_files_for_leftovers_lose_and_repeat_nothing() {
    let mut retirements = 0;
    for seed in 0..number_from_environment("WEIR_HISTORIES").unwrap_or(HISTORIES) {
        let disk = Simulated::remote(seed);
        two_agents(&disk, seed).await;
        retirements += disk.calls().iter().filter(|(_, path)| path.ends_with(".~retired.tmp")).count();
        run_until_done(Rig::keeping(&disk)).await;
        remove_leftovers(&disk).await;
        check_once(&disk, seed);
    }
    assert!(retirements > 0, "no file was retired");
}

#[tokio::test(start_paused = true)]
async fn a_killed_agent_and_a_running_one_lose_and_repeat_nothing() {
    for seed in 0..number_from_environment("WEIR_HISTORIES").unwrap_or(HISTORIES) {
        let disk = Simulated::remote(seed);
        let killed = timeout(Duration::from_millis(seed % 97 * 5), two_agents(&disk, seed)).await.is_err();
        if killed {
            disk.kill();
        }
        run_until_done(Rig::keeping(&disk)).await;
        remove_leftovers(&disk).await;
        check_once(&disk, seed);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_committed_of_an_open_file_is_copied() {
    let (mut histories, mut copies) = (0, 0);
    for seed in 0..100 {
        let disk = Simulated::remote(seed);
        // A lost answer may end the run early.
        if killed_with_open_files(&disk).await.is_none() {
            continue;
        }
        histories += 1;
        run_until_done(Rig::keeping(&disk)).await;
        copies += disk.calls().iter().filter(|(call, path)| is_copied(*call, path)).count();
        remove_leftovers(&disk).await;
        check_once(&disk, seed);
    }
    assert!(histories > 20 && copies > 20, "{copies} copies in {histories} histories");
}

/// Whether this call creates a copy of the beginning of a file that was committed while it was open.
fn is_copied(call: Operation, path: &str) -> bool {
    call == Operation::Create && path.contains(".~cut-")
}
