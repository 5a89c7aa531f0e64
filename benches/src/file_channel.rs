//! The file channel: four sources put batches of a thousand 100-byte bodies with three headers.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::builder::BinaryViewBuilder;
use arrow_buffer::Buffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use tokio::runtime::{Builder, Runtime};
use weir_runtime::batch::{Batch, Column, Origins, Partition};
use weir_runtime::channel::{
    Channel, Compression, Demand, FileChannel, FileChannelOptions, Limits, Overflow, Taken,
};
use weir_runtime::source::SourcePort;
use weir_runtime::storage::{Key, Keys};

use crate::Outcome;
use crate::rounds::{Run, pairs};

const SOURCES: u64 = 4;
const ROWS: usize = 1_000;
const BODY_BYTES: usize = 100;
/// The number of events that a source has put and that are not yet acknowledged.
const IN_FLIGHT: u64 = 16;
const GIB: u64 = 1 << 30;

/// Whether a reader takes the events at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    Nothing,
    All,
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("@host", DataType::Utf8View, false),
        Field::new("@timestamp", time, false),
        Field::new("@topic", DataType::Utf8View, false),
        Field::new("body", DataType::BinaryView, false),
    ]))
}

/// Creates a folder for the benchmark in `WEIR_BENCH_DIR`, by default in the build's folder.
fn folder() -> Result<tempfile::TempDir, std::io::Error> {
    let at = std::env::var_os("WEIR_BENCH_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    std::fs::create_dir_all(&at)?;
    tempfile::Builder::new().prefix("file-channel").tempdir_in(at)
}

fn options(path: &Path, byte_capacity: u64) -> FileChannelOptions {
    let limits = Limits {
        capacity: usize::MAX >> 1,
        transaction_capacity: 10_000,
        byte_capacity,
        keep_alive: Duration::from_secs(3),
    };
    FileChannelOptions {
        component: "buffer".into(),
        owner: "bench/buffer".to_owned(),
        path: path.to_owned(),
        schema: schema(),
        limits,
        overflow: Overflow::Wait,
        compression: Compression::None,
        meter: Arc::default(),
    }
}

fn channel(path: &Path, byte_capacity: u64) -> Result<FileChannel, Box<dyn Error>> {
    Ok(FileChannel::new(options(path, byte_capacity))?)
}

fn runtime() -> Result<Runtime, std::io::Error> {
    Builder::new_multi_thread().enable_all().build()
}

/// Returns one batch with a new buffer, as if it were read from a socket or a file.
fn batch(
    schema: &SchemaRef,
    partition: &Partition,
    after: u64,
) -> Result<Batch, Box<dyn Error + Send + Sync>> {
    let mut buffer = vec![b'x'; ROWS * BODY_BYTES];
    buffer[..8].copy_from_slice(&after.to_le_bytes());
    let mut bodies = BinaryViewBuilder::with_capacity(ROWS);
    let block = bodies.append_block(Buffer::from_vec(buffer));
    for row in 0..ROWS {
        bodies.try_append_view(block, (row * BODY_BYTES) as u32, BODY_BYTES as u32)?;
    }
    let columns = vec![
        Column::constant_text("web-1.example.org"),
        Column::times((0..ROWS as i64).collect()),
        Column::constant_text("clicks"),
        bodies.finish().into(),
    ];
    let origins = Origins::one(partition.clone(), after, after + ROWS as u64);
    Ok(Batch::new(schema.clone(), columns, ROWS, origins)?)
}

/// Puts this number of events. Returns when all are on disk.
async fn put(
    channel: Arc<dyn Channel>,
    source: u64,
    events: u64,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let SourcePort { mut outlet, mut deliveries, .. } = SourcePort::into_channel(channel);
    let (schema, partition) = (schema(), Partition::new(source.to_string()));
    let (mut after, mut done) = (0, 0);
    while done < events {
        while after < events && after - done < IN_FLIGHT * ROWS as u64 {
            outlet.put(batch(&schema, &partition, after)?).await?;
            after += ROWS as u64;
        }
        let Some(delivered) = deliveries.next().await else { break };
        done = delivered.positions().map(|(_, through)| through.position()).max().unwrap_or(done);
    }
    outlet.close();
    Ok(())
}

async fn take(mut reader: Box<dyn weir_runtime::channel::Reader>, events: u64) {
    let mut taken = 0;
    while taken < events {
        match reader.take().await {
            Taken::Events(lease) => {
                taken += lease.batch.rows() as u64;
                lease.acknowledgement.done();
            }
            Taken::Pressure => {}
            Taken::End => return,
        }
    }
}

/// Whether the channel's directory is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtRest {
    Plain,
    Encrypted,
}

