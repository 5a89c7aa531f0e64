//! The time that each step of the language takes for an event, as the agent itself measures it.
//!
//! Each step runs in a pipeline from a file into `null`, in batches of 4,096 events.

use std::error::Error;
use std::path::Path;

use crate::Outcome;
use crate::parsers::{access_line, json_line};
use crate::pipeline::{Until, compile, run};
use crate::pipelines::{folder, write_file};

/// A step with the lines that it is applied to.
struct Measured {
    lines: Lines,
    step: &'static str,
    /// The step behind it, which reads its fields; without it, nothing would be parsed.
    behind: &'static str,
}

/// The lines of the input, and how they become events before the measured step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lines {
    /// Lines of an access log, as bodies.
    AccessLog,
    /// Objects, parsed into eight fields.
    Objects,
    /// Objects, as bodies.
    Json,
    Csv,
    Pairs,
    Syslog,
    Avro,
}

const ALL_READ: &str = r#"keep if host != "" and path != "" and status > 0"#;

const fn parse(lines: Lines, step: &'static str) -> Measured {
    Measured { lines, step, behind: ALL_READ }
}

const fn on_objects(step: &'static str) -> Measured {
    Measured { lines: Lines::Objects, step, behind: "" }
}

const fn on_bodies(step: &'static str) -> Measured {
    Measured { lines: Lines::AccessLog, step, behind: "" }
}

