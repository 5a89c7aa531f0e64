//! Parsers alone: bodies of a batch into typed columns.
//!
//! Both sides parse the same bodies in batches of a mebibyte, on one thread, into Arrow columns of the same types. The
//! times are those of the thread's processor time, since other programs share the machine.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::{
    Float64Builder, Int64Builder, StringViewBuilder, TimestampMicrosecondBuilder, UInt64Builder,
};
use arrow_array::{Array, ArrayRef, BinaryViewArray};
use arrow_buffer::Buffer;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use memchr::memchr;
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use weir_plan::{Action, Settings};
use weir_runtime::parsers::{Parser, ParserCall, WantedField};

use crate::Outcome;
use crate::pipeline::compile;
use crate::rounds::{Run, pairs};

/// Bodies of about a mebibyte, as sources put them.
struct Bodies {
    array: BinaryViewArray,
    bytes: u64,
}

/// The processor time that the thread has taken.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

fn batches(lines: u64, line: impl Fn(u64) -> String) -> Vec<Bodies> {
    let each = 2_048;
    let batch = |first: u64| {
        let (mut buffer, mut ends) = (Vec::new(), Vec::new());
        for number in first..lines.min(first + each) {
            buffer.extend_from_slice(line(number).as_bytes());
            ends.push(buffer.len());
        }
        let bytes = buffer.len() as u64;
        let buffer = Buffer::from_vec(buffer);
        let mut begin = 0;
        let views = ends.iter().map(|end| {
            let view = arrow_data::ByteView::new((end - begin) as u32, &buffer[begin..begin + 4])
                .with_offset(begin as u32);
            begin = *end;
            view.as_u128()
        });
        let views: Vec<u128> = views.collect();
        let array = BinaryViewArray::try_new(views.into(), vec![buffer], None).expect("the views are right");
        Bodies { array, bytes }
    };
    (0..lines).step_by(each as usize).map(batch).collect()
}

/// Makes the parser of the only step of a program.
fn parser(program: &str) -> Result<Box<dyn Parser>, Box<dyn Error>> {
    let plan = compile(program, &[])?;
    let paths = plan.flows.iter().flat_map(|flow| &flow.paths);
    let step = paths.flat_map(|path| &path.leg.steps).next().ok_or("the program has no step")?;
    let Action::Parse { parser, settings, fields, strict } = &step.action else {
        return Err("the step is no parse".into());
    };
    let after = &plan.event_types[step.event_type.0 as usize].schema;
    let known = fields.len();
    let fields = WantedField::read(fields, after)?;
    let settings: &Settings = settings;
    let call = ParserCall { settings, fields, known, strict: *strict };
    Ok(weir_stdlib::registry().make_parser(parser, &call)?)
}

/// Parses all batches `times` times, and sums what `columns` returns for each batch.
fn timed(
    batches: &[Bodies],
    times: u64,
    mut columns: impl FnMut(&BinaryViewArray) -> Result<Vec<ArrayRef>, Box<dyn Error>>,
) -> Result<Run, Box<dyn Error>> {
    let (mut events, mut bytes) = (0, 0);
    let began = processor_time();
    for batch in std::iter::repeat_n(batches, times as usize).flatten() {
        let columns = columns(&batch.array)?;
        if columns.iter().any(|column| column.len() != batch.array.len()) {
            return Err("a column has another length".into());
        }
        events += batch.array.len() as u64;
        bytes += batch.bytes;
    }
    Ok(Run { events, bytes, took: processor_time() - began })
}

fn ours(parser: &dyn Parser, bodies: &BinaryViewArray) -> Result<Vec<ArrayRef>, Box<dyn Error>> {
    let parsed = parser.parse(bodies)?;
    match parsed.failures.first() {
        None => Ok(parsed.columns),
        Some((row, reason)) => Err(format!("row {row}: {reason}").into()),
    }
}

const JSON: &str = "
schema Request { at: Time, host: Text, path: Text, status: Int, bytes: Int, duration: Float }
source lines = generate {}
sink nowhere = null {}
flow main { lines -> parse json as Request else drop -> nowhere }
";

/// Returns an object of 512 bytes with twelve members.
fn json_line(number: u64) -> String {
    let random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut line = format!(
        r#"{{"at":"2026-01-{:02}T12:{:02}:{:02}.{:03}Z","level":"info","host":"web-{:03}.example.com","service":"checkout","status":{},"bytes":{},"duration":{}.{:03},"path":"/api/v2/orders/{random:016x}","user":{{"id":{},"name":"user {:x}"}},"tags":["a","b","{:x}"],"trace":"{random:016x}{number:016x}","message":""#,
        1 + random % 28,
        random % 60,
        (random >> 8) % 60,
        random % 1_000,
        random % 200,
        200 + random % 300,
        random % 1_000_000,
        random % 100,
        random % 1_000,
        random % 100_000,
        random % 1_000,
        random % 10,
    );
    while line.len() < 510 {
        line.push_str("lorem ipsum dolor sit amet ");
    }
    line.truncate(510);
    line + "\"}"
}

