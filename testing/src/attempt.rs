//! Tries a program with a sample: what becomes of each event at each step, and how long the steps take. Time is real, since the
//! steps are measured.

use weir_compiler::analysis::program_tests::{EventContent, TestEvent};
use weir_grammar::{FileId, Span};
use weir_runtime::StepReading;

use crate::program::TestProgram;
use crate::run::{Injected, Run, RunSettings, in_real_time};
use crate::sampling::{Sample, planned_source};
use crate::trace;

/// What became of a sample.
#[derive(Debug)]
pub struct Attempt {
    /// The way of each event, in words.
    pub trace: Vec<String>,
    /// The steps, in the order of the paths, with their counts and times.
    pub steps: Vec<StepReading>,
    /// Why events were rejected, and what else went wrong.
    pub notes: Vec<String>,
}

/// What a program is tried with.
#[derive(Debug)]
pub enum Tried {
    /// The bodies of events. Their headers are simulated, and the time of day begins as in a test.
    Bodies(Vec<String>),
    /// Events of the source itself. The time of day is real.
    Sample(Sample),
}

/// Sends events to a source of a program, and returns what became of them.
///
/// # Errors
/// When there is no such source, or the program can't run, in words.
pub fn attempt(program: &TestProgram<'_>, source: &str, tried: &Tried) -> Result<Attempt, String> {
    let staged = program.staged_plan().ok_or("the program has errors")?;
    planned_source(&staged, source)?;
    let real_time = matches!(tried, Tried::Sample(_));
    let settings = RunSettings { trace: true, real_time, ..RunSettings::default() };
    let (ran, steps, notes) = in_real_time(async {
        let mut run = Run::new(&staged, settings, &Injected::default());
        match tried {
            Tried::Bodies(bodies) => {
                let span = Span { file: FileId(0), start: 0, end: 0 };
                let event = |body: &String| TestEvent { span, content: EventContent::Body(body.clone()) };
                run.send(source, &bodies.iter().map(event).collect::<Vec<_>>())?;
            }
            Tried::Sample(sample) => run.send_sample(source, sample),
        }
        run.driver.settle().await?;
        let measures = run.driver.measures();
        let components = measures.into_iter().flat_map(|measures| measures.components);
        let steps = components.flat_map(|component| component.steps).collect();
        let notes = run.notes();
        Ok((run.end(None).await, steps, notes))
    })?;
    Ok(Attempt { trace: trace::shown(&ran), steps, notes })
}
