//! Parsers alone: bodies of a batch into typed columns.
//!
//! Both sides parse the same bodies in batches of a mebibyte, on one thread, into Arrow columns of the same types. The
//! times are those of the thread's processor time, since other programs share the machine.

mod access_log;
mod json;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Array, ArrayRef, BinaryViewArray};
use arrow_buffer::Buffer;
use rustix::time::{ClockId, clock_gettime};
use weir_plan::{Action, Settings};
use weir_runtime::parsers::{Parser, ParserCall, WantedField};

use crate::pipeline::compile;
use crate::rounds::Run;

pub(crate) use access_log::{access_line, measure_access_log, measure_regex};
pub(crate) use json::{json_line, measure_json};

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
    let call =
        ParserCall { settings, fields, known, strict: *strict, clock: Arc::new(weir_runtime::SystemClock) };
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