/// The members that the program wants.
#[derive(Deserialize)]
struct Request<'l> {
    #[serde(borrow)]
    at: Cow<'l, str>,
    #[serde(borrow)]
    host: Cow<'l, str>,
    #[serde(borrow)]
    path: Cow<'l, str>,
    status: i64,
    bytes: i64,
    duration: f64,
}

/// Reads each object into a struct with serde_json, and appends its members to builders.
fn bare_json(bodies: &BinaryViewArray) -> Result<Vec<ArrayRef>, Box<dyn Error>> {
    let rows = bodies.len();
    let mut at = TimestampMicrosecondBuilder::with_capacity(rows);
    let [mut host, mut path] = [(); 2].map(|()| StringViewBuilder::with_capacity(rows));
    let [mut status, mut bytes] = [(); 2].map(|()| Int64Builder::with_capacity(rows));
    let mut duration = Float64Builder::with_capacity(rows);
    for row in 0..rows {
        let request: Request<'_> = serde_json::from_slice(bodies.value(row))?;
        at.append_value(request.at.parse::<Timestamp>()?.as_microsecond());
        host.append_value(&request.host);
        path.append_value(&request.path);
        status.append_value(request.status);
        bytes.append_value(request.bytes);
        duration.append_value(request.duration);
    }
    Ok(vec![
        Arc::new(at.finish()),
        Arc::new(host.finish()),
        Arc::new(path.finish()),
        Arc::new(status.finish()),
        Arc::new(bytes.finish()),
        Arc::new(duration.finish()),
    ])
}

/// Reads the objects of a batch with arrow-json.
fn arrow_json(schema: &Arc<Schema>, bodies: &BinaryViewArray) -> Result<Vec<ArrayRef>, Box<dyn Error>> {
    let rows = bodies.len();
    let mut decoder =
        arrow_json::ReaderBuilder::new(schema.clone()).with_batch_size(rows.max(1)).build_decoder()?;
    for row in 0..rows {
        decoder.decode(bodies.value(row))?;
    }
    Ok(decoder.flush()?.ok_or("there is no batch")?.columns().to_vec())
}

/// # Errors
/// When a body can't be parsed.
pub(crate) fn measure_json(rounds: usize, lines: u64) -> Outcome {
    println!("parse json: {lines} objects of 512 bytes, 6 of 12 members wanted");
    let batches = batches(lines.min(1 << 17), json_line);
    let times = lines.div_ceil(1 << 17);
    let parser = parser(JSON)?;
    let weir = || timed(&batches, times, |bodies| ours(&*parser, bodies));
    pairs(rounds, "serde_json into a struct and builders", weir, || timed(&batches, times, bare_json))?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("host", DataType::Utf8View, false),
        Field::new("path", DataType::Utf8View, false),
        Field::new("status", DataType::Int64, false),
        Field::new("bytes", DataType::Int64, false),
        Field::new("duration", DataType::Float64, false),
    ]));
    let weir = || timed(&batches, times, |bodies| ours(&*parser, bodies));
    pairs(rounds, "arrow-json", weir, || timed(&batches, times, |bodies| arrow_json(&schema, bodies)))
}

const ACCESS_LOG: &str = "
source lines = generate {}
sink nowhere = null {}
flow main { lines -> parse access_log else drop -> nowhere }
";

/// Returns a line in the combined format, of about 200 bytes.
fn access_line(number: u64) -> String {
    let random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!(
        r#"{}.{}.{}.{} - - [10/Oct/2026:13:{:02}:{:02} +0000] "GET /images/products/{random:x}.webp?rid={number:09} HTTP/1.1" {} {} "https://search.example.org/?q=log+pipelines" "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0""#,
        random % 256,
        (random >> 8) % 256,
        (random >> 16) % 256,
        (random >> 24) % 256,
        number / 3_000 % 60,
        number / 50 % 60,
        200 + random % 5,
        random % 200_000,
    )
}

/// The builders of an access log's columns.
struct AccessColumns {
    texts: [StringViewBuilder; 8],
    at: TimestampMicrosecondBuilder,
    status: Int64Builder,
    size: UInt64Builder,
    last: (String, i64),
}

