//! The parser `json`, against loops with serde_json, sonic-rs, simd-json and arrow-json.

#[cfg(feature = "json-crates")]
mod further;

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int64Builder, StringViewBuilder, TimestampMicrosecondBuilder};
use arrow_array::{Array, ArrayRef, BinaryViewArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use jiff::Timestamp;
use serde::Deserialize;

use super::{batches, ours, parser, timed};
use crate::Outcome;
use crate::rounds::pairs;

const JSON: &str = "
schema Request { at: Time, host: Text, path: Text, status: Int, bytes: Int, duration: Float }
source lines = generate {}
sink nowhere = null {}
flow main { lines -> parse json as Request else drop -> nowhere }
";

/// Returns an object of 512 bytes with twelve members.
pub(crate) fn json_line(number: u64) -> String {
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

/// The builders of the columns.
struct RequestColumns {
    at: TimestampMicrosecondBuilder,
    host: StringViewBuilder,
    path: StringViewBuilder,
    status: Int64Builder,
    bytes: Int64Builder,
    duration: Float64Builder,
}

impl RequestColumns {
    fn new(rows: usize) -> RequestColumns {
        RequestColumns {
            at: TimestampMicrosecondBuilder::with_capacity(rows),
            host: StringViewBuilder::with_capacity(rows),
            path: StringViewBuilder::with_capacity(rows),
            status: Int64Builder::with_capacity(rows),
            bytes: Int64Builder::with_capacity(rows),
            duration: Float64Builder::with_capacity(rows),
        }
    }

    fn append(&mut self, request: &Request<'_>) -> Result<(), Box<dyn Error>> {
        self.host.append_value(&request.host);
        self.path.append_value(&request.path);
        self.append_scalars(request)
    }

    fn append_scalars(&mut self, request: &Request<'_>) -> Result<(), Box<dyn Error>> {
        self.at.append_value(request.at.parse::<Timestamp>()?.as_microsecond());
        self.status.append_value(request.status);
        self.bytes.append_value(request.bytes);
        self.duration.append_value(request.duration);
        Ok(())
    }

    fn finish(mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.at.finish()),
            Arc::new(self.host.finish()),
            Arc::new(self.path.finish()),
            Arc::new(self.status.finish()),
            Arc::new(self.bytes.finish()),
            Arc::new(self.duration.finish()),
        ]
    }
}

/// Reads each object into a struct with serde_json, and appends its members to builders.
fn serde_json(bodies: &BinaryViewArray) -> Result<Vec<ArrayRef>, Box<dyn Error>> {
    let mut columns = RequestColumns::new(bodies.len());
    for row in 0..bodies.len() {
        columns.append(&serde_json::from_slice(bodies.value(row))?)?;
    }
    Ok(columns.finish())
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
    #[cfg(feature = "json-crates")]
    for (name, bare) in further::LOOPS {
        pairs(rounds, name, weir, || timed(&batches, times, bare))?;
    }
    pairs(rounds, "serde_json into a struct and builders", weir, || timed(&batches, times, serde_json))?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), false),
        Field::new("host", DataType::Utf8View, false),
        Field::new("path", DataType::Utf8View, false),
        Field::new("status", DataType::Int64, false),
        Field::new("bytes", DataType::Int64, false),
        Field::new("duration", DataType::Float64, false),
    ]));
    pairs(rounds, "arrow-json", weir, || timed(&batches, times, |bodies| arrow_json(&schema, bodies)))
}
