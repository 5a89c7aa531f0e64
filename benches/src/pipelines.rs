//! Whole pipelines with steps, from a file that the system has in memory.
//!
//! Each is compared with the same pipeline without the measured steps, or with another last step, in alternating runs.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::parsers::json_line;
use crate::pipeline::{Until, compile, run};
use crate::rounds::{Run, pairs};

/// Two programs whose rates are compared.
struct Comparison {
    name: &'static str,
    /// The lines that the pipelines read.
    lines: fn(u64) -> String,
    line_bytes: u64,
    program: &'static str,
    compared_with: &'static str,
    other: &'static str,
}

const NOTHING: &str = "lines -> nowhere";

const FLUME: &str = r#"
  lines
    -> timestamp()
    -> host()
    -> regex_filter(r"level=(info|warn)")
    -> search_replace(r"password=\S+", "password=***")
    -> nowhere
"#;

const FILTER: &str = r#"lines -> keep if body matches r"level=(info|warn)" -> nowhere"#;

const NONE_PASSES: &str = r#"lines -> keep if body matches r"level=(fatal|alert)" -> nowhere"#;

const COPY: &str = "lines -> out";

const JSON: &str = "
  lines
    -> parse json as Request else drop
    -> keep if status < 450
    -> set slow = duration > 50.0
    -> out
";

const REPEATED: &str = r#"
  lines
    -> keep if replace_bytes(body, r"[0-9]+", "N") matches r"level=info" or replace_bytes(body, r"[0-9]+", "N") matches r"status=N"
    -> set body = replace_bytes(body, r"[0-9]+", "N")
    -> nowhere
"#;

const WRITTEN_DIFFERENTLY: &str = r#"
  lines
    -> keep if replace_bytes(body, r"[0-9]+", "N") matches r"level=info" or replace_bytes(body, r"[0-9][0-9]*", "N") matches r"status=N"
    -> set body = replace_bytes(body, r"[0-9]{1,}", "N")
    -> nowhere
"#;

const COMPARISONS: [Comparison; 6] = [
    Comparison {
        name: "timestamp, host, regex filter, search and replace -> null",
        lines: log_line,
        line_bytes: 100,
        program: FLUME,
        compared_with: "without steps",
        other: NOTHING,
    },
    Comparison {
        name: "a filter that passes nothing -> null",
        lines: log_line,
        line_bytes: 100,
        program: NONE_PASSES,
        compared_with: "a filter that passes most",
        other: FILTER,
    },
    Comparison {
        name: "one expression three times -> null",
        lines: log_line,
        line_bytes: 100,
        program: REPEATED,
        compared_with: "written differently each time",
        other: WRITTEN_DIFFERENTLY,
    },
    Comparison {
        name: "parse json, filter, set -> files as json, in memory",
        lines: json_line,
        line_bytes: 513,
        program: JSON,
        compared_with: "lines as text",
        other: COPY,
    },
    Comparison {
        name: "parse json, filter, set -> files as json, on disk",
        lines: json_line,
        line_bytes: 513,
        program: JSON,
        compared_with: "lines as text",
        other: COPY,
    },
    Comparison {
        name: "parse json, filter, set -> null",
        lines: json_line,
        line_bytes: 513,
        program: "
  lines
    -> parse json as Request else drop
    -> keep if status < 450 and at is not null and host != \"\" and path != \"\" and bytes >= 0
    -> set slow = duration > 50.0
    -> nowhere
",
        compared_with: "without steps",
        other: NOTHING,
    },
];

/// Returns a line of 99 bytes.
fn log_line(number: u64) -> String {
    let random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let level =
        ["info", "info", "info", "info", "info", "warn", "warn", "debug"][(random >> 20) as usize % 8];
    let mut line = format!(
        "2026-01-{:02}T12:{:02}:{:02}Z level={level} status={} path=/{:x} ",
        1 + random % 28,
        random % 60,
        (random >> 8) % 60,
        200 + random % 300,
        random % 65_536,
    );
    if number.is_multiple_of(10) {
        let _infallible = write!(line, "password={:x} ", random >> 40);
    }
    while line.len() < 99 {
        line.push_str("lorem ipsum dolor ");
    }
    line.truncate(99);
    line
}

/// Writes lines with their ends.
///
/// # Errors
/// When the file can't be written.
pub(crate) fn write_file(path: &Path, lines: u64, line: impl Fn(u64) -> Vec<u8>) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for number in 0..lines {
        file.write_all(&line(number))?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

/// Creates a folder in memory, or in the build's folder.
pub(crate) fn folder(in_memory: bool) -> std::io::Result<tempfile::TempDir> {
    let memory = PathBuf::from("/dev/shm");
    let at = match in_memory && memory.is_dir() {
        true => memory,
        false => std::env::var_os("WEIR_BENCH_DIR").unwrap_or_else(|| "target".into()).into(),
    };
    std::fs::create_dir_all(&at)?;
    tempfile::Builder::new().prefix("weir-bench").tempdir_in(std::fs::canonicalize(at)?)
}

fn program(flow: &str) -> String {
    let sink = match flow.contains("-> out") {
        false => "sink nowhere = null {}".to_owned(),
        true => {
            let format = if flow.contains("parse json") { "json" } else { "text" };
            format!(
                "param to: Text\nsink out = files {{ path: to, format: {format}, roll: {{ size: 1GiB, age: 1h }} }}"
            )
        }
    };
    format!(
        "param from: Glob
schema Request {{ at: Time, host: Text, path: Text, status: Int, bytes: Int, duration: Float }}
source lines = files {{ paths: [from], mode: complete }}
channel buffer = memory {{ capacity: 1_000_000, byte_capacity: 64MiB }}
{sink}
flow main {{ {} }}
",
        flow.replace("-> out", "-> buffer -> out").replace("-> nowhere", "-> buffer -> nowhere")
    )
}

fn measured(flow: &str, input: &Path, lines: u64, in_memory: bool) -> Result<Run, Box<dyn Error>> {
    let folder = folder(in_memory)?;
    let to = folder.path().join("out").to_string_lossy().into_owned();
    let mut params = vec![("from", input.to_str().ok_or("the path is no text")?)];
    if flow.contains("-> out") {
        params.push(("to", &to));
    }
    let plan = compile(&program(flow), &params)?;
    Ok(run(&plan, "lines", lines, Until::Read)?.0)
}

/// Measures pipelines over this many bytes of lines.
///
/// # Errors
/// When a run fails.
pub(crate) fn measure(rounds: usize, bytes: u64, only: Option<&str>) -> Outcome {
    let input_folder = folder(true)?;
    for Comparison { name, lines: line, line_bytes, program, compared_with, other } in &COMPARISONS {
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let lines = bytes / line_bytes;
        let input = input_folder.path().join(format!("{line_bytes}.log"));
        if !input.exists() {
            write_file(&input, lines, |number| line(number).into_bytes())?;
        }
        println!("{name}: {lines} lines of {line_bytes} bytes");
        let in_memory = !name.ends_with("on disk");
        let weir = || measured(program, &input, lines, in_memory);
        pairs(rounds, compared_with, weir, || measured(other, &input, lines, in_memory))?;
    }
    Ok(())
}
