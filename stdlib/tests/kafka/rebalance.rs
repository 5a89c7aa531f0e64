//! Members that come and go while records do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::rig::{
    Broker, PATIENCE, Reading, assert_complete, committed, produce, repeated, source_settings, topic, unique,
};

#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_and_go_lose_nothing() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("rebalance", 6).await, unique("group"));
    let settings = source_settings(&topic, &group, vec![]);
    // Records go on coming until every member has had its part.
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
    let first = Reading::start(&settings);
    first.wait_for(5_000).await;
    let second = Reading::start(&settings);
    second.wait_for(5_000).await;
    // The third one is gone without a word, in the middle of its work.
    let third = Reading::start(&settings);
    third.wait_for(2_000).await;
    add(third.abort());
    add(first.stop().await);
    enough.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    let last = Reading::start(&settings);
    let all = [Some(written as i64 / 6); 6];
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE && committed(&group, &topic, 6).await != all {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    add(second.stop().await);
    add(last.stop().await);
    assert_eq!(committed(&group, &topic, 6).await, all);
    assert_complete(&bodies, 0..written);
    println!("{} records came again", repeated(&bodies));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_left_while_it_was_paused_is_read_when_it_is_back() {
    let _broker = Broker::shared().await;
    let (topic, group) = (topic("paused", 2).await, unique("group"));
    let settings = source_settings(&topic, &group, vec![]);
    produce(&topic, 2, 0..20_000).await;
    let first = Reading::start_with(&settings, 3_000);
    first.acknowledge(false);
    first.wait_for(2_000).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let second = Reading::start(&settings);
    second.wait_for(1_000).await;
    first.acknowledge(true);
    first.wait_for(9_000).await;
    let mut bodies = second.stop().await;
    produce(&topic, 2, 20_000..30_000).await;
    crate::rig::wait_until("the second half", || first.has_all(20_000..30_000)).await;
    first.stop().await.into_iter().for_each(|(body, times)| *bodies.entry(body).or_insert(0) += times);
    assert_complete(&bodies, 0..30_000);
}
