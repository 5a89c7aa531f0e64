mod circumstances;

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::BinaryViewArray;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use tempfile::TempDir;
use weir_plan::{Hole, HoleFormat, Template, TemplatePart, Value};
use weir_runtime::batch::{Batch, Column, Origins};
use weir_runtime::channel::{Channel, Limits, MemoryChannel};
use weir_runtime::sink::SinkPort;
use weir_runtime::source::SourcePort;
use weir_runtime::{Meter, SystemClock};

use super::*;

const HOUR: i64 = 3_600_000_000;

fn variant(name: &str) -> Value {
    Value::Variant { name: name.to_string(), settings: BTreeMap::new() }
}

fn settings(directory: &Path, compress: &str) -> Settings {
    let hour = Hole { column: "@timestamp".to_string(), format: HoleFormat::Time("%Y/%m/%d/%H".to_string()) };
    let root = TemplatePart::Text(format!("{}/lake/", directory.display()));
    let roll = [
        ("size", Value::Size(1 << 27)),
        ("age", Value::Duration(Duration::from_secs(300))),
        ("count", Value::Null),
    ];
    let values = [
        ("path", Value::Template(Template { parts: vec![root, TemplatePart::Hole(hour)] })),
        ("prefix", Value::Text("access".to_string())),
        ("format", variant("text")),
        ("compress", variant(compress)),
        ("roll", Value::Record(roll.map(|(name, value)| (name.to_string(), value)).into())),
        ("zone", Value::Text("UTC".to_string())),
        ("in_use", variant("dot")),
        ("max_open", Value::Int(100)),
    ];
    Settings { values: values.map(|(name, value)| (name.to_string(), value)).into() }
}

fn schema() -> Arc<Schema> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("@timestamp", time, false),
        Field::new("body", DataType::BinaryView, false),
    ]))
}

fn context(meter: Arc<Meter>) -> Context {
    let clock = Arc::new(SystemClock);
    Context {
        program: "shop".into(),
        component: "lake".into(),
        schema: schema(),
        exactly_once: false,
        meter,
        clock,
        descriptors: weir_runtime::Descriptors::of_process(),
    }
}

/// Runs a sink with these settings. Each line of a batch has a time one hour after the line before.
async fn write(settings: &Settings, lines: &[Vec<&str>]) -> Arc<Meter> {
    let meter = Arc::<Meter>::default();
    let mut sink = make(settings, context(meter.clone())).unwrap();
    let channel: Arc<dyn Channel> = Arc::new(MemoryChannel::new(Limits {
        capacity: 1_000_000,
        transaction_capacity: 1_000_000,
        byte_capacity: 1 << 30,
        keep_alive: Duration::from_secs(3),
    }));
    let mut port = SinkPort::reading(&*channel);
    let mut outlet = SourcePort::into_channel(channel.clone()).outlet;
    for batch in lines {
        let times = Column::times((0..batch.len() as i64).map(|row| row * HOUR).collect());
        let columns = vec![times, BinaryViewArray::from_iter_values(batch).into()];
        let batch = Batch::new(schema(), columns, batch.len(), Origins::default()).unwrap();
        outlet.put(batch).await.unwrap();
    }
    outlet.close();
    channel.close();
    sink.run(&mut port).await.unwrap();
    assert_eq!(channel.fill().events, 0);
    meter
}

/// Lists the files of a directory, in the order of their names.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn decoded(path: &Path, compress: &str) -> String {
    let file = File::open(path).unwrap();
    let mut text = String::new();
    let mut reader: Box<dyn Read> = match compress {
        "gzip" => Box::new(flate2::read::MultiGzDecoder::new(file)),
        "zstd" => Box::new(zstd::Decoder::new(file).unwrap()),
        _ => Box::new(file),
    };
    reader.read_to_string(&mut text).unwrap();
    // Checks with the command-line tool as well, if the machine has it.
    if compress != "none"
        && let Ok(output) = Command::new(compress).args(["-d", "-c"]).arg(path).output()
    {
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout == text.as_bytes(), "{compress} reads something else");
    }
    text
}

#[tokio::test]
async fn files_are_complete_synced_and_readable() {
    for (compress, extension) in [("none", ".txt"), ("gzip", ".txt.gz"), ("zstd", ".txt.zst")] {
        let directory = TempDir::new().unwrap();
        let batches = [vec!["first", "second"], vec!["third"]];
        let meter = write(&settings(directory.path(), compress), &batches).await;
        let [file] = files(&first_hour(directory.path())).try_into().unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("access-2") && name.ends_with(extension), "{name}");
        assert_eq!(decoded(&file, compress), "first\nthird\n");
        let [file] = files(&directory.path().join("lake/1970/01/01/01")).try_into().unwrap();
        assert_eq!(decoded(&file, compress), "second\n");
        assert_eq!(meter.counters()["files_written"], 2);

        let directory = TempDir::new().unwrap();
        let batches = vec![vec!["a line of a log that comes often"]; 3_000];
        write(&settings(directory.path(), compress), &batches).await;
        let [file] = files(&first_hour(directory.path())).try_into().unwrap();
        assert_eq!(decoded(&file, compress).lines().count(), 3_000);
    }
}

fn first_hour(directory: &Path) -> PathBuf {
    directory.join("lake/1970/01/01/00")
}

