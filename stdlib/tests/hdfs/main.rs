//! The sink `hdfs` against a real HDFS.
//!
//! `HDFS_URL` names it. The tests that take servers down do so with the tool `tests/services`,
//! which started it in the folder `WEIR_SERVICES_DIR`.
#![cfg(feature = "hdfs")]
// A panic in a test's helper is the failure of the test.
#![allow(clippy::unwrap_used)]

mod cluster;
mod pipeline;

use std::time::Duration;

use cluster::Cluster;
use pipeline::{Compress, Pipeline, Roll};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_in_a_complete_file_of_its_hour() {
    let cluster = Cluster::of_test("hours").await;
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
    let cluster = Cluster::of_test("size").await;
    let roll = Roll { size: 256 * 1024, ..Roll::default() };
    Pipeline::new(&cluster).events(20_000).compress(Compress::None).roll(roll).run().await.complete();
    let lengths: Vec<usize> = cluster.files().await.iter().map(|file| file.length).collect();
    // A line is 101 bytes; the last file holds what is left.
    assert_eq!(lengths.iter().sum::<usize>(), 20_000 * 101);
    let (last, full) = lengths.split_last().unwrap();
    assert!(full.iter().all(|length| (256 * 1024..256 * 1024 + 101).contains(length)), "{lengths:?}");
    assert!(*last < 256 * 1024 + 101);

    let cluster = Cluster::of_test("count").await;
    let roll = Roll { count: Some(3_000), ..Roll::default() };
    Pipeline::new(&cluster).events(10_000).compress(Compress::Zstd).roll(roll).run().await.complete();
    let files = cluster.files().await;
    assert_eq!(files.len(), 4);
    for (file, count) in files.iter().zip([3_000, 3_000, 3_000, 1_000]) {
        assert!(file.name.ends_with(".txt.zst"));
        assert_eq!(cluster.numbers(std::slice::from_ref(file)).await.len(), count);
    }
}

/// Rolls so often that files are closed all the time.
fn often() -> Roll {
    Roll { age: Duration::from_secs(1), ..Roll::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datanode_that_dies_and_comes_back_loses_nothing() {
    let cluster = Cluster::alone("datanode").await;
    let running = Pipeline::new(&cluster).events(60_000).rate(10_000.0).roll(often()).start();
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
    let running = Pipeline::new(&cluster).events(60_000).rate(10_000.0).roll(often()).start();
    sleep(Duration::from_secs(2)).await;
    cluster.kill("namenode");
    sleep(Duration::from_secs(2)).await;
    cluster.start("namenode");
    running.end().await.complete();
    cluster.assert_nothing_lost(60_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_killed_agents_have_left_is_removed_and_what_others_write_is_not() {
    let cluster = Cluster::of_test("leftovers").await;
    let closed = cluster.path("2026-01-01/00/.events-20260101T000000Z-00000000-000001.txt.gz.test.lake.tmp");
    let dead = cluster.path("2026-01-01/00/.events-20260101T000000Z-00000001-000001.txt.gz.test.lake.tmp");
    let alive = cluster.path("2026-01-01/01/.events-20260101T000000Z-00000002-000001.txt.gz.test.lake.tmp");
    let other = cluster.path("2026-01-01/00/.events-20260101T000000Z-00000003-000001.txt.gz.test.pond.tmp");
    cluster.begin(&closed).await.close().await.unwrap();
    cluster.begin(&other).await.close().await.unwrap();
    // A client that is gone renews no lease; the NameNode gives up on it after a minute.
    drop(cluster.begin(&dead).await);
    let mut writer = cluster.begin(&alive).await;

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
async fn nothing_is_delivered_to_an_hdfs_that_is_not_there() {
    let cluster = Cluster::of_test("absent").await;
    let running = Pipeline::new(&cluster).url("hdfs://127.0.0.1:1").events(10).start();
    sleep(Duration::from_secs(1)).await;
    let report = running.stop_now().await.sink();
    assert_eq!(report.delivered(), 0);
}
