//! The rules that refuse promises, each with a run that shows it.
//!
//! Each line of `rules.txt` names a rule, an effect, the seed of a pipeline and the seed of a run: in this run the effect happens, and
//! the rule is the only reason for it. `WEIR_RULES=5000` searches that many pipelines and writes the file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use weir_compiler::analysis::Rule;
use weir_runtime::number_from_environment;

use super::play::{Compiled, analysed, compile};
use super::{generate, shrink, text_of, verdict};
use crate::suite::in_threads;

/// The file of the runs.
const FILE: &str = include_str!("rules.txt");
/// The runs of each pipeline of a search.
const RUNS: u64 = 12;

/// A run that shows a rule.
struct Shown<'l> {
    rule: &'l str,
    effect: &'l str,
    pipeline: u64,
    run: u64,
}

fn shown(file: &str) -> Vec<Shown<'_>> {
    let line = |line: &'_ str| -> Option<(u64, u64)> {
        let numbers: Vec<u64> = line.split(' ').skip(2).filter_map(|number| number.parse().ok()).collect();
        Some((*numbers.first()?, *numbers.get(1)?))
    };
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    let shown = lines.filter_map(|text| {
        let mut words = text.split(' ');
        let (rule, effect) = (words.next()?, words.next()?);
        let (pipeline, run) = line(text)?;
        Some(Shown { rule, effect, pipeline, run })
    });
    shown.collect()
}

/// Whether a run of a pipeline shows a rule.
fn shows(compiled: &Compiled, run: u64, rule: &str, effect: &str) -> bool {
    let found = verdict(compiled, run);
    found.is_ok_and(|found| found.shown.iter().any(|(of, with)| of.name() == rule && *with == effect))
}

#[test]
fn each_rule_is_shown_by_a_run() {
    if let Some(pipelines) = number_from_environment("WEIR_RULES") {
        search(pipelines);
        return;
    }
    let all = shown(FILE);
    for Shown { rule, effect, pipeline, run } in &all {
        let pipeline = generate::pipeline(*pipeline);
        assert!(
            compile(pipeline.clone()).is_ok_and(|compiled| shows(&compiled, *run, rule, effect)),
            "run {run} does not show that `{rule}` {effect}; WEIR_RULES=5000 searches again:\n{}",
            text_of(&pipeline)
        );
    }
    for rule in Rule::ALL {
        if !all.iter().any(|shown| shown.rule == rule.name()) {
            println!("no run shows `{}`", rule.name());
        }
    }
}

/// What is not derived is not promised, neither for the first paths nor for an order.
#[test]
fn more_paths_than_are_derived_are_not_proven() {
    const BRANCHES: usize = 71;
    let program = |branches: usize| {
        let list = |name: &dyn Fn(usize) -> String| (0..branches).map(name).collect::<Vec<_>>().join(", ");
        let mut text = String::from("source made = generate { count: 10 }\n");
        let mut paths = format!("  made -> copy {{ {} }}\n", list(&|channel| format!("c{channel}")));
        for channel in 0..branches {
            let _ = writeln!(text, "channel c{channel} = memory {{}}");
            let _ =
                writeln!(paths, "  c{channel} -> copy {{ {} }}", list(&|sink| format!("k{channel}_{sink}")));
            for sink in 0..branches {
                let _ = writeln!(text, "sink k{channel}_{sink} = null {{}}");
            }
        }
        format!("{text}flow main delivers best_effort, ordered totally {{\n{paths}}}\n")
    };
    let codes = |branches| {
        let analysis = analysed(&program(branches));
        let errors = analysis.diagnostics.iter().map(|error| error.code().to_owned());
        (errors.collect::<Vec<_>>(), analysis.proofs.flows[0].complete)
    };
    assert_eq!(codes(2), (Vec::new(), true));
    assert_eq!(codes(BRANCHES), (vec!["E0705".to_owned()], false));
}

/// Searches runs that show the rules, and writes the file.
fn search(pipelines: u64) {
    let seeds: Vec<u64> = (0..pipelines).collect();
    let found = in_threads(&seeds, 2, |seed| shown_by(*seed), |_| Vec::new());
    let mut first: BTreeMap<(Rule, &str), Found> = BTreeMap::new();
    for found in found.into_iter().flatten() {
        let known = first.entry((found.rule, found.effect)).or_insert_with(|| found.clone());
        if found.size < known.size {
            *known = found;
        }
    }
    let mut lines = String::from("# rule effect pipeline run: written by `WEIR_RULES`\n");
    for ((rule, effect), Found { pipeline, run, .. }) in &first {
        let _ = writeln!(lines, "{} {effect} {pipeline} {run}", rule.name());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/held/rules.txt");
    std::fs::write(path, &lines).expect("the file can be written");
    println!("{lines}");
    for ((rule, effect), Found { pipeline, run, .. }) in &first {
        let name = rule.name();
        let pipeline = generate::pipeline(*pipeline);
        let shows = |small: &Compiled, run: u64| shows(small, run, name, effect);
        let (small, run) = shrink::shrink(pipeline, *run, &shows);
        println!("`{name}` {effect}, run {run}:\n{}", text_of(&small));
    }
}

#[derive(Clone)]
struct Found {
    rule: Rule,
    effect: &'static str,
    pipeline: u64,
    run: u64,
    /// The bytes of the pipeline's text.
    size: usize,
}

/// Returns what the runs of a pipeline show.
fn shown_by(seed: u64) -> Vec<Found> {
    let pipeline = generate::pipeline(seed);
    let size = text_of(&pipeline).len();
    let Ok(compiled) = compile(pipeline) else { return Vec::new() };
    let mut all: Vec<Found> = Vec::new();
    for run in seed * RUNS..(seed + 1) * RUNS {
        let Ok(found) = verdict(&compiled, run) else { continue };
        for (rule, effect) in found.shown {
            all.push(Found { rule, effect, pipeline: seed, run, size });
        }
    }
    all
}