#[tokio::test]
async fn line_breaks_in_bodies_are_written_counted_and_noted() {
    let directory = TempDir::new().unwrap();
    let meter = write(&settings(directory.path(), "none"), &[vec!["a\nb"], vec!["c"]]).await;
    let [file] = files(&first_hour(directory.path())).try_into().unwrap();
    assert_eq!(decoded(&file, "none"), "a\nb\nc\n");
    assert_eq!(meter.counters()["line_breaks_in_bodies"], 1);
    assert!(meter.notes()["lines"].starts_with("1 line breaks within bodies"));
}

#[tokio::test]
async fn leftovers_are_removed_unless_their_writer_is_running() {
    let directory = TempDir::new().unwrap();
    let hour = first_hour(directory.path());
    std::fs::create_dir_all(&hour).unwrap();
    let dead = hour.join(".access-20260101T000000Z-00000000-000001.txt.shop.lake.tmp");
    let alive = hour.join(".access-20260101T000000Z-00000001-000001.txt.shop.lake.tmp");
    let other = hour.join(".access-20260101T000000Z-00000001-000001.txt.shop.pond.tmp");
    for path in [&dead, &alive, &other] {
        std::fs::write(path, "x").unwrap();
    }
    let writer = File::open(&alive).unwrap();
    writer.lock().unwrap();
    let meter = write(&settings(directory.path(), "none"), &[vec!["a"]]).await;
    assert_eq!(meter.counters()["leftovers_removed"], 1);
    let left = files(&hour);
    assert!(!left.contains(&dead) && left.contains(&alive) && left.contains(&other), "{left:?}");
    assert_eq!(left.len(), 3);
}

#[tokio::test]
async fn an_existing_file_is_never_replaced() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_string();
    std::fs::write(path("from"), "new").unwrap();
    std::fs::write(path("to"), "old").unwrap();
    let error = LocalFiles.rename_no_replace(&path("from"), &path("to")).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(path("to")).unwrap(), "old");
    LocalFiles.rename_no_replace(&path("from"), &path("free")).await.unwrap();
    assert_eq!(std::fs::read_to_string(path("free")).unwrap(), "new");
}

#[tokio::test]
async fn the_error_names_a_directory_that_cant_be_created() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("lake"), "a file").unwrap();
    let mut sink = make(&settings(directory.path(), "none"), context(Arc::default())).unwrap();
    let limits = Limits {
        capacity: 10,
        transaction_capacity: 10,
        byte_capacity: 1000,
        keep_alive: Duration::from_secs(1),
    };
    let channel: Arc<dyn Channel> = Arc::new(MemoryChannel::new(limits));
    let mut port = SinkPort::reading(&*channel);
    let columns = vec![Column::constant_time(0), BinaryViewArray::from_iter_values(["a"]).into()];
    let batch = Batch::new(schema(), columns, 1, Origins::default()).unwrap();
    SourcePort::into_channel(channel.clone()).outlet.put(batch).await.unwrap();
    let failure = sink.run(&mut port).await.unwrap_err();
    assert!(!failure.is_permanent());
    let text = failure.to_string();
    assert!(text.starts_with("creating ") && text.contains("lake/1970/01/01/00/.access-"), "{text}");
    assert!(text.contains("Not a directory"), "{text}");
    assert_eq!(channel.fill().events, 1);
}

/// In `/proc` no directory can be created.
#[test]
fn a_directory_that_its_parent_refuses_is_an_error() {
    let error = make_directories(Path::new("/proc/nowhere/deep")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

/// Makes a sink with one changed setting, and returns the error message, or `made`.
fn refusal(name: &str, value: Value) -> String {
    let mut settings = settings(Path::new("/nowhere"), "none");
    settings.values.insert(name.to_string(), value);
    make(&settings, context(Arc::default()))
        .map_or_else(|failure| failure.to_string(), |_sink| "made".to_string())
}

#[test]
fn every_setting_of_the_signature_is_accepted() {
    let with = |name: &str, settings: &[(&str, Value)]| {
        let settings = settings.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect();
        Value::Variant { name: name.to_string(), settings }
    };
    let headers = ("headers", Value::List(Vec::new()));
    let csv = [("delimiter", Value::Text(";".into())), ("names", Value::Bool(false)), headers.clone()];
    let formats = [
        variant("text"),
        variant("raw"),
        variant("sequence_file"),
        with("json", std::slice::from_ref(&headers)),
        with("csv", &csv),
        with("avro", std::slice::from_ref(&headers)),
        with("parquet", &[("row_group", Value::Int(5_000)), headers]),
    ];
    for format in formats {
        assert_eq!(refusal("format", format), "made");
    }
    for codec in ["none", "gzip", "zstd", "snappy", "lz4", "bzip2"] {
        assert_eq!(refusal("compress", variant(codec)), "made");
    }
    assert_eq!(refusal("allow", variant("sensitive")), "made");
    assert_eq!(refusal("round", Value::Duration(Duration::from_secs(900))), "made");
    assert_eq!(refusal("in_use", variant("tmp")), "made");
    let seconds = |seconds| Value::Duration(Duration::from_secs(seconds));
    let retry = [("first", seconds(1)), ("max", seconds(60)), ("limit", Value::Int(5))];
    assert_eq!(
        refusal("retry", Value::Record(retry.map(|(name, value)| (name.into(), value)).into())),
        "made"
    );
    let roll = [
        ("size", Value::Size(1 << 27)),
        ("age", seconds(300)),
        ("count", Value::Int(5)),
        ("idle", seconds(30)),
    ];
    assert_eq!(refusal("roll", Value::Record(roll.map(|(name, value)| (name.into(), value)).into())), "made");
}
