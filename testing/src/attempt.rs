//! Tries a program with a sample: what becomes of each event at each step, and how long the steps take. Time is real, since the
//! steps are measured.

use weir_compiler::analysis::program_tests::{EventContent, TestEvent};
use weir_grammar::{FileId, Span};
use weir_runtime::StepReading;

use crate::program::TestProgram;
use crate::run::{Injected, Run, RunSettings, in_real_time};
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

/// Sends the bodies of events to a source of a program, and returns what became of them.
///
/// # Errors
/// When there is no such source, or the program can't run, in words.
pub fn attempt(program: &TestProgram<'_>, source: &str, bodies: &[String]) -> Result<Attempt, String> {
    let staged = program.staged_plan().ok_or("the program has errors")?;
    let sources: Vec<&str> = staged.plan.sources.iter().map(|source| source.name.as_str()).collect();
    if !sources.contains(&source) {
        return Err(format!("the program has no source `{source}` in a flow; it has {}", sources.join(", ")));
    }
    let settings = RunSettings { trace: true, ..RunSettings::default() };
    let span = Span { file: FileId(0), start: 0, end: 0 };
    let event = |body: &String| TestEvent { span, content: EventContent::Body(body.clone()) };
    let events: Vec<TestEvent> = bodies.iter().map(event).collect();
    let (ran, steps, notes) = in_real_time(async {
        let mut run = Run::new(&staged, settings, &Injected::default());
        run.send(source, &events)?;
        run.driver.settle().await?;
        let measures = run.driver.measures();
        let components = measures.into_iter().flat_map(|measures| measures.components);
        let steps = components.flat_map(|component| component.steps).collect();
        let notes = run.notes();
        Ok((run.end(None).await, steps, notes))
    })?;
    Ok(Attempt { trace: trace::shown(&ran), steps, notes })
}
