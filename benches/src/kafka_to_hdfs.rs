//! The complete pipeline: from Kafka into compressed files on HDFS.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hdfs_native::{ClientBuilder, WriteOptions};
use tokio::runtime::{Builder, Runtime};

use crate::Outcome;
use crate::kafka::{brokers, consume, consumer, fill_topic};
use crate::pipeline::{Until, compile, run};
use crate::rounds::{Run, pairs};

const PROGRAM: &str = "
param brokers: [Address]
param topic: Text
param group: Text
param hdfs: Url

source records = kafka { brokers: brokers, topics: [topic], group: group }

channel buffer = memory { capacity: 4_000_000, byte_capacity: 1GiB }

sink lake = hdfs { url: hdfs, path: \"/bench/{topic}/{group}/{@timestamp:%Y/%m/%d/%H}\", compress: gzip }

flow main { records -> buffer -> lake }
";

/// The number of bytes that are compressed before they are written to HDFS.
const CHUNK_BYTES: usize = 1 << 20;

/// Reads a topic of access-log lines and writes the lines compressed with gzip. A run ends when the
/// last file is closed.
///
/// # Errors
/// When a run fails.
pub(crate) fn measure(rounds: usize, events: u64) -> Outcome {
    let brokers = brokers()?;
    let url = std::env::var("HDFS_URL").map_err(|_| "HDFS_URL must name a name node")?;
    let topic = fill_topic(&brokers, events)?;
    println!("Kafka -> memory -> HDFS, gzip: {events} access log lines (MB before compression)");
    let mut group = 0;
    let weir = || -> Result<Run, Box<dyn Error>> {
        group += 1;
        let group = format!("{topic}-{group}");
        let params = [("brokers", brokers.as_str()), ("topic", &topic), ("group", &group), ("hdfs", &url)];
        Ok(run(&compile(PROGRAM, &params)?, "lake", events, Until::Taken)?.0)
    };
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let mut file = 0;
    let bare = || {
        file += 1;
        one_file(&runtime, (&brokers, &topic), &url, &format!("/bench/{topic}/bare-{file}.gz"), events)
    };
    pairs(rounds, "bare consumer to one file", weir, bare)
}

/// Consumes, compresses and writes in one thread.
fn one_file(
    runtime: &Runtime,
    (brokers, topic): (&str, &str),
    url: &str,
    path: &str,
    events: u64,
) -> Result<Run, Box<dyn Error>> {
    let began = Instant::now();
    let consumer = consumer(brokers, topic, path)?;
    let client = ClientBuilder::new().with_url(url).build()?;
    let mut writer = runtime.block_on(client.create(path, WriteOptions::default()))?;
    let mut encoder = GzEncoder::new(Vec::with_capacity(CHUNK_BYTES), Compression::default());
    let mut bytes = 0;
    consume(&consumer, events, &mut |payload| {
        encoder.write_all(payload)?;
        encoder.write_all(b"\n")?;
        bytes += payload.len() as u64;
        if encoder.get_ref().len() >= CHUNK_BYTES {
            let full = std::mem::replace(encoder.get_mut(), Vec::with_capacity(CHUNK_BYTES));
            runtime.block_on(writer.write_bytes(Bytes::from(full)))?;
        }
        Ok(())
    })?;
    runtime.block_on(writer.write_bytes(Bytes::from(encoder.finish()?)))?;
    runtime.block_on(writer.close())?;
    Ok(Run { events, bytes, took: began.elapsed() })
}
