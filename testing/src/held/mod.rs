//! Holds the compiler's proofs against runs of the real core.
//!
//! Random small pipelines of all that the language has are compiled, and run with faults: the agent is killed at random calls, its
//! machine loses power, sinks and sources fail, peers send again, disks are full, lookup tables change. No run may do worse than what
//! was derived for its pipeline, whether the compiler accepts its promise or not: the runtime carries out refused promises too.
//! `rules.txt` names runs that break a promise for one rule alone; `WEIR_RULES` searches them.
//!
//! | module | content |
//! | --- | --- |
//! | `pipeline`, `generate`, `text` | random pipelines, as data and as programs |
//! | `wanted` | what must become of an event, by the meaning of the steps |
//! | `sources`, `sinks` | simulated ends, as bad as their delivery class allows |
//! | `play`, `judge` | a run with faults; what it has shown |
//! | `shrink` | a smaller pipeline that shows the same |
//! | `refused` | what the compiler refuses against what the runtime refuses |
//! | `rules` | the runs that show each rule |

mod generate;
mod judge;
mod pipeline;
mod play;
mod refused;
mod rules;
mod shrink;
mod sinks;
mod sources;
mod text;
mod wanted;

use std::collections::BTreeMap;

use weir_runtime::number_from_environment;

use crate::suite::in_threads;
use judge::{Verdict, judge};
use pipeline::Pipeline;
use play::{Compiled, compile};

/// The pipelines that a test run plays, unless `WEIR_PIPELINES` says another number: 20,000 runs, without those with errors.
const PIPELINES: u64 = 5_050;
/// The runs of each pipeline.
const RUNS: u64 = 4;
/// Of this many pipelines, at most one may have errors besides its promises.
const ERRORS_ONE_IN: usize = 100;

/// The most failures that are shown, and that are made smaller.
const SHOWN_MAX: usize = 40;
const SHRUNK_MAX: usize = 3;

/// What the runs of one pipeline have shown.
enum Held {
    /// The pipeline has errors, in words.
    Broken(String),
    /// The runs, and whether the promises were refused.
    Played { runs: u64, refused: bool },
    /// A run did worse than what was derived, in words.
    Worse { run: u64, what: String },
}

/// The pipelines that are played: those of some seeds, or that of `WEIR_SEED`.
fn seeds() -> Vec<u64> {
    match number_from_environment("WEIR_SEED") {
        Some(seed) => vec![seed],
        None => (0..number_from_environment("WEIR_PIPELINES").unwrap_or(PIPELINES)).collect(),
    }
}

/// Judges one run of a pipeline.
fn verdict(compiled: &Compiled, run: u64) -> Result<Verdict, String> {
    Ok(judge(compiled, &compiled.play(run)?))
}

/// Returns the text of a pipeline with its promises.
fn text_of(pipeline: &Pipeline) -> String {
    let promises: Vec<String> = pipeline.flows.iter().map(|flow| flow.promise.to_string()).collect();
    pipeline.text(&promises)
}

/// Plays the runs of the pipeline of a seed.
fn hold(seed: u64) -> Held {
    let compiled = match compile(generate::pipeline(seed)) {
        Ok(compiled) => compiled,
        Err(error) => return Held::Broken(error),
    };
    for run in seed * RUNS..(seed + 1) * RUNS {
        if let Some(what) = worst(&compiled, run) {
            return Held::Worse { run, what };
        }
    }
    Held::Played { runs: RUNS, refused: compiled.analysis.has_errors() }
}

/// Plays a run, and returns the first thing that is worse than what was derived, in words.
fn worst(compiled: &Compiled, run: u64) -> Option<String> {
    match verdict(compiled, run) {
        Ok(verdict) => verdict.worse.into_iter().next(),
        Err(error) => Some(format!("the pipeline can't run: {error}")),
    }
}

/// Returns a smaller pipeline that does worse than what was derived too, in words.
fn smaller(seed: u64, run: u64) -> String {
    let fails = |compiled: &Compiled, run: u64| worst(compiled, run).is_some();
    let (small, run) = shrink::shrink(generate::pipeline(seed), run, &fails);
    let what = compile(small.clone()).ok().and_then(|compiled| worst(&compiled, run));
    format!("a smaller pipeline, run {run}: {}\n{}", what.unwrap_or_default(), text_of(&small))
}

#[test]
fn no_run_does_worse_than_what_was_derived() {
    let seeds = seeds();
    if let [seed] = seeds[..] {
        println!("{}", text_of(&generate::pipeline(seed)));
    }
    let panicked = |seed: &u64| Held::Worse { run: seed * RUNS, what: "the run panics".to_owned() };
    let held = in_threads(&seeds, 2, |seed| hold(*seed), panicked);
    let (mut broken, mut worse, mut played, mut refused) = (BTreeMap::new(), Vec::new(), 0, 0);
    for (seed, held) in seeds.iter().zip(held) {
        match held {
            Held::Broken(error) => broken.entry(error).or_insert_with(Vec::new).push(*seed),
            Held::Worse { run, what } => worse.push((*seed, run, what)),
            Held::Played { runs, refused: is_refused } => {
                played += runs;
                refused += usize::from(is_refused);
            }
        }
    }
    let errors: usize = broken.values().map(Vec::len).sum();
    println!("{played} runs; {refused} of {} pipelines are refused, {errors} have errors", seeds.len());
    for (seed, run, what) in worse.iter().take(SHOWN_MAX) {
        println!("WEIR_SEED={seed}, run {run}: {what}");
    }
    for (seed, run, _) in worse.iter().take(SHRUNK_MAX) {
        println!("WEIR_SEED={seed}: {}", smaller(*seed, *run));
    }
    assert!(worse.is_empty(), "{} pipelines did worse than what was derived", worse.len());
    assert!(errors * ERRORS_ONE_IN <= seeds.len().max(ERRORS_ONE_IN), "{errors} have errors: {broken:?}");
}

#[test]
fn a_run_follows_from_its_seed() {
    for seed in 0..20 {
        let Ok(compiled) = compile(generate::pipeline(seed)) else { continue };
        let arrived = || compiled.play(seed).map(|played| format!("{:?}", played.arrived));
        assert_eq!(arrived(), arrived(), "seed {seed}");
    }
}
