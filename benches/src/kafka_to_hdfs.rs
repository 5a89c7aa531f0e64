//! The complete pipeline: from Kafka into compressed files on HDFS.

use std::error::Error;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use hdfs_native::{ClientBuilder, HdfsError, WriteOptions};
use tokio::runtime::{Builder, Runtime};

use crate::Outcome;
use crate::kafka::{brokers, consume, consumer, fill_topic};
use crate::peers::{FLUME_IDLE, run_flume_to_hdfs};
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

/// How long Flume may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Reads a topic of access-log lines and writes the lines compressed with gzip, beside a bare consumer or Flume. A run ends when
/// the last file is closed.
///
/// # Errors
/// When a run fails.
pub(crate) fn measure(rounds: usize, events: u64, flume: bool) -> Outcome {
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
    if flume {
        let beside = || {
            file += 1;
            run_flume(&runtime, (&brokers, &topic, &format!("flume-{file}")), &url, events)
        };
        return pairs(rounds, "Flume", weir, beside);
    }
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

/// Runs Flume from when it creates its file until the file is closed. The start of its virtual machine, joining the group and
/// waiting for a further event do not count.
fn run_flume(
    runtime: &Runtime,
    (brokers, topic, group): (&str, &str, &str),
    url: &str,
    events: u64,
) -> Result<Run, Box<dyn Error>> {
    let directory = format!("/bench/{topic}/{group}");
    let client = ClientBuilder::new().with_url(url).build()?;
    let started = Instant::now();
    let (mut began, mut complete) = (None, None);
    let group = format!("{topic}-{group}");
    run_flume_to_hdfs((brokers, topic, &group), &format!("{url}{directory}"), || {
        if started.elapsed() > PATIENCE {
            return Err("Flume has not written its file in time".into());
        }
        let files = match runtime.block_on(client.list_status(&directory, false)) {
            Err(HdfsError::FileNotFound(_)) => Vec::new(),
            files => files?,
        };
        if !files.is_empty() {
            began.get_or_insert_with(Instant::now);
        }
        complete = files.into_iter().find(|file| !file.path.ends_with(".tmp")).map(|file| file.path);
        Ok(complete.is_none())
    })?;
    let took = began.unwrap_or(started).elapsed().saturating_sub(FLUME_IDLE);
    let file = runtime.block_on(async {
        let mut reader = client.read(&complete.unwrap_or_default()).await?;
        let length = reader.file_length();
        reader.read_bytes(length).await
    })?;
    let mut text = Vec::new();
    MultiGzDecoder::new(&file[..]).read_to_end(&mut text)?;
    let lines = memchr::memchr_iter(b'\n', &text).count() as u64;
    if lines != events {
        return Err(format!("Flume has written {lines} lines instead of {events}").into());
    }
    Ok(Run { events, bytes: text.len() as u64, took })
}
