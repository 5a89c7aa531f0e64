//! The sink `files`, compared with loops that write the same events with the same crates.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::{BinaryViewArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use crate::Outcome;
use crate::pipeline::{Until, compile, run};
use crate::rounds::{Run, pairs};

const PROGRAM: &str = "
param events: Int
param to: Text

source lines = generate { count: events }

channel buffer = memory { capacity: 200_000, byte_capacity: 256MiB }

sink out = files { path: \"{to}\", format: FORMAT, compress: CODEC, roll: { size: 1TiB, age: 7d } }

flow main { lines -> buffer -> out }
";

/// The number of rows of a source's batch.
const ROWS: usize = 4_096;
/// The default size of the sink's row groups.
const ROW_GROUP: usize = 100_000;
/// The number of bytes that go through a codec at once, on both sides.
const STAGED_BYTES: usize = 64 * 1024;

/// The events for the loops, prepared before the measurement.
struct Prepared {
    batches: Vec<RecordBatch>,
    events: u64,
    bytes: u64,
}

fn program(format: &str, codec: &str, events: u64, to: &Path) -> Result<weir_plan::Plan, Box<dyn Error>> {
    let text = PROGRAM.replace("FORMAT", format).replace("CODEC", codec);
    compile(&text, &[("events", &events.to_string()), ("to", &to.display().to_string())])
}

fn weir(format: &str, codec: &str, events: u64) -> Result<Run, Box<dyn Error>> {
    let folder = TempDir::new()?;
    // At half of its capacity the channel signals pressure, so that the sink closes its file: about 100,000 events in each.
    let plan = program(format, codec, events, folder.path())?;
    Ok(run(&plan, "out", events, Until::Delivered)?.0)
}

/// Returns the events that the program generates, read from its output as text.
fn prepare(events: u64) -> Result<Prepared, Box<dyn Error>> {
    let folder = TempDir::new()?;
    run(&program("text", "none", events, folder.path())?, "out", events, Until::Delivered)?;
    let mut files: Vec<_> = std::fs::read_dir(folder.path())?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut lines = Vec::new();
    for file in files {
        lines.extend(BufReader::new(File::open(file.path())?).split(b'\n').collect::<Result<Vec<_>, _>>()?);
    }
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Arc::new(Schema::new(vec![
        Field::new("sequence", DataType::Int64, false),
        Field::new("timestamp", time, false),
        Field::new("body", DataType::BinaryView, false),
    ]));
    let batches = lines.chunks(ROWS).enumerate().map(|(chunk, lines)| {
        let first = (chunk * ROWS) as i64;
        let numbers = first + 1..first + 1 + lines.len() as i64;
        let times = numbers.clone().map(|number| 1_767_225_600_000_000 + (number - 1) * 1_000);
        let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
        let bodies = BinaryViewArray::from_iter_values(lines);
        let numbers = Int64Array::from_iter_values(numbers);
        RecordBatch::try_new(schema.clone(), vec![Arc::new(numbers), Arc::new(times), Arc::new(bodies)])
    });
    let batches = batches.collect::<Result<Vec<_>, _>>()?;
    let bytes = lines.iter().map(|line| line.len() as u64).sum();
    Ok(Prepared { batches, events: lines.len() as u64, bytes })
}

/// Writes with arrow-rs's own writer, with the sink's properties.
fn bare_parquet(prepared: &Prepared) -> Result<Run, Box<dyn Error>> {
    let folder = TempDir::new()?;
    let began = Instant::now();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let file = File::create(folder.path().join("file"))?;
    let schema = prepared.batches[0].schema();
    let mut writer = ArrowWriter::try_new_with_options(file.try_clone()?, schema, options)?;
    for batch in &prepared.batches {
        writer.write(batch)?;
    }
    writer.close()?;
    file.sync_all()?;
    Ok(Run { events: prepared.events, bytes: prepared.bytes, took: began.elapsed() })
}

/// Writes lines through a codec into a file, in one loop.
fn bare_text(prepared: &Prepared, codec: &str) -> Result<Run, Box<dyn Error>> {
    let folder = TempDir::new()?;
    let began = Instant::now();
    let file = File::create(folder.path().join("file"))?;
    match codec {
        "gzip" => {
            let mut encoder =
                flate2::write::GzEncoder::new(file.try_clone()?, flate2::Compression::default());
            write_lines(prepared, &mut encoder)?;
            encoder.finish()?;
        }
        "zstd" => {
            let mut encoder = zstd::Encoder::new(file.try_clone()?, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            encoder.include_checksum(true)?;
            write_lines(prepared, &mut encoder)?;
            encoder.finish()?;
        }
        _ => write_lines(prepared, &mut file.try_clone()?)?,
    }
    file.sync_all()?;
    Ok(Run { events: prepared.events, bytes: prepared.bytes, took: began.elapsed() })
}

fn write_lines(prepared: &Prepared, out: &mut impl Write) -> std::io::Result<()> {
    let mut staged = Vec::with_capacity(2 * STAGED_BYTES);
    for batch in &prepared.batches {
        let bodies = batch.column(2).as_any().downcast_ref::<BinaryViewArray>();
        for body in bodies.into_iter().flatten().flatten() {
            staged.extend_from_slice(body);
            staged.push(b'\n');
            if staged.len() >= STAGED_BYTES {
                out.write_all(&staged)?;
                staged.clear();
            }
        }
    }
    out.write_all(&staged)
}

/// # Errors
/// When a run fails.
pub(crate) fn measure(rounds: usize, events: u64, only: Option<&str>) -> Outcome {
    let prepared = prepare(events)?;
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    println!("generate -> memory -> files: {events} lines of an access log");
    if wanted("parquet") {
        println!("parquet in zstd, beside arrow-rs's writer on prepared batches");
        let format = "parquet { headers: [@sequence, @timestamp] }";
        pairs(rounds, "arrow-rs", || weir(format, "zstd", events), || bare_parquet(&prepared))?;
    }
    for codec in ["none", "gzip", "zstd"].into_iter().filter(|codec| wanted(codec)) {
        println!("text in {codec}, beside one loop with the same codec");
        pairs(rounds, "one loop", || weir("text", codec, events), || bare_text(&prepared, codec))?;
    }
    Ok(())
}