const STEPS: &[Measured] = &[
    on_objects("keep if status < 400"),
    on_objects("drop if host == \"web-007.example.com\""),
    on_bodies(r#"keep if body matches r"HTTP/1\.[01]. 20[0-3]""#),
    on_objects("reject if status >= 490"),
    on_objects("check sane"),
    on_objects("let slow = duration > 50.0"),
    on_objects("set slow = duration > 50.0"),
    on_objects("set total = bytes + status * 2 else 0"),
    on_objects("set name = lower(host)"),
    on_objects(r#"set name = replace(path, "orders", "items")"#),
    on_objects(r#"set name = replace_regex(host, r"\d+", "N")"#),
    on_objects(r#"set name = "{host}:{status} {path}""#),
    on_objects(r#"set name = split(path, "/")"#),
    on_objects("set hash = sha256(path)"),
    on_objects("set hash = xxh3(path)"),
    on_objects("set hour = truncate_time(at, 1h)"),
    on_objects(r#"set day = format_time(at, "%Y-%m-%d")"#),
    on_objects(r#"set kind = if status < 300 then "fine" else if status < 400 then "moved" else "bad""#),
    on_objects("set @now = now()"),
    on_objects("set @id = uuid()"),
    on_bodies(r#"set body = replace_bytes(body, r"Firefox/[0-9.]+", "Firefox")"#),
    on_bodies(r#"set @request = capture(body, r"rid=(\d+)", 1)"#),
    on_objects("rename host to machine"),
    on_objects("select { at, host, status }"),
    on_objects("unset tags"),
    on_objects("dedupe by path within 10min"),
    on_bodies("sample 50%"),
    on_bodies("throttle 100_000_000/s"),
    on_objects("explode tags"),
    on_objects("flatten user"),
    Measured {
        lines: Lines::Json,
        step: "parse json as Request else drop",
        behind: r#"keep if host != "" and path != "" and status > 0 and bytes >= 0 and duration >= 0.0 and at is not null and tags is not empty and user.name != """#,
    },
    parse(Lines::Json, "parse json as Short else drop"),
    parse(Lines::Csv, "parse csv as Short else drop"),
    parse(Lines::Pairs, "parse kv as Short else drop"),
    parse(Lines::Pairs, "parse logfmt as Short else drop"),
    parse(
        Lines::Pairs,
        r#"parse regex r"^host=(?<host>\S+) path=(?<path>\S+) status=(?<status>\d+)" as Short else drop"#,
    ),
    parse(
        Lines::Pairs,
        r#"parse grok(r"^host=%{NOTSPACE:host} path=%{NOTSPACE:path} status=%{INT:status}") as Short else drop"#,
    ),
    Measured {
        lines: Lines::AccessLog,
        step: "parse access_log else drop",
        behind: r#"keep if client != "" and status > 0 and request != "" and path is not null and user_agent is not null and time is not null"#,
    },
    Measured {
        lines: Lines::Syslog,
        step: "parse syslog else drop",
        behind: r#"keep if message != "" and severity >= 0 and time is not null and host is not null and application is not null"#,
    },
    parse(Lines::Avro, "parse avro(schema) as Short else drop"),
];

const PROGRAM: &str = r#"
param from: Glob
schema Request {
  at: Time, host: Text, path: Text, status: Int, bytes: Int, duration: Float, tags: [Text], user: User
}
schema User { id: Int, name: Text }
schema Short { host: Text, path: Text, status: Int }
quality sane {
  status in 100..=599
  host is not empty
  duration >= 0.0
}
source lines = files { paths: [from], mode: complete }
channel buffer = memory {}
sink nowhere = null {}
"#;

const AVRO_SCHEMA: &str = r#"{ "type": "record", "name": "Short", "fields": [
  { "name": "host", "type": "string" }, { "name": "path", "type": "string" }, { "name": "status", "type": "long" }
] }"#;

impl Lines {
    /// The file with these lines in a folder.
    fn file(self) -> &'static str {
        match self {
            Lines::AccessLog => "access.log",
            Lines::Objects | Lines::Json => "objects.log",
            Lines::Csv => "csv.log",
            Lines::Pairs => "pairs.log",
            Lines::Syslog => "syslog.log",
            Lines::Avro => "avro.log",
        }
    }

    fn line(self, number: u64) -> Vec<u8> {
        let random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let host = format!("web-{:03}.example.com", random % 60);
        let path = format!("/api/v2/orders/{random:016x}");
        let status = 200 + random % 300;
        match self {
            Lines::AccessLog => access_line(number).into_bytes(),
            Lines::Objects | Lines::Json => json_line(number).into_bytes(),
            Lines::Csv => format!("{host},{path},{status}").into_bytes(),
            Lines::Pairs => format!("host={host} path={path} status={status}").into_bytes(),
            Lines::Syslog => format!(
                "<{}>1 2026-01-{:02}T12:00:00.{:03}Z {host} checkout 4711 ID47 - {path} took {status} ms",
                8 + random % 8,
                1 + random % 28,
                random % 1_000,
            )
            .into_bytes(),
            // No byte of such a datum is a line end.
            Lines::Avro => {
                let mut datum = vec![2 * host.len() as u8];
                datum.extend_from_slice(host.as_bytes());
                datum.push(2 * path.len() as u8);
                datum.extend_from_slice(path.as_bytes());
                datum.extend_from_slice(&[0x80 | (2 * status % 128) as u8, (2 * status / 128) as u8]);
                datum
            }
        }
    }
}

/// Returns the nanoseconds of one thread that the step takes for an event.
fn nanoseconds(measured: &Measured, folder: &Path, lines: u64) -> Result<f64, Box<dyn Error>> {
    let Measured { lines: kind, step, behind } = measured;
    let before = if *kind == Lines::Objects { "-> parse json as Request else drop\n" } else { "" };
    let behind = if behind.is_empty() { String::new() } else { format!("-> {behind}\n") };
    let schema = folder.join("short.avsc").to_string_lossy().into_owned();
    let step = step.replace("avro(schema)", &format!("avro(\"{schema}\")"));
    let uses_rejects = step.starts_with("reject") || step.starts_with("check");
    let rejects = if uses_rejects { "rejects -> nowhere\n" } else { "" };
    let program = format!(
        "{PROGRAM}\nflow main {{\nlines\n{before}-> {step}\n{behind}-> buffer -> nowhere\n{rejects}}}"
    );
    let from = folder.join(kind.file()).to_string_lossy().into_owned();
    let plan = compile(&program, &[("from", &from)])?;
    let (_, report) = run(&plan, "lines", lines, Until::Read)?;
    let source = report.components.iter().find(|component| &*component.name == "lines");
    let steps = &source.ok_or("there is no source in the report")?.steps;
    let is_measured = |label: &str| label.split(' ').next() == step.split(' ').next();
    let reading = match before.is_empty() {
        true => steps.iter().find(|reading| is_measured(&reading.step)),
        false => steps.iter().rfind(|reading| is_measured(&reading.step)),
    };
    let reading = reading.ok_or_else(|| format!("no step {step} in {steps:?}"))?;
    Ok(reading.seconds * 1e9 / reading.received as f64)
}

/// Measures each step over this many events, and prints a table of the medians.
///
/// # Errors
/// When a run fails.
pub(crate) fn measure(rounds: usize, lines: u64, only: Option<&str>) -> Outcome {
    let folder = folder(true)?;
    std::fs::write(folder.path().join("short.avsc"), AVRO_SCHEMA)?;
    println!("{lines} events each, {rounds} rounds\n");
    println!("| step | events | ns for an event (range) |\n| --- | --- | --- |");
    for measured in STEPS.iter().filter(|measured| only.is_none_or(|only| measured.step.contains(only))) {
        let path = folder.path().join(measured.lines.file());
        if !path.exists() {
            write_file(&path, lines, |number| measured.lines.line(number))?;
        }
        let mut times = (0..rounds.max(1))
            .map(|_| nanoseconds(measured, folder.path(), lines))
            .collect::<Result<Vec<f64>, _>>()
            .map_err(|error| format!("{}: {error}", measured.step))?;
        times.sort_by(f64::total_cmp);
        println!(
            "| `{}` | {:?} | {:.1} ({:.1} to {:.1}) |",
            measured.step,
            measured.lines,
            times[times.len() / 2],
            times[0],
            times[times.len() - 1],
        );
    }
    Ok(())
}