impl AccessColumns {
    fn new(rows: usize) -> AccessColumns {
        AccessColumns {
            texts: [(); 8].map(|()| StringViewBuilder::with_capacity(rows)),
            at: TimestampMicrosecondBuilder::with_capacity(rows),
            status: Int64Builder::with_capacity(rows),
            size: UInt64Builder::with_capacity(rows),
            last: (String::new(), 0),
        }
    }

    fn time(&mut self, text: &str) -> Result<(), Box<dyn Error>> {
        if self.last.0 != text {
            let time = BrokenDownTime::parse("%d/%b/%Y:%H:%M:%S %z", text)?.to_timestamp()?;
            self.last = (text.to_owned(), time.as_microsecond());
        }
        self.at.append_value(self.last.1);
        Ok(())
    }

    fn finish(mut self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        for mut text in self.texts {
            columns.push(Arc::new(text.finish()));
        }
        columns.push(Arc::new(self.at.finish()));
        columns.push(Arc::new(self.status.finish()));
        columns.push(Arc::new(self.size.finish()));
        columns
    }
}

/// Cuts lines without escapes at spaces, brackets and quotes.
fn bare_access_log(bodies: &BinaryViewArray) -> Result<Vec<ArrayRef>, Box<dyn Error>> {
    let mut columns = AccessColumns::new(bodies.len());
    for row in 0..bodies.len() {
        let mut rest = std::str::from_utf8(bodies.value(row))?;
        let mut until = |byte: u8, skipped: usize| -> Result<&str, Box<dyn Error>> {
            let end = memchr(byte, rest.as_bytes()).ok_or("a part is missing")?;
            let part = &rest[..end];
            rest = rest.get(end + skipped..).ok_or("the line ends")?;
            Ok(part)
        };
        let client = until(b' ', 1)?;
        until(b' ', 1)?;
        let user = until(b' ', 2)?;
        let time = until(b']', 3)?;
        let request = until(b'"', 2)?;
        let status = until(b' ', 1)?;
        let size = until(b' ', 2)?;
        let referrer = until(b'"', 3)?;
        let agent = until(b'"', 1)?;
        let (method, target) = request.split_once(' ').ok_or("no method")?;
        let (path, protocol) = target.rsplit_once(' ').ok_or("no protocol")?;
        let texts = [client, user, method, path, protocol, request, referrer, agent];
        for (column, text) in columns.texts.iter_mut().zip(texts) {
            column.append_option(Some(text).filter(|text| *text != "-"));
        }
        columns.time(time)?;
        columns.status.append_value(status.parse()?);
        columns.size.append_value(size.parse()?);
    }
    Ok(columns.finish())
}

/// Finds the parts with a regular expression.
fn regex_access_log(
    pattern: &regex::Regex,
    bodies: &BinaryViewArray,
) -> Result<Vec<ArrayRef>, Box<dyn Error>> {
    let mut columns = AccessColumns::new(bodies.len());
    let mut groups = pattern.capture_locations();
    for row in 0..bodies.len() {
        let line = std::str::from_utf8(bodies.value(row))?;
        pattern.captures_read(&mut groups, line).ok_or("no match")?;
        let group = |number: usize| groups.get(number).map_or("-", |(begin, end)| &line[begin..end]);
        for (column, number) in columns.texts.iter_mut().zip([1, 2, 5, 6, 7, 4, 10, 11]) {
            column.append_option(Some(group(number)).filter(|text| *text != "-"));
        }
        columns.time(group(3))?;
        columns.status.append_value(group(8).parse()?);
        columns.size.append_value(group(9).parse()?);
    }
    Ok(columns.finish())
}

const ACCESS_PATTERN: &str =
    r#"^(\S+) \S+ (\S+) \[([^\]]+)\] "((\S+) (\S+) (\S+))" (\d{3}) (\d+) "([^"]*)" "([^"]*)""#;

/// # Errors
/// When a line can't be parsed.
pub(crate) fn measure_access_log(rounds: usize, lines: u64) -> Outcome {
    println!("parse access_log: {lines} lines of the combined format into eleven columns");
    let batches = batches(lines.min(1 << 18), access_line);
    let times = lines.div_ceil(1 << 18);
    let parser = parser(ACCESS_LOG)?;
    let weir = || timed(&batches, times, |bodies| ours(&*parser, bodies));
    pairs(rounds, "memchr and builders", weir, || timed(&batches, times, bare_access_log))?;
    let pattern = regex::Regex::new(ACCESS_PATTERN)?;
    let weir = || timed(&batches, times, |bodies| ours(&*parser, bodies));
    pairs(rounds, "regex and builders", weir, || {
        timed(&batches, times, |bodies| regex_access_log(&pattern, bodies))
    })
}
