//! The core alone: events are generated, put into a channel, taken and read.

use std::error::Error;
use std::time::Instant;

use xxhash_rust::xxh3::Xxh3Default;

use crate::Outcome;
use crate::pipeline::{Until, compile, run};
use crate::rounds::{Run, pairs};

const PROGRAM: &str = "
param events: Int

source numbers = generate { content: numbered { size: 100B }, count: events }

channel buffer = memory { capacity: 100_000 }

sink nowhere = null {}

flow main { numbers -> buffer -> nowhere }
";

const BODY_BYTES: usize = 100;

/// Each body is generated from its number and moved through the channel, and all its bytes are hashed. The hashes
/// of both sides must be equal.
///
/// # Errors
/// When a run fails, or the hashes differ.
pub(crate) fn measure(rounds: usize, events: u64) -> Outcome {
    println!("generate -> memory -> null: {events} numbered bodies of {BODY_BYTES} bytes");
    let plan = compile(PROGRAM, &[("events", &events.to_string())])?;
    let expected = format!("xxh3 {:016x}", bare(events).0);
    let weir = || -> Result<Run, Box<dyn Error>> {
        let (run, report) = run(&plan, "nowhere", events, Until::Delivered)?;
        let notes = report.components.iter().flat_map(|component| &component.notes);
        match notes.clone().any(|note| note.ends_with(&expected)) {
            true => Ok(run),
            false => Err(format!("{expected} was expected, not {:?}", notes.collect::<Vec<_>>()).into()),
        }
    };
    pairs(rounds, "one bare loop", weir, || Ok(bare(events).1))
}

/// Generates and hashes the same bodies one at a time in one buffer, without keeping any event.
fn bare(events: u64) -> (u64, Run) {
    let filling: Vec<u8> = std::iter::once(b' ').chain((b'a'..=b'z').cycle()).take(BODY_BYTES).collect();
    let mut digits = itoa::Buffer::new();
    let mut hash = Xxh3Default::new();
    let mut body = Vec::with_capacity(BODY_BYTES);
    let began = Instant::now();
    for number in 1..=events {
        body.clear();
        body.extend_from_slice(digits.format(number).as_bytes());
        let left = BODY_BYTES - body.len();
        body.extend_from_slice(&filling[..left]);
        hash.update(&body);
    }
    (hash.digest(), Run { events, bytes: events * BODY_BYTES as u64, took: began.elapsed() })
}
