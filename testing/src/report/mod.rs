//! Results in words and in formats for machines.

mod human;
mod machines;

use std::time::Duration;

use weir_compiler::Files;

use crate::outcome::TestResult;

pub use human::failure as failure_text;
pub use machines::{json, junit, tap};

/// The results of the tests of one program.
#[derive(Debug)]
pub struct ProgramResults<'r> {
    /// The name of the program's file.
    pub name: &'r str,
    /// The files that the places of the results refer to.
    pub files: &'r Files,
    /// The results, in the order of the text.
    pub results: &'r [TestResult],
    /// The command that repeats the run of each result.
    pub repeat: Vec<String>,
}

/// A program with errors, so that none of its tests can run.
#[derive(Debug)]
pub struct BrokenProgram {
    /// The name of the program's file.
    pub name: String,
    /// The first error, in one sentence without a full stop.
    pub message: String,
    /// All errors with their places, as text.
    pub details: String,
}

/// Returns a duration as people say it: `3ms`, `1.2s`, `10min`.
pub fn duration_text(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    match milliseconds {
        0..1_000 => format!("{milliseconds}ms"),
        1_000..60_000 => format!("{:.1}s", duration.as_secs_f64()),
        60_000..3_600_000 => format!("{}min", milliseconds / 60_000),
        _ => format!("{}h {}min", milliseconds / 3_600_000, milliseconds / 60_000 % 60),
    }
}
