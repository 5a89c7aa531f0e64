//! Lines from files into files, through a memory channel and through a file channel.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Outcome;
use crate::files_source::write_lines;
use crate::pipeline::{Until, compile, run};
use crate::rounds::{Run, pairs};

const THROUGH_MEMORY: &str = "channel buffer = memory { capacity: 1_000_000, byte_capacity: 256MiB }";

const THROUGH_A_DISK: &str = "
param log: Text

channel buffer = file { path: log, byte_capacity: 4GiB }
";

const REST: &str = "
param from: Glob
param to: Text

source lines = files { paths: [from], mode: complete }

sink out = files { path: to, roll: { size: 1GiB, age: 1h } }

flow main { lines -> buffer -> out }
";

/// The maximum size of a group that the log syncs; the loop syncs groups of this size.
const GROUP_BYTES: usize = 8 << 20;

/// Copies a gibibyte of lines from one file into another, compared with a `dd` that writes and syncs as much; then
/// through a channel on disk, compared with a loop that writes both copies with as many syncs.
///
/// # Errors
/// When a run fails.
pub(crate) fn measure(rounds: usize, bytes: u64) -> Outcome {
    for line_bytes in [100, 512] {
        let lines = bytes / line_bytes as u64;
        let folder = folder()?;
        let input = folder.path().join("lines.log");
        write_lines(&input, lines, line_bytes)?;
        println!("files -> memory -> files: {lines} lines of {line_bytes} bytes");
        pairs(rounds, "dd", || weir(&input, lines, THROUGH_MEMORY), || dd(lines, line_bytes))?;
        println!("files -> file channel -> files: {lines} lines of {line_bytes} bytes");
        pairs(rounds, "both copies", || weir(&input, lines, THROUGH_A_DISK), || both_copies(&input, lines))?;
    }
    Ok(())
}

/// Creates a folder in `WEIR_BENCH_DIR`, by default in the build's folder.
fn folder() -> std::io::Result<tempfile::TempDir> {
    let at = std::env::var_os("WEIR_BENCH_DIR").unwrap_or_else(|| "target".into());
    std::fs::create_dir_all(&at)?;
    tempfile::Builder::new().prefix("files-to-files").tempdir_in(std::fs::canonicalize(at)?)
}

fn weir(input: &Path, lines: u64, channel: &str) -> Result<Run, Box<dyn Error>> {
    let folder = folder()?;
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (from, to, log) = (input.to_string_lossy(), place("out"), place("log"));
    let mut params = vec![("from", &*from), ("to", &*to)];
    if channel == THROUGH_A_DISK {
        params.push(("log", &*log));
    }
    let plan = compile(&format!("{channel}{REST}"), &params)?;
    Ok(run(&plan, "out", lines, Until::Taken)?.0)
}

/// Runs `dd conv=fdatasync`, which only writes.
fn dd(lines: u64, line_bytes: usize) -> Result<Run, Box<dyn Error>> {
    let folder = folder()?;
    let bytes = lines * line_bytes as u64;
    let began = Instant::now();
    let status = Command::new("dd")
        .arg("if=/dev/zero")
        .arg(format!("of={}", folder.path().join("out").display()))
        .args(["bs=1M", &format!("count={}", bytes >> 20), "conv=fdatasync"])
        .stderr(Stdio::null())
        .status()?;
    let took = began.elapsed();
    if !status.success() {
        return Err(format!("dd: {status}").into());
    }
    Ok(Run { events: lines, bytes, took })
}

/// Reads the lines and writes them twice: into a log that is synced after each group, and into a file that is
/// synced once at its end.
fn both_copies(input: &Path, lines: u64) -> Result<Run, Box<dyn Error>> {
    let folder = folder()?;
    let mut input = File::open(input)?;
    let mut log = File::create(folder.path().join("log"))?;
    let mut out = File::create(folder.path().join("out"))?;
    let mut group = vec![0; GROUP_BYTES];
    let mut bytes = 0;
    let began = Instant::now();
    loop {
        let mut filled = 0;
        while filled < group.len() {
            match input.read(&mut group[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        if filled == 0 {
            break;
        }
        log.write_all(&group[..filled])?;
        rustix::fs::fdatasync(&log)?;
        out.write_all(&group[..filled])?;
        bytes += filled as u64;
    }
    rustix::fs::fdatasync(&out)?;
    Ok(Run { events: lines, bytes, took: began.elapsed() })
}
