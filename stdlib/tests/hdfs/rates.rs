//! How fast the sink is, beside the bare client writing as many bytes into one file. Not a test:
//!
//! ```text
//! cargo test --release -p weir-stdlib --test hdfs rates -- --ignored --nocapture
//! ```

use std::time::{Duration, Instant};

use hdfs_native::WriteOptions;

use crate::cluster::Cluster;
use crate::pipeline::{Compress, Pipeline};

const EVENTS: usize = 4_000_000;

/// A line of the generated events and its end.
const LINE_BYTES: usize = 101;

const MIB: usize = 1 << 20;

async fn bare(cluster: &Cluster) -> f64 {
    let chunk = bytes::Bytes::from(vec![b'x'; MIB]);
    let began = Instant::now();
    let options = WriteOptions::default().overwrite(true);
    let mut writer = cluster.client().create(&cluster.path("bare"), options).await.unwrap();
    let mut left = EVENTS * LINE_BYTES;
    while left > 0 {
        let next = chunk.slice(..left.min(MIB));
        left -= next.len();
        writer.write_bytes(next).await.unwrap();
    }
    writer.close().await.unwrap();
    rate(began.elapsed())
}

async fn sink(cluster: &Cluster) -> f64 {
    let began = Instant::now();
    let pipeline = Pipeline::new(cluster).events(EVENTS as i64).every(Duration::ZERO);
    pipeline.compress(Compress::None).run().await.complete();
    rate(began.elapsed())
}

fn rate(elapsed: Duration) -> f64 {
    (EVENTS * LINE_BYTES) as f64 / 1e6 / elapsed.as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn megabytes_per_second() {
    let cluster = Cluster::alone("rates").await;
    let mut rounds = Vec::new();
    for _ in 0..5 {
        let (bare, sink) = (bare(&cluster).await, sink(&cluster).await);
        println!("sink {sink:.0} MB/s, bare {bare:.0} MB/s, ratio {:.2}", sink / bare);
        rounds.push(sink / bare);
    }
    rounds.sort_by(f64::total_cmp);
    println!("ratio {:.2} (from {:.2} to {:.2})", rounds[2], rounds[0], rounds[4]);
}
