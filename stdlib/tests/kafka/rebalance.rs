//! Members that join and leave their group while records are written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{
    Broker, RunningSource, TIMEOUT, assert_complete, committed, produce, repeated, source_settings, topic,
    unique,
};

#[tokio::test(flavor = "multi_thread")]
async fn no_record_is_lost_when_members_join_and_leave() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("rebalance", 6).await, unique("group"));
    let settings = source_settings(&topic, &group, vec![]);
    // Records are written until every member has read some.
    let enough = Arc::new(AtomicBool::new(false));
    let writing = {
        let (topic, enough) = (topic.clone(), enough.clone());
        tokio::spawn(async move {
            let mut written = 0;
            while !enough.load(Ordering::Relaxed) {
                produce(&topic, 6, written..written + 6 * 200).await;
                written += 6 * 200;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            written
        })
    };
    let mut bodies = BTreeMap::new();
    let mut add = |more: BTreeMap<String, usize>| {
        more.into_iter().for_each(|(body, times)| *bodies.entry(body).or_insert(0) += times);
    };
    let first = RunningSource::start(&settings);
    first.wait_for(5_000).await;
    let second = RunningSource::start(&settings);
    second.wait_for(5_000).await;
    // The third member is aborted while it reads, and does not leave the group.
    let third = RunningSource::start(&settings);
    third.wait_for(2_000).await;
    add(third.abort());
    add(first.stop().await);
    enough.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    let last = RunningSource::start(&settings);
    let all = [Some(written as i64 / 6); 6];
    let begin = Instant::now();
    while begin.elapsed() < TIMEOUT && committed(&group, &topic, 6).await != all {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    add(second.stop().await);
    add(last.stop().await);
    assert_eq!(committed(&group, &topic, 6).await, all);
    assert_complete(&bodies, 0..written);
    println!("{} records came again", repeated(&bodies));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_revoked_while_paused_is_read_when_it_is_assigned_again() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("paused", 2).await, unique("group"));
    let settings = source_settings(&topic, &group, vec![]);
    produce(&topic, 2, 0..20_000).await;
    let first = RunningSource::start_with(&settings, 3_000);
    first.acknowledge(false);
    first.wait_for(2_000).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let second = RunningSource::start(&settings);
    second.wait_for(1_000).await;
    first.acknowledge(true);
    first.wait_for(9_000).await;
    let mut bodies = second.stop().await;
    produce(&topic, 2, 20_000..30_000).await;
    crate::harness::wait_until("the second half", || first.has_all(20_000..30_000)).await;
    first.stop().await.into_iter().for_each(|(body, times)| *bodies.entry(body).or_insert(0) += times);
    assert_complete(&bodies, 0..30_000);
}
