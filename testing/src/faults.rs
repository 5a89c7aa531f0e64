//! Runs a test with random faults, and checks what the flows promise: stops of the machine at random calls, and sinks that
//! fail before or after they have stored an event.

use weir_compiler::analysis::program_tests::{ProgramTest, TestContent};
use weir_grammar::Span;
use weir_runtime::SeededRandom;
use weir_runtime::storage::Moment;

use crate::checks;
use crate::outcome::Failure;
use crate::program::{Staged, TestProgram};
use crate::promises::Broken;
use crate::run::{Injected, Ran, RunSettings, run_without_faults};

/// The most stops of the machine in one run.
const STOPS_MAX: u64 = 3;

/// Runs what a test sends this often with random faults, and returns the first run in which a promise was broken; none if all
/// promises were kept. The faults and expectations of the test itself are left out. A test of steps alone has no promises.
pub fn run_with_faults(
    program: &TestProgram<'_>,
    test: &ProgramTest,
    settings: RunSettings<'_>,
    runs: u64,
) -> Option<Failure> {
    let cannot = |message: String| Failure::at(test.span, message, "this test can't run with faults");
    let (test, staged) = match program.staged(test) {
        Ok(staged) => staged,
        Err(message) => return Some(cannot(message)),
    };
    let TestContent::Program(acts) = &test.content else { return None };
    let settings = RunSettings { trace: false, bless: false, ..settings };
    let reference = match run_without_faults(&staged, acts, settings, &Injected::default()) {
        Ok(reference) => reference,
        Err(message) => return Some(cannot(message)),
    };
    for run in 0..runs {
        let seed = settings.seed.wrapping_add(run).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let injected = faults(seed, reference.calls);
        let ran = match run_without_faults(&staged, acts, RunSettings { seed, ..settings }, &injected) {
            Ok(ran) => ran,
            Err(message) => return Some(cannot(message)),
        };
        if let Some(mut failure) = broken_promise(&staged, &reference, &ran, test.span) {
            failure.notes.push(format!("run {} of {runs}: {}", run + 1, in_words(&injected)));
            return Some(failure);
        }
    }
    None
}

/// Chooses the faults of one run, for a machine that makes this many calls without them.
fn faults(seed: u64, calls: u64) -> Injected {
    let mut random = SeededRandom::new(seed);
    let moments = [Moment::Before, Moment::Within, Moment::After];
    let stops = (0..=random.below(STOPS_MAX)).map(|_| (random.below(calls), random.among(&moments)));
    let stops = stops.collect();
    Injected { stops, failing_one_in: random.among(&[None, Some(3), Some(10)]) }
}

fn in_words(injected: &Injected) -> String {
    let stops: Vec<String> = injected.stops.iter().rev().map(|(calls, _)| calls.to_string()).collect();
    let stops = format!("the machine stops after {} calls", stops.join(", after the next start after "));
    match injected.failing_one_in {
        Some(one_in) => format!("{stops}; one call of the sinks in {one_in} fails"),
        None => stops,
    }
}

/// Compares a run with one without faults, by the promises of the flows.
fn broken_promise(staged: &Staged, reference: &Ran, ran: &Ran, span: Span) -> Option<Failure> {
    let ends = &staged.ends;
    let promised = |broken: &Broken| ends.promised(broken);
    let mut lost = ends.lost(&reference.arrivals, &ran.arrivals);
    lost.retain(|broken| promised(broken)[0]);
    let label = "with faults, this test breaks a promise";
    let described = |mut failure: Failure, promise: &str| {
        failure.message = format!("with faults, {}, although {promise} is promised", failure.message);
        failure.labels = vec![(span, label.to_owned())];
        failure
    };
    if let Some(failure) = checks::broken(&ran.scene, span, &lost, "lost", "did not come to") {
        return Some(described(failure, "that no event is lost"));
    }
    let mut repeated = ends.repeated(&reference.arrivals, &ran.arrivals);
    // An event that does not come without faults, such as one that a `dedupe` drops whose memory a crash has ended, may come
    // once.
    repeated.retain(|broken| promised(broken)[1] && broken.came > broken.wanted.max(1));
    checks::broken(&ran.scene, span, &repeated, "repeated", "came again to")
        .map(|failure| described(failure, "that no event is repeated"))
}
