//! Tests of the sink `hdfs` with a real HDFS.
//!
//! `HDFS_URL` is its address. Some tests kill servers with the tool `tests/services`, which has started them in the
//! folder `WEIR_SERVICES_DIR`.
#![cfg(feature = "hdfs")]
// A panic in a function of a test fails the test.
#![allow(clippy::unwrap_used)]

mod cluster;
mod pipeline;

use std::time::Duration;

use cluster::Cluster;
use pipeline::{Compress, Pipeline, Roll};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_in_a_complete_file_of_its_hour() {
    let cluster = Cluster::shared("hours").await;
    let pipeline = Pipeline::new(&cluster).events(100_000).every(Duration::from_secs(1));
    let report = pipeline.run().await.complete();
    let files = cluster.files().await;
    assert!(files.iter().all(|file| file.name.starts_with("events-") && file.name.ends_with(".txt.gz")));
    let mut hours: Vec<&str> = files.iter().map(|file| file.directory.as_str()).collect();
    hours.dedup();
    assert_eq!(hours.len(), 28, "{hours:?}");
    assert_eq!(hours[0], "2026-01-01/00");
    let mut numbers = cluster.numbers(&files).await;
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=100_000), "each event once");
    assert!(report.note("wrote").starts_with("wrote: 28 files, "), "{}", report.note("wrote"));
    assert_eq!(report.restarts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_rolled_by_size_and_count() {
    let cluster = Cluster::shared("size").await;
    let roll = Roll { size: 256 * 1024, ..Roll::default() };
    Pipeline::new(&cluster).events(20_000).compress(Compress::None).roll(roll).run().await.complete();
    let lengths: Vec<usize> = cluster.files().await.iter().map(|file| file.length).collect();
    // A line has 101 bytes. The last file has the remaining lines.
    assert_eq!(lengths.iter().sum::<usize>(), 20_000 * 101);
    let (last, full) = lengths.split_last().unwrap();
    assert!(full.iter().all(|length| (256 * 1024..256 * 1024 + 101).contains(length)), "{lengths:?}");
    assert!(*last < 256 * 1024 + 101);

    let cluster = Cluster::shared("count").await;
    let roll = Roll { count: Some(3_000), ..Roll::default() };
    Pipeline::new(&cluster).events(10_000).compress(Compress::Zstd).roll(roll).run().await.complete();
    let files = cluster.files().await;
    assert_eq!(files.len(), 4);
    for (file, count) in files.iter().zip([3_000, 3_000, 3_000, 1_000]) {
        assert!(file.name.ends_with(".txt.zst"));
        assert_eq!(cluster.numbers(std::slice::from_ref(file)).await.len(), count);
    }
}

/// A roll that closes a file each second.
fn roll_every_second() -> Roll {
    Roll { age: Duration::from_secs(1), ..Roll::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datanode_that_dies_and_comes_back_loses_nothing() {
    let cluster = Cluster::alone("datanode").await;
    let running = Pipeline::new(&cluster).events(60_000).rate(10_000.0).roll(roll_every_second()).start();
    sleep(Duration::from_secs(2)).await;
    cluster.kill("datanode1");
    sleep(Duration::from_secs(5)).await;
    cluster.start("datanode1");
    let report = running.end().await.complete();
    assert!(report.restarts() > 0, "the sink has to notice that its only DataNode has died");
    cluster.assert_nothing_lost(60_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namenode_that_is_restarted_loses_nothing() {
    let cluster = Cluster::alone("namenode").await;
    let running = Pipeline::new(&cluster).events(60_000).rate(10_000.0).roll(roll_every_second()).start();
    sleep(Duration::from_secs(2)).await;
    cluster.kill("namenode");
    sleep(Duration::from_secs(2)).await;
    cluster.start("namenode");
    running.end().await.complete();
    cluster.assert_nothing_lost(60_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_files_of_killed_agents_are_removed_and_those_of_others_are_kept() {
    let cluster = Cluster::shared("leftovers").await;
    let closed = cluster.path("2026-01-01/00/.events-20260101T000000Z-00000000-000001.txt.gz.test.lake.tmp");
    let dead = cluster.path("2026-01-01/00/.events-20260101T000000Z-00000001-000001.txt.gz.test.lake.tmp");
    let alive = cluster.path("2026-01-01/01/.events-20260101T000000Z-00000002-000001.txt.gz.test.lake.tmp");
    let other = cluster.path("2026-01-01/00/.events-20260101T000000Z-00000003-000001.txt.gz.test.pond.tmp");
    cluster.begin_file(&closed).await.close().await.unwrap();
    cluster.begin_file(&other).await.close().await.unwrap();
    // A client that was dropped renews no lease, so the NameNode allows others to append after a minute.
    drop(cluster.begin_file(&dead).await);
    let mut writer = cluster.begin_file(&alive).await;

    let running = Pipeline::new(&cluster).events(85).rate(1.0).start();
    sleep(Duration::from_secs(5)).await;
    assert!(!cluster.exists(&closed).await);
    assert!(cluster.exists(&dead).await, "its lease has not run out yet");
    running.end().await.complete();
    assert!(!cluster.exists(&dead).await);
    assert!(cluster.exists(&other).await);
    writer.close().await.unwrap();
    assert!(cluster.exists(&alive).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_delivered_while_hdfs_can_not_be_reached() {
    let cluster = Cluster::shared("absent").await;
    let running = Pipeline::new(&cluster).url("hdfs://127.0.0.1:1").events(10).start();
    sleep(Duration::from_secs(1)).await;
    let report = running.stop_now().await.sink();
    assert_eq!(report.delivered(), 0);
}