fn weir(events: u64, taking: Take, at_rest: AtRest) -> Result<Run, Box<dyn Error>> {
    let folder = folder()?;
    let channel: Arc<dyn Channel> = match at_rest {
        AtRest::Plain => Arc::new(channel(folder.path(), 4 * GIB)?),
        AtRest::Encrypted => {
            let keys = Keys::only(Key::new([7; 32]));
            Arc::new(FileChannel::encrypted(options(folder.path(), 4 * GIB), keys)?)
        }
    };
    let reader = channel.reader("sink", Demand::Required);
    let runtime = runtime()?;
    let each = events / SOURCES / ROWS as u64 * ROWS as u64;
    let took = runtime.block_on(async {
        channel.open().await.map_err(|failure| failure.to_string())?;
        let began = Instant::now();
        let puts: Vec<_> =
            (0..SOURCES).map(|source| tokio::spawn(put(channel.clone(), source, each))).collect();
        let taking = (taking == Take::All).then(|| tokio::spawn(take(reader, each * SOURCES)));
        for put in puts {
            put.await?.map_err(|error| error.to_string())?;
        }
        if let Some(taking) = taking {
            taking.await?;
        }
        Ok::<Duration, Box<dyn Error>>(began.elapsed())
    })?;
    let events = each * SOURCES;
    Ok(Run { events, bytes: events * BODY_BYTES as u64, took })
}

/// Appends and syncs groups of the size that the sources have in flight, without looking at the data.
fn bare(events: u64) -> Result<Run, Box<dyn Error>> {
    let folder = folder()?;
    let mut file = OpenOptions::new().create(true).append(true).open(folder.path().join("log"))?;
    // The size of a log record of such a batch: bodies, their ends, times, and a header.
    let batch_bytes = ROWS * (BODY_BYTES + 4 + 8) + 200;
    // The next group is collected while one is synced, so each has half of the events in flight.
    let batches = SOURCES * IN_FLIGHT / 2;
    let group = vec![b'x'; batch_bytes * batches as usize];
    let began = Instant::now();
    let mut written = 0;
    while written < events {
        file.write_all(&group)?;
        rustix::fs::fdatasync(&file)?;
        written += batches * ROWS as u64;
    }
    Ok(Run { events: written, bytes: written * BODY_BYTES as u64, took: began.elapsed() })
}

/// # Errors
/// When a run fails.
pub(crate) fn measure(rounds: usize, events: u64, taking: Take) -> Outcome {
    println!(
        "{SOURCES} sources -> file channel, {taking:?} taken: {events} bodies of {BODY_BYTES} bytes, batches of {ROWS}"
    );
    pairs(rounds, "append and sync", || weir(events, taking, AtRest::Plain), || bare(events))
}

/// Compares an encrypted channel with a plain one.
///
/// # Errors
/// When a run fails.
pub(crate) fn measure_encrypted(rounds: usize, events: u64, taking: Take) -> Outcome {
    println!(
        "{SOURCES} sources -> encrypted file channel, {taking:?} taken: {events} bodies of {BODY_BYTES} bytes, batches of {ROWS}"
    );
    pairs(
        rounds,
        "not encrypted",
        || weir(events, taking, AtRest::Encrypted),
        || weir(events, taking, AtRest::Plain),
    )
}

/// Opens a channel of this size with a cold page cache, and returns the time.
fn open_one(path: &Path) -> Result<Duration, Box<dyn Error>> {
    for entry in std::fs::read_dir(path)? {
        let file = std::fs::File::open(entry?.path())?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    let channel = channel(path, 16 * GIB)?;
    let _reader = channel.reader("sink", Demand::Required);
    let began = Instant::now();
    runtime()?.block_on(channel.open()).map_err(|failure| failure.to_string())?;
    Ok(began.elapsed())
}

/// Puts events of this total size and ends the process without closing the channel, like a crash.
fn fill(path: &Path, bytes: u64) -> Outcome {
    let channel: Arc<dyn Channel> = Arc::new(channel(path, 16 * GIB)?);
    let _reader = channel.reader("sink", Demand::Required);
    let each = bytes / (BODY_BYTES + 12) as u64 / SOURCES / ROWS as u64 * ROWS as u64;
    runtime()?.block_on(async {
        channel.open().await.map_err(|failure| failure.to_string())?;
        let puts: Vec<_> =
            (0..SOURCES).map(|source| tokio::spawn(put(channel.clone(), source, each))).collect();
        for put in puts {
            put.await?.map_err(|error| error.to_string())?;
        }
        Ok::<(), Box<dyn Error>>(())
    })?;
    // The writer's thread ends with the process, and nothing is closed.
    std::mem::forget(channel);
    Ok(())
}

/// # Errors
/// When a run fails.
pub(crate) fn measure_recovery(rounds: usize) -> Outcome {
    let (small, large) = (folder()?, folder()?);
    for (folder, gib) in [(&small, 1), (&large, 10)] {
        let program = std::env::current_exe()?;
        let filled = std::process::Command::new(program)
            .arg("fill")
            .arg(folder.path())
            .arg(gib.to_string())
            .status()?;
        if !filled.success() {
            return Err("the channel could not be filled".into());
        }
    }
    let mut ratios = Vec::new();
    for round in 0..=rounds {
        let (one, ten) = (open_one(small.path())?, open_one(large.path())?);
        let ratio = ten.as_secs_f64() / one.as_secs_f64();
        println!("{round}: 1 GiB {one:.1?}   10 GiB {ten:.1?}   ratio {ratio:.2}");
        if round > 0 {
            ratios.push(ratio);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios.get(rounds / 2).copied().unwrap_or(f64::NAN));
    Ok(())
}

/// Fills a channel's directory in a separate process, see [`measure_recovery`].
///
/// # Errors
/// When the channel can't be used.
pub(crate) fn fill_and_end(path: &Path, gib: u64) -> Outcome {
    fill(path, gib * GIB)
}
