//! The source `files`: lines of one large file in the page cache.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::time::Instant;

use crate::Outcome;
use crate::pipeline::{Until, compile, run};
use crate::rounds::{Run, pairs};

const PROGRAM: &str = "
param path: Glob

source lines = files { paths: [path], mode: follow }

channel buffer = memory { capacity: 100_000 }

sink nowhere = null {}

flow main { lines -> buffer -> nowhere }
";

/// The length of a line, including its end.
const LINE_BYTES: usize = 100;

/// Moves a file of lines through the memory channel. The loop reads the file into one buffer and
/// counts line ends.
///
/// # Errors
/// When a run fails, or the counts differ.
pub(crate) fn measure(rounds: usize, events: u64) -> Outcome {
    println!("files -> memory -> null: {events} lines of {LINE_BYTES} bytes");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("lines.log");
    write_lines(&path, events, LINE_BYTES)?;
    let plan = compile(PROGRAM, &[("path", &path.to_string_lossy())])?;
    let weir = || -> Result<Run, Box<dyn Error>> { Ok(run(&plan, "nowhere", events, Until::Delivered)?.0) };
    let bare = || -> Result<Run, Box<dyn Error>> {
        let run = count(&path)?;
        if run.events == events { Ok(run) } else { Err(format!("{} lines", run.events).into()) }
    };
    pairs(rounds, "newline counter", weir, bare)
}

/// Writes numbered lines of this length, including their ends.
///
/// # Errors
/// When the file can't be written.
pub(crate) fn write_lines(path: &Path, lines: u64, line_bytes: usize) -> std::io::Result<()> {
    let filling: Vec<u8> = (b'a'..=b'z').cycle().take(line_bytes - 12).collect();
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for number in 0..lines {
        write!(file, "{number:010} ")?;
        file.write_all(&filling)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

/// The minimal work: reads a mebibyte at a time into one buffer and counts line ends.
fn count(path: &Path) -> std::io::Result<Run> {
    let began = Instant::now();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let (mut events, mut bytes) = (0, 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(Run { events, bytes: bytes - events, took: began.elapsed() });
        }
        events += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
        bytes += read as u64;
    }
}
