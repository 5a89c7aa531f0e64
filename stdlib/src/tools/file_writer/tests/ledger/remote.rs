//! Tests of a file system like HDFS: it knows no writers of closed files, its calls take any time, leases end although
//! their writers live, and answers to renames are lost.

use super::*;

/// How many histories are played.
const HISTORIES: u64 = 400;

/// Runs an agent until all events are acknowledged: a run that fails is followed by another one.
async fn run_until_done(mut agent: Rig) {
    while let Err(failure) = agent.recover().await {
        assert!(!failure.is_permanent(), "{failure}");
    }
    agent.send_all().await;
    agent.end();
    for _ in 0..100 {
        match agent.run().await {
            Ok(()) => return assert_eq!(agent.acknowledged(), PLACES.len() as u64),
            Err(failure) => assert!(!failure.is_permanent(), "{failure}"),
        }
    }
    panic!("it fails again and again");
}

/// Two agents write the same events at the same time. Each takes closed files of the other one for leftovers.
async fn two_agents(disk: &Simulated, seed: u64) {
    let other = async {
        tokio::time::sleep(Duration::from_millis(seed * 7 % 400)).await;
        run_until_done(Rig::keeping(disk)).await;
    };
    tokio::join!(run_until_done(Rig::keeping(disk)), other);
}

#[tokio::test(start_paused = true)]
async fn agents_that_take_each_others_files_for_leftovers_lose_and_repeat_nothing() {
    let mut retirements = 0;
    for seed in 0..HISTORIES {
        let disk = Simulated::remote(seed);
        two_agents(&disk, seed).await;
        retirements += disk.calls().iter().filter(|(_, path)| path.ends_with(".~retired.tmp")).count();
        // The next agent removes what the two have left.
        run_until_done(Rig::keeping(&disk)).await;
        check(&disk, &format!("seed {seed}"));
    }
    assert!(retirements > 100, "{retirements} calls to retired files show little");
}

#[tokio::test(start_paused = true)]
async fn a_killed_agent_and_a_running_one_lose_and_repeat_nothing() {
    for seed in 0..HISTORIES {
        let disk = Simulated::remote(seed);
        let killed = timeout(Duration::from_millis(seed % 97 * 5), two_agents(&disk, seed)).await.is_err();
        if killed {
            disk.kill();
        }
        run_until_done(Rig::keeping(&disk)).await;
        check(&disk, &format!("seed {seed}"));
    }
}
